"""The language models, their prices, and which phase uses which model.

Prices are the provider's, in US dollars for one million tokens, checked against the costs that agents report. The cost of
an attempt is what the attempt reports; this table is for choosing a model and for showing prices.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from batches.core.engine.states import FailureReason
from batches.core.errors import WrongChoice
from subagents.contract import EXACT_MODEL

MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens: input, output, written to the provider's cache, read from it."""

    input: Decimal
    output: Decimal
    cache_write: Decimal
    cache_read: Decimal

    def times(self, factor: int) -> "Price":
        return Price(self.input * factor, self.output * factor, self.cache_write * factor, self.cache_read * factor)


@dataclass(frozen=True, slots=True)
class Model:
    """A model under its short name. A whole request costs `long_price` when its prompt, cache included, has more than
    `long_prompt_tokens`; None: the model has no such tier."""

    name: str
    version: str
    price: Price
    long_prompt_tokens: int | None = None
    long_price: Price | None = None

    def cost(self, input_tokens: int, output_tokens: int, cache_write_tokens: int = 0, cache_read_tokens: int = 0) -> Decimal:
        """The cost of one request in dollars. `input_tokens` are those neither read from nor written to the cache."""
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
    return Price(*(Decimal(amount) for amount in dollars))


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
    """The input tokens cost `usd`; without the provider's cache they would have cost `full_usd`."""

    usd: Decimal
    full_usd: Decimal

    def __add__(self, other: "InputCost") -> "InputCost":
        return InputCost(self.usd + other.usd, self.full_usd + other.full_usd)

    @property
    def saved(self) -> float | None:
        """The share that the cache saved, 0 to 1; negative if filling it cost more. None without input."""
        return float(1 - self.usd / self.full_usd) if self.full_usd else None


def input_cost(model: str, input_tokens: int | None, cache_write_tokens: int | None, cache_read_tokens: int | None) -> InputCost | None:
    """The cost of the input at the price for prompts of normal length; None when a count or the price is unknown."""
    if model not in MODELS or input_tokens is None or cache_write_tokens is None or cache_read_tokens is None:
        return None
    price = MODELS[model].price
    usd = input_tokens * price.input + cache_write_tokens * price.cache_write + cache_read_tokens * price.cache_read
    return InputCost(usd / MTOK, (input_tokens + cache_write_tokens + cache_read_tokens) * price.input / MTOK)


# Complexity of a phase -> (model, model of a retry), see docs/limits.md. An unknown complexity counts as medium.
BY_COMPLEXITY = {"low": ("haiku", "haiku"), "medium": ("haiku", "sonnet"), "high": ("sonnet", "sonnet")}
BACKENDS_WITHOUT_MODEL = frozenset({"steps"})

# After these failures a stronger model may do better. Other failures say nothing about the model.
_OF_THE_WORK = frozenset(
    {FailureReason.GATE_FAILED, FailureReason.AGENT_ERROR, FailureReason.BAD_RESULT, FailureReason.PHASE_TIME_LIMIT}
)


def check_model(name: str) -> str:
    """The model's short name in lower case, or its exact id as it is. Raises WrongChoice for what is neither."""
    model = name.strip()
    if model.lower() in MODELS:
        return model.lower()
    if not re.fullmatch(EXACT_MODEL, model):
        raise WrongChoice(f"Unknown model {name!r}. Choose one of: {', '.join(MODELS)}; or give an exact id, such as claude-sonnet-4-5.")
    return model


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model of a phase, and that of a retry after its work failed. Both are "" when no model is used."""

    model: str
    retry_model: str

    def __str__(self) -> str:
        if not self.model:
            return "no model"
        return self.model if self.retry_model == self.model else f"{self.model}, {self.retry_model} for a retry"


NO_MODEL = ModelChoice("", "")


def choose_model(backend: str, complexity: str, *, of_phase: str = "", of_run: str = "", of_retries: str = "") -> ModelChoice:
    """The model for a phase: the one chosen for the phase, else for the run, else by complexity.

    A chosen model is used for retries too, unless another one was chosen for retries.
    """
    if backend in BACKENDS_WITHOUT_MODEL:
        return NO_MODEL
    usual, usual_retry = BY_COMPLEXITY.get(complexity, BY_COMPLEXITY["medium"])
    chosen = of_phase or of_run
    return ModelChoice(chosen or usual, of_retries or chosen or usual_retry)


def model_of_attempt(choice: ModelChoice, failures: Iterable[tuple[str, str]]) -> str:
    """The model of the next attempt. `failures` are the (reason, fault) pairs of the task's earlier attempts."""
    failed = any(reason in _OF_THE_WORK and not fault for reason, fault in failures)
    return choice.retry_model if failed else choice.model
