"""A believable history to look at before there is one: made up, marked as such (Project.demo), and removed without a trace.

Rows alone: no process is started and no repository exists, so nothing of it can be executed. What is hidden in it to be
found is in TRUTHS; with none of them there is nothing but chance.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import CASCADE, PROTECT, Max

from batches.core.engine.pricing import BY_COMPLEXITY, MODELS
from batches.core.engine.states import FailureReason, Operation, RunState, TaskState
from batches.metrics.bulk import insert, new_ids
from batches.metrics.facts import record_attempts, record_runs
from batches.models import Attempt, Batch, GateCheck, Phase, Plan, PredictedConflict, Project, Result, Run, Stage, Task

Row = dict[str, Any]

CHUNK = 100  # batches in one transaction, so that nobody waits long for the database
FIRST_NUMBER = 900_001  # of its batches: the numbers of real ones go on as if there were none
SLOTS = 4
NAMES = ("Demo: web shop", "Demo: billing", "Demo: search")

SLOW = "slow_phase"  # "Move the data" takes four times what others of its size take
RISING = "rising_error"  # agent errors become common in the last third
ESTIMATES = "bad_estimator"  # in billing, phases of high complexity take 2.5 times as much of their estimate as others
LONG = "long_phases"  # phases over 4 h run into the time limit
COLLISIONS = "conflicts"  # in the web shop phases side by side often collide
TRUTHS = frozenset({SLOW, RISING, ESTIMATES, LONG, COLLISIONS})


@dataclass(frozen=True, slots=True)
class Work:
    """One phase of a made-up plan; `needs` are places in the list before it."""

    title: str
    complexity: str
    hours: float
    file: str
    needs: tuple[int, ...] = ()


PLANS: tuple[tuple[str, tuple[Work, ...]], ...] = (
    (
        "Coupons at the checkout",
        (
            Work("Describe the rules of coupons", "low", 1, "docs/coupons.md"),
            Work("Add the tables of coupons", "medium", 2, "shop/models.py", (0,)),
            Work("Move the data", "medium", 2, "shop/migrations/", (1,)),
            Work("Redeem a coupon", "high", 4, "shop/checkout.py", (1,)),
            Work("Show the discount", "medium", 2, "shop/templates/cart.html", (1,)),
            Work("Write the tests", "medium", 3, "tests/test_coupons.py", (2, 3, 4)),
            Work("Write the guide", "low", 1, "docs/guide.md", (3, 4)),
        ),
    ),
    (
        "Invoices as PDF",
        (
            Work("Choose the fields of an invoice", "low", 1, "docs/invoice.md"),
            Work("Lay out the page", "medium", 3, "billing/layout.py", (0,)),
            Work("Number invoices without gaps", "high", 4, "billing/numbers.py", (0,)),
            Work("Compute the taxes", "high", 3, "billing/taxes.py", (0,)),
            Work("Render the PDF", "medium", 2, "billing/render.py", (1, 2)),
            Work("Move the data", "medium", 2, "billing/migrations/", (2,)),
            Work("Mail the invoice", "medium", 2, "billing/mail.py", (4,)),
            Work("Write the tests", "medium", 3, "tests/test_invoices.py", (3, 4, 5, 6)),
        ),
    ),
    (
        "Search that forgives typing errors",
        (
            Work("Measure the search as it is", "low", 1, "bench/search.py"),
            Work("Split words", "medium", 2, "search/words.py", (0,)),
            Work("Rank what was found", "high", 5, "search/rank.py", (0,)),
            Work("Build the index", "high", 6, "search/index.py", (1,)),
            Work("Ask while typing", "medium", 2, "search/views.py", (2, 3)),
            Work("Highlight what matches", "low", 1, "search/highlight.py", (2, 3)),
            Work("Keep the index up to date", "medium", 3, "search/tasks.py", (3,)),
            Work("Write the tests", "medium", 2, "tests/test_search.py", (4, 5, 6)),
            Work("Measure again", "low", 1, "bench/search.py", (7,)),
            Work("Write the guide", "low", 1, "docs/search.md", (7,)),
        ),
    ),
    (
        "Sign in with a second factor",
        (
            Work("Draw the way of a sign-in", "low", 1, "docs/sign-in.md"),
            Work("Keep secrets sealed", "high", 3, "accounts/sealed.py", (0,)),
            Work("Check codes", "medium", 2, "accounts/codes.py", (0,)),
            Work("Show the picture to scan", "medium", 1, "accounts/views.py", (1, 2)),
            Work("Give out codes for emergencies", "medium", 2, "accounts/emergency.py", (1, 2)),
            Work("Ask for the code", "medium", 2, "accounts/forms.py", (3,)),
            Work("Log what happened", "low", 1, "accounts/log.py", (2,)),
            Work("Move the data", "medium", 3, "accounts/migrations/", (1,)),
            Work("Write the tests", "medium", 3, "tests/test_second_factor.py", (4, 5, 6, 7)),
            Work("Write the guide", "low", 1, "docs/second-factor.md", (4, 5)),
            Work("Tell the users", "low", 0.5, "templates/news.html", (8,)),
            Work("Remove the old way", "medium", 1, "accounts/old.py", (8,)),
        ),
    ),
)

_HOURS_SPREAD, _TOKENS_SPREAD = 0.35, 0.4  # of logarithms
_SHARE_OF_ESTIMATE = 0.08  # of the estimated hours an agent takes, in the middle
_TOKENS = {"low": 60_000, "medium": 140_000, "high": 320_000}
_FAILURES: tuple[tuple[FailureReason, float], ...] = (
    (FailureReason.GATE_FAILED, 0.04),
    (FailureReason.AGENT_ERROR, 0.01),
    (FailureReason.TIMEOUT, 0.006),
    (FailureReason.CRASHED, 0.004),
    (FailureReason.MERGE_CONFLICT, 0.003),
)
_PUT_OFF = 0.012  # share of attempts that meet a rate limit


@dataclass(slots=True)
class _Try:
    """One attempt, in seconds from the start of its run."""

    number: int
    ready: float
    launched: float
    seconds: float
    outcome: str
    reason: str
    waited_for: str
    by_hand: bool = False


@dataclass(slots=True)
class _Story:
    """One batch as it went: its tries by phase, and its end."""

    place: int
    plan: int
    began: datetime
    tries: dict[int, list[_Try]] = field(default_factory=dict)
    outcome: str = RunState.SUCCEEDED
    seconds: float = 0.0
    waited: dict[str, float] = field(default_factory=dict)


def make_history(*, batches: int, seed: int, now: datetime, days: int | None = None, truths: frozenset[str] = TRUTHS) -> tuple[int, int]:
    """Make up so many ended executions that end before `now`; returns how many batches and attempts there are.

    The same seed gives the same history. What was made up before is removed first. A thousand batches take some seconds.
    """
    remove_history()
    rng = random.Random(seed)  # noqa: S311 -- sample figures, the same for each seed
    length = days or max(30, min(730, batches // 2))
    projects = _projects()
    plans = _plans(projects)
    moments = sorted(now - timedelta(days=rng.random() * length, hours=6) for _ in range(batches))
    attempts = 0
    for start in range(0, batches, CHUNK):
        stories = [_story(rng, place, moments[place], batches, truths) for place in range(start, min(batches, start + CHUNK))]
        with transaction.atomic():
            attempts += _write(rng, stories, projects, plans)
    return batches, attempts


def remove_history() -> int:
    """Remove every row that was made up; returns how many batches. Real ones are not touched. Safe to repeat."""
    projects = Project.objects.filter(demo=True)
    removed = Batch.objects.filter(project__in=projects).count()
    ids = list(Batch.objects.filter(project__in=projects).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), 5 * CHUNK):
        with transaction.atomic():
            _remove(ids[start : start + 5 * CHUNK])
    with transaction.atomic():
        Plan.objects.filter(project__in=projects).delete()
        projects.delete()
    return removed


def _remove(batches: Sequence[int]) -> None:
    """These batches with every row that hangs on them, the deepest first. Django's own delete would read each row."""
    for model, paths in _below():
        for path in paths:
            rows = model._base_manager.filter(**{f"{path}__in": batches})
            rows._raw_delete(rows.db)
    Batch.objects.filter(pk__in=batches).delete()


