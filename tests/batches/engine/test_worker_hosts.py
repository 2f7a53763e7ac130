"""Runs on worker hosts: one owner each, work travels through the remote, a lost host is taken over, and nothing is merged twice."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from batches.core.errors import ServiceError, WrongChoice
from batches.engine import data_directory, orchestrator, pause_and_cancel, retries, worker_hosts
from batches.engine.snapshots import TickContext
from batches.engine.ticker import Ticker
from batches.engine.verifications import ask_verification, stop_verification
from batches.models import Attempt, Host, Installation, Run
from batches.projects.change_settings import update_project
from batches.repositories.kept_work import clean_up, measure_checkouts
from batches.repositories.repository import checked_repository, folder_of
from subagents import launcher
from subagents.workspace import RepositoryProblem
from tests.batches.world import ACTOR, SEED_FLOW, World, phase, plan, writes

WAITS = plan(
    phase("1", steps=writes("1")),
    phase("2", needs="Phase 1", steps=("while ! test -e {second}; do sleep 0.05; done", "echo done > part-2.txt")),
    phase("3", needs="Phase 2", steps=writes("3")),
)


class Two:
    """A main host and a worker host in one process: each has settings, a data directory and a ticker of its own."""

    def __init__(self, world: World, settings, folder: Path) -> None:
        self.world, self.settings, self.main_data, self.worker_data = world, settings, Path(settings.CE_DATA_DIR), folder / "worker"
        self.worker_data.mkdir()
        self.ticker = Ticker("worker")

    @contextmanager
    def worker(self) -> Iterator[None]:
        self.settings.CE_WORKER, self.settings.CE_DATA_DIR, self.settings.CE_HOST = True, self.worker_data, "worker"
        try:
            yield
        finally:
            self.settings.CE_WORKER, self.settings.CE_DATA_DIR, self.settings.CE_HOST = False, self.main_data, "test-host"

    def start(self) -> None:
        with self.worker():
            data_directory._settle_worker(Installation.objects.get(), None)
            self.ticker.round()

    def worker_round(self) -> None:
        with self.worker():
            worker_hosts.exchange()
            self.ticker.round()

    def until(self, condition: Callable[[], bool], what: str, *, worker: bool = True) -> None:
        """Both hosts work until the condition holds; without `worker` the main host alone."""

        def round_of_both() -> bool:
            worker_hosts.exchange()
            if worker:
                self.worker_round()
            return condition()

        self.world.until(round_of_both, what)

    def lose(self) -> None:
        """The lease of the worker ran out longer ago than its attempts live on."""
        long_ago = Now() - timedelta(seconds=self.settings.CE_DEAD_MAN_SECONDS + 1)
        Host.objects.filter(name="worker").update(last_tick_at=long_ago, lease_until=long_ago)


@pytest.fixture
def two(world, settings, tmp_path) -> Iterator[Two]:
    settings.CE_HOST = "test-host"
    Installation.objects.update_or_create(pk=1, defaults={"identity": "a" * 32})
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    world.project.remote, world.project.worker_hosts = str(remote), "worker"
    world.project.save()
    made = Two(world, settings, tmp_path)
    made.start()
    yield made
    for directory in Attempt.objects.filter(host="worker").values_list("directory", flat=True):
        launcher.stop(directory, force=True)
    launcher.reap()


def merges(world: World, branch: str) -> Counter[str]:
    """{attempt's reference: merges into the branch that name it}."""
    lines = world.git("log", "--merges", "--format=%(trailers:key=CE-Attempt,valueonly)", branch).split("\n")
    return Counter(line for line in lines if line)


def phases_merged(world: World, branch: str) -> list[str]:
    return sorted(ref.split("/")[-2] for ref in merges(world, branch) if "/run-2/" in ref)


def test_a_run_goes_to_the_worker_and_comes_home_whole(two):
    world = two.world
    batch = world.generated(SEED_FLOW)
    run = world.execute(batch, host="worker")
    assert (run.host, run.travel) == ("worker", "outward")
    two.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the report")
    run.refresh_from_db()
    assert (run.state, run.travel, run.turn) == ("succeeded", "", 1), run.report
    assert set(Attempt.objects.filter(task__run=run).values_list("host", flat=True)) == {"worker"}
    assert phases_merged(world, batch.branch) == ["1", "2a", "2b", "3"] and set(merges(world, batch.branch).values()) == {1}
    assert {"part-1.txt", "part-2a.txt", "part-2b.txt", "part-3.txt"} <= world.files_on(batch.branch)
    for attempt in Attempt.objects.filter(task__run=run).exclude(merge_commit=""):
        assert world.git("rev-parse", attempt.ref) and not Path(attempt.checkout).exists()
    left = subprocess.run(["git", "--git-dir", world.project.remote, "for-each-ref"], capture_output=True, text=True, check=True).stdout
    assert not left, "what has come home is removed from the remote"
    with two.worker():
        assert folder_of(world.project) == str(two.worker_data / "clones" / "test")
        with pytest.raises(RepositoryProblem, match="worker host: it only executes"):
            checked_repository(world.project)


def test_what_somebody_else_pushed_in_place_of_the_merges_does_not_come_home(two):
    world = two.world
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    run = world.execute(batch, host="worker")
    two.until(lambda: Run.objects.filter(pk=run.pk, travel="homeward").exists(), "the end on the worker")
    run.refresh_from_db()
    there, remote = worker_hosts._there(run), ["git", "--git-dir", world.project.remote]
    honest = subprocess.run([*remote, "rev-parse", there], capture_output=True, text=True, check=True).stdout.strip()
    named = ["-c", "user.name=M", "-c", "user.email=m@example.org", "commit-tree", "-m", "PRP-1.1.1: Merge phase 1", "-p", honest]
    forged = subprocess.run([*remote, *named, f"{honest}^{{tree}}"], capture_output=True, text=True, check=True).stdout.strip()
    for tip in (forged, f"{honest}^"):
        subprocess.run([*remote, "update-ref", there, tip], check=True)
        Run.objects.filter(pk=run.pk).update(machine_fault_until=None)
        worker_hosts.exchange()
        run.refresh_from_db()
        assert run.travel == "homeward" and "has another branch for this run than its merges say" in run.machine_fault
        assert world.git("rev-parse", batch.branch) != forged and "part-1.txt" not in world.files_on(batch.branch)
    subprocess.run([*remote, "update-ref", there, honest], check=True)
    Run.objects.filter(pk=run.pk).update(machine_fault_until=None)
    two.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the report")
    assert world.git("rev-parse", batch.branch) == honest


@pytest.mark.parametrize("way_out", ["pushed again", "cancelled"])
def test_a_takeover_believes_no_merge_that_the_rows_do_not_name(two, tmp_path, way_out):
    world, second = two.world, tmp_path / "second"
    batch = world.generated(WAITS.replace("{second}", str(second)))
    run = world.execute(batch, host="worker")
    two.until(lambda: Attempt.objects.filter(task__run=run, task__name="2", pid__isnull=False).exists(), "phase 2 runs there")
    lost, run = Attempt.objects.get(task__run=run, task__name="2"), Run.objects.get(pk=run.pk)
    there, remote = worker_hosts._there(run), ["git", "--git-dir", world.project.remote]

    def at_the_remote(*arguments: str) -> str:
        return subprocess.run([*remote, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    def commit(message: str, *parents: str) -> str:
        named = ["-c", "user.name=M", "-c", "user.email=m@example.org", "commit-tree", "-m", message, f"{honest}^{{tree}}"]
        return at_the_remote(*named, *(word for parent in parents for word in ("-p", parent)))

    honest = at_the_remote("rev-parse", there)
    work = commit("PRP-1.2.1: Complete", honest)
    forged = commit(f"PRP-1.2.1: Merge phase 2\n\nCE-Attempt: {lost.ref}", honest, work)
    at_the_remote("update-ref", worker_hosts._attempts_there(lost.ref), work)
    at_the_remote("update-ref", there, forged)
    two.lose()
    two.until(lambda: bool(Run.objects.get(pk=run.pk).machine_fault), "the wait", worker=False)
    run.refresh_from_db()
    lost.refresh_from_db()
    assert (run.travel, lost.verdict) == ("lost", "") and "has another branch for this run than its merges say" in run.machine_fault
    second.touch()
    if way_out == "cancelled":
        pause_and_cancel.cancel(run=run, actor=ACTOR)
    else:
        at_the_remote("update-ref", there, honest)
    Run.objects.filter(pk=run.pk).update(machine_fault_until=None)
    two.until(lambda: not Run.objects.get(pk=run.pk).travel, "the takeover", worker=False)
    Run.objects.filter(pk=run.pk).update(machine_fault_until=timezone.now())
    two.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the report", worker=False)
    assert Run.objects.get(pk=run.pk).state == ("cancelled" if way_out == "cancelled" else "succeeded")
    assert forged not in world.git("rev-list", batch.branch)


@pytest.mark.parametrize("pushed", ["nothing", "merged but not recorded"])
def test_a_lost_worker_is_taken_over_and_comes_back_to_nothing(two, tmp_path, monkeypatch, pushed):
    world, second = two.world, tmp_path / "second"
    batch = world.generated(WAITS.replace("{second}", str(second)))
    run = world.execute(batch, host="worker")
    two.until(lambda: Attempt.objects.filter(task__run=run, task__name="2", pid__isnull=False).exists(), "phase 2 runs there")
    lost = Attempt.objects.get(task__run=run, task__name="2")
    if pushed != "nothing":  # it dies between the push and the record
        second.touch()
        monkeypatch.setattr(orchestrator, "record_step", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        remote_has = f"refs/ce/travel/{'a' * 32}/{lost.ref.removeprefix('refs/ce/')}"
        git = ["git", "--git-dir", world.project.remote, "rev-parse", "--verify", "-q", remote_has]
        while subprocess.run(git, capture_output=True, check=False).returncode:
            two.worker_round()
        monkeypatch.undo()
    two.lose()
    two.until(lambda: Run.objects.get(pk=run.pk).host == "" and not Run.objects.get(pk=run.pk).travel, "the takeover", worker=False)
    lost.refresh_from_db()
    assert lost.verdict == ("machine_fault" if pushed == "nothing" else "success") and "worker host worker was lost" in lost.message
    if pushed == "nothing":
        assert launcher.is_held(lost.directory), "the host is cut off, not dead: its attempt goes on"
        two.worker_round()  # it comes back, and ends what is no longer its own
        two.until(lambda: not launcher.is_held(lost.directory), "the end of the attempt")
    second.touch()
    if pushed == "nothing":
        two.until(lambda: bool(Run.objects.get(pk=run.pk).machine_fault), "the pause after a fault")
        Run.objects.filter(pk=run.pk).update(machine_fault_until=timezone.now())
    two.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the report")
    run.refresh_from_db()
    assert run.state == "succeeded", run.report
    assert phases_merged(world, batch.branch) == ["1", "2", "3"] and set(merges(world, batch.branch).values()) == {1}
    hosts = dict(Attempt.objects.filter(task__run=run, outcome="succeeded").values_list("task__name", "host"))
    assert hosts == {"1": "worker", "2": "test-host" if pushed == "nothing" else "worker", "3": "test-host"}


def test_a_host_that_does_not_own_the_run_records_nothing(two):
    world = two.world
    run = world.execute(world.generated(SEED_FLOW), host="worker")
    steps = orchestrator.record_step
    assert not steps(run.pk, TickContext(timezone.now(), 0.0, "test-host", 8)).launches, "it is on its way: the main host has given it away"
    with two.worker():
        assert not steps(run.pk, TickContext(timezone.now(), 0.0, "worker", 8)).launches, "and the worker has not got it yet"
    run.refresh_from_db()
    assert run.state == "queued" and set(run.tasks.values_list("state", flat=True)) == {"pending"}
    with pytest.raises(ServiceError, match="busy with run 2"):
        world.execute(run.batch)
    Run.objects.filter(pk=run.pk).update(travel="away")
    with two.worker():
        assert worker_hosts.is_owner(Run.objects.get(pk=run.pk))


def test_a_remote_that_does_not_answer_holds_the_run_up_and_says_why(two, tmp_path):
    world = two.world
    away = tmp_path / "elsewhere.git"
    Path(world.project.remote).rename(away)
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    run = world.execute(batch, host="worker")
    two.until(lambda: bool(Run.objects.get(pk=run.pk).machine_fault), "the wait")
    run.refresh_from_db()
    assert run.travel == "outward" and "remote.git is no git repository" in run.put_off_words
    away.rename(world.project.remote)
    Run.objects.filter(pk=run.pk).update(machine_fault_until=timezone.now())
    two.until(lambda: Run.objects.get(pk=run.pk).travel == "away", "the start there")
    Path(world.project.remote).rename(away)  # now its merge cannot be pushed: it is not recorded either
    two.until(lambda: bool(Run.objects.get(pk=run.pk).machine_fault), "the wait of the merge")
    assert not Attempt.objects.filter(task__run=run).exclude(merge_commit="").exists()
    away.rename(world.project.remote)
    Run.objects.filter(pk=run.pk).update(machine_fault_until=timezone.now())
    two.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the report")
    assert Run.objects.get(pk=run.pk).state == "succeeded" and phases_merged(world, batch.branch) == ["1"]


def test_the_host_with_the_least_work_for_its_slots_is_chosen(two, settings):
    world, project = two.world, two.world.project
    batch = world.generated(plan(phase("1", steps=("sleep 60",))))
    assert worker_hosts.choose_host(project, None) == "", "the main host where both are idle"
    Run.objects.create(batch=batch, number=9, operation="execute", backend="steps", scheduling="stages", max_parallel=1,
                       phase_limit_seconds=1, silence_seconds=1)  # fmt: skip
    assert worker_hosts.choose_host(project, None) == "worker"
    with pytest.raises(WrongChoice, match="does not run on gpu, but on: test-host, worker"):
        worker_hosts.choose_host(project, "gpu")
    for wrong, sentence in (
        ({"worker_hosts": "gpu"}, "No worker host is called gpu. Known: worker"),
        ({"remote": ""}, "set Remote"),
        ({"remote": f"{settings.CE_DATA_DIR}/checkouts/../checkouts/shop"}, "lies in CE Web's data directory"),
    ):
        with pytest.raises(ServiceError, match=sentence):
            update_project(project=project, changes=wrong, actor=ACTOR)
    project.remote = ""
    with pytest.raises(ServiceError, match=r"no remote.*Set Remote in the project's settings"):
        worker_hosts.choose_host(project, "worker")
    two.lose()
    assert worker_hosts.choose_host(project, None) == ""
    with pytest.raises(ServiceError, match="worker has not been heard of for"):
        worker_hosts.choose_host(project, "worker")


def test_a_run_that_failed_there_is_retried_here(two):
    world = two.world
    batch = world.generated(plan(phase("1", steps=("test -e ok",))))
    world.commit("before.txt", "1")
    run = world.execute(batch, host="worker")
    two.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the report")
    assert ask_verification(batch=batch, actor=ACTOR).host == "test-host", "the main host verifies"
    stop_verification(batch=batch, actor=ACTOR)
    with two.worker():  # its folder is there, and is cleaned up there
        (left,) = Attempt.objects.filter(task__run=run, checkout_removed_at=None)
        measure_checkouts("worker", timezone.now())
        assert Path(left.checkout).is_dir() and clean_up(batch=batch, actor=ACTOR).removed == 1 and not Path(left.checkout).exists()
    world.commit("ok", "")
    retries.retry(run=Run.objects.get(pk=run.pk), actor=ACTOR)
    assert world.finish(run).state == "succeeded" and run.host == ""
