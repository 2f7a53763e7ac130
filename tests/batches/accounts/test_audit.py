"""The audit trail: every act with its name, narrowed and bounded, for administrators."""

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.audit_trail import SOURCES, TrailFilter, read_trail
from batches.integrations.installation_settings import set_default_backend
from batches.models import AuditEvent, BaseMerge, Transition
from tests.batches import builders
from tests.batches.accounts.test_users import add

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client):
    user = builders.make_user("root")
    client.force_login(user)
    return user


@pytest.fixture
def done(root):
    """A batch with an act of every kind."""
    batch = builders.ledger_batch()
    batch.created_by = root
    now = timezone.now()
    run = batch.runs.latest("pk")
    for cause in ("person:ada", "host:one", "command:batch_exe_prp (root)"):
        Transition.objects.create(run=run, event="cancel", from_state="running", to_state="cancelled", cause=cause, at=now)
    review = builders.make_review(batch, "before", "needs_revision")
    review.__class__.objects.update(overruled_name="ada", overruled_at=now, overrule_reason="=SUM(A1) the owner said so")
    change = builders.make_context_change(batch, "accepted")
    change.__class__.objects.update(decided_cause="person:ada", decided_at=now)
    sides = {"from_commit": "a" * 40, "batch_commit": "b" * 40, "to_commit": "b" * 40, "base_branch": "main", "method": "ff"}
    BaseMerge.objects.create(batch=batch, cause="person:ada", asked_at=now, ended_at=now, merged=False, problem="It moved.", **sides)
    builders.make_chain(batch, "stopped", "execute")
    conflict = builders.make_conflict(batch, "a.py", ("1", "2a"), "serialize")
    conflict.__class__.objects.update(decided_by=root, decided_at=now)
    batch.plan.decisions.create(file="a.py", kind="same_stage", phases=["1"], decision="warn", decided_by=root, decided_at=now)
    set_default_backend(backend="steps", actor=Actor.person(root))
    add("eve", "viewer", Actor.person(root))
    return batch


def test_every_kind_of_row_is_read_in_one_query_and_what_rules_did_only_when_asked(done, django_assert_max_num_queries):
    with django_assert_max_num_queries(len(SOURCES)):
        found = read_trail(TrailFilter(), 1000)
    assert {entry.kind for entry in found} >= {"runs", "gates", "reviews", "merges", "context", "plans", "conflicts", "settings", "user"}
    assert all(entry.who.startswith(("person:", "command:", "address:")) for entry in found)
    assert [entry.at for entry in found] == sorted((entry.at for entry in found), reverse=True)
    assert "host:one" in {entry.who for entry in read_trail(TrailFilter(rules=True), 1000)}
    assert "person:" not in {entry.who for entry in found}
    assert read_trail(TrailFilter(), 3, 2) == found[2:5]


def test_it_is_narrowed_by_who_what_batch_and_day(done, client):
    def whats(**query) -> list[str]:
        return [entry.what for entry in client.get("/audit/", query).context["entries"]]

    assert whats(what="merges") == ["Tried to merge into main"] and whats(who="nobody") == [] and whats(batch=999) == []
    assert all("eve" in what for what in whats(what="user"))
    assert {entry.batch for entry in read_trail(TrailFilter(batch=done.number), 100)} == {done.number}
    today = timezone.localdate()
    assert whats(since=today.isoformat(), until=today.isoformat()) and not whats(until=(today - timedelta(days=1)).isoformat())
    assert client.get("/audit/", {"since": "yesterday"}).status_code == 400
    assert client.get("/audit/", {"page": "-1"}).status_code == client.get("/audit/", {"until": "9999-12-31"}).status_code == 200


def test_the_csv_holds_the_same_and_no_formula(done, client):
    rows = list(csv.DictReader(io.StringIO(client.get("/audit.csv", {"what": "reviews"}).text)))
    assert [(row["who"], row["batch"], row["detail"]) for row in rows] == [("person:ada", "1", "'=SUM(A1) the owner said so")]


@pytest.mark.parametrize("role", ["viewer", "author", "executor"])
def test_it_is_for_administrators(client, role):
    client.force_login(add("eve", role))
    assert [client.get(path).status_code for path in ("/audit/", "/audit.csv")] == [403, 403]


def test_pages_go_back_as_long_as_there_is_more(client, root):
    AuditEvent.objects.bulk_create(
        AuditEvent(at=timezone.now(), kind="user", cause="person:root", what=f"Act {number}") for number in range(120)
    )
    pages = [client.get("/audit/", {"what": "user", "page": page}) for page in (1, 2, 3)]
    assert [len(page.context["entries"]) for page in pages] == [50, 50, 20]
    assert [page.context["older"] for page in pages] == [2, 3, 0]
