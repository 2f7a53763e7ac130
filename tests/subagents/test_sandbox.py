"""Commands see and change what is theirs and nothing else, at each level that holds on this machine."""

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from subagents import launcher, sandbox
from subagents.contract import Failure, GateKind, GateSpec, ResultStatus
from subagents.processes import stream
from subagents.procfs import memory_of
from tests.subagents.conftest import World, marked, steps, user_git, wait_for

pytestmark = pytest.mark.process

REFUSED = {level: sandbox.why_refused(level, "/tmp") for level in ("bwrap", "landlock")}
HERE = [level for level, reason in REFUSED.items() if not reason]


def test_at_least_one_level_isolates_where_these_tests_run(record_property) -> None:
    record_property("sandbox levels proven", ", ".join(HERE))
    assert HERE, f"no level isolates on this machine: {REFUSED}"


def test_without_a_sandbox_the_probe_sees_every_way_out(tmp_path: Path) -> None:
    said = sandbox._escapes("rlimit", str(tmp_path))
    assert all(what in said for what in ("write outside", "read a canary", "connect to a port", "connect to a socket"))


@pytest.mark.parametrize("asked", ["auto", *HERE])
def test_level_that_holds_is_found_and_nothing_is_left_of_looking(asked: str, tmp_path: Path) -> None:
    found = sandbox.find_level(asked, str(tmp_path))
    assert found.level == (HERE[0] if asked == "auto" else asked)
    assert not os.listdir(tmp_path)


def test_named_level_that_does_not_hold_is_refused_and_auto_goes_on_to_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "BWRAP", "")
    with pytest.raises(sandbox.SandboxUnavailable, match="bubblewrap is not installed"):
        sandbox.find_level("bwrap", str(tmp_path))
    found = sandbox.find_level("auto", str(tmp_path))
    assert found.level != "bwrap" and "not installed" in found.refused["bwrap"]


@pytest.mark.parametrize("level", HERE)
def test_step_works_in_its_checkout_and_reaches_nothing_else(world: World, tmp_path: Path, level: str) -> None:
    canary, outside = tmp_path / "canary", tmp_path / "outside"
    canary.write_text("not for you")
    git = world.project / ".git"
    before = sorted((path, path.stat().st_mtime_ns) for path in git.rglob("*") if "refs/ce" not in str(path) and "objects" not in str(path))
    script = f"""
        no() {{ if "$@" 2>/dev/null; then echo "POSSIBLE: $*"; exit 1; fi; }}
        no cat {canary}
        no touch {outside}
        no touch {git}/hooks/post-commit
        no sh -c 'echo "[core] fsmonitor=x" >> {git}/config'
        no rm -rf {git}/objects
        no cat {git}/config
        no cat "$CE_ATTEMPT/spec.json"
        no touch "$CE_ATTEMPT/exit.json"
        no cat /etc/shadow
        echo a > "$TMPDIR/a" && echo b > "$HOME/b" && cat "$TMPDIR/a" "$HOME/b" > made.txt
        git status --short | grep made.txt
        python -m pytest --version
    """
    spec = world.spec(steps=steps(script, "echo more >> made.txt"), sandbox=level)
    seen = world.run(spec)
    log = [str(line["message"]) for line in world.log(spec)]
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS, log
    assert seen.result.sandbox == level
    assert user_git(world.project, "show", f"{spec.attempt_ref}:made.txt") == "a\nb\nmore"
    after = sorted((path, path.stat().st_mtime_ns) for path in git.rglob("*") if "refs/ce" not in str(path) and "objects" not in str(path))
    left = [change for change in set(after) ^ set(before) if "worktrees" not in str(change[0])]
    assert canary.read_text() == "not for you" and not outside.exists()
    assert not [path for path, _ in left if path.is_file()], left


