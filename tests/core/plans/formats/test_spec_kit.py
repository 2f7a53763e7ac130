"""spec-kit: phases of tasks, the order of “Phase Dependencies”, checkpoints and independent tests as gates."""

import pytest

from batches.core.plans.labels import Field
from tests.core.plans.formats.reading import name_of, read, shape

TASKS = """
    # Tasks: Bookmarks

    ## Phase 1: Setup (Shared Infrastructure)

    **Purpose**: Make the project

    - [X] T001 Create the package in src/marks/__init__.py
    - [ ] T002 [P] Configure the linter in ruff.toml

    ## Phase 2: Foundational (Blocking Prerequisites)

    - [ ] T003 Create the model in src/marks/models.py

    **Checkpoint**: Foundation ready

    ## Phase 3: User Story 1 - Save a page (Priority: P1)

    **Goal**: A reader saves a page

    **Independent Test**: Save a page, see it in the list

    ### Tests for User Story 1

    - [ ] T004 [P] [US1] Contract test in tests/test_save.py

    ### Implementation for User Story 1

    - [ ] T005 [US1] Save in src/marks/save.py (depends on T003)

    ## Phase 4: User Story 2 - Find a page (Priority: P2)

    - [ ] T006 [US2] Search in src/marks/find.py

    ## Final Phase: Polish

    - [ ] T007 Update README.md

    ## Dependencies & Execution Order

    ### Phase Dependencies

    - **Setup (Phase 1)**: No dependencies - can start immediately
    - **Foundational (Phase 2)**: Depends on Setup completion - BLOCKS all user stories
    - **User Stories (Phase 3+)**: All depend on Foundational phase completion
      - User stories can then proceed in parallel
    - **Polish (Final Phase)**: Depends on all desired user stories being complete

    ### User Story Dependencies

    - **User Story 2 (P2)**: Can start after Foundational (Phase 2) - {second}
"""


@pytest.mark.parametrize(
    ("second", "waits"),
    [
        ("May integrate with US1 but independently testable", ["2"]),
        ("Depends on User Story 1", ["2", "3"]),
        ("No dependencies", ["2"]),
        ("Does not depend on User Story 1", ["2"]),
    ],
)
def test_stories_wait_for_what_the_list_says_and_no_more(second, waits):
    reading = read(TASKS.format(second=second))
    assert name_of(reading) == "spec-kit"
    assert shape(reading) == {
        "1": ([], 2, 0),
        "2": (["1"], 1, 1),
        "3": (["2"], 2, 1),
        "4": (waits, 1, 0),
        "final": (["3", "4"], 1, 0),
    }
    assert reading.format.sentence == "Read as spec-kit: 5 phases, 7 tasks, 2 gates, order from “Phase Dependencies”"
    assert not reading.errors


def test_paths_in_tasks_are_the_assumed_files_and_ticked_tasks_are_done():
    phases = read(TASKS.format(second="None")).plan.phases
    assert phases[0].files == ("src/marks/__init__.py", "ruff.toml")
    assert Field.FILES in phases[0].assumed and Field.HOURS in phases[0].assumed
    assert phases[2].goal == "A reader saves a page" and Field.GOAL not in phases[2].assumed


def test_without_a_list_of_dependencies_phases_follow_each_other():
    text = TASKS[: TASKS.index("    ## Dependencies")]
    reading = read(text)
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("2",), ("3",), ("4",)]
    assert reading.format.sentence.endswith("in the order written")


@pytest.mark.parametrize(
    ("line", "key", "waits"),
    [
        ("- Phase 2 blocks Phase 4", "4", ["2"]),
        ("- Phase 4 does not depend on Phase 3", "4", ["3"]),  # nothing is said, so it stays in order
        ("- Phase 1 → Phase 2 → Phase 4", "4", ["2"]),
        ("- US2 requires US1", "4", ["3"]),
        ("- Polish (Final Phase): needs everything", "final", ["4"]),
        ("- Polish (Final Phase): After all", "final", ["4"]),
        ("- Phase 4: Nothing blocks it once Phase 2 is done", "2", ["1"]),
        ("- User stories: depend on Phase 2\n    - Final phase: cross-cutting work", "final", ["3", "4"]),  # its order is not said
    ],
)
def test_sentences_about_the_order_are_not_turned_round(line, key, waits):
    text = TASKS[: TASKS.index("    ## Dependencies")] + f"    ## Dependencies\n\n    {line}\n"
    assert shape(read(text))[key][0] == waits


ALBUMS = """
    # Tasks: Albums

    ## Phase 1: Setup
    - [ ] T001 Create src/albums/__init__.py

    ## Phase 2: Foundational
    - [ ] T002 Model in src/albums/models.py

    ## Phase 3: User Story 1 - Create album
    - [ ] T003 [US1] Endpoint in src/albums/api.py

    ## Phase 4: User Story 2 - Share album
    - [ ] T004 [US2] Share in src/albums/share.py

    ## Phase 5: Polish
    - [ ] T005 Docs in README.md

    ## Dependencies & Execution Order

    - SAYING
"""


@pytest.mark.parametrize(
    ("saying", "needs"),
    [
        ("Foundational depends on Setup and blocks all user stories", "1; 2; 2; 3 4"),
        ("US1 and US2 can run in parallel once Foundational is complete", "1; 2; 2; 3 4"),
        ("Once Phase 2 is done, US1 and US2 can start", "1; 2; 2; 3 4"),
        ("**User Story 2**: Depends on Foundational; blocks Polish", "1; 2; 2; 3 4"),
        ("US2 can start once US1 is started", "1; 2; 3; 4"),
    ],
)
def test_sentences_about_blocks_and_parallel_work_are_not_turned_round(saying, needs):
    reading = read(ALBUMS.replace("SAYING", saying))
    assert "; ".join(" ".join(phase.dependencies) for phase in reading.plan.phases[1:]) == needs


def test_parallel_work_of_which_no_start_is_said_is_told_and_stories_are_no_phases_of_their_number():
    reading = read(ALBUMS.replace("SAYING", "User Story 1 and User Story 2 may run in parallel"))
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("2",), ("3",), ("4",)]
    assert [issue.line for issue in reading.warnings if issue.code == "no-order"] == [20]
