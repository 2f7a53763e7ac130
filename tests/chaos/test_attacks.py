"""Steps that misbehave on purpose, disks that are full, repositories that cannot be written: each run ends with a reason."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batches.engine import pause_and_cancel
from batches.engine.try_now import try_now
from batches.models import Attempt, Project, Run
from batches.projects.add_project import create_project
from subagents import launcher
from tests.batches.engine.test_engine import _carrying as carrying
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = [pytest.mark.chaos, pytest.mark.process]


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int, options: str = "") -> Iterator[None]:
    """A file system of its own at `folder`, holding what was there."""
    kept = folder.with_name(folder.name + ".kept")
    if folder.exists():
        folder.rename(kept)
    folder.mkdir()
    size = ",".join(filter(None, [f"size={megabytes}m", options]))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        if kept.exists():
            shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")
    return filler


def once(world: World, script: str) -> str:
    """A step that does `script` the first time only."""
    mark = world.repository.parent / "once"
    return f"test -e {mark} || {{ touch {mark}; {script}; }}"


@pytest.fixture(autouse=True)
def short_patience(settings) -> None:
    """What cannot be launched is given up soon, a test waits for it three times; nothing is held back for want of space."""
    settings.CE_LAUNCH_SECONDS = 2
    settings.CE_FREE_SPACE_BYTES = 0  # the disks here are small, and some are to be filled


def put_off(world: World, run: Run, says: str) -> Run:
    """Tick until the run is put off for a fault of the machine; nothing has failed and nothing is charged with it."""
    world.until(lambda: Run.objects.filter(pk=run.pk).exclude(machine_fault="").exists(), "the run that is put off")
    run.refresh_from_db()
    assert says in run.machine_fault and run.state == "running", run.machine_fault
    assert not Attempt.objects.filter(task__run=run, outcome="failed").exists()
    assert not run.tasks.exclude(restarts=0).exists() and not run.tasks.filter(state="failed").exists()
    return run


def goes_on(world: World, run: Run) -> None:
    """The machine works again: the run ends right, and nothing of it was a failure."""
    try_now(run=run, actor=ACTOR)
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    assert run.waited.get("machine", 0) > 0 and not run.machine_fault
    assert not Attempt.objects.filter(task__run=run, outcome="failed").exists()
    assert world.git("fsck", "--no-dangling") == ""
    subprocess.run(["sync"], check=True)


def place_of(world: World, settings, where: str) -> Path:
    return world.repository if where == "repository" else Path(settings.CE_DATA_DIR)


BOTH = pytest.mark.parametrize("where", ["repository", "data"])


@BOTH
def test_full_disk_at_the_launch_puts_the_batch_off_and_it_goes_on_when_there_is_room(world: World, settings, where: str):
    with small_disk(folder := place_of(world, settings, where), 16):
        batch = world.generated(plan(phase("1", steps=writes("1")), phase("2", needs="1", steps=writes("2"))))
        run = world.execute(batch)
        filler = fill(folder)
        run = put_off(world, run, f"No space left on device: the file system at {folder} has 0.0 of 16.8 MB free")
        try_now(run=run, actor=ACTOR)
        first = run.machine_fault_until
        world.until(lambda: Run.objects.filter(pk=run.pk, machine_fault_until__gt=first).exists(), "a try in vain")
        assert Attempt.objects.filter(task__run=run).count() == 1, "a try of the machine costs no attempt"
        filler.unlink()
        goes_on(world, run)


@BOTH
def test_full_disk_at_the_commit_of_a_step_puts_the_phase_off(world: World, settings, where: str):
    with small_disk(folder := place_of(world, settings, where), 16):
        script = once(world, f"cat /dev/zero > {folder}/filler || true")
        run = world.execute(world.generated(plan(phase("1", steps=(f"head -c 300K /dev/urandom > part-1.txt; {script}",)))))
        run = put_off(world, run, "No space left on device")
        attempt = world.attempts(run, "1")[0]
        assert (attempt.outcome, attempt.reason) == ("deferred", "machine_fault")
        assert Path(attempt.checkout, "part-1.txt").exists(), "the folder is kept"
        (folder / "filler").unlink()
        goes_on(world, run)


@BOTH
def test_full_disk_while_gates_are_judged_puts_the_phase_off(world: World, settings, where: str):
    with small_disk(folder := place_of(world, settings, where), 16):
        script = world.repository.parent / "gate.sh"
        mark = world.repository.parent / "once"
        script.write_text(f"test -e {mark} || {{ touch {mark}; cat /dev/zero > {folder}/filler; exit 1; }}\n")
        run = world.execute(world.generated(plan(phase("1", steps=writes("1"), gates=(f"`sh {script}`",)))))
        run = put_off(world, run, "No space left on device")
        (folder / "filler").unlink()
        goes_on(world, run)


@BOTH
def test_full_disk_at_the_merge_delays_the_merge_and_repeats_nothing(world: World, settings, where: str):
    with small_disk(folder := place_of(world, settings, where), 16):
        run = world.execute(world.generated(plan(phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",)))))
        attempt = world.running(run, "1")
        while launcher.is_held(attempt.directory):
            time.sleep(0.01)
        filler = fill(folder)
        if where == "repository":
            put_off(world, run, "No space left on device")
            filler.unlink()
            goes_on(world, run)
        else:  # merging writes nothing there
            world.until(lambda: Attempt.objects.filter(pk=attempt.pk).exclude(merge_commit="").exists(), "the merge")
            filler.unlink()
            assert world.finish(run).state == "succeeded"
        assert len(world.attempts(run, "1")) == 1


def test_file_system_without_inodes_is_named(world: World):
    with small_disk(world.repository, 16, "nr_inodes=400"):
        run = world.execute(world.generated(plan(phase("1", steps=writes("1")))))
        folder = world.repository / "many"
        folder.mkdir()
        with contextlib.suppress(OSError):
            for number in range(1000):
                (folder / str(number)).touch()
        run = put_off(world, run, f"No inodes left: the file system at {world.repository}")
        shutil.rmtree(folder)
        goes_on(world, run)


def test_result_that_the_repositorys_disk_has_no_room_for_counts_all_the_same(world: World, settings):
    with small_disk(world.repository, 16):
        run = world.execute(world.generated(plan(phase("1", steps=("sleep 600",)))))
        attempt = world.running(run, "1")
        filler = fill(world.repository)
        pause_and_cancel.cancel(run=run, actor=ACTOR)
        world.until(lambda: Run.objects.filter(pk=run.pk, state="cancelled").exists(), "the end of the run")
        assert Path(attempt.directory, "result.json").exists()
        assert world.attempts(run, "1")[0].reason == "cancelled"
        filler.unlink()
        done = world.repository / ".ce/orchestration/completed-batches/batch-1/run-2/task-1/attempt-1/task-1.result.json"
        world.until(done.exists, "the result where programs look for it")
        assert json.loads(done.read_text())["failure_reason"] == "cancelled"
        assert world.finish(run).state == "cancelled"


def test_step_that_fills_the_disk_fails_itself_only(world: World, settings):
    with small_disk(Path(settings.CE_DATA_DIR), 24):
        text = plan(phase("1", steps=("head -c 100M /dev/zero > big; echo x > part-1.txt",)), phase("2", steps=("sleep 1", *writes("2"))))
        run = world.execute(world.generated(text), max_parallel=1)
        world.until(lambda: Run.objects.filter(pk=run.pk).exclude(machine_fault="").exists(), "phase 2 that is put off")
        assert world.states(run) == {"1": "failed", "2": "pending"}
        assert "No space left" in world.task(run, "1").message, world.task(run, "1").message
        Path(world.attempts(run, "1")[0].checkout, "big").unlink()
        try_now(run=run, actor=ACTOR)
        assert world.states(world.finish(run)) == {"1": "failed", "2": "succeeded"}


def test_file_system_that_went_read_only_puts_the_batch_off(world: World):
    with small_disk(world.repository, 16):
        batch = world.generated(plan(phase("1", steps=writes("1"))))
        run = world.execute(batch)
        subprocess.run(["mount", "-o", "remount,ro", str(world.repository)], check=True)
        run = put_off(world, run, f"Read-only file system: {world.repository}")
        subprocess.run(["mount", "-o", "remount,rw", str(world.repository)], check=True)
        goes_on(world, run)


def test_flood_of_output_is_cut_with_a_note_and_the_ticker_goes_on(world: World):
    flood = "set +o pipefail; yes a flood of words | head -c 200M"
    text = plan(phase("1", steps=(flood, *writes("1"))), phase("2", steps=writes("2")))
    run = world.execute(world.generated(text))
    longest, last = 0.0, time.monotonic()

    def ended() -> bool:
        nonlocal longest, last
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        run.refresh_from_db()
        return not run.is_live

    world.until(ended)
    assert longest < 5
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    attempt = world.attempts(run, "1")[0]
    assert len(attempt.log_tail) <= 64 * 1024
    assert "the rest is not kept" in (world.repository / ".ce/orchestration/tasks/batch-1/task-1.log").read_text()
    log = world.repository / ".ce/orchestration/tasks/batch-1/task-1.log"
    assert log.stat().st_size < 100_000_000  # ten million bytes of output, a line of JSON each


def test_250_forks_that_left_the_session_end_with_the_attempt(world: World):
    script = "for n in $(seq 250); do setsid sleep 300 & done; echo x > part-1.txt"
    run = world.execute(world.generated(plan(phase("1", steps=(script,)))))
    attempt = world.running(run, "1")
    assert world.finish(run).state == "succeeded"
    assert carrying(attempt.directory) == []


def test_250_forks_end_also_when_the_wrapper_is_killed(world: World):
    script = once(world, "for n in $(seq 250); do setsid sleep 300 & done; kill -9 $(ps -o ppid= -p $PPID); sleep 60")
    run = world.execute(world.generated(plan(phase("1", steps=(script, *writes("1"))))))
    attempt = world.running(run, "1")
    assert world.finish(run).state == "succeeded"
    assert carrying(attempt.directory) == []


PARENTS = {"runner": "$PPID", "wrapper": "$(ps -o ppid= -p $PPID)", "group": "-- -$(ps -o pgid= -p $PPID | tr -d ' ')"}


@pytest.mark.parametrize("victim", PARENTS.values(), ids=PARENTS)
def test_step_that_kills_its_parents_is_tried_again_and_fails_when_it_goes_on(world: World, victim: str):
    text = plan(phase("1", steps=(f"kill -9 {victim}; sleep 60",)), phase("2", steps=writes("2")))
    run = world.finish(world.execute(world.generated(text)))
    assert world.states(run) == {"1": "failed", "2": "succeeded"}
    assert world.task(run, "1").reason == "crashed"
    assert len(world.attempts(run, "1")) == 3
    assert not any(carrying(attempt.directory) for attempt in world.attempts(run, "1"))


def test_process_without_the_marker_does_not_outlive_the_attempt(world: World):
    pid_file = world.repository.parent / "pid"
    script = f"env -i setsid sh -c 'echo $$ > {pid_file}; exec sleep 300' & until test -s {pid_file}; do sleep 0.02; done"
    run = world.finish(world.execute(world.generated(plan(phase("1", steps=(script,))))))
    assert run.state == "succeeded"
    assert not os.path.exists(f"/proc/{pid_file.read_text().strip()}")


def test_stranger_that_takes_over_the_lock_does_not_keep_the_run_from_ending(world: World):
    world.project.silence_seconds = 1
    world.project.save()
    script = "env -i setsid flock $CE_ATTEMPT/lock sleep 300 & sleep 0.3; kill -9 $(ps -o ppid= -p $PPID); sleep 60"
    run = world.execute(world.generated(plan(phase("1", steps=(script,)))))
    run = world.finish(run)
    assert run.state == "failed", run.report
    assert not any(launcher.is_held(attempt.directory) for attempt in world.attempts(run, "1"))


ALL_FILES = "for n in 1 2; do for e in json hb result.json log; do f={tasks}/task-$n.$e; "
TAMPER = {
    "removes all files": "rm -rf {tasks}",
    "makes folders of them": ALL_FILES + "rm -rf $f; mkdir $f; done; done",
    "makes links of them": ALL_FILES + "ln -sf /etc/passwd $f; done; done",
    "makes pipes of them": ALL_FILES + "rm -f $f; mkfifo $f; done; done",
    "fills them with noise": ALL_FILES + "head -c 2M /dev/urandom > $f; done; done",
    "makes them huge": ALL_FILES + "truncate -s 10G $f; done; done",
    "moves everything away": "mv {root} {root}.away",
}


@pytest.mark.parametrize("how", TAMPER)
def test_step_that_tampers_with_the_contract_files_of_all_keeps_no_run_from_ending(world: World, how: str):
    root = world.repository / ".ce" / "orchestration"
    script = TAMPER[how].format(root=root, tasks=root / "tasks" / "batch-1")
    text = plan(
        phase("1", steps=(f"sleep 0.5; {script}", "sleep 0.5", *writes("1"))),
        phase("2", steps=("sleep 1.5", *writes("2"))),
        phase("3", needs="1, 2", steps=writes("3")),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    assert run.state in ("succeeded", "failed"), run.report
    for name in ("1", "2"):
        if world.states(run)[name] == "failed":
            assert world.task(run, name).reason in ("crashed", "bad_result", "timeout", "agent_error"), world.task(run, name).message
    assert world.git("rev-parse", "main") and world.git("fsck", "--no-dangling") == ""
    assert Path("/etc/passwd").read_text().startswith("root:")


def test_hooks_and_settings_that_a_step_writes_into_its_checkout_are_never_run(world: World):
    canary = world.repository.parent / "canary"
    hook = f"#!/bin/sh\\ntouch {canary}\\n"
    settings = "\\n".join(
        f"[{section}]\\n\\t{name} = touch {canary}"
        for section, name in (
            *(("core", "fsmonitor"), ("core", "sshCommand"), ("gpg", "program")),
            *(('filter "x"', "clean"), ('filter "x"', "smudge"), ('diff "x"', "textconv"), ('diff "x"', "command")),
        )
    )
    names = "pre-commit post-commit commit-msg reference-transaction post-checkout post-index-change pre-merge-commit"
    script = f"""\
