"""Tokens and dollars of an attempt, request by request, as they come in.

Prices come from the package genai-prices (offline), one request at a time, since some models cost more for a long
prompt. Without the package, or for a model it does not know, a cost is unknown: never 0.
"""

from __future__ import annotations

from subagents.contract import USAGE_FIGURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The provider's names of the four figures.
GIVEN = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
CHARACTERS_A_TOKEN = 3


def request_cost(model: str, figures: dict[str, int]) -> float | None:
    """What one request costs in US dollars, by its USAGE_FIGURES; None when nobody knows."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    read, written = figures["cache_read_tokens"], figures["cache_write_tokens"]
    # Its input tokens are the whole prompt, cache included.
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


class Spending:
    """What an attempt has used so far; a request counts from its first event, its output grows with its last."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, Any]] = {}
        self._open: dict[str, str] = {}  # by the tool call that a nested agent works for, "" for the agent itself: its request
        self._costs: dict[str, float | None] = {}
        self._heard: dict[str, int] = {}  # characters of each answer so far
        self._told: set[str] = set()  # requests whose last event has come

    def __bool__(self) -> bool:
        return bool(self._requests)

    def knows(self, request: str) -> bool:
        return request in self._requests

    def begin(self, request: str, model: str, usage: dict[str, Any], agent: str = "") -> None:
        """A request was answered with its first event, which tells what was read."""
        self._open[agent] = request
        self._requests[request] = {"model": model, **dict.fromkeys(USAGE_FIGURES, 0)}
        self._add(request, usage)

    def go_on(self, usage: dict[str, Any], agent: str = "") -> None:
        """A later event of the same answer: its figures replace the earlier ones."""
        if agent in self._open:
            self._told.add(self._open[agent])
            self._add(self._open[agent], usage)

    def hear(self, characters: int, agent: str = "") -> None:
        """So much of an answer has arrived. Until its last event tells, its output is guessed from that, as the agent's program does.

        Of an answer that is cut this is all that anybody knows; the provider charges for what it had made by then.
        """
        request = self._open.get(agent, "")
        if request and request not in self._told:
            self._heard[request] = self._heard.get(request, 0) + characters
            self._add(request, {"output_tokens": max(1, round(self._heard[request] / CHARACTERS_A_TOKEN))})

    def _add(self, request: str, usage: dict[str, Any]) -> None:
        entry = self._requests[request]
        for name, given in zip(USAGE_FIGURES, GIVEN, strict=True):
            value = usage.get(given)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                entry[name] = value
        self._costs[request] = request_cost(str(entry["model"]), entry)

    @property
    def tokens(self) -> int | None:
        """All four figures of all requests together; None when nothing was asked."""
        return sum(entry[name] for entry in self._requests.values() for name in USAGE_FIGURES) if self else None

    @property
    def cost_usd(self) -> float | None:
        """None when nothing was asked, or when the price of any request is unknown."""
        costs = list(self._costs.values())
        known = [cost for cost in costs if cost is not None]
        return round(sum(known), 9) if costs and len(known) == len(costs) else None

    def usage(self) -> dict[str, Any]:
        """As a result tells it (TaskResult.usage)."""
        if not self:
            return {}
        totals = {name: sum(entry[name] for entry in self._requests.values()) for name in USAGE_FIGURES}
        requests = [{**entry, "cost_usd": self._costs[request]} for request, entry in self._requests.items()]
        return {**totals, "requests": requests}
