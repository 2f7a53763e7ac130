"""Read the section of a phase by its labels: each label and sub-heading has a role, and what stands below it is read in that role."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from batches.core.plans.blocks import MarkdownBlock
from batches.core.plans.formats.document import Item, Section, folded, label_of, one_line, table_of
from batches.core.plans.formats.draft import Draft, DraftPhase, step_text
from batches.core.plans.labels import FIELD_OF, Field
from batches.core.plans.section_fields import separate_commands
from batches.core.plans.types import IssueCode
from batches.core.plans.unread import ReadAs
from batches.core.plans.values import read_hours

PART = re.compile(
    r"^(?:\d+(?:\.\d+)*[A-Za-z]?|[A-Z])[.:)]\s+\S|^Step\s+\d|^(?:Task\s+)?\d+\.\d+[A-Za-z]?[.:)]?\s+\S|^Task\s+\d", re.IGNORECASE
)  # a sub-heading that is a step
_STEP_NAME = re.compile(r"(?:step|task)\s+[0-9]{1,3}[a-z]?(?:\.[0-9]+)*|[0-9]{1,3}\.[0-9]{1,3}")


# Labels that speak of the order only where phases stand behind them; “Requires: Node 20” does not.
_WAITS = frozenset({"requires", "needs", "after", "starts after", "waits for", "comes after", "must follow"})
_NAMES_PHASES = re.compile(
    r"(?:phases?|weeks?|sprints?|tasks?|steps?|milestones?|stages?|parts?|stor(?:y|ies))\s+#?[0-9A-Z]"
    r"|#?[0-9]+[a-z]?\s*(?:$|[,&-])",
    re.IGNORECASE,
)


class Role(Enum):
    """What the text below a label is."""

    OPEN = auto()  # no label yet: boxes, numbered items and lists directly below the heading are steps
    STEPS = auto()
    STEP = auto()  # the heading itself is a step, and what stands below it are its details
    GATES = auto()
    FILES = auto()
    DEPENDENCIES = auto()
    GOAL = auto()
    HOURS = auto()
    COMPLEXITY = auto()
    DETAIL = auto()  # belongs to the step before it
    NOTES = auto()  # read by the agent with the section, no part of the plan's structure


_ONE_VALUE = (Role.FILES, Role.DEPENDENCIES, Role.HOURS, Role.COMPLEXITY)  # a paragraph below them is the value, and ends them
_OF_A_STEP = (Role.DEPENDENCIES, Role.HOURS, Role.COMPLEXITY)  # below a step they speak of the step, not of its phase
_OF_FIELD = {
    Field.GOAL: Role.GOAL,
    Field.HOURS: Role.HOURS,
    Field.COMPLEXITY: Role.COMPLEXITY,
    Field.FILES: Role.FILES,
    Field.DEPENDENCIES: Role.DEPENDENCIES,
    Field.STEPS: Role.STEPS,
    Field.GATES: Role.GATES,
}
_COMMON: dict[str, Role] = {
    **{name: _OF_FIELD[field] for name, field in FIELD_OF.items()},
    **dict.fromkeys(("purpose", "description", "overview", "summary"), Role.GOAL),
    **dict.fromkeys(
        (
            "tasks / subtasks",
            "technical tasks",
            "implementation",
            "implementation tasks",
            "changes required",
            "changes",
            "plan",
            "work items",
            "scope",
            "what to do",
            "actions",
            "to do",
            "todo",
            "subtasks",
            "sub-tasks",
            "implementation plan",
            "changes needed",
        ),
        Role.STEPS,
    ),
    **dict.fromkeys(
        (
            "success criteria",
            "definition of done",
            "validation",
            "testing",
            "test plan",
            "checkpoint",
            "done when",
            "independent test",
            "verify",
            "verification steps",
            "automated verification",
            "manual verification",
            "automated",
            "manual",
            "test strategy",
            "acceptance tests",
            "acceptance test",
            "test criteria",
            "completion criteria",
            "success criterion",
            "how to verify",
            "verification criteria",
            "verified",
            "exit criterion",
            "acceptance criterion",
            "definition of done for this phase",
        ),
        Role.GATES,
    ),
    **dict.fromkeys(("critical files", "files affected", "dependencies on earlier phases"), Role.FILES),
    "dependencies on earlier phases": Role.DEPENDENCIES,
    **dict.fromkeys(
        (
            "out of scope",
            "non-goals",
            "notes",
            "note",
            "references",
            "risks",
            "rationale",
            "context",
            "background",
            "outcome",
            "outputs",
            "implementation note",
            "implementation notes",
            "dev notes",
            "requirements",
            "status",
            "priority",
            "important",
            "critical",
        ),
        Role.NOTES,
    ),
}


_GATE_NAME = re.compile(
    r".*\b(?:definition of done|(?:validation|verification) checklist|checkpoint|review boundary|review gate|exit gate|quality gate)s?"
)
_OF_ONE_PHASE = re.compile(r"^(?:phase|stage|milestone|sprint|step|task)\s+\d+(?:\.\d+)*\s+(?=[^\W\d_])")  # “Phase 1 Exit Criteria”
_DONE_STATUS = re.compile(r"(?:\u2705\s*)?(?:complete[d]?|done|shipped|merged)\b(?!\s*\d|\s*:)|\u2705", re.IGNORECASE)
_NOTES_NAME = re.compile(
    r".*\b(?:risks?|out of scope|non-goals|references|notes|rollback|rollback plan|considerations|open questions|assumptions)"
)
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_NUMBERED_BOLD = re.compile(r"^\*\*\d+(?:\.\d+)+[a-z]?[.:)]?\s+\S[^*\n]*\*\*")


def role_of(name: str, own: Mapping[str, Role]) -> Role | None:
    """The role of a label or heading, by a format's own names first and then by those common to all; None if it has none."""
    name = _OF_ONE_PHASE.sub("", folded(name))
    role = own.get(name, _COMMON.get(name))
    if role is not None:
        return role
    return Role.GATES if _GATE_NAME.fullmatch(name) else Role.NOTES if _NOTES_NAME.fullmatch(name) else None


