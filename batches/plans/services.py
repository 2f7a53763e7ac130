"""Plan documents: import and store them unchanged, version by version, with the decisions about their conflicts."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import WRITE_PLANS
from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.core.plans.conflicts import ConflictKind, FileConflict, conflict_id
from batches.core.plans.forecast import FinishedPhase
from batches.models import Attempt, AttemptFact, OnConflict, Plan, PlanDecision, Project

HISTORY_ATTEMPTS = 5_000  # the forecast uses this many of the latest finished executions
DECISIONS = (OnConflict.WARN, OnConflict.SERIALIZE)

SAMPLE = "text-statistics.md"  # in examples/plans: the plan for a first try


def import_plan(
    *,
    text: str | bytes,
    file_name: str,
    project: Project | None,
    actor: Actor,
    edited: Plan | None = None,
    decisions: Mapping[str, str] | None = None,
) -> Plan:
    """Save a plan document unchanged, even one with errors (it cannot be executed until they are fixed).

    With `edited` it becomes a new version in that plan's series; without, it starts a new series. `decisions` maps
    `conflict_id` to a choice; unknown ids are ignored, and a choice that `edited` already has keeps its author and time.
    Raises ServiceError for a file that is not text or exceeds the limit, PermissionDenied.
    """
    actor.require(WRITE_PLANS, project)
    if edited is not None:
        actor.require(WRITE_PLANS, edited.project)
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > settings.CE_UPLOAD_BYTES:
        raise ServiceError(f"The plan has {len(raw):,} bytes; the limit is {settings.CE_UPLOAD_BYTES:,} (CE_UPLOAD_BYTES).")
    report = analyse_document(text, settings.CE_UPLOAD_BYTES)
    try:
        decoded = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = None
    if decoded is None or "\0" in decoded or not decoded.strip():
        first = report.reading.errors[0].message if report.reading.errors else "it is empty"
        raise ServiceError(f"{file_name or 'The plan'} cannot be saved: {first}")
    try:
        with transaction.atomic():
            plan = Plan.objects.create(
                first_version_id=None if edited is None else edited.series_id,
                version=1 if edited is None else _next_version(edited),
                project=project,
                title=(report.reading.plan.title or file_name or "Untitled plan")[:300],
                file_name=os.path.basename(file_name)[:255],
                text=decoded,
                sha256=hashlib.sha256(raw).hexdigest(),
                phase_count=len(report.reading.plan.phases),
                stage_count=len(report.analysis.stages) if report.analysis else 0,
                error_count=len(report.reading.errors),
                created_by=actor.user,
            )
            before = {} if edited is None else decisions_of(edited)
            chosen = {key: row.decision for key, row in before.items()} | dict(decisions or {})
            _save_decisions(plan, report, chosen, before, actor)
            return plan
    except IntegrityError:
        raise ServiceError("Somebody else saved a version of this plan at the same moment. Save it again.") from None


def _next_version(edited: Plan) -> int:
    highest = Plan.objects.series_of(edited).aggregate(highest=Max("version"))["highest"]
    return int(highest or edited.version) + 1


def report_of(plan: Plan) -> DocumentReport:
    """The plan, read and analysed now."""
    return analyse_document(plan.text, max(settings.CE_UPLOAD_BYTES, len(plan.text) * 4))


def decisions_of(plan: Plan) -> dict[str, PlanDecision]:
    """{conflict_id: the latest decision} of a plan."""
    rows = plan.decisions.select_related("decided_by").order_by("pk")
    return {conflict_id(FileConflict(row.file, tuple(row.phases), ConflictKind(row.kind))): row for row in rows}


def decide_plan_conflicts(*, plan: Plan, decisions: Mapping[str, str], actor: Actor) -> list[FileConflict]:
    """Save a person's choices about conflicts of a plan, by `conflict_id`: warn (run anyway) or serialize.

    Every batch created from this version from now on uses them. Returns the conflicts. Raises ServiceError for an
    unknown conflict or choice, PermissionDenied.
    """
    actor.require(WRITE_PLANS, plan.project)
    report = report_of(plan)
    known = {conflict_id(conflict) for conflict in _open_conflicts(report)}
    if not decisions or set(decisions) - known:
        raise ServiceError("This plan has no such conflict; reload the page.")
    if set(decisions.values()) - set(DECISIONS):
        raise ServiceError(f"A conflict can be decided as {OnConflict.WARN} or {OnConflict.SERIALIZE}.")
    with transaction.atomic():
        return _save_decisions(plan, report, decisions, {}, actor)


def _open_conflicts(report: DocumentReport) -> Iterable[FileConflict]:
    """The conflicts to decide about. Ordered ones are left out: their phases never run in parallel."""
    if report.analysis is None:
        return []
    return [conflict for conflict in report.analysis.conflicts if conflict.kind is not ConflictKind.ORDERED]


def _save_decisions(
    plan: Plan, report: DocumentReport, chosen: Mapping[str, str], before: Mapping[str, PlanDecision], actor: Actor
) -> list[FileConflict]:
    now = timezone.now()
    rows, decided = [], []
    for conflict in _open_conflicts(report):
        key = conflict_id(conflict)
        decision = chosen.get(key, "")
        if decision not in DECISIONS:
            continue
        earlier = before.get(key)
        same = earlier is not None and earlier.decision == decision
        rows.append(
            PlanDecision(
                plan=plan,
                file=conflict.file,
                kind=conflict.kind,
                phases=list(conflict.phases),
                decision=decision,
                decided_by_id=earlier.decided_by_id if same and earlier else getattr(actor.user, "pk", None),
                decided_at=earlier.decided_at if same and earlier else now,
            )
        )
        decided.append(conflict)
    PlanDecision.objects.bulk_create(rows)
    return decided


def finished_phases() -> list[FinishedPhase]:
    """The latest finished executions of phases with an estimate, which forecasts use. Without demonstrations; one query."""
    rows = (
        AttemptFact.objects.filter(demo__in=[False], operation=Operation.EXECUTE, outcome=Attempt.Outcome.SUCCEEDED, hours__gt=0)
        .order_by("-ended_at")
        .values_list("complexity", "project_id", "hours", "seconds", "cost_micros", "model")
    )
    return [
        FinishedPhase(complexity, project, hours, seconds / 3600, None if micros is None else Decimal(micros) / 1_000_000, model)
        for complexity, project, hours, seconds, micros, model in rows[:HISTORY_ATTEMPTS]
        if hours is not None
    ]