def _below() -> list[tuple[Any, list[str]]]:
    """(model, its ways to Batch) of everything that belongs to a batch, those before on which others depend."""
    depth: dict[Any, int] = {}
    ways: dict[Any, list[str]] = {}

    def walk(model: Any, way: str, level: int) -> None:
        for relation in model._meta.related_objects:
            if relation.on_delete in (CASCADE, PROTECT):
                path = f"{relation.field.name}__{way}" if way else relation.field.name
                depth[relation.related_model] = max(level, depth.get(relation.related_model, 0))
                ways.setdefault(relation.related_model, []).append(path)
                walk(relation.related_model, path, level + 1)

    walk(Batch, "", 1)
    return [(model, ways[model]) for model in sorted(depth, key=lambda one: -depth[one])]


def _projects() -> list[Project]:
    made = []
    for name in NAMES:
        slug = name.lower().replace(": ", "-").replace(" ", "-")
        made.append(
            Project.objects.create(
                name=name, slug=slug, repository=f"/nonexistent/{slug}", base_branch="main", backend="claude", max_parallel=SLOTS, demo=True
            )
        )
    return made


def _plans(projects: Sequence[Project]) -> dict[tuple[int, int], Plan]:
    found = {}
    for place, project in enumerate(projects):
        for number, (title, works) in enumerate(PLANS):
            text = plan_text(title, works)
            found[place, number] = Plan.objects.create(
                project=project,
                title=title,
                file_name=f"{title.lower().replace(' ', '-')}.md",
                text=text,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                phase_count=len(works),
                stage_count=max(_stages(works)),
            )
    return found


