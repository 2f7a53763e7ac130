"""Check the options of an execution, and what they change of a run that goes on."""

from batches.core.engine.execute_options import ExecuteOptions, checked_repairs, dollars
from batches.core.engine.pricing import check_model
from batches.core.errors import WrongChoice
from batches.models import OnConflict, Scheduling
from subagents.backends import BACKENDS


def changes_of_run(options: ExecuteOptions) -> dict[str, object]:
    """The columns of a run that `options` change. Raises WrongChoice for options that are fixed at its start."""
    _check_options(options)
    fixed = [name for name in ("stage", "phase", "on_conflict", "scheduling", "host") if getattr(options, name) is not None]
    if fixed:
        raise WrongChoice(f"These options are fixed when a run starts and cannot change now: {', '.join(fixed).replace('_', '-')}.")
    limit = None if options.timeout_minutes is None else options.timeout_minutes * 60
    wanted = {
        "max_parallel": options.max_parallel,
        "backend": options.backend,
        "model": options.model,
        "retry_model": options.retry_model,
        "budget_usd": None if options.budget_usd is None else dollars(options.budget_usd, "The budget"),
        "phase_cap_usd": None if options.phase_cap_usd is None else dollars(options.phase_cap_usd, "The cap of a phase"),
        "fail_fast": options.fail_fast,
        "repairs": options.repairs,
        "phase_limit_seconds": limit,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    return changes | ({"parallel_limit": None} if "max_parallel" in changes else {})


def _check_options(options: ExecuteOptions) -> None:
    if options.backend is not None and options.backend not in BACKENDS:
        raise WrongChoice(f"Unknown backend {options.backend!r}. Choose one of: {', '.join(BACKENDS)}.")
    for name in (options.model, options.retry_model, *options.models.values()):
        if name:
            check_model(name)
    if options.budget_usd is not None:
        dollars(options.budget_usd, "The budget")
    if options.phase_cap_usd is not None:
        dollars(options.phase_cap_usd, "The cap of a phase")
    if options.repairs is not None:
        checked_repairs(options.repairs)
    if options.max_parallel is not None and not 1 <= options.max_parallel <= 256:
        raise WrongChoice("The number of phases in parallel is from 1 to 256.")
    if options.timeout_minutes is not None and not 0 < options.timeout_minutes <= 7 * 24 * 60:
        raise WrongChoice("The time limit of a phase is more than 0 minutes and at most a week.")
    if options.scheduling is not None and options.scheduling not in Scheduling.values:
        raise WrongChoice(f"Unknown scheduling {options.scheduling!r}. Choose one of: {', '.join(Scheduling.values)}.")
    if options.on_conflict is not None and options.on_conflict not in OnConflict.values:
        raise WrongChoice(f"Unknown choice for conflicts. Choose one of: {', '.join(OnConflict.values)}.")
