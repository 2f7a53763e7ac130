"""Values in words: durations, tokens, money, and text with hidden characters made visible.

Unknown is always "—", never 0. Nothing here escapes HTML; templates do that.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

UNKNOWN = "—"

# ECMA-48: CSI, OSC and the two-character escapes. `visible_parts` shows a lone ESC.
ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[@-Z\\^_=>])")
# Invisible characters that change how the text is read: controls, bidi, zero width, surrogates, tags.
ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text. An `odd` piece names a character that would be invisible."""

    text: str
    odd: bool = False


def visible_parts(text: str) -> tuple[TextPart, ...]:
    """Split `text` so that every hidden or reordering character becomes a part of its own, such as ⟦U+202E⟧.

    Line feeds and tabs stay; CRLF becomes a line feed.
    """
    text = text.replace("\r\n", "\n")
    parts, start = [], 0
    for found in ODD.finditer(text):
        if found.start() > start:
            parts.append(TextPart(text[start : found.start()]))
        parts.append(TextPart(f"⟦U+{ord(found.group()):04X}⟧", odd=True))
        start = found.end()
    if start < len(text):
        parts.append(TextPart(text[start:]))
    return tuple(parts)


def visible(text: str) -> str:
    """`visible_parts` as one string, for plain text (titles, attributes)."""
    return "".join(part.text for part in visible_parts(text))


def strip_ansi(text: str) -> str:
    """`text` without terminal colours and cursor moves."""
    return ANSI.sub("", text)


def counted(number: int, noun: str, plural: str = "") -> str:
    """“1 file” or “3,000 files”; `plural` for nouns that take more than an “s”."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as "0.4 s", "48 s", "3 min 05 s", "2 h 07 min" or "3 d 4 h"."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def stamp(moment: datetime) -> str:
    """A point in time for programs, to the second: "2026-08-31T22:30:00Z"."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def ago(seconds: float) -> str:
    """How long ago, coarsely, such as "3 min ago" or "2 d ago"; "" after a week, when a date says more."""
    for unit, name, limit in ((1, "s", 60), (60, "min", 3600), (3600, "h", 86400), (86400, "d", 7 * 86400)):
        if seconds < limit:
            return f"{int(seconds // unit)} {name} ago"
    return ""


def hours(value: float | None) -> str:
    """Planned hours as "2 h", "1.5 h" or "45 min"."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if 0 < value < 1:
        return f"{round(value * 60)} min"
    return f"{value:,.1f}".removesuffix(".0") + " h"


def tokens(count: int | None) -> str:
    """A token count as "950", "12.5k" or "3.2M"."""
    if count is None:
        return UNKNOWN
    if count < 1_000:
        return str(count)
    if count < 999_950:
        return f"{count / 1_000:.1f}k"
    return f"{count / 1_000_000:.1f}M"


def usd(amount: Decimal | float | None) -> str:
    """An amount of dollars. Small amounts have four decimals, so that no cost is rounded to zero."""
    if amount is None:
        return UNKNOWN
    value = float(amount)
    return f"${value:,.4f}" if 0 < value < 0.1 else f"${value:,.2f}"


def usd_sum(amount: Decimal | float | None, unpriced: int) -> str:
    """A sum of costs. Where `unpriced` of them are not known, it says that it is at least so much."""
    return usd(amount) if amount is None or not unpriced else f"at least {usd(amount)}"


def bytes_words(count: int | float | None) -> str:
    """A byte count in binary units."""
    if count is None:
        return UNKNOWN
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
