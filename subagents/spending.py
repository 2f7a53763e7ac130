"""Counts tokens and dollars of an attempt, request by request, while the answers arrive.

Prices come from the package genai-prices (offline), per request, since some models cost more for a long prompt. Without
the package, or for a model that it does not know, a cost is unknown, not 0.
"""

from __future__ import annotations

from subagents.contract import USAGE_FIGURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The provider's names of the USAGE_FIGURES.
PROVIDER_FIGURES = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
CHARACTERS_PER_TOKEN = 3


def request_cost(model: str, figures: dict[str, int]) -> float | None:
    """The cost of one request in US dollars, from its USAGE_FIGURES; None when it is unknown."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    read, written = figures["cache_read_tokens"], figures["cache_write_tokens"]
    # Here input tokens mean the whole prompt, cache included.
    usage = Usage(
        input_tokens=figures["input_tokens"] + read + written,
        output_tokens=figures["output_tokens"],
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    try:
        return float(calc_price(usage, model_ref=model, provider_id="anthropic").total_price)
    except LookupError:
        return None


class UsageMeter:
    """What an attempt has used so far. A request counts from its first event on; its last event has its final output."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, Any]] = {}
        self._open: dict[str, str] = {}  # the open request of each agent: a nested agent is named by its tool call, the main one by ""
        self._costs: dict[str, float | None] = {}
        self._characters: dict[str, int] = {}  # of each answer so far
        self._complete: set[str] = set()  # requests whose last event has arrived

    def __bool__(self) -> bool:
        return bool(self._requests)

    def knows(self, request: str) -> bool:
        return request in self._requests

    def start_request(self, request: str, model: str, usage: dict[str, Any], agent: str = "") -> None:
        """The first event of an answer has arrived; it has the input figures."""
        self._open[agent] = request
        self._requests[request] = {"model": model, **dict.fromkeys(USAGE_FIGURES, 0)}
        self._add(request, usage)

    def update(self, usage: dict[str, Any], agent: str = "") -> None:
        """A later event of the same answer has arrived: its figures replace the earlier ones."""
        if agent in self._open:
            self._complete.add(self._open[agent])
            self._add(self._open[agent], usage)

    def estimate(self, characters: int, agent: str = "") -> None:
        """Estimate the output from the `characters` that have arrived, as the agent's program does, until the last event has it.

        For an answer that is cut off the estimate is all there is; the provider charges for what it had produced.
        """
        request = self._open.get(agent, "")
        if request and request not in self._complete:
            self._characters[request] = self._characters.get(request, 0) + characters
            self._add(request, {"output_tokens": max(1, round(self._characters[request] / CHARACTERS_PER_TOKEN))})

    def _add(self, request: str, usage: dict[str, Any]) -> None:
        entry = self._requests[request]
        for name, given in zip(USAGE_FIGURES, PROVIDER_FIGURES, strict=True):
            value = usage.get(given)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                entry[name] = value
        self._costs[request] = request_cost(str(entry["model"]), entry)

    @property
    def tokens(self) -> int | None:
        """The sum of all figures of all requests; None when no request was made."""
        return sum(entry[name] for entry in self._requests.values() for name in USAGE_FIGURES) if self else None

    @property
    def cost_usd(self) -> float | None:
        """None when no request was made, or when the price of any request is unknown."""
        costs = list(self._costs.values())
        known = [cost for cost in costs if cost is not None]
        return round(sum(known), 9) if costs and len(known) == len(costs) else None

    def figures(self) -> dict[str, Any]:
        """The figures in the shape of TaskResult.usage."""
        if not self:
            return {}
        totals = {name: sum(entry[name] for entry in self._requests.values()) for name in USAGE_FIGURES}
        requests = [{**entry, "cost_usd": self._costs[request]} for request, entry in self._requests.items()]
        return {**totals, "requests": requests}
