"""Save a plan document unchanged, version by version."""

import hashlib
import os
from collections.abc import Mapping

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from batches.accounts.actor import Actor
from batches.accounts.roles import WRITE_PLANS
from batches.core.errors import ServiceError
from batches.core.plans.analysis import analyse_document
from batches.models import Plan, Project
from batches.plans.conflict_decisions import decisions_of, save_decisions

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
            save_decisions(plan, report, chosen, before, actor)
            return plan
    except IntegrityError:
        raise ServiceError("Somebody else saved a version of this plan at the same moment. Save it again.") from None


def _next_version(edited: Plan) -> int:
    highest = Plan.objects.series_of(edited).aggregate(highest=Max("version"))["highest"]
    return int(highest or edited.version) + 1
