"""What comes of judging recorded gates once more: per gate what differs, and whether everything agrees. Values in, values out."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from batches.core.gates.evidence import Difference, GateEvidence, output_digest
from batches.core.text.words import counted
from subagents.contract import GateKind, GateStatus


class Verdict(StrEnum):
    """What a repetition said of one gate. Only the first two are agreement; of the second nothing can be run by anybody."""

    AGREES = "agrees"
    UNVERIFIED = "unverified"
    DIFFERS = "differs"
    NOT_REPEATED = "not_repeated"
    NEVER_RUN = "never_run"


WORDS: Mapping[Verdict, str] = {
    Verdict.AGREES: "agrees",
    Verdict.UNVERIFIED: "unverified then and now",
    Verdict.DIFFERS: "differs",
    Verdict.NOT_REPEATED: "could not be repeated",
    Verdict.NEVER_RUN: "was never run",
}
_OF_SEVERAL = {Verdict.AGREES: "agree", Verdict.DIFFERS: "differ", Verdict.NEVER_RUN: "were never run"}
AGREEMENT = (Verdict.AGREES, Verdict.UNVERIFIED)


@dataclass(frozen=True, slots=True)
class Now:
    """What the repetition of a gate ended with."""

    status: str
    exit_code: int | None
    seconds: float | None
    output: str
    note: str


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded gate, or one that should have been. `then` is None for a gate that was never run, `now` for one not repeated."""

    stage: int
    phase: str
    run: int | None
    attempt: int | None
    origin: str
    position: int
    gate: str
    kind: str
    then: GateEvidence | None = None
    now: Now | None = None
    differences: tuple[Difference, ...] = ()
    repeated: bool = True
    merged: bool = False  # judged on the merged tree of its stage, not on the commit of its phase

    @property
    def verdict(self) -> Verdict:
        if self.then is None:
            return Verdict.NEVER_RUN
        if not self.repeated:
            return Verdict.NOT_REPEATED
        if self.differences:
            return Verdict.DIFFERS
        return Verdict.UNVERIFIED if self.then.status == GateStatus.UNVERIFIED else Verdict.AGREES

    def to_json(self) -> dict[str, Any]:
        then, now = self.then, self.now
        return {
            "verdict": self.verdict,
            "stage": self.stage,
            "phase": self.phase,
            "tree": "merged" if self.merged else "phase",
            "run": self.run,
            "attempt": self.attempt,
            "origin": self.origin,
            "position": self.position,
            "gate": self.gate,
            "kind": self.kind,
            "command": then.command if then else "",
            "commit": then.commit if then else "",
            "environment": then.environment if then else "",
            "then": then
            and {"status": then.status, "exit_code": then.exit_code, "seconds": then.seconds, "output_sha256": then.output_sha256},
            "now": now
            and {
                "status": now.status,
                "exit_code": now.exit_code,
                "seconds": now.seconds,
                "output_sha256": output_digest(now.output),
                "output": now.output,
                "note": now.note,
            },
            "differences": [{"code": one.code, "words": one.words} for one in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not agree and belongs to no single gate. `attempt` is its name, "" for the batch as a whole."""

    attempt: str
    difference: Difference


@dataclass(slots=True)
class Verified:
    """All that was found for one batch."""

    lines: list[Line] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """{verdict: how many gates}, in the order of the verdicts; only what there is."""
        found = Counter(line.verdict for line in self.lines)
        return {verdict: found[verdict] for verdict in Verdict if found[verdict]}

    @property
    def agrees(self) -> bool:
        """Whether everything agrees. Where nothing was recorded nothing was verified, and that is no agreement."""
        return bool(self.lines) and not self.problems and all(line.verdict in AGREEMENT for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "agrees": self.agrees,
            "counts": self.counts,
            "problems": [{"attempt": one.attempt, "code": one.difference.code, "words": one.difference.words} for one in self.problems],
            "gates": [line.to_json() for line in self.lines],
        }


def compare_runs(then: GateEvidence, output: str, now: Now, folders: Sequence[str]) -> list[Difference]:
    """What the repetition ended differently with. `output` is what was printed then, `folders` are those of both runs."""
    found = []
    if then.status != now.status:
        why = f": {now.note}" if now.note else ""
        found.append(Difference("status", f"{then.status} then, {now.status} now{why}"))
    if then.exit_code != now.exit_code:
        found.append(Difference("exit_code", f"exit code {_code(then.exit_code)} then, {_code(now.exit_code)} now"))
    printed, prints = steady(output, folders), steady(now.output, folders)
    # Tests that run at the same time end in any order: the same lines in another one are the same answer.
    if not found and then.kind != GateKind.UNVERIFIED and sorted(printed.split("\n")) != sorted(prints.split("\n")):
        found.append(Difference("output", f"it printed something else: {_first_other(printed, prints)}"))
    return found


def _code(code: int | None) -> str:
    return "unknown" if code is None else str(code)


_PLACE = re.compile(r"[^\s'\"(=:]*/\.judge/\d+")
_MOMENTS = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?|\b\d\d:\d\d:\d\d([.,]\d+)?\b")
_DURATIONS = re.compile(r"\b\d+(\.\d+)?\s?(h|min|m|s|sec|secs|second|seconds|ms|µs|us|ns|milliseconds)\b")
_ADDRESSES = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_LEFT_OUT = re.compile(r"… \d+ bytes left out …")
_REPEATED = re.compile(r"=+( [^=\n]* )=+")  # pytest fills its rules up to the width, so they shrink as a duration grows
_TEMPORARY = re.compile(r"/tmp/[\w.-]+")  # noqa: S108 -- names of such files in output are made alike, none is opened


def steady(output: str, folders: Iterable[str] = ()) -> str:
    """An output without what differs from run to run of the same command on the same files: places, times, durations, addresses."""
    for folder in folders:
        if folder:
            output = output.replace(folder, "<folder>")
    output = _PLACE.sub("<place>", output)
    for pattern, mark in ((_MOMENTS, "<time>"), (_DURATIONS, "<duration>"), (_ADDRESSES, "<address>"), (_LEFT_OUT, "<left out>")):
        output = pattern.sub(mark, output)
    return _TEMPORARY.sub("<temporary>", _REPEATED.sub(r"=\1=", output)).strip()


def _first_other(then: str, now: str) -> str:
    """The first line that differs, of both."""
    ours, theirs = then.split("\n"), now.split("\n")
    for number in range(max(len(ours), len(theirs))):
        one, two = (lines[number][:120] if number < len(lines) else "nothing" for lines in (ours, theirs))
        if one != two:
            return f"line {number + 1} was {one!r} and is {two!r}"
    return "behind what is kept of it"


def report_text(document: Mapping[str, Any]) -> str:
    """The document of a verification as the command prints it: what does not agree first, then the counts."""
    lines = [f"Batch {document['batch_id']}: {document['title']}", ""]
    for problem in document["problems"]:
        lines.append(f"  ✕ {problem['attempt'] or 'the batch'}: {problem['words']}")
    for gate in document["gates"]:
        whose = f"phase {gate['phase']}" if gate["phase"] else f"stage {gate['stage']}"
        merged = f", merged tree of stage {gate['stage']}" if gate.get("tree") == "merged" else ""
        tried = merged + (f", attempt {gate['attempt']}" if gate["attempt"] else "")
        mark = "✓" if gate["verdict"] in AGREEMENT else "✕"
        named = f"{gate['origin']} gate {gate['position']} \"{_one_line(gate['gate'])}\""
        lines.append(f"  {mark} {whose}{tried}: {named} {WORDS[gate['verdict']]}")
        lines += [f"      {one['words']}" for one in gate["differences"]]
    lines += ["", summary(document)]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 100 else plain[:99] + "…"


def summary(document: Mapping[str, Any]) -> str:
    """The outcome in a sentence."""
    counts = document["counts"]
    words = {
        verdict: WORDS[Verdict(verdict)] if number == 1 else _OF_SEVERAL.get(Verdict(verdict), WORDS[Verdict(verdict)])
        for verdict, number in counts.items()
    }
    said = ", ".join(f"{number} {words[verdict]}" for verdict, number in counts.items())
    problems = f", {counted(len(document['problems']), 'problem')} besides" if document["problems"] else ""
    if document["agrees"]:
        return f"Everything agrees: {counted(sum(counts.values()), 'gate')}, {said}."
    if not document["gates"]:
        return f"Nothing is verified: no gate of this batch was judged{problems}."
    return f"Not everything agrees: {counted(sum(counts.values()), 'gate')}, {said}{problems}."
