"""SIGKILL to wrappers, runners, agents' programs and the cluster while Claude works: nothing outlives its attempt, nothing is
done twice, and what it cost is counted once.

CE_AGENT_KILLS says how many (6), CE_CHAOS_SEED which (printed; another each time when it is not set).
"""

import contextlib
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.checks import faults
from tests.chaos.site import Site, Victim
from tests.subagents.messages_api import Reply, Turn, bash, messages_api, said, usage_of, write
from tests.subagents.scenarios import finished

pytestmark = [pytest.mark.chaos, pytest.mark.engine]

ROLES = ("wrapper", "runner", "program", "cluster")
PHASES = 6
GONE_SECONDS = 2.0  # after which nothing of a killed attempt may live; a busy machine is given five times as long
RECOVERY_SECONDS = 200.0
PHASE = """
### Phase {key}: Part {key}

**Goal**: Do part {key}
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: parts/{key}.txt
**Dependencies**: None
**Implementation Steps**:
1. Write parts/{key}.txt

**Validation Gates**:
- [ ] `test -s parts/{key}.txt`
"""


class Model:
    """The agents' model, and what it knows of them: what each attempt was charged, by its checkout, and who asked when."""

    def __init__(self) -> None:
        self.charged: dict[str, int] = defaultdict(int)
        self.asked: list[str] = []

    def __call__(self, turn: Turn) -> Reply:
        key = turn.cwd.rpartition("/")[2].split("-")[4]  # batch-1-run-2-KEY-1
        work = (bash("setsid sleep 300 & sleep 0.7"), write(f"{turn.cwd}/parts/{key}.txt", f"{key}\n"))
        reply = said(work[turn.number] if turn.number < len(work) else finished(steps=(1,)))
        self.charged[turn.cwd] += sum(usage_of(turn.number, 20 + 7 * len(reply.blocks)).values())
        self.asked.append(turn.cwd)
        return reply

    def doubles(self) -> Iterator[str]:
        """Attempts that asked after a later attempt of the same phase had."""
        latest: dict[str, int] = {}
        for checkout in self.asked:
            task, _, number = checkout.rpartition("-")
            if int(number) < latest.get(task, 0):
                yield f"{checkout} asked after attempt {latest[task]}"
            latest[task] = max(latest.get(task, 0), int(number))


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def site(tmp_path: Path, model: Model) -> Iterator[Site]:
    """An installation whose agents ask that model, in the sandbox that this machine has."""
    with messages_api({"chaos": model}) as api:
        agents = {"ANTHROPIC_API_KEY": "fake-chaos", "ANTHROPIC_BASE_URL": api.address}
        made = Site(tmp_path / "installation", CE_CRASH_RESTARTS="1000", **agents)
        try:
            made.prepare()
            yield made
        finally:
            made.remove()


def found(site: Site, role: str, chance: random.Random) -> Victim | None:
    if role == "cluster":
        pid = site.cluster_member("parent")
    elif role == "program":
        programs = [pid for pid in site.agents() if _comm(pid) == "claude"]
        pid = chance.choice(programs) if programs else None
    else:
        pid = site.agent_member(role, chance)
    return None if pid is None else Victim(role, (pid,))


def _comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def test_killed_agents_leave_nothing_double_nothing_and_cost_what_they_cost(site: Site, model: Model):
    seed = int(os.environ.get("CE_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    kills = int(os.environ.get("CE_AGENT_KILLS") or 6)
    print(f"CE_CHAOS_SEED={seed} CE_AGENT_KILLS={kills}")
    chance = random.Random(seed)
    roles: list[str] = []
    while len(roles) < kills:
        roles += chance.sample(ROLES, len(ROLES))
    site.start("--no-web")
    batches: list[int] = []
    story: list[str] = []
    slowest = 0.0

    def go_on(start: bool = True) -> bool:
        """Have work to kill; True when nothing is going any more."""
        site.keep_up()
        live = [number for number in batches if not site.execution_state(number)]
        for number in live:
            if stuck := site.stuck(number):
                raise AssertionError(f"{stuck}\n" + "\n".join(story) + "\n" + site.log[-6000:])
        if start and not live:
            text = "# Agents\n\n## Phases\n" + "".join(PHASE.format(key=key) for key in range(1, PHASES + 1))
            batches.append(site.start_batch(text, "backend='claude', max_parallel=3"))
        return not live

    def victim(role: str) -> Victim | None:
        go_on()
        return found(site, role, chance)

    for role in roles[:kills]:
        pause = time.monotonic() + chance.uniform(0.1, 1.0)
        site.wait(lambda pause=pause: time.monotonic() > pause, 5, "the pause")
        killed = site.wait(lambda role=role: victim(role), 60, f"there is a {role} to kill, after:\n" + "\n".join(story))
        directory = site.agents().get(killed.pids[0], "")
        began = time.monotonic()
        site.kill(killed)
        story.append(f"killed {role} {killed.pids[0]} {directory}")
        if directory:
            gone = lambda directory=directory: directory not in site.agents().values()  # noqa: E731
            site.wait(gone, 5 * GONE_SECONDS, f"nothing of {directory} lives:\n" + "\n".join(story))
            slowest = max(slowest, time.monotonic() - began)
    site.wait(lambda: go_on(start=False), RECOVERY_SECONDS, "all runs have ended, after:\n" + "\n".join(story))
    assert site.stop() == 0, site.log[-3000:]
    site.wait(lambda: not site.everything(), 5 * GONE_SECONDS, "nothing is left running")
    wrong = [*faults(site, site.dump(), audited=False), *model.doubles(), *money(site, model)]
    print("\n".join(story))
    restarts = site.query("SELECT count(*) FROM batches_attempt WHERE outcome = 'failed'")[0][0]
    print(f"{len(batches)} runs of {PHASES} phases, {kills} kills, {restarts} attempts restarted, all gone {slowest:.2f} s after a kill")
    assert not wrong, "\n".join([*wrong, *story])


def money(site: Site, model: Model) -> Iterator[str]:
    """A success has what the provider charged for it, to the token; one that was killed what was known by then, and never more."""
    rows = site.query("SELECT checkout, outcome, tokens_used FROM batches_attempt WHERE model <> ''")
    for checkout, outcome, tokens in rows:
        charged = model.charged.get(checkout, 0)
        if (tokens or 0) > charged or (outcome == "succeeded" and tokens != charged):
            yield f"{checkout} ({outcome}) has {tokens} tokens, and {charged} were charged for"
    strangers = set(model.charged) - {checkout for checkout, _, _ in rows}
    yield from (f"{checkout} asked without a row" for checkout in strangers)
