"""Plan documents: kept as they came, version after version, with what was decided about their conflicts."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.core.plans.conflicts import ConflictKind, FileConflict, conflict_id
from batches.core.plans.forecast import FinishedPhase
from batches.models import Attempt, AttemptFact, OnConflict, Plan, PlanDecision, Project

HISTORY_ATTEMPTS = 5_000  # the latest so many finished executions make the forecast
DECISIONS = (OnConflict.WARN, OnConflict.SERIALIZE)

SAMPLE = "text-statistics.md"  # of examples/plans, the one to begin with


def import_plan(
    *,
    text: str | bytes,
    file_name: str,
    project: Project | None,
    actor: Actor,
    edited: Plan | None = None,
    decisions: Mapping[str, str] | None = None,
) -> Plan:
    """Keep a plan document as it came, also one with faults (it cannot be executed until they are mended).

    `edited` names a plan of the series that gets a new version; none: a series of its own. `decisions` are choices by
    `conflict_id`; those that the plan's conflicts do not have are passed over, and one that stands in `edited` already
    keeps who took it and when. Raises ServiceError for what is no text at all or larger than the limit, PermissionDenied.
    """
    actor.require("batches.add_plan")
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
        raise ServiceError(f"{file_name or 'The plan'} cannot be kept: {first}")
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
            chosen = {key: one.decision for key, one in before.items()} | dict(decisions or {})
            _keep_decisions(plan, report, chosen, before, actor)
            return plan
    except IntegrityError:
        raise ServiceError("Somebody else saved a version of this plan at the same moment. Save it again.") from None


def _next_version(edited: Plan) -> int:
    highest = Plan.objects.series_of(edited).aggregate(highest=Max("version"))["highest"]
    return int(highest or edited.version) + 1


def report_of(plan: Plan) -> DocumentReport:
    """The plan read and analysed anew."""
    return analyse_document(plan.text, max(settings.CE_UPLOAD_BYTES, len(plan.text) * 4))


def decisions_of(plan: Plan) -> dict[str, PlanDecision]:
    """{conflict_id: the latest decision} of a plan."""
    rows = plan.decisions.select_related("decided_by").order_by("pk")
    return {conflict_id(FileConflict(row.file, tuple(row.phases), ConflictKind(row.kind))): row for row in rows}


def decide_plan_conflicts(*, plan: Plan, decisions: Mapping[str, str], actor: Actor) -> list[FileConflict]:
    """Keep a person's choices about conflicts of a plan, by `conflict_id`: warn (run anyway) or serialize.

    They go into every batch that is made of this version from now on. Returns the conflicts. Raises ServiceError for a
    conflict that the plan does not have or a choice that there is not, PermissionDenied.
    """
    actor.require("batches.add_plan")
    report = report_of(plan)
    known = {conflict_id(one) for one in _open_conflicts(report)}
    if not decisions or set(decisions) - known:
        raise ServiceError("This plan has no such conflict; reload the page.")
    if set(decisions.values()) - set(DECISIONS):
        raise ServiceError(f"A conflict can be decided as {OnConflict.WARN} or {OnConflict.SERIALIZE}.")
    with transaction.atomic():
        return _keep_decisions(plan, report, decisions, {}, actor)


def _open_conflicts(report: DocumentReport) -> Iterable[FileConflict]:
    """Conflicts that there is something to decide about: the phases of an ordered one never meet."""
    return [one for one in report.analysis.conflicts if one.kind is not ConflictKind.ORDERED] if report.analysis else []


def _keep_decisions(
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
    """The latest finished executions of phases that had an estimate: what a forecast is made of. Nothing made up. One query."""
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
