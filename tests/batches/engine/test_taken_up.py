"""A database that was restored from a backup: what the repository or folders hold is taken up, not done again."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from batches.engine.taken_up import MERGED
from batches.models import Attempt, Run, Transition
from tests.batches.world import World, phase, plan

pytestmark = pytest.mark.process


class Lost(Exception):
    """Ends a transaction whose rows are to be forgotten."""


def forget_rows(work: Callable[[], object]) -> None:
    """Do the work, then put all rows back to before it, as the restore of a backup does."""
    with suppress(Lost), transaction.atomic():
        work()
        raise Lost


@pytest.fixture
def noted(tmp_path):
    return tmp_path / "steps-that-ran"


def two_phases(noted: Path) -> str:
    def step(key: str) -> tuple[str, ...]:
        return (f"echo {key} >> {noted}; echo {key} > part-{key}.txt",)

    return plan(
        phase("1", steps=step("1"), gates=("`test -f part-1.txt`",)),
        phase("2", needs="Phase 1", steps=step("2"), gates=("`test -f part-2.txt`",)),
    )


@pytest.fixture(params=["folders are there", "folders are gone"])
def folders(request):
    return lambda: None if "there" in request.param else shutil.rmtree(Path(settings.CE_DATA_DIR) / "attempts")


def test_what_was_merged_after_the_backup_is_neither_done_nor_merged_again(world: World, noted, folders):
    batch = world.generated(two_phases(noted))
    forget_rows(lambda: world.finish(world.execute(batch)))
    tip = world.git("rev-parse", batch.branch)
    assert not Run.objects.filter(batch=batch, operation="execute").exists()
    folders()

    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    assert noted.read_text().split() == ["1", "2"], "each step ran once"
    assert world.git("rev-parse", batch.branch) == tip, "nothing was merged twice"
    for key in ("1", "2"):
        (attempt,) = world.attempts(run, key)
        assert attempt.merge_commit and attempt.outcome == "succeeded"
        assert [check.status for check in attempt.gate_checks.filter(origin="plan")] == ["passed"], "its evidence is taken up, too"
    said = set(Transition.objects.filter(run=run, event="launch", task__kind="phase").values_list("cause", "message"))
    assert said == {("policy:taken up after a restore", MERGED)}


def test_what_runs_since_after_the_backup_goes_on_and_is_not_started_beside_itself(world: World, noted, tmp_path):
    go = tmp_path / "go"
    text = plan(phase("1", steps=(f"echo 1 >> {noted}; while [ ! -e {go} ]; do sleep 0.05; done; echo 1 > part-1.txt",)))
    batch = world.generated(text)
    forget_rows(lambda: world.running(world.execute(batch), "1"))
    world.ticker = type(world.ticker)("test-host")

    run = world.execute(batch)
    attempt = world.running(run, "1")
    go.touch()
    assert world.finish(run).state == "succeeded", run.report
    assert noted.read_text() == "1\n" and [one.pk for one in world.attempts(run, "1")] == [attempt.pk]


def test_an_attempt_that_the_rows_know_but_whose_folder_is_gone_counts_as_merged_if_it_is(world: World, noted):
    batch = world.generated(two_phases(noted))
    run = world.execute(batch)
    world.until(lambda: Attempt.objects.filter(task__run=run, started_at__isnull=False).exists(), "the first attempt")
    forget_rows(lambda: world.finish(run))
    world.ticker = type(world.ticker)("test-host")
    tip = world.git("rev-parse", batch.branch)
    shutil.rmtree(Path(settings.CE_DATA_DIR) / "attempts")
    Attempt.objects.live().update(launched_clock=-100.0)  # it is time to launch it again

    run = world.finish(Run.objects.get(pk=run.pk))
    assert run.state == "succeeded" and noted.read_text().split() == ["1", "2"], run.report
    assert world.git("rev-parse", batch.branch) == tip


def test_an_attempt_whose_folder_is_older_than_its_merge_is_no_crash(world: World, noted):
    """The backup was taken while it ran: its folder says that it started, and nothing of its end."""
    batch = world.generated(two_phases(noted))
    run = world.execute(batch)
    world.until(lambda: Attempt.objects.filter(task__run=run, started_at__isnull=False).exists(), "the first attempt")
    forget_rows(lambda: world.finish(run))
    world.ticker = type(world.ticker)("test-host")
    tip = world.git("rev-parse", batch.branch)
    for end in (Path(settings.CE_DATA_DIR) / "attempts").rglob("exit.json"):
        end.unlink()

    run = world.finish(Run.objects.get(pk=run.pk))
    assert run.state == "succeeded" and noted.read_text().split() == ["1", "2"], run.report
    assert world.git("rev-parse", batch.branch) == tip


def test_commits_of_an_attempt_that_nobody_judged_are_kept_and_the_next_number_is_free(world: World, noted):
    """Its gate fails at first, so nothing is merged; reference and number are taken all the same."""
    gate = f"`test $(wc -l < {noted}) -gt 1`"
    batch = world.generated(plan(phase("1", steps=(f"echo 1 >> {noted}; echo 1 > part-1.txt",), gates=(gate,))))
    forget_rows(lambda: world.finish(world.execute(batch)))
    shutil.rmtree(Path(settings.CE_DATA_DIR) / "attempts")
    kept = world.git("rev-parse", f"refs/ce/attempts/batch-{batch.number}/run-2/1/1")

    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    assert [attempt.number for attempt in world.attempts(run, "1")] == [2]
    assert world.git("rev-parse", f"refs/ce/attempts/batch-{batch.number}/run-2/1/1") == kept


def test_a_merge_of_the_base_branch_that_claims_to_be_one_of_ours_is_not_taken_for_it(world: World, noted):
    """Whoever wrote what the base branch holds may have guessed number, run and phase of a batch to come."""
    tree, base = world.git("rev-parse", "main^{tree}"), world.git("rev-parse", "main")
    side = world.git("commit-tree", tree, "-p", base, "-m", "Nothing")
    claim = "Merge\n\nCE-Attempt: refs/ce/attempts/batch-1/run-2/1/1"
    world.git("update-ref", "refs/heads/main", world.git("commit-tree", tree, "-p", base, "-p", side, "-m", claim))
    gate = f"`test $(wc -l < {noted}) -gt 1`"
    batch = world.generated(plan(phase("1", steps=(f"echo 1 >> {noted}; echo 1 > part-1.txt",), gates=(gate,))))
    assert batch.number == 1
    forget_rows(lambda: world.finish(world.execute(batch)))
    shutil.rmtree(Path(settings.CE_DATA_DIR) / "attempts")

    run = world.finish(world.execute(batch))
    assert run.state == "succeeded" and noted.read_text() == "1\n1\n", "the work was done, not claimed"
    assert world.git("show", f"{batch.branch}:part-1.txt") == "1"


def test_another_plan_with_the_same_numbers_is_not_taken_for_the_same_work(world: World, noted):
    batch = world.generated(two_phases(noted))

    def other_work() -> None:
        batch.phases.update(goal="Something else", steps=[{"number": 1, "text": "x", "commands": [f"echo other >> {noted}; exit 1"]}])
        world.finish(world.execute(batch))

    forget_rows(other_work)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    assert noted.read_text().split() == ["other", "1", "2"]