@pytest.mark.parametrize("level", HERE)
@pytest.mark.parametrize(("network", "step", "gate"), [("none", False, False), ("steps", True, False), ("all", True, True)])
def test_network_is_for_whom_the_project_says(world: World, level: str, network: str, step: bool, gate: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reach = f"(exec 3<>/dev/tcp/127.0.0.1/{listener.getsockname()[1]}) 2>/dev/null"
        gates = (GateSpec(1, "Reach", GateKind.COMMAND, f"if {reach}; then echo reached; else echo refused; fi"),)
        script = f"if {reach}; then echo reached; else echo refused; fi > said.txt"
        spec = world.spec(steps=steps(script), gates=gates, sandbox=level, policy={"network": network})
        seen = world.run(spec)
    assert seen.result is not None
    said = {True: "reached", False: "refused"}
    assert user_git(world.project, "show", f"{spec.attempt_ref}:said.txt") == said[step]
    assert seen.result.gates[0].output.strip() == said[gate]


# Prints what can be reached: argv is the one port that may be, and another.
REACHES = """
import socket, sys
allowed, other = (("127.0.0.1", int(port)) for port in sys.argv[1:])
ways = {
    "allowed": lambda: socket.socket().connect(allowed),
    "plain": lambda: socket.socket().connect(other),
    "multipath": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(other),
    "sctp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).connect(other),
    "fast open": lambda: socket.socket().sendto(b"x", 0x20000000, other),
    "fast open by a message": lambda: socket.socket().sendmsg([b"x"], [], 0x20000000, other),
}
for name, way in ways.items():
    try:
        way()
        print(name)
    except OSError:
        pass
"""


@pytest.mark.skipif("landlock" not in HERE, reason="Landlock does not hold here")
def test_who_may_reach_one_port_reaches_no_other_in_any_way_that_tcp_can_begin(tmp_path: Path) -> None:
    said = b""

    def keep(data: bytes) -> None:
        nonlocal said
        said += data

    with socket.create_server(("127.0.0.1", 0)) as allowed, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(one.getsockname()[1]) for one in (allowed, other)]
        policy = sandbox.SandboxPolicy(sandbox.tools(), (str(tmp_path),), port=int(ports[0]))
        argv, prepare = sandbox.confine("landlock", policy, [sys.executable, "-I", "-S", "-c", REACHES, *ports], str(tmp_path))
        stream(argv, {"PATH": os.defpath}, str(tmp_path), keep, prepare=prepare)
    assert said.decode().split("\n") == ["allowed", ""]


@pytest.mark.parametrize("level", HERE)
def test_path_that_the_project_declares_can_be_read_and_not_written(world: World, tmp_path: Path, level: str) -> None:
    tool = tmp_path / "tools"
    tool.mkdir(mode=0o755)
    (tool / "version").write_text("7")
    script = f"cat {tool}/version > made.txt; if touch {tool}/new 2>/dev/null; then exit 1; fi"
    seen = world.run(world.spec(steps=steps(script), sandbox=level, policy={"paths": [str(tool)]}))
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS, seen.result
    assert os.listdir(tool) == ["version"]


DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        for name in list(os.environ):
            del os.environ[name]
        os.closerange(0, 100)
        time.sleep(300)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("level", HERE)
@pytest.mark.parametrize("victim", ["wrapper", "runner"])
def test_daemon_of_a_step_dies_with_the_wrapper_and_with_the_runner(world: World, level: str, victim: str) -> None:
    script = f"python -c '{DAEMON}'; echo up > up.txt; sleep 300"
    spec = world.spec(steps=steps(script), sandbox=level)
    pid = launcher.launch(spec.attempt_dir)
    wait_for(lambda: (Path(spec.checkout) / "up.txt").exists(), 30)
    assert len(marked(spec.attempt_dir)) >= 4
    child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid if victim == "wrapper" else child, signal.SIGKILL)
    if level == "landlock" and victim == "wrapper":  # no process namespace: the host sweeps, as it does when it sees the lock free
        wait_for(lambda: not launcher.sweep(spec.attempt_dir), 30)
    wait_for(lambda: not marked(spec.attempt_dir), 30)
    if victim == "runner":
        seen = world.ended(spec)
        assert seen.result is not None and seen.result.failure_reason == "crashed"


