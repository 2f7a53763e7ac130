"""Counts tokens and dollars of an attempt, request by request, while the answers arrive, and estimates them before they are sent.

Prices come from the package genai-prices (offline), per request, since some models cost more for a long prompt. Without
the package, or for a model that it does not know, a cost is unknown, not 0.
"""

from __future__ import annotations

import json
import math

from subagents.contract import USAGE_FIGURES
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The provider's names of the USAGE_FIGURES.
PROVIDER_FIGURES = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
HOUR = "cache_write_1h_tokens"  # the part of the cache writes that is kept for an hour, which costs more
CHARACTERS_PER_TOKEN = 3
BYTES_PER_TOKEN = 3  # of a request's body; text has 3.5 to 4, so this is on the safe side
PICTURE_TOKENS = 5_000  # more than the largest picture has; its bytes in the body say nothing
SEARCHES = "web_searches"
SEARCH_USD = 0.01  # of one search of the provider; source: its price list, "Web search tool", 10 US dollars for 1,000
MOST_SEARCHES = 10  # of a request that does not say how many
LEAST_ANSWER = 2_048  # tokens: a shorter answer would be worth nothing
AFTER_THINKING = 1_024  # tokens that an answer has at least beyond those that are for thinking


def request_cost(model: str, figures: dict[str, int]) -> float | None:
    """The cost of one request in US dollars, from its USAGE_FIGURES, HOUR and SEARCHES; None when it is unknown."""
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
        cache_write_1h_tokens=min(figures.get(HOUR, 0), written),
    )
    try:
        price = float(calc_price(usage, model_ref=model, provider_id="anthropic").total_price)
        return price + SEARCH_USD * figures.get(SEARCHES, 0)
    except LookupError:
        return None


@record
class Request:
    """What a request to the Messages API asks for, as far as it costs: an upper estimate of its input tokens, how they are
    written to the cache ("": not, "5m", "1h"), the most output tokens, the fewest that make sense, and the most web searches."""

    model: str
    input_tokens: int
    cache: str
    max_tokens: int
    least_tokens: int
    searches: int = 0

    @staticmethod
    def of(body: bytes) -> Request:
        """Raises ValueError when the body is no request to the Messages API."""
        asked = json.loads(body)
        if not isinstance(asked, dict) or not isinstance(asked.get("max_tokens"), int):
            raise ValueError("the request has no max_tokens")
        pictures, picture_bytes, cache = _walk(asked)
        thinking = asked.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        least = budget + AFTER_THINKING if isinstance(budget, int) else LEAST_ANSWER
        tokens = math.ceil((len(body) - picture_bytes) / BYTES_PER_TOKEN) + pictures * PICTURE_TOKENS
        tools = [tool for tool in asked.get("tools") or () if isinstance(tool, dict) and str(tool.get("type", "")).startswith("web_search")]
        searches = sum(tool["max_uses"] if isinstance(tool.get("max_uses"), int) else MOST_SEARCHES for tool in tools)
        return Request(str(asked.get("model", "")), tokens, cache, asked["max_tokens"], min(least, asked["max_tokens"]), searches)

    def cost(self, output_tokens: int) -> float | None:
        """The most that it costs with an answer of so many tokens, when the cache serves nothing; None when the price is unknown."""
        figures = dict.fromkeys(USAGE_FIGURES, 0) | {"output_tokens": output_tokens}
        figures |= {"cache_write_tokens" if self.cache else "input_tokens": self.input_tokens}
        return request_cost(self.model, {**figures, HOUR: self.input_tokens if self.cache == "1h" else 0, SEARCHES: self.searches})

    def tokens_for(self, left_usd: float) -> int:
        """How long the answer may be, at most `max_tokens`, so that it costs no more than `left_usd`; 0 when that is too short."""
        none, most = self.cost(0), self.cost(self.max_tokens)
        if none is None or most is None or most <= left_usd:
            return self.max_tokens
        tokens = math.floor((left_usd - none) / (most - none) * self.max_tokens)
        return tokens if tokens >= self.least_tokens else 0


