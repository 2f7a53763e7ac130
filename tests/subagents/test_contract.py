import json
import os
from pathlib import Path

import pytest

from subagents import launcher
from subagents.contract import (
    ContractError,
    Failure,
    GateKind,
    GateOrigin,
    GateOutcome,
    GateSpec,
    GateStatus,
    Heartbeat,
    OrchestrationFiles,
    ResultStatus,
    StepPlan,
    TaskResult,
    TaskSpec,
    clean_text,
    publish_once,
    read_json_file,
    replace,
    write_atomic,
)
from subagents.files import load_json
from subagents.record import record
from tests.subagents.conftest import World

RESULT = TaskResult(
    task_id="phase-2a",
    prp_id="PRP-44.2.1",
    status=ResultStatus.FAILED,
    attempt=1,
    token="token-1",
    failure_reason=Failure.GATE_FAILED,
    errors=("gate 1 failed",),
    steps_completed=1,
    total_steps=2,
    files_created=("a",),
    gates=(GateOutcome(1, "Tests pass", GateKind.TESTS, GateStatus.FAILED, "pytest", 1, "abc", "out", 1.25, ""),),
    usage={"input_tokens": 3, "output_tokens": None, "requests": [{"model": "small", "cache_read_tokens": 7, "cost_usd": 0.25}]},
    tokens_used=12500,
    cost_usd=0.25,
    elapsed_seconds=450.5,
    session="session-1",
    retry_at="2026-01-01T10:00:00+00:00",
    sandbox="bwrap",
)
HEARTBEAT = Heartbeat("phase-2a", "in_progress", "Step 2 of 5: Creating files", 12500, 450.0, "t", "t", 2, 5, None, "step", 1, "token-1")


def test_result_and_heartbeat_survive_their_json() -> None:
    assert TaskResult.from_json(json.loads(json.dumps(RESULT.to_json()))) == RESULT
    assert Heartbeat.from_json(json.loads(json.dumps(HEARTBEAT.to_json()))) == HEARTBEAT


def test_spec_survives_its_json(world: World) -> None:
    spec = world.spec(
        steps=(StepPlan(1, "Do", ("true",)),),
        gates=(GateSpec(1, "x", GateKind.LINE_COUNT, paths=("a",), minimum=1.0, maximum=None),),
        files_modified=("a",),
        dependencies=("1",),
        estimated_hours=2.5,
        payload={"x": [1]},
        max_cost_usd=1.5,
        session="session-1",
        earlier_failure="gate 1 failed",
        context_file="/tmp/context.md",
        sandbox="bwrap",
        options={"base_url": "http://127.0.0.1:1"},
        policy={"network": "steps"},
    )
    assert spec.to_json()["room"] == {"network": "steps"}, "people's scripts know it by this name"
    assert TaskSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_heartbeat_has_the_seeds_fields_and_result_counts_its_gates() -> None:
    assert {"task_id", "status", "progress", "tokens_used", "elapsed_seconds"} <= set(HEARTBEAT.to_json())
    gates = RESULT.to_json()["validation_gates"]
    assert (gates["passed"], gates["failed"], gates["unverified"], len(gates["details"])) == (0, 1, 0, 1)


def test_gates_of_the_project_and_of_the_server_are_lists_of_their_own() -> None:
    project = GateOutcome(1, "Lint", GateKind.COMMAND, GateStatus.PASSED, "ruff check .", 0, origin=GateOrigin.PROJECT, flaky=True)
    parses = GateOutcome(3, "Parses", GateKind.PARSES, GateStatus.PASSED, origin=GateOrigin.STANDARD)
    result = replace(RESULT, gates=(*RESULT.gates, project, parses))
    data = json.loads(json.dumps(result.to_json()))
    assert TaskResult.from_json(data) == result
    assert [data[name]["passed"] for name in ("validation_gates", "project_gates", "standard_gates")] == [0, 1, 1]
    assert data["project_gates"]["flaky"] == 1
    earlier = {name: value for name, value in data.items() if name not in ("project_gates", "standard_gates")}
    assert TaskResult.from_json(earlier).gates == RESULT.gates


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"status": "done"}, "status"),
        ({"attempt": "1"}, "attempt"),
        ({"attempt": True}, "attempt"),
        ({"steps_completed": -1}, "steps_completed"),
        ({"elapsed_seconds": None}, "elapsed_seconds"),
        ({"errors": "x"}, "errors"),
        ({"errors": [1]}, "errors[0]"),
        ({"output": []}, "output"),
        ({"usage": 3}, "usage"),
        ({"usage": {"input_tokens": "3"}}, "usage: input_tokens"),
        ({"usage": {"output_tokens": -1}}, "usage: output_tokens"),
        ({"usage": {"cache_read_tokens": 2**60}}, "usage: cache_read_tokens"),
        ({"usage": {"requests": [{"cache_write_tokens": 1.5}]}}, "requests[0]: cache_write_tokens"),
        ({"usage": {"requests": [3]}}, "requests[0]"),
        ({"usage": {"requests": [{"cost_usd": "1"}]}}, "requests[0]: cost_usd"),
        ({"tokens_used": 2**60}, "tokens_used"),
        ({"failure_reason": "bad luck"}, "reason"),
        ({"failure_reason": ""}, "reason"),
        ({"failure_reason": "agent_error", "fault": "bad luck"}, "fault"),
        ({"failure_reason": "gate_failed", "fault": "transient"}, "fault"),
        ({"status": "success", "failure_reason": ""}, "failed gate"),
    ],
)
def test_result_of_another_shape_is_refused_by_field(change: dict[str, object], named: str) -> None:
    with pytest.raises(ContractError, match="result") as refused:
        TaskResult.from_json({**RESULT.to_json(), **change})
    assert named in str(refused.value)


