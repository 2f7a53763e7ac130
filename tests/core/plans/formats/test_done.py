"""What a document says is done is asked about, and leaving it out leaves a plan of the rest."""

import json
from textwrap import dedent

import pytest

from batches.core.plans.reader import IssueCode, apply_repair, read_plan

KIRO = """\
# Implementation Plan

- [x] 1. Store
  - [x] 1.1 Schema
    - _Requirements: 1.1_

- [ ] 2. Page
  - [x] 2.1 List
  - [ ] 2.2 Search
"""
CURSOR = """\
---
name: Feed
todos:
  - id: model
    content: Build the model
    status: completed
  - id: page
    content: Build the page
    status: pending
    dependencies:
      - model
---
"""
TASKS = [
    {"id": 1, "title": "Model", "status": "done", "testStrategy": "Run"},
    {
        "id": 2,
        "title": "Page",
        "status": "pending",
        "dependencies": [1],
        "subtasks": [{"id": 1, "title": "A", "status": "done"}, {"id": 2, "title": "B", "dependencies": [1]}],
    },
]
STORIES = [
    {"id": "US-1", "title": "Model", "passes": True, "acceptanceCriteria": ["a"]},
    {"id": "US-2", "title": "Page", "acceptanceCriteria": ["b"]},
]
CASES = {
    "Kiro": (KIRO, ["Search"]),
    "Cursor": (CURSOR, ["Build the page"]),
    "Task Master": (json.dumps({"tasks": TASKS}, indent=2), ["B"]),
    "Ralph": (json.dumps({"userStories": STORIES}, indent=2), ["Page"]),
}


@pytest.mark.parametrize("name", CASES)
def test_leaving_out_what_is_done_leaves_the_rest(name):
    text, rest = CASES[name]
    reading = read_plan(text)
    assert any(step.done for phase in reading.plan.phases for step in phase.steps) and not reading.errors
    asked = [issue for issue in reading.warnings if issue.code is IssueCode.ALREADY_DONE]
    assert len(asked) == 1 and asked[0].repair is None
    after = read_plan(apply_repair(text, asked[0].others[0]))
    assert after.format and after.format.name == name and not after.errors
    assert [step.text for phase in after.plan.phases for step in phase.steps] == rest
    assert [phase.dependencies for phase in after.plan.phases] == [()]
    assert not any(issue.code is IssueCode.ALREADY_DONE for issue in after.warnings)


def test_unticking_does_all_again_and_a_finished_heading_is_done():
    again = apply_repair(KIRO, next(issue for issue in read_plan(KIRO).warnings if issue.code is IssueCode.ALREADY_DONE).others[1])
    assert again == KIRO.replace("[x]", "[ ]")
    text = dedent("""
        # Plan

        ## Stage 1: Model ✅

        - Build it

        ## Stage 2: Page (partially done)

        - Build it
    """)
    assert [phase.steps[0].done for phase in read_plan(text).plan.phases] == [True, False]
    said = text.replace(" ✅", "\n\n**Status**: Complete")
    assert [phase.steps[0].done for phase in read_plan(said).plan.phases] == [True, False]
