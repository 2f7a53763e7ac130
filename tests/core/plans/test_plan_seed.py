"""The seed's own plan, read, analysed and written back."""

from batches.core.plans.analysis import analyse_document
from batches.core.plans.reader import parse_plan, read_plan, render_plan

SEED = """# My Feature Plan

## Phases

### Phase 1: Setup

**Goal**: Initialize project structure
**Estimated Hours**: 2
**Complexity**: low
**Files Modified**: src/setup.py, tests/test_setup.py
**Dependencies**: None
**Implementation Steps**:
1. Create project structure
2. Write setup tests
   ```bash
   pytest -q
   ```
3. Verify with pytest

**Validation Gates**:
- [ ] Project structure created
- [x] All tests passing
- [ ] Documentation updated
"""


def test_seed_plan_is_read_without_a_fault():
    reading = read_plan(SEED)
    assert (reading.errors, reading.warnings) == ((), ())
    [phase] = reading.plan.phases
    assert (reading.plan.title, phase.key, phase.title, phase.goal) == ("My Feature Plan", "1", "Setup", "Initialize project structure")
    assert (phase.hours, phase.complexity, phase.dependencies, phase.line) == (2.0, "low", (), 5)
    assert phase.files == ("src/setup.py", "tests/test_setup.py")
    assert [(step.number, step.text, step.commands, step.line) for step in phase.steps] == [
        (1, "Create project structure", (), 13),
        (2, "Write setup tests", ("pytest -q",), 14),
        (3, "Verify with pytest", (), 18),
    ]
    assert [(gate.text, gate.checked) for gate in phase.gates] == [
        ("Project structure created", False),
        ("All tests passing", True),
        ("Documentation updated", False),
    ]


def test_seed_plan_is_one_stage():
    report = analyse_document(SEED).to_json()
    assert (report["stages"], report["critical_path"], report["total_hours"]) == ([["1"]], ["1"], 2.0)


def test_seed_plan_written_out_reads_back_alike():
    plan = parse_plan(SEED)
    again = parse_plan(render_plan(plan))
    assert [(phase.key, phase.files, [step.commands for step in phase.steps]) for phase in again.phases] == [
        (phase.key, phase.files, [step.commands for step in phase.steps]) for phase in plan.phases
    ]
