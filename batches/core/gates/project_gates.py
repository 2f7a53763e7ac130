"""Gates beside the plan's: those of the project's settings, and the server's own (docs/gates.md). Values in, values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from subagents.contract import GateKind, GateOrigin, GateSpec

MEGABYTE = 1_000_000


class When(StrEnum):
    """How often a gate of the project is judged. After every phase means also again on a merged tree that no gate has seen."""

    PHASE = "phase"
    STAGE = "stage"


class StandardGate(StrEnum):
    """The server's own gates, over the files that a phase changed."""

    MARKERS = "markers"
    SIZE = "size"
    PARSE = "parse"
    DECLARED = "declared"
    SECRETS = "secrets"


STANDARD_TEXTS: Mapping[StandardGate, str] = {
    StandardGate.MARKERS: "No conflict markers in changed files",
    StandardGate.SIZE: "No changed file is too large",
    StandardGate.PARSE: "Changed Python, JSON, TOML and YAML files parse",
    StandardGate.DECLARED: "Declared files exist",
    StandardGate.SECRETS: "No keys or passwords in what the commits add",
}
_KINDS: Mapping[StandardGate, GateKind] = {
    StandardGate.MARKERS: GateKind.CONFLICT_MARKERS,
    StandardGate.SIZE: GateKind.FILE_SIZE,
    StandardGate.PARSE: GateKind.PARSES,
    StandardGate.DECLARED: GateKind.FILES_EXIST,
    StandardGate.SECRETS: GateKind.SECRETS,
}
COMMAND_TEXTS: Mapping[str, str] = {"lint": "Lint of the project", "test": "Tests of the project", "coverage": "Coverage of the project"}


def usual_standard_gates() -> list[str]:
    """Those that are on unless a project says otherwise. A plan may declare files that a phase only may touch, so not `declared`."""
    return [name.value for name in StandardGate if name is not StandardGate.DECLARED]


@dataclass(frozen=True, slots=True)
class ProjectGate:
    """A command of the project's settings; `name` is lint, test or coverage."""

    name: str
    command: str
    when: When

    @property
    def text(self) -> str:
        return COMMAND_TEXTS[self.name]

    @property
    def often(self) -> str:
        return f"after every {self.when}"


@dataclass(frozen=True, slots=True)
class GateRules:
    """The gates that a run judges beside the plan's, settled when a person starts or retries it: nothing runs unseen."""

    project: tuple[ProjectGate, ...] = ()
    standard: tuple[StandardGate, ...] = ()
    largest_file_mb: int = 10
    rerun: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "project": [{"name": gate.name, "command": gate.command, "when": str(gate.when)} for gate in self.project],
            "standard": [str(name) for name in self.standard],
            "largest_file_mb": self.largest_file_mb,
            "rerun": self.rerun,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Of what to_json gave; {} is a run from before there were any."""
        return cls(
            project=tuple(ProjectGate(gate["name"], gate["command"], When(gate["when"])) for gate in data.get("project", ())),
            standard=standard_of(data.get("standard", ())),
            largest_file_mb=data.get("largest_file_mb", 10),
            rerun=data.get("rerun", True),
        )

    @property
    def standard_texts(self) -> tuple[str, ...]:
        """What the server's own gates ask for."""
        return tuple(standard_text(name, self.largest_file_mb) for name in self.standard)

    def has(self, when: When) -> bool:
        """Whether a gate of the project is judged that often."""
        return any(gate.when is when for gate in self.project)

    def of_phase(self, files: Sequence[str], *, has_steps: bool) -> tuple[GateSpec, ...]:
        """What is judged after the phase's own gates; `files` are those that it declares. Without steps nothing changes in it."""
        project = self._project(When.PHASE)
        return (
            *project,
            *(self._standard(name, files) for name in self.standard if has_steps and (files or name != StandardGate.DECLARED)),
        )

    def of_stage(self) -> tuple[GateSpec, ...]:
        """What is judged on the merged tree. Each phase's own commits were judged already for what it declares and for secrets."""
        standard = (self._standard(name, ()) for name in self.standard if name not in (StandardGate.DECLARED, StandardGate.SECRETS))
        return (*self._project(*When), *standard)

    def _project(self, *when: When) -> tuple[GateSpec, ...]:
        return tuple(
            GateSpec(
                place,
                gate.text,
                GateKind.TESTS if gate.name == "test" else GateKind.COMMAND,
                command=gate.command,
                origin=GateOrigin.PROJECT,
            )
            for place, gate in enumerate(self.project, start=1)
            if gate.when in when
        )

    def _standard(self, name: StandardGate, files: Sequence[str]) -> GateSpec:
        return GateSpec(
            list(StandardGate).index(name) + 1,
            standard_text(name, self.largest_file_mb),
            _KINDS[name],
            paths=tuple(files) if name == StandardGate.DECLARED else (),
            maximum=self.largest_file_mb * MEGABYTE if name == StandardGate.SIZE else None,
            origin=GateOrigin.STANDARD,
        )


def standard_of(names: Sequence[str]) -> tuple[StandardGate, ...]:
    """The standard gates of these names, in their order; a name that there is none of (any more) is left out."""
    return tuple(name for name in StandardGate if name in names)


def standard_text(name: StandardGate, largest_file_mb: int) -> str:
    """What the gate asks for, with its limit."""
    return f"{STANDARD_TEXTS[name]} (over {largest_file_mb} MB)" if name == StandardGate.SIZE else STANDARD_TEXTS[name]
