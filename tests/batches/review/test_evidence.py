"""What came of phases, from rows: the same for all at once as for one, in a fixed number of queries."""

import pytest
from django.utils import timezone

from batches.models import Attempt, GateCheck
from batches.review.conclude_review import other_gates
from batches.review.phase_facts import changed_lines, done_of, done_of_phases
from tests.batches import builders

pytestmark = pytest.mark.django_db


def phases_of(batch):
    return list(batch.phases.select_related("stage").prefetch_related("gates"))


def test_all_phases_of_any_batch_take_five_queries_at_most(django_assert_max_num_queries):
    phases = phases_of(builders.wide_batch(60))
    with django_assert_max_num_queries(5):
        found = done_of_phases(phases)
    assert set(found) == {phase.pk for phase in phases}


def test_what_came_of_one_phase_is_what_came_of_it_among_all():
    phases = phases_of(builders.failed_batch())
    together = done_of_phases(phases)
    assert [done_of(phase).outcome for phase in phases] == [together[phase.pk].outcome for phase in phases]
    assert [together[phase.pk].outcome.state for phase in phases] == ["succeeded", "failed", "succeeded", "blocked"]


def test_a_gate_counts_as_it_was_judged_last():
    batch = builders.finished_batch()
    phase = phases_of(batch)[0]
    assert [gate.status for gate in done_of(phase).outcome.gates] == ["passed", "passed", "unverified"]
    later = builders.make_attempt(batch.runs.get().tasks.get(name="1"), number=2)
    GateCheck.objects.filter(attempt=later, gate__position=1).update(status="failed", at=timezone.now())
    assert [gate.status for gate in done_of(phase).outcome.gates] == ["failed", "passed", "unverified"]


def test_lines_of_a_diff_are_counted_without_its_headers_and_an_unread_one_is_unknown():
    new = "diff --git a/y b/y\nnew file mode 100644\n--- /dev/null\n+++ b/y\n"
    diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-- a\n+++ b\n c\n" + new
    assert changed_lines(diff) == (1, 1)
    assert changed_lines("") == (0, 0)
    assert changed_lines(None) == (None, None)


def test_gates_of_the_project_are_among_what_a_review_after_execution_looks_at():
    batch = builders.finished_batch()
    attempt = Attempt.objects.filter(task__run__batch=batch, task__name="1").latest("pk")
    builders.make_other_check(attempt, "project", 1, "Lint", status="failed")
    assert ("PRP-1.1.1, project gate", "Lint", "failed") in set(other_gates(batch, {"1": "PRP-1.1.1"}))
