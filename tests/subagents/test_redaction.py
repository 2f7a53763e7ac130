"""The key that an attempt was given is in nothing that is kept or passed on, however it is said."""

import os
import signal
from pathlib import Path

import pytest

from subagents import launcher, redaction
from subagents.contract import GateKind, GateSpec
from subagents.credentials import forbid_reading
from subagents.redaction import Redacted, redact
from tests.subagents.conftest import World, steps

FIRST, SECOND = "canary-QmFzZTY0", "ZWQtc2VjcmV0LXZhbHVl"
KEY = FIRST + SECOND


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_secret_is_found_however_the_stream_is_cut(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(redaction, "_known", [KEY])
    data = f"before {KEY} after\n{KEY}\n".encode() + b"x \xff" * 30_000 + KEY.encode() + b" end"
    said: list[bytes] = []
    stream = Redacted(said.append)
    for start in range(0, len(data), size):
        stream.add(data[start : start + size])
    stream.end()
    assert b"".join(said) == data.replace(KEY.encode(), b"[secret]")


@pytest.mark.parametrize(
    "token",
    ["sk-ant-api03-" + "a1B2" * 10, "ghp_" + "a1B2" * 9, "github_pat_" + "a1B2" * 9, "AKIA" + "ABCD1234" * 2, "xoxb-" + "a1B2" * 5],
)
def test_whatever_has_the_shape_of_a_token_is_taken_out(token: str) -> None:
    assert redact(f"key={token}, done") == "key=[secret], done"


def test_ordinary_words_stay() -> None:
    text = "task-sk-2 risk-assessment-of-the-whole-system ghp_short commit 1bc9d9a2f0e4c5d6b7a8990011223344556677aa"
    assert redact(text) == text


@pytest.mark.process
@pytest.mark.parametrize("launch", ["fork server", "python"])
def test_key_is_in_no_file_that_an_attempt_leaves(world: World, monkeypatch: pytest.MonkeyPatch, launch: str) -> None:
    if launch == "python":
        monkeypatch.setattr(launcher.fork_server, "launch", lambda *_: None)
    say = f"a={FIRST}; b={SECOND}; printf %s $a; sleep 0.1; echo $b"
    gates = (GateSpec(1, "Say it", GateKind.COMMAND, f"{say}; exit 3"),)
    fails = world.spec(steps=steps(say, "env; cat /proc/self/environ"), gates=gates)
    errs = world.spec(steps=steps(f"{say}; exit 1"))
    for spec in (fails, errs):
        launcher.launch(spec.attempt_dir, KEY)
        seen = world.ended(spec)
        assert seen.result is not None and seen.result.failure_reason == ("gate_failed" if spec is fails else "agent_error")
        assert "[secret]" in (seen.result.gates[0].output if spec is fails else seen.result.errors[0])
        for folder in (Path(spec.attempt_dir), world.project):
            holders = [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
            assert not holders


@pytest.mark.process
@pytest.mark.parametrize("forbidden", [True, False])
def test_process_with_the_key_cannot_be_read_by_another_of_its_user(forbidden: bool) -> None:
    ready, tell = os.pipe()
    holder = os.fork()
    if holder == 0:
        if not os.getuid():
            os.setuid(65534)  # root may read everything; a change of user forbids it too, hence the explicit word
        forbid_reading(forbidden)
        os.write(tell, b"x")
        signal.pause()
    assert os.read(ready, 1)
    reader = os.fork()
    if reader == 0:
        if not os.getuid():
            os.setuid(65534)
        try:
            for name in ("environ", "mem"):
                os.close(os.open(f"/proc/{holder}/{name}", os.O_RDONLY))
            os._exit(0)
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    os.close(ready)
    os.close(tell)
    assert status == int(forbidden)
