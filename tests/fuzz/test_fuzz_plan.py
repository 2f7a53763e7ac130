"""Random and mutated plans for as long as CE_FUZZ_SECONDS says (2 by default): whatever comes in, a report comes out.

A run says how many inputs it tried; a failing one is written beside this file's name to the temporary folder that the message names.
"""

import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batches.core.plans.analysis import analyse_document
from batches.core.plans.reader import (
    IssueCode,
    PlanIssue,
    PlanSpec,
    apply_repair,
    parse_plan,
    read_plan,
    render_plan,
)
from tests.core.plans.samples import linked, phase, plan
from tests.core.plans.test_plan_metamorphic import FAULTY, bare

SECONDS = float(os.environ.get("CE_FUZZ_SECONDS", "2"))
SEEDS = [
    plan(),
    FAULTY,
    linked("1; 2a < 1; 2b < 1; 3 < 2a 2b"),
    "---\ntitle: x\n---\n" + plan(),
    plan(phase("1", lists="\n\n**Steps**:\n**A**:\n1. a\n   ```sh\n   ls\n   ```\n**B**:\n2. b:\n   - c\n3. d\n**Gates**:\n- [x] e\n")),
    "# P\n\n- Phase 0: Spike\n\n  - Try\n\n- Phase 1: Build\n\n  - **Goal**: x\n",
    '{"title": "x", "items": [{"id": "1", "dependencies": [], "files": ["a.py"], "hours": 2, "steps": ["a"], "gates": ["b"]}]}',
    "## Phase A — x\n> **Goal:** y\n\n#### Tasks\n\n- [ ] a\n\n```md\n```sh\n```\n```\n",
]
PIECES = [
    "**Goal**: ",
    "**Dependencies**: ",
    "Phase ",
    "phases 1-",
    "All previous phases",
    "None",
    "### ",
    "## Phase 1: ",
    "\n",
    "\n\n",
    "- [ ] ",
    "1. ",
    "   ",
    "```",
    "```md\n",
    "~~~",
    "> ",
    "---\n",
    "===\n",
    "(",
    ")",
    "[",
    "]",
    "*",
    "**",
    "_",
    "`",
    "{a,b}",
    "..",
    "/",
    "\\",
    ".git",
    ":",
    "\u2014",
    "-",
    ",",
    ";",
    "and ",
    "\x00",
    "\u202e",
    "\u200b",
    "\ud800",
    "\u2028",
    "\x85",
    "\r",
    "\r\n",
    "\t",
    "\ufeff",
    "²",
    "١",
    "1e9",
    "nan",
    "9" * 40,
    "<!--",
    "<div>",
    "&",
    "|",
    "é",
    "🎉",
    "a" * 300,
    "{",
    "}",
    '"',
    '"id": ',
    "null",
    "1,5",
    "30 min",
    " to ",
    "#",
    "0",
    "2a",
    "B",
    "  \n",
    "~",
    "$(x)",
    "**Effort**: 2h | **Complexity**: low",
    "* ",
    "+ ",
    "10) ",
]


def mutated(source: random.Random) -> str:
    text = source.choice(SEEDS)
    for _ in range(source.randint(1, 12)):
        at = source.randrange(len(text) + 1)
        act = source.random()
        if act < 0.45:
            text = text[:at] + source.choice(PIECES) + text[at:]
        elif act < 0.65:
            text = text[:at] + text[at + source.randint(1, 12) :]
        elif act < 0.8:
            lines = text.split("\n")
            source.shuffle(lines) if source.random() < 0.2 else lines.insert(source.randrange(len(lines)), source.choice(lines))
            text = "\n".join(lines)
        elif act < 0.9:
            text = (
                text[:at]
                + chr(source.choice([source.randrange(0x250), source.randrange(0x2000, 0x2100), source.randrange(0x11000)]))
                + text[at:]
            )
        else:
            other = source.choice(SEEDS)
            cut = source.randrange(len(other) + 1)
            text = text[:at] + other[cut:]
    return text


def like(issue: PlanIssue) -> Callable[[PlanIssue], bool]:
    """Whether another issue is of the same kind: a repair leaves one fewer of them, whatever it uncovers besides."""
    if issue.code is IssueCode.MISSING_FIELD:
        return lambda other: (other.code, other.field, other.phase) == (issue.code, issue.field, issue.phase)
    return lambda other: other.code == issue.code


def text_is_markup(text: str) -> bool:
    """Whether texts hold half a fence, raw HTML, quotes or bold marks, which mean something else once they stand in another place."""
    return any(mark in text for mark in ("```", "~~~", "<", ">", "===", "---", "**", "__"))


def is_whole(plan: PlanSpec) -> bool:
    """Whether its phases say what markdown requires; JSON may leave that out, and then there is no markdown that says the same."""
    return all(one.goal and one.complexity and one.hours is not None for one in plan.phases)


def check(text: str | bytes) -> None:
    """What holds for every input: a report that JSON and UTF-8 can hold, faults in line order, and a repair that does what it says."""
    report = analyse_document(text)
    json.dumps(report.to_json(), ensure_ascii=False, allow_nan=False).encode("utf-8")
    errors = report.reading.errors
    assert report.reading.plan.phases or errors
    assert [issue.line for issue in errors] == sorted(issue.line for issue in errors)
    if isinstance(text, str):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
        assert all(0 <= issue.line <= lines for issue in (*errors, *report.reading.warnings))
        for issue in [issue for issue in errors if issue.repair][:2]:
            assert issue.repair is not None
            after = read_plan(apply_repair(text, issue.repair)).errors
            assert sum(map(like(issue), after)) < sum(map(like(issue), errors)), issue
    if not errors:
        plan_read = parse_plan(text)
        texts = [plan_read.title, *(one.title + one.goal + one.hours_text for one in plan_read.phases)]
        texts += [item.text for one in plan_read.phases for item in (*one.steps, *one.gates)]
        if is_whole(plan_read) and not text_is_markup("\n".join(texts)):
            again = read_plan(render_plan(plan_read))
            assert bare(again.plan) == bare(plan_read), again.errors


@pytest.mark.long
def test_no_input_ends_in_a_traceback():
    seed = int(os.environ.get("CE_FUZZ_SEED", time.time_ns() % 1_000_000))
    source = random.Random(seed)
    tried, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        text: str | bytes = mutated(source)
        if source.random() < 0.1 and isinstance(text, str) and text:
            raw = bytearray(text.encode("utf-8", "surrogatepass"))
            for _ in range(3):
                raw[source.randrange(len(raw))] = source.randrange(256)
            text = bytes(raw)
        tried += 1
        try:
            check(text)
        except Exception as fault:
            kept = Path(tempfile.gettempdir()) / f"fuzz-plan-{seed}-{tried}.txt"
            kept.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
            raise AssertionError(f"input {tried} of seed {seed} is kept in {kept}: {fault!r}") from fault
    with open(os.environ.get("CE_FUZZ_REPORT", os.devnull), "a") as log:
        log.write(f"{tried} inputs in {SECONDS:g} s, seed {seed}\n")
    assert tried > 10
