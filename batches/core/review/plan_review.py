"""What a review says of a plan before there is a batch: the rules of prp_review, and declared files beside those of the base branch.

The same values always give the same findings in the same order. Questions that need judgement are not answered here and
never count as passed; without a model the reviewer reports that nobody answered them. Pure: what git says about paths comes
as values (docs/review.md; docs/plan-format.md, “Review while you write”).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from batches.core.gates.binding import GateKind
from batches.core.gates.shell import parse
from batches.core.plans.analysis import checks_of
from batches.core.plans.files import paths_in
from batches.core.plans.globs import GlobRelation, glob_relation, is_glob
from batches.core.plans.types import PhaseSpec, Repair
from batches.core.review.prose_steps import fences_for_all, prose_steps
from batches.core.review.prp_review import review_batch, review_prp
from batches.core.review.tree_names import TreeNames
from batches.core.review.types import GateFact, PhaseFacts, ReviewFinding, Severity
from batches.core.text.words import counted

MOST_FINDINGS = 200
# What the reader warns of with a repair of its own, or the preview shows in its list of gates.
_SAID_ELSEWHERE = ("There are no steps", "There are no gates", "There is no estimate", "There is no goal", "No rule can check “")
_ORDER = list(Severity)
_RUNNERS = frozenset(["python", "python3", "bash", "sh", "zsh", "node", "ruby", "perl", "php", "Rscript", "julia", "lua", "tsx", "bun"])
_TEST_RUNNERS = frozenset({"pytest", "py.test"})
# Folders that builds and set-ups fill.
_MADE = frozenset(["node_modules", "build", "dist", "target", "out", "bin", "obj", "venv", "coverage"])
_PLAIN = re.compile(r"(?:\./)?[\w][\w./-]*")
_NEW = re.compile(r"\((?:new|create|created)\b|\bnew file\b|^\W*(?:create|new|add)\b", re.I)


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """A finding about a plan: its line (0: the whole plan), how bad it is, what to do, and maybe a repair."""

    line: int
    severity: Severity
    message: str
    suggestion: str = ""
    phase: str = ""
    repair: Repair | None = None

    @property
    def repairs(self) -> tuple[Repair, ...]:
        return () if self.repair is None else (self.repair,)


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The base branch as a plan sees it: its names, and by path what git or the settings say of declared ones."""

    names: TreeNames
    ignored: Mapping[str, str] = field(default_factory=dict)  # {path: such as ".gitignore:1 `lib/`"}
    submodules: Mapping[str, str] = field(default_factory=dict)  # {path: the submodule above it}
    filtered: Mapping[str, str] = field(default_factory=dict)  # {path: filter}
    protected: Mapping[str, str] = field(default_factory=dict)  # {path: pattern}, also of paths that steps name


