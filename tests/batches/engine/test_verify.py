"""Verifying a batch: every verdict is repeated on a fresh checkout, and no change of rows, notes or file goes unseen."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from batches.core.errors import ServiceError
from batches.core.gates.evidence import JSON_LINE
from batches.engine.verifications import ask_verification, stop_verification
from batches.models import Attempt, Batch, GateCheck, Host, Task, Verification
from subagents import launcher
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

PLAN = plan(
    phase("1", steps=writes("1"), gates=("`test -f part-1.txt`", "`grep done part-1.txt`", "`date +%s%N | grep -q .`")),
    phase("2", steps=writes("2"), gates=("`test -f part-2.txt`", "A person likes it")),
)


def verified(world: World, batch: Batch) -> Verification:
    one = ask_verification(batch=batch, actor=ACTOR)
    world.until(lambda: Verification.objects.filter(pk=one.pk, ended_at__isnull=False).exists(), "the end of the verification")
    return Verification.objects.get(pk=one.pk)


def executed(world: World, text: str = PLAN, state: str = "succeeded") -> Batch:
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    assert run.state == state, run.report
    return batch


def codes(one: Verification) -> set[str]:
    assert one.result is not None, one.problem
    found = {difference["code"] for gate in one.result["gates"] for difference in gate["differences"]}
    return found | {problem["code"] for problem in one.result["problems"]}


def test_an_honest_batch_agrees_and_its_evidence_is_in_any_clone_that_fetched_the_notes(world: World, tmp_path, settings):
    batch = executed(world)
    one = verified(world, batch)
    assert one.agrees, json.dumps(one.result, indent=1)
    assert not Path(one.spec["checkout"]).parent.exists(), "nothing of it stays"
    written = world.repository / ".ce/orchestration/batches/batch-1.verify.json"
    assert json.loads(written.read_text()) == one.result
    clone = tmp_path / "clone"
    world.git("clone", "-q", "-b", batch.branch, str(world.repository), str(clone))
    world.git("-C", str(clone), "fetch", "-q", "origin", "refs/notes/ce:refs/notes/ce")
    log = world.git("-C", str(clone), "log", "--notes=ce", "--first-parent")
    assert log.count(JSON_LINE) == 3, "two phases and the check of the merged tree"
    assert "passed: plan gate 1, `test -f part-1.txt`" in log and "unverified: plan gate 2, A person likes it" in log
    assert world.git("fsck", "--strict", "--no-dangling") == ""
    settings.CE_HOST = world.ticker.host
    out = StringIO()
    call_command("verify", batch=batch.number, stdout=out, stderr=StringIO())
    assert "Everything agrees" in out.getvalue()
    assert "✓ phase 1, attempt 1: plan" in out.getvalue() and "✓ phase 1, merged tree of stage 1, attempt 1: plan" in out.getvalue()
    GateCheck.objects.filter(gate__position=1).update(exit_code=1)
    out = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("verify", "--json", batch=batch.number, stdout=out, stderr=StringIO())
    assert json.loads(out.getvalue())["agrees"] is False


def rows(**columns: object) -> Callable[[World], object]:
    """Alter the ledger's row of the gate `grep done part-1.txt` as it was judged in its phase."""

    def alter(world: World) -> None:
        assert check(world).update(**columns) == 1

    return alter


def check(world: World):
    return GateCheck.objects.filter(gate__phase__key="1", gate__position=2, attempt__task__name="1")


def attempts(**columns: object) -> Callable[[World], object]:
    return lambda world: Attempt.objects.filter(task__name="1", task__run__number=2).update(**columns)


def in_note(old: str, new: str) -> Callable[[World], object]:
    """Alter the note on the merge of phase 1."""

    def alter(world: World) -> None:
        commit = Attempt.objects.get(task__name="1", task__run__number=2).merge_commit
        text = world.git("notes", "--ref=ce", "show", commit)
        assert old in text
        world.git("notes", "--ref=ce", "add", "-f", "-m", text.replace(old, new), commit)

    return alter


def in_file(alter: Callable[[dict], object]) -> Callable[[World], object]:
    def altered(world: World) -> None:
        path = world.repository / ".ce/orchestration/batches/batch-1.gates.json"
        data = json.loads(path.read_text())
        alter(data)
        path.write_text(json.dumps(data))

    return altered


def merge_of(world: World, name: str) -> str:
    return Attempt.objects.get(task__name=name, task__run__number=2).merge_commit


def another_row(world: World) -> None:
    row = check(world).get()
    row.pk, row.gate, row.origin, row.position, row.text = None, None, "project", 7, "Coverage over 100 %"
    row.save(force_insert=True)


def another_section(world: World) -> None:
    """The note of phase 1 also tells of an attempt that never was."""
    commit = merge_of(world, "1")
    line = next(line for line in world.git("notes", "--ref=ce", "show", commit).split("\n") if line.startswith(JSON_LINE))
    world.git("notes", "--ref=ce", "append", "-m", line.replace("/1/1", "/1/9"), commit)


