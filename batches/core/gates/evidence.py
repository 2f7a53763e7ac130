"""The evidence for an attempt's gates, as it travels with the commits: a git note, and a file in the repository.

Values in, values out. A note is text for people; each attempt has a section in it, whose last line holds the same as JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from itertools import zip_longest
from typing import Any, TypeVar

FORMAT = 1  # raised when a reader of today could not read what is written
JSON_LINE = "ce-json: "
TEXT_CHARACTERS = 200  # of a command or a gate in the lines for people; the JSON has them whole


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """One judgement. `phase` is the phase whose gate it is, "" for a stage as a whole; `output_sha256` is of the output as kept."""

    phase: str
    origin: str
    position: int
    gate: str
    kind: str
    command: str
    status: str
    exit_code: int | None
    first_exit_code: int | None
    flaky: bool
    commit: str
    environment: str
    seconds: float | None
    output_sha256: str
    note: str

    @property
    def key(self) -> tuple[str, str, int]:
        return self.phase, self.origin, self.position


@dataclass(frozen=True, slots=True)
class Evidence:
    """The gates of one attempt. `attempt` is the git reference that keeps its commits, and its name; `phase` is "" for a stage check."""

    attempt: str
    batch: int
    run: int
    stage: int
    phase: str
    prp_id: str
    title: str
    base_commit: str
    judged_commit: str
    gates: tuple[GateEvidence, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree: a stable word, and a sentence."""

    code: str
    words: str


def output_digest(output: str) -> str:
    """SHA-256 of an output as it is kept; "" for none."""
    return sha256(output.encode("utf-8", "surrogatepass")).hexdigest() if output else ""


def to_json(evidence: Evidence) -> dict[str, Any]:
    return {"format": FORMAT, **asdict(evidence), "gates": [asdict(gate) for gate in evidence.gates]}


def from_json(data: object) -> Evidence:
    """Raises ValueError for anything that `to_json` would not have made."""
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise ValueError("it is not evidence of a format that is known here")
    return _made(Evidence, {**data, "gates": tuple(_made(GateEvidence, gate) for gate in _list(data.get("gates")))})


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("its gates are not a list")
    return value


Kind = TypeVar("Kind", "Evidence", "GateEvidence")


def _made(kind: type[Kind], data: object) -> Kind:
    names = {field.name for field in fields(kind)}
    if not isinstance(data, Mapping) or not names <= data.keys():
        raise ValueError("a member of it is missing")
    for name, asked in kind.__annotations__.items():
        if name != "gates" and not _is(data[name], asked):
            raise ValueError(f"{name} is of another kind than it was written")
    return kind(**{name: data[name] for name in names})


def _is(value: object, asked: Any) -> bool:
    """Whether a value of JSON is what the annotation says; a whole number is a number, and a truth value is none."""
    if isinstance(value, bool):
        return asked is bool
    return isinstance(value, asked) or (isinstance(value, int) and isinstance(0.0, asked))


def note_section(evidence: Evidence) -> str:
    """The section of a note about one attempt. Where a text came from never decides where a line ends."""
    whose = f"phase {evidence.phase}" if evidence.phase else f"stage {evidence.stage}, on the merged tree"
    name = evidence.attempt.rpartition("/")[2]
    lines = [
        f"CE Web, batch {evidence.batch}, {whose}: {_line(evidence.title)} ({evidence.prp_id}, run {evidence.run}, attempt {name})",
        f"Judged on a clean checkout of {evidence.judged_commit}.",
    ]
    for gate in evidence.gates:
        exit_code = "no exit code" if gate.exit_code is None else f"exit {gate.exit_code}"
        seconds = "—" if gate.seconds is None else f"{gate.seconds:.2f} s"
        place = f"{gate.phase} " if gate.phase and gate.phase != evidence.phase else ""
        lines.append(f"  {gate.status}{', flaky' if gate.flaky else ''}: {place}{gate.origin} gate {gate.position}, {_line(gate.gate)}")
        how = f"`{_line(gate.command)}`" if gate.command else gate.kind
        lines.append(f"    {how}: {exit_code}, {seconds}, environment {gate.environment[:12] or 'not needed'}")
    if not evidence.gates:
        lines.append("  No gate was judged.")
    lines.append(JSON_LINE + json.dumps(to_json(evidence), ensure_ascii=True, sort_keys=True))
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return plain if len(plain) <= TEXT_CHARACTERS else plain[: TEXT_CHARACTERS - 1] + "…"


