"""The purse of a batch on a host: a file in which its attempts book what they have spent and what is under way.

An attempt books before each request to its model, so together the attempts cannot go beyond the batch's budget, and whatever
ends them, what they have begun is known. Only one process at a time reads and writes: a lock file beside it sees to that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from subagents.contract import USAGE_FIGURES
from subagents.files import ContractError, dump_json, load_json, read_bytes, write_atomic
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from subagents.contract import TaskSpec

FILE_BYTES = 4_000_000
FILE = "purse.json"


@record
class Entry:
    """What one attempt has booked, in US dollars.

    `spent` is the cost so far, `under_way` the worst case of its open requests beyond that. `requests` have got no answer
    at all yet; `unanswered` is the estimate of their cost.
    """

    spent: float = 0.0
    under_way: float = 0.0
    unanswered: float = 0.0
    requests: int = 0


class Purse:
    """The purse at `path`. `name` is the attempt that books, `cap_usd` the most that it may spend (None: no limit of its own)."""

    def __init__(self, path: str, name: str = "", cap_usd: float | None = None) -> None:
        self.path, self.name, self.cap_usd = path, name, cap_usd

    def book(self, entry: Entry, *, only_if_it_fits: bool = False) -> float | None:
        """Book what this attempt has spent and under way. Returns what is left after it, None without any limit.

        With `only_if_it_fits` nothing is booked when the answer is less than 0. Raises ContractError, OSError.
        """
        with self._open() as content:
            own = entry.spent + entry.under_way
            left = [] if self.cap_usd is None else [self.cap_usd - own]
            if content["limit_usd"] is not None:
                others = sum(one.spent + one.under_way for name, one in content["live"].items() if name != self.name)
                left.append(content["limit_usd"] - content["ended_usd"] - others - own)
            least = min(left, default=None)
            if least is None or least >= 0 or not only_if_it_fits:
                content["live"][self.name] = entry
            return least

    def keep(self, *, limit_usd: float | None, ended_usd: float, live: Iterable[str]) -> None:
        """Set the batch's limit, what is spent elsewhere, and the attempts that count. Raises ContractError, OSError."""
        wanted = set(live)
        with self._open() as content:
            content |= {"limit_usd": limit_usd, "ended_usd": ended_usd}
            content["live"] = {name: entry for name, entry in content["live"].items() if name in wanted}

    def booked(self) -> Entry | None:
        """What this attempt has booked; None when it has made no request. Raises ContractError, OSError."""
        entry: Entry | None = self._read()["live"].get(self.name)
        return entry

    @contextlib.contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        with open(f"{self.path}.lock", "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read()
            before = _plain(content)
            yield content
            if (after := _plain(content)) != before:
                write_atomic(self.path, dump_json(after), durable=False, mode=0o600)

    def _read(self) -> dict[str, Any]:
        data = read_bytes(self.path, FILE_BYTES)
        if data is None:
            return {"limit_usd": None, "ended_usd": 0.0, "live": {}}
        found = load_json(data, FILE)
        try:
            live = {
                str(name): Entry(float(spent), float(under_way), float(unanswered), int(requests))
                for name, (spent, under_way, unanswered, requests) in found["live"].items()
            }
            limit = None if found["limit_usd"] is None else float(found["limit_usd"])
            return {"limit_usd": limit, "ended_usd": float(found["ended_usd"]), "live": live}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ContractError(FILE, "does not have the form of a purse") from None


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    live = {name: [one.spent, one.under_way, one.unanswered, one.requests] for name, one in content["live"].items()}
    return {**content, "live": live}


def purse_of(spec: TaskSpec) -> str:
    """The path of the purse that an attempt books in: its batch's, or one of its own."""
    return spec.purse or os.path.join(spec.attempt_dir, FILE)


def with_estimate(spec: TaskSpec, usage: dict[str, Any]) -> dict[str, Any]:
    """The figures of an attempt that was killed; what was under way is one more request, marked as an estimate."""
    entry = _booked(spec)
    if entry is None or not entry.requests:
        return usage
    figures = dict.fromkeys(USAGE_FIGURES, 0)
    estimated = {"model": spec.model, **figures, "cost_usd": round(entry.unanswered, 9), "estimated": True}
    return {**figures, **usage, "requests": [*usage.get("requests", ()), estimated]}


def _booked(spec: TaskSpec) -> Entry | None:
    try:
        return Purse(purse_of(spec), spec.attempt_dir).booked()
    except (ContractError, OSError):
        return None


def cost_with_what_was_under_way(spec: TaskSpec, cost_usd: float | None, tokens: int | None) -> tuple[float | None, str]:
    """(the cost of an attempt that was killed, a sentence about the estimate in it or ""), from what it had reported."""
    entry = _booked(spec)
    if entry is None or (cost_usd is None and tokens is not None):  # a price is unknown: so is the sum
        return cost_usd, ""
    cost = max(cost_usd or 0.0, entry.spent) + entry.unanswered
    if not entry.requests:
        return (cost if cost_usd is not None or entry.spent else None), ""
    counted = "1 request was" if entry.requests == 1 else f"{entry.requests} requests were"
    return round(cost, 9), f"{counted} under way: ${entry.unanswered:.4f} of the cost is an estimate"
