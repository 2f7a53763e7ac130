"""GitHub spec-kit, `tasks.md`: phases of tasks with T-numbers, grouped by user story, and the order in “Phase Dependencies”."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from batches.core.plans.formats.document import Document, Item, Section, label_of, phase_of
from batches.core.plans.formats.draft import Draft, DraftPhase
from batches.core.plans.formats.roles import PhaseReader, Role, final_checks, role_of
from batches.core.plans.labels import Field
from batches.core.plans.order import LOOSE
from batches.core.plans.types import IssueCode, PlanReading
from batches.core.plans.unread import ReadAs

NAME = "spec-kit"
SIGN = re.compile(r"^\s*[-*] \[[ xX]\] \**T(?:\d{3,4}|XXX)\b", re.MULTILINE)
_TASK = re.compile(r"\**(?P<id>T(?:\d{3,4}|XXX)[a-z]?)\b\**:?\s*")
_FINAL = re.compile(r"^final phase\b\s*[:\u2013\u2014-]?\s*(?P<title>.*)$", re.IGNORECASE)
_PACKAGE = re.compile(r"^(?:work\s+package\s+)?(?P<key>WP-?\d+[a-z]?)\b\s*[:.\u2013\u2014-]?\s*(?P<title>.*)$", re.IGNORECASE)
_PACKAGES = re.compile(r"\bWP-?\d+[a-z]?\b", re.IGNORECASE)
_STORY = re.compile(r"\b(?:user\s+)?stor(?:y|ies)\s*#?(?P<number>\d+)\b|\[?\bUS(?P<short>\d+)\b", re.IGNORECASE)
_ORDER = re.compile(r"dependenc|execution order|order of", re.IGNORECASE)
_ROLES = {
    **dict.fromkeys(("purpose", "goal", "story goal"), Role.GOAL),
    **dict.fromkeys(("independent test", "checkpoint", "independent test criteria", "test criteria", "gate"), Role.GATES),
    **dict.fromkeys(("tests", "testing", "validation", "verification", "implementation", "core implementation"), Role.STEPS),
}
_NEEDS = re.compile(
    r"\b(?:depends?(?:\s+only)?\s+(?:up)?on|(?:can\s+)?(?:start|begin|run)s?\s+(?:only\s+)?after|after|requires?|needs?|blocked\s+by|waits?\s+for|follows?|builds?\s+on)\b",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(
    r"(?:not|n['\u2019]t|never)\s+(?:\w+\s+)?(?:start|begin|run|proceed)s?\s+(?:before|until|without)\b", re.IGNORECASE
)
_NOTHING = re.compile(
    r"\bno\s+(?:\w+\s+)?dependenc|\bnothing\b|\bnone\b|\b(?:start|begin)s?\s+(?:immediately|at\s+once|right\s+away)\b", re.IGNORECASE
)
_BLOCKS = re.compile(r"\bblocks?\b|\b(?:must\s+(?:be\s+)?(?:complete[d]?|finish(?:ed)?|come)\s+)?before\b", re.IGNORECASE)
_NOT = re.compile(
    r"\bno\s+dependenc|\bnot\s+(?:depend|block|require|need)|n't\s|\bindependent|\bmay\b|\bmight\b|\boptional"
    r"|\bcan\s+(?:be|run|proceed)\b.*\bparallel|\bin parallel\b|\bwithout\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\s+[-\u2013\u2014]+\s+|;\s*|\.\s+|,?\s+\bbut\b\s+|,?\s+\bthen\b\s+")
# “US1 and US2 can run in parallel once Phase 2 is complete”, “Once Phase 2 is done, US1 can start”
_ONCE = re.compile(r"^(?P<subject>.*?)\b(?:once|after|when|as\s+soon\s+as)\s+(?P<what>[^,]+?)(?:,\s*(?P<then>.+))?$", re.IGNORECASE)
_BESIDE = re.compile(r"\([^()]*\bparallel\b[^()]*\)", re.IGNORECASE)
_RANGE = re.compile(r"\bphases?\s+(?P<low>\d+(?:\.\d+)?)\s*(?P<open>\+|(?:-|\u2013|to|through)\s*(?P<high>\d+(?:\.\d+)?)\b)", re.IGNORECASE)
_PHASE = re.compile(r"\bphases?\s+(?P<keys>[0-9A-Z][\w.]*(?:\s*(?:,|and|&)\s*(?:phase\s+)?[0-9][\w.]*)*)", re.IGNORECASE)
_ARROW = re.compile(r"\s*(?:\u2192|->|=>)\s*")


def recognise(document: Document) -> bool:
    """Whether the document has tasks with T-numbers under headings."""
    return any(_tasks(document, section) for section in document.sections)


def read(document: Document) -> PlanReading:
    """The plan: one phase for each section of tasks, with its checkpoint and independent test as gates."""
    draft = Draft(document, NAME, tasks="task")
    boxes = any(_boxed(document, section) for section in document.sections)
    for section in _phase_sections(document):
        heading, final, package = phase_of(section.title), _FINAL.match(section.title), _PACKAGE.match(section.title)
        key = "final" if final else package["key"] if package else heading.key if heading else ""
        title = final["title"] if final else package["title"] if package else heading.title if heading else section.title
        phase = draft.phase(key, title or section.title, section.line, section.end_line)
        PhaseReader(
            draft,
            phase,
            _ROLES,
            heading_role=lambda below: role_of(below.title, _ROLES) or Role.STEPS,
            as_step=lambda text: bool(_TASK.match(text)),
            only_boxes=boxes,
        ).read(section)
    final_checks(draft)
    draft.own_stories = True
    _Order(draft).read()
    return draft.finish()


def _tasks(document: Document, section: Section) -> list[Item]:
    return [item for item in document.items_in(section, deep=True) if _TASK.match(item.text)]


def _boxed(document: Document, section: Section) -> bool:
    return any(item.has_box for item in _tasks(document, section))


def _phase_sections(document: Document) -> Iterator[Section]:
    """The headings of phases, on the level on which most tasks are grouped; without such headings, those that hold tasks."""
    named = [section for section in document.sections if _is_phase(section)]
    with_tasks = [section for section in named if _tasks(document, section)]
    if with_tasks:
        level = min(section.level for section in with_tasks)
        yield from (
            section
            for section in document.sections
            if section.level == level and (section in named or (_boxed(document, section) and not _ORDER.search(section.title)))
        )
        return
    boxed = any(_boxed(document, section) for section in document.sections)
    yield from (
        section
        for section in document.sections
        if any(_TASK.match(item.text) and (item.has_box or not boxed) for item in document.items_in(section))
    )


def _is_phase(section: Section) -> bool:
    return phase_of(section.title) is not None or bool(_FINAL.match(section.title) or _PACKAGE.match(section.title))


@dataclass(slots=True)
class _Order:
    """Reads which phase waits for which, from the lists below headings such as “Phase Dependencies”, and from the tasks."""

    draft: Draft
    used: str = ""
    blocked: list[tuple[DraftPhase, list[DraftPhase]]] = field(default_factory=list)  # phases, and what is said to block them
    beside: list[tuple[int, str]] = field(default_factory=list)  # lines about work in parallel of which nothing else was understood

    def read(self) -> None:
        """Set the dependencies of the phases that the document speaks of; the others follow the phase before them."""
        inside = [(phase.line, phase.end_line) for phase in self.draft.phases]
        waits: dict[str, list[DraftPhase]] = {}
        for section in self.draft.document.sections:
            if _ORDER.search(section.title) and not any(first <= section.line <= last for first, last in inside):
                for part in section.walk():
                    self._list(part, waits)
        for phase, others in self.blocked:
            if phase.key in waits or _story_of(phase):  # what says nothing itself follows all above, and so waits for them too
                _add(waits, phase, others)
        places = {phase.key: place for place, phase in enumerate(self.draft.phases)}
        for phase in self.draft.phases:
            if phase.key in waits:
                phase.dependencies = [other.key for other in sorted(waits[phase.key], key=lambda other: places[other.key])]
        self._say_beside(waits)
        self._tasks(places)
        if self.used:
            self.draft.order = f"order from “{self.used}”"

    def _say_beside(self, waits: dict[str, list[DraftPhase]]) -> None:
        """Warn where phases that may run in parallel come one after the other, since nothing else is said of them."""
        for line, text in self.beside:
            named = self._phases(text) if re.search(r"\bparallel\b", text, re.IGNORECASE) else []
            if len(named) > 1 and any(phase.key not in waits for phase in named[1:]):
                message = f"“{text[:120]}” does not say what these phases wait for, so they come one after the other."
                self.draft.issues.warning(line, IssueCode.NO_ORDER, message, field=Field.DEPENDENCIES)

    def _list(self, section: Section, waits: dict[str, list[DraftPhase]]) -> None:
        if re.search(r"within|parallel", section.title, re.IGNORECASE):
            return
        found = False
        for item in self.draft.document.items_in(section):
            for part in (item, *item.items):
                if self._line(part.text, waits):
                    self.draft.account.mark(ReadAs.DEPENDENCIES, part.line)
                    found = True
                elif re.search(r"\bparallel\b|\bsequential", part.text, re.IGNORECASE):
                    self.draft.account.mark(ReadAs.DEPENDENCIES, part.line)
                    found = True
                    self.beside.append((part.line, " ".join(part.text.split())))
        if found and not self.used:
            self.used = section.title

    def _line(self, text: str, waits: dict[str, list[DraftPhase]]) -> bool:
        """Read one line about the order; returns whether it says anything of a phase of this plan."""
        text = _BESIDE.sub(" ", " ".join(text.replace("**", "").split()))
        steps = _ARROW.split(text)
        if len(steps) > 1 and all(self._phases(step) for step in steps):
            for before, after in pairwise(steps):
                for phase in self._phases(after):
                    _add(waits, phase, self._phases(before))
            return True
        label = label_of(text)
        head, _, rest = text.partition(":")
        subject = self._phases(head) if label or rest else []
        if not subject:
            return self._sentence(text, waits)
        if len(subject) > 1 and not re.search(r"stor(?:y|ies)\b.*\bphases?|\bphases\b|\+", head, re.IGNORECASE) and _STORY.search(head):
            subject = subject[:1]
        understood = [self._clause(subject, clause, waits) for clause in _CLAUSE.split(rest)]
        return any(understood)

    def _once(self, subject: list[DraftPhase], clause: str, waits: dict[str, list[DraftPhase]]) -> bool:
        """Read “can run in parallel once Phase 2 is complete”: what follows “once” is all that the subject waits for."""
        once = _ONCE.match(clause) if re.search(r"\bparallel\b|\b(?:can|may)\s+(?:start|begin|proceed)", clause, re.IGNORECASE) else None
        if once is None or _NOT_BEFORE.search(clause) or re.search(r"\b(?:start|begin|begun|under\s?way)", once["what"], re.IGNORECASE):
            return False
        subject = subject or self._phases(once["subject"]) or self._phases(once["then"] or "")
        needed = [phase for phase in self._phases(once["what"]) if phase not in subject]
        for phase in subject if needed else ():
            _add(waits, phase, needed)
        return bool(subject and needed)

    def _sentence(self, text: str, waits: dict[str, list[DraftPhase]]) -> bool:
        """A sentence such as “Phase 2 depends on Phase 1” or “US2 requires US1”."""
        for clause in _CLAUSE.split(text):
            if self._once([], clause, waits):
                return True
            if not _NOT_BEFORE.search(clause) and (_NOT.search(clause) or LOOSE.search(clause)):
                continue
            for pattern in (_NOT_BEFORE, _NEEDS, _BLOCKS):
                verb = pattern.search(clause)
                subject = self._phases(clause[: verb.start()]) if verb else []
                if verb and subject:
                    return self._clause(subject, clause[verb.start() :], waits)
        return False

    def _clause(self, subject: list[DraftPhase], clause: str, waits: dict[str, list[DraftPhase]]) -> bool:
        """Read what a clause says of the subject’s order; returns whether it says anything that is understood."""
        if self._once(subject, clause, waits):
            return True
        not_before = _NOT_BEFORE.search(clause)
        if not not_before and (_NOT.search(clause) or LOOSE.search(clause)):
            said = _NOTHING.search(clause)
            nothing = bool(said and not re.search(r"\bphases?\s+\d", clause[said.end() :], re.IGNORECASE))  # “other than Phase 2”
            for phase in subject if nothing else ():
                waits.setdefault(phase.key, [])
            return nothing
        needs, blocks = not_before or _NEEDS.search(clause), _BLOCKS.search(clause)
        if needs and (not blocks or needs.start() < blocks.start()):
            named = self._phases(clause[needs.end() : blocks.start() if blocks else None])
            if not named and not _NOTHING.search(clause):
                return False
            for phase in subject:
                _add(waits, phase, [other for other in named if other is not phase])
            return self._clause(subject, clause[blocks.start() :], waits) or True if blocks else True
        if blocks and re.search(r"\bnothing\b", clause[: blocks.start()], re.IGNORECASE):
            return False
        if blocks:
            self.blocked += [(other, subject) for other in self._phases(clause[blocks.end() :]) if other not in subject]
        return bool(blocks)

    def _phases(self, text: str) -> list[DraftPhase]:
        """The phases that a text names: by key, range, story, or the first word of their title."""
        phases = self.draft.phases
        keys = [phase.key.lower() for phase in phases]
        found: list[DraftPhase] = []
        for hit in _RANGE.finditer(text):
            low = keys.index(hit["low"]) if hit["low"] in keys else -1
            if low >= 0 and hit["high"]:
                high = keys.index(hit["high"]) if hit["high"] in keys else low
                found += phases[low : high + 1]
            elif low >= 0:
                found += [phase for phase in phases[low:] if _story_of(phase)] or phases[low:]
        packages = {hit[0].lower() for hit in _PACKAGES.finditer(text)}
        found += [phase for phase, key in zip(phases, keys, strict=True) if key in packages]
        if found:
            return found
        for hit in _PHASE.finditer(text):
            names = {name.lower() for name in re.findall(r"[0-9A-Za-z][\w.]*", hit["keys"])}
            found += [phase for phase, key in zip(phases, keys, strict=True) if key in names]
        if found:
            return found
        if re.search(r"\bfinal phase\b", text, re.IGNORECASE):
            return phases[-1:]
        if re.search(
            r"\b(?:all|every|each|any)\b.{0,30}\bstor(?:y|ies)\b|\buser stories\b|\bstories\b", text, re.IGNORECASE
        ) and not re.search(r"\d", text):
            return [phase for phase in phases if _story_of(phase)]
        stories = {hit["number"] or hit["short"] for hit in _STORY.finditer(text)}
        if stories:
            return [phase for phase in phases if _story_of(phase) in stories]
        if re.search(r"\b(?:all|previous)\b.{0,20}\bphases\b", text, re.IGNORECASE):
            return phases
        words = {word.lower()[:8] for word in re.findall(r"[A-Za-z]{5,}", text)}
        return [phase for phase in phases if (first := re.match(r"[A-Za-z]{5,}", phase.title)) and first[0].lower()[:8] in words]

    def _tasks(self, places: dict[str, int]) -> None:
        """A task that depends on a task of an earlier phase makes its phase wait for that phase."""
        home = {found["id"]: phase for phase in self.draft.phases for step in phase.steps if (found := _TASK.match(step.text))}
        for phase in self.draft.phases:
            for step in phase.steps:
                named = re.search(r"\bdepends\s+on\s+((?:T\d{3,4}[a-z]?(?:\s*(?:,|and|&)\s*)?)+)", step.text, re.IGNORECASE)
                for task in re.findall(r"T\d{3,4}[a-z]?", named[1]) if named else ():
                    other = home.get(task)
                    if other is None or other is phase or phase.dependencies is None:
                        continue
                    if other.key not in phase.dependencies and places[other.key] < places[phase.key]:
                        phase.dependencies.append(other.key)


def _story_of(phase: DraftPhase) -> str:
    """The number of the user story that a phase builds; "" for setup, foundation and polish."""
    titled = _STORY.search(phase.title)
    if titled:
        return titled["number"] or titled["short"]
    tags = {found[1] for step in phase.steps if (found := re.search(r"\[US(\d+)\]", step.text))}
    return tags.pop() if len(tags) == 1 else ""


def _add(waits: dict[str, list[DraftPhase]], phase: DraftPhase, others: Iterable[DraftPhase]) -> None:
    known = waits.setdefault(phase.key, [])
    known.extend(other for other in others if other not in known and other is not phase)
