"""Generate, review, execute, review and update context of the sample plan by command, one after the other; and the autopilot."""

import pytest

from tests.commands.driver import PLANS, phase, plan
from tests.repository_state import check_four_operations, users_own

pytestmark = pytest.mark.engine

SAMPLE = PLANS / "text-statistics.md"


def test_all_four_operations_by_command_leave_the_users_own_as_it_was(alone):
    before = users_own(alone.repository)
    n = alone.generate(SAMPLE)
    judged = alone.run("batch_peer_review", "--batch", str(n), "--before").stdout
    assert "Verdict: Approved" in judged and f"Report: PRPs/reviews/batch-{n}-review.md on ce/batch-{n}" in judged
    planned = alone.execute(n, "--dry-run").stdout
    assert "stage by stage" in planned and "with --scheduling dataflow" in planned
    assert "succeeded, 4 of 4 phases done" in alone.execute(n).stdout
    assert "Verdict: Approved" in alone.run("batch_peer_review", "--batch", str(n), "--after").stdout
    told = alone.run("batch_update_context", "--batch", str(n)).stdout
    assert "Context: proposed" in told and "CLAUDE.md" in told
    check_four_operations(alone.repository, n, accepted=False)
    assert users_own(alone.repository) == before


def test_an_autopilot_that_stops_says_where_and_why_and_goes_on_when_asked_again(alone):
    gates = "- [ ] `true`\n- [ ] `true`\n- [ ] `test -f GO_AHEAD`"
    text = plan("Held up", phase("1", "true").replace("- [ ] `true`", gates))
    path = alone.installation.directory / "held-up.md"
    path.write_text(text)
    stopped = alone.run("batch_autopilot", str(path), code=1)
    assert "Autopilot: stopped at execute. Run 3 (execute) failed: 1." in stopped.stdout
    n = int(stopped.stdout.split("Batch ")[1].split(":")[0])
    assert f"manage.py batch_autopilot --batch {n}" in stopped.stdout
    alone.commit("GO_AHEAD")
    went_on = alone.run("batch_autopilot", "--batch", str(n))
    assert "Autopilot: finished. The update of the context waits for your decision." in went_on.stdout
    for step in ("generate", "review before", "execute", "review after", "update context"):
        assert f"[{step}] run " in stopped.stderr + went_on.stderr
    assert alone.attempts(n) == {"1": 2}
    again = alone.run("batch_autopilot", "--batch", str(n), "--leave", code=1)
    assert f"Batch {n} is not on autopilot" in again.stderr
