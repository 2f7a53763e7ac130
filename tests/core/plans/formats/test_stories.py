"""BMAD and Ralph: user stories with acceptance criteria, in markdown and JSON, and fix plans."""

import json

from batches.core.plans.unread import UnreadKind
from tests.core.plans.formats.reading import name_of, read, shape, unread_boxes


def test_bmad_epics_a_story_is_a_phase_and_each_criterion_a_gate():
    reading = read("""
        # Shelf - Epic Breakdown

        ## Epic List

        ### Epic 1: Shelves
        Readers have shelves.

        ## Epic 1: Shelves

        ### Story 1.1: Add a shelf

        As a **reader**,
        I want to add a shelf,
        So that I can sort my books.

        **Acceptance Criteria:**

        **Given** I am signed in
        **When** I add a shelf
        **Then** it is listed
        **And** it is empty

        **Given** a shelf has no name
        **When** I add it
        **Then** I see:
        - a message
        - the form again

        **Implementation notes:**
        - One table

        ### Story 1.2: Remove a shelf

        As a reader,
        I want to remove a shelf,
        So that old ones go.

        **Prerequisites:** Story 1.1

        **Acceptance Criteria:**

        1. The shelf is gone
        2. Its books stay

        ## Hot fix: colours

        Replace the blue.

        ## Epic 2: Loans

        ### Story 2.1: Lend a book

        As a reader, I want to lend a book, so that friends read it.

        **Acceptance Criteria:**

        - [ ] AC1: The book is marked
    """)
    assert name_of(reading) == "BMAD"
    assert shape(reading) == {"1.1": ([], 1, 2), "1.2": (["1.1"], 1, 2), "2.1": (["1.2"], 1, 1)}
    first = reading.plan.phases[0]
    assert "I want to add a shelf" in first.goal and "a message" in first.gates[1].text and first.gates[0].text.endswith("it is empty")
    lonely = [piece for piece in reading.accounting.unread if piece.kind is UnreadKind.SECTION]
    assert [piece.text.split("\n")[0] for piece in lonely] == ["## Hot fix: colours"]
    assert [issue.line for issue in reading.warnings if issue.code.value == "unread-section"] == [lonely[0].line]


def test_bmad_story_file_is_one_phase_of_its_tasks():
    reading = read("""
        # Story 2.3: Return a book

        Status: ready-for-dev

        ## Story

        As a reader,
        I want to return a book,
        so that others can read it.

        ## Acceptance Criteria

        1. The book is free again
        2. The loan is kept

        ## Tasks / Subtasks

        - [x] Task 1: Model (AC: 1)
          - [x] Subtask 1.1: Add a field in src/loans.py
          - [ ] Subtask 1.2: Migrate
        - [ ] Task 2: Page (AC: 2)

        ## Dev Notes

        - Keep it small

        ### File List

        - [x] src/loans.py
    """)
    assert name_of(reading) == "BMAD"
    assert shape(reading) == {"2.3": ([], 3, 2)}
    assert reading.plan.phases[0].steps[0].text == "Task 1: Model (AC: 1): Subtask 1.1: Add a field in src/loans.py"
    assert len(unread_boxes(reading)) == 1


def test_ralph_json_is_in_order_of_priority_and_passed_stories_are_done():
    stories = [
        {
            "id": "US-002",
            "title": "Show it",
            "description": "As a user, I see it",
            "acceptanceCriteria": ["It shows"],
            "priority": 2,
            "passes": False,
        },
        {
            "id": "US-001",
            "title": "Store it",
            "acceptanceCriteria": ["It is kept", "Typecheck passes"],
            "priority": 1,
            "passes": True,
            "notes": "Small",
            "owner": "me",
        },
    ]
    plan = {
        "project": "App",
        "branchName": "ralph/it",
        "description": "Keep and show",
        "verificationCommands": {"test": "npm test"},
        "userStories": stories,
    }
    reading = read(json.dumps(plan, indent=2))
    assert name_of(reading) == "Ralph" and reading.plan.title == "Keep and show"
    assert shape(reading) == {"US-001": ([], 1, 3), "US-002": (["US-001"], 1, 2)}
    assert [gate.checked for gate in reading.plan.phases[0].gates] == [True] * 3
    assert reading.plan.phases[1].gates[1].text == "`npm test` passes"
    assert [piece.why for piece in reading.accounting.unread] == ["“owner” of story US-001 is not read."]


def test_a_list_of_features_that_pass_or_not_is_ralph_too():
    features = [
        {"category": "functional", "description": "Rows are sorted", "steps": ["Open the page", "See the order"], "passes": False},
        {"category": "functional", "description": "Rows are kept", "steps": ["Reload"], "passes": True},
    ]
    reading = read(json.dumps(features, indent=2))
    assert name_of(reading) == "Ralph" and shape(reading) == {"1": ([], 1, 2), "2": (["1"], 1, 1)}
    assert [phase.steps[0].done for phase in reading.plan.phases] == [False, True]
    assert [phase.line for phase in reading.plan.phases] == [2, 11]


def test_bmad_stories_without_a_colon_and_with_criteria_as_lines():
    reading = read("""
        # Shop PRD

        ## Epic 1 Base

        ### Story 1.1 Project setup

        As a developer,
        I want a project,
        so that I can begin.

        #### Acceptance Criteria

        1: The project builds
        2: The tests run

        ### Story 1.2 Health check

        As an operator, I want a check, so that I see it lives.

        #### Acceptance Criteria

        1: It answers
    """)
    assert name_of(reading) == "BMAD" and shape(reading) == {"1.1": ([], 1, 2), "1.2": (["1.1"], 1, 1)}
    assert [gate.text for gate in reading.plan.phases[0].gates] == ["The project builds", "The tests run"]


def test_ralph_prd_and_fix_plan():
    prd = read("""
        # PRD: Export

        ## User Stories

        ### US-001: Write rows

        **Description:** As a user, I export rows.

        **Acceptance Criteria:**
        - [ ] Rows are written
        - [ ] `npm test` passes

        ### US-002: Compress

        **Acceptance Criteria:**
        - [ ] The file is smaller
    """)
    assert name_of(prd) == "Ralph" and shape(prd) == {"US-001": ([], 1, 2), "US-002": (["US-001"], 1, 1)}
    fixes = read("""
        # Fix Plan

        **FIRST STEP:** Start with:
        ```bash
        npm init
        ```

        ## High Priority
        - [ ] **Task 1: Mend the parser**
          - File: `src/parse.js`
        - [x] Mend the printer

        ## Medium Priority

        ## Low Priority
        - [ ] Tidy

        ## Completed
        - [x] Looked around
    """)
    assert name_of(fixes) == "Ralph" and shape(fixes) == {"1": ([], 3, 0), "2": (["1"], 1, 0)}
    assert fixes.plan.phases[0].steps[0].text == "Start with:\nnpm init"
    assert fixes.plan.phases[0].steps[1].text.startswith("Mend the parser")
    assert len(unread_boxes(fixes)) == 1
