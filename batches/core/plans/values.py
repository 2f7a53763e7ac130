"""Read hours and complexity as people write them."""

import re
from dataclasses import dataclass

from batches.core.plans.types import IssueCode

MAX_HOURS = 1000.0
_UNIT_HOURS = {"m": 1 / 60, "h": 1.0, "d": 8.0, "w": 40.0, "mo": 160.0}
_OF_WORK = r"(?:(?:full|working|work|business|calendar|person|man|dev(?:eloper)?|engineer(?:ing)?)[\s-]+)?"
_UNIT = _OF_WORK + r"(?P<unit{0}>minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|[mhdw])(?![^\W\d_])"
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
    rf"^(?P<low>{_NUMBER})\s*(?:{_UNIT.format(1)})?(?:\s*(?:-|\u2013|\u2014|\u2212|to|or|~)\s*~?(?P<high>{_NUMBER}))?\+?(?:[\s-]*{_UNIT.format(2)})?",
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


_NUMBER_WORDS = re.compile(
    r"(?:^|(?<=\bto )|(?<=\bor )|(?<=[0-9]-))(one|two|three|four|five|six|seven|eight|nine|ten)\b"
    r"(?=\s+and\s+a\s+half\b|\s*[-\u2013]\s*\w|\s+(?:to|or|hours?|days?|weeks?)\b)",
    re.IGNORECASE,
)
_STRUCK = re.compile(r"~~[^~]*~~|<(?P<tag>s|del|strike)>.*?</(?P=tag)>", re.IGNORECASE)
_CLOCK = re.compile(r"^[0-9]{1,2}:[0-9]{2}|^[0-9]{1,2}(?::[0-9]{2})?\s*[ap]\.?m\b|^[0-9]{1,2}h[0-9]{2}\s*[-\u2013]", re.IGNORECASE)
_TIMES = re.compile(rf"^(?P<factor>{_NUMBER})\s*(?:[x\u00d7*\u2715]|times)\s*(?=[~.0-9])", re.IGNORECASE)
_TIMES_AFTER = re.compile(rf"^\s*(?:[x\u00d7*\u2715]|times)\s*(?P<factor>{_NUMBER})(?![.0-9A-Za-z])", re.IGNORECASE)
_HALF = re.compile(r"^(?P<unit>[\s-]*(?:hours?|hrs?|days?|weeks?|months?))?\s*\band\s+a\s+half\b", re.IGNORECASE)
# After a number without a unit, these words open a remark; any other word may be a unit that is not known.
_REMARK = re.compile(
    r"^\s*(?:$|[(\[,;:\u2013\u2014|]|-{1,2}\s|\.(?:\s|$)|(?:for|including|incl|with|in|if|when|as|by|of|on|to|but|because|since|due|total|max(?:imum)?|"
    r"min(?:imum)?|at|approx(?:imately)?|or\s+so|or\s+less|roughly|only|each\s+way|most|work|effort|estimated|est|as\s+written|reduced|increased|"
    r"was|per\s+plan|split|across|since|depending|assuming|excluding|pure|net|focused|remaining)\b)",
    re.IGNORECASE,
)
# What changes a duration that stands right before it.
_CHANGES = re.compile(
    r"^[,.][0-9]|^\s*(?:[x\u00d7*/^%\u00b1$\u20ac\u00a3:]|\*\*|\+\s*/\s*-|or\s+(?:two|three|more|so\s+each)\b|"
    r"(?:(?:for|with|by|of)\s+)?(?:(?:[0-9]+|two|three|four|several)\s+(?:\w+\s+)?)?(?:people|persons|devs?|developers|engineers|reviewers|teams)\b|(?:per|each|every|apiece|minus|less|plus|times|instead|daily|weekly|(?:a|an)\s+(?:day|week|month|file|page|person))\b"
    r"|(?:'|\u2019|_|\s|\u00a0|\u202f)[0-9]{3}(?![0-9]))",
    re.IGNORECASE,
)
_MORE = re.compile(
    rf"(?:\u2192|->|=>|[,;/]|\b(?:to|or|then|minus|was|of|from|instead\s+of|rather\s+than|not|at\s+most|at\s+least|up\s+to|max|min|plus)\b|\s[-\u2013]\s)"
    rf"[^()\[\]]{{0,40}}?(?<![\w.])(?:{_NUMBER})\s*(?:minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|[hdw])(?![A-Za-z])",
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


def _unreadable(text: str, why: str = "is not a number of hours") -> HoursReading:
    message = f"“{text[:60]}” {why}. Write one such as 2, 1.5, 3-4, 30 minutes or 2 days."
    return HoursReading(None, IssueCode.BAD_HOURS, message)


def read_hours(text: str) -> HoursReading:
    """The hours in a text. A range counts as its midpoint, a day as 8 h, a week as 40 h, a month as 160 h.

    Remarks are passed over; what would change the number (a factor, “per file”, a second duration, a unit that is not known,
    a time of the day, a thousands separator) is understood or refused, never passed over.
    """
    if len(text) < 4 and text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_HOURS:
        return HoursReading(float(text))
    rest = _STRUCK.sub(" ", text).strip().strip("*_`").strip()
    if _COMMA.match(rest):
        whole = re.match(r"^[0-9,.]+", rest)
        written = whole.group() if whole else rest
        one_way = written.count(",") == 1 and "." not in written and not re.search(r"^[1-9].*,[0-9]{3}$", written)
        hint = f" Write {written.replace(',', '.')} for a fraction." if one_way else " Write it without a comma."
        rewrite = rest.replace(",", ".", 1) if one_way else ""
        if rewrite and read_hours(rewrite).hours is None:  # what follows the number is no hours either
            rewrite = ""
        return HoursReading(None, IssueCode.BAD_HOURS, f"“{written}” can be read in two ways.{hint}", rewrite)
    before = None
    while rest != before:
        before = rest
        rest = _PREFIX.sub("", rest)
    if re.match(r"[1-9][0-9]{0,2}\.[0-9]{3}(?![0-9])", rest):
        return _unreadable(text, "can be read in two ways")
    if _CLOCK.match(rest):
        return _unreadable(text, "is a time of the day, or minutes and seconds")
    rest = re.sub(r"^(?:an?|one)\s+(hour|day|week|month)\s+and\s+a\s+half\b", r"1.5 \1", rest, flags=re.IGNORECASE)
    rest = _WORD.sub(lambda found: _WORDS[found.group(1).lower()] + " ", rest)
    rest = _NUMBER_WORDS.sub(lambda found: _WORDS[found[1].lower()], rest)
    rest = re.sub(r"^between\s+(.{1,30}?)\s+and\s+(?=~?[0-9])", r"\1 to ", rest, flags=re.IGNORECASE)
    rest = _FRACTION.sub(lambda found: (found["whole"] or "").strip() + _FRACTIONS[found["part"]], rest)
    if _NEGATIVE.match(rest):
        return HoursReading(None, IssueCode.HOURS_OUT_OF_RANGE, f"“{text}”: hours cannot be negative.")
    if _EXPONENT.match(rest):
        return HoursReading(None, IssueCode.BAD_HOURS, f"“{text}” is not a number of hours. Write it out, such as 2 or 1.5.")
    factor = 1.0
    if times := _TIMES.match(rest):
        factor, rest = float(times["factor"]), rest[times.end() :]
    hours = 0.0
    quantity = _QUANTITY.match(rest)
    undecided = re.match(r"(?:tbd|tba|unknown|open|unclear|\?)", rest, re.IGNORECASE)
    if not quantity and factor == 1.0 and not undecided and (bracketed := hours_in_title(rest)):  # “Low (2h)”, “Weeks 3-4 (2 weeks)”
        return read_hours(bracketed)
    if quantity and not (quantity["unit1"] or quantity["unit2"]) and _NO_TIME.match(rest[quantity.end() :]):
        quantity = None
    if not quantity:
        return _unreadable(text)
    while quantity:
        second = _unit(quantity["unit2"])
        first = _unit(quantity["unit1"])
        tail = rest[quantity.end() :]
        low = float(quantity["low"])
        if half := _HALF.match(tail):
            low, tail = low + 0.5, tail[half.end() :]
            if half["unit"]:
                second = _unit(half["unit"].strip(" -"))
            elif not (first or second) and (unit := re.match(r"[\s-]*(hours?|hrs?|days?|weeks?|months?)\b", tail, re.IGNORECASE)):
                second, tail = _unit(unit[1]), tail[unit.end() :]
        if quantity["high"] is None:
            part = low * (first or second or 1.0)
        else:
            high_unit = second or first or 1.0
            part = (low * (first or high_unit) + float(quantity["high"]) * high_unit) / 2
        if times := _TIMES_AFTER.match(tail):
            part, tail = part * float(times["factor"]), tail[times.end() :]
        hours += part * factor
        factor = 1.0
        if _CHANGES.match(tail):
            return _unreadable(text, "has something after the number that changes it")
        if not (first or second):
            if not _REMARK.match(tail.removeprefix("+")):
                return _unreadable(text, f"has “{tail.strip().split()[0][:20]}” after the number, which is no unit that is known")
            rest = tail
            break
        # "1 h 30 min", "1h30", "2h code + 1h tests": a quantity right after a quantity with a unit is added; anything else is a note.
        rest = re.sub(r"^(?:\s|and\b)+", "", _PLUS.sub("", tail), flags=re.IGNORECASE)
        quantity = _QUANTITY.match(rest)
        if quantity and not (quantity["unit1"] or quantity["unit2"]):
            if quantity["high"] is None and re.fullmatch(r"[0-5]?[0-9]", quantity["low"]) and first == 1.0:
                hours += float(quantity["low"]) / 60  # “1h30”
                rest = rest[quantity.end() :]
            break
    if _MORE.search(_BRACKETS.sub(" ", rest)):
        return _unreadable(text, "names two durations")
    if hours == 0:
        return HoursReading(None, IssueCode.HOURS_OUT_OF_RANGE, "Hours must not be zero. Write how long the phase takes, such as 0.5.")
    if hours > MAX_HOURS:
        message = f"{hours:,.0f} hours are more than the limit of {MAX_HOURS:,.0f}. Split the phase."
        return HoursReading(None, IssueCode.HOURS_OUT_OF_RANGE, message)
    return HoursReading(round(hours, 4))


_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


def is_struck(text: str) -> bool:
    """Whether a text is struck through as a whole: `~~…~~`, or `<del>…</del>`."""
    return ("~~" in text or "<" in text) and not re.search(r"\w", _STRUCK.sub("", text)) and bool(re.search(r"\w", text))


_NO_ITEM = re.compile(r"(?:none|n/?a|nothing|nil|not applicable|[-\u2013\u2014]+)(?:\s+(?:needed|required))?\.?\s*(?:\([^()]*\))?\.?", re.I)


def says_that_there_is_none(text: str) -> bool:
    """Whether an item of a list says that the list is empty: “None”, “N/A”, “None (documentation only)”."""
    return bool(_NO_ITEM.fullmatch(text.strip().strip("*_").strip()))


def without_struck(text: str) -> str:
    """The text without what is struck through, and without the commas that are left over by it."""
    if "~~" not in text and "<" not in text:
        return text
    left = _STRUCK.sub("", text)
    return text if left == text else re.sub(r"\s*,(?:\s*,)+", ",", left).strip(" ,")


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
