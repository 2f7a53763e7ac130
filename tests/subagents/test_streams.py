"""What agents' commands print becomes a transcript, whatever their format: samples of our own, in the shapes that they document."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from subagents.activity import doing
from subagents.backends.streams import StreamReader
from subagents.journal import Journal
from subagents.reporting import Reporter
from tests.subagents.conftest import World

Lines = list[dict[str, Any]]


class Heard:
    """A reader of an agent's output, and what came of it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.spec = world.spec()
        self.read_end, write_end = os.pipe()
        reporter = Reporter(self.spec, write_end, Journal(str(folder / "log"), 1_000_000))
        self.reader, self.world = StreamReader(reporter, self.spec.checkout), world

    def hear(self, *parts: bytes) -> list[tuple[str, str]]:
        for part in parts:
            self.reader.add(part)
        self.reader.end()
        return [(entry["kind"], entry["text"]) for entry in self.entries]

    @property
    def entries(self) -> Lines:
        return self.world.transcript(self.spec)

    @property
    def activities(self) -> list[str]:
        messages = [json.loads(line) for line in os.read(self.read_end, 1 << 20).splitlines()]
        return [message["activity"] for message in messages if "activity" in message]


@pytest.fixture
def heard(world: World, tmp_path: Path) -> Heard:
    return Heard(world, tmp_path)


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def item(when: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"item.{when}", "item": fields}