@pytest.mark.parametrize("missing", ["task_id", "status", "attempt", "token", "output", "validation_gates", "elapsed_seconds"])
def test_result_without_a_field_is_refused(missing: str) -> None:
    data = RESULT.to_json()
    del data[missing]
    with pytest.raises(ContractError, match=missing):
        TaskResult.from_json(data)


def test_unknown_figures_stay_unknown() -> None:
    unknown = TaskResult.from_json(replace(RESULT, tokens_used=None, cost_usd=None).to_json())
    assert unknown.tokens_used is None and unknown.cost_usd is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a": ',
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a": ' * 100_000,
        b'{"a": 123456789012345678901234567890}',
        b"9" * 5000,
    ],
)
def test_what_is_not_strict_json_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(ContractError, match=r"x\.json"):
        read_json_file(str(tmp_path / "x.json"))


def hostile(path: Path, kind: str) -> None:
    """Put something at `path` that is no file of the contract."""
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "symlink":
            os.symlink("/etc/passwd", path)
        case "dangling":
            os.symlink("/nowhere", path)
        case "loop":
            os.symlink(path.name, path)
        case "directory":
            path.mkdir()
        case "sparse":
            with open(path, "wb") as file:
                file.truncate(1 << 30)
        case "device":
            os.symlink("/dev/zero", path)
        case "half":
            path.write_text('{"task_id": "phase-2a", "sta')
        case "list":
            path.write_text("[]")
        case "number":
            path.write_text("3")
        case "empty":
            path.write_text("")


KINDS = ["fifo", "symlink", "dangling", "loop", "directory", "sparse", "device", "half", "list", "number", "empty"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["heartbeat", "result"])
def test_hostile_contract_file_is_an_error_and_never_a_crash(world: World, kind: str, which: str) -> None:
    spec = world.spec()
    hostile(Path(getattr(world.files(spec), which)), kind)
    seen = launcher.observe(spec)
    assert getattr(seen, which) is None
    assert "task-2a" in str(getattr(seen, f"{which}_error"))


@pytest.mark.parametrize("kind", KINDS)
def test_attempt_writes_over_hostile_files_without_following_them(world: World, kind: str) -> None:
    spec = world.spec()
    hostile(Path(world.files(spec).heartbeat), kind)
    hostile(Path(world.files(spec).result), kind)
    seen = world.run(spec)
    if kind == "directory":  # nothing of ours deletes a folder: the result is missing, and said to be
        assert seen.result is None and seen.result_error
        assert world.run(world.spec()).result is not None  # and the next attempt is none the worse for it
    else:
        assert seen.result is not None and seen.heartbeat is not None
    assert Path("/etc/passwd").read_text().startswith("root:")


@pytest.mark.parametrize("change", [{"token": "other"}, {"attempt": 9}, {"task_id": "phase-2b"}])
def test_report_of_another_attempt_or_token_counts_for_nothing(world: World, change: dict[str, object]) -> None:
    spec = world.spec()
    Path(world.files(spec).heartbeat).write_text(json.dumps({**HEARTBEAT.to_json(), **change}))
    Path(world.files(spec).result).write_text(json.dumps({**RESULT.to_json(), **change}))
    seen = launcher.observe(spec)
    assert seen.heartbeat is None and "is not of attempt 1" in str(seen.heartbeat_error)
    assert seen.result is None and "is not of attempt 1" in str(seen.result_error)


