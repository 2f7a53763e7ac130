"""The language models that a phase can be given, what they cost, and which phase gets which.

Prices are those of the provider for one million tokens, in US dollars, as measured against the agent's own figures.
A cost that an attempt reports is taken from the attempt; this table is for choosing, for showing, and for refusing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from batches.core.engine.states import FailureReason
from batches.core.errors import WrongChoice

MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens read, written, written into the provider's cache, and read from it."""

    input: Decimal
    output: Decimal
    cache_write: Decimal
    cache_read: Decimal

    def times(self, factor: int) -> "Price":
        return Price(self.input * factor, self.output * factor, self.cache_write * factor, self.cache_read * factor)


@dataclass(frozen=True, slots=True)
class Model:
    """A model by the short name that everybody uses. A request whose prompt has more than `long_prompt_tokens`, cache
    included, costs `long_price` as a whole; None: there is no such tier."""

    name: str
    version: str
    price: Price
    long_prompt_tokens: int | None = None
    long_price: Price | None = None

    def cost(self, input_tokens: int, output_tokens: int, cache_write_tokens: int = 0, cache_read_tokens: int = 0) -> Decimal:
        """What one request costs, in dollars; `input_tokens` are those neither read from nor written into the cache."""
        prompt = input_tokens + cache_write_tokens + cache_read_tokens
        is_long = self.long_price is not None and self.long_prompt_tokens is not None and prompt > self.long_prompt_tokens
        price = self.long_price if is_long and self.long_price is not None else self.price
        parts = (
            input_tokens * price.input,
            output_tokens * price.output,
            cache_write_tokens * price.cache_write,
            cache_read_tokens * price.cache_read,
        )
        return sum(parts, Decimal(0)) / MTOK


def _price(*dollars: str) -> Price:
    return Price(*(Decimal(each) for each in dollars))


_HAIKU = _price("0.10", "0.50", "0.125", "0.01")
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("haiku", "haiku-5-5", _HAIKU, 100_000, _HAIKU.times(5)),
        Model("sonnet", "sonnet-5-5", _price("2", "10", "2.5", "0.10")),
        Model("opus", "opus-5-5", _price("4", "20", "5", "0.20")),
    )
}

@dataclass(frozen=True, slots=True)
class InputCost:
    """What was read by a model cost `usd`; without the provider's cache it would have cost `full_usd`."""

    usd: Decimal
    full_usd: Decimal

    def __add__(self, other: "InputCost") -> "InputCost":
        return InputCost(self.usd + other.usd, self.full_usd + other.full_usd)

    @property
    def saved(self) -> float | None:
        """The share that the cache saved, 0 to 1; below 0 when filling it cost more than it gave. None when nothing was read."""
        return float(1 - self.usd / self.full_usd) if self.full_usd else None


def input_cost(model: str, input_tokens: int | None, cache_write_tokens: int | None, cache_read_tokens: int | None) -> InputCost | None:
    """By the prices of prompts of usual length; None where a figure or the price is unknown."""
    if model not in MODELS or input_tokens is None or cache_write_tokens is None or cache_read_tokens is None:
        return None
    price = MODELS[model].price
    usd = input_tokens * price.input + cache_write_tokens * price.cache_write + cache_read_tokens * price.cache_read
    return InputCost(usd / MTOK, (input_tokens + cache_write_tokens + cache_read_tokens) * price.input / MTOK)


# Complexity of a phase -> (model, model of a retry), framework.md §6. A complexity that the plan does not tell is medium.
BY_COMPLEXITY = {"low": ("haiku", "haiku"), "medium": ("haiku", "sonnet"), "high": ("sonnet", "sonnet")}
BACKENDS_WITHOUT_MODEL = frozenset({"steps"})

# Failures of the work itself: a stronger model may do better. The rest says nothing about the model.
_OF_THE_WORK = frozenset(
    {FailureReason.GATE_FAILED, FailureReason.AGENT_ERROR, FailureReason.BAD_RESULT, FailureReason.PHASE_TIME_LIMIT}
)


def check_model(name: str) -> str:
    """The model's name as the list has it. Raises WrongChoice with the list."""
    found = name.strip().lower()
    if found not in MODELS:
        raise WrongChoice(f"There is no model {name!r}; there is: {', '.join(MODELS)}.")
    return found


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a phase is carried out with, and what it is tried again with after its work failed; both "": no model is used."""

    model: str
    retry_model: str

    def __str__(self) -> str:
        if not self.model:
            return "no model"
        return self.model if self.retry_model == self.model else f"{self.model}, {self.retry_model} for a retry"


NO_MODEL = ModelChoice("", "")


def choose_model(backend: str, complexity: str, *, of_phase: str = "", of_run: str = "", of_retries: str = "") -> ModelChoice:
    """The narrower choice wins: the phase's, the run's, else by complexity.

    A model that was chosen is kept for retries too, unless another was chosen for them.
    """
    if backend in BACKENDS_WITHOUT_MODEL:
        return NO_MODEL
    usual, usual_retry = BY_COMPLEXITY.get(complexity, BY_COMPLEXITY["medium"])
    chosen = of_phase or of_run
    return ModelChoice(chosen or usual, of_retries or chosen or usual_retry)


def model_of_attempt(choice: ModelChoice, failures: Iterable[tuple[str, str]]) -> str:
    """The model of the next attempt, after earlier ones of the task that failed for these (reason, fault) pairs."""
    failed = any(reason in _OF_THE_WORK and not fault for reason, fault in failures)
    return choice.retry_model if failed else choice.model