@dataclass(slots=True)
class PhaseReader:
    """Reads the sections of one phase into it. `roles` are the format's own labels, by their name in lower case.

    `heading_role` may give the role of a sub-heading by a rule of its own. `as_gate` takes an item out of
    the steps, `as_step` makes it one.
    """

    draft: Draft
    phase: DraftPhase
    roles: Mapping[str, Role]
    heading_role: Callable[[Section], Role | None] | None = None
    as_gate: Callable[[str], bool] | None = None
    as_step: Callable[[str], bool] | None = None
    details_follow: bool = False  # what stands below a step at the margin are its details
    only_boxes: bool = False  # where there are boxes, lists without are explanations, unless a label says otherwise
    role: Role = Role.OPEN
    labelled: bool = False  # whether an unknown label stands above what comes
    in_part: bool = False  # below a sub-heading that is a step, or holds some

    def read(self, section: Section, include_heading: bool = False) -> None:
        """Read a section and those below it. The heading itself is that of the phase, unless `include_heading`."""
        if include_heading:
            self._heading(section)
        self.blocks(section.blocks)
        outer = self.role
        for below in section.sections:
            self.role = outer
            self._heading(below)
            self.read(below)
        self.role = outer

    def blocks(self, blocks: Iterable[MarkdownBlock]) -> None:
        """Read blocks in the role that is in force, and in the roles of the labels among them."""
        for block in blocks:
            if block.kind == "paragraph":
                self._paragraph(block)
            elif block.kind == "list":
                for item in self.draft.document.items_of(block):
                    self._item(item)
            elif block.kind in ("fence", "code"):
                self._code(block)
            elif block.kind == "quote":
                self._mark_detail(block)

    def _heading(self, section: Section) -> None:
        self.in_part = bool(PART.match(section.title))
        role = self.heading_role(section) if self.heading_role is not None else None
        role = role if role is not None else role_of(section.title, self.roles)
        if role is Role.STEP:
            self.phase.add_step(one_line(section.title), section.line)
            self.draft.account.mark(ReadAs.STEP, section.line)
            self.role, self.labelled = Role.DETAIL, False
            return
        if role is not None:
            self.role, self.labelled = role, False
            if role is not Role.NOTES:
                self.draft.account.mark(ReadAs.FIELD, section.line)
        elif self.role is not Role.NOTES:
            self.labelled = True

    def _paragraph(self, block: MarkdownBlock) -> None:
        rows = table_of(block)
        if rows:
            self._table(block, rows)
            return
        text, first = block.text, block.start + 1
        lines = text.split("\n")
        starts = [at for at, line in enumerate(lines) if at == 0 or self._known(line)]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            self._prose("\n".join(lines[start:stop]), first + start, first + stop - 1)

    def _known(self, line: str) -> bool:
        label = label_of(line.strip())
        return label is not None and (label.bold or role_of(label.name, self.roles) is not None)

    def _prose(self, text: str, line: int, end_line: int) -> None:
        if _NUMBERED_BOLD.match(text):
            self.phase.add_step(one_line(text), line)
            self.draft.account.mark(ReadAs.STEP, line, end_line)
            self.role, self.labelled = Role.DETAIL, False
            return
        label = label_of(text)
        if label is None:
            if self.role is Role.GOAL and not self.phase.goal:
                self.phase.goal = _COMMENT.sub("", text)
                self.draft.account.mark(ReadAs.FIELD, line, end_line)
            elif self.role in _ONE_VALUE:
                if not (self.role is Role.FILES and self.phase.files):
                    self._value(self.role, text, line, end_line)
                self.role, self.labelled = Role.OPEN, True
            elif self.role is Role.GATES and _is_alone(text):
                self._value(self.role, text, line, end_line)
            return
        role = role_of(label.name, self.roles)
        if role is None and label.name in _WAITS and _NAMES_PHASES.match(label.value):
            role = Role.DEPENDENCIES
        if label.name == "status" and _DONE_STATUS.match(label.value):
            self.phase.done = True
        if role is None and _STEP_NAME.fullmatch(label.name) and label.value:
            self.phase.add_step(one_line(label.value), line)
            self.draft.account.mark(ReadAs.STEP, line, end_line)
            self.role, self.labelled = Role.DETAIL, False
            return
        if role is None:
            if not label.value and label.bold:
                self.labelled = True
            return
        if label.name == "scope" and label.value:  # a sentence about the phase; only a list below “Scope” is its steps
            return
        if (self.role is Role.DETAIL and role in (Role.GOAL, Role.STEPS, Role.NOTES)) or self._is_of_a_step(role):
            self.draft.account.mark(ReadAs.STEP, line, end_line)
            return
        if role is not Role.NOTES:
            self.draft.account.mark(ReadAs.FIELD, line, end_line)
        if label.value and not label.value.endswith(":"):
            self._value(role, label.value, line, end_line)
        else:  # what it names stands below
            self.role, self.labelled = role, False

    def _is_of_a_step(self, role: Role | None) -> bool:
        """Whether a label speaks of the step above it, and not of the phase."""
        return role in _OF_A_STEP and (self.in_part or self.role is Role.DETAIL)

    def _value(self, role: Role, value: str, line: int, end_line: int) -> None:
        phase, draft = self.phase, self.draft
        if role is Role.GOAL:
            phase.goal = phase.goal or value
        elif role is Role.HOURS:
            phase.hours_text = phase.hours_text or " ".join(value.split())
        elif role is Role.COMPLEXITY:
            phase.complexity_text = phase.complexity_text or value
        elif role is Role.FILES:
            draft.files(phase, value, line, end_line)
        elif role is Role.DEPENDENCIES:
            draft.waiting.append((phase, " ".join(value.split()), line))
            draft.account.mark(ReadAs.DEPENDENCIES, line, end_line)
        elif role is Role.GATES:
            phase.add_gate(" ".join(value.split()), line)
            draft.account.mark(ReadAs.GATE, line, end_line)
        elif role is Role.STEPS:
            phase.add_step(value, line)
            draft.account.mark(ReadAs.STEP, line, end_line)

    def _item(self, item: Item) -> None:
        lines = item.text.split("\n")
        late = [at for at in range(1, len(lines)) if self._known(lines[at]) and self.draft.document.lines[item.line - 1 + at][:1].strip()]
        if late:  # a label at the margin, right below an item, is a label for people, though markdown makes it part of the item
            item.text = "\n".join(lines[: late[0]])
            last, item.end_line = item.end_line, item.line + late[0] - 1
            self._item(item)
            for start, stop in zip(late, [*late[1:], len(lines)], strict=True):
                self._prose("\n".join(lines[start:stop]), item.line + start, min(item.line + stop - 1, last))
            return
        label = label_of(item.text) if self.role is not Role.FILES or item.has_box else None
        role = role_of(label.name, self.roles) if label is not None else None
        if self._is_of_a_step(role):
            self.draft.account.mark(ReadAs.STEP, item.line, item.end_line)
            return
        if label is not None and role not in (None, Role.NOTES, Role.OPEN) and not (self.role is role and label.value) and not item.has_box:
            self.draft.account.mark(ReadAs.FIELD, item.line)
            if label.value:
                self._value(role, label.value, item.line, item.line)
            kept, self.role = self.role, role
            for below in item.items:
                self._item(below)
            self.role = kept
            return
        self._plain_item(item)

    def _plain_item(self, item: Item) -> None:
        draft, phase = self.draft, self.phase
        role = self.role
        if self.as_step is not None and (item.has_box or not self.only_boxes) and self.as_step(item.text):
            role = self.role = Role.STEPS
        if role is Role.OPEN:
            role = Role.STEPS if item.has_box or item.number is not None or not self.labelled else Role.NOTES
        if role is Role.DETAIL:
            if item.has_box:
                role = Role.STEPS
            else:
                draft.account.mark(ReadAs.STEP, item.line, item.end_line)
                return
        if item.has_box and role in (Role.NOTES, Role.GOAL, *_ONE_VALUE):
            role = self.role = Role.STEPS
        numbered = self.role is Role.STEPS and item.number is not None and not self.labelled
        if role is Role.STEPS and self.only_boxes and not item.has_box and not numbered:
            draft.account.because(item.line, "The steps of this document are its check-boxes and numbered tasks.")
        elif role is Role.STEPS:
            if self.as_gate is not None and self.as_gate(item.title):
                draft.gate(phase, item)
            else:
                self._step(item)
        elif role is Role.GATES:
            draft.gate(phase, item)
        elif role is Role.FILES:
            self._files(item)
        elif role is Role.DEPENDENCIES:
            draft.waiting.append((phase, item.title, item.line))
            draft.account.mark(ReadAs.DEPENDENCIES, item.line, item.end_line)
        elif role is Role.GOAL:
            phase.goal = phase.goal or step_text(item)
            draft.account.mark(ReadAs.FIELD, item.line, item.end_line)
        elif role is Role.HOURS:
            label = label_of(item.text)
            if not phase.hours_text and read_hours(value := label.value if label else item.title).hours is not None:
                phase.hours_text = value
            draft.account.mark(ReadAs.FIELD, item.line, item.end_line)

    def _step(self, item: Item) -> None:
        """An item is a step. Where items below it have boxes of their own, the deepest are the steps, each with the titles above it."""
        leaves = list(_leaves(item, ""))
        for leaf, above in leaves:
            self.draft.step(self.phase, leaf, f"{above}{step_text(leaf)}")
        if not leaves:
            self.draft.step(self.phase, item)
        for below in item.walk() if leaves else ():
            self.draft.account.mark(ReadAs.STEP, below.line)
        if self.details_follow:
            self.role = Role.DETAIL

    def _files(self, item: Item) -> None:
        text = item.text.split("\n", 1)[0]
        if item.items and not re.search(r"[`/.]", text):
            self.draft.account.mark(ReadAs.FILES, item.line)
            for below in item.items:
                self._files(below)
        else:
            self.draft.files(self.phase, text, item.line, item.end_line, inline=False)

    def _table(self, block: MarkdownBlock, rows: list[tuple[int, list[str]]]) -> None:
        if self.role not in (Role.STEPS, Role.GATES, Role.FILES):
            return
        for line, cells in rows[1:]:
            text = " — ".join(cell for cell in (cells[0], *cells[-1:]) if cell) if len(cells) > 1 else cells[0]
            if self.role is Role.FILES:
                self.draft.files(self.phase, cells[0], line)
            elif self.role is Role.STEPS:
                self.phase.add_step(text, line)
            else:
                self.phase.add_gate(text, line)
        self.draft.account.mark(
            {Role.STEPS: ReadAs.STEP, Role.GATES: ReadAs.GATE, Role.FILES: ReadAs.FILES}[self.role], block.start + 1, block.end
        )

    def _code(self, block: MarkdownBlock) -> None:
        if self.role is Role.GATES and (not block.info or block.info.split()[0].lower() in ("sh", "bash", "shell", "zsh", "console")):
            commands = separate_commands(re.sub(r"^\$ ", "", block.text, flags=re.MULTILINE))
            for at, command in commands:
                self.phase.add_gate(f"`{command}` passes", block.start + 2 + at)
            if commands:
                self.draft.account.mark(ReadAs.GATE, block.start + 1, block.end)
            else:
                self._script(block)
        else:
            self._mark_detail(block)

    def _script(self, block: MarkdownBlock) -> None:
        """A script among the gates: its lines mean nothing alone, and nobody has said when it succeeds."""
        why = "A script is no gate: its lines mean nothing alone. Write one command a line, or call the script from a file."
        self.draft.account.because(block.start + 1, why)
        self.draft.issues.warning(block.start + 1, IssueCode.UNREAD_GATE, why, field=Field.GATES, phase=self.phase.key)

    def _mark_detail(self, block: MarkdownBlock) -> None:
        if self.role in (Role.STEPS, Role.DETAIL, Role.OPEN) and self.phase.steps:
            self.draft.account.mark(ReadAs.STEP, block.start + 1, block.end)


def _leaves(item: Item, above: str) -> Iterator[tuple[Item, str]]:
    """The deepest boxes below an item, each with the titles of those above it."""
    for below in item.items:
        if below.has_box:
            inner = list(_leaves(below, f"{above}{item.title}: "))
            yield from inner or [(below, f"{above}{item.title}: ")]


def _is_alone(text: str) -> bool:
    """Whether a paragraph below a label of gates is a gate itself, and not the sentence that opens a list of them."""
    return not text.rstrip().endswith(":") and len(text.split()) >= 3


def final_checks(draft: Draft) -> None:
    """Check-boxes below a heading of checks (“Acceptance Criteria”) outside all phases hold at the end: gates of the phase above."""
    draft.checks_at_end = True
    if not draft.phases:
        return
    ordered = sorted(draft.phases, key=lambda phase: phase.line)
    for section in draft.document.sections:
        last = next((phase for phase in reversed(ordered) if phase.line < section.line), ordered[-1])
        if any(phase.line <= section.line <= phase.end_line for phase in draft.phases) or role_of(section.title, {}) is not Role.GATES:
            continue
        for item in draft.document.items_in(section, deep=True):
            if item.has_box and not draft.account.is_marked(item.line):
                draft.gate(last, item)
