"""A person accepts a phase that succeeded and is not green: who may, what it covers, what stays of it, and what pages say then."""

import json

import pytest
from django.contrib.auth.models import Group

from batches.accounts.actor import Actor
from batches.accounts.audit_trail import TrailFilter, read_trail
from batches.accounts.roles import EXECUTOR, VIEWER
from batches.core.errors import ServiceError
from batches.core.gates.success import Success
from batches.engine import reporting
from batches.gates.sign_offs_and_acceptances import accept_phase, withdraw_sign_off
from batches.metrics.successes import successes_of_batches
from batches.models import Batch, GateCheck, Phase, Result, Task
from batches.repositories.merges import open_looks
from tests.batches import builders

pytestmark = pytest.mark.django_db

PATH = "tests/test_a.py"
LOOK = {"kind": "judges_file", "path": PATH, "text": f"gate 1 takes its tests from {PATH}", "declared": False, "phase": ""}


@pytest.fixture
def batch() -> Batch:
    """Phase 1 needs a look, 2a changed nothing, 2b could not be checked, 3 is verified."""
    batch = builders.finished_batch()
    results = {result.attempt.task.name: result for result in Result.objects.select_related("attempt__task")}
    Result.objects.filter(pk=results["1"].pk).update(looks=[LOOK, LOOK | {"text": "declared", "declared": True}])
    Result.objects.filter(pk=results["2a"].pk).update(files_created=[], undeclared=[])
    GateCheck.objects.filter(attempt=results["2b"].attempt).update(status="unverified")
    return batch


def person(name: str, role: str) -> Actor:
    user = builders.make_user(name, admin=False)
    user.groups.add(Group.objects.get(name=role))
    return Actor.person(user)


def accept(batch: Batch, key: str, actor: Actor, reason: str = "I looked at it."):
    return accept_phase(phase=Phase.objects.get(batch=batch, key=key), reason=reason, actor=actor)


def kinds(batch: Batch) -> list[Success]:
    return successes_of_batches([batch.pk])[batch.pk]


def test_each_open_kind_is_accepted_by_a_named_person_and_says_by_whom_everywhere(batch: Batch, client):
    ada = builders.make_user()
    client.force_login(ada)
    assert kinds(batch) == [Success.NEEDS_LOOK, Success.CHANGED_NOTHING, Success.NOT_VERIFIED, Success.VERIFIED]
    page = client.get(f"/batches/{batch.number}/").text
    assert "1 phase needs a look, 1 phase changed nothing, 1 phase not verified" in page and LOOK["text"] in page
    assert reporting.status_of(batch)[1]["results"][0]["looks"] == [LOOK["text"]]
    assert open_looks(batch) == (("1", (LOOK["text"],)),)
    for key in ("1", "2a", "2b"):
        assert "Accept the phase as it is" in client.get(f"/batches/{batch.number}/phases/{key}/").text
        answer = client.post(f"/batches/{batch.number}/phases/{key}/accept/", {"accept": f"Read {key}."}, follow=True)
        assert "succeeded, accepted by ada" in answer.text and f"Read {key}." in answer.text
    assert kinds(batch) == [Success.ACCEPTED] * 3 + [Success.VERIFIED] and not open_looks(batch)
    for address in (f"/batches/{batch.number}/", "/batches/"):
        shown = client.get(address).text
        assert "3 phases accepted by a person" in shown and "needs a look" not in shown
    assert client.get("/batches/").context["rows"][0].total == 4
    assert "succeeded, accepted by ada" in client.get(f"/batches/{batch.number}/changes/").text
    run, result = reporting.status_of(batch)
    assert (result["not_verified"], result["accepted"]) == ("", "3 phases accepted by a person")
    report = reporting.report_text(run, result)
    assert "Execute: succeeded, 3 phases accepted by a person, 4 of 4" in report and "☑ PRP-1.1.1" in report
    assert [one["accepted_by"] for one in result["results"]] == ["ada", "ada", "ada", ""]
    trail = [(entry.who, entry.what, entry.detail) for entry in read_trail(TrailFilter(kind="gates"), 9)]
    assert trail[-1] == ("person:ada", "Accepted phase 1: needs a look", "Read 1.")
    assert "The phase as it is" in client.get(f"/batches/{batch.number}/gates/").text


def test_it_takes_the_right_a_person_a_reason_and_something_open(batch: Batch):
    grace = person("grace", EXECUTOR)
    for actor in (person("mary", VIEWER), Actor.command("test")):
        with pytest.raises(Exception, match=r"may not do this|signed-in person"):
            accept(batch, "1", actor)
    with pytest.raises(ServiceError, match="what you looked at"):
        accept(batch, "1", grace, "  ")
    with pytest.raises(ServiceError, match="verified; there is nothing to accept"):
        accept(batch, "3", grace)
    accept(batch, "1", grace)
    with pytest.raises(ServiceError, match="accepted already, by grace"):
        accept(batch, "1", grace)
    with pytest.raises(ServiceError, match="has not succeeded"):
        accept(builders.failed_batch(), "2a", grace)


def test_it_is_withdrawn_with_a_reason_and_speaks_for_no_later_attempt(batch: Batch):
    grace = person("grace", EXECUTOR)
    withdraw_sign_off(sign_off=accept(batch, "1", grace), reason="It was the wrong file.", actor=grace)
    assert kinds(batch)[0] == Success.NEEDS_LOOK
    assert read_trail(TrailFilter(kind="gates"), 1)[0].what == "Withdrew the acceptance of phase 1: needs a look"
    accept(batch, "2a", grace)
    later = builders.make_attempt(Task.objects.get(run__batch=batch, name="2a"), number=2)
    Result.objects.filter(attempt=later).update(files_created=[], undeclared=[])
    assert kinds(batch)[1] == Success.CHANGED_NOTHING


def test_a_program_accepts_with_its_persons_name(batch: Batch, client):
    from tests.batches.pages.test_api import Program

    program = Program(builders.make_user("ada"))
    answer = program.client.post(
        f"/api/batches/{batch.number}/phases/1/accept/", json.dumps({"reason": "Read."}), "application/json", headers=program.headers
    )
    assert (answer.status_code, answer.json()["accepted_by"], answer.json()["accepted"]) == (201, "ada", "needs_look")