def of_another_installation(world: World) -> None:
    """The note of phase 1 is the one that another installation would have left."""
    commit = merge_of(world, "1")
    text = world.git("notes", "--ref=ce", "show", commit)
    world.git("notes", "--ref=ce", "add", "-f", "-m", text.replace("batch-1", "batch-7").replace('"batch": 1', '"batch": 7'), commit)


def beside_another_installations(world: World) -> None:
    commit = merge_of(world, "1")
    line = next(line for line in world.git("notes", "--ref=ce", "show", commit).split("\n") if line.startswith(JSON_LINE))
    foreign = line.replace("batch-1", "batch-7").replace('"batch": 1', '"batch": 7')
    world.git("notes", "--ref=ce", "append", "-m", foreign, commit)


FORGERIES: dict[str, tuple[Callable[[World], object], str]] = {
    "a failure called a success in the row": (rows(status="failed"), "status"),
    "the exit code in the row": (rows(exit_code=3), "exit_code"),
    "the commit in the row": (lambda world: check(world).update(commit=world.git("rev-parse", "main")), "other_commit"),
    "a commit that never was": (rows(commit="0123456789" * 4), "commit_missing"),
    "the command in the row": (rows(command="true"), "command"),
    "the output in the row": (rows(output="All tests pass\n"), "output"),
    "the environment in the row": (rows(environment="e" * 64), "environment_gone"),
    "the duration in the row": (rows(seconds=0.0), "evidence_differs"),
    "a row removed": (lambda world: check(world).delete(), "never_run"),
    "a row added": (another_row, "not_in_evidence"),
    "all rows of an attempt removed": (lambda world: GateCheck.objects.filter(attempt__task__name="stage-1").delete(), "row_missing"),
    "the merge in the row": (lambda world: attempts(merge_commit=world.git("rev-parse", "main"))(world), "note_missing"),
    "the work in the row": (lambda world: attempts(head_commit=world.git("rev-parse", "main"))(world), "other_commit"),
    "a success taken back": (attempts(outcome="failed", reason="crashed"), "state"),
    "the note removed": (lambda world: world.git("notes", "--ref=ce", "remove", merge_of(world, "1")), "note_missing"),
    "all notes removed": (lambda world: world.git("update-ref", "-d", "refs/notes/ce"), "note_missing"),
    "the verdict in the note": (in_note('"status": "passed"', '"status": "failed"'), "evidence_differs"),
    "the digest of the output in the note": (in_note('"output_sha256": "', '"output_sha256": "0'), "evidence_differs"),
    "the command in the note": (in_note('"command": "test -f part-1.txt"', '"command": "true"'), "evidence_differs"),
    "a gate in the note removed": (in_note('"position": 2', '"position": 20'), "row_missing"),
    "the note no longer JSON": (in_note('"format": 1', '"format": '), "note_unreadable"),
    "the verdict in the note's words": (in_note("  passed: plan gate 1", "  failed: plan gate 1"), "note_unreadable"),
    "words added to the note": (in_note("Judged on", "All was looked at by a person.\nJudged on"), "note_unreadable"),
    "a section added to the note": (another_section, "row_missing"),
    "the note of another installation": (of_another_installation, "note_missing"),
    "a note of another installation beside ours": (beside_another_installations, "note_foreign"),
    "the verdict in the file": (in_file(lambda data: data["attempts"][0]["gates"][0].update(status="failed")), "evidence_differs"),
    "a gate in the file removed": (in_file(lambda data: data["attempts"][0]["gates"].pop()), "not_in_evidence"),
    "an attempt in the file removed": (in_file(lambda data: data["attempts"].pop()), "file_differs"),
    "an attempt in the file twice": (in_file(lambda data: data["attempts"].append(data["attempts"][0])), "file_differs"),
    "the file removed": (lambda world: (world.repository / ".ce/orchestration/batches/batch-1.gates.json").unlink(), "file_missing"),
    "the file emptied": (
        lambda world: (world.repository / ".ce/orchestration/batches/batch-1.gates.json").write_text(""), "file_unreadable",
    ),
}  # fmt: skip


def test_every_forgery_of_rows_notes_and_file_is_found(world: World):
    batch = executed(world)
    file = world.repository / ".ce/orchestration/batches/batch-1.gates.json"
    notes, text = world.git("rev-parse", "refs/notes/ce"), file.read_text()
    checks, tries = list(GateCheck.objects.all()), list(Attempt.objects.all())
    unseen = {}
    for name, (forge, code) in FORGERIES.items():
        forge(world)
        one = verified(world, batch)
        if one.agrees is not False or code not in codes(one):
            unseen[name] = (one.agrees, codes(one))
        world.git("update-ref", "refs/notes/ce", notes)
        file.write_text(text)
        GateCheck.objects.all().delete()
        GateCheck.objects.bulk_create(checks)
        for attempt in tries:
            attempt.save()
    assert unseen == {}
    assert verified(world, batch).agrees, "as it was before"


