"""Task Master: tasks with subtasks, tags, dependencies and test strategies."""

import json

from batches.core.plans.formats import detect
from tests.core.plans.formats.reading import name_of, read, shape


def task(number, **more):
    return {
        "id": number,
        "title": f"Task {number}",
        "description": "Do it",
        "status": "pending",
        "dependencies": [],
        "testStrategy": "Run it",
        **more,
    }


def test_subtasks_are_steps_after_what_they_depend_on_and_the_strategy_is_the_gate():
    parts = [
        {"id": 1, "title": "Second", "dependencies": [2], "status": "pending", "testStrategy": "See it"},
        {"id": 2, "title": "First", "dependencies": [], "status": "done"},
    ]
    plan = {"tasks": [task(1, status="done"), task(2, dependencies=[1], subtasks=parts, complexityScore=8), task(3, dependencies=["2.1"])]}
    reading = read(json.dumps(plan, indent=1))
    assert name_of(reading) == "Task Master"
    assert shape(reading) == {"1": ([], 1, 1), "2": (["1"], 2, 1), "3": (["2"], 1, 1)}
    second = reading.plan.phases[1]
    assert [step.text for step in second.steps] == ["First", "Second\nTest: See it"]
    assert second.complexity == "high" and second.section.lstrip().startswith("{")
    assert reading.plan.phases[0].gates[0].checked


def test_one_tag_is_read_and_the_others_are_named():
    plan = {"later": {"tasks": [task(9)]}, "master": {"tasks": [task(1), task(2, dependencies=[1, 7])], "metadata": {}}}
    reading = read(json.dumps(plan, indent=2))
    assert list(shape(reading)) == ["1", "2"]
    assert [issue.code.value for issue in reading.errors] == ["undefined-dependency"]
    assert any("“later” holds 1 task" in piece.why for piece in reading.accounting.unread)


def test_json_of_another_shape_is_left_to_our_own_reader():
    assert detect(json.dumps({"items": [{"id": "1", "steps": ["a"], "subtasks": []}]})) is None


TEXT = """\
# Task ID: {id}
# Title: Task {id}
# Status: {status}
# Dependencies: {needs}
# Priority: high
# Description: Do {id}
# Details:
Change `src/{id}.py`.

# Test Strategy:
Run it
and look.
"""
PARTS = """
# Subtasks:
## 1. Write it [done]
### Dependencies: None
### Description: In src/a.py
### Details:
Mind the case.

## 2. Link it [pending]
### Dependencies: 3.1
"""


def test_the_text_of_tasks_is_read_as_the_json_is():
    alone = read(TEXT.format(id=3, status="pending", needs="1 (done), 2") + PARTS)
    assert (name_of(alone), alone.plan.title, shape(alone)) == ("Task Master", "Task 3", {"3": ([], 2, 1)})
    assert [(step.line, step.done, step.text) for step in alone.plan.phases[0].steps] == [
        (15, True, "Write it\nIn src/a.py\nMind the case."),
        (21, False, "Link it"),
    ]
    assert alone.plan.phases[0].gates[0].text == "Run it and look."
    assert any("waits for 1, 2, which are other files" in issue.message for issue in alone.warnings)
    several = read(
        "\n".join(TEXT.format(id=key, status=status, needs=needs) for key, status, needs in ((1, "done", "None"), (2, "deferred", "1")))
    )
    assert shape(several) == {"1": ([], 1, 1), "2": (["1"], 1, 1)}
    titled = read(TEXT.format(id=1, status="pending", needs="None").replace("Change", "# Title: Of the page\nChange"))
    assert (titled.plan.phases[0].title, titled.plan.phases[0].steps[0].text) == ("Task 1", "# Title: Of the page\nChange `src/1.py`.")
    assert several.plan.phases[0].steps[0].done and any("deferred" in issue.message for issue in several.warnings)
