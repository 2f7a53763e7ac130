"""The JSON API about a batch's work: what a program reads of logs and diffs, and that a merge brings what its preview showed."""

import pytest

from batches.models import BaseMerge, Run
from tests.batches import builders
from tests.batches.pages.test_api import Program
from tests.batches.world import World, phase, plan

pytestmark = [pytest.mark.django_db, pytest.mark.long]


@pytest.fixture
def done(world: World) -> Run:
    text = plan(
        phase("1", files="a.txt", steps=("echo said 1; echo one > a.txt",), gates=("`test -f a.txt`",)),
        phase("2", needs="1", files="b.txt", steps=("echo two > b.txt",), gates=("`test -f b.txt`",)),
    )
    return world.finish(world.execute(world.generated(text)))


def test_a_program_reads_logs_on_from_a_line_and_merges_what_it_was_shown(world: World, done: Run):
    root, base = Program(builders.make_user("root")), f"/api/batches/{done.batch.number}"
    whole = root("GET", f"{base}/phases/1/log/").json()
    assert "said 1" in [line["text"] for line in whole["lines"]] and whole["ended"] and whole["last"] == whole["total"]
    after = whole["lines"][0]["line"]
    assert root("GET", f"{base}/phases/1/log/?after={after}").json()["lines"] == whole["lines"][1:]
    assert root("GET", f"{base}/phases/1/log/?after={whole['last']}").json()["lines"] == []
    assert root("GET", f"{base}/phases/1/log/?attempt={whole['attempt']}").json() == whole
    for wrong, said in (("after=x", "after must be a whole number from 0 on."), ("attempt=999999", "Phase 1 has no attempt 999999.")):
        assert root("GET", f"{base}/phases/1/log/?{wrong}").json() == {"error": said}
    assert root("GET", f"{base}/phases/9/log/").status_code == 404

    every = root("GET", f"{base}/diff/").json()["phases"]
    assert [(one["phase"], one["files"][0]["path"]) for one in every] == [("1", "a.txt"), ("2", "b.txt")]
    assert all("+++ b/" in one["diff"] for one in every)
    assert root("GET", f"{base}/diff/?phase=2").json()["phases"] == every[1:]
    assert root("GET", f"{base}/diff/?phase=9").status_code == 404

    preview = root("GET", f"{base}/merge/").json()
    assert {"a.txt", "b.txt"} <= set(preview["files_created"]) and preview["refusal"] is None
    shown = {"base": preview["base"], "tip": preview["tip"]}
    moved = root("POST", f"{base}/merge/", shown | {"tip": "0" * 40})
    assert moved.status_code == 409 and not BaseMerge.objects.exists()
    for wrong in ({"method": "squash"}, {"method": []}, {"base": preview["base"]}, {"base": 1, "tip": 2}):
        assert root("POST", f"{base}/merge/", wrong).status_code == 400
    merged = root("POST", f"{base}/merge/", shown | {"method": "ff"}).json()
    assert merged == {"batch_id": done.batch.number, "base_branch": "main", "commit": preview["tip"]}


def test_a_program_asks_for_a_review_and_an_update_of_the_context(world: World, done: Run):
    root, base = Program(builders.make_user("root")), f"/api/batches/{done.batch.number}"
    assert root("POST", f"{base}/review/", {"moment": "never"}).json() == {"error": "moment must be one of: before, after."}
    asked = root("POST", f"{base}/review/", {})
    assert asked.status_code == 202 and asked.json()["operation"] == "review"
    reviewed = world.finish(done.batch.runs.latest("number"))
    assert reviewed.review.moment == "after"  # what fits a batch that was executed
    assert root("POST", f"{base}/context/", {}).json()["operation"] == "update_context"
    assert world.finish(done.batch.runs.latest("number")).state == "succeeded"


def test_a_phase_without_an_attempt_has_an_empty_log_and_no_diff(world: World):
    batch = world.generated(plan(phase("1", files="a.txt", steps=("true",), gates=("`true`",))))
    root, base = Program(builders.make_user("root")), f"/api/batches/{batch.number}"
    assert root("GET", f"{base}/diff/").json()["phases"][0]["diff"] is None
    log = root("GET", f"{base}/phases/1/log/").json()
    assert log["attempt"] is None or log["ended"]
