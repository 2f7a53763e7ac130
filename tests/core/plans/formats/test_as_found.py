"""Forms that public documents showed: what they mean, and what must not be made of them."""

import pytest

from batches.core.plans.reader import apply_repair, read_plan
from tests.core.plans.formats.reading import name_of, read, shape, unread_boxes

PACKAGES = """
    # Work Packages: Feed

    ## Work Package WP01: Model (Priority: P1)

    **Goal**: Store an entry
    **Independent Test**: An entry is found again

    ### Included Subtasks
    - [ ] T001 Create the model in src/feed/model.py
    - [ ] T002 Export it

    ### Implementation Notes
    - Start with the model.

    ### Parallel Opportunities
    - T001 and T002 touch different files.

    ### Dependencies
    - None (starting package).

    ## Work Package WP02: Reader

    **Included subtasks**:
    - [ ] T003 Read a feed

    **Implementation sketch**:

    1. Open the address.
    2. Read the entries.

    **Dependencies.** WP01 (needs the model).

    ## Work Package WP03: Page

    - [ ] T004 Show the entries

    ### Dependencies
    - Depends on WP01 (the model), WP02/WP01 (what is shown).

    ## Dependency & Execution Summary

    - **Parallelization**: WP03 starts after WP02 (in parallel with WP01).
"""


def test_work_packages_are_phases_under_their_own_keys_and_notes_on_them_are_no_steps():
    reading = read(PACKAGES)
    assert name_of(reading) == "spec-kit" and {issue.code for issue in (*reading.errors, *reading.warnings)} == {"no-gates"}
    assert {key: (needs, steps) for key, (needs, steps, _) in shape(reading).items()} == {
        "WP01": ([], 2),
        "WP02": (["WP01"], 1),
        "WP03": (["WP02", "WP01"], 1),
    }


def test_tasks_without_boxes_below_a_heading_about_parallel_work_make_no_phase():
    reading = read(PACKAGES.replace("Work Package WP0", "Package ").replace("WP0", "Package "))
    assert len(reading.plan.phases) == 3 and all(phase.steps for phase in reading.plan.phases)


DIVIDED = """
    # Plan: Capture

    ## Phase 1: Base

    ### Tasks

    #### Task 1.1: Create the folders

    - **Description**: All of them
    - **Dependencies**: None
    - **Estimated Effort**: 30 minutes
    - **Acceptance Criteria**:
      - [ ] The folders exist

    #### Task 1.2: Write the hook

    - **Dependencies**: Task 1.1

    **Acceptance criteria**:

    - [ ] It reads the input

    ### Phase 1 Exit Criteria

    - [ ] The hook runs

    ## Phase 2: Filter

    #### Task 2.1: Filter words

    - **Dependencies**: None
    - **Tasks**:
      1. List the words
      2. Replace them

    #### Task 2.2: Chain filters

    - **Dependencies**: Task 2.1
"""


def test_tasks_of_a_phase_are_its_steps_and_what_they_wait_for_is_not_what_the_phase_waits_for():
    reading = read(DIVIDED)
    assert not reading.errors
    assert shape(reading) == {"1": ([], 2, 3), "2": (["1"], 3, 0)}
    first, second = reading.plan.phases
    assert [step.text.split(":")[0] for step in first.steps] == ["Task 1.1", "Task 1.2"]
    assert [step.text for step in second.steps] == ["List the words", "Replace them", "Task 2.2: Chain filters"]
    assert (first.hours, "Estimated Hours" in first.assumed) == (1.0, True)


def test_steps_that_stand_again_below_a_heading_of_checks_are_checked_by_it():
    reading = read("""
        # Plan

        ## Steps

        ### Step 1: Set up
        **Intent**: Browsers are there
        **File Targets**:
        - `tests/config.ts` (update)

        ### Step 2: Run
        - Run all

        ## Acceptance Tests

        ### Step 1: Set up
        - [ ] Two browsers run

        ### Step 2: Run
        - [ ] All pass
    """)
    assert shape(reading) == {"1": ([], 1, 1), "2": (["1"], 1, 1)}
    first = reading.plan.phases[0]
    assert (first.steps[0].text, first.goal, first.files) == ("Set up", "Browsers are there", ("tests/config.ts",))


