"""Plans as people and tools write them: other languages, bold lines as headings, odd spaces, order in titles and sections."""

import pytest

from batches.core.plans.reader import read_plan
from tests.core.plans.formats.reading import name_of, read, shape, unread_boxes


def test_a_plan_in_french_has_its_order_and_says_which_hours_it_does_not_understand():
    reading = read("""
        # Plan de migration

        ## Étape 1 : Préparer

        - [ ] Sauvegarder la base

        ## Étape 2 : Migrer

        Dépend de : aucune
        Durée : 2 jours

        - [ ] Migrer

        ### Critères d'acceptation

        - [ ] La base répond

        ## Étape 3 : Nettoyer

        Dépend de : Étape 1 et Étape 2

        - [ ] Supprimer l'ancienne base
    """)
    assert shape(reading) == {"1": ([], 1, 0), "2": ([], 1, 1), "3": (["1", "2"], 1, 0)}
    assert ["2 jours" in issue.message for issue in reading.warnings if issue.code == "bad-hours"] == [True]


def test_german_labels_are_fields_and_gates_are_no_steps():
    reading = read_plan(
        "# Plan\n\n## Phase 1: Modell\n\n**Ziel**: Tabelle anlegen\n**Aufwand**: 4 Stunden\n**Abhängigkeiten**: keine\n\n"
        "- [ ] Migration schreiben\n\n**Abnahmekriterien**:\n- [ ] `pytest` läuft durch\n"
    )
    assert shape(reading) == {"1": ([], 1, 1)} and reading.plan.phases[0].goal == "Tabelle anlegen"
    assert "bad-hours" in {issue.code for issue in reading.errors}


def test_bold_lines_with_a_remark_open_phases_and_their_titles_speak_of_the_order():
    reading = read("""
        # Move

        **Phase 1: Prepare**

        - [ ] Dump

        **Phase 2: Move** (depends on Phase 1)

        - [ ] Restore

        **Phase 3: Tidy up** (does not depend on Phase 2)

        - [ ] Delete

        **Phase 4: Tell** (after Phases 1-2)

        - [ ] Write
    """)
    assert shape(reading) == {"1": ([], 1, 0), "2": (["1"], 1, 0), "3": ([], 1, 0), "4": (["1", "2"], 1, 0)}


def test_a_phase_in_parallel_with_another_waits_for_what_that_one_waits_for():
    reading = read("""
        # Tasks

        - [ ] 1. Database
          - [ ] 1.1 Migrate
        - [ ] 2. Interface
          - [ ] 2.1 Build
        - [ ] 3. Mail (can run in parallel with Task 2)
          - [ ] 3.1 Send
        - [ ] 4. Release
          - [ ] 4.1 Tag
    """)
    assert {phase.key: phase.dependencies for phase in reading.plan.phases} == {"1": (), "2": ("1",), "3": ("1",), "4": ("2", "3")}


@pytest.mark.parametrize(
    ("saying", "waits", "is_told"),
    [
        ("Phase 3 may overlap with Phase 2", ["1"], False),
        ("Phase 3 is independent of Phase 2", ["1"], False),
        ("Phases 2 and 3 are independent of each other", ["1"], False),
        ("Phase 2 and Phase 3 can be done in any order", ["1"], False),
        ("Phase 3 does not need to wait for Phase 2", ["1"], False),
        ("Phase 3 must not start before Phase 2 is done", ["2"], False),
        ("Phase 3 can start before Phase 2 is done", ["2"], True),
        ("Phase 3: can start before Phase 2 is done", ["2"], True),
        ("Phase 3 can start once Phase 2 is started", ["2"], True),
        ("Phase 3 and Phase 2 are independent", ["2"], True),
        ("**Phase 3**: Independent of Phase 2, needs Phase 1", ["2"], True),
        ("Phase 3 is independent of Phase 2 but needs Phase 1", ["2"], True),
        ("Phase 3 does not wait for Phase 2, only for Phase 1", ["2"], True),
        ("Phase 3 can overlap with Phase 2 after Phase 1", ["2"], True),
        ("Phase 3: can start immediately", [], False),
        ("Phase 3: no dependencies other than Phase 2", ["2"], False),
        ("Phase 3: can start immediately once Phase 2 is complete", ["2"], False),
        ("Phase 3: None except Phase 2", ["2"], False),
        ("Phase 3: nothing until Phase 2 is merged", ["2"], False),
    ],
)
@pytest.mark.parametrize("task", ["", "T00{} "])
def test_sentences_that_loosen_the_order_are_understood_or_told(task: str, saying: str, waits: list[str], is_told: bool) -> None:
    phases = "".join(f"## Phase {key}: Part {key}\n\n- [ ] {task.format(key)}Do it\n\n" for key in (1, 2, 3))
    reading = read(f"# Plan\n\n{phases}## Dependencies & Execution Order\n\n- {saying}\n")
    assert shape(reading) == {"1": ([], 1, 0), "2": (["1"], 1, 0), "3": (waits, 1, 0)}
    assert bool([issue.line for issue in reading.warnings if issue.code == "no-order"]) is is_told


