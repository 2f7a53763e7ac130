"""Recognise the heading of a phase and the label of a field (docs/plan-format.md)."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from batches.core.plans import languages


class Field(StrEnum):
    """The fields of a phase, under the names that messages use."""

    GOAL = "Goal"
    HOURS = "Estimated Hours"
    COMPLEXITY = "Complexity"
    FILES = "Files Modified"
    DEPENDENCIES = "Dependencies"
    STEPS = "Implementation Steps"
    GATES = "Validation Gates"


REQUIRED = (Field.GOAL, Field.HOURS, Field.COMPLEXITY, Field.FILES, Field.DEPENDENCIES)

# The lists of all these names add up, except deliverables: they are steps only where nothing else is.
DELIVERABLES = "deliverables"
STEP_NAMES = (
    "implementation steps",
    "steps",
    "tasks",
    DELIVERABLES,
    "implementation tasks",
    "key tasks",
    "task list",
    "subtasks",
    "sub-tasks",
    "action items",
    "actions",
    "to do",
    "to-do",
    "todo",
    "todos",
    "work items",
    "changes required",
    "required changes",
)
GATE_NAMES = (
    "validation gates",
    "validation gate",
    "gates",
    "gate",
    "quality gates",
    "quality gate",
    "exit gates",
    "verification",
    "verification steps",
    "verification criteria",
    "verify",
    "automated verification",
    "manual verification",
    "how to verify",
    "acceptance criteria",
    "acceptance",
    "acceptance tests",
    "acceptance test",
    "exit criteria",
    "success criteria",
    "completion criteria",
    "definition of done",
    "done when",
    "done criteria",
    "validation",
    "validation criteria",
    "validation steps",
    "validation checklist",
    "testing",
    "manual testing",
    "test plan",
    "test criteria",
    "checkpoint",
    "checkpoints",
    "independent test",
    "independent tests",
)
_ASIDE = re.compile(
    r"\b(?:notes?|risks?|mitigations?|rationale|background|assumptions?|questions?|references?|resources|links|see also|examples?|"
    r"benefits|alternatives|rollback|constraints|limitations?|caveats?|edge cases|out of scope|non-goals|decisions?|deferred|"
    r"known issues|expected (?:outputs?|results?|outcomes?)|qa)\b|"
    r"^(?:context|scope|in scope|why|impact|design|pros|cons|inputs?|outputs?|warnings?)$",
    re.IGNORECASE,
)


def is_aside(label: str) -> bool:
    """Whether lists under this label are about the work and no part of it: they do not carry on the steps or gates above."""
    return bool(_ASIDE.search(label_name(label)))


_NAMES: dict[Field, tuple[str, ...]] = {
    Field.GOAL: ("goal", "objective", "purpose"),
    Field.HOURS: (
        "estimated hours",
        "estimated effort",
        "estimated time",
        "estimated duration",
        "expected duration",
        "expected time",
        "expected effort",
        "expected hours",
        "time estimate",
        "effort estimate",
        "hours estimate",
        "estimated work",
        "estimate",
        "hours",
        "effort",
        "duration",
        "time",
        "timing",
    ),
    Field.COMPLEXITY: ("complexity",),
    Field.FILES: (
        "files modified",
        "files",
        "file",
        "key files",
        "files to modify",
        "files to create",
        "files created",
        "files to update",
        "files to change",
        "files to edit",
        "files to add",
        "files to delete",
        "files to touch",
        "files changed",
        "files updated",
        "files added",
        "files deleted",
        "files touched",
        "files affected",
        "affected files",
        "modified files",
        "new files",
        "files likely touched",
        "files to create/modify",
        "files to modify/create",
        "files to create or modify",
        "files to modify or create",
        "files to create and modify",
        "files to be modified",
        "files to be created",
        "files created/modified",
        "files modified/created",
        "files to create & modify",
    ),
    Field.DEPENDENCIES: (
        "dependencies",
        "dependency",
        "depends on",
        "depends upon",
        "blocked by",
        "prerequisites",
        "prerequisite",
    ),
    Field.STEPS: STEP_NAMES,
    Field.GATES: GATE_NAMES,
}
_IN_OTHER_LANGUAGES: dict[Field, tuple[str, ...]] = {
    Field.GOAL: languages.GOAL,
    Field.HOURS: languages.HOURS,
    Field.COMPLEXITY: languages.COMPLEXITY,
    Field.FILES: languages.FILES,
    Field.DEPENDENCIES: languages.DEPENDENCIES,
    Field.STEPS: languages.STEPS,
    Field.GATES: languages.GATES,
}
FIELD_OF = {name: field for table in (_NAMES, _IN_OTHER_LANGUAGES) for field, names in table.items() for name in names}

_SYMBOL = (
    "\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0e\ufe0f\u200d"
    "\U0001f000-\U0001faff\U000e0020-\U000e007f"
)
_SYMBOLS_AT_START = re.compile(f"^[{_SYMBOL}\\s]+")
_SYMBOLS_AT_END = re.compile(f"[{_SYMBOL}\\s]+$")
_STATUS = r"\[(?:[A-Z][A-Z _/-]{2,30}|[xX ]|done|todo|wip|completed?|in progress|not started|blocked|partial)\]"
_STATUS_AT_START = re.compile(rf"^{_STATUS}\s*")
_STATUS_AT_END = re.compile(rf"\s*{_STATUS}$")
_CODED_STATUS = re.compile(rf"^`{_STATUS}`\s*|\s*`{_STATUS}`$")
_ANCHOR = re.compile(r"\s*(?:\{#[\w-]{1,80}\}|<!--(?:(?!-->).){0,200}-->)$", re.DOTALL)
_LINKED = re.compile(r"^\[([^\[\]]+)\]\([^()\s]*\)$")
_NUMBERED = re.compile(r"^\d+(?:\.\d+)*[.)]?\s+(?=phase\b)", re.IGNORECASE)

KEY = r"(?:[0-9]{1,6}(?:\.[0-9]{1,4}){0,6}[A-Za-z]?[0-9]?|[A-Za-z][0-9]{0,3}|[IVX]{2,5})"
_PHASE = re.compile(rf"^phase(?:(?:\s+|[-_])#?|(?=[0-9]))(?P<key>{KEY})(?P<rest>(?![\w/]).*)$", re.IGNORECASE | re.DOTALL)
_REST = re.compile(r"^\s*(?:[:\u2013\u2014|]|\.(?=\s|$)|-(?=\s)|--)\s*(?P<title>.*)$", re.DOTALL)
_NOTED = re.compile(r"^(?P<note>\([^()]{1,60}\)|\[[^\[\]]{1,60}\])\s*(?:[:\u2013\u2014]|-(?=\s))\s*(?P<title>\S.*)$", re.DOTALL)
WORD = r"[A-Za-z][A-Za-z0-9]*(?:[._-][A-Za-z0-9]+)*"
_WORD_KEY = re.compile(
    rf"^phase\s+(?P<key>(?!.*\.lock\b)(?=\S{{2,40}}(?:\s|:)){WORD})\s*(?:[:\u2013\u2014]|-(?=\s))\s*(?P<title>.+)$", re.IGNORECASE
)
_BAD_KEY = re.compile(r"^phase\s+(?P<key>[^\s:]{1,200}|[^\w\s:][^:]{0,79}?)\s*:\s*(?P<title>.*)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PhaseHeading:
    """A heading that opens a phase. A `weak` one opens a phase only if fields stand below it.

    `alias` is what the document calls the phase if not “Phase KEY”: “Final Phase”, “Step 3”. One that `says_phase` is told if
    it is not read. A heading of another word or a number (“Step 3”) inside a phase is a part of that phase.
    """

    key: str
    title: str
    weak: bool = False
    bad_key: bool = False
    alias: str = ""
    says_phase: bool = True


def plain(text: str) -> str:
    """Inline source without the emphasis around it."""
    text = " ".join(text.split())
    while len(text) > 1 and text[0] in "*_" and text[-1] == text[0]:
        text = text[1:-1].strip()
    return text


def symbols_off(text: str) -> str:
    """The text without emoji and arrows at its start."""
    return _SYMBOLS_AT_START.sub("", text) if text[:1] > "~" else text


def clean_title(text: str) -> str:
    """A title without status tags, without emoji at its ends, and without emphasis around it."""
    before = None
    while text != before:
        before = text
        text = _STATUS_AT_END.sub("", _STATUS_AT_START.sub("", text.strip()))
        if text[-1:] in "}>`)" or text[:1] in "`[":
            text = _LINKED.sub(r"\1", _ANCHOR.sub("", _CODED_STATUS.sub("", text)))
        text = _SYMBOLS_AT_START.sub("", _SYMBOLS_AT_END.sub("", text))
        if text.startswith(("**", "__")) and text.endswith(text[:2]) and len(text) > 4 and text[:2] not in text[2:-2]:
            text = text[2:-2]
    return text


def phase_heading(text: str) -> PhaseHeading | None:
    """The phase that a heading opens, or None for any other heading. `text` is its inline source.

    The end of the heading, a colon, a dash or brackets follow the key. “Phase 1 Execution” is only a weak heading, and
    “Phase Dependency Graph” opens no phase.
    """
    text = _NUMBERED.sub("", _SYMBOLS_AT_START.sub("", plain(text).replace("**", "").replace("__", "")))
    text = _STATUS_AT_START.sub("", text).replace("\ufe0f\u20e3", "")
    phase = _PHASE.match(text)
    if phase:
        rest = phase["rest"].strip()
        titled = _REST.match(rest)
        if titled:
            return PhaseHeading(phase["key"], clean_title(titled["title"]))
        noted = _NOTED.match(rest)
        if noted:  # “Phase 4 (optional): Extras”
            return PhaseHeading(phase["key"], clean_title(f"{clean_title(noted['title'])} {noted['note']}"))
        if not clean_title(rest) or rest[0] in "([":
            return PhaseHeading(phase["key"], clean_title(rest))
        return _unmarked(text, phase["key"], rest)
    other = _other_heading(text)
    if other:
        return other
    worded = _WORD_KEY.match(text)
    if worded:
        return PhaseHeading(worded["key"], clean_title(worded["title"]), weak=True)
    bad = _BAD_KEY.match(text)
    if bad:
        return PhaseHeading(bad["key"], clean_title(bad["title"]), bad_key=True)
    return None


_TITLED = r"\s*(?:[:\u2013\u2014|]|-(?=\s)|--|\.(?=\s)|$)\s*(?P<title>.*)$"
_EDGE = re.compile(
    r"^(?P<edge>(?!(?:the|this|that|each|every|per|by|of|in|for|all|no|to|and|key|multi|single|current|two|three|what|which|why|how)\b)[A-Za-z]{2,20})"
    rf"(?:\s+|-)phase(?![A-Za-z])(?:[\s#_-]*(?P<key>{KEY})(?!\w))?{_TITLED}",
    re.IGNORECASE,
)
_PLURAL = re.compile(rf"^phases\s+(?P<key>{KEY}(?:\s*(?:[-/,&+\u2013\u2014]|and\b|to\b|through\b)\s*{KEY})*)(?!\w){_TITLED}", re.IGNORECASE)
_OTHER_WORD = re.compile(
    r"^(?P<word>step|task|stage|milestone|part|sprint|iteration|story|user story|wave|week|epic|feature|module|increment|batch|track|"
    rf"work package|ticket|unit|round|cycle|pr)\s*[#_-]?(?P<key>{KEY})(?![\w.]){_TITLED}",
    re.IGNORECASE,
)
_NUMBER_WORD = re.compile(r"^(?P<key>[0-9]{1,3}(?:\.[0-9]{1,3}){0,3})[.):]?\s+(?P<title>[^\W\d_].*)$")


def _other_heading(text: str) -> PhaseHeading | None:
    """The weak heading of “Final Phase: …”, “Pre-Phase 2”, “Phases 4-5”, “Step 3: …” or “3. …”."""
    if "hase" in text or "HASE" in text:
        edge = _EDGE.match(text)
        if edge:
            key = f"{edge['edge']}-{edge['key']}" if edge["key"] else edge["edge"]
            alias = text[: edge.start("title")].rstrip(" :.|-\u2013\u2014")
            return PhaseHeading(key, clean_title(edge["title"]) or alias, weak=True, alias=alias)
        several = _PLURAL.match(text)
        if several:
            single = bool(re.fullmatch(KEY, several["key"]))
            return PhaseHeading(several["key"], clean_title(several["title"]), weak=True, bad_key=not single)
        return None
    other = _OTHER_WORD.match(text)
    if other:
        alias = f"{other['word']} {other['key']}"
        return PhaseHeading(other["key"], clean_title(other["title"]) or alias, weak=True, alias=alias, says_phase=False)
    numbered = _NUMBER_WORD.match(text)
    if numbered:
        return PhaseHeading(numbered["key"], clean_title(numbered["title"]), weak=True, says_phase=False)
    return None


_OF_TOTAL = re.compile(r"^(?:of|/)\s*[0-9]{1,4}\s*(?:[:\u2013\u2014]|-(?=\s))\s*(?P<title>\S.*)$", re.IGNORECASE | re.DOTALL)
_LONGER_KEY = re.compile(r"^(?:[-./]\w|(?:&|\+|,|and|to|through|\u2013|\u2014)\s*[0-9]+\s*[:\u2013\u2014-])", re.IGNORECASE)


def _unmarked(text: str, key: str, rest: str) -> PhaseHeading:
    """The weak heading of “Phase 1 Setup”, “Phase 1 · Setup” or “Phase 1-a: Setup” (the last with a bad key)."""
    counted = _OF_TOTAL.match(rest)
    if counted:
        return PhaseHeading(key, clean_title(counted["title"]), weak=True)
    if _LONGER_KEY.match(rest):
        head, _, title = text.partition(":")
        return PhaseHeading(head[len("phase") :].strip()[:80], clean_title(title), weak=True, bad_key=True)
    return PhaseHeading(key, clean_title(rest.lstrip(",.;)/\\\u00b7\u2022\u2192>\u00bb= ")), weak=True)


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a line: the field it names (None if unknown), its name, and the value after it."""

    field: Field | None
    name: str
    value: str
    colon: bool = True  # a colon or dash marks it as a label