@dataclass(frozen=True, slots=True)
class PlanReview:
    """The findings, worst first, then by line; declared paths that do not exist yet; the number of findings that are not listed."""

    findings: tuple[PlanFinding, ...]
    new_files: tuple[str, ...] = ()
    left_out: int = 0
    problem: str = ""  # why nothing is said about files

    @property
    def needs_work(self) -> bool:
        """Whether a review of the batch would stop at one of these."""
        return any(one.severity in (Severity.CRITICAL, Severity.MAJOR) for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """What the API and `analyze --json` say under "review"."""
        return {
            "needs_work": self.needs_work,
            "findings": [
                {
                    "line": one.line,
                    "severity": one.severity.value,
                    "phase": one.phase,
                    "message": one.message,
                    "suggestion": one.suggestion,
                }
                for one in self.findings
            ],
            "left_out": self.left_out,
            "new_files": list(self.new_files),
            "problem": self.problem or None,
        }


def named_in_steps(phase: PhaseSpec) -> list[tuple[int, int, str]]:
    """(number of the step, line, path) for each path that the text of a step names."""
    return [(step.number, step.line, path) for step in phase.steps for path in paths_in(step.text)]


def review_plan(
    phases: Sequence[PhaseSpec],
    stages: Sequence[Sequence[str]],
    lines: Sequence[str],
    base: BaseFiles | None,
    commands: Mapping[str, str] | None = None,
) -> PlanReview:
    """Review a plan as far as it can be read. `lines` are those of its text; without `base` nothing is said about files.

    `commands` are the project's, by name, where its backend carries out commands only: then steps in prose are findings.
    """
    plan = _Plan(phases, lines)
    findings = [*_structure(plan, stages)]
    if commands is not None:
        findings += _prose(phases, lines, commands)
    new: dict[str, None] = {}
    if base is not None:
        for phase in phases:
            findings += _declared(plan, phase, base, new)
            findings += _undeclared(plan, phase, base)
            findings += _run(plan, phase, base)
    findings.sort(key=lambda one: (_ORDER.index(one.severity), one.line))
    return PlanReview(tuple(findings[:MOST_FINDINGS]), tuple(new), max(0, len(findings) - MOST_FINDINGS))


class _Plan:
    """The phases with the lines of their parts."""

    def __init__(self, phases: Sequence[PhaseSpec], lines: Sequence[str]) -> None:
        self.phases, self.lines = phases, lines
        self.by_key = {phase.key: phase for phase in phases}
        starts = sorted(phase.line for phase in phases)
        self._end = dict(zip(starts, [*starts[1:], len(lines) + 1], strict=False))

    def line_with(self, phase: PhaseSpec, text: str, otherwise: int = 0) -> int:
        """The first line of the phase that holds `text`; else `otherwise`, or the phase's heading."""
        numbers = range(max(phase.line, 1), min(self._end.get(phase.line, 0), len(self.lines) + 1))
        return next((number for number in numbers if text in self.lines[number - 1]), otherwise or phase.line)

    def label(self, phase: PhaseSpec, *names: str) -> int:
        """The line of the phase on which a field is labelled; 0 for none."""
        pattern = re.compile(rf"[\s\-*+#_|]*(?:{'|'.join(names)})\b", re.I)
        numbers = range(phase.line + 1, min(self._end.get(phase.line, 0), len(self.lines) + 1))
        return next((number for number in numbers if pattern.match(self.lines[number - 1])), 0)

    @cached_property
    def declared(self) -> dict[str, list[str]]:
        """{path without its slash: keys of the phases that declare it}, without globs."""
        found: dict[str, list[str]] = {}
        for phase in self.phases:
            for path in phase.files:
                if not is_glob(path):
                    found.setdefault(path.rstrip("/"), []).append(phase.key)
        return found

    @cached_property
    def globs(self) -> list[tuple[str, str]]:
        return [(path, phase.key) for phase in self.phases for path in phase.files if is_glob(path)]

    def makers(self, path: str) -> list[str]:
        """The keys of the phases that declare the path, a folder above it, or a glob that covers it."""
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        found = [key for folder in above for key in self.declared.get(folder, ())]
        return found + [key for glob, key in self.globs if glob_relation(glob, path) == GlobRelation.COVERS]

    def before(self, phase: PhaseSpec) -> set[str]:
        """The keys of the phases that are merged before this one starts, and its own."""
        seen, waiting = {phase.key}, [phase.key]
        while waiting:
            for key in self.by_key[waiting.pop()].dependencies:
                if key not in seen and key in self.by_key:
                    seen.add(key)
                    waiting.append(key)
        return seen


def _prose(phases: Sequence[PhaseSpec], lines: Sequence[str], commands: Mapping[str, str]) -> Iterator[PlanFinding]:
    """Steps in prose, which a backend without an agent refuses: a finding for all, and for each its repair."""
    steps = prose_steps(phases, lines, commands)
    if not steps:
        return
    text = f"{counted(len(steps), 'step')} without a command: the project's backend carries out commands only, and refuses them."
    advice = "Choose a backend with an agent in the project's settings or on the page Execute, or write the commands."
    yield PlanFinding(0, Severity.MAJOR, text, advice, "", fences_for_all(steps, lines))
    for step in steps:
        said = f"Phase {step.phase}: step {step.number} has no command."
        yield PlanFinding(step.line, Severity.MINOR, said, "", step.phase, step.repair)


def _structure(plan: _Plan, stages: Sequence[Sequence[str]]) -> Iterator[PlanFinding]:
    stage_of = {key: number for number, stage in enumerate(stages, start=1) for key in stage}
    facts = [_facts(phase, stage_of.get(phase.key, 1)) for phase in plan.phases]
    for fact in facts:
        phase = plan.by_key[fact.key]
        for one in review_prp(fact):
            if not one.message.startswith(_SAID_ELSEWHERE):
                yield _finding(plan, phase, one)
    for one in review_batch(facts, (), ()):
        if one.category == "files":
            last = next((phase for phase in reversed(plan.phases) if one.place in phase.files), None)
            line = plan.line_with(last, one.place) if last is not None else 0
            yield PlanFinding(line, one.severity, f"{one.place}: {one.message}", one.suggestion)
        elif one.category == "naming":
            named = plan.by_key.get(one.place.rpartition("Phase ")[2])
            yield PlanFinding(named.line if named else 0, one.severity, one.message, one.suggestion)
        elif not one.message.startswith(_SAID_ELSEWHERE):
            yield PlanFinding(0, one.severity, one.message, one.suggestion)


def _facts(phase: PhaseSpec, stage: int) -> PhaseFacts:
    gates = tuple(GateFact(read.gate.text, read.gate.kind != GateKind.UNVERIFIED) for read in checks_of(phase))
    return PhaseFacts(
        key=phase.key,
        prp_id=f"Phase {phase.key}",
        title=phase.title,
        goal=phase.goal,
        complexity=phase.complexity,
        hours=phase.hours,
        steps=tuple(step.text for step in phase.steps),
        gates=gates,
        files=phase.files,
        dependencies=phase.dependencies,
        stage=stage,
    )


def _finding(plan: _Plan, phase: PhaseSpec, one: ReviewFinding) -> PlanFinding:
    """A finding of the rules with the line that it speaks of: that of a step or gate, of a field, or of the heading."""
    part = one.place.partition(", ")[2]
    kind, _, number = part.rpartition(" ")
    line = phase.line
    if kind == "Step" and number.isdigit():
        line = phase.steps[int(number) - 1].line or line
    elif part == "Estimated Hours":
        line = plan.label(phase, "Estimated Hours", "Effort", "Duration", "Time", "Hours") or line
    elif part == "Problem":
        line = plan.label(phase, "Goal", "Objective", "Purpose") or line
    elif part == "Validation Gates" and phase.gates:
        line = phase.gates[0].line or line
    return PlanFinding(line, one.severity, f"Phase {phase.key}: {one.message}", one.suggestion, phase.key)


def _declared(plan: _Plan, phase: PhaseSpec, base: BaseFiles, new: dict[str, None]) -> Iterator[PlanFinding]:
    for path in phase.files:
        if is_glob(path):
            continue
        if path in base.submodules:
            text = f"Phase {phase.key}: {path} lies in the submodule {base.submodules[path]}, and no batch can commit it"
            advice = "Change it in its own repository, and declare the submodule's new commit there."
            yield PlanFinding(plan.line_with(phase, path), Severity.MAJOR, f"{text}.", advice, phase.key)
        elif path in base.ignored:
            text = f"Phase {phase.key}: {path} is kept out of every commit by {base.ignored[path]}."
            advice = "Change .gitignore or the path: what git ignores is in no commit, and its gate fails."
            yield PlanFinding(plan.line_with(phase, path), Severity.MAJOR, text, advice, phase.key)
        elif path in base.filtered:
            text = f"Phase {phase.key}: {path} goes through the filter {base.filtered[path]}, which is not run."
            advice = "Change it in a clone of your own; a batch cannot commit it."
            yield PlanFinding(plan.line_with(phase, path), Severity.MAJOR, text, advice, phase.key)
        if pattern := base.protected.get(path):
            text = f"Phase {phase.key}: {path} is a protected path ({pattern}). It is declared, so its change needs no look."
            yield PlanFinding(plan.line_with(phase, path), Severity.INFO, text, "", phase.key)
        if base.names.has(path):
            continue
        other = base.names.looks_like(path)
        if other and other.rstrip("/") not in plan.declared:
            line = plan.line_with(phase, path)
            written = plan.lines[line - 1] if 0 < line <= len(plan.lines) else ""
            if path in written and not _NEW.search(written):
                text = f"Phase {phase.key}: {path} does not exist, and looks like {other}, which does."
                repair = _write(plan, line, path, other)
                yield PlanFinding(line, Severity.MINOR, text, "Mark it as (NEW) where it is to be created.", phase.key, repair)
                continue
        new[path] = None


def _write(plan: _Plan, line: int, path: str, other: str) -> Repair | None:
    """The repair that writes `other` in place of `path` on this line; None if the path is part of a word."""
    written = plan.lines[line - 1] if 0 < line <= len(plan.lines) else ""
    fixed, count = re.subn(rf"(?<![\w/.-]){re.escape(path)}(?![\w/-])", lambda _: other, written)
    return Repair(line, "replace", fixed, f"Write {other}") if count else None


def _undeclared(plan: _Plan, phase: PhaseSpec, base: BaseFiles) -> Iterator[PlanFinding]:
    """Protected paths that a step names and the phase does not declare: a change of one waits for a person."""
    if not base.protected:
        return
    said = set()
    for number, line, path in named_in_steps(phase):
        pattern = base.protected.get(path)
        if pattern and path not in said and phase.key not in plan.makers(path):
            said.add(path)
            text = f"Phase {phase.key}: step {number} names {path}, a protected path ({pattern}), and the phase does not declare it."
            advice = "If the phase changes it, declare it; otherwise the change waits for a person."
            yield PlanFinding(line, Severity.INFO, text, advice, phase.key, _declare(plan, phase, path))


def _declare(plan: _Plan, phase: PhaseSpec, path: str) -> Repair | None:
    """The repair that adds a path to the phase's files: a bullet below the last one, or one more on the line."""
    label = f"Declare {path} in Phase {phase.key}"
    if phase.files:
        line = plan.line_with(phase, phase.files[-1])
        written = plan.lines[line - 1] if 0 < line <= len(plan.lines) else ""
        if phase.files[-1] not in written:
            return None
        if bullet := re.match(r"\s*[-*+]\s+(?=[`\w./])", written):
            return Repair(line, "insert_after", f"{bullet[0]}`{path}`", label)
        if re.match(r"\**Files\b[^:]*:", written, re.I):
            return Repair(line, "replace", f"{written.rstrip()}, {path}", label)
        return None
    line = plan.label(phase, "Files")
    if line and (found := re.fullmatch(r"(\**Files\b[^:]*:\**:?)\s*(?:None)?\s*", plan.lines[line - 1], re.I)):
        return Repair(line, "replace", f"{found[1]} {path}", label)
    return None


def _run(plan: _Plan, phase: PhaseSpec, base: BaseFiles) -> Iterator[PlanFinding]:
    """Files that a command runs, and that neither exist nor are made by this phase or one before it."""
    said = set()
    for what, line, command in _commands(phase):
        for path in files_run(command):
            if path in said or base.names.has(path):
                continue
            said.add(path)
            makers, before = plan.makers(path), plan.before(phase)
            if before.intersection(makers) or _named(plan, before, path, command):
                continue
            line = plan.line_with(phase, path, line)
            text = f"Phase {phase.key}: {what} runs {path}, which does not exist"
            if makers:
                after = makers[0]
                text += f" until Phase {after} is merged, and this phase does not wait for that."
                yield PlanFinding(line, Severity.MAJOR, text, "", phase.key, _depend(plan, phase, after))
                continue
            other = base.names.looks_like(path)
            repair = _write(plan, line, path, other) if other else None
            text += f"; {other} does." if other else ", and neither this phase nor one before it creates it."
            yield PlanFinding(line, Severity.MAJOR, text, "Correct the path, or declare the file where it is created.", phase.key, repair)


def _commands(phase: PhaseSpec) -> Iterator[tuple[str, int, str]]:
    for step in phase.steps:
        for command in step.commands:
            yield f"step {step.number}", step.line, command
    for gate, read in zip(phase.gates, checks_of(phase), strict=True):
        if read.gate.command:
            yield f"gate {read.gate.position}", gate.line, read.gate.command


def _named(plan: _Plan, keys: Iterable[str], path: str, command: str) -> bool:
    """Whether another command or the text of a step in these phases names the file: it may be made there."""
    for key in keys:
        for step in plan.by_key[key].steps:
            if path in step.text or any(path in other and other != command for other in step.commands):
                return True
    return bool(re.search(rf">\s*(?:\./)?{re.escape(path)}|\b(?:tee|touch|cp|mv|curl|wget|install)\b[^\n]*{re.escape(path)}", command))


def _depend(plan: _Plan, phase: PhaseSpec, on: str) -> Repair | None:
    """The repair that adds a dependency to the phase's own line of dependencies."""
    line = plan.label(phase, "Dependencies", "Depends on", "Blocked by")
    found = re.fullmatch(r"(\**[A-Z][a-z ]+\**:\**)\s*(\S.*?)\s*", plan.lines[line - 1]) if line else None
    if found is None or (on in plan.by_key and phase.key in plan.before(plan.by_key[on])):
        return None
    value = f"Phase {on}" if found[2].lower() == "none" else f"{found[2]}, Phase {on}"
    return Repair(line, "replace", f"{found[1]} {value}", f"Let Phase {phase.key} wait for Phase {on}")


def files_run(command: str) -> list[str]:
    """The files of the repository that a command line runs as a program or as tests, each once.

    Only what is written plainly counts: no variable, no glob, nothing outside, and `cd` into a plain folder.
    """
    found: dict[str, None] = {}
    folder = ""
    for part in parse(command):
        program, arguments = part.words[0], part.words[1:]
        if program in ("cd", "pushd"):
            if len(arguments) != 1 or not _PLAIN.fullmatch(arguments[0]):
                break
            folder = f"{folder}{arguments[0].removeprefix('./').rstrip('/')}/"
            continue
        if program in _RUNNERS and arguments[:2] in (("-m", "pytest"), ("-m", "unittest")):
            program, arguments = arguments[1], arguments[2:]
        if program in _TEST_RUNNERS:
            chosen = [one.partition("::")[0] for one in arguments if "/" in one or one.partition("::")[0].endswith(".py")]
        elif program in _RUNNERS:
            chosen = list(arguments[:1])
        else:
            chosen = [program] if program.startswith("./") else []
        for one in chosen:
            path = one.removeprefix("./").rstrip("/")
            plain = _PLAIN.fullmatch(one) and ("/" in one or "." in one) and ".." not in one.split("/")
            if plain and _MADE.isdisjoint((folder + path).split("/")[:-1]):
                found[folder + path] = None
    return list(found)