def test_a_sentence_in_a_phase_that_loosens_the_order_is_told() -> None:
    phases = "".join(f"## Phase {key}: Part {key}\n\n{'May overlap with Phase 1.' * (key == 2)}\n\n- [ ] Do it\n\n" for key in (1, 2))
    assert [issue.line for issue in read(f"# Plan\n\n{phases}").warnings if issue.code == "no-order"] == [11]


def test_what_says_no_order_follows_all_above_and_never_makes_a_circle() -> None:
    stories = "".join(
        f"### Story {key}: Part\n\nAs a reader, I want it.\n\n**Acceptance Criteria:**\n\n1. It is there\n\n"
        f"{waits and '**Prerequisites:** ' + waits}\n\n"
        for key, waits in (("1.1", ""), ("1.2", "Story 1.3"), ("1.3", ""), ("1.4", "Story 1.1"), ("1.5", ""), ("2.1", "Epic 1"))
    )
    reading = read(f"# Epics\n\n## Epic 1: Shelf\n\n{stories}")
    assert not reading.errors
    assert {phase.key: list(phase.dependencies) for phase in reading.plan.phases} == {
        "1.1": [],
        "1.2": ["1.3"],
        "1.3": ["1.1"],
        "1.4": ["1.1"],
        "1.5": ["1.2", "1.4"],
        "2.1": ["1.1", "1.2", "1.3", "1.4", "1.5"],
    }


def test_a_section_about_dependencies_gives_the_order_of_groups():
    reading = read("""
        # Tasks

        ## 1. Schema
        - [ ] 1.1 Add it

        ## 2. Command
        - [ ] 2.1 Use it

        ## 3. Validation
        - [ ] 3.1 Run it

        ## Dependencies
        - 2 depends on 1
        - 3 can run in parallel with 2

        ## 4. Release
        - [ ] 4.1 Tag it

        ## 5. News
        - [ ] 5.1 Write it

        ## Order of the last groups

        4 → 5
    """)
    assert name_of(reading) == "OpenSpec"
    assert shape(reading) == {
        "1": ([], 1, 0),
        "2": (["1"], 1, 0),
        "3": (["1"], 1, 0),
        "4": (["2", "3"], 1, 0),
        "5": (["4"], 1, 0),
    }
    assert not reading.accounting.unread


def test_milestones_with_letters_and_phases_told_in_prose_are_phases():
    reading = read("""
        # Roadmap

        ### Milestone A: Base

        - Make the repository

        ### Milestone B: Product (in parallel with C)

        Build the application for ten users.

        ### Milestone C: Growth (starts after A)

        - Show it

        ### Milestone D: News (can run in parallel with C)

        - Tell it
    """)
    assert shape(reading) == {"A": ([], 1, 0), "B": (["A"], 1, 0), "C": (["A"], 1, 0), "D": (["A"], 1, 0)}


def test_a_title_that_says_what_must_be_complete_is_not_done():
    reading = read("""
        # Tasks: Users

        ## Phase 3.1: Setup
        - [ ] T001 Create src/

        ## Phase 3.2: Tests First, MUST COMPLETE BEFORE 3.3
        - [ ] T002 Write tests/test_users.py

        ## Phase 3.3: Model COMPLETED
        - [ ] T003 Write src/users.py
    """)
    assert [step.done for phase in reading.plan.phases for step in phase.steps] == [False, False, True]


