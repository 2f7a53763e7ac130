"""Runs of any shape with any faults, as a state machine over `decide` and the transition table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batches.core.engine import decide as core
from batches.core.engine.budget import Budget
from batches.core.engine.states import (
    ENDED_TASK_STATES,
    LIVE_TASK_STATES,
    RunEvent,
    RunState,
    TaskEvent,
    TaskKind,
    TaskState,
    next_run_state,
    next_state,
)

POLICY = core.Policy(crash_restarts=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
LIVE_RUN = (RunState.QUEUED, RunState.RUNNING)


class RunMachine(RuleBasedStateMachine):
    """Rows in memory, `decide` and the real table; the world (processes, merges) is drawn by the rules."""

    @initialize(
        edges=st.lists(st.integers(min_value=0, max_value=2**8 - 1), min_size=1, max_size=8),
        parallel=st.integers(min_value=1, max_value=4),
        by_stage=st.booleans(),
        fail_fast=st.booleans(),
        cents=st.none() | st.integers(min_value=0, max_value=600),
        capped=st.booleans(),
        repairs=st.integers(min_value=0, max_value=3),
        reserves=st.lists(st.sampled_from([None, 50, 100, 200]), min_size=8, max_size=8),
    )
    def begin(
        self,
        edges: list[int],
        parallel: int,
        by_stage: bool,
        fail_fast: bool,
        cents: int | None,
        capped: bool,
        repairs: int,
        reserves: list[int | None],
    ) -> None:
        stages: list[int] = []
        tasks: list[core.TaskView] = []
        for index, bits in enumerate(edges):
            depends_on = [n for n in range(index) if bits >> n & 1]
            stages.append(1 + max((stages[n] for n in depends_on), default=0))
            waits_for = tuple(str(n) for n in depends_on)
            reserve = None if reserves[index] is None or cents is None else Decimal(100 if capped else reserves[index]) / 100
            tasks.append(
                core.TaskView(str(index), stages[index], index, TaskState.PENDING, waits_for=waits_for, reserve_usd=reserve)
            )
        self.parallel = parallel  # a rate limit lowers what is launched, and ends nothing
        self.limit = None if cents is None else Decimal(cents) / 100
        self.capped = capped and cents is not None
        self.spent = Decimal(0)
        self.most: dict[str, Decimal | None] = {}
        self.rate_limit: core.RateLimit | None = None
        self.rate_limits = 0
        self.trouble: core.Trouble | None = None
        self.halted: core.Halt | None = None
        self.run_state = RunState.QUEUED
        self.tasks = {task.name: task for task in tasks}
        self.options = {"max_parallel": parallel, "by_stage": by_stage, "fail_fast": fail_fast, "repairs": repairs}
        self.flags = {"paused": False, "cancel_requested": False}
        self.now = START
        self.merges: dict[str, int] = {}
        self.checked: set[int] = set()

    # The world

    def snapshot(self) -> core.Snapshot:
        return core.Snapshot(
            state=self.run_state,
            tasks=tuple(self.tasks.values()),
            unchecked_stages=frozenset(self._unchecked()),
            budget=None if self.limit is None else Budget(self.limit, self.spent),
            phase_cap_usd=Decimal(1) if self.capped else None,
            rate_limit=self.rate_limit,
            rate_limits=self.rate_limits,
            trouble=self.trouble,
            halted=self.halted,
            **self.options,
            **self.flags,
        )

    def _unchecked(self) -> set[int]:
        merged: dict[int, int] = {}
        for task in self.tasks.values():
            if task.kind is TaskKind.PHASE and task.state is TaskState.SUCCEEDED:
                merged[task.stage] = merged.get(task.stage, 0) + 1
        ended = {stage for stage in merged if all(t.state in ENDED_TASK_STATES for t in self.tasks.values() if t.stage == stage)}
        return {stage for stage, count in merged.items() if count > 1 and stage in ended and stage not in self.checked}

    def live(self) -> list[core.TaskView]:
        return [task for task in self.tasks.values() if task.state in LIVE_TASK_STATES]

    def _at_work(self) -> int:
        return sum(not task.attempt.exited for task in self.live())

    def _set(self, name: str, **changes: object) -> None:
        self.tasks[name] = replace(self.tasks[name], **changes)

    def _move(self, name: str, event: TaskEvent, **changes: object) -> None:
        self._set(name, state=next_state(self.tasks[name].state, event), **changes)

    @rule()
    def advance(self) -> None:
        for _ in range(200):
            decisions = core.decide(self.snapshot(), self.now, POLICY)
            if not decisions:
                return
            for decision in decisions:
                self._apply(decision)
        raise AssertionError("decide never comes to rest")

    def _apply(self, decision: core.Decision) -> None:
        match decision:
            case core.StartRun():
                self.run_state = next_run_state(self.run_state, RunEvent.START)
            case core.EndRun(event):
                self.run_state = next_run_state(self.run_state, event)
            case core.Launch(name, reserve, most):
                task = self.tasks[name]
                assert all(self.tasks[dep].state is TaskState.SUCCEEDED for dep in task.waits_for), "started before its dependencies"
                assert task.attempt is None, "two live attempts"
                assert not self.flags["paused"] and not self.flags["cancel_requested"] and self.halted is None
                assert self.trouble is None or not self.trouble.waits(self.now), "started during the pause of a provider in trouble"
                assert self.trouble is None or not self._at_work(), "two try a provider in trouble"
                assert self.rate_limit is None or not self.rate_limit.holds(self.now), "started during the pause of a rate limit"
                assert reserve == task.reserve_usd
                self.most[name] = most
                attempt = core.AttemptView(number=1, launched_seconds=0.0, reserved_usd=reserve)
                self._move(name, TaskEvent.LAUNCH, attempt=attempt, not_before=None)
                assert self._at_work() <= self.options["max_parallel"]
                assert self.limit is None or not reserve or core.committed_usd(self.snapshot()) <= self.limit, "started without the money"
            case core.Stop(name, reason, _force):
                self._set(name, attempt=replace(self.tasks[name].attempt, stop_reason=reason))
            case core.Merge(name):
                self.merges[name] = self.merges.get(name, 0) + 1
                self._set(name, attempt=replace(self.tasks[name].attempt, merged=True))
            case core.Succeed(name):
                self._pay(name)
                self.rate_limits = 0
                self.trouble = None
                self._move(name, TaskEvent.SUCCEED, attempt=None)
            case core.Hold(name, fault, until, _message):
                self._pay(name)
                assert self.now < until <= self.now + timedelta(seconds=3600) and fault == self.tasks[name].attempt.fault
                if self.trouble is None or not self.trouble.waits(self.now):
                    self.trouble = core.Trouble(fault, self.now, until, 1 + (self.trouble.holds if self.trouble else 0))
                self._move(name, TaskEvent.DEFER, attempt=None)
            case core.Defer(name, until, _message):
                self._pay(name)
                assert self.now < until <= self.now + timedelta(seconds=core.MAX_RATE_LIMIT_SECONDS)
                self._move(name, TaskEvent.DEFER, attempt=None)
                if self.rate_limit is None or not self.rate_limit.holds(self.now):
                    self.rate_limits += 1
                    self.rate_limit = core.RateLimit(self.now, until)
                    self.options["max_parallel"] = max(1, self.options["max_parallel"] // 2)
                else:
                    self.rate_limit = replace(self.rate_limit, until=max(until, self.rate_limit.until))
            case core.Halt(reason, _message):
                assert self.halted is None
                assert reason != "budget" or not self.live(), "stopped for the budget although something at work may cost less"
                self.halted = decision
            case core.Repair(name, number, of, _message):
                task = self.tasks[name]
                assert task.attempt.verdict == "gate_failed" and number == task.repairs + 1 <= of == self.options["repairs"]
                assert not self.flags["cancel_requested"] and self.halted is None
                self._pay(name)
                seconds, usd = task.rounds_seconds + task.attempt.running_seconds, task.rounds_usd + (task.attempt.cost_usd or Decimal(0))
                self._move(name, TaskEvent.REPAIR, attempt=None, repairs=number, rounds_seconds=seconds, rounds_usd=usd)
            case core.Fail(name, reason, _message, restart):
                task = self.tasks[name]
                if reason == "gate_failed" and task.attempt.repairable and self.limit is None and not task.attempt.stop_reason:
                    assert task.repairs >= self.options["repairs"], "failed although a round of repair was left"
                self._pay(name)
                self._move(name, TaskEvent.FAIL, attempt=None, reason=reason)
                if restart:
                    later = self.now + timedelta(seconds=1)
                    self._move(name, TaskEvent.RETRY, reason="", restarts=self.tasks[name].restarts + 1, not_before=later)
            case core.Cancel(name, reason, _message):
                if self.tasks[name].attempt is not None:
                    self._pay(name)
                self._move(name, TaskEvent.CANCEL, attempt=None, reason=reason)
            case core.Block(name, because, _message):
                assert self.tasks[because].state in (TaskState.FAILED, TaskState.CANCELLED), "blocked by something that is well"
                self._move(name, TaskEvent.BLOCK, blocked_by=because)
            case core.CheckStage(stage):
                name = f"check-{stage}-{len(self.tasks)}"
                self.checked.add(stage)
                self.tasks[name] = core.TaskView(name, stage, 99, TaskState.PENDING, TaskKind.STAGE_CHECK)

    def _pay(self, name: str) -> None:
        """What the rows say once an attempt is settled: its cost, or its reservation when nobody knows."""
        attempt = self.tasks[name].attempt
        if attempt.started:
            self.spent += (attempt.reserved_usd or Decimal(0)) if attempt.cost_usd is None else attempt.cost_usd

    @precondition(lambda self: hasattr(self, "tasks") and self.live())
    @rule(
        pick=st.randoms(use_true_random=False),
        verdict=st.sampled_from([core.SUCCESS, core.SUCCESS, core.SUCCESS, "gate_failed", "crashed", "budget"]),
        unknown=st.booleans(),
    )
    def process_ends(self, pick, verdict: str, unknown: bool) -> None:
        task = pick.choice(self.live())
        if not task.attempt.exited:
            said = task.attempt.stop_reason if task.attempt.stop_reason and verdict != core.SUCCESS else verdict
            if unknown and task.attempt.cost_usd is None:
                self._end(task, said)
            else:
                self._end(task, said, cost_usd=task.attempt.cost_usd or Decimal(0))

    def _end(self, task: core.TaskView, verdict: str, **known: object) -> None:
        nothing_to_merge = task.kind is TaskKind.STAGE_CHECK
        known |= {"repairable": task.kind is TaskKind.PHASE}
        attempt = replace(task.attempt, started=True, exited=True, verdict=verdict, merged=nothing_to_merge, **known)
        self._set(task.name, attempt=attempt)

    @precondition(lambda self: hasattr(self, "tasks") and self.live())
    @rule(pick=st.randoms(use_true_random=False), seconds=st.none() | st.sampled_from([-100, 1, 30, 10_000, 10**7]))
    def provider_limits_the_rate(self, pick, seconds: int | None) -> None:
        task = pick.choice(self.live())
        if not task.attempt.exited and task.kind is TaskKind.PHASE:
            retry_at = None if seconds is None else self.now + timedelta(seconds=seconds)
            self._end(task, task.attempt.stop_reason or "rate_limited", retry_at=retry_at, cost_usd=task.attempt.cost_usd or Decimal(0))

    @precondition(lambda self: hasattr(self, "tasks") and self.live())
    @rule(pick=st.randoms(use_true_random=False), fault=st.sampled_from(["transient", "overloaded", "key_refused", "unreachable"]))
    def provider_fails(self, pick, fault: str) -> None:
        task = pick.choice(self.live())
        if not task.attempt.exited and task.kind is TaskKind.PHASE:
            self._end(task, "agent_error", fault=fault, cost_usd=task.attempt.cost_usd or Decimal(0))

    @precondition(lambda self: hasattr(self, "tasks") and self.live())
    @rule(pick=st.randoms(use_true_random=False), share=st.sampled_from([Decimal("0.5"), Decimal(1)]))
    def agent_spends(self, pick, share: Decimal) -> None:
        """Up to what its launch said is the most, and no further: agents keep that themselves."""
        task = pick.choice(self.live())
        most = self.most.get(task.name)
        if not task.attempt.exited and most is not None:
            cost = max(task.attempt.cost_usd or Decimal(0), most * share)
            self._set(task.name, attempt=replace(task.attempt, started=True, cost_usd=cost))

    @precondition(lambda self: hasattr(self, "tasks") and self.live())
    @rule(pick=st.randoms(use_true_random=False))
    def process_falls_silent(self, pick) -> None:
        task = pick.choice(self.live())
        if not task.attempt.exited:
            self._set(task.name, attempt=replace(task.attempt, started=True, silent_seconds=1e6))

    @rule()
    def time_passes(self) -> None:
        self.now += timedelta(seconds=10)

    @rule(days=st.sampled_from([-1, 1]))
    def wall_clock_jumps(self, days: int) -> None:
        self.now += timedelta(days=days)
        ended = [d for d in core.decide(self.snapshot(), self.now, POLICY) if isinstance(d, core.Stop)]
        still = [d for d in core.decide(self.snapshot(), self.now - timedelta(days=days), POLICY) if isinstance(d, core.Stop)]
        assert ended == still

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.flags["paused"] = paused

    @rule()
    def cancel(self) -> None:
        if self.run_state in LIVE_RUN:
            self.flags["cancel_requested"] = True

    @rule(more=st.integers(min_value=0, max_value=300))
    def raise_the_budget(self, more: int) -> None:
        if self.limit is not None:
            self.limit += Decimal(more) / 100

    @precondition(lambda self: getattr(self, "run_state", None) in (RunState.FAILED, RunState.CANCELLED))
    @rule()
    def retry(self) -> None:
        for task in list(self.tasks.values()):
            if task.state in (TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED):
                rounds = {"repairs": 0, "rounds_seconds": 0.0, "rounds_usd": Decimal(0)}
                self._move(task.name, TaskEvent.RETRY, reason="", blocked_by="", restarts=0, not_before=None, **rounds)
        self.flags = {"paused": False, "cancel_requested": False}
        self.halted, self.rate_limits, self.trouble = None, 0, None
        self.run_state = next_run_state(self.run_state, RunEvent.REOPEN)

    # What always holds

    @invariant()
    def nothing_runs_before_what_it_depends_on(self) -> None:
        for task in self.live() if hasattr(self, "tasks") else ():
            assert all(self.tasks[name].state is TaskState.SUCCEEDED for name in task.waits_for)

    @invariant()
    def a_live_task_has_an_attempt_and_no_other_has(self) -> None:
        for task in getattr(self, "tasks", {}).values():
            assert (task.attempt is not None) == (task.state in LIVE_TASK_STATES)

    @invariant()
    def never_more_at_once_than_allowed(self) -> None:
        if hasattr(self, "tasks"):
            assert self._at_work() <= self.parallel

    @invariant()
    def with_a_cap_the_budget_is_never_overspent(self) -> None:
        if hasattr(self, "tasks") and self.limit is not None and self.capped and self.spent:
            assert core.committed_usd(self.snapshot()) <= self.limit

    @invariant()
    def a_stopped_run_says_why_of_each_phase_that_it_did_not_do(self) -> None:
        if getattr(self, "halted", None) is not None and self.run_state not in LIVE_RUN and not self.flags["cancel_requested"]:
            undone = [task for task in self.tasks.values() if task.state is TaskState.CANCELLED]
            assert all(task.reason for task in undone)

    @invariant()
    def no_phase_has_more_repairs_than_allowed(self) -> None:
        for task in getattr(self, "tasks", {}).values():
            assert task.repairs <= self.options["repairs"]

    @invariant()
    def merged_once_and_only_if_it_succeeds(self) -> None:
        for name, count in getattr(self, "merges", {}).items():
            assert count == 1
            assert self.tasks[name].state in (*LIVE_TASK_STATES, TaskState.SUCCEEDED)

    @invariant()
    def an_ended_run_has_ended_tasks_only(self) -> None:
        if getattr(self, "run_state", RunState.QUEUED) not in LIVE_RUN:
            assert all(task.state in ENDED_TASK_STATES for task in self.tasks.values())
            if self.run_state is RunState.SUCCEEDED:
                assert {task.state for task in self.tasks.values()} == {TaskState.SUCCEEDED}

    def teardown(self) -> None:
        """Every run ends: once nothing more is asked and every process ends, so does the run."""
        if not hasattr(self, "tasks"):
            return
        self.flags["paused"] = False
        for _ in range(500):
            self.advance()
            if self.run_state not in LIVE_RUN:
                return
            self.now += timedelta(days=3)
            for task in self.live():
                if not task.attempt.exited:
                    self._end(task, task.attempt.stop_reason or core.SUCCESS, cost_usd=task.attempt.cost_usd or Decimal(0))
        raise AssertionError(f"the run never ends: {self.tasks}")


RunMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRun = pytest.mark.long(RunMachine.TestCase)
