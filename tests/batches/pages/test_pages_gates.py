"""The ledger page, its CSV, and a person's sign-off: who may, on what, and what stays of it."""

import csv
import io

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import ADMIN, AUTHOR, EXECUTOR, VIEWER
from batches.core.engine.states import TaskKind
from batches.core.gates.ledger import GateState, count_states
from batches.gates.ledger import read_ledger
from batches.gates.sign_offs_and_acceptances import sign_off
from batches.models import Attempt, Batch, Gate, GateCheck, GateOpinion, Result, SignOff, Task
from batches.review.conclude_review import conclude_review
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


@pytest.fixture
def batch() -> Batch:
    return builders.finished_batch()


def unverified(batch: Batch, key: str = "1") -> Gate:
    return Gate.objects.get(phase__batch=batch, phase__key=key, kind="unverified")


def post_sign_off(client, gate: Gate, reason: str = "Looked at it."):
    number = gate.phase.batch.number
    return client.post(f"/batches/{number}/gates/{gate.pk}/tick/?from=phase", {f"sign-off-{gate.pk}": reason}, follow=True)


def retried(batch: Batch, key: str) -> Attempt:
    """A later attempt of a phase, with its gates."""
    task = Task.objects.get(run__batch=batch, name=key)
    return builders.make_attempt(task, number=task.attempts.count() + 1)


def checked_again(batch: Batch, stage: int, status: str = "passed") -> Attempt:
    """A stage check over all the gates of a stage."""
    run, of_stage = batch.runs.get(), batch.stages.get(number=stage)
    task = Task.objects.create(
        run=run, kind=TaskKind.STAGE_CHECK, stage=of_stage, name=f"stage-{stage}", position=9, state="succeeded"
    )
    attempt = Attempt.objects.create(
        task=task, number=1, token="t", host="h", directory="d", checkout="c", ref=f"refs/{task.pk}", base_commit="b", spec={},
        launched_at=timezone.now(), launched_clock=1.0, ended_at=timezone.now(), outcome="succeeded",
    )  # fmt: skip
    for gate in Gate.objects.filter(phase__stage=of_stage).exclude(kind="unverified"):
        GateCheck.objects.create(gate=gate, attempt=attempt, status=status, at=timezone.now())
    return attempt


def test_the_ledger_lists_every_gate_with_what_was_run_and_filters_them(client, ada):
    batch = builders.ledger_batch()
    text = client.get(f"/batches/{batch.number}/gates/").text
    run = ("python -m pytest -q", "ruff check .", "No conflict markers", "ConnectionRefusedError")
    for said in (*run, "Signed off by ada", "It was the wrong build"):
        assert said in text
    only = client.get(f"/batches/{batch.number}/gates/?state=flaky").text
    assert "ConnectionRefusedError" in only
    assert "1 failed</pre>" not in only.replace("ConnectionRefusedError\n1 failed</pre>", "")
    assert "Not judged yet" in text and "None of the" not in text


def test_each_filter_shows_as_many_as_the_counts_say(client, ada):
    batch = builders.ledger_batch()
    counts = count_states(read_ledger(batch))
    assert set(counts) == set(GateState)
    for state, count in counts.items():
        rows = list(csv.DictReader(io.StringIO(client.get(f"/batches/{batch.number}/gates.csv?state={state}").text, newline="")))
        assert [row["state"] for row in rows] == [state] * count