_BOLD_LABEL = re.compile(
    r"^(?P<mark>\*\*|__|\*(?=\w)|_(?=\w))(?P<inside>[^*\n]{1,80}?)(?P=mark)(?P<note>\s*\([^()\n]*\))?\s*(?P<colon>[:\u2013\u2014]|-(?=\s))?\s*(?P<value>.*)$"
)
_PLAIN_LABEL = re.compile(
    r"^(?P<name>[^\W\d_][^\W\d_/& '\u2019]*(?:[ /&'\u2019]+[^\W\d_]+){0,5}[ \u00a0]?)(?P<note>\s*\([^()\n]{1,40}\))?:(?:\s+(?P<value>.*))?$"
)
# Lower-case labels, as in YAML: only names that open no sentence.
_LOWER_NAMES = sorted(
    {name for names in _NAMES.values() for name in names} - {"time", "timing", "file", "gate", "verify", "acceptance", "todo", "to do"},
    key=len,
    reverse=True,
)
_LOWER_LABEL = re.compile(rf"^(?P<name>{'|'.join(map(re.escape, _LOWER_NAMES))}):(?P<value>\s.*|)$")
_LOWER_FIRST = frozenset(name[0] for name in _LOWER_NAMES)
_PARENTHESES = re.compile(r"\s*\([^()]*\)")


