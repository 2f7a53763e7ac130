"""Given this snapshot, that is decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from batches.core.engine.budget import Budget
from batches.core.engine.decide import (
    SUCCESS,
    AttemptView,
    Block,
    Cancel,
    CheckStage,
    Defer,
    EndRun,
    Fail,
    Halt,
    Hold,
    Launch,
    Merge,
    Policy,
    PutOff,
    RateLimit,
    Repair,
    Snapshot,
    StartRun,
    Stop,
    Succeed,
    TaskView,
    Trouble,
    back_off_seconds,
    decide,
    waiting_for,
)
from batches.core.engine.states import FailureReason, RunEvent, RunState, TaskKind, TaskState, Waiting

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(silence_seconds=60, launch_seconds=30, phase_limit_seconds=3600, crash_restarts=2)
S = TaskState


def attempt(**known) -> AttemptView:
    return AttemptView(**{"number": 1, "launched_seconds": 1.0, "started": True, **known})


def task(name: str, stage: int, state: TaskState = S.PENDING, waits_for: str = "", **more) -> TaskView:
    if state in (S.LAUNCHING, S.RUNNING) and "attempt" not in more:
        more["attempt"] = attempt()
    return TaskView(name=name, stage=stage, position=ord(name[-1]), state=state, waits_for=tuple(waits_for.split()), **more)


def run(*tasks: TaskView, **more) -> Snapshot:
    return Snapshot(**{"state": RunState.RUNNING, "tasks": tasks, "max_parallel": 4, **more})


def diamond(one=S.PENDING, two_a=S.PENDING, two_b=S.PENDING, three=S.PENDING) -> tuple[TaskView, ...]:
    return task("1", 1, one), task("2a", 2, two_a, "1"), task("2b", 2, two_b, "1"), task("3", 3, three, "2a 2b")


def live(**known) -> Snapshot:
    return run(task("1", 1, S.RUNNING, attempt=attempt(**known)), task("2", 2, waits_for="1"))


def refused(attempt: dict[str, object] | None = None, **more) -> Snapshot:
    """A run of one phase whose gate refused what an agent did."""
    ended = {"exited": True, "verdict": FailureReason.GATE_FAILED, "message": "Gate 1 failed.", "repairable": True} | (attempt or {})
    return run(task("1", 1, S.RUNNING, attempt=_attempt(**ended), **more), repairs=2)


_attempt = attempt
REFUSED = Fail("1", FailureReason.GATE_FAILED, "Gate 1 failed.", restart=False)
FIRST_REPAIR = Repair("1", 1, 2, "Gate 1 failed.")


TABLE = {
    "a queued run starts": (run(*diamond(), state=RunState.QUEUED), [StartRun()]),
    "the first stage is launched": (run(*diamond()), [Launch("1")]),
    "a stage is launched side by side": (run(*diamond(S.SUCCEEDED)), [Launch("2a"), Launch("2b")]),
    "no more at once than allowed": (run(*diamond(S.SUCCEEDED), max_parallel=1), [Launch("2a")]),
    "no more at once than the host has slots for": (run(*diamond(S.SUCCEEDED), free_slots=1), [Launch("2a")]),
    "running phases count against the limit": (run(*diamond(S.SUCCEEDED, S.RUNNING), max_parallel=1), []),
    "a stage waits for the one before, even without a dependency": (
        run(task("a", 1, S.RUNNING), task("b", 1), task("c", 2), max_parallel=3),
        [Launch("b")],
    ),
    "dataflow does not wait for the stage": (
        run(task("a", 1, S.RUNNING), task("c", 2, waits_for="b"), task("b", 1, S.SUCCEEDED), by_stage=False),
        [Launch("c")],
    ),
    "dataflow prefers the longest remaining path": (
        run(task("a", 1, remaining=1.0), task("b", 1, remaining=5.0), by_stage=False, max_parallel=1),
        [Launch("b")],
    ),
    "a process that is gone frees its slot before its work is merged": (
        run(task("a", 1, S.RUNNING, attempt=attempt(exited=True, verdict=SUCCESS)), task("b", 1), task("c", 1), max_parallel=1),
        [Merge("a"), Launch("b")],
    ),
    "paused: nothing is launched": (run(*diamond(), paused=True), []),
    "back-off: not before its moment": (run(task("a", 1, not_before=NOW + timedelta(seconds=1))), []),
    "back-off over: launched": (run(task("a", 1, not_before=NOW)), [Launch("a")]),
    "back-off longer than any (the clock was set back): launched": (run(task("a", 1, not_before=NOW + timedelta(days=1))), [Launch("a")]),
    "one after the other: waits for the end": (run(task("a", 1, S.RUNNING), task("b", 1, after=("a",))), []),
    "one after the other: goes on after a failure too": (
        run(task("a", 1, S.FAILED), task("b", 1, after=("a",))),
        [Launch("b")],
    ),
    "a failure blocks what depends on it, all the way, and nothing else": (
        run(task("1", 1, S.FAILED), task("2a", 2, waits_for="1"), task("2b", 2), task("3", 3, waits_for="2a")),
        [Block("2a", "1", "Waits for 1, which failed."), Block("3", "1", "Waits for 2a, which is itself blocked."), Launch("2b")],
    ),
    "fail-fast blocks everything that has not started": (
        run(task("a", 1, S.FAILED), task("b", 1), task("c", 1, S.RUNNING), fail_fast=True),
        [Block("b", "a", "Fail-fast: a failed.")],
    ),
    "a cancelled dependency blocks": (
        run(task("1", 1, S.CANCELLED), task("2", 2, waits_for="1")),
        [Block("2", "1", "Waits for 1, which was cancelled.")],
    ),
    "silence within the limit is no reason": (live(silent_seconds=60.0), []),
    "silence beyond the limit is a timeout": (live(silent_seconds=60.1), [Stop("1", FailureReason.TIMEOUT, force=True)]),
    "an attempt that does not start in time is given up": (
        live(started=False, launched_seconds=30.1),
        [Stop("1", FailureReason.NEVER_STARTED, force=True)],
    ),
    "an attempt that has not started is not silent": (live(started=False, launched_seconds=5.0, silent_seconds=100.0), []),
    "the time limit has a grace, the wrapper keeps it first": (live(running_seconds=3605.0), []),
    "the time limit ends what the wrapper did not": (
        live(running_seconds=3610.1),
        [Stop("1", FailureReason.PHASE_TIME_LIMIT, force=True)],
    ),
    "a failed gate is repaired while rounds are left": (
        refused(repairs=1),
        [Repair("1", 2, 2, "Gate 1 failed.")],
    ),
    "what could not be merged is joined by its agent while rounds are left": (
        refused(attempt={"verdict": SUCCESS, "merge_conflicts": ("a.py",)}),
        [Repair("1", 1, 2, "Could not be merged: a.py. Its agent joins both sides.")],
    ),
    "with the rounds used up the phase fails": (refused(repairs=2), [REFUSED]),
    "without rounds it fails as ever": (replace(refused(), repairs=0), [REFUSED]),
    "where no agent did the work nothing is repaired": (refused(attempt={"repairable": False}), [REFUSED]),
    "what a person stopped is not repaired": (refused(attempt={"stopped_by": "anna"}), [REFUSED]),
    "another failure is not repaired": (
        refused(attempt={"verdict": FailureReason.BAD_RESULT}),
        [replace(REFUSED, reason=FailureReason.BAD_RESULT)],
    ),
    "no repair when a tenth of the time is not left": (refused(rounds_seconds=3000.0, attempt={"running_seconds": 300.0}), [REFUSED]),
    "a repair with a tenth of the time": (refused(rounds_seconds=3000.0, attempt={"running_seconds": 200.0}), [FIRST_REPAIR]),
    "no repair beyond the cap of the phase": (
        replace(refused(rounds_usd=Decimal("0.6"), attempt={"cost_usd": Decimal("0.4")}), phase_cap_usd=Decimal(1)),
        [REFUSED],
    ),
    "no repair that the budget cannot pay": (
        replace(refused(attempt={"cost_usd": Decimal(1), "reserved_usd": Decimal(2)}), budget=Budget(Decimal(3), Decimal(1))),
        [REFUSED],
    ),
    "a repair that the budget can pay": (
        replace(refused(attempt={"cost_usd": Decimal(1), "reserved_usd": Decimal(2)}), budget=Budget(Decimal(4), Decimal(1))),
        [FIRST_REPAIR],
    ),
    "all rounds together have the time limit of the phase": (
        run(task("1", 1, S.RUNNING, repairs=1, rounds_seconds=3000.0, attempt=attempt(running_seconds=611.0))),
        [Stop("1", FailureReason.PHASE_TIME_LIMIT, force=True)],
    ),
    "a phase that a person stops is asked to end, and nothing else is": (
        run(task("a", 1, S.RUNNING, attempt=attempt(stopped_by="anna")), task("b", 1, S.RUNNING)),
        [Stop("a", FailureReason.CANCELLED, force=False)],
    ),
    "one that a person stops gets the time to keep its work": (
        live(stopped_by="anna", stop_reason=FailureReason.CANCELLED, stopping_seconds=29.0),
        [],
    ),
    "and no more than that": (
        live(stopped_by="anna", stop_reason=FailureReason.CANCELLED, stopping_seconds=30.1),
        [Stop("1", FailureReason.CANCELLED, force=True)],
    ),
    "stopped by a person: cancelled by name, and what waits for it learns of it next": (
        live(stopped_by="anna", exited=True, verdict=FailureReason.CANCELLED, merged=False),
        [Cancel("1", message="Stopped by anna. Its work so far is kept.")],
    ),
    "stopped by a person while its process died: not started again": (
        live(stopped_by="anna", exited=True, verdict=FailureReason.CRASHED, merged=True),
        [Cancel("1", message="Stopped by anna.")],
    ),
    "stopped by a person while the provider refused: not put back into the queue": (
        live(stopped_by="anna", exited=True, verdict=FailureReason.RATE_LIMITED, merged=True),
        [Cancel("1", message="Stopped by anna.")],
    ),
    "stopped by a person too late: it had come to its own end": (
        live(stopped_by="anna", exited=True, verdict=SUCCESS, merged=True),
        [Succeed("1")],
    ),
    "told to stop: it gets its time": (live(stop_reason=FailureReason.CANCELLED, stopping_seconds=7.0), []),
    "told to stop and still there: killed": (
        live(stop_reason=FailureReason.CANCELLED, stopping_seconds=8.1),
        [Stop("1", FailureReason.CANCELLED, force=True)],
    ),
    "finished work is merged first": (live(exited=True, verdict=SUCCESS), [Merge("1")]),
    "and then succeeded": (live(exited=True, verdict=SUCCESS, merged=True), [Succeed("1")]),
    "a merge conflict is a failure that names the files": (
        live(exited=True, verdict=SUCCESS, merge_conflicts=("a.py", "b.py")),
        [
            Fail(
                "1",
                FailureReason.MERGE_CONFLICT,
                "Could not be merged: a.py, b.py. Other changes to the same places were merged first; a retry starts from them.",
                restart=False,
            )
        ],
    ),
    "a failed gate is not restarted by itself": (
        live(exited=True, verdict="gate_failed", message="gate 3"),
        [Fail("1", FailureReason.GATE_FAILED, "gate 3", restart=False)],
    ),
    "a crash is restarted by itself, and blocks nobody meanwhile": (
        live(exited=True, verdict="crashed", message="gone"),
        [Fail("1", FailureReason.CRASHED, "gone", restart=True)],
    ),
    "a result that cannot be read is not restarted by itself": (
        live(exited=True, verdict="bad_result", message="half"),
        [Fail("1", FailureReason.BAD_RESULT, "half", restart=False)],
    ),
    "a failed check of a stage blocks later stages, and no phase of its own stage that is tried again": (
        run(
            task("1", 1),
            task("stage-1", 1, S.FAILED, kind=TaskKind.STAGE_CHECK),
            task("2", 2),
        ),
        [Block("2", "stage-1", "The merged result of stage 1 fails its gates."), Launch("1")],
    ),
    "crashes are restarted so often and not more": (
        run(task("1", 1, S.RUNNING, restarts=2, attempt=attempt(exited=True, verdict="crashed"))),
        [Fail("1", FailureReason.CRASHED, "", restart=False)],
    ),
    "cancel stops what runs and drops what waits": (
        replace(live(), cancel_requested=True),
        [Stop("1", FailureReason.CANCELLED, force=False), Cancel("2")],
    ),
    "cancel before the start": (
        run(task("1", 1), state=RunState.QUEUED, cancel_requested=True),
        [Cancel("1")],
    ),
    "work that was finished counts, although it was cancelled meanwhile": (
        replace(live(exited=True, verdict=SUCCESS), cancel_requested=True),
        [Merge("1"), Cancel("2")],
    ),
    "cancelled when the process is gone": (
        run(task("1", 1, S.RUNNING, attempt=attempt(exited=True, verdict="cancelled")), cancel_requested=True),
        [Cancel("1")],
    ),
    "a stage whose merged tree nobody judged is checked before the next": (
        run(*diamond(S.SUCCEEDED, S.SUCCEEDED, S.SUCCEEDED), unchecked_stages=frozenset({2})),
        [CheckStage(2)],
    ),
    "the next stage waits for the check": (
        run(*diamond(S.SUCCEEDED, S.SUCCEEDED, S.SUCCEEDED), task("s2", 2, S.RUNNING, kind=TaskKind.STAGE_CHECK)),
        [],
    ),
    "a failed check blocks the stages after it": (
        run(*diamond(S.SUCCEEDED, S.SUCCEEDED, S.SUCCEEDED), task("s2", 2, S.FAILED, kind=TaskKind.STAGE_CHECK)),
        [Block("3", "s2", "The merged result of stage 2 fails its gates.")],
    ),
    "all succeeded: the run succeeded": (
        run(*diamond(S.SUCCEEDED, S.SUCCEEDED, S.SUCCEEDED, S.SUCCEEDED)),
        [EndRun(RunEvent.SUCCEED)],
    ),
    "one failed: the run failed": (
        run(*diamond(S.SUCCEEDED, S.FAILED, S.SUCCEEDED, S.BLOCKED)),
        [EndRun(RunEvent.FAIL)],
    ),
    "all ended after a cancel: the run is cancelled": (
        run(task("1", 1, S.SUCCEEDED), task("2", 2, S.CANCELLED), cancel_requested=True),
        [EndRun(RunEvent.CANCEL)],
    ),
    "all succeeded in spite of a cancel: the run succeeded": (
        run(task("1", 1, S.SUCCEEDED), cancel_requested=True),
        [EndRun(RunEvent.SUCCEED)],
    ),
    "an ended run stays as it is": (run(*diamond(), state=RunState.FAILED), []),
}


D = Decimal


def budget(limit: str, spent: str = "0") -> Budget:
    return Budget(D(limit), D(spent))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def costing(name: str, state: TaskState = S.PENDING, reserve: str = "1", **known) -> TaskView:
    """A phase that uses a model: pending with what it would reserve, or at work with what it has reserved."""
    if state is S.PENDING:
        return task(name, 1, reserve_usd=D(reserve))
    return task(name, 1, state, attempt=attempt(reserved_usd=D(reserve), **known))


def limited(**known) -> AttemptView:
    return attempt(exited=True, verdict="rate_limited", message="429", **known)


SPENT = "Stopped for the budget: $4.50 of $5.00 is spent. The next phase reserves $1.00. Raise the budget and resume."
STOPPED = "Stopped for the budget: $4.50 of $5.00 is spent. The phase was stopped; its commits are kept. Raise the budget and resume."
REFUSED = "401. The run was stopped: every phase uses that key. Fix it, then resume."

TABLE |= {
    # Money
    "with a budget each launch takes its reservation, and may spend what nobody has reserved": (
        run(costing("a"), costing("b"), costing("c"), budget=budget("2.50")),
        [Launch("a", D(1), D("1.50")), Launch("b", D(1), D("1.50"))],
    ),
    "with a cap no attempt may spend more than it": (
        run(costing("a"), costing("b"), budget=budget("5"), phase_cap_usd=D(1)),
        [Launch("a", D(1), D(1)), Launch("b", D(1), D(1))],
    ),
    "a cap holds without a budget too": (run(costing("a"), phase_cap_usd=D(1)), [Launch("a", D(1), D(1))]),
    "a launch must fit beside what is spent and what is reserved": (
        run(costing("a", S.RUNNING), costing("b"), budget=budget("2.50", spent="0.51")),
        [],
    ),
    "a launch that fits to the cent is made": (
        run(costing("a", S.RUNNING), costing("b"), budget=budget("2.50", spent="0.50")),
        [Launch("b", D(1), D(1))],
    ),
    "an attempt that has spent more than it reserved counts as what it spent": (
        run(costing("a", S.RUNNING, cost_usd=D("1.60")), costing("b"), budget=budget("2.50")),
        [],
    ),
    "an attempt that is over counts as what it cost": (
        run(costing("a", S.RUNNING, exited=True, verdict=SUCCESS, cost_usd=D("0.10")), costing("b"), budget=budget("1.50")),
        [Merge("a"), Launch("b", D(1), D("1.40"))],
    ),
    "an attempt that is over and whose cost is unknown counts as what it reserved": (
        run(costing("a", S.RUNNING, exited=True, verdict=SUCCESS), costing("b"), budget=budget("1.50")),
        [Merge("a")],
    ),
    "a cheaper phase goes before one that does not fit": (
        run(costing("a", reserve="3"), costing("b"), budget=budget("2")),
        [Launch("b", D(1), D(2))],
    ),
    "a phase that uses no model needs no money": (
        run(costing("a"), task("b", 1), budget=budget("1", spent="1")),
        [Launch("b")],
    ),
    "no money and nothing at work: the run is stopped": (
        run(costing("a"), costing("b"), budget=budget("5", spent="4.50")),
        [Halt(FailureReason.BUDGET, SPENT)],
    ),
    "no money, but a phase backs off and may be cheaper: waits for it": (
        run(costing("a"), task("b", 1, not_before=at(5)), budget=budget("5", spent="4.50")),
        [],
    ),
    "paused: no stop for the budget": (run(costing("a"), budget=budget("5", spent="5"), paused=True), []),
    "stopped for the budget: what waits ends with that reason, and says it": (
        run(costing("a"), task("b", 2, waits_for="a"), halted=Halt(FailureReason.BUDGET, SPENT)),
        [Cancel("a", FailureReason.BUDGET, SPENT), Cancel("b", FailureReason.BUDGET, SPENT)],
    ),
    "stopped for the budget with nothing failed: the run is cancelled, not failed": (
        run(task("1", 1, S.SUCCEEDED), task("2", 2, S.CANCELLED, reason="budget"), halted=Halt(FailureReason.BUDGET, SPENT)),
        [EndRun(RunEvent.CANCEL)],
    ),
    "spent beyond the budget by what is at work: it is told to stop": (
        run(costing("a", S.RUNNING, cost_usd=D("0.60")), task("b", 1, S.RUNNING), budget=budget("5", spent="4.50")),
        [Stop("a", FailureReason.BUDGET, force=False)],
    ),
    "stopped at the end of the budget is no failure of the phase": (
        run(
            costing("a", S.RUNNING, exited=True, verdict="budget", stop_reason=FailureReason.BUDGET, cost_usd=D("0.60")),
            budget=budget("5", spent="4.50"),
            phase_cap_usd=D(1),
        ),
        [Cancel("a", FailureReason.BUDGET, STOPPED)],
    ),
    "an agent that met the end of all that was left: stopped for the budget too": (
        run(costing("a", S.RUNNING, exited=True, verdict="budget"), budget=budget("5", spent="4.50")),
        [Cancel("a", FailureReason.BUDGET, STOPPED)],
    ),
    "a phase that reaches its own cap has failed": (
        run(costing("a", S.RUNNING, exited=True, verdict="budget", message="cap"), budget=budget("5"), phase_cap_usd=D(1)),
        [Fail("a", FailureReason.BUDGET, "cap", restart=False)],
    ),
    "what waits for a phase that was stopped for the budget says so": (
        run(task("1", 1, S.CANCELLED, reason="budget"), task("2", 2, waits_for="1")),
        [Block("2", "1", "Waits for 1, which was stopped for the budget.")],
    ),
    # Rate limits
    "a rate limit pauses until the moment that the provider names": (
        run(task("a", 1, S.RUNNING, attempt=limited(retry_at=at(300))), task("b", 1)),
        [Defer("a", at(300), "429")],
    ),
    "without such a moment it pauses for a while": (
        run(task("a", 1, S.RUNNING, attempt=limited())),
        [Defer("a", at(15), "429")],
    ),
    "and twice as long each time, until something succeeds": (
        run(task("a", 1, S.RUNNING, attempt=limited()), rate_limits=3),
        [Defer("a", at(120), "429")],
    ),
    "but no longer than a quarter of an hour": (
        run(task("a", 1, S.RUNNING, attempt=limited()), rate_limits=300),
        [Defer("a", at(900), "429")],
    ),
    "a moment in the past is no moment (clocks differ)": (
        run(task("a", 1, S.RUNNING, attempt=limited(retry_at=at(-60)))),
        [Defer("a", at(15), "429")],
    ),
    "a moment next month is none to believe": (
        run(task("a", 1, S.RUNNING, attempt=limited(retry_at=at(30 * 86400)))),
        [Defer("a", at(15), "429")],
    ),
    "a second attempt that meets the same limit makes it no longer": (
        run(task("a", 1, S.RUNNING, attempt=limited()), rate_limit=RateLimit(at(-5), at(60)), rate_limits=1),
        [Defer("a", at(60), "429")],
    ),
    "nothing is started during the pause": (run(task("a", 1), rate_limit=RateLimit(at(-5), at(0.1))), []),
    "the pause over: it goes on by itself": (run(task("a", 1), rate_limit=RateLimit(at(-5), at(0))), [Launch("a")]),
    "the clock set back to before the pause: it goes on": (run(task("a", 1), rate_limit=RateLimit(at(1), at(60))), [Launch("a")]),
    "a rate limit in a run that is cancelled: cancelled": (
        run(task("a", 1, S.RUNNING, attempt=limited()), cancel_requested=True),
        [Cancel("a")],
    ),
    "cancel works during the pause": (
        run(task("a", 1), rate_limit=RateLimit(at(-5), at(60)), cancel_requested=True),
        [Cancel("a")],
    ),
    # Faults of the provider
    "an overload is tried again by itself": (
        live(exited=True, verdict="agent_error", fault="transient", message="529"),
        [Fail("1", FailureReason.AGENT_ERROR, "529", restart=True)],
    ),
    "but not for ever": (
        run(task("1", 1, S.RUNNING, restarts=4, attempt=attempt(exited=True, verdict="agent_error", fault="transient"))),
        [Fail("1", FailureReason.AGENT_ERROR, "", restart=False)],
    ),
    "any other error of the agent is not": (
        live(exited=True, verdict="agent_error", message="refusal"),
        [Fail("1", FailureReason.AGENT_ERROR, "refusal", restart=False)],
    ),
    "a refused key lets the run wait, and fails no phase": (
        run(
            task("1", 1, S.RUNNING, attempt=attempt(exited=True, verdict="agent_error", fault="key_refused", message="401")),
            task("2", 1),
        ),
        [Hold("1", "key_refused", NOW + timedelta(seconds=300), "401")],
    ),
    "no network lets it wait for seconds, and longer each time": (
        run(
            task("1", 1, S.RUNNING, attempt=attempt(exited=True, verdict="agent_error", fault="unreachable", message="no")),
            trouble=Trouble("unreachable", NOW - timedelta(seconds=10), NOW, holds=2),
        ),
        [Hold("1", "unreachable", NOW + timedelta(seconds=40), "no")],
    ),
    "several attempts that meet it have one pause": (
        run(
            task("1", 1, S.RUNNING, attempt=attempt(exited=True, verdict="agent_error", fault="unreachable", message="no")),
            trouble=Trouble("unreachable", NOW, NOW + timedelta(seconds=10)),
        ),
        [Hold("1", "unreachable", NOW + timedelta(seconds=10), "no")],
    ),
    "during the pause nothing starts": (
        run(task("1", 1), task("2", 1), trouble=Trouble("no_credit", NOW, NOW + timedelta(seconds=1))),
        [],
    ),
    "after the pause one attempt tries for all": (
        run(task("1", 1), task("2", 1), trouble=Trouble("no_credit", NOW - timedelta(seconds=9), NOW)),
        [Launch("1")],
    ),
    "and while it tries, no other does": (
        run(task("1", 1, S.RUNNING), task("2", 1), trouble=Trouble("no_credit", NOW - timedelta(seconds=9), NOW)),
        [],
    ),
    "a clock that was set back ends the pause": (
        run(task("1", 1), trouble=Trouble("no_credit", NOW + timedelta(days=1), NOW + timedelta(days=2))),
        [Launch("1")],
    ),
    "an overload is tried again first": (
        live(exited=True, verdict="agent_error", fault="overloaded", message="529"),
        [Fail("1", FailureReason.AGENT_ERROR, "529", restart=True)],
    ),
    "an overload for long lets the run wait": (
        run(task("1", 1, S.RUNNING, restarts=4, attempt=attempt(exited=True, verdict="agent_error", fault="overloaded", message="529"))),
        [Hold("1", "overloaded", NOW + timedelta(seconds=60), "529")],
    ),
    "what a person stopped does not wait for the provider": (
        live(stopped_by="anna", exited=True, verdict="agent_error", fault="unreachable", merged=True),
        [Cancel("1", message="Stopped by anna.")],
    ),
}


@pytest.mark.parametrize("rule", TABLE)
def test_decide(rule: str):
    snapshot, expected = TABLE[rule]
    assert decide(snapshot, NOW, POLICY) == expected


@pytest.mark.parametrize(("asking", "expected"), [((True, True), Waiting.PERSON), ((True, False), None), ((False, False), None)])
def test_a_run_waits_for_a_person_when_all_that_is_at_work_asks(asking: tuple[bool, bool], expected: Waiting | None):
    one, two = (task(str(place), 1, S.RUNNING, attempt=attempt(asks=asks)) for place, asks in enumerate(asking))
    assert waiting_for(run(one, two), NOW) is expected


def test_a_jump_of_the_wall_clock_ends_nothing_that_runs():
    snapshot = live(silent_seconds=5.0, running_seconds=50.0)
    assert decide(snapshot, NOW + timedelta(days=1), POLICY) == decide(snapshot, NOW - timedelta(days=1), POLICY) == []


def test_a_chain_of_a_thousand_is_blocked_in_one_go():
    chain = [task("0", 1, S.FAILED)] + [
        TaskView(name=str(n), stage=n + 1, position=n, state=S.PENDING, waits_for=(str(n - 1),)) for n in range(1, 1000)
    ]
    decisions = decide(run(*chain), NOW, POLICY)
    assert [decision.task for decision in decisions] == [str(n) for n in range(1, 1000)]
    assert {decision.because for decision in decisions} == {"0"}


WAITS = {
    "queued": (run(task("a", 1), state=RunState.QUEUED), Waiting.QUEUE),
    "no slot": (run(task("a", 1, S.RUNNING), task("b", 1), max_parallel=1), Waiting.SLOT),
    "no slot on the host": (run(task("a", 1), free_slots=0), Waiting.SLOT),
    "the pause of a rate limit": (run(task("a", 1), rate_limit=RateLimit(at(-1), at(1))), Waiting.RATE_LIMIT),
    "money that is reserved": (run(costing("a", S.RUNNING), costing("b"), budget=budget("1")), Waiting.BUDGET),
    "a person": (run(task("a", 1), paused=True, rate_limit=RateLimit(at(-1), at(1))), Waiting.PERSON),
    "nothing, all that is ready runs": (run(*diamond(S.RUNNING)), None),
    "nothing, for what waits for others is not ready": (run(*diamond(S.RUNNING), paused=True), None),
    "nothing, it is over": (run(task("a", 1, S.SUCCEEDED), state=RunState.SUCCEEDED), None),
    "nothing, it is being cancelled": (run(task("a", 1), cancel_requested=True, paused=True), None),
}


@pytest.mark.parametrize("what", WAITS)
def test_a_run_that_could_start_more_says_what_it_waits_for(what: str):
    snapshot, expected = WAITS[what]
    assert waiting_for(snapshot, NOW) == expected


def test_an_overload_is_given_more_room_each_time_and_a_crash_is_tried_at_once():
    assert [back_off_seconds("agent_error", restarts) for restarts in range(4)] == [2.0, 8.0, 32.0, 60.0]
    assert [back_off_seconds("crashed", restarts) for restarts in range(3)] == [0.5, 1.0, 2.0]
    assert back_off_seconds("crashed", 10_000) == 60.0


def test_a_fault_of_the_machine_puts_the_phase_off_longer_each_time_and_never_fails_it():
    ended = attempt(exited=True, verdict=FailureReason.MACHINE_FAULT, message="No space left on device")
    for faults, seconds in ((0, 10), (3, 80), (99, 3600)):
        snapshot = run(task("1", 1, S.RUNNING, attempt=ended, restarts=99), task("2", 1), machine_faults=faults)
        assert decide(snapshot, NOW, POLICY) == [PutOff("1", NOW + timedelta(seconds=seconds), "No space left on device")]


def test_while_the_machine_does_not_work_nothing_starts_or_is_merged_and_what_runs_goes_on():
    done = attempt(exited=True, verdict=SUCCESS)
    snapshot = run(task("1", 1, S.RUNNING, attempt=done), task("2", 1), task("3", 1, S.RUNNING), put_off=True)
    assert decide(snapshot, NOW, POLICY) == [] and waiting_for(snapshot, NOW) is Waiting.MACHINE
    assert Merge("1") in decide(replace(snapshot, put_off=False), NOW, POLICY)
    assert decide(replace(snapshot, cancel_requested=True), NOW, POLICY)[0] == Stop("3", FailureReason.CANCELLED, force=False)