def test_publish_once_lets_one_win(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    assert publish_once(path, b"first") and not publish_once(path, b"second")
    assert Path(path).read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_write_that_fails_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError):
        write_atomic(str(tmp_path / "x"), b"data")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_drafts_that_a_killed_wrapper_left_are_swept_by_the_next_attempt(world: World) -> None:
    first = world.spec()
    folder = Path(world.files(first).spec).parent
    (folder / ".task-2a.hb.123.abcd").write_text('{"ta')
    (folder / ".task-2ab.hb.123.abcd").write_text("another task's")
    world.spec()
    assert sorted(path.name for path in folder.iterdir()) == [".task-2ab.hb.123.abcd", "task-2a.json"]


def test_clean_text_drops_what_no_database_takes() -> None:
    assert clean_text("a\0b\ud800c\U0001f600") == "a\ufffdb\ufffd\ufffd\ufffdc\U0001f600"
    clean_text("\udfff").encode()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", ".x", "a b", "ä", "x" * 101, "a\0"])
def test_task_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(ContractError):
        OrchestrationFiles("/r").task(1, name)


def test_file_names_are_those_of_the_contract() -> None:
    files = OrchestrationFiles("/r").task(44, "2a")
    assert files.spec == "/r/.ce/orchestration/tasks/batch-44/task-2a.json"
    assert files.heartbeat == "/r/.ce/orchestration/tasks/batch-44/task-2a.hb"
    assert files.result == "/r/.ce/orchestration/tasks/batch-44/task-2a.result.json"
    assert files.log == "/r/.ce/orchestration/tasks/batch-44/task-2a.log"
    assert OrchestrationFiles("/r").batch_result(44) == "/r/.ce/orchestration/batches/batch-44.result.json"


def test_archiving_late_never_takes_the_next_attempts_files(world: World) -> None:
    first = world.spec()
    world.run(first)
    second = world.spec()
    files = OrchestrationFiles(str(world.project))
    folder = Path(files.archive_task(44, 1, "2a", 1))
    assert json.loads((folder / "task-2a.json").read_text())["attempt"] == 1
    assert json.loads((folder / "task-2a.result.json").read_text())["token"] == first.token != second.token


def test_archiving_twice_keeps_one_copy_and_the_newest(tmp_path: Path) -> None:
    files = OrchestrationFiles(str(tmp_path))
    task = files.task(44, "2a")
    os.makedirs(os.path.dirname(task.spec))
    Path(task.spec).write_text('{"run": 1, "attempt": 1}')
    folder = Path(files.archive_task(44, 1, "2a", 1))
    files.archive_task(44, 1, "2a", 1)
    write_atomic(task.spec, b'{"run": 1, "attempt": 1, "goal": "2"}')
    files.archive_task(44, 1, "2a", 1)
    assert [path.name for path in folder.iterdir()] == ["task-2a.json"]
    assert json.loads((folder / "task-2a.json").read_text())["goal"] == "2"


def test_record_is_a_frozen_value() -> None:
    @record
    class Point:
        x: int
        y: int = 0

    assert Point(1) == Point(x=1, y=0) != Point(1, 2)
    assert hash(Point(1)) == hash(Point(1)) and repr(Point(1, 2)) == "Point(x=1, y=2)"
    assert replace(Point(1), y=5) == Point(1, 5)
    with pytest.raises(AttributeError, match="frozen"):
        Point(1).x = 2
    for wrong in (lambda: Point(), lambda: Point(1, 2, 3), lambda: Point(1, z=3), lambda: replace(Point(1), z=3)):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("escaped", [False, True])
def test_json_is_read_alike_with_and_without_escapes(escaped: bool) -> None:
    """Texts are cleaned where something can be unclean; numbers and nesting are bounded in either case."""
    mark = b'"\\u0041"' if escaped else b'"A"'
    assert load_json(b'{"a": [1, -2, 0.5, null, true, "\xc3\xa4"], "b": ' + mark + b"}", "x") == {
        "a": [1, -2, 0.5, None, True, "ä"], "b": "A",
    }  # fmt: skip
    assert load_json(b'["\\u0000", "\\ud800", {"\\u0000": 1}]', "x") == ["\ufffd", "\ufffd\ufffd\ufffd", {"\ufffd": 1}]
    for number in (str(2**53 + 1), str(-(2**53) - 1), "9" * 400):
        with pytest.raises(ContractError, match=r"beyond 2\^53"):
            load_json(b"[" + number.encode() + b", " + mark + b"]", "x")
    for levels in (2_000, 100_000):
        with pytest.raises(ContractError, match="nested too deeply"):
            load_json(b"[" * levels + mark + b"]" * levels, "x")
    for bare in (b'["\x00"]', b'["\xed\xa0\x80"]'):
        with pytest.raises(ContractError, match="is not JSON"):
            load_json(bare, "x")
