"""What people decided about a plan's file conflicts: run anyway, or one after the other."""

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import WRITE_PLANS
from batches.core.errors import ServiceError
from batches.core.plans.analysis import DocumentReport
from batches.core.plans.conflicts import ConflictKind, FileConflict, conflict_id
from batches.models import OnConflict, Plan, PlanDecision
from batches.plans.read_plan import report_of

DECISIONS = (OnConflict.WARN, OnConflict.SERIALIZE)


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
        return save_decisions(plan, report, decisions, {}, actor)


def _open_conflicts(report: DocumentReport) -> Iterable[FileConflict]:
    """The conflicts to decide about. Ordered ones are left out: their phases never run in parallel."""
    if report.analysis is None:
        return []
    return [conflict for conflict in report.analysis.conflicts if conflict.kind is not ConflictKind.ORDERED]


def save_decisions(
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