@pytest.mark.parametrize("level", HERE)
def test_files_and_address_space_beyond_the_limit_fail_the_step_only(world: World, level: str) -> None:
    policy = {"file_bytes": 1_000_000, "address_bytes": 2**31}
    large = world.run(world.spec(steps=steps("head -c 2000000 /dev/zero > big"), sandbox=level, policy=policy))
    greedy = world.run(world.spec(steps=steps("python -c 'bytearray(3 << 30)'"), sandbox=level, policy=policy))
    assert [seen.result and seen.result.failure_reason for seen in (large, greedy)] == ["agent_error", "agent_error"]


HOLDS = "import signal; held = b'x' * (300 << 20); open('held', 'w').close(); signal.pause()"


@pytest.mark.parametrize("level", HERE)
def test_an_attempt_that_uses_more_memory_than_it_may_is_killed_and_says_how_much(world: World, level: str) -> None:
    two = f'python -c "{HOLDS}" & python -c "{HOLDS}"'  # each alone is under the limit
    spec = world.spec(steps=steps("echo 1 > a.txt", two), sandbox=level, policy={"memory_bytes": 2**29})
    result = world.run(spec).result
    assert result is not None and result.failure_reason == Failure.MEMORY_LIMIT
    assert re.match(r"killed: 0\.[5-9] of 0\.5 GB of memory in use, at: Step 2 of 2", result.errors[0]), result.errors
    assert result.steps_completed == 1 and result.head_commit != spec.base_commit, "what was done is kept"
    wait_for(lambda: not marked(spec.attempt_dir), 30)


RESERVES = """import mmap
held = [mmap.mmap(-1, 10 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ) for _ in range(8)]  # NORESERVE
"""


@pytest.mark.parametrize("level", HERE)
def test_address_space_that_is_only_reserved_as_by_webassembly_is_no_memory(world: World, level: str) -> None:
    result = world.run(world.spec(steps=steps(f'python -c "{RESERVES}"'), sandbox=level, policy={"memory_bytes": 2**29})).result
    assert result is not None and (result.failure_reason, result.errors) == ("", ())


def test_memory_that_processes_share_counts_once() -> None:
    held, pipes, pids = b"x" * (64 << 20), [], []
    for _ in range(4):
        pipes.append(os.pipe())
        pid = os.fork()
        if not pid:
            os.read(pipes[-1][0], 1)
            os._exit(len(held) > 99 << 20)
        pids.append(pid)
    try:
        plain, shared = memory_of(pids, 1 << 40), memory_of(pids, 0)
        assert plain > 4 * len(held) and len(held) / 2 < shared < plain / 2
    finally:
        for pid, (_, write_end) in zip(pids, pipes, strict=True):
            os.write(write_end, b"x")
            os.waitpid(pid, 0)


def test_memory_of_processes_that_are_gone_is_nothing() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert memory_of([pid], 0) == memory_of([], 0) == 0


@pytest.mark.skipif("bwrap" not in HERE, reason="bubblewrap does not hold here")
def test_forks_beyond_the_limit_fail_inside_and_leave_nothing(world: World) -> None:
    script = "python -c 'import os, time\nfor _ in range(400):\n    os.fork() or time.sleep(300)'"
    spec = world.spec(steps=steps(script), sandbox="bwrap", policy={"processes": 60})
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == "agent_error"
    assert "Resource temporarily unavailable" in json.dumps(world.log(spec))
    wait_for(lambda: not marked(spec.attempt_dir), 30)


def test_what_a_killed_try_left_behind_is_removed_and_nothing_else(tmp_path):
    for name in ("sandbox-old", "sandbox-new", "other"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0) if name != "sandbox-new" else None)
    (tmp_path / "sandbox.json").touch()
    sandbox.find_level("rlimit", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "sandbox-new", "sandbox.json"]
