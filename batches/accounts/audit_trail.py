"""The audit trail: what people and commands did, newest first, read from the rows that their actions wrote.

Each kind of row takes one query, limited to a page. There is no copy that could differ from those rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Concat

from batches.core.gates.success import SHORT, Success
from batches.models import (
    AuditEvent,
    AutopilotRun,
    BaseMerge,
    Conflict,
    ContextChange,
    DiffComment,
    Idea,
    Plan,
    PlanDecision,
    Review,
    Run,
    SettingChange,
    SignOff,
    Transition,
    Verification,
)

ACTORS = ("person:", "command:", "address:")  # the others, hosts and policies, act automatically


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """One action: when, by whom, what. `batch` is the number of the batch that it concerns, if any."""

    at: datetime
    kind: str
    who: str
    what: str
    batch: int | None
    detail: str = ""
    refused: bool = False

    @property
    def actor(self) -> str:
        """What kind of actor: person, command, address, host or policy."""
        return self.who.partition(":")[0]

    @property
    def name(self) -> str:
        return self.who.partition(":")[2].partition(" (")[0] or self.who

    @property
    def means(self) -> str:
        """The API token that a person used, or the shell user of a command; "" if unknown."""
        return self.who.partition(" (")[2].removesuffix(")")


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """Filters of the trail; empty means all. `who` is part of a name; `rules` adds acts of hosts and policies."""

    who: str = ""
    kind: str = ""
    batch: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    rules: bool = False


@dataclass(frozen=True, slots=True)
class TrailSource:
    """One kind of row that records acts. `words` turns the values of `columns` into (what, detail, refused)."""

    kind: str
    rows: Callable[[], QuerySet[Any]]
    at: str
    who: object
    columns: tuple[str, ...]
    words: Callable[..., tuple[str, str, bool]]
    batch: str = ""
    order: str = "-pk"  # for append-only rows this is the order of time, and it is indexed


def _person(field: str) -> object:
    known = When(**{f"{field}__isnull": False}, then=Concat(Value("person:"), F(f"{field}__username")))
    return Case(known, default=Value("command:of the shell"), output_field=CharField())


def _named(field: str) -> object:
    return Concat(Value("person:"), F(field), output_field=CharField())


def _moved(
    event: str, task: str | None, run: int, operation: str, before: str, after: str, reason: str, said: str
) -> tuple[str, str, bool]:
    subject = f"phase {task}" if task else f"run {run} ({operation.replace('_', ' ')})"
    return f"{event.replace('_', ' ').capitalize()} {subject}: {before} → {after}", said or reason.replace("_", " "), False


def _landed(base: str, merged: bool | None, problem: str) -> tuple[str, str, bool]:
    how = {True: "Merged", False: "Tried to merge", None: "Is merging"}[merged]
    return f"{how} into {base}", problem, merged is False


def _signed_off(of_gate: str, of_phase: str, key: str, gate: str | None, accepted: str, reason: str) -> tuple[str, str, bool]:
    if accepted:
        return f"{of_phase} phase {key}: {SHORT[Success(accepted)]}", reason, False
    return f"{of_gate} phase {key}: {gate}", reason, False


def _verified(agrees: bool | None, problem: str) -> tuple[str, str, bool]:
    how = {True: "everything agrees", False: "not everything agrees", None: "not done"}[agrees]
    return f"Asked to verify the gates: {how}", problem, False


SOURCES: Sequence[TrailSource] = (
    TrailSource(
        "runs",
        Transition.objects.all,
        "at",
        F("cause"),
        ("event", "task__name", "run__number", "run__operation", "from_state", "to_state", "reason", "message"),
        _moved,
        "run__batch__number",
    ),
    TrailSource(
        "runs",
        Run.objects.all,
        "created_at",
        _person("created_by"),
        ("number", "operation", "selection"),
        lambda number, operation, selection: (f"Requested run {number} ({operation.replace('_', ' ')})", selection, False),
        "batch__number",
    ),
    TrailSource(
        "runs",
        lambda: AutopilotRun.objects.exclude(moved_cause=""),
        "moved_at",
        F("moved_cause"),
        ("state", "step", "reason"),
        lambda state, step, reason: (f"Autopilot {state} at {step.replace('_', ' ').replace('-', ' ')}", reason, False),
        "batch__number",
        "-moved_at",
    ),
    TrailSource(
        "gates",
        SignOff.objects.all,
        "at",
        _named("name"),
        ("attempt__task__phase__key", "gate__text", "accepted", "reason"),
        lambda *values: _signed_off("Signed off a gate of", "Accepted", *values),
        "attempt__task__run__batch__number",
    ),
    TrailSource(
        "gates",
        lambda: SignOff.objects.filter(withdrawn_at__isnull=False),
        "withdrawn_at",
        _named("withdrawn_name"),
        ("attempt__task__phase__key", "gate__text", "accepted", "withdraw_reason"),
        lambda *values: _signed_off("Withdrew the sign-off of a gate of", "Withdrew the acceptance of", *values),
        "attempt__task__run__batch__number",
        "-withdrawn_at",
    ),
    TrailSource(
        "reviews",
        DiffComment.objects.all,
        "at",
        _named("name"),
        ("attempt__task__phase__key", "file", "line", "text"),
        lambda key, file, line, text: (f"Commented on the diff of phase {key}: {file}, line {line}", text, False),
        "attempt__task__run__batch__number",
    ),
    TrailSource(
        "reviews",
        lambda: DiffComment.objects.filter(resolved_at__isnull=False),
        "resolved_at",
        _named("resolved_name"),
        ("attempt__task__phase__key", "file", "line"),
        lambda key, file, line: (f"Resolved a comment on the diff of phase {key}: {file}, line {line}", "", False),
        "attempt__task__run__batch__number",
        "-resolved_at",
    ),
    TrailSource(
        "reviews",
        lambda: Review.objects.filter(overruled_at__isnull=False),
        "overruled_at",
        _named("overruled_name"),
        ("run__number", "verdict", "overrule_reason"),
        lambda run, verdict, reason: (f"Overruled the review of run {run}: {verdict.replace('_', ' ')}", reason, False),
        "run__batch__number",
        "-overruled_at",
    ),
    TrailSource("gates", Verification.objects.all, "asked_at", F("cause"), ("agrees", "problem"), _verified, "batch__number"),
    TrailSource("merges", BaseMerge.objects.all, "asked_at", F("cause"), ("base_branch", "merged", "problem"), _landed, "batch__number"),
    TrailSource(
        "context",
        lambda: ContextChange.objects.filter(decided_at__isnull=False),
        "decided_at",
        F("decided_cause"),
        ("run__number", "decision", "reason"),
        lambda run, decision, reason: (f"{decision.capitalize()} the context update of run {run}", reason, False),
        "run__batch__number",
        "-decided_at",
    ),
    TrailSource(
        "plans",
        Plan.objects.all,
        "created_at",
        _person("created_by"),
        ("title", "version"),
        lambda title, version: (f"Saved version {version} of the plan {title}", "", False),
    ),
    TrailSource(
        "plans",
        Idea.objects.all,
        "created_at",
        F("cause"),
        ("text", "source", "project__name"),
        lambda text, source, project: (f"Asked the agent of {project} for a plan", (text or source)[:200], False),
    ),
    TrailSource(
        "plans",
        PlanDecision.objects.all,
        "decided_at",
        _person("decided_by"),
        ("file", "decision", "plan__title"),
        lambda file, decision, title: (f"Decided the conflict at {file}: {decision}", title, False),
    ),
    TrailSource(
        "conflicts",
        lambda: Conflict.objects.filter(decided_at__isnull=False),
        "decided_at",
        _person("decided_by"),
        ("file", "decision"),
        lambda file, decision: (f"Decided the conflict at {file}: {decision}", "", False),
        "batch__number",
        "-decided_at",
    ),
    TrailSource(
        "settings",
        SettingChange.objects.all,
        "at",
        F("cause"),
        ("name",),
        lambda name: (f"Changed a setting of the installation: {name}", "", False),
    ),
    *(
        TrailSource(
            kind,
            partial(AuditEvent.objects.filter, kind=kind),
            "at",
            F("cause"),
            ("what", "address", "refused"),
            lambda what, address, refused: (what, f"from {address}" if address else "", refused),
        )
        for kind in AuditEvent.Kind.values
    ),
)
KINDS: dict[str, str] = {
    "runs": "runs and phases",
    **{name: name for name in ("gates", "reviews", "merges", "context", "plans", "conflicts", "settings")},
    **dict(AuditEvent.Kind.choices),
}


def read_trail(wanted: TrailFilter, limit: int, offset: int = 0) -> list[TrailEntry]:
    """At most `limit` actions after the first `offset`, newest first. One query per source that matches the filters."""
    found = [entry for source in SOURCES for entry in _of(source, wanted, offset + limit)]
    found.sort(key=lambda entry: entry.at, reverse=True)
    return found[offset : offset + limit]


def _of(source: TrailSource, wanted: TrailFilter, limit: int) -> Iterator[TrailEntry]:
    if (wanted.kind and wanted.kind != source.kind) or (wanted.batch is not None and not source.batch):
        return
    rows = source.rows().annotate(trail_who=source.who).order_by(source.order)
    if wanted.batch is not None:
        rows = rows.filter(**{source.batch: wanted.batch})
    if wanted.since is not None:
        rows = rows.filter(**{f"{source.at}__gte": wanted.since})
    if wanted.until is not None:
        rows = rows.filter(**{f"{source.at}__lt": wanted.until})
    if wanted.who:
        rows = rows.filter(trail_who__icontains=wanted.who)
    if not wanted.rules:
        acted = Q()
        for start in ACTORS:
            acted |= Q(trail_who__startswith=start)
        rows = rows.filter(acted)
    own = (source.batch,) if source.batch else ()
    for at, who, *columns in rows.values_list(source.at, "trail_who", *own, *source.columns)[:limit]:
        batch = columns.pop(0) if own else None
        what, detail, refused = source.words(*columns)
        yield TrailEntry(at, source.kind, who, what, batch, detail, refused)
