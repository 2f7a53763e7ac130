"""Steps without a command for a backend without an agent: each gets a fence, filled only where a command of the project fits."""

from batches.core.plans.reader import apply_repair, read_plan
from batches.core.plans.text_diff import lines_of
from batches.core.review.plan_review import review_plan
from batches.core.review.prose_steps import prose_steps

TEXT = """# Plan

### Phase 1: Fix

**Goal**: The bug is gone for good
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: src/a.py
**Dependencies**: None

**Implementation Steps**:
1. Find the bug,
   wherever it is
2. Run the tests and fix what fails
3. Say hello
   ```sh
   echo hello
   ```

**Validation Gates**:
- [ ] `true` passes
"""
COMMANDS = {"test": "pytest -q", "lint": ""}


def test_each_prose_step_gets_a_fence_and_only_one_that_says_so_a_command():
    phases = read_plan(TEXT).plan.phases
    first, second = prose_steps(phases, lines_of(TEXT), COMMANDS)
    assert (first.number, first.command, second.number, second.command) == (1, "", 2, "pytest -q")
    done = read_plan(apply_repair(TEXT, second.repair)).plan.phases[0]
    assert [step.commands for step in done.steps] == [(), ("pytest -q",), ("echo hello",)]
    asked = read_plan(apply_repair(TEXT, first.repair))
    assert [issue.code for issue in asked.errors] == ["unfilled-template"]  # nothing is carried out that nobody has written


def test_one_repair_writes_all_fences_and_without_a_need_nothing_is_said():
    read = read_plan(TEXT).plan.phases
    found = [one for one in review_plan(read, (("1",),), lines_of(TEXT), None, COMMANDS).findings if "command" in one.message]
    assert [(one.line, one.severity) for one in found] == [(0, "major"), (12, "minor"), (14, "minor")]
    whole = read_plan(apply_repair(TEXT, found[0].repair)).plan.phases[0]
    assert [len(step.commands) for step in whole.steps] == [1, 1, 1] and whole.steps[0].text.startswith("Find the bug")
    assert not [one for one in review_plan(read, (("1",),), lines_of(TEXT), None).findings if "command" in one.message]