def plan_text(title: str, works: Sequence[Work]) -> str:
    """The plan as a document that the reader of plans takes."""
    parts = [f"# {title}", "", "## Phases", ""]
    for place, work in enumerate(works, start=1):
        parts += [
            f"### Phase {place}: {work.title}",
            "",
            f"**Goal**: {work.title}, and show that it works",
            f"**Estimated Hours**: {work.hours:g}",
            f"**Complexity**: {work.complexity}",
            f"**Files Modified**: {work.file}",
            f"**Dependencies**: {', '.join(f'Phase {need + 1}' for need in work.needs) or 'None'}",
            "**Implementation Steps**:",
            f"1. {work.title}",
            "",
            "**Validation Gates**:",
            "- [ ] `pytest -q`",
            "",
        ]
    return "\n".join(parts)


def _stages(works: Sequence[Work]) -> list[int]:
    stages: list[int] = []
    for work in works:
        stages.append(1 + max((stages[need] for need in work.needs), default=0))
    return stages


# How a batch goes


def _story(rng: random.Random, place: int, began: datetime, batches: int, truths: frozenset[str]) -> _Story:
    story = _Story(place, rng.randrange(len(PLANS)), began)
    project = place % len(NAMES)
    works = PLANS[story.plan][1]
    stages = _stages(works)
    progress = place / max(1, batches - 1)
    done: set[int] = set()
    clock = rng.uniform(1, 20)
    story.waited["queue"] = round(clock, 3)
    for stage in range(1, max(stages) + 1):
        members = [index for index, one in enumerate(stages) if one == stage and set(works[index].needs) <= done]
        free = [clock] * SLOTS
        limited = 0.0
        for index in members:
            slot = min(range(SLOTS), key=lambda one: free[one])
            tries = _tries(rng, works[index], project, progress, clock, max(free[slot], clock + limited), truths)
            if any(one.outcome == Attempt.Outcome.DEFERRED for one in tries):
                limited = 60.0
                story.waited["rate_limit"] = story.waited.get("rate_limit", 0.0) + 60.0
            waited = tries[0].launched - tries[0].ready
            if waited > 0 and tries[0].waited_for == "slot":
                story.waited["slot"] = story.waited.get("slot", 0.0) + round(waited, 3)
            free[slot] = tries[-1].launched + tries[-1].seconds
            story.tries[index] = tries
            if tries[-1].outcome == Attempt.Outcome.SUCCEEDED:
                done.add(index)
        clock = max([clock, *free]) + rng.uniform(0.1, 0.6)
    story.seconds = clock
    if len(done) < len(works):
        story.outcome = RunState.FAILED
    return story


