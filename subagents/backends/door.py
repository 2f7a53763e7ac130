"""The door of the API proxy: a request goes through when its worst case fits into what is left, and what it costs is booked.

It books before a request is sent, so whatever ends the attempt, what was under way is known. The figures come from the
answers themselves, as they pass.
"""

from __future__ import annotations

import json

from subagents.purse import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from subagents.purse import Purse
    from subagents.spending import Request, UsageMeter

ANSWER_BYTES = 16 * 1024 * 1024  # of an answer that is not streamed


class TooExpensive(Exception):
    """Not even a short answer to the request fits into what is left."""


class Door:
    """Admits the requests of one attempt. `changed` is called when its figures have changed."""

    def __init__(self, purse: Purse, meter: UsageMeter, changed: Callable[[], None]) -> None:
        self.purse, self.meter, self.changed = purse, meter, changed
        self.lowered = False  # whether an answer was cut shorter than was asked, to fit
        self.unpriced = ""  # a model whose price nobody knows
        self.passing: dict[str, Passing] = {}
        self._count = 0

    def admit(self, body: bytes) -> tuple[bytes, Passing]:
        """Book the request, with the longest answer that fits. Returns the body to send, and what reads the answer.

        Raises TooExpensive, ValueError when the body is no request to the Messages API, ContractError, OSError.
        """
        from subagents.spending import Request

        asked = Request.of(body)
        worst = asked.cost(asked.max_tokens)
        tokens = asked.max_tokens
        self._count += 1
        name = str(self._count)
        passing = Passing(self, name, asked, worst)
        self.passing[name] = passing
        if worst is None:
            self.unpriced = asked.model
            self._book()
            return body, passing
        left = self._book(only_if_it_fits=True)
        if left is not None and left < 0:
            tokens = asked.tokens_for(worst + left)
            passing.worst = asked.cost(tokens)
            left = self._book(only_if_it_fits=True) if tokens else -1.0
            if left is not None and left < -1e-9:
                del self.passing[name]
                raise TooExpensive
            self.lowered = True
            body = json.dumps({**json.loads(body), "max_tokens": tokens}).encode()
        return body, passing

    def ended(self, name: str) -> None:
        """The request is over, however it ended."""
        del self.passing[name]
        self._book()
        self.changed()

    def close(self) -> None:
        """Nothing goes through any more: what is under way counts as it stands."""
        for passing in list(self.passing.values()):
            passing.end()

    def _book(self, *, only_if_it_fits: bool = False) -> float | None:
        under_way = unanswered = 0.0
        requests = 0
        for passing in self.passing.values():
            under_way += max(0.0, (passing.worst or 0.0) - (self.meter.cost_of(passing.name) or 0.0))
            if not self.meter.begun(passing.name):
                unanswered, requests = unanswered + (passing.asked.cost(0) or 0.0), requests + 1
        return self.purse.book(Entry(self.meter.known_usd, under_way, unanswered, requests), only_if_it_fits=only_if_it_fits)


class Passing:
    """One request that is under way: reads its answer as it passes, whole or as a stream of events."""

    def __init__(self, door: Door, name: str, asked: Request, worst: float | None) -> None:
        self.door, self.name, self.asked, self.worst = door, name, asked, worst
        self.sent = False  # whether the API may have begun to work on it
        self._body: Chunks | None = None
        self._streamed = False
        self._rest = b""
        self._over = False

    def begin(self, headers: list[tuple[str, str]]) -> None:
        """The API accepted the request, with these headers of its answer."""
        values = {name.lower(): value.lower() for name, value in headers}
        self._streamed = "text/event-stream" in values.get("content-type", "")
        self._body = Chunks(chunked="chunked" in values.get("transfer-encoding", ""))

    def feed(self, data: bytes) -> None:
        """A part of the answer has arrived."""
        if self._body is None:
            return
        self._rest += self._body.feed(data)
        if not self._streamed:
            self._rest = self._rest[:ANSWER_BYTES]
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(_object(line.removeprefix(b"data:")))

    def refuse(self) -> None:
        """The API refused the request, which costs nothing."""
        self.sent = False
        self.end()

    def end(self) -> None:
        """The answer is over, or nobody waits for it any more."""
        if self._over:
            return
        self._over = True
        meter = self.door.meter
        if not self._streamed and (answer := _object(self._rest)).get("type") == "message":
            meter.start_request(str(answer.get("id")), str(answer.get("model", "")), _dict(answer.get("usage")), self.name)
            meter.update(_dict(answer.get("usage")), self.name)
        if self.sent and not meter.begun(self.name):
            meter.unanswered(self.name, self.asked.model, self.asked.cost(0))
        self.door.ended(self.name)

    def _event(self, event: dict[str, Any]) -> None:
        meter, kind = self.door.meter, event.get("type")
        if kind == "message_start":
            begun = _dict(event.get("message"))
            meter.start_request(str(begun.get("id")), str(begun.get("model", "")), _dict(begun.get("usage")), self.name)
        elif kind == "message_delta":
            meter.update(_dict(event.get("usage")), self.name)
        else:
            meter.estimate(_characters(event), self.name)
            return
        self.door.changed()


class Chunks:
    """Takes the framing off the body of an HTTP answer, as it arrives."""

    def __init__(self, *, chunked: bool) -> None:
        self.chunked = chunked
        self._waiting = b""
        self._left = 0  # bytes of the chunk that are still to come, with the line break at its end

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body in the next bytes of the connection."""
        if not self.chunked:
            return data
        self._waiting += data
        found = b""
        while self._waiting:
            if self._left:
                part, self._waiting = self._waiting[: self._left], self._waiting[self._left :]
                found += part[: max(0, self._left - 2)]
                self._left -= len(part)
                continue
            line, end, rest = self._waiting.partition(b"\r\n")
            if not end:
                break
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:  # not chunks after all: the figures are then unknown, and the estimate stands
                self._waiting = b""
                break
            self._waiting, self._left = rest, size + 2
        return found


def _object(data: bytes) -> dict[str, Any]:
    try:
        return _dict(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _characters(event: dict[str, Any]) -> int:
    """How many characters of an answer a stream event carries."""
    block, delta = event.get("content_block") or {}, event.get("delta") or {}
    parts = (block.get("name"), delta.get("text"), delta.get("partial_json"), delta.get("thinking"))
    return sum(len(part) for part in parts if isinstance(part, str))
