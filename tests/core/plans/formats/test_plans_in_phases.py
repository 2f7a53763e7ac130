"""Superpowers, HumanLayer, GSD, CCPM, Cursor, and plans written as an outline."""

import pytest

from batches.core.plans.formats import detect
from batches.core.plans.labels import Field
from tests.core.plans.formats.reading import name_of, read, shape, unread_boxes


def test_superpowers_steps_files_and_runs_that_must_pass():
    reading = read("""
        # Counter Implementation Plan

        > **For agentic workers:** REQUIRED SUB-SKILL: Use superpowers:executing-plans

        **Goal:** Count words

        ### Task 1: The counter

        **Files:**
        - Create: `src/count.py`
        - Test: `tests/test_count.py`
        - Keep: `src/old.py`

        - [ ] **Step 1: Write the failing test**

        ```python
        def test_count(): ...
        ```

        Run: `pytest tests/test_count.py`
        Expected: 1 failed, 3 passed

        - [x] **Step 2: Write it**

        Three rules:
        - words are split at blanks
        - nothing else

        Run: `pytest tests/test_count.py -q`
        Expected: PASS

        ## Task 2: Clean up

        ### Task 2a: Old code

        **Step 1: Remove it**

        ```bash
        git rm src/old.py
        ```

        ## Verification checklist

        - [ ] `pytest` passes
    """)
    assert name_of(reading) == "Superpowers"
    assert shape(reading) == {"1": ([], 2, 1), "2a": (["1"], 1, 1)}
    first = reading.plan.phases[0]
    assert first.files == ("src/count.py", "tests/test_count.py") and Field.FILES not in first.assumed
    assert [step.text for step in first.steps] == ["Write the failing test", "Write it"] or first.steps[0].text.endswith(
        "Write the failing test"
    )
    assert first.gates[0].text.startswith("`pytest tests/test_count.py -q` passes")
    assert "def test_count" in first.section and reading.plan.phases[1].section.startswith("## Task 2: Clean up")


@pytest.mark.parametrize(
    ("value", "waits", "codes"),
    [
        ("Task 1 GREEN passing.", ["1"], []),
        ("Tasks 1 and 2", ["1", "2"], []),
        ("None", [], []),
        ("the design review", ["2"], ["unreadable-dependency"]),
    ],
)
def test_a_dependency_in_words_is_understood_or_leaves_the_order_written(value, waits, codes):
    steps = "- [ ] **Step 1: Do it**\n\n"
    text = f"# P\n\n### Task 1: A\n\n{steps}### Task 2: B\n\n{steps}### Task 3: C\n\n**Depends on:** {value}\n\n{steps}"
    reading = read(text)
    assert shape(reading)["3"][0] == waits
    assert [issue.code.value for issue in (*reading.errors, *reading.warnings) if "no-gates" not in issue.code.value] == codes


def test_humanlayer_a_person_decides_what_is_verified_by_hand():
    reading = read("""
        # Sorting Implementation Plan

        ## Overview

        Sort faster.

        ## Phase 1: Index

        ### Overview
        An index makes it fast.

        ### Changes Required:

        #### 1. Schema
        **File**: `db/schema.sql`
        **Changes**: add the index

        #### 2. Query
        **File**: `src/query.py`

        ### Success Criteria:

        #### Automated Verification:
        - [ ] Tests pass: `make test`

        #### Manual Verification:
        - [ ] The page is fast in `npm run dev`

        ---

        ## Phase 2: Page

        ### Changes Required:
        - Show the order

        ### Success Criteria:
        #### Automated Verification:
        - [x] `make lint` passes
    """)
    assert name_of(reading) == "HumanLayer"
    assert shape(reading) == {"1": ([], 2, 2), "2": (["1"], 1, 1)}
    first = reading.plan.phases[0]
    assert first.goal == "An index makes it fast." and first.files == ("db/schema.sql", "src/query.py")
    assert first.gates[1].text == "Manual: The page is fast in `npm run dev`"


def test_gsd_roadmap_reads_the_details_and_takes_finished_milestones_as_done():
    reading = read("""
        # Roadmap: Reader

        ## Phases

        - [x] **Phase 1: Base** - the base (completed)
        - [x] **Phase 2: Feed** - the feed
        - [ ] **Phase 3: Search** - find things

        ## Phase Details

        ### Phase 2: Feed
        **Goal**: A reader sees the feed
        **Depends on**: Phase 1
        **Requirements**: [F-01]
        **Success Criteria** (what must be TRUE):
          1. The feed loads
          2. It is sorted
        **Plans**: 1 plan

        Plans:
        - [x] 02-01: Load the feed

        ### Phase 3: Search
        **Goal**: A reader finds a page
        **Depends on**: Phase 2
        **Success Criteria** (what must be TRUE):
          1. Words are found
        **Plans**: TBD

        Plans:
        - [ ] 03-01: TBD

        ## Progress

        | Phase | Status |
        |---|---|
        | 2 | Done |
    """)
    assert name_of(reading) == "GSD" and not reading.errors
    assert shape(reading) == {"2": ([], 1, 2), "3": (["2"], 1, 1)}
    assert [gate.checked for gate in reading.plan.phases[0].gates] == [True, True]
    assert reading.plan.phases[1].steps[0].text == "Reach the goal: A reader finds a page"
    assert len(unread_boxes(reading)) == 2  # the phase that is done and has no details, and the plan that is not written