def _tries(
    rng: random.Random, work: Work, project: int, progress: float, ready: float, launched: float, truths: frozenset[str]
) -> list[_Try]:
    """Attempts at a phase until one succeeds or nobody wants to try again."""
    tries: list[_Try] = []
    waited = "slot" if launched > ready else ""
    while True:
        whole = _seconds(rng, work, project, truths)
        reason = _failure(rng, work, project, progress, bool(tries), truths)
        outcome = Attempt.Outcome.FAILED if reason else Attempt.Outcome.SUCCEEDED
        if reason == FailureReason.RATE_LIMITED:
            outcome = Attempt.Outcome.DEFERRED
        seconds = 3600.0 if reason == FailureReason.PHASE_TIME_LIMIT else whole * rng.uniform(0.2, 1.0) if reason else whole
        by_hand = bool(tries) and tries[-1].reason == FailureReason.MERGE_CONFLICT and rng.random() < 0.3
        tries.append(_Try(len(tries) + 1, ready, launched, round(seconds, 3), outcome, reason, waited, by_hand))
        if not reason or len(tries) == 4 or (outcome == Attempt.Outcome.FAILED and rng.random() < 0.12):
            return tries
        ready = launched + seconds
        pause = 60.0 if outcome == Attempt.Outcome.DEFERRED else rng.uniform(20, 400)
        launched, waited = ready + pause, "rate_limit" if outcome == Attempt.Outcome.DEFERRED else ""
        if not waited:  # a person asked for the retry: it was ready only then
            ready = launched


def _seconds(rng: random.Random, work: Work, project: int, truths: frozenset[str]) -> float:
    share = _SHARE_OF_ESTIMATE
    if SLOW in truths and work.title == "Move the data":
        share *= 4
    if ESTIMATES in truths and project == 1 and work.complexity == "high":
        share *= 2.5
    return min(3590.0, work.hours * 3600 * share * rng.lognormvariate(0, _HOURS_SPREAD))


def _failure(rng: random.Random, work: Work, project: int, progress: float, again: bool, truths: frozenset[str]) -> str:
    chance = rng.random()
    if chance < _PUT_OFF:
        return FailureReason.RATE_LIMITED
    shares = dict(_FAILURES)
    if RISING in truths and progress > 2 / 3:
        shares[FailureReason.AGENT_ERROR] = 0.10
    if LONG in truths and work.hours > 4:
        shares[FailureReason.PHASE_TIME_LIMIT] = 0.60
    if COLLISIONS in truths and project == 0 and work.needs:
        shares[FailureReason.MERGE_CONFLICT] = 0.09
    scale = 0.5 if again else 1.0
    edge = _PUT_OFF
    for reason, share in shares.items():
        edge += share * scale
        if chance < edge:
            return reason
    return ""


# Rows


def _write(
    rng: random.Random, stories: Sequence[_Story], projects: Sequence[Project], plans: dict[tuple[int, int], Plan]
) -> int:
    """The rows of these batches. In the caller's transaction. Returns how many attempts there are."""
    highest = Batch.objects.filter(number__gte=FIRST_NUMBER).aggregate(highest=Max("number"))["highest"] or FIRST_NUMBER - 1
    rows: dict[Any, list[Row]] = {model: [] for model in (Batch, Stage, Phase, Run, Task, Attempt, Result, GateCheck, PredictedConflict)}
    for number, story in enumerate(stories, start=highest + 1):
        project = projects[story.place % len(NAMES)]
        plan = plans[story.place % len(NAMES), story.plan]
        _write_batch(rng, rows, story, {"number": number, "project_id": project.pk, "plan_id": plan.pk, "title": plan.title})
    _number(rows)
    for model, made in rows.items():
        insert(model, made)
    record_attempts(row["id"] for row in rows[Attempt])
    record_runs(row["id"] for row in rows[Run])
    return len(rows[Attempt])