def test_the_csv_is_a_file_by_name_and_holds_the_whole_ledger(client, ada):
    batch = builders.ledger_batch()
    answer = client.get(f"/batches/{batch.number}/gates.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert f'filename="batch-{batch.number}-gates.csv"' in answer.headers["Content-Disposition"]
    assert answer.text.count("\r\n") == len(read_ledger(batch)) + 1


def test_a_tick_is_kept_with_name_reason_and_commit_and_is_shown_as_a_persons_word(client, ada, batch):
    gate = unverified(batch)
    text = post_sign_off(client, gate).text
    made = SignOff.objects.get()
    assert (made.name, made.user, made.reason, made.commit, made.attempt.task.name) == ("ada", ada, "Looked at it.", "c0ffee" * 6, "1")
    assert 'data-state="queued"><span class="pill-icon" aria-hidden="true">☑</span>signed off by ada' in text
    [entry] = [one for one in read_ledger(batch) if one.gate == gate.pk]
    assert entry.state == GateState.SIGNED_OFF
    assert "ticked" in client.get(f"/batches/{batch.number}/").text


def test_a_tick_is_withdrawn_with_a_reason_and_both_stay(client, ada, batch):
    gate = unverified(batch)
    post_sign_off(client, gate)
    one = SignOff.objects.get()
    address = f"/batches/{batch.number}/ticks/{one.pk}/withdraw/"
    assert "Say why the sign-off is withdrawn" in client.post(address, {f"withdraw-{one.pk}": " "}, follow=True).text
    text = client.post(address, {f"withdraw-{one.pk}": "Wrong page."}, follow=True).text
    assert "Looked at it." in text and "Withdrawn by ada" in text and "Wrong page." in text
    assert "was withdrawn already" in client.post(address, {f"withdraw-{one.pk}": "Again."}, follow=True).text
    post_sign_off(client, gate, "The right page now.")
    kept = list(SignOff.objects.values_list("reason", "withdraw_reason"))
    assert kept == [("Looked at it.", "Wrong page."), ("The right page now.", "")]


def test_a_tick_speaks_for_the_attempt_that_was_looked_at_and_not_for_a_later_one(client, ada, batch):
    gate = unverified(batch)
    post_sign_off(client, gate)
    later = retried(batch, "1")
    [entry] = [one for one in read_ledger(batch) if one.gate == gate.pk]
    assert (entry.state, entry.sign_off) == (GateState.UNVERIFIED, None)
    post_sign_off(client, gate)
    assert SignOff.objects.filter(withdrawn_at=None).count() == 2
    assert SignOff.objects.latest("pk").attempt == later


@pytest.mark.parametrize(
    ("key", "kind", "reason", "said"),
    [
        ("1", "unverified", " ", "Say why it holds"),
        ("1", "tests", "x", "The server judged this gate itself: passed"),
        ("2a", "tests", "x", "The server judged this gate itself: failed"),
        ("2a", "unverified", "x", "Phase 2a has not succeeded"),
        ("3", "unverified", "x", "has not been judged yet"),
    ],
)
def test_what_cannot_be_ticked_is_refused_with_the_reason(client, ada, key, kind, reason, said):
    batch = builders.failed_batch()
    gate = Gate.objects.get(phase__batch=batch, phase__key=key, kind=kind)
    assert said in post_sign_off(client, gate, reason).text
    assert not SignOff.objects.exists()


def test_a_gate_is_ticked_once(client, ada, batch):
    gate = unverified(batch)
    post_sign_off(client, gate)
    assert "is signed off already, by ada" in post_sign_off(client, gate).text
    assert SignOff.objects.count() == 1


@pytest.mark.parametrize(("role", "may"), [(VIEWER, False), (AUTHOR, False), (EXECUTOR, True), (ADMIN, True)])
def test_ticking_and_withdrawing_take_the_right_to(client, batch, role, may):
    user = builders.make_user("bob", admin=False)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    gate = unverified(batch)
    assert ("Sign off in my name" in client.get(f"/batches/{batch.number}/gates/").text) is may
    assert post_sign_off(client, gate).status_code == (200 if may else 403)
    assert SignOff.objects.exists() is may
    one = SignOff.objects.first() or builders.make_sign_off(gate)
    shown = client.get(f"/batches/{batch.number}/phases/1/?tab=gates").text
    assert "signed off by" in shown and ("Withdraw in my name" in shown) is may
    back = client.post(f"/batches/{batch.number}/ticks/{one.pk}/withdraw/", {f"withdraw-{one.pk}": "x"})
    assert back.status_code == (302 if may else 403)


def test_a_command_is_nobody_who_could_give_a_word(batch):
    with pytest.raises(PermissionDenied, match="signed-in person"):
        sign_off(gate=unverified(batch), reason="x", actor=Actor.command("test"))


def test_a_check_on_the_merged_tree_counts_until_the_phase_is_carried_out_anew(batch):
    checked_again(batch, 2, status="failed")
    assert count_states(read_ledger(batch, "2a"))[GateState.FAILED] == 2
    retried(batch, "2a")
    assert GateState.FAILED not in count_states(read_ledger(batch, "2a"))
    assert count_states(read_ledger(batch, "2b"))[GateState.FAILED] == 2


def test_gates_of_a_stage_as_a_whole_have_a_line_of_their_own_and_the_last_check_of_it_counts(client, ada, batch):
    first = checked_again(batch, 2)
    builders.make_other_check(first, "project", 2, "Tests of the project", status="failed", exit_code=1, kind="tests")
    [line] = [entry for entry in read_ledger(batch) if not entry.phase]
    assert (line.stage, line.state, line.in_phase) == (2, GateState.FAILED, None)
    assert "Tests of the project" in client.get(f"/batches/{batch.number}/gates/?state=failed").text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"opinion": "holds", "evidence": "src/part_1.py:1"}, ("holds", "src/part_1.py:1", "small")),
        ({"opinion": "does_not_hold", "evidence": "README.md"}, ("does_not_hold", "README.md", "small")),
        ({"opinion": "holds", "evidence": " "}, ("not_judged", "no opinion with evidence was given", "")),
        ({"opinion": "cannot_tell", "evidence": "It is a matter of taste."}, ("not_judged", "It is a matter of taste.", "")),
        ({"opinion": "holds", "evidence": "x", "gate": 1}, ("not_judged", "no opinion with evidence was given", "")),
    ],
)
def test_a_readers_opinion_counts_with_evidence_and_never_turns_a_gate_green(client, ada, batch, said, kept):
    review = builders.make_review(batch, "after", "")
    phase = batch.phases.get(key="1")
    task = Task.objects.create(run=review.run, phase=phase, stage=phase.stage, name="1", position=1, state="succeeded")
    attempt = builders.make_attempt(task)
    Attempt.objects.filter(pk=attempt.pk).update(model="small")
    semantic = {"judged": True, "note": "Read it all.", "opinions": [{"gate": 3} | said]}
    Result.objects.filter(attempt=attempt).update(data={"report": {"findings": [], "semantic": semantic}})
    conclude_review(review.run)
    one = GateOpinion.objects.get(gate=unverified(batch))
    assert (one.opinion, one.evidence, one.model) == kept
    assert GateOpinion.objects.count() == 4, "the other phases' reviewers said nothing: not judged"
    [entry] = [entry for entry in read_ledger(batch) if entry.gate == one.gate_id]
    assert entry.state == GateState.UNVERIFIED
    assert kept[1] in client.get(f"/batches/{batch.number}/gates/?state=unverified").text


def test_the_ledger_takes_a_bounded_number_of_queries(client, ada, django_assert_max_num_queries):
    batch = builders.wide_batch(60)
    with django_assert_max_num_queries(34):  # with those of the batch's name, state and verbs above it, which are kept for each version
        client.get(f"/batches/{batch.number}/gates/")


def test_a_batch_that_never_ran_says_that_nothing_was_judged(client, ada):
    batch = builders.make_batch(run_state=None)
    text = client.get(f"/batches/{batch.number}/gates/").text
    assert "not judged" in text and "Sign off in my name" not in text


def test_ticks_and_opinions_can_be_looked_at_in_the_admin_and_not_changed(client, ada, batch):
    made = builders.make_sign_off(unverified(batch))
    assert client.get("/admin/batches/signoff/").status_code == 200
    assert client.get("/admin/batches/gateopinion/").status_code == 200
    assert client.post(f"/admin/batches/signoff/{made.pk}/change/", {"name": "eve"}).status_code == 403
    assert client.post(f"/admin/batches/signoff/{made.pk}/delete/", {"post": "yes"}).status_code == 403
