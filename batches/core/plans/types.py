"""The types of a plan that has been read: phases, issues, and the repairs that fix an issue."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from batches.core.errors import BatchError
from batches.core.plans.unread import NO_ACCOUNTING, Accounting


class IssueCode(StrEnum):
    """Every issue that a plan can have: a closed list, explained in docs/plan-format.md."""

    # the file
    EMPTY = "empty"
    TOO_LARGE = "too-large"
    NOT_UTF8 = "not-utf-8"
    UTF16 = "utf-16"
    BINARY = "binary"
    CONTROL_CHARACTER = "control-character"
    LINE_TOO_LONG = "line-too-long"
    BIDI_CONTROL = "bidi-control"
    ZERO_WIDTH = "zero-width"
    # front matter
    FRONT_MATTER_UNCLOSED = "front-matter-unclosed"
    FRONT_MATTER_YAML = "front-matter-yaml"
    FRONT_MATTER_ALIAS = "front-matter-alias"
    FRONT_MATTER_TAG = "front-matter-tag"
    FRONT_MATTER_DUPLICATE = "front-matter-duplicate-key"
    FRONT_MATTER_NOT_MAPPING = "front-matter-not-a-mapping"
    FRONT_MATTER_TOO_DEEP = "front-matter-too-deep"
    FRONT_MATTER_TOO_LARGE = "front-matter-too-large"
    # structure
    NO_TITLE = "no-title"
    NO_PHASES = "no-phases"
    UNCLOSED_FENCE = "unclosed-fence"
    DUPLICATE_KEY = "duplicate-key"
    BAD_KEY = "bad-key"
    TOO_MANY_PHASES = "too-many-phases"
    TOO_INTRICATE = "too-intricate"
    REPEATED_HEADING = "repeated-heading"
    UNREAD_SECTION = "unread-section"
    UNREAD_LIST = "unread-list"
    UNREAD_GATE = "unread-gate"
    ALREADY_DONE = "already-done"
    CALLED_OFF = "called-off"
    NO_ORDER = "no-order"
    BAD_JSON = "bad-json"
    UNFILLED_TEMPLATE = "unfilled-template"
    # fields
    MISSING_FIELD = "missing-field"
    EMPTY_FIELD = "empty-field"
    REPEATED_FIELD = "repeated-field"
    UNKNOWN_FIELD = "unknown-field"
    BAD_HOURS = "bad-hours"
    HOURS_OUT_OF_RANGE = "hours-out-of-range"
    UNKNOWN_COMPLEXITY = "unknown-complexity"
    NO_STEPS = "no-steps"
    NO_GATES = "no-gates"
    NO_WORK = "no-work"
    GATE_NOT_RUN = "gate-not-run"
    EMPTY_ITEM = "empty-item"
    TOO_MANY_ITEMS = "too-many-items"
    NUMBERING_GAP = "numbering-gap"
    # files
    FILE_ABSOLUTE = "file-absolute"
    FILE_OUTSIDE = "file-outside"
    FILE_IN_GIT = "file-in-git"
    FILE_NAME = "file-name"
    FILE_TOO_LONG = "file-too-long"
    FILE_PROSE = "file-prose"
    FILE_CASE_CLASH = "file-case-clash"
    FILE_PROTECTED = "file-protected"
    TOO_MANY_GLOBS = "too-many-globs"
    # dependencies
    UNDEFINED_DEPENDENCY = "undefined-dependency"
    UNREADABLE_DEPENDENCY = "unreadable-dependency"
    SELF_DEPENDENCY = "self-dependency"
    REPEATED_DEPENDENCY = "repeated-dependency"
    NONE_AND_DEPENDENCY = "none-and-dependency"
    CYCLE = "cycle"


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step: its text and, separately, the shell commands of its fenced blocks, in order. `done`: its box is ticked."""

    number: int
    text: str
    commands: tuple[str, ...] = ()
    line: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class GateText:
    """One validation gate as written. `checked` says whether its box is ticked."""

    text: str
    checked: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class PhaseSpec:
    """One phase. `dependencies` are keys of other phases, spelled as those phases spell them; `hours` is None when unknown.

    `assumed` names the fields that the document does not say and that the reader filled by a rule.
    `section` is the phase's part of the document as written, for the agent; it is no part of what the phase means.
    """

    key: str
    title: str
    goal: str = ""
    hours: float | None = None
    hours_text: str = ""
    complexity: str = ""
    files: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    steps: tuple[StepSpec, ...] = ()
    gates: tuple[GateText, ...] = ()
    line: int = 0
    assumed: tuple[str, ...] = ()
    section: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """A plan: its title, its phases in document order, and the prose outside them (`overview`), for the agent."""

    title: str
    phases: tuple[PhaseSpec, ...] = ()
    overview: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ReadFormat:
    """The format that a document was read as: a name for machines, and a sentence for people.

    The sentence says what was counted and where the order comes from, such as
    “Read as spec-kit: 5 phases, 22 tasks, order from ‘Phase Dependencies’”.
    """

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Repair:
    """A change to the plan's text that is certain to remove one issue.

    `action` is "insert_after" (insert `text` after line `line`; 0 means before the first line), "replace" (replace the lines
    from `line` to `end_line`, or only `line` if that is 0, by `text`) or "delete" (remove those lines). `label` is the text
    of the button.
    """

    line: int
    action: str
    text: str
    label: str
    end_line: int = 0

    @property
    def last_line(self) -> int:
        """The last line that it changes."""
        return max(self.line, self.end_line)

    @property
    def id(self) -> str:
        """The value of the repair's button: a digest of its content, so that an outdated button is noticed."""
        return sha256(json.dumps([self.line, self.end_line, self.action, self.text]).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PlanIssue:
    """One issue: its line (from 1; 0 for the whole file), its code, and a message that says what to do.

    `repair` is what the document or its numbering speaks for; where a person has to choose, `others` are the other ways.
    """

    line: int
    code: IssueCode
    message: str
    field: str = ""
    phase: str = ""
    repair: Repair | None = None
    others: tuple[Repair, ...] = ()

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """All repairs that are offered, the one that the document speaks for first."""
        return (self.repair, *self.others) if self.repair is not None else self.others


@dataclass(frozen=True, slots=True)
class PlanReading:
    """The plan as far as it could be read, all its issues in line order, and what each line was read as.

    `format` is None for our own format.
    """

    plan: PlanSpec
    errors: tuple[PlanIssue, ...] = ()
    warnings: tuple[PlanIssue, ...] = ()
    accounting: Accounting = NO_ACCOUNTING
    format: ReadFormat | None = None


class PlanInvalid(BatchError):
    """The plan cannot be used; `issues` lists all its errors in line order."""

    def __init__(self, issues: Sequence[PlanIssue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(f"line {issue.line}: {issue.message}" for issue in self.issues))


def apply_repair(text: str, repair: Repair) -> str:
    """The plan's text after `repair`. Lines end with LF, CRLF or CR, as for the reader.

    Raises ValueError when the text has no such line (it was edited after the repair was offered).
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if repair.action == "insert_after" and 0 <= repair.line <= len(lines):
        lines[repair.line : repair.line] = repair.text.split("\n")
    elif repair.action == "replace" and 1 <= repair.line <= repair.last_line <= len(lines):
        lines[repair.line - 1 : repair.last_line] = repair.text.split("\n")
    elif repair.action == "delete" and 1 <= repair.line <= repair.last_line <= len(lines):
        del lines[repair.line - 1 : repair.last_line]
    else:
        raise ValueError(f"no line {repair.line} to {repair.action.replace('_', ' ')}")
    return "\n".join(lines)
