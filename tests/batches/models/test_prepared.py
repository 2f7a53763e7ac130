"""A prepared query answers as the query that it is built from, with the values and the rows of each call."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from batches.core.engine.states import TaskState
from batches.models import Attempt, Batch, Run, Task
from batches.models.prepared import Prepared
from batches.models.visibility import NOTHING, seeing
from tests.batches.builders import make_batch, running_batch

pytestmark = pytest.mark.django_db


def test_each_call_has_its_own_values_and_sees_the_rows_of_that_moment() -> None:
    first, second = make_batch("1 -> 2a 2b", run_state="queued"), make_batch("1 -> 2", run_state="queued")
    names: Prepared[str] = Prepared(lambda batch, state: (
        Task.objects.filter(run__batch=batch, state=state).order_by("position").values_list("name", flat=True)
    ))
    assert names.rows(batch=first.pk, state=TaskState.PENDING) == ["1", "2a", "2b"]
    assert names.rows(batch=second.pk, state=TaskState.PENDING) == ["1", "2"]
    Task.objects.filter(run__batch=first, name="1").update(state=TaskState.SUCCEEDED)
    assert names.rows(batch=first.pk, state=TaskState.SUCCEEDED) == ["1"]
    assert names.first(batch=first.pk, state=TaskState.PENDING) == "2a"
    assert names.first(batch=second.pk, state=TaskState.SUCCEEDED) is None


def test_rows_are_those_of_the_query_itself_with_what_is_joined() -> None:
    batch = running_batch()
    runs: Prepared[Run] = Prepared(lambda run: Run.objects.select_related("batch__project").filter(pk=run))
    run = batch.runs.get()
    runs.rows(run=run.pk)
    with CaptureQueriesContext(connection) as asked:
        found = runs.rows(run=run.pk)
        assert found == [run] and found[0].batch.project.name == batch.project.name and found[0].created_at == run.created_at
    assert len(asked) == 1


def test_times_are_compared_as_times() -> None:
    batch = make_batch("1")
    now = timezone.now()
    Batch.objects.filter(pk=batch.pk).update(created_at=now)
    since: Prepared[Batch] = Prepared(lambda at: Batch.objects.filter(created_at__gte=at))
    assert since.rows(at=now - timedelta(seconds=1)) == [batch] and since.rows(at=now + timedelta(seconds=1)) == []


def test_a_request_sees_no_more_than_it_may() -> None:
    batch = running_batch()
    every: Prepared[Run] = Prepared(lambda: Run.objects.order_by("pk"))
    assert every.rows() == [batch.runs.get()]
    with seeing(NOTHING):
        assert every.rows() == []
    assert every.rows() == [batch.runs.get()]


def test_words_that_never_change_are_in_the_text_so_that_a_partial_index_answers() -> None:
    live: Prepared[int] = Prepared(lambda: Run.objects.live().values_list("pk", flat=True))
    live.rows()
    with CaptureQueriesContext(connection) as asked:
        live.rows()
    assert "IN ('queued', 'running')" in asked.captured_queries[0]["sql"]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + asked.captured_queries[0]["sql"])
            assert "live_runs" in str(cursor.fetchall())


def test_a_value_may_hold_any_text() -> None:
    odd: Prepared[Attempt] = Prepared(lambda host: Attempt.objects.filter(host=host))
    assert odd.rows(host="%s ' ; \" %%") == []
