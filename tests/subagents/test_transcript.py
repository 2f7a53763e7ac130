"""A transcript: what its entries hold, what is masked and cut, and what happens when it cannot be written."""

import json
import os
from pathlib import Path

import pytest

from subagents import redaction
from subagents.contract import EntryKind
from subagents.redaction import MASK
from subagents.transcript import TEXT_CHARACTERS, Transcript, small_diff


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "task-2a.transcript.jsonl"


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def nobody(problem: str) -> None:
    raise AssertionError(problem)


def test_entries_are_numbered_lines_with_what_is_known_and_nothing_else(path: Path) -> None:
    transcript = Transcript(str(path), nobody)
    assert not path.exists(), "an attempt without an agent has none"
    call = transcript.add(EntryKind.TOOL_CALL, "Bash pytest", tool="Bash", given="pytest -q", tokens={"input_tokens": 3})
    transcript.add(EntryKind.RESULT, "Bash pytest", tool="Bash", output="1 passed\n", seconds=1.23456, of=call)
    first, second = entries(path)
    assert first.pop("at") <= second.pop("at")
    assert first == {
        "number": 1, "kind": "tool call", "text": "Bash pytest", "tool": "Bash", "input": "pytest -q", "tokens": {"input_tokens": 3},
    }  # fmt: skip
    assert second == {
        "number": 2, "kind": "result", "text": "Bash pytest", "tool": "Bash", "output": "1 passed\n", "duration": 1.235, "of": 1,
    }  # fmt: skip


def test_secrets_are_masked_before_anything_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", [])
    redaction.know("correct-horse-battery")
    long = "x" * (TEXT_CHARACTERS * 2 // 3 - 8) + "correct-horse-battery" + "y" * TEXT_CHARACTERS
    Transcript(str(path), nobody).add(EntryKind.RESULT, "correct-horse-battery", tool="correct-horse-battery", output=long, edit=long)
    (entry,) = entries(path)
    assert "horse" not in path.read_text() and "correct" not in path.read_text()
    assert entry["text"] == entry["tool"] == MASK
    assert "characters left out" in str(entry["output"]) and len(str(entry["output"])) < TEXT_CHARACTERS + 100
    assert str(entry["output"]).endswith("yyy")


def test_a_transcript_that_is_full_ends_with_a_line_that_says_so(path: Path) -> None:
    transcript = Transcript(str(path), nobody, limit=500)
    numbers = [transcript.add(EntryKind.MESSAGE, "word " * 20) for _ in range(10)]
    found = entries(path)
    assert [entry["number"] for entry in found] == list(range(1, len(found) + 1)) and len(found) < 10
    assert numbers[len(found) - 1 :] == [0] * (11 - len(found)), "what is not kept has no number"
    assert found[-1]["kind"] == "note" and "longer than 500 bytes" in str(found[-1]["text"])


@pytest.mark.parametrize("there", ["a link", "a folder"])
def test_what_stands_in_its_place_is_left_alone_and_reported_once(path: Path, there: str) -> None:
    target = path.parent / "secret"
    target.write_text("before")
    if there == "a link":
        os.symlink(target, path)
    else:
        path.mkdir()
    problems: list[str] = []
    transcript = Transcript(str(path), problems.append)
    assert [transcript.add(EntryKind.MESSAGE, "hello"), transcript.add(EntryKind.MESSAGE, "again")] == [0, 0]
    assert target.read_text() == "before" and len(problems) == 1 and problems[0].startswith("the transcript cannot be written")


def test_the_diff_of_an_edit_is_small_and_says_when_a_text_is_too_long() -> None:
    before = "".join(f"line {number}\n" for number in range(40))
    diff = small_diff("a.py", before, before.replace("line 20\n", "line twenty\n"))
    assert diff.splitlines()[:3] == ["--- a.py", "+++ a.py", "@@ -19,5 +19,5 @@"] and len(diff.splitlines()) == 9
    assert small_diff("a.py", before, before) == ""
    assert "too long to compare" in small_diff("a.py", "x\n" * 5_000, "y\n" * 5_000)
