"""What an agent's output tells besides a transcript: its session, that its provider accepts nothing more for now, aider's tokens."""

from __future__ import annotations

import re

from subagents.backends.streams.fields import fields_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SESSION = re.compile(r"[A-Za-z0-9_-]{8,100}")
# What the agents print when their provider refuses for a while: seen of the versions in agent_recipes.py.
LIMIT = re.compile(r"usage limit|rate.?limit|\bquota\b|RESOURCE_EXHAUSTED|insufficient_quota|\b429\b", re.IGNORECASE)
AIDER = re.compile(
    r"^Tokens: (?P<sent>[\d.,]+k?) sent(?:, (?P<written>[\d.,]+k?) cache write)?(?:, (?P<read>[\d.,]+k?) cache hit)?, "
    r"(?P<received>[\d.,]+k?) received\.(?: Cost: \$(?P<cost>[\d.]+) message)?",
    re.MULTILINE,
)


def session_of(objects: Sequence[dict[str, Any]]) -> str:
    """The session that the events of Codex, opencode or Gemini CLI name; "" for none."""
    for found in objects:
        kind = found.get("type")
        named = found.get("thread_id") if kind == "thread.started" else found.get("sessionID")
        named = found.get("session_id") if kind == "init" else named
        if isinstance(named, str) and SESSION.fullmatch(named):
            return named
    return ""


def limit_of(objects: Sequence[dict[str, Any]], last_lines: str) -> str:
    """The agent's own words that its provider's limit is reached; "" when it ended for another reason.

    Only errors count, and the last lines where there are no events: an agent also talks of limits.
    """
    said = []
    for found in objects:
        error = found.get("error")
        inner = fields_of(error)
        words = text_of(fields_of(inner.get("data")).get("message")) or text_of(inner.get("message"))
        words = words or (error if isinstance(error, str) else "")
        if found.get("type") in ("error", "turn.failed") or words:
            said.append(words or text_of(found.get("message")) or text_of(fields_of(found.get("item")).get("message")))
    if not objects:
        said = last_lines.split("\n")[-20:]
    return next((words.strip()[:400] for words in reversed(said) if LIMIT.search(words)), "")


def aider_requests(text: str) -> list[dict[str, Any]]:
    """The figures that aider prints of each of its requests, as objects of our own shape."""
    found = []
    for match in AIDER.finditer(text):
        sent, written, read, received = (_number(match[name]) for name in ("sent", "written", "read", "received"))
        if sent is not None:  # all of the prompt, what the cache had or takes included
            sent = max(0, sent - (written or 0) - (read or 0))
        usage = {"input_tokens": sent, "output_tokens": received, "cache_read_tokens": read, "cache_write_tokens": written}
        cost = None if match["cost"] is None else float(match["cost"])
        found.append({"usage": {name: figure for name, figure in usage.items() if figure is not None}, "cost_usd": cost})
    return found


def _number(text: str | None) -> int | None:
    """ "12k" is 12,000: aider rounds."""
    if text is None:
        return None
    plain = text.replace(",", "").rstrip(".")
    return round(float(plain.removesuffix("k")) * (1000 if plain.endswith("k") else 1))
