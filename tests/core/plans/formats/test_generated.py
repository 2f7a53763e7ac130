"""For generated documents in each format, reading gives back the plan that was written, and every line is accounted for."""

import json
import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches.core.plans.reader import read_plan
from tests.core.plans.formats.reading import assert_accounted, name_of

WORDS = st.lists(
    st.sampled_from(["add", "the", "index", "page", "for", "search", "store", "quick", "café", "rows"]), min_size=2, max_size=5
)
TEXT = WORDS.map(lambda words: " ".join(words).capitalize())


@dataclass(frozen=True)
class Part:
    """A phase to be written: its title, steps (text and whether done), gates, and the places of the phases it waits for."""

    title: str
    steps: tuple[tuple[str, bool], ...]
    gates: tuple[str, ...]
    waits: tuple[int, ...]


@st.composite
def plans(draw) -> list[Part]:
    count = draw(st.integers(2, 5))
    parts = []
    for place in range(count):
        steps = draw(st.lists(st.tuples(TEXT, st.booleans()), min_size=1, max_size=4))
        gates = draw(st.lists(TEXT, min_size=1, max_size=3))
        waits = draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set()
        parts.append(Part(f"{draw(TEXT)} {place + 1}", tuple(steps), tuple(gates), tuple(sorted(waits))))
    return parts


def box(text: str, done: bool = False, indent: int = 0) -> str:
    return f"{' ' * indent}- [{'x' if done else ' '}] {text}"


def spec_kit(parts):
    lines, number = ["# Tasks: Made", ""], 0
    for place, part in enumerate(parts, start=1):
        lines += [f"## Phase {place}: {part.title}", "", f"**Goal**: {part.title}", ""]
        for text, done in part.steps:
            number += 1
            lines.append(box(f"T{number:03} {text}", done))
        lines += ["", f"**Checkpoint**: {part.gates[0]}", ""]
    lines += ["## Dependencies & Execution Order", "", "### Phase Dependencies", ""]
    for place, part in enumerate(parts, start=1):
        needs = ", ".join(f"Phase {other + 1}" for other in part.waits)
        lines.append(f"- **{part.title} (Phase {place})**: " + (f"Depends on {needs}" if needs else "No dependencies"))
    return lines, 1, True


def checklist(parts, mark):
    lines = []
    for place, part in enumerate(parts, start=1):
        lines += [box(f"{place}. {part.title}")]
        for number, (text, done) in enumerate(part.steps, start=1):
            lines += [box(f"{place}.{number} {text}", done, 2), *([f"    - {mark}"] if mark else [])]
        lines.append("")
    return lines, 0, False


def kiro(parts):
    lines, *rest = checklist(parts, "_Requirements: 1.1_")
    return ["# Implementation Plan", "", *lines], *rest


def agent_os(parts):
    lines, *rest = checklist(parts, "")
    return ["# Spec Tasks", "", "## Tasks", "", *lines], *rest


def openspec(parts):
    lines = []
    for place, part in enumerate(parts, start=1):
        lines += [
            f"## {place}. {part.title}",
            "",
            *(box(f"{place}.{at} {text}", done) for at, (text, done) in enumerate(part.steps, 1)),
            "",
        ]
    return lines, 0, False


def conductor(parts):
    lines = ["# Implementation Plan: Made", ""]
    for place, part in enumerate(parts, start=1):
        lines += [f"## Phase {place}: {part.title}", *(box(f"Task: {text}", done) for text, done in part.steps)]
        lines += [box("Task: Conductor - User Manual Verification 'It' (Protocol in workflow.md)"), ""]
    return lines, 1, False


def superpowers(parts):
    lines = ["# Made Implementation Plan", "", "> Use superpowers:executing-plans", ""]
    for place, part in enumerate(parts, start=1):
        lines += [f"### Task {place}: {part.title}", "", "**Files:**", f"- Create: `src/{place}.py`", ""]
        for number, (text, done) in enumerate(part.steps, start=1):
            lines += [box(f"**Step {number}: {text}**", done), "", "```sh", "# Phase 9: no heading", "- [ ] no box", "```", ""]
        lines += [f"Run: `pytest tests/{place}.py`", "Expected: PASS", ""]
    return lines, 1, False


def humanlayer(parts):
    lines = ["# Made Implementation Plan", ""]
    for place, part in enumerate(parts, start=1):
        lines += [f"## Phase {place}: {part.title}", "", "### Changes Required:", ""]
        for number, (text, _) in enumerate(part.steps, start=1):
            lines += [f"#### {number}. {text}", f"**File**: `src/{place}.py`", ""]
        lines += ["### Success Criteria:", "", "#### Automated Verification:", *map(box, part.gates), ""]
    return lines, 9, False