def _number(rows: Mapping[Any, list[Row]]) -> None:
    """Give each row its id, and those that refer to it by place in its list that id."""
    ids = {model: new_ids(model, len(made)) for model, made in rows.items()}
    refers = {"batch_id": Batch, "stage_id": Stage, "phase_id": Phase, "run_id": Run, "task_id": Task}
    refers |= {"attempt_id": Attempt, "first_id": Attempt}
    for model, made in rows.items():
        for row, key in zip(made, ids[model], strict=True):
            row["id"] = key
            for name, other in refers.items():
                if name in row:
                    row[name] = ids[other][row[name]]


def _write_batch(rng: random.Random, rows: dict[Any, list[Row]], story: _Story, batch: Row) -> None:
    """Add the rows of one batch; what refers to another row holds its place in that row's list."""
    works = PLANS[story.plan][1]
    numbers = _stages(works)
    at, first_stage, run = len(rows[Batch]), len(rows[Stage]), len(rows[Run])
    rows[Batch].append(batch | {"base_branch": "main", "base_commit": "0" * 40, "created_at": story.began})
    rows[Stage].extend({"batch_id": at, "number": number} for number in range(1, max(numbers) + 1))
    rows[Run].append(_run(story, at))
    for index, work in enumerate(works):
        stage, order = numbers[index], numbers[: index + 1].count(numbers[index])
        prp = f"PRP-{batch['number']}.{stage}.{order}"
        phase, task = len(rows[Phase]), len(rows[Task])
        rows[Phase].append(_phase(work, index, order, prp) | {"batch_id": at, "stage_id": first_stage + stage - 1})
        tries = story.tries.get(index, [])
        rows[Task].append(_task(work, index, tries, story) | {"run_id": run, "phase_id": phase, "stage_id": first_stage + stage - 1})
        for one in tries:
            attempt = _attempt(rng, work, one, story) | {"task_id": task}
            place = len(rows[Attempt])
            rows[Attempt].append(attempt)
            if not one.reason:
                rows[Result].append(_result(rng, work) | {"attempt_id": place})
            rows[GateCheck].extend(check | {"attempt_id": place} for check in _checks(rng, one, attempt))
            rows[PredictedConflict].extend(
                found | {"run_id": run, "first_id": place, "phases": [str(index + 1)]} for found in _predictions(rng, one, attempt)
            )


def _phase(work: Work, index: int, order: int, prp: str) -> Row:
    return {
        "key": str(index + 1),
        "position": index + 1,
        "order": order,
        "prp_id": prp,
        "slug": work.title.lower().replace(" ", "-"),
        "title": work.title,
        "goal": f"{work.title}, and show that it works",
        "hours": work.hours,
        "hours_text": f"{work.hours:g}",
        "complexity": work.complexity,
        "files": [work.file],
        "dependencies": [str(need + 1) for need in work.needs],
        "steps": [{"number": 1, "text": work.title, "commands": []}],
        "remaining_hours": work.hours,
    }


def _run(story: _Story, batch: int) -> Row:
    ended = story.began + timedelta(seconds=story.seconds)
    expected = sum(work.hours for work in PLANS[story.plan][1]) * 3600 * _SHARE_OF_ESTIMATE / 2
    forecast = story.place >= 10  # the first ones had no history for a forecast
    return {
        "batch_id": batch,
        "number": 1,
        "operation": Operation.EXECUTE,
        "state": story.outcome,
        "backend": "claude",
        "scheduling": "stages",
        "max_parallel": SLOTS,
        "phase_limit_seconds": 3600,
        "silence_seconds": 60,
        "created_at": story.began,
        "started_at": story.began,
        "ended_at": ended,
        "reported_at": ended,
        "waited": story.waited,
        "forecast_seconds": expected if forecast else None,
        "forecast_p90_seconds": expected * 1.7 if forecast else None,
        "forecast_runs": 10 * story.place if forecast else 0,
        "report": "This batch was made up by manage.py demo_history; nothing was executed.",
    }


