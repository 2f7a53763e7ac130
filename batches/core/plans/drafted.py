"""From what an agent answers about an idea to a plan in our format, with a note for each thing that was repaired, set or flagged."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batches.core.errors import BatchError
from batches.core.gates.binding import GateKind, bind_gate
from batches.core.percentile import percentile
from batches.core.plans.files import normalise
from batches.core.plans.forecast import OWN_RUNS, FinishedPhase
from batches.core.plans.globs import GlobRelation, glob_relation, is_glob
from batches.core.plans.phases import step_of
from batches.core.plans.render import render_plan
from batches.core.plans.types import GateText, PhaseSpec, PlanSpec
from batches.core.plans.unread import Account, ReadAs, UnreadKind
from batches.core.text.words import counted

MOST_QUESTIONS, MOST_ANSWERS = 5, 6
NEW = "(NEW)"
_MARKDOWN = re.compile(r"^[ \t]*(?:#{1,6}(?=\s)|[-*+](?=\s)|[0-9]{1,9}[.)](?=\s)|>|```+|~~~+|\|)[ \t]*", re.M)
_SUBSTITUTION = re.compile(r"`([^`]*)`")  # of a shell: back-ticks around a command in a plan mean the command


class IdeaRequest(StrEnum):
    """What the agent is asked for about an idea; the keys of subagents/prompting.DRAFTS."""

    QUESTIONS = "questions"
    PLAN = "plan"
    REVISION = "revision"
    TRANSLATION = "translation"


class DraftRefused(BatchError):
    """The agent's answer has no plan in it; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the agent; the first answer is the one that it suggests."""

    question: str
    answers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"question": self.question, "answers": list(self.answers)}


def read_questions(answer: Mapping[str, Any]) -> tuple[Question, ...]:
    """The agent's questions, at most MOST_QUESTIONS; one without a text is left out."""
    found = []
    for one in answer["questions"]:
        answers = dict.fromkeys(text for each in one["answers"] if (text := _line(each)))
        if text := _line(one["question"]):
            found.append(Question(text, tuple(answers)[:MOST_ANSWERS]))
    return tuple(found[:MOST_QUESTIONS])


