"""The options that a person can choose for an execution."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from batches.core.errors import WrongChoice

MOST_REPAIRS = 9  # rounds of one phase


@dataclass(frozen=True, slots=True)
class ExecuteOptions:
    """What to execute, and how. None means the project's default."""

    stage: int | None = None
    phase: str | None = None
    max_parallel: int | None = None
    backend: str | None = None
    timeout_minutes: float | None = None
    fail_fast: bool | None = None
    on_conflict: str | None = None
    scheduling: str | None = None
    model: str | None = None  # "": by complexity, overriding the project
    retry_model: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)  # {phase key: model}, overrides everything else
    budget_usd: str | None = None  # of the whole batch; text, so that it survives JSON
    phase_cap_usd: str | None = None
    host: str | None = None  # of those that the project may use; None: the one with the least work
    repairs: int | None = None  # rounds of repair after a failed gate; 0: none


def checked_repairs(rounds: int | None) -> int:
    """How often a phase may be repaired. Raises WrongChoice."""
    if rounds is None or not 0 <= rounds <= MOST_REPAIRS:
        raise WrongChoice(f"The number of repairs is from 0 to {MOST_REPAIRS}.")
    return rounds


def dollars(text: object, field_name: str) -> Decimal:
    """A positive amount of US dollars, such as "2.50" or "$2.50". Raises WrongChoice."""
    try:
        amount = Decimal(str(text).strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and Decimal("0.01") <= amount <= 100_000):
        raise WrongChoice(f"{field_name} must be an amount of US dollars from 0.01 to 100000, not {str(text)!r}.")
    return round(amount, 6)