def read_note(text: str) -> tuple[list[Evidence], list[str]]:
    """(the sections of a note, what of it cannot be read or was not written by `note_section`)."""
    found, faults = list[Evidence](), list[str]()
    words = list[str]()
    for line in filter(str.strip, text.split("\n")):
        if not line.startswith(JSON_LINE):
            words.append(line)
            continue
        try:
            found.append(from_json(json.loads(line.removeprefix(JSON_LINE))))
        except ValueError as error:
            faults.append(str(error))
        except RecursionError:
            faults.append("it is nested too deeply")
        else:
            faults += _other_words(words, note_section(found[-1]).split("\n")[:-2])
        words = []
    return found, faults + _other_words(words, [])


def _other_words(words: Sequence[str], written: Sequence[str]) -> list[str]:
    """The first of the lines for people that is not as it was written beside the JSON, as a sentence; nothing where all are."""
    for word, own in zip_longest(words, written):
        if word != own:
            return [f"it says “{_line(word or '')}” where “{_line(own or '')}” was written"]
    return []


# What a reader is told of a member that differs.
NAMES: Mapping[str, str] = {
    "status": "the verdict",
    "exit_code": "the exit code",
    "first_exit_code": "the exit code of the first run",
    "commit": "the judged commit",
    "command": "the command",
    "environment": "the environment",
    "output_sha256": "the digest of the output",
    "gate": "the text of the gate",
    "seconds": "the duration",
}


def compare_gates(rows: Evidence, other: Evidence, where: str) -> dict[tuple[str, str, int], list[Difference]]:
    """{gate: what the rows and `other` do not agree about}; `where` names the other, such as "the note"."""
    ours, theirs = ({gate.key: gate for gate in each.gates} for each in (rows, other))
    found: dict[tuple[str, str, int], list[Difference]] = {}
    for key in {**ours, **theirs}:
        mine, its = ours.get(key), theirs.get(key)
        if mine is None and its is not None:
            found[key] = [Difference("row_missing", f"{where} has this gate ({its.status}), and the ledger has not")]
        elif its is None:
            found[key] = [Difference("not_in_evidence", f"the ledger has this gate, and {where} has not")]
        elif mine is not None and mine != its:
            found[key] = [
                Difference("evidence_differs", f"{NAMES.get(name, name)} is {_shown(one)} in the ledger and {_shown(two)} in {where}")
                for name, one, two in _members(mine, its)
            ]
    return found


def compare_heads(rows: Evidence, other: Evidence, where: str) -> list[Difference]:
    """What the rows and `other` do not agree about the attempt itself."""
    found = _members(rows, other)
    return [
        Difference("evidence_differs", f"{name.replace('_', ' ')} is {_shown(one)} in the ledger and {_shown(two)} in {where}")
        for name, one, two in found
        if name != "gates"
    ]


def _members(one: Evidence | GateEvidence, two: Evidence | GateEvidence) -> list[tuple[str, Any, Any]]:
    names = [field.name for field in fields(one)]
    return [(name, getattr(one, name), getattr(two, name)) for name in names if getattr(one, name) != getattr(two, name)]


def _shown(value: object) -> str:
    return "unknown" if value is None else repr(_line(value)) if isinstance(value, str) else str(value)


def by_attempt(found: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    """{attempt: its sections}, in order; more than one is a fault that the caller names."""
    sections: dict[str, list[Evidence]] = {}
    for evidence in found:
        sections.setdefault(evidence.attempt, []).append(evidence)
    return sections
