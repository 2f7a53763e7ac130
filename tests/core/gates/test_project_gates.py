"""Gates beside the plan's: which are judged after a phase, and which on a merged tree."""

from batches.core.gates.project_gates import GateRules, ProjectGate, StandardGate, When, standard_of, usual_standard_gates
from subagents.contract import GateKind, GateOrigin, GateSpec

LINT = ProjectGate("lint", "ruff check .", When.PHASE)
TEST = ProjectGate("test", "pytest -q", When.STAGE)
RULES = GateRules((LINT, TEST), (StandardGate.MARKERS, StandardGate.SIZE, StandardGate.DECLARED), largest_file_mb=3)


def names(gates: tuple[GateSpec, ...]) -> list[str]:
    return [f"{gate.origin}:{gate.command or gate.kind}" for gate in gates]


def test_after_a_phase_its_projects_and_the_servers_gates_are_judged():
    gates = RULES.of_phase(["a.py"], has_steps=True)
    assert names(gates) == ["project:ruff check .", "standard:conflict_markers", "standard:file_size", "standard:files_exist"]
    assert gates[2].maximum == 3_000_000
    assert gates[3].paths == ("a.py",)


def test_a_phase_without_steps_changes_nothing_that_the_server_could_look_at():
    assert names(RULES.of_phase(["a.py"], has_steps=False)) == ["project:ruff check ."]


def test_on_a_merged_tree_all_of_them_are_judged():
    assert names(RULES.of_stage()) == [
        "project:ruff check .",
        "project:pytest -q",
        "standard:conflict_markers",
        "standard:file_size",
    ]


def test_a_position_names_one_gate_of_its_origin_wherever_it_is_judged():
    everywhere = {(gate.origin, gate.position): gate.text for gates in (RULES.of_phase(["a"], has_steps=True),) for gate in gates}
    for gate in RULES.of_stage():
        assert everywhere.setdefault((gate.origin, gate.position), gate.text) == gate.text


def test_a_test_command_that_runs_no_test_is_no_pass():
    [gate] = GateRules((ProjectGate("test", "make test", When.PHASE),)).of_phase((), has_steps=False)
    assert (gate.kind, gate.command, gate.origin) == (GateKind.TESTS, "make test", GateOrigin.PROJECT)


def test_rules_survive_their_json_and_nothing_is_a_run_from_before_there_were_any():
    assert GateRules.from_json(RULES.to_json()) == RULES
    assert GateRules.from_json({}) == GateRules(rerun=True)


def test_declared_files_are_off_and_unknown_names_are_left_out():
    assert standard_of(usual_standard_gates()) == tuple(name for name in StandardGate if name != StandardGate.DECLARED)
    assert standard_of(["parse", "gone"]) == (StandardGate.PARSE,)
