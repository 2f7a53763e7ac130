"""Kiro, Agent OS, OpenSpec, Conductor and plain lists of boxes."""

import pytest

from batches.core.plans.formats import detect
from batches.core.plans.reader import read_plan
from tests.core.plans.formats.reading import name_of, read, shape, unread_boxes


def test_kiro_tasks_below_and_beside_their_parent_are_its_steps():
    reading = read("""
        # Implementation Plan

        - [x] 1. Set up the store
          - Choose the engine
          - [x] 1.1 Create the schema in db/schema.sql
            - Add the table
            - _Requirements: 1.1_
          - [ ] 1.2 Write the migration
            - _Requirements: 1.2_

        - [-] 2. Build the service

        - [x] 2.1 Read
          - _Requirements: 2.1_
        - [ ]* 2.2 Write property tests
          - **Validates: Requirements 2.1**

        - [ ] 3. Write the page
          - Show the list
          - _Requirements: 3.1_

        - [ ] 4. Checkpoint - Ensure all tests pass
          - Ensure all tests pass, ask the user if questions arise.
    """)
    assert name_of(reading) == "Kiro"
    assert shape(reading) == {"1": ([], 2, 0), "2": (["1"], 2, 0), "3": (["2"], 1, 0), "4": (["3"], 0, 1)}
    first, second, third, last = reading.plan.phases
    assert first.goal == "Choose the engine" and first.files == ("db/schema.sql",)
    assert second.steps[1].text.startswith("Write property tests (optional)")
    assert "Show the list" in third.steps[0].text
    assert last.gates[0].text == "Ensure all tests pass, ask the user if questions arise."
    assert not reading.errors and not unread_boxes(reading)


def test_agent_os_tasks_say_what_they_depend_on_and_end_with_a_check():
    reading = read("""
        # Spec Tasks

        ## Tasks

        - [ ] 1. **Model** (Prerequisites: None - foundation)
          - [ ] 1.1 Write tests for the model
          - [ ] 1.2 Create it
          - [ ] 1.3 Verify all tests pass

        - [ ] 2. **Page** (Depends on: Task 1 - needs the model)
          - [ ] 2.1 Build it

        - [ ] 3. **Report** (Depends on: Task 1)
          - [ ] 3.1 Print it
    """)
    assert name_of(reading) == "Agent OS"
    assert shape(reading) == {"1": ([], 2, 1), "2": (["1"], 1, 0), "3": (["1"], 1, 0)}
    assert [phase.title for phase in reading.plan.phases] == ["Model", "Page", "Report"]


def test_agent_os_task_groups_have_titles_dependencies_and_criteria():
    reading = read("""
        # Task Breakdown: Tags

        ## Task List

        ### Database

        #### Task Group 1: Models
        **Dependencies:** None

        - [ ] 1.0 Complete the database layer
          - [ ] 1.1 Write 2-8 focused tests
          - [ ] 1.2 Create the model

        **Acceptance Criteria:**
        - The tests written in 1.1 pass
        - Migrations run

        ### API

        #### Task Group 2: Endpoints
        **Dependencies:** Task Group 1

        - [ ] 2.0 Complete the API
          - [ ] 2.1 Create the endpoint

        ## Execution Order

        1. Models (Task Group 1)
    """)
    assert name_of(reading) == "Agent OS"
    assert shape(reading) == {"1": ([], 2, 2), "2": (["1"], 1, 0)}
    assert [phase.title for phase in reading.plan.phases] == ["Models", "Endpoints"]


def test_openspec_groups_are_phases_and_a_document_without_title_gets_one():
    reading = read("""
        ## 1. Parser

        - [x] 1.1 Add `src/parse.ts`
        - [ ] 1.2 Handle comments

        ## 2. Verification

        - [ ] 2.1 Run `openspec validate add-parser --strict`
          - [ ] 2.1.1 fix what it finds
    """)
    assert name_of(reading) == "OpenSpec"
    assert shape(reading) == {"1": ([], 2, 0), "2": (["1"], 1, 0)}
    assert reading.plan.title == "OpenSpec change" and not reading.errors
    assert reading.plan.phases[0].files == ("src/parse.ts",)


def test_openspec_proposal_is_one_phase_of_what_changes():
    reading = read("""
        # Change: Add a parser

        ## Why

        People paste comments.

        ## What Changes

        - Add a parser for comments
        - **BREAKING** Refuse nested comments

        ## Impact

        - Affected specs: specs/parse/spec.md
        - Affected code: `src/parse.ts`, `src/cli/`
    """)
    (phase,) = reading.plan.phases
    assert (name_of(reading), reading.plan.title, phase.goal) == ("OpenSpec", "Change: Add a parser", "People paste comments.")
    assert len(phase.steps) == 2 and phase.files == ("src/parse.ts", "src/cli/")


def test_conductor_leaves_commits_out_and_keeps_the_person_in():
    reading = read("""
        # Implementation Plan: Export

        ## Phase 1: Writer [checkpoint: 0a1b2c3]
        - [x] Task: Write tests [4d5e6f7]
        - [~] Task: Implement
            - [ ] Sub-task: Escape quotes
            - [ ] Sub-task: Stream rows
        - [ ] Task: Conductor - User Manual Verification 'Writer' (Protocol in workflow.md)

        ## Phase 2: Docs
        - [ ] Task: Describe it in docs/export.md
    """)
    assert name_of(reading) == "Conductor"
    assert shape(reading) == {"1": ([], 3, 1), "2": (["1"], 1, 0)}
    first = reading.plan.phases[0]
    assert [step.text for step in first.steps] == ["Write tests", "Implement: Escape quotes", "Implement: Stream rows"]
    assert first.title == "Writer" and first.gates[0].text.startswith("Manual verification of Writer")