def test_gsd_plan_file_is_one_phase_of_its_tasks():
    reading = read("""
        ---
        phase: 03-search
        plan: 01
        type: execute
        depends_on: ["02-01"]
        files_modified: [src/find.ts, src/index.ts]
        autonomous: false
        must_haves:
          truths:
            - "Words are found"
        ---

        <objective>
        Index the pages.
        </objective>

        <tasks>
        <task type="auto">
          <name>Task 1: Build the index</name>
          <files>src/index.ts</files>
          <action>Split words, store them.</action>
          <verify>npm test</verify>
          <done>The index is built</done>
        </task>
        <task type="checkpoint:human-verify" gate="blocking">
          <what-built>Search page</what-built>
          <how-to-verify>Look for a word</how-to-verify>
        </task>
        </tasks>

        <verification>
        - [ ] `npm run build` succeeds
        </verification>
    """)
    (phase,) = reading.plan.phases
    assert name_of(reading) == "GSD" and phase.files == ("src/find.ts", "src/index.ts")
    assert [step.text for step in phase.steps] == ["Build the index\nSplit words, store them."]
    assert [gate.text for gate in phase.gates] == [
        "npm test",
        "The index is built",
        "Manual: Search page Look for a word",
        "`npm run build` succeeds",
        "Words are found",
    ]
    assert any("02-01" in issue.message for issue in reading.warnings)


def test_ccpm_epic_runs_parallel_tasks_beside_each_other_only():
    reading = read("""
        ---
        name: feed
        status: backlog
        prd: .claude/prds/feed.md
        ---

        # Epic: feed

        ## Task Breakdown Preview
        - [ ] **Task 1: Model**
          - Files: `src/model.py`
        - [ ] **Task 2: Reader**

        ## Success Criteria (Technical)
        - Feeds load in a second

        ## Tasks Created
        - [ ] 001.md - Model (parallel: false)
        - [ ] 002.md - Reader (parallel: true)
        - [ ] 003.md - Writer (parallel: true)
        - [ ] 004.md - Release (parallel: false)
    """)
    assert name_of(reading) == "CCPM"
    assert shape(reading) == {"1": ([], 1, 0), "2": (["1"], 1, 0), "3": (["1"], 1, 0), "4": (["2", "3"], 1, 1)}
    assert reading.plan.phases[0].files == ("src/model.py",)


def test_cursor_todos_follow_their_dependencies_or_the_one_before():
    reading = read("""
        ---
        name: Feed
        overview: Load the feed. Source: the brief
        todos:
          - id: model
            content: Build the model: two tables in `src/model.py`
            status: completed
          - id: reader
            content: "Build the reader"
            status: pending
          - id: page
            content: Build the page
            status: pending
            dependencies:
              - model
        isProject: false
        ---

        # Feed

        Notes.
    """)
    assert name_of(reading) == "Cursor" and not reading.errors
    assert shape(reading) == {"model": ([], 1, 0), "reader": (["model"], 1, 0), "page": (["model"], 1, 0)}
    assert reading.plan.phases[0].files == ("src/model.py",)
    listed = read("# Feed\n\nWhy.\n\n### To-dos\n\n- [ ] Build the model\n- [x] Build the page\n")
    assert name_of(listed) == "Cursor" and shape(listed) == {"1": ([], 1, 0), "2": (["1"], 1, 0)}


@pytest.mark.parametrize("kind", ["Phase", "Stage", "Milestone", "Step"])
def test_an_outline_is_read_in_the_order_written(kind):
    reading = read(f"""
        # Export plan

        ## {kind} 1: Writer

        **Problem**: it is slow

        - Stream rows in src/rows.py
        - Escape quotes

        Exit criteria:

        - Rows are streamed

        ## {kind} 2: Docs ✅

        Deliverables:

        - A page in docs/export.md

        ### {kind} 2 risks

        - It gets old
    """)
    assert name_of(reading) == "implementation plan"
    assert shape(reading) == {"1": ([], 2, 1), "2": (["1"], 1, 0)}
    assert reading.plan.phases[0].goal == "it is slow"


def test_claude_code_plans_in_phases_and_in_one_piece():
    phases = read("""
        # Search

        ## Context

        People search.

        ## Implementation Plan

        ### Phase 1: Index

        **1.1 Build the index**
        - in `src/index.ts`

        **1.2 Store it**

        ### Phase 2: Page

        1. Show the hits

        ## Critical Files

        - `src/index.ts`

        ## Verification

        1. `npm test` passes
    """)
    assert name_of(phases) == "Claude Code plan" and shape(phases) == {"1": ([], 2, 0), "2": (["1"], 1, 1)}
    whole = read("""
        # Rename the flag

        ## Context

        The name is wrong.

        ## Changes

        ### 1. `src/cli.py`

        Rename it.

        ### 2. `docs/cli.md`

        - Say the new name

        ## Verification

        - `pytest tests/test_cli.py` passes
    """)
    assert name_of(whole) == "Claude Code plan" and shape(whole) == {"1": ([], 2, 1)}
    assert whole.plan.phases[0].goal == "The name is wrong." and whole.plan.phases[0].files == ("src/cli.py", "docs/cli.md")


@pytest.mark.parametrize(
    "field", ["**Estimated Hours**: 2", "**Complexity**: low", "**Dependencies**: None", "**Goal**: x\n**Files**: a.py"]
)
def test_a_phase_with_our_fields_is_ours(field):
    text = f"# Plan\n\n## Phase 1: Build\n\n{field}\n\n- [ ] Build it\n\n## Phase 2: Test\n\n- [ ] Test it\n"
    assert detect(text) is None


def test_bold_lines_can_be_the_phases():
    reading = read("""
        # Plan: Skills

        **Task Sequence**

        **Phase 1: Base**
        1. Make the folder
        2. Write the template
        Dependencies: None

        **Phase 2: Move**
        3. Move the first
        4. Move the second
        Dependencies: Phase 1 complete

        **Risks**
        - It breaks
    """)
    assert shape(reading) == {"1": ([], 2, 0), "2": (["1"], 2, 0)}
