"""An attempt that the fork server launches is the same attempt, whatever happens to the fork server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from subagents import fork_server_client, launcher
from subagents.contract import ResultStatus
from subagents.fork_server_client import ForkServer
from subagents.procfs import is_alive
from tests.subagents.conftest import World, marked, steps, wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def fork_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """A fork server of the test's own, ready."""
    made = ForkServer()
    monkeypatch.setattr(launcher, "fork_server", made)
    assert made.warm(10)
    yield made
    made.close()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_wrapper_is_forked_into_a_session_of_its_own(world: World, fork_server: ForkServer) -> None:
    spec = world.spec(steps=steps("sleep 1000"))
    pid = launcher.launch(spec.attempt_dir)
    wait_for(lambda: world.seen(spec).started is not None)
    assert parent_of(pid) == fork_server.pid
    assert os.getsid(pid) == pid == world.seen(spec).started.pid
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1)} == {"/dev/null"}
    assert os.readlink(f"/proc/{pid}/fd/2") == f"{spec.attempt_dir}/wrapper.err"
    assert not [entry for entry in os.listdir(f"/proc/{pid}/fd") if "socket" in os.readlink(f"/proc/{pid}/fd/{entry}")]


def test_every_process_of_an_attempt_carries_its_marker(world: World, fork_server: ForkServer) -> None:
    spec = world.spec(steps=steps("touch $CE_ATTEMPT/began; sleep 1000"))
    pid = launcher.launch(spec.attempt_dir)
    wait_for(lambda: len(marked(spec.attempt_dir)) >= 3)  # wrapper, runner, shell and what it is running
    found = marked(spec.attempt_dir)
    assert pid in found
    assert fork_server.pid not in found


def test_attempts_outlive_their_fork_server_and_the_next_launch_finds_another_way(world: World, fork_server: ForkServer) -> None:
    spec = world.spec(steps=steps("until test -e $CE_ATTEMPT/go; do sleep 0.01; done"))
    launcher.launch(spec.attempt_dir)
    wait_for(lambda: world.seen(spec).started is not None)
    os.kill(fork_server.pid, signal.SIGKILL)
    other = world.spec(task_id="phase-2b", key="2b")
    assert world.run(other).result is not None
    Path(spec.attempt_dir, "go").touch()
    seen = world.ended(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS


def test_stopped_fork_server_does_not_hold_up_a_launch(world: World, fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server_client, "ANSWER_SECONDS", 0.1)
    os.kill(fork_server.pid, signal.SIGSTOP)
    spec = world.spec()
    assert world.run(spec).result is not None


def test_killed_wrapper_of_a_fork_server_leaves_nothing_alive(world: World, fork_server: ForkServer) -> None:
    spec = world.spec(steps=steps("touch $CE_ATTEMPT/began; setsid sleep 1000 & sleep 1000"))
    pid = launcher.launch(spec.attempt_dir)
    wait_for(lambda: Path(spec.attempt_dir, "began").exists())
    (runner,) = (int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not world.seen(spec).held and launcher.sweep(spec.attempt_dir) == [], 2)
    wait_for(lambda: not Path(f"/proc/{runner}").exists(), 2)
    assert marked(spec.attempt_dir) == []
    assert is_alive(fork_server.pid)


def test_ended_wrappers_leave_no_zombie(world: World, fork_server: ForkServer) -> None:
    spec = world.spec()
    pid = launcher.launch(spec.attempt_dir)
    world.ended(spec)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 2)


def test_fork_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import os; from subagents import launcher; launcher.warm();"
        "print(launcher.fork_server.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(launcher.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    pid = int(done.stdout)
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", 3)


def test_fork_of_the_launching_process_starts_a_fork_server_of_its_own(world: World, fork_server: ForkServer) -> None:
    spec, server = world.spec(), fork_server.pid
    pid = os.fork()
    if pid == 0:
        first = launcher.launch(spec.attempt_dir)  # its own fork server is not ready yet: started the other way
        os._exit(0 if first and launcher.fork_server.pid not in (None, server) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert world.ended(spec).result is not None
    assert is_alive(fork_server.pid)