def _task(work: Work, index: int, tries: Sequence[_Try], story: _Story) -> Row:
    last = tries[-1].outcome if tries else ""
    ended = tries[-1].launched + tries[-1].seconds if tries else story.seconds
    ends = {
        "": TaskState.BLOCKED,
        Attempt.Outcome.SUCCEEDED: TaskState.SUCCEEDED,
        Attempt.Outcome.FAILED: TaskState.FAILED,
        Attempt.Outcome.DEFERRED: TaskState.CANCELLED,
    }
    failed = last == Attempt.Outcome.FAILED
    return {
        "name": str(index + 1),
        "position": index + 1,
        "waits_for": [str(need + 1) for need in work.needs],
        "state": ends[last],
        "reason": tries[-1].reason if failed else "",
        "message": "Made up." if failed else "",
        "changed_at": story.began + timedelta(seconds=ended),
    }


def _attempt(rng: random.Random, work: Work, one: _Try, story: _Story) -> Row:
    model = BY_COMPLEXITY[work.complexity][one.number > 1]
    used = {} if one.outcome == Attempt.Outcome.DEFERRED else _used(rng, model, work.complexity, story.place)
    launched = story.began + timedelta(seconds=one.launched)
    ended = launched + timedelta(seconds=one.seconds)
    return used | {
        "number": one.number,
        "token": "demo",
        "host": "demo",
        "base_commit": "0" * 40,
        "spec": {"payload": {"start": "0" * 40}} if one.by_hand else {},
        "launched_at": launched,
        "launched_clock": 0.0,
        "ready_at": story.began + timedelta(seconds=one.ready),
        "waited_for": one.waited_for,
        "started_at": launched,
        "pid": 1,
        "step": 1,
        "total_steps": 1,
        "model": model,
        "elapsed_seconds": one.seconds,
        "phase_limit_seconds": 3600.0,
        "silence_seconds": 60.0,
        "exited_at": ended,
        "ended_at": ended,
        "exit_code": 0,
        "verdict": one.reason or "success",
        "outcome": one.outcome,
        "reason": one.reason,
        "message": "Made up." if one.reason else "",
        "merge_conflicts": ["shop/settings.py"] if one.reason == FailureReason.MERGE_CONFLICT else None,
        "checkout_removed_at": ended,
    }


def _used(rng: random.Random, model: str, complexity: str, place: int) -> Row:
    """Tokens that a made-up attempt read and wrote, and their cost; the first ten batches had no shared context."""
    total = int(_TOKENS[complexity] * rng.lognormvariate(0, _TOKENS_SPREAD) * (1.0 if place >= 10 else 1.9))
    output, read, written = int(total * 0.08), int(total * 0.58), int(total * 0.12)
    fresh = total - output - read - written
    return {
        "tokens_used": total,
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "cost_usd": round(MODELS[model].cost(fresh, output, written, read), 6),
    }


def _result(rng: random.Random, work: Work) -> Row:
    strayed = ["README.md"] if rng.random() < 0.08 else []
    return {
        "data": {},
        "status": "success",
        "steps_completed": 1,
        "total_steps": 1,
        "files_modified": [work.file, *strayed],
        "undeclared": strayed,
        "diff": "",
    }


def _checks(rng: random.Random, one: _Try, attempt: Row) -> list[Row]:
    """The project's tests; of one success in twelve nobody could check anything."""
    failed = one.reason == FailureReason.GATE_FAILED
    flaky = not one.reason and rng.random() < 0.01
    if not failed and not flaky and (one.reason or int(attempt["ended_at"].timestamp()) % 12 == 0):
        return []
    gate = {"origin": "project", "position": 1, "text": "Tests of the project", "kind": "tests", "command": "pytest -q"}
    outcome = {"status": "failed" if failed else "passed", "exit_code": int(failed), "at": attempt["ended_at"]}
    return [gate | outcome | {"flaky": flaky, "first_exit_code": 1 if flaky else None}]


def _predictions(rng: random.Random, one: _Try, attempt: Row) -> list[Row]:
    """Most collisions were foreseen, and some that were foreseen never came."""
    collided = one.reason == FailureReason.MERGE_CONFLICT
    if not (collided and rng.random() < 0.7) and not (not one.reason and rng.random() < 0.004):
        return []
    return [{"file": "shop/settings.py", "seen_at": attempt["launched_at"], "gone_at": attempt["ended_at"], "collided": collided}]
