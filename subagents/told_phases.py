"""Phases of the batch as a spec's payload tells of them: whose gates there are, and what each declares."""

from __future__ import annotations

from subagents.contract import ContractError, GateSpec
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec


@record
class ToldPhase:
    """A phase with its gates and the files that it declares; key "" stands for the stage as a whole.

    `merged`: its work is in the base. `accepted`: a person has accepted it with what it changed beyond what it declares.
    """

    key: str
    gates: tuple[GateSpec, ...]
    files_modified: tuple[str, ...]
    merged: bool = False
    accepted: bool = False


def told_phases(spec: TaskSpec, name: str) -> tuple[ToldPhase, ...]:
    """The phases in the payload's list `name`; none where it has no such list. Raises ContractError for another shape."""
    found = []
    try:
        for phase in spec.payload.get(name, ()):
            gates = tuple(GateSpec.from_json(gate, "payload: gate") for gate in phase["gates"])
            files = tuple(str(path) for path in phase["files_modified"])
            states = (bool(phase.get(state, False)) for state in ("merged", "accepted"))
            found.append(ToldPhase(str(phase["key"]), gates, files, *states))
    except (AttributeError, KeyError, TypeError) as error:
        raise ContractError(f"payload: {name}", f"is not a list of phases with key, gates and files_modified ({error})") from None
    return tuple(found)