def test_one_that_runs_can_be_stopped_and_one_of_a_host_that_is_gone_ends_with_a_sentence(world: World, tmp_path):
    sign = tmp_path / "sign"
    sign.touch()
    waits = f"Up (checked: test -e {sign} || sleep 600)"
    batch = executed(world, plan(phase("1", steps=writes("1"), gates=(waits,))))
    sign.unlink()
    one = ask_verification(batch=batch, actor=ACTOR)
    world.until(lambda: Verification.objects.filter(pk=one.pk).exclude(progress="").exists(), "its gate")
    stop_verification(batch=batch, actor=ACTOR)
    world.until(lambda: Verification.objects.filter(pk=one.pk, ended_at__isnull=False).exists(), "its end")
    one.refresh_from_db()
    assert (one.agrees, one.problem) == (None, f"Stopped by {ACTOR.cause} before it was done.")
    assert not Path(one.spec["checkout"]).parent.exists() and launcher.sweep(one.directory) == []
    with pytest.raises(ServiceError, match="is not being verified"):
        stop_verification(batch=batch, actor=ACTOR)
    long_ago = timezone.now() - timedelta(hours=2)
    Host.objects.create(name="gone", last_tick_at=long_ago, lease_until=long_ago)
    Attempt.objects.update(host="gone")
    assert ask_verification(batch=batch, actor=ACTOR).host == settings.CE_HOST, "where somebody is alive"
    Verification.objects.filter(ended_at=None).update(host="gone")
    world.until(lambda: not Verification.objects.filter(ended_at=None).exists(), "the end of the one whose host is gone")
    said = Verification.objects.latest("pk")
    assert said.agrees is None and "The host gone, which was to judge, has not been heard of for 2 h" in said.problem


def test_what_fails_now_is_found_though_nobody_forged_anything(world: World, tmp_path):
    """A gate looked at the world outside of its commit, and the world has changed; another failed then and passes now."""
    sign = tmp_path / "sign"
    sign.touch()
    text = plan(
        phase("1", steps=writes("1"), gates=(f"Up (checked: test -e {sign})",)),
        phase("2", steps=writes("2"), gates=(f"Down (checked: test ! -e {sign})",)),
    )
    batch = executed(world, text, "failed")
    sign.unlink()
    one = verified(world, batch)
    said = {gate["phase"]: gate for gate in one.result["gates"] if gate["origin"] == "plan" and gate["run"] == 2}
    assert one.agrees is False
    assert "passed then, failed now" in said["1"]["differences"][0]["words"]
    assert "failed then, passed now" in said["2"]["differences"][0]["words"]


def test_what_was_never_executed_or_is_gone_is_said_and_is_no_agreement(world: World):
    batch = world.generated(PLAN)
    one = verified(world, batch)
    assert one.agrees is False
    assert {gate["verdict"] for gate in one.result["gates"]} == {"never_run"}
    shutil.rmtree(world.repository / ".ce", ignore_errors=True)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded"
    assert verified(world, batch).agrees


def test_a_merge_whose_process_was_killed_gets_its_note_in_the_next_round_and_only_once(world: World, monkeypatch):
    """As if the kill came between git's transaction and ours: the branch has moved, no row tells of it."""
    from batches.engine import orchestrator

    batch = world.generated(plan(phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",))))
    real, killed = orchestrator.record_step, []

    def dies(run_id, context, ends=(), merged=()):
        if any(one.commit for one in merged) and not killed:
            killed.append(merged[0].commit)
            raise KeyboardInterrupt
        return real(run_id, context, ends, merged)

    monkeypatch.setattr(orchestrator, "record_step", dies)
    run = world.execute(batch)
    with pytest.raises(KeyboardInterrupt):
        world.finish(run)
    run = world.finish(run)
    assert run.state == "succeeded" and len(killed) == 1
    attempt = world.attempts(run, "1")[0]
    assert attempt.merge_commit == killed[0] == attempt.note_commit
    assert world.git("notes", "--ref=ce", "show", killed[0]).count(JSON_LINE) == 2, "the phase, and the check of the merged tree"
    world.git("update-ref", "-d", "refs/notes/ce")
    Attempt.objects.filter(task__run=run).update(note_commit="")
    run.reported_at = None
    run.save()
    run = world.finish(run)
    assert world.git("notes", "--ref=ce", "show", killed[0]).count(JSON_LINE) == 2
    assert verified(world, batch).agrees
    assert Task.objects.filter(run=run, state="succeeded").count() == 2


def test_gates_are_judged_with_the_environment_of_then_and_one_that_is_gone_is_not_built_again(world: World, settings):
    world.project.setup_command = "mkdir tools; echo yes > tools/answer"
    world.project.save()
    batch = executed(world, plan(phase("1", steps=writes("1"), gates=("`grep -q yes tools/answer`",))))
    one = verified(world, batch)
    assert one.agrees, json.dumps(one.result, indent=1)
    assert {len(gate["environment"]) for gate in one.result["gates"]} == {64}
    shutil.rmtree(settings.CE_DATA_DIR / "environments")
    one = verified(world, batch)
    assert one.agrees is False and codes(one) == {"environment_gone"}
    assert {gate["verdict"] for gate in one.result["gates"]} == {"not_repeated"}
    assert not (settings.CE_DATA_DIR / "environments").exists()
