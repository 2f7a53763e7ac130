"""Every number of the metrics page, of the checklist and of batch_trends, worked out once more from the raw rows.

The history has what real ones have: retries, failures, cancelled and reopened runs, waits for a person, runs that only judge
gates again, preparations, baselines of several projects, limits that were changed, and unknown tokens and costs. Nothing
here reads a fact: only what happened.
"""

import html
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from batches.core.engine.pricing import input_cost
from batches.core.engine.states import Operation
from batches.core.metrics.text import figure as in_words
from batches.core.metrics.types import Filters, bucket_days, kind_of
from batches.core.metrics.values import in_unit
from batches.core.review.drift import DriftEvidence, measure_drift
from batches.metrics import demo, facts, history
from batches.models import Attempt, GateCheck, PredictedConflict, Project, Run, Task
from tests.batches.builders import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.long]
NOT_CRITICAL = {"budget", "cancelled", "needs_agent"}
WAITS = ("queue", "slot", "rate_limit", "budget", "machine", "person")
TOKENS = {
    "total": "tokens_used",
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
}


@pytest.fixture(scope="module")
def eventful(django_db_setup, django_db_blocker) -> Iterator[datetime]:
    """A history in which everything happens, made once for this module; yields the moment from which it is looked at."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield _make_history(timezone.now())
        transaction.set_rollback(True)


def _make_history(now: datetime) -> datetime:
    demo.make_history(batches=44, seed=11, now=now, days=60)
    rng = random.Random(11)
    for run in Run.objects.order_by("pk"):
        attempts = list(Attempt.objects.filter(task__run=run).order_by("ended_at"))
        if rng.random() < 0.3:  # it lay before its last attempt until a person went on with it
            idle = timedelta(seconds=rng.uniform(30, 4000))
            last = attempts[-1]
            between = max([one.ended_at for one in attempts[:-1]] + [run.started_at])
            between = min(between, last.launched_at)
            for name in ("launched_at", "ready_at", "started_at", "exited_at", "ended_at"):
                setattr(last, name, getattr(last, name) + idle)
            last.save()
            run.ended_at += idle
            run.waited = run.waited | {"person": round(idle.total_seconds(), 3)}
            run.idle = [[between.isoformat(), (between + idle).isoformat()]]
        if run.state == "failed" and rng.random() < 0.4:
            run.state = "cancelled"
            Task.objects.filter(run=run, state="failed").update(state="cancelled", reason="cancelled")
            Attempt.objects.filter(pk=attempts[-1].pk, outcome="failed").update(outcome="cancelled", reason="cancelled")
        if rng.random() < 0.2:  # another limit was in force
            Attempt.objects.filter(task__run=run).update(phase_limit_seconds=1800, silence_seconds=30)
        if rng.random() < 0.2:
            Attempt.objects.filter(task__run=run).update(tokens_used=None, input_tokens=None, cost_usd=None)
        run.waited = run.waited | {"budget": round(rng.random() * 10, 3), "machine": round(rng.random() * 5, 3)}
        run.save()
    for run in Run.objects.order_by("pk")[:6]:
        _copy(run, Operation.GENERATE, "")
        _copy(run, Operation.EXECUTE, "gates")
    Project.objects.filter(name="Demo: search").update(phase_limit_minutes=30, silence_seconds=30)
    facts.rebuild(anew=True)
    return now


def _copy(run: Run, operation: str, selection: str) -> None:
    """Another run of the batch: a preparation with one attempt for each phase, or a judgement of its gates alone."""
    tasks = list(run.tasks.order_by("pk"))
    made = Run.objects.get(pk=run.pk)
    made.pk, made.number, made.operation, made.selection = None, run.batch.runs.count() + 1, operation, selection
    made.state, made.idle, made.waited = "succeeded", [], {"queue": 0.5}
    made.save(force_insert=True)
    if selection == "gates":
        Task.objects.create(run=made, kind="stage_check", stage=tasks[0].stage, name="gates", position=1, state="succeeded")
        return
    for task in tasks:
        own = task.attempts.first()
        task.pk, task.run, task.state, task.reason = None, made, "succeeded", ""
        task.save(force_insert=True)
        if own is not None:
            own.pk, own.task, own.number, own.outcome, own.reason, own.merge_conflicts = None, task, 1, "succeeded", "", None
            own.save(force_insert=True)


# The oracle

SUCCESSES = ("verified", "not_verified", "changed_nothing", "needs_look", "accepted_by_person")


def behind(one: Attempt) -> str:
    """What is behind an execution that succeeded, by docs/gates.md; "" for any other attempt."""
    if one.outcome != "succeeded" or one.task.run.operation != "execute":
        return ""
    result = getattr(one, "result", None)
    if result and one.task.phase.files:
        changed = {*result.files_created, *result.files_modified, *result.files_deleted} - set(result.undeclared)
        if not changed:
            return "changed_nothing"
    checks = list(one.gate_checks.all())
    own = [check for check in checks if check.origin == "plan"] or [check for check in checks if check.origin == "project"]
    return "verified" if any(check.status != "unverified" for check in own) else "not_verified"


def seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered, place = sorted(values), share * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: list[float]) -> dict[str, Any]:
    return {"median": percentile(values, 0.5), "p90": percentile(values, 0.9), "count": len(values)}


def known(values: Any) -> Any:
    found = [value for value in values if value is not None]
    return sum(found) if found else None


def over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


@dataclass
class Told:
    """One run with its attempts, and all that is told of it."""

    run: Run
    attempts: list[Attempt]

    def __post_init__(self) -> None:
        run, done = self.run, [one for one in self.attempts if one.outcome == "succeeded"]
        self.done, self.operation = done, run.operation
        self.seconds = seconds(run.started_at, run.ended_at) - run.waited.get("person", 0.0)
        self.work = sum(seconds(one.launched_at, one.ended_at) for one in self.attempts) if self.attempts else None
        self.phases = len({one.task.phase_id for one in done})
        self.by_hand = len({one.task.phase_id for one in done if "start" in one.spec.get("payload", {})})
        self.tokens = {name: known(getattr(one, column) for one in self.attempts) for name, column in TOKENS.items()}
        self.cost = known(one.cost_usd for one in self.attempts)
        self.hours = known(one.task.phase.hours for one in done if one.task.phase.hours)
        self.hours_seconds = known(seconds(one.launched_at, one.ended_at) for one in done if one.task.phase.hours)
        failed = Task.objects.filter(run=run, state="failed").exclude(reason__in=NOT_CRITICAL).exists()
        self.critical = run.state == "failed" and failed
        drifts = [drift_of(one) for one in done if hasattr(one, "result")] if run.operation == "execute" else []
        self.drift = sum(drifts) / len(drifts) if drifts else None
        gates = GateCheck.objects.filter(attempt__task__run=run)
        self.gates = {word: gates.filter(status=word).count() for word in ("passed", "failed")}
        self.gates["flaky"] = gates.filter(flaky=True).count()
        self.predicted = list(PredictedConflict.objects.filter(run=run).values_list("collided", flat=True))
        self.real = sum(bool(one.merge_conflicts) for one in self.attempts)
        tried = Counter(one.task_id for one in self.attempts if one.outcome != "deferred")
        self.retries = sum(count - 1 for count in tried.values())
        self.stages: dict[int, float] = {}
        for stage in {one.task.stage.number for one in self.attempts}:
            own = [one for one in self.attempts if one.task.stage.number == stage]
            first, last = min(one.launched_at for one in own), max(one.ended_at for one in own)
            idle = sum(
                seconds(max(datetime.fromisoformat(since), first), min(datetime.fromisoformat(until), last)) for since, until in run.idle
            )
            self.stages[stage] = seconds(first, last) - idle

    @property
    def day(self) -> date:
        return self.run.ended_at.astimezone(UTC).date()

    def point(self) -> dict[str, Any]:
        run = self.run
        told = None if run.forecast_seconds is None else [run.forecast_seconds, run.forecast_p90_seconds]
        return {
            "run": run.pk, "batch": run.batch.number, "number": run.number, "title": run.batch.title, "project": run.batch.project.name,
            "operation": run.operation, "state": run.state, "critical": self.critical, "demo": True, "ended_at": run.ended_at.isoformat(),
            "seconds": self.seconds, "work_seconds": self.work, "waits": waits([self]), "tokens": self.tokens, "cost_usd": self.cost,
            "attempts": len(self.attempts), "failed": sum(one.outcome == "failed" for one in self.attempts), "retries": self.retries,
            "phases": self.phases, "by_hand": self.by_hand, "conflicts_predicted": len(self.predicted), "conflicts_real": self.real,
            "gates_passed": self.gates["passed"], "gates_failed": self.gates["failed"], "gates_flaky": self.gates["flaky"],
            "estimated_hours": self.hours, "estimated_seconds": self.hours_seconds, "drift": self.drift, "forecast": told,
            "forecast_runs": run.forecast_runs,
        }  # fmt: skip


def drift_of(attempt: Attempt) -> float:
    result, phase = attempt.result, attempt.task.phase
    changed = (*result.files_created, *result.files_modified, *result.files_deleted)
    took = seconds(attempt.launched_at, attempt.ended_at) / 3600
    steps = (result.total_steps, result.steps_completed)
    return measure_drift(DriftEvidence(tuple(phase.files), changed, tuple(result.files_deleted), *steps, phase.hours, took)).percent


def waits(runs: list[Told]) -> dict[str, float]:
    return {kind: sum(one.run.waited.get(kind, 0.0) for one in runs) for kind in WAITS}


def use(attempts: list[Attempt]) -> dict[str, Any]:
    """The sums over some attempts."""
    reads = [cost for one in attempts if (cost := input_cost(one.model, one.input_tokens, one.cache_write_tokens, one.cache_read_tokens))]
    paid, full = (known(round(getattr(read, name), 6) for read in reads) for name in ("usd", "full_usd"))
    return {
        "failed": [one for one in attempts if one.outcome == "failed"],
        "tokens": {name: known(getattr(one, column) for one in attempts) for name, column in TOKENS.items()},
        "cost": known(one.cost_usd for one in attempts),
        "unpriced": sum(one.cost_usd is None for one in attempts),
        "paid": paid,
        "full": full,
        "saved": None if not full else float(1 - paid / full),
    }


@dataclass
class Oracle:
    """What the history comes to for `filters` at `now`."""

    filters: Filters
    now: datetime

    def __post_init__(self) -> None:
        rows = Attempt.objects.filter(ended_at__isnull=False, task__kind="phase").select_related(
            "task__phase", "task__stage", "task__run__batch__project", "result"
        )
        all_attempts = list(rows.order_by("ended_at", "pk").prefetch_related("gate_checks"))
        of_run: dict[int, list[Attempt]] = defaultdict(list)
        self.first_number: dict[int, int] = {}  # of the attempts at a task that were not put off
        for one in sorted(all_attempts, key=lambda attempt: attempt.number):
            if one.outcome != "deferred":
                self.first_number.setdefault(one.task_id, one.number)
        for one in all_attempts:
            of_run[one.task.run_id].append(one)
        worked = Task.objects.filter(kind="phase").values("run")
        runs = Run.objects.filter(pk__in=worked, ended_at__isnull=False, started_at__isnull=False).select_related("batch__project")
        wanted = self.filters
        about = [run for run in runs.order_by("ended_at", "pk") if self._is_about(run)]
        model = [run for run in about if not wanted.model or any(one.model == wanted.model for one in of_run[run.pk])]
        self.ever = [Told(run, of_run[run.pk]) for run in model]
        ids = {run.pk for run in about}
        tried = [one for one in all_attempts if one.task.run_id in ids and wanted.model in ("", one.model)]
        span = wanted.span(self.now)
        self.span = span
        self.runs, self.attempts = self._within(self.ever, tried, span)
        before = span.before(self.now)
        self.runs_before, self.attempts_before = (None, None) if before is None else self._within(self.ever, tried, before)

    def _is_about(self, run: Run) -> bool:
        wanted = self.filters
        return wanted.operation in ("", run.operation) and wanted.project in ("", run.batch.project.slug)

    @staticmethod
    def _within(runs: list[Told], attempts: list[Attempt], span: Any) -> tuple[list[Told], list[Attempt]]:
        def inside(moment: datetime) -> bool:
            return (span.start is None or moment >= span.start) and (span.end is None or moment < span.end)

        return [one for one in runs if inside(one.run.ended_at)], [one for one in attempts if inside(one.ended_at)]

    def headline_values(self, runs: list[Told], attempts: list[Attempt]) -> dict[str, Any]:
        sums, took = use(attempts), [one.seconds for one in runs]
        costs = [float(one.cost) for one in runs if one.cost is not None]
        used = [one for one in runs if one.tokens["total"] is not None and one.phases]
        tried = Counter((one.task_id) for one in attempts if one.outcome != "deferred")
        first = {one.pk for one in attempts if one.outcome != "deferred" and self._is_first(one)}
        waited = sum(sum(one.run.waited.get(kind, 0.0) for kind in WAITS if kind != "person") for one in runs)
        drifts = [one.drift for one in runs if one.drift is not None]
        return {
            "runs": len(runs),
            "success_share": over(sum(one.run.state == "succeeded" for one in runs), len(runs)),
            "seconds_median": percentile(took, 0.5),
            "seconds_p90": percentile(took, 0.9),
            "cost_usd": None if sums["cost"] is None else float(sums["cost"]),
            "cost_per_batch": percentile(costs, 0.5),
            "tokens": sums["tokens"]["total"],
            "tokens_per_phase": over(sum(one.tokens["total"] for one in used), sum(one.phases for one in used)) if used else None,
            "error_share": over(len(sums["failed"]), len(attempts)),
            "retries": sum(tried.values()) - len(first),
            "speed_up": percentile([one.work / one.seconds for one in runs if one.work is not None and one.seconds], 0.5),
            "estimate_ratio": over((known(one.hours_seconds for one in runs) or 0) / 3600, known(one.hours for one in runs)),
            "wait_share": over(waited, sum(took)),
            "person_seconds": waits(runs)["person"] if runs else None,
            "cache_saved": sums["saved"],
            "drift": sum(drifts) / len(drifts) if drifts else None,
            "flaky_gates": sum(one.gates["flaky"] for one in runs),
            "ideas_usd": None,  # this history has no ideas
        }

    def _is_first(self, attempt: Attempt) -> bool:
        return self.first_number[attempt.task_id] == attempt.number

    def buckets(self) -> list[dict[str, Any]]:
        days = [one.day for one in self.runs] + [one.ended_at.astimezone(UTC).date() for one in self.attempts]
        found = []
        for start, end in bucket_days(min(days), max(days)):
            runs = [one for one in self.runs if start <= one.day < end]
            attempts = [one for one in self.attempts if start <= one.ended_at.astimezone(UTC).date() < end]
            sums, took = use(attempts), [one.seconds for one in runs]
            reasons = Counter(one.reason for one in sums["failed"])
            found.append(
                {
                    "start": start.isoformat(), "end": end.isoformat(), "runs": len(runs),
                    "succeeded": sum(one.run.state == "succeeded" for one in runs), "seconds_median": percentile(took, 0.5),
                    "seconds_p90": percentile(took, 0.9), "waits": waits(runs), "attempts": len(attempts), "failed": len(sums["failed"]),
                    "retries": sum(one.outcome != "deferred" and not self._is_first(one) for one in attempts), "tokens": sums["tokens"],
                    "cost_usd": sums["cost"],
                    "reasons": [list(pair) for pair in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))],
                }
            )  # fmt: skip
        return found

    def phases(self) -> list[dict[str, Any]]:
        kinds: dict[str, list[Attempt]] = defaultdict(list)
        for one in self.attempts:
            kinds[kind_of(one.task.phase.title)].append(one)
        self.kinds = len(kinds)
        found = []
        for kind, tried in kinds.items():
            done = [(seconds(one.launched_at, one.ended_at), one) for one in tried if one.outcome == "succeeded"]
            stopped = [(one.phase_limit_seconds, one) for one in tried if one.outcome == "failed" and one.reason == "phase_time_limit"]
            both = sorted([*done, *stopped], key=lambda pair: (pair[0], pair[1].ended_at, pair[1].pk))
            if not both:
                continue
            sums = use(tried)
            slowest = both[-1][1]
            found.append(
                {
                    "kind": kind, "seconds": spread([taken for taken, _ in both]), "stopped": len(stopped), "attempts": len(tried),
                    "failed": len(sums["failed"]), "cost_usd": sums["cost"], "tokens": sums["tokens"]["total"],
                    "cost_median": percentile([float(one.cost_usd) for one in tried if one.cost_usd is not None], 0.5),
                    "batch": slowest.task.run.batch.number, "key": slowest.task.phase.key,
                }
            )  # fmt: skip
        return sorted(found, key=lambda one: (-one["seconds"]["p90"], one["kind"]))[:20]

    def roles(self) -> list[dict[str, Any]]:
        roles = {"execute": "executor", "generate": "generator", "review": "reviewer", "update_context": "context_updater"}
        groups: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        for one in self.attempts:
            groups[roles[one.task.run.operation], one.model].append(one)
        sums_of = {names: use(tried) for names, tried in groups.items()}
        return [
            {
                "role": names[0], "model": names[1], "attempts": len(groups[names]), "failed": len(sums["failed"]),
                "tokens": sums["tokens"], "cost_usd": sums["cost"], "cost_unknown": sums["unpriced"],
                "input_usd": sums["paid"], "input_full_usd": sums["full"],
            }
            for names, sums in sorted(sums_of.items())
        ]  # fmt: skip

    def saving(self) -> dict[str, Any]:
        operation = self.filters.operation or "execute"
        able = [one for one in self.ever if one.operation == operation and one.tokens["total"] is not None and one.phases]
        first = able[:10]
        ids = {one.run.pk for one in first}
        later = [one for one in able if one.run.pk not in ids and one in self.runs]

        def rate(runs: list[Told]) -> float | None:
            return over(sum(one.tokens["total"] for one in runs), sum(one.phases for one in runs)) if runs else None

        self.later, self.first = later, first
        baseline = rate(first) if len(first) == 10 else None
        saved = use(self.attempts)["saved"]
        return {"baseline": baseline, "baseline_runs": len(first), "now": rate(later), "now_runs": len(later), "cache_saved": saved}

    def criteria(self) -> list[tuple[Any, ...]]:
        """(code, value, met, since, samples) of each."""
        saving = self.saving()
        runs = [one for one in self.runs if one.operation == (self.filters.operation or "execute")]
        streak, since = 0, None
        for one in runs:
            streak, since = (0, since) if one.critical else (streak + 1, one.day if streak + 1 == 10 else since)
        met = True if streak >= 10 else False if any(one.critical for one in runs[-10:]) else None
        found = [("no_critical_failure", streak if runs else None, met, since.isoformat() if met and since else None, len(runs))]
        took = [(one.day, one.seconds, 1) for one in runs]
        found.append(("mean_duration", *self._mean(took, lambda mean: mean < 3 * 3600), len(runs)))
        if saving["baseline"] and saving["now"] is not None:
            spent = [(one.day, one.tokens["total"], one.phases) for one in self.later]
            _, met, since = self._mean(spent, lambda mean: mean <= 0.6 * saving["baseline"])
            found.append(("tokens_below_baseline", 1 - saving["now"] / saving["baseline"], met, since, len(self.later)))
        else:
            samples = saving["baseline_runs"] if saving["baseline"] is None else len(self.later)
            found.append(("tokens_below_baseline", None, None, None, samples))
        hands = [(one.day, one.by_hand, one.phases) for one in runs]
        found.append(("resolved_by_hand", *self._mean(hands, lambda share: share < 0.01), sum(one.phases for one in runs)))
        return found

    @staticmethod
    def _mean(parts: list[tuple[date, float, int]], good: Any) -> tuple[Any, ...]:
        """(mean, met, since when it has been good as of each run)"""
        since = None
        for at in range(len(parts)):
            total, count = (sum(part[column] for part in parts[: at + 1]) for column in (1, 2))
            if count:
                since = (since or parts[at][0]) if good(total / count) else None
        count = sum(part[2] for part in parts)
        if not count:
            return None, None, None
        return sum(part[1] for part in parts) / count, since is not None, since.isoformat() if since else None

    def whole(self) -> dict[str, Any]:
        """As history.to_json has it, but for filters, choices, findings and sentences."""
        runs, attempts = self.runs, self.attempts
        now, before = self.headline_values(runs, attempts), None
        if self.runs_before is not None and self.attempts_before is not None:
            before = self.headline_values(self.runs_before, self.attempts_before)
        failed, failed_before = (Counter(one.reason for one in use(some or [])["failed"]) for some in (attempts, self.attempts_before))
        stages: dict[int, list[float]] = defaultdict(list)
        for one in runs:
            for stage, took in one.stages.items():
                stages[stage].append(took)
        predicted = [collided for one in runs for collided in one.predicted]
        ratios: dict[str, list[Attempt]] = defaultdict(list)
        for one in attempts:
            if one.outcome == "succeeded" and one.task.phase.hours:
                ratios[one.task.phase.complexity].append(one)
        told = [one for one in runs if one.run.state == "succeeded" and one.run.forecast_seconds]
        phases = self.phases()
        kinds = Counter(behind(one) for one in attempts)
        return {
            "runs": len(runs),
            "attempts": len(attempts),
            "successes": [(kind, kinds[kind]) for kind in SUCCESSES if kinds[kind]],
            "recent_runs": len(runs),
            "recent_attempts": len(attempts),
            "headlines": [(code, value, None if before is None else before[code]) for code, value in now.items()],
            "batches": [one.point() for one in runs],
            "batches_left": 0,
            "buckets": self.buckets(),
            "seconds": spread([one.seconds for one in runs]),
            "cost": spread([float(one.cost) for one in runs if one.cost is not None]),
            "speed_up": spread([one.work / one.seconds for one in runs if one.work is not None and one.seconds]),
            "stages": [{"stage": stage, "seconds": spread(stages[stage])} for stage in sorted(stages)],
            "phases": phases,
            "kinds": self.kinds,
            "roles": self.roles(),
            "errors": [
                {
                    "reason": reason, "count": count, "share": count / sum(failed.values()),
                    "before": None if before is None else failed_before[reason],
                }
                for reason, count in sorted(failed.items(), key=lambda pair: (-pair[1], pair[0]))
            ],
            "waits": waits(runs),
            "waits_before": None if self.runs_before is None else waits(self.runs_before),
            "conflicts": {
                "predicted": len(predicted), "came_true": predicted.count(True), "false_alarms": predicted.count(False),
                "undecided": predicted.count(None), "real": sum(one.real for one in runs), "by_hand": sum(one.by_hand for one in runs),
                "phases": sum(one.phases for one in runs),
            },
            "calibration": [
                {
                    "complexity": name,
                    "ratio": spread([seconds(a.launched_at, a.ended_at) / 3600 / a.task.phase.hours for a in ratios[name]]),
                    "estimated_hours": sum(a.task.phase.hours for a in ratios[name]),
                    "actual_hours": sum(seconds(a.launched_at, a.ended_at) / 3600 for a in ratios[name]),
                }
                for name in ("low", "medium", "high") if name in ratios
            ],
            "saving": self.saving(),
            "forecasts": {
                "runs": len(told), "below_median": sum(one.seconds <= one.run.forecast_seconds for one in told),
                "within": sum(one.seconds <= one.run.forecast_p90_seconds for one in told),
                "ratio": spread([one.seconds / one.run.forecast_seconds for one in told]),
            },
            "criteria": self.criteria(),
        }  # fmt: skip


def same(shown: Any, expected: Any, place: str = "history") -> None:
    """Compare every number; a member that only one side has is a number that nobody worked out."""
    if isinstance(expected, dict):
        assert isinstance(shown, dict) and shown.keys() == expected.keys(), f"{place}: {shown} {expected}"
        for name, value in expected.items():
            same(shown[name], value, f"{place}.{name}")
    elif isinstance(expected, (list, tuple)):
        assert len(shown) == len(expected), f"{place}: {shown} {expected}"
        for at, value in enumerate(expected):
            same(shown[at], value, f"{place}[{at}]")
    elif isinstance(expected, (float, Decimal)) or isinstance(shown, float):
        assert shown is not None and expected is not None, f"{place}: {shown} {expected}"
        assert float(shown) == pytest.approx(float(expected), rel=1e-5, abs=1e-5), place
    else:
        assert shown == expected, f"{place}: {shown!r} {expected!r}"


def looked_at(now: datetime) -> dict[str, Filters]:
    middle, last = ((now - timedelta(days=days)).date() for days in (30, 10))
    return {
        "all": Filters(period="all"),
        "30 days": Filters(),
        "a range": Filters(period="range", start=middle, end=last),
        "one project": Filters(period="all", project="demo-billing"),
        "one model": Filters(period="all", model="sonnet"),
        "any operation": Filters(period="all", operation=""),
        "preparations": Filters(period="all", operation="generate"),
    }


@pytest.mark.parametrize("case", ["all", "30 days", "a range", "one project", "one model", "any operation", "preparations"])
def test_every_number_is_that_of_the_raw_rows(eventful, case):
    filters = looked_at(eventful)[case]
    shown = history.to_json(history.read_history(filters, eventful))
    expected = Oracle(filters, eventful).whole()
    beside = {"filters", "now", "span", "demo", "demo_exists", "findings", "choices"}
    shown["headlines"] = [(one["code"], one["value"], one["before"]) for one in shown["headlines"]]
    shown["criteria"] = [tuple(one[name] for name in ("code", "value", "met", "since", "samples")) for one in shown["criteria"]]
    same({name: value for name, value in shown.items() if name not in beside}, expected)


def test_the_page_and_the_command_show_these_numbers(eventful, client, capsys):
    filters = Filters(period="all")
    oracle = Oracle(filters, eventful)
    values, criteria = oracle.headline_values(oracle.runs, oracle.attempts), oracle.criteria()
    read = history.read_history(filters, eventful)
    client.force_login(make_user())
    text = " ".join(client.get("/metrics/?period=all").content.decode().split())
    page = html.unescape(re.sub(r" ?(<[^>]+>) ?", r"\1", text))
    call_command("batch_trends", "--period", "all")
    printed = capsys.readouterr().out
    for one in read.headlines:
        assert f"<dt>{one.name}</dt><dd>{in_unit(values[one.code], one.unit)}</dd>" in page, one.code
        assert f"{one.name[:42]:<42}  {in_words(values[one.code], one.unit)}" in printed, one.code
    for one, (code, value, _, _, samples) in zip(read.criteria, criteria, strict=True):
        assert f"{one.text}: {in_words(value, one.unit)} (" in printed, code
        assert f'{one.text}</span><span class="num strong">{in_unit(value, one.unit)}</span>' in page, code
        assert f"{samples:,} {one.basis}" in page, code
    whole = oracle.whole()
    for slow in whole["phases"][:10]:
        assert slow["kind"][:42] in printed and f", {slow['seconds']['count']}\n" in printed
    for stage in whole["stages"]:
        told, number = stage["seconds"], stage["stage"]
        assert f"{f'Stage {number}':<42}  {in_words(told['median'], 'seconds')}, {in_words(told['p90'], 'seconds')}" in printed
    for error in whole["errors"]:
        assert f"{error['reason'].replace('_', ' '):<42}  {error['count']} ({error['share']:.0%})" in printed
    met, told = whole["conflicts"], whole["forecasts"]
    assert f"{met['real']} attempts could not be merged; {met['by_hand']} of {met['phases']} phases were resolved by hand" in printed
    assert f"{told['within']} of {told['runs']} runs took no longer than forecast (p90), {told['below_median']} less" in printed


def test_the_tables_of_the_page_hold_these_numbers(eventful, client):
    whole = Oracle(Filters(period="all"), eventful).whole()
    client.force_login(make_user())

    def table(name: str) -> list[dict[str, Any]]:
        return client.get(f"/metrics/{name}.json?period=all").json()["rows"]

    spans = whole["buckets"]
    percentiles = ("seconds_median", "seconds_p90")
    over_days = {
        "duration": [{"from": b["start"], "runs": b["runs"], **{name: b[name] for name in percentiles}} for b in spans],
        "waiting": [{"from": b["start"], "runs": b["runs"], **{f"{kind}_seconds": b["waits"][kind] for kind in WAITS}} for b in spans],
        "cost": [{"from": b["start"], "runs": b["runs"], "cost_usd": b["cost_usd"]} for b in spans],
        "retries": [{"from": b["start"], "runs": b["runs"], "retries": b["retries"], "attempts": b["attempts"]} for b in spans],
        "error_rate": [
            {"from": b["start"], "attempts": b["attempts"], "failed": b["failed"], "error_share": over(b["failed"], b["attempts"])}
            for b in spans
        ],
    }  # fmt: skip
    for name, expected in over_days.items():
        same(table(name), expected, name)
    same([row["tokens"] for row in table("tokens")], [b["tokens"]["total"] for b in spans], "tokens")
    rows = [[s["stage"], s["seconds"]["median"]] for s in whole["stages"]]
    same([[row["stage"], row["seconds_median"]] for row in table("stages")], rows, "stages")
    slow = [[row["seconds_p90"], row["runs"], row["failed"], row["stopped"], row["slowest_batch"]] for row in table("slowest_phases")]
    expected = [[p["seconds"]["p90"], p["seconds"]["count"] - p["stopped"], p["failed"], p["stopped"], p["batch"]] for p in whole["phases"]]
    same(slow, expected[:10], "slowest_phases")
    points = whole["batches"]
    same([row["speed_up_ratio"] for row in table("speed_up")], [p["work_seconds"] / p["seconds"] for p in points], "speed_up")
    told = [p for p in points if p["forecast"] and p["state"] == "succeeded"]
    rows = [[p["batch"], p["seconds"], "yes" if p["seconds"] <= p["forecast"][1] else "no"] for p in told]
    same([[row["batch"], row["seconds"], row["within"]] for row in table("forecasts")], rows, "forecasts")
    used = [p for p in points if p["tokens"]["total"] is not None and p["phases"]]
    base = whole["saving"]["baseline"]
    rows = [[p["tokens"]["total"] / p["phases"], 1 - p["tokens"]["total"] / p["phases"] / base] for p in used]
    same([[row["tokens_per_phase"], row["saved_share"]] for row in table("saving")], rows, "saving")
    rows = [[p["estimated_hours"], p["estimated_seconds"]] for p in points if p["estimated_hours"]]
    same([[row["estimated_hours"], row["actual_seconds"]] for row in table("estimates")], rows, "estimates")
    used = [r for r in whole["roles"] if r["tokens"]["total"]]
    shares = [float(1 - r["input_usd"] / r["input_full_usd"]) for r in used]
    rows = [[r["attempts"], r["tokens"]["total"], r["cost_usd"], saved] for r, saved in zip(used, shares, strict=True)]
    same([[row["attempts"], row["tokens"], row["cost_usd"], row["cache_saved_share"]] for row in table("subagents")], rows, "subagents")
    same([[row["failed"], row["share"]] for row in table("errors")], [[e["count"], e["share"]] for e in whole["errors"]], "errors")
    same([sum(row[e["reason"]] for row in table("error_types")) for e in whole["errors"]], [e["count"] for e in whole["errors"]])
    rows = [[c["ratio"]["median"], c["ratio"]["count"], c["estimated_hours"], c["actual_hours"]] for c in whole["calibration"]]
    found = [[row["ratio_median"], row["phases"], row["estimated_hours"], row["actual_hours"]] for row in table("calibration")]
    same(found, rows, "calibration")
    names = ("came_true", "false_alarms", "undecided", "real", "by_hand")
    same([row["count"] for row in table("conflicts")], [whole["conflicts"][name] for name in names], "conflicts")
    dear = sorted((p for p in whole["phases"] if p["cost_usd"]), key=lambda p: -p["cost_usd"])[:10]
    same([[row["cost_usd"], row["attempts"]] for row in table("phase_cost")], [[p["cost_usd"], p["attempts"]] for p in dear], "phase_cost")


def test_a_finding_about_a_limit_counts_the_attempts_under_the_limit_of_today(eventful):
    read = history.read_history(Filters(period="all"), eventful)
    limits = {project.slug: project.phase_limit_seconds for project in Project.objects.all()}
    found = [one for one in read.findings if one.code == "phase_time_limit_common"]
    assert found
    for one in found:
        tried = [a for a in Oracle(read.filters, eventful).attempts if a.task.run.batch.project.slug == one.project]
        tried = [a for a in tried if a.outcome in ("succeeded", "failed") and a.phase_limit_seconds == limits[one.project]]
        assert (one.count, one.sample) == (sum(a.reason == "phase_time_limit" for a in tried), len(tried))
