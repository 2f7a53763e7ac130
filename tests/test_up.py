"""`manage.py up` and the crash-only cluster, as real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batches.management.commands import up
from batches.management.commands.up import Program
from ce_web.cluster import EXIT_CRASHED, EXIT_REFUSED
from subagents.procfs import children_of
from tests.installation import ROOT, Installation, free_port, wait_for
from tests.patience import PATIENCE

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An installation with tables and an administrator; each test starts it as it likes and leaves nothing running."""
    made = Installation(tmp_path_factory.mktemp("up") / "installation")
    try:
        made.bootstrap("--no-sample")
        yield made
    finally:
        made.remove()


@pytest.fixture
def bare(prepared):
    """The prepared installation, nothing running before and after."""
    try:
        yield prepared
    finally:
        prepared.kill_everything()
        prepared.log_path.unlink(missing_ok=True)


@pytest.fixture
def empty(tmp_path):
    """An installation on which first run has not been."""
    made = Installation(tmp_path / "installation", empty=True)
    try:
        yield made
    finally:
        made.remove()


def start_cluster(bare: Installation) -> subprocess.Popen[bytes]:
    """`manage.py cluster` alone, its ticker ticking."""
    with bare.log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "cluster"], env=bare.environment, stdout=log, stderr=log, start_new_session=True
        )
    bare.wait_for_ticker(20)
    return process


def members(parent: int) -> dict[str, int]:
    """The processes of a cluster by what they are. Started in this order: workers, monitor, pusher."""
    (sentinel,) = children_of(parent)
    first, second, third, monitor, pusher = sorted(children_of(sentinel))
    return {"worker 1": first, "worker 2": second, "worker 3": third, "monitor": monitor, "pusher": pusher, "sentinel": sentinel}


