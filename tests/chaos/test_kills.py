"""SIGKILL at random, to everybody: nothing is lost, done twice at once, merged twice, stuck, or left behind.

CE_CHAOS_KILLS says how many (32), CE_CHAOS_SEED which (printed; another each time when it is not set).
"""

import os
import random
import time

import pytest

from tests.chaos.checks import faults
from tests.chaos.site import Site

pytestmark = [pytest.mark.chaos, pytest.mark.engine]

ROLES = ("worker", "pusher", "monitor", "sentinel", "parent", "wrapper", "runner", "shell", "web", "launcher")
LAYERS = (5, 5, 5, 5)
RECOVERY_SECONDS = 90.0  # all runs must end within this after the last kill: their own work, and a pause before a restart


def order_of_deaths(count: int, chance: random.Random) -> list[str]:
    """Every role in turn, each turn shuffled, and once everything at the same time."""
    order: list[str] = []
    while len(order) < count - 1:
        order += chance.sample(ROLES, len(ROLES))
    order = order[: count - 1]
    order.insert(chance.randrange(len(order) // 2, len(order)), "everything")
    return order


@pytest.mark.timeout(1680)
def test_random_kills_lose_nothing_double_nothing_and_leave_nothing(site: Site):
    seed = int(os.environ.get("CE_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    kills = int(os.environ.get("CE_CHAOS_KILLS") or 32)
    print(f"CE_CHAOS_SEED={seed} CE_CHAOS_KILLS={kills}")
    chance = random.Random(seed)
    site.start()
    batches: list[int] = []
    began = time.monotonic()
    story: list[str] = []

    def note(text: str) -> None:
        story.append(f"{time.monotonic() - began:6.1f} s  {text}")

    def start_batch() -> None:
        batches.append(site.start_batch(site.audited_plan(len(batches) + 1, LAYERS, chance)))
        note(f"batch {batches[-1]} started")

    def go_on(batches_at_once: int = 2) -> bool:
        """Keep everything going; True when no run is going any more."""
        site.keep_up()
        live = [number for number in batches if not site.execution_state(number)]
        for number in live:
            if stuck := site.stuck(number):
                raise AssertionError(f"{stuck}\n" + "\n".join(story) + "\n" + site.log[-6000:])
        if len(live) < batches_at_once:
            start_batch()
        return not live

    for role in order_of_deaths(kills, chance):
        go_on()
        pause = chance.uniform(0.1, 1.2)
        until = time.monotonic() + pause
        while time.monotonic() < until:
            time.sleep(0.05)
            go_on()

        def found(role: str = role):
            go_on()
            return site.victim(role, chance)

        victim = site.wait(found, 40, f"there is a {role} to kill, after:\n" + "\n".join(story))
        site.kill(victim)
        note(f"killed {role} {victim.pids[0]}")
    print("\n".join(story))
    site.wait(lambda: go_on(0), RECOVERY_SECONDS, "all runs have ended, after:\n" + "\n".join(story))
    note("all runs have ended")
    assert site.stop() == 0, site.log[-3000:]
    site.wait(lambda: not site.everything(), 2, "nothing is left running")
    wrong = faults(site, site.dump())
    restarts = site.query("SELECT count(*) FROM batches_attempt WHERE outcome = 'failed'")[0][0]
    print(f"{len(batches)} runs of {sum(LAYERS)} phases, {kills} kills, {restarts} attempts restarted, {time.monotonic() - began:.0f} s")
    assert not wrong, "\n".join([*wrong, *story])