def bmad(parts):
    lines = ["# Made - Epic Breakdown", "", "## Epic 1: All", ""]
    for place, part in enumerate(parts, start=1):
        lines += [
            f"### Story 1.{place}: {part.title}",
            "",
            "As a reader,",
            "I want it,",
            "So that it works.",
            "",
            "**Acceptance Criteria:**",
            "",
        ]
        lines += [line for gate in part.gates for line in (f"**Given** {gate}", "**When** I look", "**Then** I see it", "")]
    return lines, 9, False


def gsd(parts):
    lines = ["# Roadmap: Made", "", "## Phase Details", ""]
    for place, part in enumerate(parts, start=1):
        waits = ", ".join(f"Phase {other + 1}" for other in part.waits) or "Nothing"
        lines += [f"### Phase {place}: {part.title}", f"**Goal**: {part.title}", f"**Depends on**: {waits}"]
        lines += ["**Success Criteria** (what must be TRUE):", *(f"  {at}. {gate}" for at, gate in enumerate(part.gates, 1)), "", "Plans:"]
        lines += [*(box(f"{place:02}-{at:02}: {text}", done) for at, (text, done) in enumerate(part.steps, 1)), ""]
    return lines, 9, True


def cursor(parts):
    lines = ["---", "name: Made", "todos:"]
    for place, part in enumerate(parts, start=1):
        lines += [f"  - id: t{place}", f"    content: {part.title}: {part.steps[0][0]}", "    status: pending"]
        lines += ["    dependencies:", *(f"      - t{other + 1}" for other in part.waits)] if part.waits else ["    dependencies: []"]
    return [*lines, "---", "", "# Made"], 0, True


def outline(parts):
    lines = ["# Made", ""]
    for place, part in enumerate(parts, start=1):
        lines += [f"## Milestone {place}: {part.title}", "", "Deliverables:", "", *(f"- {text}" for text, _ in part.steps), ""]
        lines += ["Exit criteria:", "", *(f"- {gate}" for gate in part.gates), ""]
    return lines, 9, False


def task_list(parts):
    lines = []
    for part in parts:
        lines += [f"## {part.title}", "", *(box(text, done) for text, done in part.steps), ""]
    return lines, 0, False


def ralph(parts):
    stories = [
        {"id": f"US-{place:03}", "title": part.title, "acceptanceCriteria": list(part.gates), "priority": place, "passes": False}
        for place, part in enumerate(parts, start=1)
    ]
    return json.dumps({"project": "Made", "userStories": stories}, indent=2, ensure_ascii=False).split("\n"), 9, False


def task_master(parts):
    tasks = [
        {
            "id": place,
            "title": part.title,
            "dependencies": [other + 1 for other in part.waits],
            "testStrategy": part.gates[0],
            "subtasks": [
                {"id": at, "title": text, "status": "done" if done else "pending"} for at, (text, done) in enumerate(part.steps, 1)
            ],
        }
        for place, part in enumerate(parts, start=1)
    ]
    return json.dumps({"master": {"tasks": tasks}}, indent=2).split("\n"), 1, True


def task_master_text(parts):
    lines = []
    for place, part in enumerate(parts, start=1):
        lines += [f"# Task ID: {place}", f"# Title: {part.title}", "# Status: pending"]
        lines += [
            f"# Dependencies: {', '.join(str(other + 1) for other in part.waits) or 'None'}",
            "",
            "# Test Strategy:",
            part.gates[0],
            "",
        ]
        lines += [
            "# Subtasks:",
            *(f"## {at}. {text} [{'done' if done else 'pending'}]" for at, (text, done) in enumerate(part.steps, 1)),
            "",
        ]
    return lines, 1, True


def prp(parts):
    lines = ["# Made", "", "### List of tasks", "```yaml"]
    for place, part in enumerate(parts, start=1):
        lines += [f"Task {place}: {part.title}", *(f"  - {text}" for text, _ in part.steps), ""]
    return [*lines, "```"], 0, False


def drawn(parts):
    """An outline whose order is drawn."""
    lines, *_ = outline([Part(part.title, part.steps, (), ()) for part in parts])
    arrows = [f"  P{other + 1} --> P{place}" for place, part in enumerate(parts, start=1) for other in part.waits]
    nodes = [f"  P{place}[Phase {place}: {part.title}]" for place, part in enumerate(parts, start=1)]
    return [*lines, "## Map", "", "```mermaid", "graph TD", *nodes, *arrows, "```"], 0, True


def packages(parts):
    lines, number = ["# Work Packages: Made"], 0
    for place, part in enumerate(parts, start=1):
        lines += ["", f"## Work Package WP{place:02}: {part.title}", "", "### Included Subtasks"]
        for text, done in part.steps:
            number += 1
            lines.append(box(f"T{number:03} {text}", done))
        needs = " and ".join(f"WP{other + 1:02}" for other in part.waits)
        lines += ["", "### Notes", "- It is small.", "", "### Dependencies", f"- Depends on {needs} (all of it)." if needs else "- None."]
    return lines, 0, True


