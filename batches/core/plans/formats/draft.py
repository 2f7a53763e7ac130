"""Phases as the readers of other tools' formats find them, and the plan that they become.

What a format does not say is filled here by one rule for all formats, and named in `PhaseSpec.assumed`: hours and complexity from
the number of steps, files from the paths in the steps, and the order from the order written.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.drawings import Drawing, drawings_of
from batches.core.plans.files import expand_braces, normalise, read_files
from batches.core.plans.formats.document import Document, Item, one_line
from batches.core.plans.formats.done import ask_about_done
from batches.core.plans.labels import KEY, Field
from batches.core.plans.languages import PHASE, in_english
from batches.core.plans.order import ABOUT_ORDER, ARROW, loose_sayings, written_order, written_parallel
from batches.core.plans.phases import ATX, MAX_ITEMS, Issues, check_commands, check_drawings, check_plan, check_work, end_of_list, step_of
from batches.core.plans.sections import MAX_PHASES
from batches.core.plans.types import GateText, IssueCode, PhaseSpec, PlanReading, PlanSpec, ReadFormat, Repair
from batches.core.plans.unread import OUTSIDE, Account, Accounting, ReadAs, UnreadKind
from batches.core.plans.values import hours_in_title, is_struck, read_complexity, read_hours, without_struck
from batches.core.text.words import counted

HOURS_FOR_A_STEP = 0.5
_MIN_HOURS, _MAX_HOURS = 1.0, 16.0
_LOW_STEPS, _MEDIUM_STEPS = 4, 12  # up to so many steps a phase is low, or medium
MAX_ASSUMED_FILES = 60
_SAFE_KEY = re.compile(rf"{KEY}|(?!stage-)(?=.{{1,40}}$)[A-Za-z][A-Za-z0-9]*(?:[._-][A-Za-z0-9]+)*")
_CODE = re.compile(r"`([^`\n]+)`")
_NAME = r"[\w.@+-]+"
_PATH = re.compile(
    r"(?<![\w/.:$~<{@\\-])(?:\./)?(?P<path>"
    rf"(?:(?:{_NAME}|\[{_NAME}\]|\({_NAME}\))/)+(?:{_NAME}|\[{_NAME}\](?:\.\w+)?|\{{[\w.,/ -]+\}}|\*{{1,2}}(?:\.\w+)?)?"
    r"|[\w-][\w.-]*\.(?:py|ts|tsx|js|jsx|mjs|cjs|go|rs|rb|java|kt|swift|c|h|cc|cpp|hpp|cs|php|sh|bash|sql|html|css|scss|vue|svelte|md|mdx|"
    r"json|ya?ml|toml|ini|cfg|lock|txt|proto|tf|gradle|xml|prisma|graphql|ex|exs|dart|lua|ipynb))(?![\w/-])"
)
_ROOT_NAMES = frozenset({"Makefile", "Dockerfile", "Procfile", "Gemfile", "Rakefile", "Justfile", "LICENSE", "NOTICE", "CODEOWNERS"})
_DONE_TITLE = re.compile(
    r"^#{1,6} .*(?:\u2705|\u2714|(?<!MUST )(?<!BE )(?<!TO )(?<!NOT )(?<!WHEN )(?<!ONCE )(?<!OF )"
    r"\b(?:COMPLETED?|DONE)\b(?! (?:BEFORE|FIRST|WHEN|ONCE|BY)\b)|\[x\]|"
    r"\((?:completed?|done)\b[^()]{0,60}\)$)"
)
# What a title says of the order, in brackets: “(depends on Phase 1)”, “(2 days, in parallel with B)”.
_TITLE_ORDER = re.compile(
    r"[(\[](?:[^()\[\]]*[,;]\s*)?(?P<value>[^()\[\],;]*?\b(?:depends?\s+(?:up)?on|not\s+depend\s+on|after|blocked\s+by|requires|needs|waits?\s+for"
    r"|independent(?:ly)?\s+(?:of|from)|no\s+dependenc(?:y|ies)|parallel\s+(?:with|to))\b[^()\[\]]{0,120})[)\]]",
    re.IGNORECASE,
)
_BARE_KEY = re.compile(r"(?:(?<=with )|(?<=from )|(?<=after )|(?<=on )|(?<=of )|(?<=to )|(?<=by ))[A-Z0-9][0-9]?\b(?!\s+\w)")
_OF_ORDER = re.compile(
    r"^(?:(?:only|can|may)\s+)*(?:starts?|begins?)?\s*(?:depends?\s+(?:up)?on|after|blocked\s+by|requires|needs|waits?\s+for)\s*:?\s+", re.I
)
_TO_FILL_IN = re.compile(r"\[(?:[\w/#-]+[ _/])+(?:name|title|description|topic)\](?!\()|\{\{[^{}]{1,60}\}\}", re.IGNORECASE)
_UNIT = re.compile(
    rf"\b(?:tasks?|stor(?:y|ies)|stages?|milestones?|steps?|sprints?|weeks?|parts?|epics?|waves?|{PHASE})\s+#?(?=[A-Z]?\d|[A-Z]\b)",
    re.IGNORECASE,
)
_NOT_DONE = re.compile(r"\b(?:partial(?:ly)?|mostly|nearly|almost|not)\b", re.IGNORECASE)
_UNCHANGED = re.compile(
    r"[*`]*(?:keep|read|reference|see|unchanged|no changes?|existing|do not|don't|uses?|depends on)\b[^`]{0,40}:", re.IGNORECASE
)
_NO_FILE = re.compile(r"[0-9.]+|(?:node|next|vue|nuxt|react|express|three|chart|d3|p5|socket)\.js|asp\.net", re.IGNORECASE)
_STORY = re.compile(r"\bstor(?:y|ies)\s+#?\d+(?:\s*(?:,|and|&|-)\s*\d+)*", re.IGNORECASE)
_TICKED = re.compile(r"[ \t>]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\[[xX]\]")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")


@dataclass(slots=True)
class DraftStep:
    """A step as found; `done` means that the document says so."""

    text: str
    line: int
    done: bool = False
    end_line: int = 0


@dataclass(slots=True)
class DraftPhase:
    """A phase as found. `dependencies` None means that the document does not say: the phase then follows the one before it."""

    key: str
    title: str
    line: int
    end_line: int
    goal: str = ""
    hours_text: str = ""
    complexity_text: str = ""
    files: list[str] = field(default_factory=list)
    done: bool = False  # its heading says so: every step is then done
    preface: str = ""  # what the document says of several phases at once, for the agent
    says_files: bool = False  # the document has a field of files, if only “none”
    dependencies: list[str] | None = None
    steps: list[DraftStep] = field(default_factory=list)
    gates: list[GateText] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether all of it is done: each step, or, without steps, each gate."""
        items = [step.done for step in self.steps] or [gate.checked for gate in self.gates]
        return self.done or (bool(items) and all(items))

    def add_step(self, text: str, line: int, done: bool = False, end_line: int = 0) -> None:
        """Add a step; an empty text adds none."""
        if text.strip():
            self.steps.append(DraftStep(text.strip(), line, done, max(line, end_line)))

    def add_gate(self, text: str, line: int, done: bool = False) -> None:
        """Add a gate; an empty text adds none."""
        if text.strip():
            self.gates.append(GateText(text.strip(), done, line))


