"""Graphs over phases in a document: the order that they draw is taken, contradicted with a word, or said not to be understood."""

import pytest

from batches.core.plans.reader import IssueCode, read_plan
from tests.core.plans.formats.reading import read, shape

PHASES = "".join(
    f"## Phase {key}: {title}\n\n- [ ] Do {key}\n\n" for key, title in enumerate(("Setup", "Core", "Pages", "Launch"), start=1)
)
OURS = """\
## Phase {key}: Part {key}

**Goal**: Do {key}
**Estimated Hours**: 2
**Complexity**: low
**Files Modified**: {key}.py
{dependencies}
**Implementation Steps**:
1. Do {key}

"""


@pytest.mark.parametrize(
    "drawing",
    [
        "```mermaid\ngraph TD\n  P1[Phase 1: Setup] --> P2[Phase 2<br/>Core]\n  P1 -->|then| P3(Pages)\n  P2 & P3 --> P4{{Phase 4}}\n```",
        "```mermaid\nflowchart LR;\n  1-->2:::wide; 1-->Check{done?}; Check-- yes -->3; 2 ==> 4; 3 -.-> 4\n  style 4 fill:#fff\n```",
        "```mermaid\ngraph LR\n  P2 -->|depends on| P1\n  P3 -->|needs| P1\n  P4 -->|waits for| P2\n  P4 -->|waits for| P3\n```",
        '```dot\ndigraph plan {\n  rankdir=LR;\n  a [label="Phase 1"]; b [shape=box, label="Phase 2"];\n  a -> b -> "Phase 4" '
        '[label="last"];\n  a -> "Phase 3" -> "Phase 4";\n}\n```',
        "```\nPhase 1 → Phase 2 → Phase 4\nPhase 1 → Phase 3 → Phase 4\n```",
    ],
)
def test_the_order_that_a_drawing_shows_is_taken_where_phases_say_none(drawing: str) -> None:
    reading = read(f"# Plan\n\n{PHASES}## Overview\n\n{drawing}\n")
    assert shape(reading) == {"1": ([], 1, 0), "2": (["1"], 1, 0), "3": (["1"], 1, 0), "4": (["2", "3"], 1, 0)}
    assert reading.format is not None and "order from the drawing on line" in reading.format.sentence
    assert not [issue for issue in reading.warnings if issue.code is IssueCode.NO_ORDER]


@pytest.mark.parametrize(
    "drawing",
    [
        "```mermaid\ngraph BT\n  P4 --> P3\n  P3 --> P2\n```",  # which of the two waits?
        "```mermaid\ngraph TD\n  P1 --> P2\n  P2 --> P1\n```",
        "```mermaid\ngraph TD\n  P1 --- P2\n```",
        "```mermaid\ngraph TD\n  P1 -->|after merge| P2\n  P2 --> P3\n```",
        '```mermaid\ngraph TD\n  P1 --> B["Phase 2 + Phase 3"]\n  B --> P4\n```',
        '```mermaid\ngraph TD\n  P1 --> B["P2 & P3"]\n  B --> P4\n```',
        "```mermaid\ngraph TD\n  subgraph one\n    P1 --> P2\n  end\n  one --> P3\n```",
        "```\nPhase 1 → Phase 2, Phase 3 → Phase 4\n```",
        "```\nPhase 1\n   ↓\nPhase 2\nPhase 3\n```",
        "```\nPhase 1 → Phase 2 (parallel with Phase 3)\nPhase 3 → Phase 4\n```",
        "```\nPhase 1 ──┬──> Phase 2\n          └──> Phase 3\n```",
    ],
)
def test_a_drawing_that_is_not_understood_is_told_and_changes_nothing(drawing: str) -> None:
    reading = read(f"# Plan\n\n{PHASES}## Overview\n\n{drawing}\n")
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("2",), ("3",)]
    told = [issue.line for issue in reading.warnings if issue.code is IssueCode.NO_ORDER]
    assert told == [next(at for at, line in enumerate(f"# Plan\n\n{PHASES}## Overview\n\n```".split("\n"), start=1) if line == "```")]


def test_drawings_of_other_things_are_no_order() -> None:
    drawing = "```mermaid\ngraph TD\n  A[Client] --> B[Server]\n```\n\n```\nsrc/\n├── Phase.py\n└── core.py\n```\n"
    drawing += "\n```\nStep 1 → Step 3\n```\n\n```mermaid\ngraph TD\n  S1 --> S3\n  T1 --> T4\n```\n"
    reading = read(f"# Plan\n\n{PHASES}## Design\n\n{drawing}")
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("2",), ("3",)]
    assert not [issue for issue in reading.warnings if issue.code is IssueCode.NO_ORDER]


def test_a_box_around_nodes_that_is_a_phase_is_its_node() -> None:
    drawing = "```mermaid\ngraph TD\n  subgraph P1 [Phase 1]\n    A --> B\n  end\n  P1 --> P2\n  P1 --> P3\n```\n"
    reading = read(f"# Plan\n\n{PHASES}## Overview\n\n{drawing}")
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("1",), ("2", "3")]


def test_our_own_format_takes_a_drawing_for_what_is_missing_and_is_told_where_the_two_differ() -> None:
    drawing = "```mermaid\ngraph TD\n  P1 --> P2\n  P1 --> P3\n```\n"
    silent = "# Plan\n\n" + "".join(OURS.format(key=key, dependencies="") for key in (1, 2, 3)) + drawing
    reading = read_plan(silent)
    assert not reading.errors
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("1",)]
    steps = "```\nStep 1 → Step 3\n```\n"
    assert [phase.dependencies for phase in read_plan(silent.replace(drawing, steps)).plan.phases] == [(), (), ()]
    said = [OURS.format(key=key, dependencies=f"**Dependencies**: {needs}\n") for key, needs in ((1, "None"), (2, "Phase 1"), (3, "None"))]
    (told,) = [issue for issue in read_plan("# Plan\n\n" + "".join(said) + drawing).warnings if issue.code is IssueCode.NO_ORDER]
    assert "Phase 3 after Phase 1" in told.message


@pytest.mark.parametrize("nodes", ["1 --> 3 --> 2", "Pages --> Core --> Setup", "A[3. Cache] --> B[1. Store]"])
def test_a_drawing_inside_a_phase_shows_its_parts_and_no_phases(nodes: str) -> None:
    drawing = f"```mermaid\ngraph LR\n  {nodes}\n```\n\n"
    at = PHASES.index("## Phase 3")
    reading = read(f"# Plan\n\n{PHASES[:at]}{drawing}{PHASES[at:]}")
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("2",), ("3",)]
    assert not [issue for issue in reading.warnings if issue.code is IssueCode.NO_ORDER]
    named = read(f"# Plan\n\n{PHASES[:at]}```mermaid\ngraph LR\n  A[Phase 1] --> B[Phase 3]\n```\n\n{PHASES[at:]}")
    assert shape(named)["3"][0] == ["1"]