mkdir -p .git/hooks
for name in {names}; do printf '{hook}' > .git/hooks/$name; chmod +x .git/hooks/$name; done
printf '{settings}\\n' >> .git/config
printf 'part-1.txt filter=x diff=x\\n' > .gitattributes
echo x > part-1.txt"""
    batch = world.generated(plan(phase("1", steps=(script,), gates=("`test -f part-1.txt`",)), phase("2", needs="1", steps=writes("2"))))
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    assert not canary.exists()


def test_a_hundred_phases_at_once_with_fifty_slots(world: World, settings):
    settings.CE_SLOTS = 50
    batch = world.generated(plan(*(phase(str(number), steps=writes(str(number))) for number in range(1, 101))))
    began = time.monotonic()
    run = world.finish(world.execute(batch, max_parallel=50))
    assert run.state == "succeeded", run.report
    assert {f"part-{number}.txt" for number in range(1, 101)} <= world.files_on(batch.branch)
    assert Attempt.objects.filter(task__run=run).count() == 100
    print(f"100 phases in {time.monotonic() - began:.1f} s")


def test_second_project_goes_on_when_the_repository_of_the_first_is_broken(world: World, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(world.repository, other)
    second = create_project(name="Second", repository=str(other), actor=ACTOR)
    text = plan(phase("1", steps=("sleep 0.5", *writes("1"))))
    broken, first = world.generated(text), world.project
    world.project = second
    sound = world.generated(text)
    world.project = first
    run_broken, run_sound = world.execute(broken), world.execute(sound)
    world.running(run_broken, "1")
    (world.repository / ".git" / "HEAD").write_text("garbage\n")
    shutil.rmtree(world.repository / ".git" / "objects")
    assert world.finish(run_sound).state == "succeeded"
    assert world.finish(run_broken).state == "failed"
    assert Project.objects.count() == 2
