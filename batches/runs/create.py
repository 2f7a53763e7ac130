"""Create runs: a queued row with its limits. The database ensures that a batch has only one live run."""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.autopilot_steps import AutopilotStep
from batches.core.engine.execute_options import ExecuteOptions, dollars
from batches.core.engine.states import Operation, Waiting
from batches.core.errors import ServiceError
from batches.models import AutopilotRun, Batch, OnConflict, Run, Scheduling, Task
from batches.models.choices import Travel
from batches.runs.busy_or_archived import refuse_archived
from batches.runs.project_settings import current_settings
from batches.runs.provider_trouble import trouble_of_others


def new_run(
    batch: Batch,
    operation: Operation,
    options: ExecuteOptions,
    actor: Actor,
    selection: str = "",
    forecast: Mapping[str, object] = MappingProxyType({}),
    host: str = "",
) -> Run:
    """Create a queued run of the batch; `forecast` are the columns of its forecast, `host` a worker host that is to execute it.

    Raises ServiceError when another run is live, or the batch is archived or a demonstration.
    """
    project = batch.project
    if project.demo:
        raise ServiceError(f"Batch {batch.number} is a demonstration and cannot be executed.")
    refuse_archived(batch)
    own = current_settings(project)
    limit = project.phase_limit_seconds if options.timeout_minutes is None else options.timeout_minutes * 60
    number = (batch.runs.aggregate(highest=Max("number"))["highest"] or 0) + 1
    try:
        with transaction.atomic():
            return Run.objects.create(
                batch=batch,
                number=number,
                operation=operation,
                host=host,
                travel=Travel.OUTWARD if host else "",
                selection=selection,
                backend=options.backend or project.backend,
                scheduling=options.scheduling or project.scheduling,
                on_conflict=options.on_conflict or OnConflict.WARN,
                max_parallel=options.max_parallel or project.max_parallel,
                model=project.model if options.model is None else options.model,
                retry_model=project.retry_model if options.retry_model is None else options.retry_model,
                budget_usd=project.budget_usd if options.budget_usd is None else dollars(options.budget_usd, "The budget"),
                phase_cap_usd=project.phase_cap_usd if options.phase_cap_usd is None else dollars(options.phase_cap_usd, "The cap"),
                **_pause_of_others(options.backend or project.backend),
                **trouble_of_others(options.backend or project.backend),
                repairs=(project.repairs if options.repairs is None else options.repairs) if operation is Operation.EXECUTE else 0,
                fail_fast=project.fail_fast if options.fail_fast is None else options.fail_fast,
                gate_rules=project.gate_rules.to_json(),
                phase_limit_seconds=limit,
                silence_seconds=float(own["silence_seconds"]),
                project_settings=own,
                waiting_for=Waiting.QUEUE,
                waiting_since=timezone.now(),
                created_by=actor.user,
                **forecast,
            )
    except IntegrityError:
        live = batch.runs.live().first()
        doing = f"run {live.number} ({live.get_operation_display()})" if live else "another run"
        raise ServiceError(f"Batch {batch.number} is busy with {doing}. Wait for its end, or cancel it.") from None


def _pause_of_others(backend: str) -> dict[str, object]:
    """A rate limit that other runs of the backend wait for also applies to a new run."""
    now = timezone.now()
    others = Run.objects.live().filter(backend=backend, rate_limited_since__lte=now, rate_limited_until__gt=now)
    until = others.aggregate(latest=Max("rate_limited_until"))["latest"]
    return {"rate_limited_since": now, "rate_limited_until": until} if until else {}


def free_run(batch: Batch, operation: Operation, actor: Actor, selection: str = "") -> Run:
    """Create a queued run with one task per phase; no task waits for another. Raises ServiceError as `new_run` does."""
    run = new_run(batch, operation, ExecuteOptions(scheduling=Scheduling.DATAFLOW), actor, selection)
    Task.objects.bulk_create(
        Task(run=run, phase=phase, stage=phase.stage, name=phase.key, position=phase.position)
        for phase in batch.phases.select_related("stage")
    )
    return run


def open_autopilot(run: Run, step: AutopilotStep, options: ExecuteOptions, actor: Actor, *, full_autopilot: bool) -> AutopilotRun:
    """Open the autopilot run that starts what follows `run`. Raises ServiceError if the batch has an open one."""
    try:
        with transaction.atomic():
            return AutopilotRun.objects.create(
                batch_id=run.batch_id,
                run=run,
                step=step,
                whole=full_autopilot,
                options=asdict(options),
                created_by=actor.user,
                moved_cause=actor.cause,
            )
    except IntegrityError:
        raise ServiceError(f"Batch {run.batch.number} is already on autopilot. Resume it, or stop it first.") from None