@pytest.mark.parametrize("whole_group", [False, True], ids=["to the parent", "to the whole group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_cluster_stops_clean_by_signal(bare, number, whole_group):
    process = start_cluster(bare)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert process.wait(20 * PATIENCE) == 0, bare.log
    assert bare.processes() == {}
    assert not (bare.data / "cluster.pid").exists()


def test_whatever_runs_makes_files_for_its_user_alone_and_the_start_closes_what_was_open(bare):
    bare.data.chmod(0o755)
    (bare.data / "secret_key").chmod(0o600)
    before = os.umask(0o022)
    try:
        bare.start()
    finally:
        os.umask(before)
    assert f"could read {bare.data} (mode 755)" in bare.log
    umasks = {line: Path(f"/proc/{pid}/status").read_text().partition("Umask:\t")[2][:4] for pid, line in bare.processes().items()}
    assert len(umasks) > 2 and set(umasks.values()) == {"0077"}, umasks
    assert [path for path in (bare.data, *bare.data.rglob("*")) if not path.is_symlink() and path.stat().st_mode & 0o077] == []
    assert bare.stop() == 0


@pytest.mark.parametrize("victim", ["worker 1", "monitor", "pusher", "sentinel"])
def test_death_of_a_member_ends_the_whole_cluster_with_the_status_that_asks_for_a_restart(bare, victim):
    process = start_cluster(bare)
    os.kill(members(process.pid)[victim], signal.SIGKILL)
    assert process.wait(10 * PATIENCE) == EXIT_CRASHED
    bare.wait(lambda: not bare.processes(), 5, "nothing of the cluster is left")


def test_death_of_the_parent_leaves_nothing_running(bare):
    process = start_cluster(bare)
    process.kill()
    process.wait(5 * PATIENCE)
    bare.wait(lambda: not bare.processes(), 5, "nothing of the cluster is left")


def test_up_replaces_a_cluster_that_lost_any_member_and_its_ticker_works_again(bare):
    bare.start("--no-web")
    for victim in ("worker 1", "worker 2", "worker 3", "monitor", "pusher", "sentinel", "parent"):
        parent = bare.supervised("cluster")[0]
        before = {**members(parent), "parent": parent}
        old = set(before.values())
        os.kill(before[victim], signal.SIGKILL)
        bare.wait(lambda old=old: not old & set(bare.supervised("cluster")), 10, f"the cluster without {victim} is gone")
        bare.wait_for_ticker(20)
    assert bare.stop() == 0


def test_up_kills_and_replaces_a_cluster_whose_ticker_is_silent(bare):
    bare.start("--no-web")
    frozen = bare.supervised("cluster")
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    bare.wait_for_ticker(40)
    assert not set(frozen) & set(bare.supervised("cluster"))
    assert "silent for" in bare.log


def test_up_does_not_take_a_jump_of_the_clock_for_silence(bare):
    """The mark's time goes back and forth by a day, as it does when the wall clock is set; the ticker ticks on."""
    bare.start("--no-web")
    parent = bare.supervised("cluster")[0]
    mark = bare.data / "ticker.alive"
    until = time.monotonic() + 4
    while time.monotonic() < until:
        for days in (-1, 1):
            os.utime(mark, (time.time() + days * 86400,) * 2)
            time.sleep(0.05)
    bare.wait(lambda: mark.stat().st_mtime < time.time() + 60, 5, "the ticker has written its mark anew")
    assert bare.supervised("cluster")[0] == parent and "silent" not in bare.log


def looked_after(program: Program, until, seconds: float = 20) -> list[str]:
    """Look after the program until `until` is true of what it says; end it."""
    said: list[str] = []
    try:
        wait_for(lambda: program.look_after(said.append) or until(said), seconds, "what the watchdog is to say")
    finally:
        if program.process is not None:
            program.process.kill()
            program.process.wait()
    return said


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


def test_a_program_that_does_nothing_is_killed_once_and_waited_for(tmp_path):
    program = Program("cluster", python("import time; time.sleep(60)"), mark=tmp_path / "mark", silent_seconds=0.5)
    said = looked_after(program, lambda said: any("SIGKILL" in line for line in said))
    assert [line.partition(" in ")[0] for line in said if "killing" in line] == ["cluster: its ticker was never heard of"]


def test_a_killed_program_that_is_still_there_is_told_once_and_not_killed_again(tmp_path, monkeypatch):
    """As with a process that waits for a disk: here the kill reaches nobody."""
    kills = []
    monkeypatch.setattr(Program, "_kill_group", lambda self: kills.append(1))
    monkeypatch.setattr(up, "REAP_SECONDS", 0.3)
    program = Program("cluster", python("import time; time.sleep(60)"), mark=tmp_path / "mark", silent_seconds=0.2)
    rounds = []
    said = looked_after(program, lambda said: any("still there" in line for line in said) and not rounds.append(1) and len(rounds) > 9)
    assert kills == [1] and sum("still there" in line for line in said) == 1


def test_a_slow_start_is_not_killed_while_it_works_and_is_when_it_never_ends_and_the_next_may_take_longer(tmp_path):
    work = python("while True: pass")
    program = Program("cluster", work, mark=tmp_path / "mark", silent_seconds=20, start_seconds=1)
    said = looked_after(program, lambda said: sum("killing" in line for line in said) == 2)
    kills = [line for line in said if "killing" in line]
    assert all(line.startswith("cluster: its ticker works, but has not ended its start for ") for line in kills), said
    first, second = (int(line.split(" for ")[1].partition(" ")[0]) for line in kills)
    assert first >= 1 and second >= 2 and program.slow_starts == 2


def test_before_the_first_tick_nobody_is_silent_because_the_watchdog_stood_still(tmp_path):
    program = Program("cluster", python("import time; time.sleep(60)"), mark=tmp_path / "mark", silent_seconds=5)
    said: list[str] = []
    try:
        program.look_after(said.append)
        program.looked -= 3600
        program.look_after(said.append)
        assert not said and program.killed is None
    finally:
        program.process.kill()
        program.process.wait()


def test_a_second_start_on_one_data_directory_is_told_where_the_first_one_is(bare):
    bare.start()
    for command in (("up", "--port", str(free_port())), ("up", "--port", str(bare.port)), ("bootstrap", "--port", str(bare.port))):
        second = bare.manage(*command, check=False, timeout=30)
        assert second.returncode == 1 and "Traceback" not in second.stderr
        assert f"CE Web already runs on this data directory at {bare.url}/ (process {bare.process.pid}" in second.stderr
        assert f"kill {bare.process.pid}" in second.stderr and "CE_DATA_DIR" in second.stderr
    assert bare.manage("sign_in_link").stdout.startswith(f"{bare.url}/")  # not port 8000
    assert bare.stop() == 0
    silent = bare.manage("sign_in_link")
    assert silent.stdout.startswith("http://127.0.0.1:8000/") and "No web server runs" in silent.stderr


def test_a_second_cluster_waits_for_the_end_of_the_first_and_then_takes_over(bare):
    """As after the death of `manage.py up`: its cluster is still stopping when the next one starts."""
    first = start_cluster(bare)
    with bare.log_path.open("ab") as log:
        second = subprocess.Popen([sys.executable, str(ROOT / "manage.py"), "cluster"], env=bare.environment, stdout=log, stderr=log)
    try:
        bare.wait(lambda: f"Another cluster is on this data directory (process {first.pid}" in bare.log, 20, "the second one waits")
        assert (bare.data / "cluster.pid").read_text() == f"{first.pid}\n"
        first.terminate()
        assert first.wait(20 * PATIENCE) == 0
        bare.wait_for_ticker(20)
        assert (bare.data / "cluster.pid").read_text() == f"{second.pid}\n"
    finally:
        second.terminate()
        second.wait(20 * PATIENCE)


def test_two_first_runs_at_once_make_one_installation(empty):
    command = [sys.executable, str(ROOT / "manage.py"), "bootstrap", "--no-sample", "--port", str(empty.port)]
    both = [subprocess.Popen(command, env=empty.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [one.communicate(timeout=110 * PATIENCE)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum("with the password" in text for text in said) == 1
    assert empty.shell("from django.contrib.auth.models import User; print(User.objects.count())") == "1"


def test_a_read_only_data_directory_is_a_sentence(bare):
    """A read-only mount, because root may write anywhere else."""
    for command in ("up", "cluster", "bootstrap"):
        inside = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(bare.data), str(bare.data)]
        done = subprocess.run(
            [*inside, sys.executable, str(ROOT / "manage.py"), command, *(() if command == "cluster" else ("--port", str(bare.port)))],
            env=bare.environment, capture_output=True, text=True, timeout=60 * PATIENCE,
        )
        assert done.returncode == (1 if command == "bootstrap" else EXIT_REFUSED) and "Traceback" not in done.stderr, done.stderr
        assert f"CE_DATA_DIR='{bare.data}' cannot be written to (Read-only file system)" in done.stderr


def test_interrupt_stops_web_and_cluster(bare):
    bare.start()
    assert bare.supervised("web") and bare.supervised("cluster")
    assert bare.stop(signal.SIGINT) == 0, bare.log
    assert bare.processes() == {}


def test_web_is_started_again_when_it_dies(bare):
    bare.start("--no-cluster")
    before = bare.supervised("web")
    os.kill(before[0], signal.SIGKILL)
    bare.wait(lambda: bare.supervised("web") and not set(before) & set(bare.supervised("web")), 15, "a new web server runs")
    bare.wait(bare.answers, 15, "the site answers again")


def test_death_of_up_takes_web_and_cluster_along(bare):
    bare.start()
    bare.process.kill()
    bare.process.wait(5 * PATIENCE)
    bare.wait(lambda: not bare.processes(), 10, "web and cluster are gone")


def test_port_in_use_is_refused_with_the_way_out(empty):
    with socket.socket() as other:
        other.bind(("127.0.0.1", empty.port))
        other.listen()
        for command in ("up", "bootstrap"):
            done = empty.manage(command, "--port", str(empty.port), check=False)
            assert done.returncode == 1
            assert f"Port {empty.port} on 127.0.0.1 is in use" in done.stderr and f"make run PORT={empty.port + 1}" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (("--host", "0.0.0.0"), {"DEBUG": "1"}, "DEBUG=1"),
        (("--host", "0.0.0.0"), {"SECRET_KEY": "k" * 60}, "secret key is too weak"),
        (("--host", "::"), {"SECRET_KEY": "django-insecure-" + "abcdefghijklmnopq" * 3}, "secret key is too weak"),
        (("--host", "no.such.host.invalid"), {}, "Give an address of this machine"),
        (("--port", "99999"), {}, "cannot be used"),
        (("--no-web", "--no-cluster"), {}, "nothing to run"),
    ],
)
def test_what_is_unsafe_or_makes_no_sense_is_refused_with_the_reason(empty, arguments, environment, reason):
    done = empty.manage("up", *arguments, check=False, timeout=20, **environment)
    assert done.returncode == 1 and reason in done.stderr
    assert "Traceback" not in done.stderr


def test_database_that_is_away_is_told_without_a_traceback(empty):
    done = empty.manage("bootstrap", "--port", str(empty.port), check=False, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert "The database cannot be used" in done.stderr and "Traceback" not in done.stderr


def test_doctor_is_content_with_a_running_installation_and_names_what_is_missing_without(bare):
    bare.start()
    well = bare.manage("doctor")
    assert "PROBLEM" not in well.stdout and "3 of 3" in well.stdout
    bare.stop()
    ill = bare.manage("doctor", check=False)
    assert ill.returncode == 1
    assert "no cluster is running" in ill.stdout and "make run" in ill.stdout


def test_doctor_names_a_database_that_is_away(empty):
    ill = empty.manage("doctor", check=False, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert ill.returncode == 1
    assert "cannot be used" in ill.stdout and "Traceback" not in ill.stderr


def test_one_schedule_keeps_the_ticker_going_however_often_the_cluster_starts(bare):
    for _ in range(2):
        process = start_cluster(bare)
        process.terminate()
        process.wait(20 * PATIENCE)
    count = "from django_q.models import Schedule; print(list(Schedule.objects.values_list('name', 'cluster', 'func')))"
    assert bare.shell(count) == str([(f"tick-{bare.host}", bare.host, "batches.tasks.ensure_ticker")])


def test_cluster_takes_the_ticker_back_from_a_command_that_had_it(bare):
    """A command that waits may win the lock between two slices; without the cluster's chain nobody would tick after it."""
    code = (
        "import sys, time; from batches.engine.ticker import ticker_lock\n"
        "with ticker_lock(by_command=True):\n    print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports", "-c", code]
    environment = {**bare.environment, "CE_SLICE_SECONDS": "0.5"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"mine\n"
        bare.environment["CE_SLICE_SECONDS"] = "0.5"
        try:
            bare.launch("--no-web")
        finally:
            del bare.environment["CE_SLICE_SECONDS"]
        bare.wait(lambda: len(bare.supervised("cluster")) == 7, 10, "the cluster is complete")
        with pytest.raises(AssertionError):
            bare.wait_for_ticker(2)  # four slices have come and gone: the command is the ticker
        holder.stdin.close()
        bare.wait_for_ticker(3)


def test_first_run_again_makes_nothing_twice_and_prints_a_fresh_link_until_somebody_signed_in(empty):
    empty.bootstrap("--no-sample")
    first, password = empty.sign_in_link, empty.password
    assert first and password
    again = empty.bootstrap("--no-sample")
    assert empty.sign_in_link and "password" not in again
    empty.shell("from django.contrib.auth.models import User; User.objects.update(last_login='2026-01-01T00:00:00Z')")
    later = empty.bootstrap("--no-sample")
    assert "/sign-in/" not in later and empty.url in later
    assert password.encode() not in b"".join(path.read_bytes() for path in empty.data.rglob("*") if path.is_file())


def test_wait_for_tells_what_it_waited_for():
    with pytest.raises(AssertionError, match=r"not within 0\.4 s: the moon"):
        wait_for(lambda: False, 0.1, "the moon")