def _walk(asked: dict[str, Any]) -> tuple[int, int, str]:
    """(number of pictures, bytes of their data, how the prompt is written to the cache) in a request."""
    pictures, picture_bytes, cache = 0, 0, ""
    waiting: list[Any] = [asked]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            source = found.get("source")
            if found.get("type") == "image" and isinstance(source, dict) and isinstance(source.get("data"), str):
                pictures, picture_bytes = pictures + 1, picture_bytes + len(source["data"])
            if isinstance(control := found.get("cache_control"), dict):
                cache = "1h" if "1h" in (cache, control.get("ttl")) else "5m"
            waiting += [value for name, value in found.items() if name in ("system", "tools", "messages", "content")]
    return pictures, picture_bytes, cache


class UsageMeter:
    """What an attempt has used so far. A request counts from its first event on; its last event has its final output."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, Any]] = {}
        self._open: dict[str, str] = {}  # the open request of each connection
        self._costs: dict[str, float | None] = {}
        self._characters: dict[str, int] = {}  # of each answer so far
        self._complete: set[str] = set()  # requests whose last event has arrived

    def __bool__(self) -> bool:
        return bool(self._requests)

    def start_request(self, request: str, model: str, usage: dict[str, Any], connection: str = "") -> None:
        """The first event of an answer has arrived; it has the input figures."""
        self._open[connection] = request
        self._requests[request] = {"model": model, **dict.fromkeys(USAGE_FIGURES, 0)}
        self._add(request, usage)

    def update(self, usage: dict[str, Any], connection: str = "") -> None:
        """A later event of the same answer has arrived: its figures replace the earlier ones."""
        if connection in self._open:
            self._complete.add(self._open[connection])
            self._add(self._open[connection], usage)

    def estimate(self, characters: int, connection: str = "") -> None:
        """Estimate the output from the `characters` that have arrived, as the agent's program does, until the last event has it.

        For an answer that is cut off the estimate is all there is; the provider charges for what it had produced.
        """
        request = self._open.get(connection, "")
        if request and request not in self._complete:
            self._characters[request] = self._characters.get(request, 0) + characters
            self._add(request, {"output_tokens": max(1, round(self._characters[request] / CHARACTERS_PER_TOKEN))})

    def unanswered(self, connection: str, model: str, cost_usd: float | None) -> None:
        """A request has ended without a word of an answer: it counts as what it was estimated to cost, and is marked so."""
        request = f"unanswered {connection}"
        self._requests[request] = {"model": model, **dict.fromkeys(USAGE_FIGURES, 0), "estimated": True}
        self._costs[request] = cost_usd

    def cost_of(self, connection: str) -> float | None:
        """What the request of this connection has cost so far; None before its first event, or when its price is unknown."""
        return self._costs.get(self._open.get(connection, ""))

    def begun(self, connection: str) -> bool:
        return connection in self._open

    def _add(self, request: str, usage: dict[str, Any]) -> None:
        entry = self._requests[request]
        for name, given in zip(USAGE_FIGURES, PROVIDER_FIGURES, strict=True):
            if (value := _count(usage.get(given))) is not None:
                entry[name] = value
        created = usage.get("cache_creation")
        if isinstance(created, dict) and (value := _count(created.get("ephemeral_1h_input_tokens"))):
            entry[HOUR] = value
        searched = usage.get("server_tool_use")
        if isinstance(searched, dict) and (value := _count(searched.get("web_search_requests"))):
            entry[SEARCHES] = value
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

    @property
    def known_usd(self) -> float:
        """The sum of the costs that are known."""
        return sum(cost for cost in self._costs.values() if cost is not None)

    def figures(self) -> dict[str, Any]:
        """The figures in the shape of TaskResult.usage."""
        if not self:
            return {}
        totals = {name: sum(entry[name] for entry in self._requests.values()) for name in USAGE_FIGURES}
        requests = [{**entry, "cost_usd": self._costs[request]} for request, entry in self._requests.items()]
        return {**totals, "requests": requests}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
