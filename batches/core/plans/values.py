"""Read hours and complexity as people write them."""

import re
from dataclasses import dataclass

from batches.core.plans.types import IssueCode

MAX_HOURS = 1000.0
_UNIT_HOURS = {"m": 1 / 60, "h": 1.0, "d": 8.0, "w": 40.0, "mo": 160.0}
_OF_WORK = r"(?:(?:full|working|work|business|calendar|person|man|dev(?:eloper)?|engineer(?:ing)?)[\s-]+)?"
_UNIT = _OF_WORK + r"(?P<unit{0}>minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|[mhdw])(?![A-Za-z])"
_WORDS = {
    "a": "1",
    "an": "1",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "half a": "0.5",
    "half an": "0.5",
    "half": "0.5",
}
_WORD = re.compile(
    r"^(half an?|half|an?|one|two|three|four|five|six|seven|eight|nine|ten)"
    r"(?=[\s-]+(?:minute|min|hour|hr|day|week|month))[\s-]+",
    re.IGNORECASE,
)
_PREFIX = re.compile(
    r"^(?:[~\u2248<>\u2264\u2265=]|about|approximately|approx\.?|around|circa|ca\.|roughly|up to|at most|max\.?|est\.?|estimated|"
    r"less than|under|total\s*:)\s*",
    re.IGNORECASE,
)
_NUMBER = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
_QUANTITY = re.compile(
    rf"^(?P<low>{_NUMBER})\s*(?:{_UNIT.format(1)})?(?:\s*(?:-|\u2013|\u2014|\u2212|to|or|~)\s*~?(?P<high>{_NUMBER}))?\+?[\s-]*(?:{_UNIT.format(2)})?",
    re.IGNORECASE,
)
_FRACTIONS = {"\u00bc": ".25", "\u00bd": ".5", "\u00be": ".75", "1/4": ".25", "1/2": ".5", "3/4": ".75"}
_FRACTION = re.compile(
    r"^(?P<whole>[0-9]{1,3}\s*(?=[\u00bc\u00bd\u00be])|[0-9]{1,3}\s+(?=[13]/))?(?P<part>[\u00bc\u00bd\u00be]|[13]/[24])(?![0-9/])"
)
_PLUS = re.compile(r"^\s*(?:[a-z]+\s+){0,3}\+\s*(?=[0-9])", re.IGNORECASE)
_NO_TIME = re.compile(r"^\s*(?:story\s+)?(?:points?|pts|sprints?|iterations?|cycles?|tokens?|steps?|tasks?)\b", re.IGNORECASE)
_EXPONENT = re.compile(r"^[0-9.]+e[+-]?[0-9]+", re.IGNORECASE)
_COMMA = re.compile(r"^[0-9]+,[0-9]")
_NEGATIVE = re.compile(r"^[-\u2212]\s*[0-9.]")
_IN_TITLE = re.compile(
    r"[(\[]\s*(?:(?:estimated?|est|effort|duration|time|timing)\b\.?\s*:?\s*)?"
    rf"(?P<text>(?:~|\u2248|about\s+|approx\.?\s+)?(?:{_NUMBER})[^()\[\]]*?"
    r"(?:minutes?|mins?|hours?|hrs?|days?|weeks?|months?|h|d)\b[^()\[\]]*)[)\]]",
    re.IGNORECASE,
)
_AT_END = re.compile(
    rf"(?:\s[-\u2013\u2014|]|[,:;])\s+(?P<text>~?\s?(?:{_NUMBER})(?:\s*[-\u2013]\s*(?:{_NUMBER}))?\s*(?:minutes?|mins?|hours?|hrs?|days?|weeks?|h|d))$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class HoursReading:
    """A number of hours, or None with an issue. `rewrite` is the correct text, if that is certain."""

    hours: float | None
    code: IssueCode | None = None
    message: str = ""
    rewrite: str = ""


def _unit(text: str | None) -> float | None:
    if not text:
        return None
    lowered = text.lower()
    return _UNIT_HOURS["mo" if lowered.startswith("mo") else lowered[0]]


def read_hours(text: str) -> HoursReading:
    """The hours in a text. A range counts as its midpoint, a day as 8 h, a week as 40 h, a month as 160 h. Notes are ignored."""
    if len(text) < 4 and text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_HOURS:
        return HoursReading(float(text))
    rest = text.strip().strip("*_`").strip()
    if _COMMA.match(rest):
        whole = re.match(r"^[0-9,.]+", rest)
        written = whole.group() if whole else rest
        return HoursReading(
            None,
            IssueCode.BAD_HOURS,
            f"“{written}” can be read in two ways. Write {written.replace(',', '.')} for a fraction.",
            rest.replace(",", ".", 1) if written.count(",") == 1 and "." not in written else "",
        )
    before = None
    while rest != before:
        before = rest
        rest = _PREFIX.sub("", rest)
    rest = _WORD.sub(lambda found: _WORDS[found.group(1).lower()] + " ", rest)
    rest = re.sub(r"^between\s+(.{1,30}?)\s+and\s+(?=~?[0-9])", r"\1 to ", rest, flags=re.IGNORECASE)
    rest = _FRACTION.sub(lambda found: (found["whole"] or "").strip() + _FRACTIONS[found["part"]], rest)
    if _NEGATIVE.match(rest):
        return HoursReading(None, IssueCode.HOURS_OUT_OF_RANGE, f"“{text}”: hours cannot be negative.")
    if _EXPONENT.match(rest):
        return HoursReading(None, IssueCode.BAD_HOURS, f"“{text}” is not a number of hours. Write it out, such as 2 or 1.5.")
    hours = 0.0
    quantity = _QUANTITY.match(rest)
    if not quantity and (bracketed := hours_in_title(rest)):  # “Low (2h)”, “Weeks 3-4 (2 weeks)”
        return read_hours(bracketed)
    if quantity and not (quantity["unit1"] or quantity["unit2"]) and _NO_TIME.match(rest[quantity.end() :]):
        quantity = None
    if not quantity:
        message = f"“{text[:60]}” is not a number of hours. Write one such as 2, 1.5, 3-4, 30 minutes or 2 days."
        return HoursReading(None, IssueCode.BAD_HOURS, message)
    while quantity:
        second = _unit(quantity["unit2"])
        first = _unit(quantity["unit1"])
        if quantity["high"] is None:
            hours += float(quantity["low"]) * (first or second or 1.0)
        else:
            high_unit = second or first or 1.0
            hours += (float(quantity["low"]) * (first or high_unit) + float(quantity["high"]) * high_unit) / 2
        if not (first or second):
            break
        # "1 h 30 min", "1h30", "2h code + 1h tests": a quantity right after a quantity with a unit is added; anything else is a note.
        rest = re.sub(r"^(?:\s|and\b)+", "", _PLUS.sub("", rest[quantity.end() :]), flags=re.IGNORECASE)
        quantity = _QUANTITY.match(rest)
        if quantity and not (quantity["unit1"] or quantity["unit2"]):
            break
    if hours == 0:
        return HoursReading(None, IssueCode.HOURS_OUT_OF_RANGE, "Hours must not be zero. Write how long the phase takes, such as 0.5.")
    if hours > MAX_HOURS:
        message = f"{hours:,.0f} hours are more than the limit of {MAX_HOURS:,.0f}. Split the phase."
        return HoursReading(None, IssueCode.HOURS_OUT_OF_RANGE, message)
    return HoursReading(round(hours, 4))


def hours_in_title(title: str) -> str:
    """The duration in a heading, such as “1 hour” in “Setup (1 hour)” or “Setup - 1 hour”; "" without one."""
    found = _IN_TITLE.search(title) or _AT_END.search(title)
    return found["text"].strip() if found else ""


_COMPLEXITY = {
    "low": "low",
    "simple": "low",
    "easy": "low",
    "trivial": "low",
    "small": "low",
    "minimal": "low",
    "medium": "medium",
    "moderate": "medium",
    "med": "medium",
    "mid": "medium",
    "high": "high",
    "complex": "high",
    "hard": "high",
    "large": "high",
}
_RANK = ("low", "medium", "high")


def read_complexity(text: str) -> str:
    """low, medium or high, or "" if the text names none. “low-medium” counts as the higher one."""
    if text in _RANK:
        return text
    words = re.findall(r"[a-z]+", re.split(r"[(\u2014;,.]| - ", plain_text(text), maxsplit=1)[0].lower())
    levels = [_COMPLEXITY[word] for word in words if word in _COMPLEXITY]
    if not levels or len(words) > 5:
        return ""
    return max(levels, key=_RANK.index)


def plain_text(text: str) -> str:
    """The text without emphasis and code marks."""
    return text.replace("**", "").replace("`", "").replace("__", "").strip(" *_")
