"""What an agent answers about an idea becomes a plan that reads well, whatever it answers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.gates.binding import bind_gate
from batches.core.plans.analysis import analyse_document
from batches.core.plans.drafted import (
    NOT_SAID,
    Drafted,
    DraftRefused,
    Repository,
    drafted_plan,
    read_questions,
    translated_lines,
    usual_hours,
)
from batches.core.plans.forecast import FinishedPhase
from tests.subagents.ideas import phase, plan

THERE = Repository(frozenset({"README.md", "src/app.py", "src/one/same.py", "src/two/same.py"}), "c0ffee" * 6, "make test")


def drafted(*phases: dict, hours: dict[str, tuple[float, int]] | None = None, **more: object) -> Drafted:
    return drafted_plan(plan(*phases, **more), title="An idea", repository=THERE, hours=hours or {})


def read(made: Drafted):
    report = analyse_document(made.text)
    assert report.is_valid, (report.reading.errors, made.text)
    return report.reading.plan


def files(*paths: str, new: bool = False) -> list[dict]:
    return [{"path": path, "new": new} for path in paths]


@pytest.mark.parametrize(
    ("path", "becomes", "said"),
    [
        ("src/app.py", "src/app.py", ""),
        ("./src/app.py", "src/app.py", ""),
        ("src", "src", ""),
        ("src/*.py", "src/*.py", ""),
        ("app.py", "src/app.py", "does not exist; src/app.py does"),
        ("same.py", "same.py", "is not in the repository"),  # two of them: a person chooses
        ("docs/*.md", "docs/*.md", "is not in the repository"),
    ],
)
def test_a_path_exists_or_is_corrected_or_flagged(path, becomes, said):
    made = drafted(phase("One", files=files(path)))
    assert read(made).phases[0].files == (becomes,)
    assert (said in made.notes[0]) if said else not made.notes
    assert ("correct it, or write (NEW)" in made.text) == (said == "is not in the repository")


def test_a_file_that_any_phase_creates_is_new_for_all():
    made = drafted(phase("One", files=files("new.py", new=True)), phase("Two", depends_on=[1], files=files("new.py")))
    assert made.text.count("`new.py` (NEW)") == 2 and not made.notes


def test_hours_are_the_median_of_the_estimates_of_this_project_where_three_have_finished():
    def finished(hours: float, project: int, complexity: str = "low") -> FinishedPhase:
        return FinishedPhase(complexity, project, hours, hours / 10, Decimal(1))

    history = [*(finished(hours, 7) for hours in (1, 2, 6)), finished(50, 8), finished(9, 7, "high")]
    assert usual_hours(history, 7) == {"low": (2, 3)}
    phases = phase("One", hours=30), phase("Two", complexity="high", hours=12)
    made = drafted(*phases, hours=usual_hours(history, 7))
    assert [one.hours for one in read(made).phases] == [2, 12] and "median of 3 finished phases" in made.notes[0]


def test_a_dependency_on_no_phase_is_left_out_and_said():
    made = drafted(phase("One", depends_on=[1, 9]), phase("Two", depends_on=[1, 1]))
    assert [one.dependencies for one in read(made).phases] == [(), ("1",)]
    assert len([note for note in made.notes if "dependency" in note]) == 2


def test_a_gate_names_its_command_also_one_with_back_ticks():
    gates = [{"text": "It `works`", "command": "echo `date`"}, {"text": "Nice", "command": ""}]
    texts = [gate.text for gate in read(drafted(phase("One", gates=gates))).phases[0].gates]
    assert texts == ["It 'works' (checked: `echo $(date)`)", "Nice"] and bind_gate(1, texts[0]).command == "echo $(date)"


def test_no_phase_is_refused_and_a_missing_title_is_the_ideas():
    with pytest.raises(DraftRefused, match="has no phases"):
        drafted(phase("", goal="", steps=[]))
    assert read(drafted(phase("One"), title=" ")).title == "An idea"


PIECES = ("\n### Phase 9: Nine\n", "\n**Goal**: Other\n", "\n- [ ] a gate\n", "\n1. one\n", "\n```\n", "\n\n", "| a |", "words", "# ")
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)


@given(words=HOSTILE, overview=HOSTILE)
def test_markdown_in_an_answer_changes_nothing_of_the_plan_around_it(words, overview):
    made = drafted(phase(f"One {words}", goal=f"Goal {words}", steps=[f"Do it {words}"]), phase("Two"), overview=f"All {overview}")
    found = analyse_document(made.text).reading.plan
    assert [one.key for one in found.phases] == ["1", "2"] and len(found.phases[0].steps) == 1


def test_questions_are_five_at_most_without_blanks_and_repetitions():
    answer = {"questions": [{"question": f"Q{number}?", "answers": ["a", " a ", "", "b"]} for number in range(8)]}
    questions = read_questions({"questions": [{"question": " ", "answers": []}, *answer["questions"]]})
    assert len(questions) == 5 and questions[0].to_json() == {"question": "Q0?", "answers": ["a", "b"]}


def test_every_line_of_a_translated_document_is_told_once():
    account = [
        {"line": 2, "end_line": 90, "became": "phase 1", "why": "x"},
        {"line": 9, "end_line": 1, "became": "nothing", "why": ""},
        {"line": 0, "end_line": 1, "became": "", "why": ""},
    ]
    told = [(one.line, one.end_line, one.became, one.why) for one in translated_lines("a\nb\n\nc", account)]
    assert told == [(1, 1, "", "No reason is given."), (2, 4, "phase 1", "x")]
    assert [(one.line, one.end_line, one.why) for one in translated_lines("a\nb\n\nc", [])] == [(1, 2, NOT_SAID), (4, 4, NOT_SAID)]
