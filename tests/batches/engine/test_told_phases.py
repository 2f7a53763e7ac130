"""What the spec of a phase tells of the other phases: only what a look at its work can need."""

import pytest

from batches.core.gates.project_gates import GateRules
from batches.engine.task_specs import _executor_payload
from batches.models import Batch, Gate
from subagents.contract import GateKind, GateSpec
from tests.batches.builders import make_batch

COMMAND = GateSpec(1, "It runs", GateKind.COMMAND, "true")


def told(batch: Batch, key: str, *gates: GateSpec) -> list[str]:
    payload = _executor_payload(batch, batch.phases.get(key=key), gates, GateRules.from_json({}))
    return [phase["key"] for phase in payload.get("others", ())]


@pytest.mark.django_db
def test_phases_are_told_whose_gates_read_files_and_all_of_them_to_one_that_has_such_gates_itself() -> None:
    batch = make_batch("1 -> 2a 2b -> 3")
    Gate.objects.filter(phase__batch=batch).delete()
    assert told(batch, "1") == [] and told(batch, "1", COMMAND) == ["2a", "2b", "3"]
    for key, gate in (("2a", COMMAND), ("3", GateSpec(1, "There", GateKind.FILES_EXIST, paths=("a",)))):
        Gate.objects.create(phase=batch.phases.get(key=key), position=1, text=gate.text, kind=gate.kind, spec=gate.to_json())
    batch.edition += 1  # as each change of the phases does
    batch.save()
    assert told(batch, "1") == ["2a"] and told(batch, "2a") == [] and told(batch, "2b", COMMAND) == ["1", "2a", "3"]