def ccpm(parts):
    lines = ["---", "name: made", "status: open", "prd: made.md", "---", "", "# Epic: Made", "", "## Tasks Created"]
    return [*lines, *(box(f"{place:03}.md - {part.title} (parallel: false)") for place, part in enumerate(parts, start=1))], 0, False


def org(parts):
    lines = ["#+TITLE: Made"]
    for place, part in enumerate(parts, start=1):
        lines += [f"* Phase {place}: {part.title}", *(f"** {'DONE' if done else 'TODO'} {text}" for text, done in part.steps)]
    return lines, 0, False


# The writer of each format, its name, and whether a step of the plan is written as a step (a story is one step).
WRITERS = [
    (spec_kit, "spec-kit", True),
    (kiro, "Kiro", True),
    (agent_os, "Agent OS", True),
    (openspec, "OpenSpec", True),
    (conductor, "Conductor", True),
    (superpowers, "Superpowers", True),
    (humanlayer, "HumanLayer", True),
    (bmad, "BMAD", False),
    (gsd, "GSD", True),
    (cursor, "Cursor", False),
    (outline, "implementation plan", True),
    (task_list, "task list", True),
    (ralph, "Ralph", False),
    (task_master, "Task Master", True),
    (task_master_text, "Task Master", True),
    (prp, "PRP", False),
    (drawn, "implementation plan", True),
    (org, "implementation plan", True),
    (packages, "spec-kit", True),
    (ccpm, "CCPM", False),
]


@pytest.mark.parametrize(("write", "name", "steps"), WRITERS, ids=[write.__name__ for write, _, _ in WRITERS])
@settings(max_examples=8, deadline=None)
@given(parts=plans())
def test_what_is_written_in_a_format_is_read_from_it(write, name, steps, parts):
    lines, gates, says_order = write(parts)
    text = "\n".join(lines) + "\n"
    reading = read_plan(text)
    assert name_of(reading) == name and not reading.errors, text
    assert_accounted(text, reading)
    phases = reading.plan.phases
    keys = [phase.key for phase in phases]
    assert len(phases) == len(parts), text
    for place, (phase, part) in enumerate(zip(phases, parts, strict=True)):
        assert phase.title.startswith(part.title), text
        expected = [keys[other] for other in part.waits] if says_order else keys[place - 1 : place] if place else []
        assert list(phase.dependencies) == expected, text
        assert len(phase.steps) == (len(part.steps) if steps else 1), text
        if steps:
            assert all(text in step.text for step, (text, _) in zip(phase.steps, part.steps, strict=True))
        assert len(phase.gates) == min(gates, len(part.gates) if gates > 1 else gates), text


# How people and models dress the same lines: a pattern, and what it becomes.
DRESSES = {
    "bold headings": (r"^(#{2,4}) (.+)$", r"\1 **\2**"),
    "bold names": (r"^(#{2,4} )((?:Phase|Task|Story) [\d.]+:)", r"\1**\2**"),
    "symbols before headings": (r"^(#{2,4}) (?=\w)", "\\1 \U0001f680 "),
    "linked headings": (r"^(#{2,4} )((?:Phase|Task|Story) [\d.]+)(?=:)", r"\1[\2](docs/there.md)"),
    "indented headings": (r"^(?=#{2,4} )", " "),
    "names in lower case": (r"^(#{2,4} (?:Task|Story)) ", lambda found: found[0].lower()),
    "numbers with a hash": (r"^(#{2,4} (?:Task|Story)) (?=\d)", r"\1 #"),
    "bullets with plus": (r"^( *)- ", r"\1+ "),
    "boxes with spaces": (r"^( *- \[[ x]\]) ", r"\1   "),
}
MARKDOWN = [spec_kit, kiro, agent_os, openspec, conductor, superpowers, humanlayer, bmad, gsd, outline, task_list, ralph, packages]
PARTS = [
    Part("Add the index 1", (("Store rows", False), ("Search quick", True)), ("Rows found", "Page quick"), ()),
    Part("Page for café 2", (("Add the page", False),), ("Page found",), (0,)),
    Part("Quick search 3", (("Add rows", False), ("Store the index", False)), ("Search found",), (0, 1)),
]


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("write", MARKDOWN)
def test_the_same_lines_in_another_dress_are_read_as_the_same_plan(write, dress):
    text = "\n".join(write(PARTS)[0]) + "\n"
    dressed = re.sub(*DRESSES[dress], text, flags=re.MULTILINE)
    plain, reading = read_plan(text), read_plan(dressed)
    assert name_of(reading) == name_of(plain) and not reading.errors, dressed
    shapes = [
        [
            (phase.key, phase.title, phase.dependencies, [step.text.split("\n")[0] for step in phase.steps], len(phase.gates))
            for phase in one.plan.phases
        ]
        for one in (plain, reading)
    ]
    assert shapes[0] == shapes[1], dressed
    assert_accounted(dressed, reading)