def test_an_issue_with_a_task_list_is_read_heading_by_heading():
    reading = read("""
        # Export fails on Mondays

        It stops.

        ## Tasks

        - [ ] Reproduce it in tests/test_export.py
        - [x] Ask the reporter
        - [ ] #12

        ## Acceptance criteria

        - [ ] The export works on Mondays

        ## Future ideas

        - [ ] Export on Sundays
    """)
    assert name_of(reading) == "task list"
    assert shape(reading) == {"1": ([], 3, 1)}
    assert len(unread_boxes(reading)) == 1 and "for later" in reading.accounting.unread[-1].why


def test_boxes_that_are_the_smaller_part_of_the_work_are_not_taken_for_the_whole():
    text = (
        "# App\n\n## R-1: Accounts\n\n- [ ] Open an account\n- [ ] Note the key\n\n## W-1: Code\n\n- Build the page\n- Build the report\n"
    )
    assert detect(text) is None


def test_a_plan_of_ours_that_lost_its_headings_is_no_task_list():
    text = "**Estimated Hours**: 2\n**Complexity**: low\n\n**Validation Gates**:\n- [ ] It works\n- [ ] It is fast\n"
    reading = read_plan(text)
    assert reading.format is None and reading.errors  # its boxes are gates; as steps they would mean something else


def test_a_task_whose_parts_are_all_optional_is_itself_a_step():
    reading = read("""
        # Implementation Plan

        - [ ] 1. Add the picker
          - Make src/Picker.vue
          - Two dates
          - _Requirements: 1.1_
          - [ ]* 1.1 Write property tests
        - [ ] 2. Use it
          - [ ] 2.1 On the first page
          - [ ]* 2.2 Write tests
    """)
    assert [[step.text.split("\n")[0] for step in phase.steps] for phase in reading.plan.phases] == [
        ["Add the picker", "Write property tests (optional)"],
        ["On the first page", "Write tests (optional)"],
    ]


@pytest.mark.parametrize(
    "head", ["id: BACK-7\ntitle: Add it\nstatus: To Do\nassignee: @ann\ndependencies: [BACK-6]", "name: Add it\nstatus: open"]
)
def test_the_file_of_one_task_is_one_phase(head):
    reading = read(
        f"---\n{head}\n---\n\n## Description\n\n<!-- BEGIN -->\nAdd it to the list.\n\n## Acceptance Criteria\n<!-- AC -->\n"
        "- [ ] #1 It is there\n"
        "- [ ] #2 It is quick\n\n## Implementation Notes\n\n- Was easy\n"
    )
    assert (name_of(reading), reading.plan.title, shape(reading)) == ("task file", "Add it", {"1": ([], 1, 2)})
    assert reading.plan.phases[0].goal == "Add it to the list."
    assert any("BACK-6" in issue.message for issue in reading.warnings) is ("BACK-6" in head)


def test_a_prp_lists_its_tasks_in_a_fence():
    reading = read("""
        # Agent

        ### Success Criteria
        - [ ] It answers

        ### List of tasks to be completed
        ```yaml
        Task 1: Set up
        CREATE config/settings.py:
          - PATTERN: as in main.py

        Task 2: Search
        CREATE tools/search.py:
        ```

        ## Validation Loop
        ```bash
        pytest -q
        ```

        ## Final validation Checklist
        - [ ] All tests pass
    """)
    assert name_of(reading) == "PRP"
    assert shape(reading) == {"1": ([], 1, 0), "2": (["1"], 1, 2)}
    assert [phase.files for phase in reading.plan.phases] == [("config/settings.py", "main.py"), ("tools/search.py",)]


@pytest.mark.parametrize("second", ["Task 2:", "Task 2"])
def test_a_task_of_a_prp_without_a_title_has_the_next_line_as_title(second):
    reading = read(f"# Agent\n\n## Tasks\n\n```yaml\nTask 1: Set up\nCREATE a.py\n\n{second}\nSearch\nCREATE b.py\n\nTask 3:\nTell\n```\n")
    assert [(phase.key, phase.title, phase.steps[0].text) for phase in reading.plan.phases] == [
        ("1", "Set up", "Set up\nCREATE a.py"),
        ("2", "Search", "Search\nCREATE b.py"),
        ("3", "Tell", "Tell"),
    ]


def test_tasks_with_a_coded_box_in_their_heading_and_a_script_among_the_gates():
    reading = read("""
        # Feature: Merge

        ### `[x]` Task 1: Remove it
        - **ACTION**: delete `old/`
        - **VALIDATE**: nothing names it

        ### `[ ]` Task 2: Merge it
        - **ACTION**: move `a.py`

        ## Verification

        ```bash
        pytest -q
        ruff check .
        ```

        ```bash
        python -c "
        print(1)
        "
        ```
    """)
    assert shape(reading) == {"1": ([], 1, 1), "2": (["1"], 1, 2)}
    assert [phase.steps[0].done for phase in reading.plan.phases] == [True, False]
    assert [issue.line for issue in reading.warnings if issue.code == "unread-gate"] == [17]


@pytest.mark.parametrize("fence", ["```", "```\n```", "```\n\n```"])
def test_a_list_of_tasks_may_be_empty(fence):
    """A fence at the very end of a document, which nothing closes, has no lines at all."""
    assert name_of(read(f"# A\n\n## Tasks\n\n{fence}")) != "PRP"