def test_codex(heard: Heard) -> None:
    command = {"id": "i1", "type": "command_execution", "command": "make check"}
    said = heard.hear(
        b"Reading the prompt\n",
        lines(
            {"type": "thread.started", "thread_id": "t"},
            {"type": "turn.started"},
            item("completed", id="i0", type="reasoning", text="First I look."),
            item("started", **command, aggregated_output="", status="in_progress"),
            item("completed", **command, aggregated_output="2 failed\n", exit_code=2, status="failed"),
            item("completed", id="i2", type="file_change", changes=[{"path": "calc.py", "kind": "update"}], status="completed"),
            item("completed", id="i3", type="todo_list", items=[{"text": "Test it", "completed": True}, {"text": "Say so"}]),
            item("completed", id="i4", type="agent_message", text="It is repaired."),
            {"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 7}},
            {"type": "turn.failed", "error": {"message": "no more quota"}},
        ),
    )
    assert said == [
        ("message", "Reading the prompt"),
        ("note", "A session of Codex begins"),
        ("thinking", "First I look."),
        ("tool call", "shell make check"),
        ("error", "shell make check"),
        ("tool call", "file_change calc.py (update)"),
        ("edit", "file_change calc.py (update)"),
        ("note", "[x] Test it\n[ ] Say so"),
        ("message", "It is repaired."),
        ("note", "The turn is completed"),
        ("error", "no more quota"),
    ]
    failed = heard.entries[4]
    assert (failed["output"], failed["of"]) == ("2 failed\nexit code 2", 4)
    assert heard.entries[9]["tokens"] == {
        "input_tokens": 40, "output_tokens": 7, "cache_read_tokens": 60, "cache_write_tokens": None,
    }  # fmt: skip
    assert heard.activities[:3] == ["runs `make check`", "waits for the model", "edits calc.py (update)"]


def test_gemini_as_a_stream(heard: Heard) -> None:
    said = heard.hear(
        lines(
            {"type": "init", "timestamp": "t", "session_id": "s", "model": "some-model"},
            {"type": "message", "role": "user", "content": "the prompt"},
            {"type": "message", "role": "assistant", "content": "I lo", "delta": True},
            {"type": "message", "role": "assistant", "content": "ok.", "delta": True},
            {"type": "tool_use", "tool_name": "read_file", "tool_id": "r", "parameters": {"absolute_path": f"{heard.spec.checkout}/a.py"}},
            {"type": "tool_result", "tool_id": "r", "status": "success", "output": "x = 1"},
            {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "s", "parameters": {"command": "make"}},
            {"type": "tool_result", "tool_id": "s", "status": "error", "error": {"type": "t", "message": "no make here"}},
            {"type": "error", "severity": "warning", "message": "it goes round in circles"},
            {"type": "result", "status": "success", "stats": {"input_tokens": 50, "cached": 20, "output_tokens": 9}},
        )
    )
    assert said == [
        ("note", "A session with the model some-model begins"),
        ("message", "I look."),
        ("tool call", "read_file a.py"),
        ("result", "read_file a.py"),
        ("tool call", "run_shell_command make"),
        ("error", "run_shell_command make"),
        ("note", "it goes round in circles"),
        ("note", "The agent ended: success"),
    ]
    assert heard.entries[3]["output"] == "x = 1" and heard.entries[5]["output"] == "no make here"
    assert heard.entries[7]["tokens"]["input_tokens"] == 30
    assert heard.activities[0] == "reads a.py"


def test_gemini_as_one_object_at_the_end(heard: Heard) -> None:
    whole = json.dumps({"response": "All done.", "stats": {"models": {}}}, indent=2).encode()
    assert heard.hear(b"Loaded.\n", whole[:20], whole[20:] + b"\n") == [("message", "Loaded."), ("message", "All done.")]


def test_opencode(heard: Heard) -> None:
    def event(kind: str, **part: Any) -> dict[str, Any]:
        return {"type": kind, "timestamp": 1, "sessionID": "ses", "part": part}

    times, diff = {"start": 1_000, "end": 3_500}, "--- a.py\n+++ a.py\n@@ -1 +1 @@\n-a\n+b\n"
    edited = {"status": "completed", "input": {"filePath": "a.py"}, "output": "", "metadata": {"diff": diff}, "time": times}
    missed = {"status": "error", "input": {"filePath": "b"}, "error": "no b"}
    ran = {"status": "completed", "input": {"command": "make"}, "output": "fine\n", "time": times}
    said = heard.hear(
        lines(
            event("step_start", type="step-start"),
            event("reasoning", text="Hm."),
            event("tool_use", type="tool", callID="c1", tool="bash", state=ran),
            event("tool_use", type="tool", callID="c2", tool="edit", state=edited),
            event("tool_use", type="tool", callID="c3", tool="read", state=missed),
            event("text", text="Done."),
            event("step_finish", reason="stop", tokens={"input": 5, "output": 6, "cache": {"read": 7, "write": 8}}),
            {"type": "error", "sessionID": "ses", "error": {"name": "E", "data": {"message": "broke"}}},
        )
    )
    assert said == [
        ("thinking", "Hm."),
        ("tool call", "bash make"),
        ("result", "bash make"),
        ("tool call", "edit a.py"),
        ("edit", "edit a.py"),
        ("tool call", "read b"),
        ("error", "read b"),
        ("message", "Done."),
        ("note", "A request is answered (stop)"),
        ("error", "broke"),
    ]
    assert heard.entries[2]["duration"] == 2.5 and heard.entries[4]["edit"] == diff and heard.entries[6]["output"] == "no b"


def test_whatever_else_is_printed_is_shown_as_lines_that_came_together(heard: Heard) -> None:
    parts = (b"Thin", b"king\nabout it\n", b'{"no": "event"}\n', b"{\n not json\n}\n", b"last words")
    assert [text for _kind, text in heard.hear(*parts)] == ["Thinking\nabout it", '{"no": "event"}', "{\n not json\n}", "last words"]


@pytest.mark.parametrize(
    "hostile",
    [
        {"type": "item.completed", "item": 7},
        {"type": "item.completed", "item": {"type": ["x"], "id": {}, "exit_code": "0"}},
        {"type": "turn.completed", "usage": [1]},
        {"type": "tool_use", "tool_name": 7, "parameters": "x"},
        {"type": "result", "stats": None},
        {"type": "tool_use", "sessionID": 1, "part": {"state": {"status": "completed", "time": {"start": "x"}, "metadata": []}}},
        {"type": "message", "role": "assistant", "content": {"a": 1}},
    ],
)
def test_an_event_of_another_shape_breaks_nothing(heard: Heard, hostile: dict[str, Any]) -> None:
    heard.hear(lines(hostile, hostile), b"\xff\xfe\n{\n")


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("Bash", {"command": "pytest -q\necho"}, "runs `pytest -q…`"),
        ("Read", {"file_path": "/co/src/a.py"}, "reads src/a.py"),
        ("Edit", {"file_path": "b.py"}, "edits b.py"),
        ("Grep", {"pattern": "def x"}, "searches for `def x`"),
        ("mcp__ce__step_done", {"number": 2}, "ends step 2"),
        ("Task", {}, "uses Task"),
    ],
)
def test_an_activity_is_a_verb_and_what_it_is_about(tool: str, given: dict[str, Any], words: str) -> None:
    assert doing(tool, given, "/co") == words