def test_no_space_is_too_odd_and_no_box_is_lost():
    text = (
        "# Plan\n\n##\u00a0Phase 1: A\n\n- [\u00a0] one\n-\u00a0[ ]\u00a0two\n- [ ] ~~three~~\n\n## Phase 2: B\n\n- [ ] four\n\n[ ] five\n"
    )
    reading = read_plan(text)
    assert shape(reading) == {"1": ([], 2, 0), "2": (["1"], 1, 0)}
    assert unread_boxes(reading) == [7, 13]


def test_gsd_phases_of_a_milestone_that_is_shipped_are_not_waited_for():
    reading = read("""
        # Roadmap

        ## Milestones

        - ✅ **v1.0** - Phases 1-2 (shipped 2025-11-02)

        ## Phase Details

        ### Phase 3: Client
        **Goal**: Notes appear
        **Depends on**: Phase 2
        **Success Criteria** (what must be TRUE):
          1. A note shows up
        **Plans**: 1 plan

        Plans:
        - [ ] 03-01: Write the client
    """)
    assert shape(reading) == {"3": ([], 1, 1)} and not reading.errors


def test_epics_keep_their_own_gates_and_a_title_says_two_things():
    reading = read("""
        # Plan

        ## Epic 1: Accounts (5 days)
        ### Tasks
        - [ ] Sign up
        ### Acceptance
        - [ ] A user can sign in

        ## Epic 2: Payments (8 days, can start in parallel with Epic 1)
        ### Tasks
        - [ ] Cards
        - [ ] Refunds
        ### Acceptance
        - [ ] A card is charged
    """)
    assert shape(reading) == {"1": ([], 1, 1), "2": ([], 2, 1)}
    assert [phase.hours for phase in reading.plan.phases] == [40, 64]


def test_gates_of_a_task_list_belong_to_the_part_that_they_stand_in():
    reading = read("""
        # Release

        ## Server
        ### Tasks
        - [ ] Write it
        ### Acceptance criteria
        - [ ] It answers

        ## Client
        ### Tasks
        - [ ] Call it
        - [ ] Show it
    """)
    assert shape(reading) == {"1": ([], 1, 1), "2": (["1"], 2, 0)}
    assert [phase.title for phase in reading.plan.phases] == ["Server", "Client"]


def test_boxes_that_are_drawn_are_boxes():
    reading = read("""
        # Move

        ## Stage 1: Inventory
        - ✅ List services

        ## Stage 2: Move
        - ⬜ Move the service
        - ☐ Move the database
    """)
    assert [step.done for phase in reading.plan.phases for step in phase.steps] == [True, False, False]


def test_a_note_of_the_order_in_a_title_is_understood_in_other_languages():
    reading = read("""
        # Plano

        - [ ] 1. Projeto
          - [ ] 1.1 Criar
        - [ ] 2. Dados
          - [ ] 2.1 Tabela
        - [ ] 3. Interface (pode ser feita em paralelo com a Tarefa 2)
          - [ ] 3.1 Página
    """)
    assert shape(reading)["3"][0] == ["1"]


def test_what_a_phase_says_to_block_must_wait_for_it():
    text = (
        "# Plan\n\n## Phase 1: A\n**Goal**: Do a\n**Estimated Hours**: 1\n**Complexity**: low\n**Files Modified**: a.py\n"
        "**Dependencies**: None\n"
        "**Blocks**: Phase 2\n\n**Implementation Steps**:\n1. Do it\n"
    )
    text += text[text.index("## Phase 1") :].replace("Phase 1", "Phase 2").replace("**Blocks**: Phase 2\n", "")
    [error] = read_plan(text).errors
    assert "says that it blocks Phase 2" in error.message and error.line == 9
    assert not read_plan(text.replace("**Dependencies**: None", "**Dependencies**: Phase 1").replace(": Phase 1", ": None", 1)).errors
