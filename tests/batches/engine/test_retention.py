"""What is old goes; what is not merged stays, whatever its age."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import call_command
from django.utils import timezone

from batches.engine.log_reader import open_log
from batches.engine.retention import bound_rows, compress_logs, drop_references, keep_to_size, tidy_projects
from batches.models import Attempt, AuditEvent, Run
from tests.batches.world import World, phase, plan, writes


def test_ended_sessions_and_old_sign_ins_go_and_the_rest_of_the_audit_log_stays(db):
    now = timezone.now()
    for key, days in (("over", -1), ("live", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=now + timedelta(days=days))
    for kind, days in (("sign-in", 200), ("sign-in", 10), ("user", 2000), ("project", 2000)):
        AuditEvent.objects.create(at=now - timedelta(days=days), kind=kind, cause="person:ada", what=f"{kind} {days}")
    assert [one.count for one in bound_rows(now, dry_run=True)] == [1, 1]
    assert Session.objects.count() == 2 and AuditEvent.objects.count() == 4, "a dry run removes nothing"
    assert [one.words for one in bound_rows(now)] == ["1 ended session", "1 old sign-in"]
    assert Session.objects.get().session_key == "live"
    assert {event.what for event in AuditEvent.objects.all()} == {"sign-in 10", "user 2000", "project 2000"}
    assert [one.count for one in bound_rows(now)] == [0, 0]


@pytest.mark.process
def test_references_of_merged_attempts_go_after_a_while_and_never_one_that_the_branch_lacks(world: World, capsys):
    fails = phase("2", steps=writes("2"), gates=("`test -f nothing`",))
    batch = world.generated(plan(phase("1", steps=writes("1")), fails, phase("3", needs="Phase 1", steps=writes("3"))))
    run = world.finish(world.execute(batch, fail_fast=False))
    assert world.states(run)["1"] == "succeeded" and world.states(run)["2"] == "failed"

    def kept() -> set[str]:
        refs = world.git("for-each-ref", "--format=%(refname)", "refs/ce/attempts/").split()
        return {ref.split("/")[-2] for ref in refs if "/run-2/" in ref}

    assert kept() == {"1", "2", "3"}
    assert [one.count for one in drop_references(timezone.now())] == [0], "the run has only just ended"
    call_command("prune", "--dry-run", "--days", "0")
    assert f"of merged attempts in {world.project.name}" in capsys.readouterr().out and kept() == {"1", "2", "3"}

    (three,) = world.attempts(run, "3")
    world.git("update-ref", f"refs/heads/{batch.branch}", world.git("rev-parse", f"{three.merge_commit}^1"))  # somebody took it back
    call_command("prune", "--days", "0")
    assert kept() == {"2", "3"}, "only phase 1 is in the branch"
    assert "Removed" in AuditEvent.objects.get(kind="site").what


def test_old_logs_are_compressed_and_read_as_before(world: World, capsys):
    said = "for n in $(seq 400); do echo line $n of what it says; done"
    batch = world.generated(plan(phase("1", steps=(said,)), phase("2", steps=writes("2"))))
    run = world.finish(world.execute(batch))
    (attempt,) = world.attempts(run, "1")

    def text() -> bytes:
        with open_log(Attempt.objects.select_related("task__run__batch__project").get(pk=attempt.pk)) as log:
            return b"".join(log.text())

    def plain() -> list[str]:
        return sorted(path.name for path in Path(world.repository, ".ce").rglob("task-1.log*"))

    Attempt.objects.update(host=settings.CE_HOST)
    before, files = text(), plain()
    assert b"line 400 of what it says" in before and files == ["task-1.log", "task-1.log"]
    call_command("prune", "--dry-run", "--days", "0")
    assert f"Would compress 1 log of {world.project.name}." in capsys.readouterr().out and plain() == files
    call_command("prune", "--days", "0")
    assert "less." in capsys.readouterr().out and plain() == ["task-1.log.gz"]
    assert text() == before
    assert [one.count for one in compress_logs(timezone.now(), older=timedelta(0))] == [0], "once"


def test_the_oldest_logs_go_where_they_are_more_than_the_limit(world: World, capsys):
    said = "head -c 700000 /dev/zero | tr '\\0' x | fold -w 2000"
    kept = {}
    for name in ("older", "newer", "fresh"):
        run = world.finish(world.execute(world.generated(plan(phase("1", steps=(said, *writes(name)))))))
        kept[run] = [path for path in Path(world.repository, ".ce").rglob("task-1.log") if f"batch-{run.batch.number}" in str(path)]
        if name == "newer":
            Run.objects.update(ended_at=timezone.now() - timedelta(days=2))

    def there() -> list[bool]:
        return [all(path.exists() for path in paths) for paths in kept.values()]

    assert [one.count for one in keep_to_size(timezone.now())] == [], "no project says so"
    type(world.project).objects.update(keep_megabytes=2)
    call_command("prune", "--dry-run")
    assert f"Would remove 1 log of {world.project.name}, " in capsys.readouterr().out and there() == [True, True, True]
    cache.clear()
    assert [one.count for one in tidy_projects(timezone.now())] == [1] and there() == [False, True, True]
    call_command("prune", "--megabytes", "0")
    assert there() == [False, False, True], "a run of today keeps its log, whatever the limit"
    old = Attempt.objects.select_related("task__run__batch__project").filter(task__run__operation="execute").order_by("pk").first()
    with open_log(old) as log:
        assert b"xxx" in b"".join(log.text()), "the end of it is in the row"
    assert not any(path.exists() for path in kept[next(iter(kept))])


def test_a_project_that_says_so_is_tidied_by_itself_once_an_hour(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    run = world.finish(world.execute(batch))
    (attempt,) = world.attempts(run, "1")
    now = timezone.now()
    assert tidy_projects(now + timedelta(days=31)) == [], "no project says so"
    type(world.project).objects.update(keep_days=30)
    cache.clear()
    assert tidy_projects(now + timedelta(days=29)) == [] and world.git("rev-parse", attempt.ref)
    assert tidy_projects(now + timedelta(days=31)) == [], "within the hour nobody looks"
    cache.clear()
    (dropped,) = tidy_projects(now + timedelta(days=31))
    assert dropped.words.startswith(f"{dropped.count} reference") and not world.git("for-each-ref", attempt.ref)