def test_plans_that_stand_one_after_the_other_in_a_document_are_not_mixed():
    steps = "### Step 1: Set up\n- a\n\n### Step 2: Run\n- b\n\n"
    assert [error.code for error in read_plan(f"# Plan\n\n## Now\n\n{steps}## Before\n\n{steps}").errors] == ["no-phases"]


def test_steps_below_a_heading_of_checks_are_not_counted_twice():
    reading = read("""
        # Fix

        ## Success Criteria

        - The line is short

        ### Piece one

        - [ ] Change it
        - [ ] Test it
    """)
    assert [(len(phase.steps), len(phase.gates)) for phase in reading.plan.phases] == [(2, 1)]


def test_numbers_of_a_list_head_the_boxes_below_them():
    reading = read("""
        # Tasks

        1. **Guard**
           - [x] Remove the check
           - [ ] Send the cookie

        2. Validation
           - [ ] Log in
    """)
    assert not reading.errors
    assert {phase.key: (phase.title, len(phase.steps)) for phase in reading.plan.phases} == {"1": ("Guard", 2), "2": ("Validation", 1)}


def test_a_box_that_only_begins_with_a_number_is_no_task_of_a_numbered_list():
    reading = read("""
        # Plan

        ## Phase 1: Move

        - Move them

        ### Deliverables
        - [ ] 9 files in commands/
        - [ ] 6 templates in templates/
        - [ ] All work

        ## Phase 2: Check

        - Run them
    """)
    assert name_of(reading) == "implementation plan" and list(shape(reading)) == ["1", "2"]


def test_a_proposal_may_name_its_parts_in_other_words_if_it_calls_itself_one():
    text = "# {}Sticky header\n\n## Summary\n\nIt stays.\n\n## Proposed Solution\n\n1. Make it sticky\n2. Pad the content\n"
    reading = read(text.format("Proposal: "))
    assert (name_of(reading), shape(reading), reading.plan.phases[0].goal) == ("OpenSpec", {"1": ([], 2, 0)}, "It stays.")
    assert read(text.format("")).errors
    assert shape(read("# Fix\n\n## Why\n\nIt is wrong.\n\n## What\n\n1. Pass the object\n")) == {"1": ([], 1, 0)}


def test_stories_of_ralph_may_be_ticked_in_their_heading_and_have_boxes_alone():
    reading = read("""
        # PRD

        ### [x] US-001: Colours
        **I want** them shared

        #### Acceptance Criteria
        - [x] They are in one file

        ### US-002: Folders

        - [ ] Move them
    """)
    assert name_of(reading) == "Ralph" and shape(reading) == {"US-001": ([], 1, 1), "US-002": (["US-001"], 1, 0)}


def test_stories_in_json_come_by_the_words_of_their_priority():
    reading = read_plan(
        '{"project": "Reader", "stories": [{"id": "R-1", "title": "Late", "acceptance": ["It is there"], "priority": "low"},'
        ' {"id": "R-2", "title": "Soon", "acceptance": ["It works", "It is fast"], "priority": "high", "status": "completed"}]}'
    )
    assert name_of(reading) == "Ralph" and shape(reading) == {"R-2": ([], 1, 2), "R-1": (["R-2"], 1, 1)}
    assert reading.plan.phases[0].steps[0].done