@lru_cache(maxsize=2048)
def field_named(text: str) -> Field | None:
    """The field that `text` names, ignoring case, brackets, emoji, numbering and colon; None if it names none."""
    return FIELD_OF.get(label_name(text))


@lru_cache(maxsize=2048)
def label_name(text: str) -> str:
    """A label in the form that is compared: lower case, without numbering, emphasis, brackets, emoji and colon."""
    name = _PARENTHESES.sub("", text.replace("*", "").replace("__", "").replace("`", ""))
    name = clean_title(name).rstrip(":").strip()
    return re.sub(r"^\d+(?:\.\d+)*[.)]?\s+", "", name).lower()


def read_label(line: str) -> Label | None:
    """The label at the start of a line of inline source, or None.

    A label is bold (colon inside, outside, or the whole line bold) or, for known fields only, plain.
    """
    first = line[:1]
    if first in _LOWER_FIRST and (lower := _LOWER_LABEL.match(line)):
        field = FIELD_OF.get(lower["name"])
        return Label(field, lower["name"], lower["value"].strip()) if field else None
    if first == "*" and line[1:2] == "*" and (end := line.find("**", 2)) > 2:
        # most labels are **Name**: value or **Name:** value; they need no pattern
        head, after = line[2:end], line[end + 2 : end + 3]
        if (after == ":" and ":" not in head) or (head.endswith(":") and head.count(":") == 1):
            name = head.rstrip(":").strip()
            return Label(field_named(name), name, line[end + (3 if after == ":" else 2) :].strip())
    if first in ("*", "_"):
        bold = _BOLD_LABEL.match(line)
        if not bold:
            return None
        inside, value = bold["inside"].strip(), (bold["value"] or "").strip()
        head, colon, tail = inside.partition(":")
        if colon and tail.strip():  # **Time: 2 hours**
            if field_named(head) is None:
                return Label(None, head.strip(), value)
            return Label(field_named(head), head.strip(), (tail.strip() + " " + value).strip())
        if not colon and not bold["colon"] and value:
            named = field_named(inside[:-1]) if inside.endswith(".") else None  # “**Goal.** Export the data”
            return Label(named, inside[:-1], value) if named else None
        if len(bold["mark"]) == 1 and not (colon or bold["colon"]):
            return None
        return Label(field_named(head), head.strip(), value, bool(colon or bold["colon"]))
    if first.isupper():
        plain_label = _PLAIN_LABEL.match(line)
        if plain_label:
            field = field_named(plain_label["name"])
            if field:
                return Label(field, plain_label["name"], (plain_label["value"] or "").strip())
    return None
