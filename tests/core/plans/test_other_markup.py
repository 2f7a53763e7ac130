"""Plans in org-mode, reStructuredText and with underlined titles: read as they are, each line with its own number."""

import pytest

from tests.core.plans.formats.reading import name_of, read, shape


def test_org_mode_headings_with_a_state_are_boxes_and_others_are_headings() -> None:
    reading = read("""
        #+TITLE: Move the shop
        * Phase 1: Tables
        :PROPERTIES:
        :ID: a1
        :END:
        ** TODO Make the table
           In db/shop.sql.
        ** DONE Write the test :quick:
        ** CANCELLED Ask around
        * Phase 2: Pages
        ** TODO [#A] Add the page
           #+BEGIN_SRC sh
           make page
           #+END_SRC
    """)
    assert shape(reading) == {"1": ([], 3, 0), "2": (["1"], 1, 0)}
    assert reading.plan.title == "Move the shop"
    assert [(step.line, step.done) for phase in reading.plan.phases for step in phase.steps] == [
        (6, False),
        (8, True),
        (9, False),
        (11, False),
    ]
    assert {issue.code.value for issue in reading.warnings} >= {"already-done", "called-off"}


def test_a_flat_org_list_is_a_task_list() -> None:
    reading = read("* TODO Make the table\n* DONE Write the test\n* TODO Add the page\n")
    assert (name_of(reading), shape(reading)) == ("task list", {"1": ([], 3, 0)})


def test_notes_below_a_step_in_org_mode_lose_no_step_and_a_title_above_changes_nothing() -> None:
    text = "* TODO Phase 1: Tables\nAll of them.\n** TODO Build them\n*** Notes\n** TODO Test them\n* TODO Phase 2: Pages\nOf the shop.\n"
    reading = read(f"# Move the shop\n{text}")
    assert reading.plan.title == "Move the shop"
    assert [phase.key for phase in reading.plan.phases] == ["1", "2"]
    assert [step.line for step in reading.plan.phases[0].steps] == [4, 6]


@pytest.mark.parametrize(("top", "below", "over"), [("=", "-", ""), ("#", "=", "#"), ("*", "~", "*")])
def test_underlined_titles_are_headings_in_the_order_of_their_marks(top: str, below: str, over: str) -> None:
    head = f"{over * 12}\nMove it all\n{top * 12}\n".lstrip("\n")
    reading = read(head + f"\nPhase 1: Tables\n{below * 15}\n\n#. Make it\n#. Test it\n\nPhase 2: Pages\n{below * 14}\n\n* Add ``it``\n")
    assert shape(reading) == {"1": ([], 2, 0), "2": (["1"], 1, 0)}
    assert (reading.plan.title, reading.plan.phases[1].steps[0].text) == ("Move it all", "Add ``it``")


def test_plain_lists_and_tables_are_no_other_markup() -> None:
    assert not read("* use it\n* write it\n\n| a | b |\n|---|---|\n| 1 | 2 |\n").plan.phases
