"""What a result says of the model's use ends in the attempt's columns, and what it does not say stays unknown."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from batches.core.engine.pricing import input_cost
from batches.core.plans.analysis import DocumentReport
from batches.core.plans.graph import analyse
from batches.core.plans.reader import read_plan
from batches.engine.attempt_results import End, record_end
from batches.engine.orchestrator import record_step
from batches.engine.snapshots import TickContext
from batches.engine.task_specs import build_spec, earlier_failure, resumed_spec
from batches.metrics import facts
from batches.models import Attempt, DiffComment
from batches.plans.to_batch import create_phases
from subagents.contract import Role, TaskResult, replace
from subagents.launcher import Observation
from subagents.prompting import render_prompt
from tests.batches import builders

pytestmark = pytest.mark.django_db

SAID = {
    "usage": {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_tokens": 3000,
        "cache_write_tokens": 0,
        "requests": [{"model": "claude-haiku", "input_tokens": 10, "cost_usd": 0.5}],
    },
    "tokens_used": 3030,
    "cost_usd": 0.5,
    "session": "session-1",
    "sandbox": "bwrap",
}


def ended(**said) -> Attempt:
    """A live attempt whose process ended with a result that says this."""
    run = builders.running_batch().runs.get()
    attempt = Attempt.objects.live().filter(task__run=run).first()
    spec = build_spec(run, attempt.task, attempt)
    result = TaskResult(spec.task_id, spec.prp_id, "success", spec.attempt, spec.token, **said)
    look = Observation(spec.files, False, None, None, None, None, TaskResult.from_json(result.to_json()), None)
    record_end(End.of(attempt, spec, look), timezone.now())
    attempt.refresh_from_db()
    return attempt


def test_figures_session_and_sandbox_of_a_result_are_the_attempts():
    attempt = ended(**SAID)
    assert (attempt.input_tokens, attempt.output_tokens) == (10, 20)
    assert (attempt.cache_read_tokens, attempt.cache_write_tokens) == (3000, 0)
    assert (attempt.session, attempt.sandbox) == ("session-1", "bwrap")


def test_figures_that_a_result_does_not_say_stay_unknown():
    attempt = ended(usage={"input_tokens": None})
    assert (attempt.input_tokens, attempt.cache_read_tokens, attempt.session, attempt.sandbox) == (None, None, "", "")


@pytest.mark.parametrize("ends", ["failed", "collided", "merged"])
def test_comments_on_its_phase_that_an_agent_has_dealt_with_are_resolved_once_its_work_is_merged(ends):
    batch = builders.failed_batch()
    other, before = batch.phases.get(key="2a").tasks.get().attempts.get(), timezone.now() - timedelta(days=9)
    live = builders.running_batch().runs.get()
    attempt = Attempt.objects.live().filter(task__run=live).first()
    mine, alien, later = (
        builders.make_comment(attempt, at=before), builders.make_comment(other, at=before), builders.make_comment(attempt),
    )  # fmt: skip
    answers = [{"number": one.pk, "answer": "It is said now."} for one in (mine, alien, later)] + [{"number": 10**12, "answer": ""}]
    spec = build_spec(live, attempt.task, attempt)
    said = {"status": "failed", "failure_reason": "gate_failed"} if ends == "failed" else {"status": "success", "head_commit": "b" * 40}
    result = TaskResult(spec.task_id, spec.prp_id, attempt=1, token=spec.token, report={"comments": answers}, **said)
    Attempt.objects.filter(pk=attempt.pk).update(merge_conflicts=["a.py"] if ends == "collided" else None)
    context = TickContext(timezone.now(), 0.0, attempt.host, 0, patient=True)
    record_step(live.pk, context, [End.of(attempt, spec, Observation(spec.files, False, None, None, None, None, result, None))])
    if ends == "merged":
        assert not DiffComment.objects.exclude(resolved_at=None).exists(), "its work is not merged yet"
        Attempt.objects.filter(pk=attempt.pk).update(merge_commit="c" * 40)
        record_step(live.pk, context)
    attempt.refresh_from_db()
    assert attempt.outcome == ("succeeded" if ends == "merged" else "failed"), attempt.message
    resolved = DiffComment.objects.exclude(resolved_at=None).values_list("pk", "answer")
    assert list(resolved) == ([(mine.pk, "It is said now.")] if ends == "merged" else []), "another phase's, or a later one, is not its own"


def test_next_attempt_is_told_what_the_last_one_failed_of():
    run = builders.failed_batch().runs.get()
    task = run.tasks.get(state="failed")
    last = task.attempts.get()
    told = earlier_failure(task)
    assert told.startswith(f"Attempt {last.number}: {last.reason}.")
    assert "E   assert 1 == 2" in told and "1 failed, 11 passed in 0.42s" in told
    assert '"kind"' not in told, "messages, not the log's own JSON"


def test_nothing_is_told_after_a_success_or_before_a_first_attempt():
    run = builders.finished_batch().runs.get()
    assert earlier_failure(run.tasks.first()) == ""


def test_saving_of_the_cache_is_the_share_of_the_inputs_full_price_and_unknown_without_a_price():
    cost = input_cost("haiku", 100, 0, 900)
    assert cost.saved == pytest.approx(0.81) and cost.full_usd == Decimal("0.0001")
    assert (cost + cost).saved == pytest.approx(0.81)
    assert input_cost("haiku", 0, 1000, 0).saved == pytest.approx(-0.25), "filling it costs more"
    assert input_cost("", 100, 0, 900) is None and input_cost("haiku", 100, None, 900) is None


def test_metrics_and_phase_page_show_what_the_cache_saved(client):
    builders.make_user()
    batch = builders.finished_batch()
    Attempt.objects.filter(task__run__batch=batch, task__name="1").update(
        model="haiku", input_tokens=100, cache_write_tokens=0, cache_read_tokens=900_000
    )
    facts.rebuild(anew=True)
    client.force_login(get_user_model().objects.get())
    assert "<dd>90 %</dd>" in client.get("/metrics/").text
    assert "of the input saved" in client.get(f"/batches/{batch.number}/phases/1/").content.decode()


@pytest.mark.parametrize(("kept", "moved", "resumed"), [(True, False, True), (False, False, False), (True, True, False)])
def test_retry_goes_on_with_a_session_only_where_it_is_kept_and_on_the_same_base(tmp_path, kept, moved, resumed):
    run = builders.failed_batch().runs.get()
    task = run.tasks.get(state="failed")
    last = task.attempts.get()
    Attempt.objects.filter(pk=last.pk).update(session="session-1", directory=str(tmp_path if kept else tmp_path / "gone"), head_commit="a1")
    spec = replace(build_spec(run, task, last), base_commit="another" if moved else last.base_commit)
    made = resumed_spec(spec, task)
    assert (made.session, made.payload.get("start", "")) == (("session-1", "a1") if resumed else ("", ""))


def test_the_agent_gets_the_whole_section_of_its_phase_and_the_overview_of_the_plan():
    run = builders.running_batch().runs.get()
    attempt = Attempt.objects.live().filter(task__run=run).first()
    text = "# P\n\nWhy we do it.\n\n### Phase 1: Part\n\n**Goal**: x\n\n**Notes**: mind the gap {{goal}}\n\n**Steps**:\n1. a\n"
    create_phases(run.batch, DocumentReport(read_plan(text), analyse(read_plan(text).plan.phases)))
    run.batch.refresh_from_db()
    attempt.task.phase = run.batch.phases.get(key="1")
    prompt = render_prompt(replace(build_spec(run, attempt.task, attempt), role=Role.EXECUTOR), "/checkout")
    assert "Why we do it." in prompt and "**Notes**: mind the gap {{goal}}" in prompt
