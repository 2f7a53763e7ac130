"""A night without a person: the network goes, a limit is met, gates fail, an agent asks. The batch ends finished and tells it all."""

import re
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest

from batches.engine.ticker import ticker_lock
from batches.models import Run
from tests.batches.world import World, phase, plan
from tests.chaos.forwarder import Forwarder
from tests.patience import PATIENCE
from tests.subagents.messages_api import Refused, Reply, Tool, Turn, messages_api, said, write
from tests.subagents.scenarios import finished

pytestmark = [pytest.mark.process, pytest.mark.long]

NIGHT_SECONDS = 240.0 * PATIENCE
KEYS = ("1", "2", "3", "4")


def prose(key: str) -> str:
    text = phase(key, needs="Phase 1, Phase 2, Phase 3" if key == "4" else "None", gates=(f"`grep -qx done part-{key}.txt`",))
    return text.replace("**Validation Gates**:", f"1. Write the file part-{key}.txt\n\n**Validation Gates**:")


class Model:
    """What the agents' model does in that night; the network goes with the first request of phase 4."""

    def __init__(self, network: Forwarder) -> None:
        self.network, self.gone, self.answers = network, False, Counter[str]()

    def __call__(self, turn: Turn) -> Reply | Refused:
        *_, key, attempt = turn.cwd.rpartition("/")[2].split("-")  # batch-1-run-2-KEY-1
        if (key, attempt) == ("3", "1"):
            return Refused(429, "rate_limit_error", "Too many requests")
        if key == "4" and not self.gone:
            self.gone = True
            self.network.refuse()
            return said()
        self.answers[turn.cwd] += 1
        text = "to do\n" if (key, attempt) == ("2", "1") else "done\n"
        steps = [said(write(f"{turn.cwd}/part-{key}.txt", text)), said(finished(steps=(1,)))]
        if key == "1":
            steps.insert(0, said(Tool("mcp__ce__ask_person", {"question": "Which word?", "suggested_answers": ["done", "over"]})))
        return steps[min(self.answers[turn.cwd], len(steps)) - 1]


def test_a_night_with_an_outage_a_limit_failed_gates_and_a_question_ends_finished_and_is_told(world: World, settings, monkeypatch):
    batch = world.generated(plan(*map(prose, KEYS)))  # phase 4 takes the network away, so it comes after the others
    with messages_api({}) as api:
        where = urlsplit(api.address)
        network = Forwarder(str(where.hostname), int(where.port or 0))
        api.scenarios["night"] = Model(network)
        settings.CE_API_BASE_URL, settings.CE_HOST = f"http://127.0.0.1:{network.port}", world.ticker.host
        settings.CE_RATE_LIMIT_SECONDS, settings.CE_SANDBOX = 1.0, "auto"
        monkeypatch.setenv("ANTHROPIC_API_KEY", "fake-night")
        world.project.backend, world.project.model, world.project.answer_minutes = "claude", "haiku", 0
        world.project.save()
        run = world.execute(batch, max_parallel=2)
        until, lost = time.monotonic() + NIGHT_SECONDS, True
        with ticker_lock():
            while not Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists():
                assert time.monotonic() < until, Run.objects.get(pk=run.pk).put_off_words
                world.ticker.round()
                world.ticker.wait(0.05)
                if lost and Run.objects.get(pk=run.pk).trouble == "unreachable":
                    network.accept()
                    lost = False
    run.refresh_from_db()
    assert run.state == "succeeded" and not lost, run.report
    told = re.sub(r"\d\d:\d\d:\d\d ", "", run.report)
    for part in (
        "attempt 1: asked “Which word?”; default answer: Nobody has answered in time. Decide yourself what fits the plan best.",
        'attempt 1: failed, to be repaired: gate 1 "`grep -qx done part-2.txt`" failed',
        "attempt 2: Repair 1 of 2 after gate 1: succeeded",
        "attempt 1: put off: the API accepts no requests and does not say until when (429)",
        "put off: 127.0.0.1 cannot be reached",
        "for the machine or the network",
        "4 of 4 phases done",
    ):
        assert part in told, run.report