@dataclass(frozen=True, slots=True)
class Repository:
    """What is known of the repository: its files at the commit that the agent read, and the command that runs its tests ("": none)."""

    files: frozenset[str]
    commit: str
    test_command: str = ""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A plan in our format, and what a person should know of how it came about."""

    text: str
    notes: tuple[str, ...]


def usual_hours(history: Iterable[FinishedPhase], project: int) -> dict[str, tuple[float, int]]:
    """{complexity: (median of the estimates, number)} of the project's finished phases, for complexities with OWN_RUNS of them.

    The estimates, not what the phases took: the forecast of a plan scales its estimates by what earlier ones really took.
    """
    estimates: dict[str, list[float]] = {}
    for phase in history:
        if phase.project == project:
            estimates.setdefault(phase.complexity, []).append(phase.estimated_hours)
    found = {name: (percentile(hours, 0.5), len(hours)) for name, hours in estimates.items() if len(hours) >= OWN_RUNS}
    return {name: (round(median, 2), count) for name, (median, count) in found.items() if median}


def drafted_plan(
    answer: Mapping[str, Any], *, title: str, repository: Repository, hours: Mapping[str, tuple[float, int]]
) -> Drafted:
    """The plan of an answer in the shape of subagents/prompting.DRAFTS["plan"].

    `title` is for an answer without one; `hours` are those of `usual_hours`. Files that exist under another folder are corrected,
    others that neither exist nor are new are flagged in the plan itself. Raises DraftRefused.
    """
    given = [phase for phase in answer["phases"] if phase["title"].strip() or phase["goal"].strip() or phase["steps"]]
    if not given:
        raise DraftRefused("The agent's plan has no phases.")
    notes: list[str] = []
    files = _Files(repository, [(key, one) for key, phase in enumerate(given, start=1) for one in phase["files"]], notes)
    phases = [_phase(key, phase, len(given), files, repository, hours, notes) for key, phase in enumerate(given, start=1)]
    notes += [f"{counted(count, 'phase')} of {name} complexity: {median:g} h each, the median of {counted(runs, 'finished phase')} here."
              for name, (median, runs) in sorted(hours.items()) if (count := sum(one.complexity == name for one in phases))]  # fmt: skip
    plan = PlanSpec(_line(answer["title"]) or title, tuple(phases))
    overview = " ".join(_MARKDOWN.sub("", answer["overview"]).split())
    text = render_plan(plan, files.said)
    return Drafted(text.replace("\n\n## Phases\n", f"\n\n{overview}\n\n## Phases\n", 1) if overview else text, tuple(notes))


class _Files:
    """The files that phases name: which paths they become, and what is said of each in the plan."""

    def __init__(self, repository: Repository, named: Sequence[tuple[int, Mapping[str, Any]]], notes: list[str]) -> None:
        self.repository, self.notes = repository, notes
        self.said: dict[str, str] = {}
        self.created = {_path(one["path"]): key for key, one in reversed(named) if one["new"]}
        self.by_name: dict[str, list[str]] = {}
        for path in sorted(repository.files):
            self.by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def of(self, key: int, given: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """The paths of one phase, in order, each once."""
        return tuple(dict.fromkeys(path for one in given if (path := self._one(key, _path(one["path"])))))

    def _one(self, key: int, path: str) -> str:
        if not path or self._exists(path):
            return path
        if path in self.created:
            self.said[path] = NEW
            return path
        alike = self.by_name.get(path.rstrip("/").rpartition("/")[2], [])
        if len(alike) == 1:
            self.notes.append(f"Phase {key}: {path} does not exist; {alike[0]} does, and is written instead.")
            return alike[0]
        at = self.repository.commit[:8]
        self.said[path] = f"- not in the repository at {at}: correct it, or write {NEW}"
        self.notes.append(f"Phase {key}: {path} is not in the repository, and no phase creates it. Correct it, or write {NEW} behind it.")
        return path

    def _exists(self, path: str) -> bool:
        files = self.repository.files
        if is_glob(path):
            return any(glob_relation(path, file) is GlobRelation.COVERS for file in files)
        folder = path.rstrip("/") + "/"
        return path in files or any(file.startswith(folder) for file in files)


def _phase(
    key: int,
    given: Mapping[str, Any],
    count: int,
    files: _Files,
    repository: Repository,
    hours: Mapping[str, tuple[float, int]],
    notes: list[str],
) -> PhaseSpec:
    complexity = given["complexity"]
    usual = hours.get(complexity)
    estimate = usual[0] if usual else max(0.25, round(float(given["hours"]), 2))
    steps = [text for step in given["steps"] if (text := _MARKDOWN.sub("", step).strip())]
    paths = files.of(key, given["files"])
    gates = [_gate(one) for one in given["gates"] if one["text"].strip() or one["command"].strip()]
    if repository.test_command and all(bind_gate(1, gate, paths).kind == GateKind.UNVERIFIED for gate in gates):
        gates.append(_gate({"text": "The tests pass", "command": repository.test_command}))
        notes.append(f"Phase {key}: no gate had a command; “{repository.test_command}” was added.")
    known = [number for number in dict.fromkeys(given["depends_on"]) if 1 <= number <= count and number != key]
    if len(known) < len(given["depends_on"]):
        notes.append(f"Phase {key}: a dependency on a phase that the plan does not have was left out.")
    return PhaseSpec(
        key=str(key),
        title=_line(given["title"]) or f"Part {key}",
        goal=_line(given["goal"]) or _line(given["title"]),
        hours=estimate,
        complexity=complexity,
        files=paths,
        dependencies=tuple(map(str, known)),
        steps=tuple(step_of(number, " ".join(text.split())) for number, text in enumerate(steps, start=1)),
        gates=tuple(GateText(gate) for gate in gates),
    )


def _gate(given: Mapping[str, Any]) -> str:
    text, command = _line(given["text"]).replace("`", "'"), _line(given["command"])
    whole = _SUBSTITUTION.fullmatch(command)
    command = (whole[1] if whole else _SUBSTITUTION.sub(r"$(\1)", command)).replace("`", "").strip()
    return f"{text or 'The command ends well'} (checked: `{command}`)" if command else _line(given["text"])


def _line(text: str) -> str:
    return " ".join(text.split())


def _path(text: str) -> str:
    """A path as the reader would take it, as far as it takes one; else as written, so that the reader's error names it."""
    plain = _line(text).strip("`")
    return normalise(plain).path or plain


@dataclass(frozen=True, slots=True)
class LinesBecame:
    """What lines of a translated document became, or why they were left out (`became` is "")."""

    line: int
    end_line: int
    text: str
    became: str
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"line": self.line, "end_line": self.end_line, "text": self.text, "became": self.became, "why": self.why}


NOT_SAID = "The agent does not say what became of it."


def translated_lines(document: str, account: Sequence[Mapping[str, Any]]) -> tuple[LinesBecame, ...]:
    """What became of each line of a translated document that is not blank; lines that the agent forgot are told as such."""
    lines = document.split("\n")
    ours, found = Account(lines), []
    for one in account:
        first, last = max(1, one["line"]), min(one["end_line"], len(lines))
        if first > last:
            continue
        became, why = _line(one["became"]), _line(one["why"])
        found.append(LinesBecame(first, last, "\n".join(lines[first - 1 : last]), became, why if became else why or "No reason is given."))
        ours.mark(ReadAs.MENTION, first, last)
    start = 0
    for number in range(1, len(lines) + 2):
        forgotten = number <= len(lines) and lines[number - 1].strip() and not ours.is_marked(number)
        if forgotten:
            start = start or number
        elif start:
            ours.unread(start, number - 1, UnreadKind.SECTION, NOT_SAID)
            start = 0
    found += [LinesBecame(piece.line, piece.end_line, piece.text, "", piece.why) for piece in ours.close().unread]
    return tuple(sorted(found, key=lambda one: one.line))