def test_a_plan_of_gsd_needs_no_number_and_the_boxes_of_archived_phases_are_listed():
    plan = read("""
        ---
        wave: 1
        files_modified:
          - src/feed.py
        ---

        # 09-01: Check the feed

        <tasks>
        <task>
        <action>Read the feed</action>
        <verify>It is read</verify>
        </task>
        </tasks>
    """)
    [phase] = plan.plan.phases
    assert (name_of(plan), phase.title, len(phase.steps), phase.files) == ("GSD", "09-01: Check the feed", 1, ("src/feed.py",))
    roadmap = read("""
        # Roadmap

        - [x] Phase 1: Base (2/2 plans)
        - [ ] **Phase 2: Feed**
        - [ ] **Phase 3: Search**

        ### Phase 2: Feed
        **Goal**: A reader sees the feed
        **Success Criteria** (what must be TRUE):
          1. The feed loads
        **Plans**: TBD
    """)
    assert list(shape(roadmap)) == ["2"] and unread_boxes(roadmap) == [3, 5]


def test_open_boxes_outside_the_phases_are_warned_of_and_one_click_makes_them_gates():
    text = "# Plan\n\n## Phase 1: A\n- Do a\n\n## Phase 2: B\n- Do b\n\n## Before launch (later)\n\n- [ ] Tell them\n- [x] Ask them\n"
    [warning] = [issue for issue in read(text).warnings if issue.code == "unread-list"]
    assert warning.line == 11 and warning.repair is not None
    after = read(apply_repair(text, warning.repair))
    assert shape(after)["2"] == (["1"], 1, 2) and not unread_boxes(after)
    ticked = read(text.replace("[ ]", "[x]"))
    assert unread_boxes(ticked) == [11, 12] and "unread-list" not in {issue.code for issue in ticked.warnings}


def test_what_the_file_of_one_task_waits_for_is_another_file():
    reading = read("""
        ---
        title: Wire it
        status: ready
        ---

        # Wire it

        ## Implementation Plan

        - [ ] Load the settings

        ### Notes on it

        - Depends on: #6 (merged already)

        ## Acceptance Criteria

        - [ ] They are loaded
    """)
    assert not reading.errors and shape(reading) == {"1": ([], 1, 1)}
    [warning] = reading.warnings
    assert warning.message == "This task waits for #6 (merged already), which are other files. Carry those out first."


@pytest.mark.parametrize("mark", ["", "- "])
def test_our_own_format_is_recognised_by_labels_in_lower_case(mark):
    parts = [
        f"### phase {key}: part\n\n{mark}goal: g\n{mark}estimated hours: 6\n{mark}complexity: low\n{mark}files modified: a.py\n"
        f"{mark}dependencies: {needs}\n{mark}steps:\n  1. do it\n"
        for key, needs in ((1, "none"), (2, "phase 1"))
    ]
    reading = read("# Plan\n\n" + "\n".join(parts))
    assert (name_of(reading), shape(reading)) == ("", {"1": ([], 1, 0), "2": (["1"], 1, 0)})
    assert [phase.hours for phase in reading.plan.phases] == [6, 6]


def test_a_name_in_json_counts_once_however_it_may_be_written():
    reading = read_plan('[{"id": "1", "todo": ["do a"]}, {"id": "2", "dependsOn": ["1"], "sub-tasks": [{"title": "do b"}]}]')
    assert shape(reading) == {"1": ([], 1, 0), "2": (["1"], 1, 0)}


def test_headings_with_codes_of_several_letters_are_offered_as_phases_together():
    goal = "**Goal:** It is there\n\n**Tasks:**\n- Do it\n"
    text = (
        f"# Plan\n\n### R-1: Host\n\n{goal}\n### R-2: Sign in\n\n{goal}\n### W-1: Pages\n\n{goal}\n**Prerequisites:** R-1 (it is there)\n\n"
        f"### W-2: Feed\n\n{goal}\n**Prerequisites:** R-2\n\n### W-3: Search\n\n{goal}"
    )
    [error] = read_plan(text).errors
    assert "5 headings" in error.message and error.repair is not None
    phases = read_plan(apply_repair(text, error.repair)).plan.phases
    dependencies = {phase.key: phase.dependencies for phase in phases}
    assert dependencies == {"R1": (), "R2": ("R1",), "W1": ("R1",), "W2": ("R2", "W1"), "W3": ("W2",)}