@dataclass(slots=True)
class Draft:
    """A plan as a format's reader finds it, with the account of its lines. `finish` makes the reading of it."""

    document: Document
    format: str  # for machines: "spec-kit"
    title: str = ""
    phases: list[DraftPhase] = field(default_factory=list)
    order: str = ""  # how the sentence ends, if the order is not the one written
    tasks: str = "step"  # what the format calls its steps
    issues: Issues = field(default_factory=Issues)
    account: Account = field(init=False)
    _taken: set[str] = field(default_factory=set)  # keys in lower case
    _next: dict[str, int] = field(default_factory=dict)  # for each key that is taken, the number to try next
    own_stories: bool = False  # whether stories have numbers of their own: “Story 1” is not Phase 1
    checks_at_end: bool = False  # whether boxes below a heading of checks, outside the phases, are gates of the last one
    without_done: str | None = None  # the text without finished work, where taking out lines is not enough
    waiting: list[tuple[DraftPhase, str, int]] = field(default_factory=list)  # dependencies to read when all phases are known
    _beside: dict[int, list[int]] = field(default_factory=dict)  # {place of a phase: places of those that it runs in parallel with}

    def __post_init__(self) -> None:
        self.account = Account(self.document.lines)
        if self.document.body:
            self.account.mark(ReadAs.FRONT_MATTER, 1, self.document.body)
        section = self.document.title_section
        if section is not None:
            self.account.mark(ReadAs.TITLE, section.line)
        self.title = self.title or self.document.title

    def phase(self, key: str, title: str, line: int, end_line: int) -> DraftPhase:
        """Add a phase, and mark its first line. A key that is taken or cannot be one is replaced by a free one like it."""
        phase = DraftPhase(self._free(safe_key(key)), one_line(title), line, end_line)
        phase.done = bool(line > 0 and _DONE_TITLE.match(self.document.lines[line - 1].rstrip()) and not _NOT_DONE.search(title))
        self.phases.append(phase)
        self.account.mark(ReadAs.PHASE, line)
        return phase

    def step(self, phase: DraftPhase, item: Item, text: str = "") -> None:
        """Make a list item, with all below it, a step of the phase. One that is struck through is none."""
        if is_struck(item.text):
            self.account.because(item.line, "It is struck through.")
            return
        phase.add_step(text or step_text(item), item.line, item.done, item.end_line)
        self.account.mark(ReadAs.STEP, item.line, item.end_line)

    def gate(self, phase: DraftPhase, item: Item, text: str = "") -> None:
        """Make a list item, with all below it, a gate of the phase. One that is struck through is none."""
        if is_struck(item.text):
            self.account.because(item.line, "It is struck through.")
            return
        phase.add_gate(text or step_text(item), item.line, item.done)
        self.account.mark(ReadAs.GATE, item.line, item.end_line)

    def files(self, phase: DraftPhase, value: str, line: int, end_line: int = 0, inline: bool = True) -> None:
        """Read the value of a field of files. Names that no plan may use are warned of, prose is passed over."""
        phase.says_files = True
        if _UNCHANGED.match(value):
            self.account.mark(ReadAs.FILES, line, end_line)
            return
        for reading in read_files(without_struck(value), inline):
            if reading.code is None:
                if reading.path not in phase.files and (re.search(r"[/.*]", reading.path) or reading.path in _ROOT_NAMES):
                    phase.files.append(reading.path)
            elif reading.code is not IssueCode.FILE_PROSE:
                self.issues.warning(line, reading.code, reading.message, field=Field.FILES, phase=phase.key)
        self.account.mark(ReadAs.FILES, line, end_line)

    def _free(self, key: str) -> str:
        number = self._next.get(key.lower(), 2 if key else len(self.phases) + 1)
        candidate = key or str(number)
        while candidate.lower() in self._taken:
            candidate = f"{key}.{number}" if key else str(number)
            number += 1
        self._next[key.lower()] = number
        self._taken.add(candidate.lower())
        return candidate

    def finish(self) -> PlanReading:
        """The reading: the plan with what is assumed, the issues, and the account of the lines."""
        document, issues = self.document, self.issues
        keys = [phase.key for phase in self.phases]
        names = PhaseNames(keys, [phase.title for phase in self.phases], groups=_groups(keys))
        places = {id(phase): place for place, phase in enumerate(self.phases)}
        for phase, value, line in self.waiting:
            self._depend(phase, places[id(phase)], value, line, names)
        said = {id(phase) for phase, _, _ in self.waiting}
        headings = [document.lines[phase.line - 1].lower() if phase.line > 0 else "" for phase in self.phases]
        drawings = drawings_of(document.lines, names, headings, _extents(self.phases))
        self._read_order(names, said, drawings)
        if len(self.phases) > MAX_PHASES:
            message = f"The plan has {len(self.phases):,} phases; at most {MAX_PHASES:,} are read."
            issues.error(self.phases[MAX_PHASES].line, IssueCode.TOO_MANY_PHASES, message)
            del self.phases[MAX_PHASES:]
        if document.too_intricate:
            message = "The plan is not read beyond this line: it has far more lists, quotes and markup than a plan needs."
            issues.error(document.too_intricate, IssueCode.TOO_INTRICATE, message)
        if document.title_section is not None and (place := _TO_FILL_IN.search(document.title_section.title)):
            message = f"“{place[0]}” in the title is still to be filled in: this is the template of a plan, not a plan. Fill it in."
            issues.error(document.title_section.line, IssueCode.UNFILLED_TEMPLATE, message)
        if not self.phases:
            issues.error(0, IssueCode.NO_PHASES, f"This is a {self.format} document, but no task is written in it.")
        before = self._before()
        phases = [self._spec(phase, before[at]) for at, phase in enumerate(self.phases)]
        for spec in phases:
            check_work(spec, issues)
            check_commands(spec, issues, document.lines)
        self._ask_about_done()
        check_plan(phases, {phase.key: phase.line for phase in phases}, issues)
        check_drawings(drawings, phases, all(Field.DEPENDENCIES not in spec.assumed for spec in phases), issues)
        extents = _extents(self.phases)
        overview = _outside(document, extents)
        accounting = self.account.close(extents)
        self._say_unread_boxes(accounting)
        reading = issues.reading(PlanSpec(self.title or "Plan", tuple(phases), overview))
        return replace(reading, accounting=accounting, format=ReadFormat(self.format, self._sentence(phases)))

    def _say_unread_boxes(self, accounting: Accounting) -> None:
        """Warn of each list of open boxes outside the phases for which no rule knows a reason."""
        lines = self.document.lines
        boxes = [piece for piece in accounting.unread if piece.kind is UnreadKind.CHECK_BOX and piece.why == OUTSIDE]
        at = 0
        while at < len(boxes):
            first, at = at, end_of_list(boxes, at, lines)
            if all(_TICKED.match(piece.text) for piece in boxes[first:at]) or self.issues.is_full("warnings"):
                continue
            line, repair = boxes[first].line, None
            place = next((above for above in range(line - 1, 0, -1) if (heading := ATX.match(lines[above - 1]))), 0)
            if self.checks_at_end and place and (heading := ATX.match(lines[place - 1])) and len(heading[1]) > 1:
                text = f"{heading[1]} Acceptance Criteria ({re.sub(r'[()]', '', heading[2])})"
                repair = Repair(place, "replace", text, "Check them at the end")
            message = "These check-boxes are outside every phase, so nobody works on them and nothing is checked by them."
            self.issues.warning(line, IssueCode.UNREAD_LIST, message, repair=repair)

    def _ask_about_done(self) -> None:
        steps = [(phase, step) for phase in self.phases for step in phase.steps]
        done = [(phase, step) for phase, step in steps if step.done or phase.done]
        whole = [phase for phase in self.phases if phase.is_done]
        gone = [(phase.line, phase.end_line) for phase in whole]
        gone += [(step.line, step.end_line) for phase, step in done if phase not in whole]
        ask_about_done(self.document, len(done), len(steps), gone, self.issues, self.without_done)

    def _spec(self, phase: DraftPhase, before: Sequence[str]) -> PhaseSpec:
        assumed: list[str] = []
        for kind, count in ((Field.STEPS, len(phase.steps)), (Field.GATES, len(phase.gates))):
            if count > MAX_ITEMS:
                message = f"{kind} of Phase {phase.key} has {count:,} items; at most {MAX_ITEMS:,} are read. Split the phase."
                self.issues.error(phase.line, IssueCode.TOO_MANY_ITEMS, message, field=kind, phase=phase.key)
        steps = tuple(
            step_of(at, step.text, line=step.line, done=step.done or phase.done) for at, step in enumerate(phase.steps[:MAX_ITEMS], start=1)
        )
        gates = tuple(phase.gates[:MAX_ITEMS])
        if phase.done:
            gates = tuple(replace(gate, checked=True) for gate in gates)
        size = max(len(steps), len(gates) // 2)  # a story has one step and many criteria
        hours, hours_text = self._hours(phase)
        if hours is None and phase.hours_text and not re.match(r"(?i)\W*(?:tbd|unknown|n/?a|none)?\W*$", phase.hours_text):
            message = f"Phase {phase.key}: “{phase.hours_text[:60]}” is no number of hours that is understood, so the hours are assumed."
            self.issues.warning(phase.line, IssueCode.BAD_HOURS, message, field=Field.HOURS, phase=phase.key)
        if hours is None:
            assumed.append(Field.HOURS)
            hours = min(max(size * HOURS_FOR_A_STEP, _MIN_HOURS), _MAX_HOURS)
            hours_text = f"{hours:g}"
        complexity = read_complexity(phase.complexity_text) if phase.complexity_text else ""
        if not complexity:
            assumed.append(Field.COMPLEXITY)
            complexity = "low" if size <= _LOW_STEPS else "medium" if size <= _MEDIUM_STEPS else "high"
        files = tuple(phase.files)
        if not files and not phase.says_files:
            assumed.append(Field.FILES)
            files = assumed_files(step.text for step in steps)
        if phase.dependencies is None:
            assumed.append(Field.DEPENDENCIES)
        dependencies = tuple(dict.fromkeys(phase.dependencies if phase.dependencies is not None else before))
        goal = " ".join(phase.goal.split())
        if not goal:
            assumed.append(Field.GOAL)
        return PhaseSpec(
            key=phase.key,
            title=phase.title,
            goal=goal or phase.title,
            hours=hours,
            hours_text=hours_text,
            complexity=complexity,
            files=files,
            dependencies=dependencies,
            steps=steps,
            gates=gates,
            line=phase.line,
            assumed=tuple(sorted(assumed)),
            section="\n\n".join(filter(None, (phase.preface, self.document.text_between(phase.line, phase.end_line)))),
        )

    def _hours(self, phase: DraftPhase) -> tuple[float | None, str]:
        for text in (phase.hours_text, hours_in_title(phase.title)):
            if text and (hours := read_hours(text).hours) is not None:
                return hours, text
        return None, ""

    def _sentence(self, phases: Sequence[PhaseSpec]) -> str:
        steps, gates = sum(len(phase.steps) for phase in phases), sum(len(phase.gates) for phase in phases)
        counts = [counted(len(phases), "phase"), counted(steps, self.tasks)]
        if gates:
            counts.append(counted(gates, "gate"))
        order = self.order or ("order from the phases’ own dependencies" if self.waiting else "in the order written")
        return f"Read as {self.format}: {', '.join(counts)}, {order}"

    def _read_order(self, names: PhaseNames, said: set[int], drawings: Sequence[Drawing]) -> None:
        """Read what titles, sections about the order outside the phases, and drawings say of phases that say nothing themselves."""
        free = [place for place, phase in enumerate(self.phases) if phase.dependencies is None and id(phase) not in said]
        for place in free:
            for found in _TITLE_ORDER.finditer(in_english(self.phases[place].title)):
                self._note(place, _OF_ORDER.sub("", found["value"]), names)
        extents = _extents(self.phases)
        lines = self._lines_of_order()
        spans = [
            (section.line, section.end_line)
            for section in self.document.sections
            if section.level > 1
            and ABOUT_ORDER.search(section.title)
            and not any(first <= section.end_line and section.line <= last for first, last in extents)
        ]
        for place, (line, others) in written_order(lines, spans, names).items():
            starts_chain = not others and bool(place) and ARROW.search(self.document.lines[line - 1])  # “7 → 8” says nothing of 7
            if place in free and self.phases[place].dependencies is None and place not in self._beside and not starts_chain:
                self.phases[place].dependencies = [self.phases[other].key for other in others if other != place]
                self.account.mark(ReadAs.DEPENDENCIES, line)
                self.order = self.order or "order from the section about it"
        for place, (line, others) in written_parallel(lines, spans, names).items():
            if place in free and self.phases[place].dependencies is None and place not in self._beside:
                self._beside[place] = list(others)
                self.account.mark(ReadAs.DEPENDENCIES, line)
        for drawing in drawings:
            for place, others in (drawing.before or {}).items():
                if place in free and self.phases[place].dependencies is None and place not in self._beside:
                    self.phases[place].dependencies = [self.phases[other].key for other in others]
                    self.account.mark(ReadAs.DEPENDENCIES, drawing.line, drawing.end)
                    self.order = self.order or f"order from the drawing on line {drawing.line}"
        if any(self.phases[place].dependencies is None and place not in self._beside for place in free):
            self._say_loose(names)

    def _lines_of_order(self) -> Sequence[str]:
        """The lines as the rules of the order read them, without the numbers of stories where those are not keys of phases."""
        return [_STORY.sub("story", line) for line in self.document.lines] if self.own_stories else self.document.lines

    def _say_loose(self, names: PhaseNames) -> None:
        """Warn of sentences that loosen the order written, since they are not followed."""
        for line, text in loose_sayings(self._lines_of_order(), names):
            if not self.account.is_marked(line):
                message = f"“{text[:120]}” speaks of the order, but is not followed: phases that say nothing come one after the other."
                self.issues.warning(line, IssueCode.NO_ORDER, message, field=Field.DEPENDENCIES)

    def _note(self, place: int, value: str, names: PhaseNames) -> None:
        """Read what a title says of the order. Words that name no phase are a remark."""
        value = _BARE_KEY.sub(lambda found: f"Phase {found[0]}" if names.key(found[0]) is not None else found[0], value)
        references = read_references(_UNIT.sub("Phase ", value), names, place)
        if references.turned or references.unsure or references.undefined:
            return
        others = [other for other in references.places if other != place]
        if others or references.says_none or references.excluded:
            self.phases[place].dependencies = [*(self.phases[place].dependencies or []), *(self.phases[other].key for other in others)]
        elif references.beside:
            self._beside.setdefault(place, []).extend(references.beside)

    def _before(self) -> list[list[str]]:
        """For each phase that does not say what it waits for, the keys of those that the order written puts before it.

        It follows all that is written above it, except what itself waits for it. A phase that runs in parallel with another waits
        for what that one waits for; what follows them waits for both.
        """
        places = {phase.key: place for place, phase in enumerate(self.phases)}
        before: list[list[str]] = []
        ahead = any(places[key] > place for place, phase in enumerate(self.phases) for key in phase.dependencies or ())
        ends: dict[str, None] = {}  # the phases above that no other one above waits for
        for place, phase in enumerate(self.phases):
            with_it = {other for other in self._beside.get(place, ()) if other < place}
            with_it |= {other for other in range(place) if place in self._beside.get(other, ())}
            if with_it and phase.dependencies is None:
                keys = [key for other in sorted(with_it) for key in self._needs(other, before)]
            elif ahead and phase.dependencies is None:
                keys = self._above_apart(place, before, places)
            else:
                keys = list(ends)
            before.append(list(dict.fromkeys(key for key in keys if key not in {self.phases[other].key for other in with_it})))
            for key in self._needs(place, before):
                ends.pop(key, None)
            ends[phase.key] = None
        return before

    def _above_apart(self, place: int, before: Sequence[list[str]], places: Mapping[str, int]) -> list[str]:
        """The keys of the phases above a place that neither wait for it nor for each other: some phase waits for one further down."""
        waiting_for: dict[int, list[int]] = {}
        for other, phase in enumerate(self.phases):
            for key in self._needs(other, before) if other < place else phase.dependencies or ():
                waiting_for.setdefault(places[key], []).append(other)
        after, open_places = {place}, [place]
        while open_places:
            for other in waiting_for.get(open_places.pop(), ()):
                if other not in after:
                    after.add(other)
                    open_places.append(other)
        above = [other for other in range(place) if other not in after]
        return [self.phases[other].key for other in above if not set(waiting_for.get(other, ())) & set(above)]

    def _needs(self, place: int, before: Sequence[list[str]]) -> list[str]:
        said = self.phases[place].dependencies
        return said if said is not None else before[place]

    def _depend(self, phase: DraftPhase, place: int, value: str, line: int, names: PhaseNames) -> None:
        """Read the phases that a value names as what the phase depends on.

        A phase that does not exist is an error. Text that names none leaves the phase after the one before it, with a warning.
        """
        references = read_references(_UNIT.sub("Phase ", value), names, place)
        found = [self.phases[number].key for number in references.places if number != place]
        for name in references.undefined:
            message = f'Phase {phase.key} depends on "{name[:80]}", which does not exist.'
            self.issues.error(line, IssueCode.UNDEFINED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=phase.key)
        for remark in references.loose if references.places else ():
            message = f"Phase {phase.key}: “{remark[:80]}” is a remark that nothing follows: the phase waits until what it names is done."
            self.issues.warning(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=phase.key)
        doubt = bool(references.turned or references.unsure)
        if references.beside and not (found or doubt or phase.dependencies):
            self._beside.setdefault(place, []).extend(references.beside)
        elif not doubt and (found or references.says_none or not references.prose):
            phase.dependencies = [*(phase.dependencies or []), *found]
        else:
            if found and (doubt or phase.dependencies is not None):
                phase.dependencies = [*(phase.dependencies or [self.phases[place - 1].key] if place else []), *found]
            why = "is not understood" if doubt else "names no phase"
            message = f"Phase {phase.key}: “{value[:80]}” {why}, so the phase follows the one before it."
            self.issues.warning(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=phase.key)
        if not self.account.is_marked(line):
            self.account.mark(ReadAs.DEPENDENCIES, line)


def _groups(keys: Sequence[str]) -> dict[str, list[str]]:
    """{“1”: [“1.1”, “1.2”]}: the parts that “Epic 1” means where no phase has that key."""
    groups: dict[str, list[str]] = {}
    known = set(keys)
    for key in keys:
        stem, dot, _ = key.rpartition(".")
        if dot and stem not in known:
            groups.setdefault(stem, []).append(key)
    return groups


def safe_key(key: str) -> str:
    """The key as it can be used in names of files and branches; "" if nothing of it can."""
    key = key.strip().lstrip("#")
    if re.fullmatch(r"0[0-9]+", key):
        key = key.lstrip("0") or "0"
    if _SAFE_KEY.fullmatch(key):
        return key
    slug = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")[:40].strip("-")
    return slug if _SAFE_KEY.fullmatch(slug) else ""


def step_text(item: Item) -> str:
    """The text of a step or gate: what the item says and, below it, its details."""
    head = one_line(item.text)
    return f"{head}\n{item.below}" if item.below else head


def assumed_files(texts: Iterable[str]) -> tuple[str, ...]:
    """The paths inside the repository that texts name, in order: an estimate of the files that the work changes."""
    found: dict[str, None] = {}
    for text in texts:
        for written in _written_paths(text):
            for name in expand_braces(written.rstrip(".,:;")):
                reading = normalise(name)
                if reading.code is None and _is_file_like(reading.path):
                    found[reading.path] = None
                if len(found) == MAX_ASSUMED_FILES:
                    return tuple(found)
    return tuple(found)


def _written_paths(text: str) -> Iterable[str]:
    plain = _CODE.sub(lambda code: code[1] if " " not in code[1] else " ", text)
    plain = re.sub(r"https?://\S+|\bwww\.\S+|<!--.*?-->", " ", plain)
    for found in _PATH.finditer(plain):
        yield found["path"]
    for code in _CODE.findall(text):
        if code in _ROOT_NAMES:
            yield code


def _is_file_like(path: str) -> bool:
    """Whether a path names a file or directory of a repository, not an address, a choice (“and/or”) or a place to fill in."""
    last = path.rstrip("/").rsplit("/", 1)[-1]
    if path.endswith("/"):
        return True
    return bool(_EXTENSION.search(last)) and not _NO_FILE.fullmatch(path)


def _extents(phases: Sequence[DraftPhase]) -> list[tuple[int, int]]:
    """The lines of the phases in document order, without overlap."""
    ordered = sorted((phase.line, phase.end_line) for phase in phases)
    return [(first, min(last, following[0] - 1)) for (first, last), following in pairwise([*ordered, (1 << 40, 0)]) if first > 0]


def _outside(document: Document, extents: Sequence[tuple[int, int]]) -> str:
    kept: list[str] = []
    at = document.body
    for first, last in extents:
        kept += document.lines[at : max(at, first - 1)]
        at = max(at, last)
    kept += document.lines[at:]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
