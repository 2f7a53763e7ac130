"""A table whose rows are phases becomes phases in one click, and no table that may mean something else does."""

import pytest

from batches.core.plans.reader import read_plan
from batches.core.plans.repairs import apply_repair

HEAD = "# Rollout\n\nSome prose.\n\n"


def offered(table: str) -> dict[str, str]:
    """{label: the plan's text after it} of what is offered for a document with this table."""
    text = HEAD + table
    [error] = [issue for issue in read_plan(text).errors if issue.code == "no-phases"]
    return {one.label: apply_repair(text, one) for one in (*([error.repair] if error.repair else []), *error.others)}


TABLES = {
    "goal": "| Phase | Goal | Depends on | Files | Hours |\n|---|---|---|---|---|\n"
    "| 1 | The model | - | `a.py` | 2 |\n| 2 | The view | 1 | `b.py`, `c.py` | 3 |\n",
    "title in the key": "Phase | Effort | Dependencies | Files\n:--|--|--|--:\n"
    "**Phase 1: The model** | 2h | None | a.py\nPhase 2: The view | 3 h | Phase 1 | b.py<br>c.py\n",
    "numbers and titles": "| # | Title | Depends on | Key files | Time |\n|-|-|-|-|-|\n"
    "| 1 | The model | — | a.py | 2h |\n| 2. | The view | 1 | b.py, c.py | 3h |",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_rows_are_phases_with_their_order_hours_and_files(table: str) -> None:
    [(label, text)] = offered(table).items()
    assert label == "Read the rows of this table as 2 phases"
    found = read_plan(text)
    assert not found.errors
    assert [(one.key, one.title, one.hours, one.files, one.dependencies) for one in found.plan.phases] == [
        ("1", "The model", 2.0, ("a.py",), ()), ("2", "The view", 3.0, ("b.py", "c.py"), ("1",)),
    ]  # fmt: skip
    assert [step.text for one in found.plan.phases for step in one.steps] == ["The model", "The view"] and "Some prose." in text


def test_without_an_order_both_are_offered_and_what_else_the_rows_say_stays() -> None:
    texts = offered(
        "| Phase | Tasks | Gates | Files | Owner | Status |\n|---|---|---|---|---|---|\n"
        "| A: Model | write it<br>try it | `make test` | a.py | Ada | ✅ Done |\n| B: View | draw \\| it | | b.py | Bob | open |\n"
    )
    one_by_one, at_once = texts.values()
    assert [label.rpartition(", ")[2] for label in texts] == ["one after the other", "all at once"]
    assert [read_plan(text).plan.phases[1].dependencies for text in (one_by_one, at_once)] == [("A",), ()]
    first, second = read_plan(one_by_one).plan.phases
    assert [step.text for step in (*first.steps, *second.steps)] == ["write it", "try it", "draw | it"]
    assert [gate.text for gate in first.gates] == ["`make test`"] and "Owner: Ada" in one_by_one
    assert "- [x] write it" in one_by_one, "what is done is asked about, not done again unseen"


@pytest.mark.parametrize(
    "table",
    [
        "| Risk | Likelihood | Mitigation |\n|---|---|---|\n| 1 | high | tests |\n| 2 | low | none |\n",
        "| Phase | Cost |\n|---|---|\n| 1 | 3 |\n| 2 | 4 |\n",
        "| Phase | Goal | Hours |\n|---|---|---|\n| 1 | a | 2 |\n| 1 | b | 3 |\n",
        "| Phase | Goal | Hours |\n|---|---|---|\n| 1 | a | 2 |\n",
        "```\n| Phase | Goal | Hours |\n|---|---|---|\n| 1 | a | 2 |\n| 2 | b | 2 |\n```\n",
        "| Phase | Goal | Hours |\n|---|---|---|\n| 1 | a | 2 |\n| 2 | b | 3 |\n\ntext\n\n"
        "| Phase | Goal | Hours |\n|---|---|---|\n| 1 | c | 2 |\n| 2 | d | 3 |\n",
    ],
)
def test_other_tables_rows_of_one_key_and_two_tables_are_left_alone(table: str) -> None:
    assert not any("table" in label for label in offered(table))
