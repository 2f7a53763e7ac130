"""A whole installation whose parts stand still, are delivered twice, or lose their web server or database for a while."""

import contextlib
import http.client
import http.cookiejar
import os
import random
import re
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from tests.batches.world import phase, plan
from tests.chaos.checks import faults
from tests.chaos.site import Site
from tests.patience import PATIENCE

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(1200)]


@pytest.fixture
def quick(tmp_path) -> Iterator[Site]:
    """An installation that counts three seconds without a heartbeat as silence."""
    made = Site(tmp_path / "installation", CE_SILENCE_SECONDS="3", CE_HEARTBEAT_SECONDS="1", CE_SANDBOX="rlimit")
    try:
        made.prepare()
        yield made
    finally:
        made.remove()


def finished(site: Site, batch: int, seconds: float) -> list[dict]:
    """All rows once the batch's execution has ended and the installation is stopped; nothing may be wrong with them."""
    site.wait(lambda: site.execution_state(batch) or site.stuck(batch), seconds, f"batch {batch} has ended")
    assert not site.stuck(batch), site.stuck(batch) + site.log[-4000:]
    assert site.stop() == 0
    dump = site.dump()
    wrong = faults(site, dump)
    assert not wrong, "\n".join(wrong)
    return dump


def tries(dump: list[dict]) -> set[int]:
    return {len(task["attempts"]) for run in dump for task in run["tasks"]}


def long_phase(site: Site, seconds: float) -> str:
    return site.audited_plan(1, (1, 1), random.Random(1), seconds=(seconds, seconds))


def wait_for_work(site: Site) -> None:
    log = site.audit / "1.log"
    site.wait(lambda: log.exists() and "START" in log.read_text(), 30, "a phase is at work")


def test_ticker_stopped_for_longer_than_the_silence_limit_fails_nothing_that_beats(quick: Site):
    quick.start()
    batch = quick.start_batch(long_phase(quick, 14))
    wait_for_work(quick)
    for _ in range(2):
        ticker = quick.wait(quick.ticker, 10, "somebody is the ticker")
        os.kill(ticker, signal.SIGSTOP)
        time.sleep(5)  # longer than silence, shorter than what the watchdog allows
        os.kill(ticker, signal.SIGCONT)
        quick.wait_for_ticker(10)
    assert tries(finished(quick, batch, 60)) == {1}


def test_ticker_stopped_for_longer_than_the_watchdog_allows_is_replaced_and_nothing_that_beats_fails(quick: Site):
    quick.start()
    batch = quick.start_batch(long_phase(quick, 18))
    wait_for_work(quick)
    ticker = quick.wait(quick.ticker, 10, "somebody is the ticker")
    os.kill(ticker, signal.SIGSTOP)
    quick.wait(lambda: quick.ticker() not in (None, ticker), 40, "another ticker")
    assert tries(finished(quick, batch, 90)) == {1}


def test_everything_stopped_and_continued_as_when_a_machine_sleeps_fails_nothing(quick: Site):
    quick.start()
    batch = quick.start_batch(long_phase(quick, 6))
    wait_for_work(quick)
    stopped = list(quick.everything())
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(8)
    agents = quick.agents()
    for pid in sorted(stopped, key=lambda pid: pid in agents):  # those who judge wake up first
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert tries(finished(quick, batch, 90)) == {1}


def test_slices_delivered_twice_and_in_plenty_do_nothing_twice(site: Site):
    site.start()
    batch = site.start_batch(site.audited_plan(1, (4, 4), random.Random(2)))
    site.shell("from batches.tasks import enqueue_tick\nfor _ in range(30): enqueue_tick()")
    site.shell(
        "from django_q.models import OrmQ\nimport copy\n"
        "for row in list(OrmQ.objects.all()):\n    twin = copy.copy(row); twin.pk = None; twin.save(force_insert=True)"
    )
    assert tries(finished(site, batch, 90)) == {1}


def test_command_that_waits_beside_a_cluster_does_nothing_twice(site: Site):
    site.start()
    text = site.directory / "plan.md"
    text.write_text(site.audited_plan(1, (4, 4), random.Random(3)))
    done = site.manage("batch_gen_prp", str(text))
    assert "Batch 1 Generated:" in done.stdout
    done = site.manage("batch_exe_prp", "--batch", "1", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tries(finished(site, 1, 30)) == {1}


class Browser:
    """Just enough of one: cookies, forms, the token."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str) -> str:
        with self.opener.open(self.site.url + path, timeout=20 * PATIENCE) as answer:
            return answer.read().decode()

    def post(self, path: str, **fields: str) -> int:
        """The status of the answer, after redirects."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(path))
        assert token, f"no form at {path}"
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token.group(1), **fields}).encode()
        request = urllib.request.Request(self.site.url + path, data, {"Referer": self.site.url + path})
        with self.opener.open(request, timeout=20 * PATIENCE) as answer:
            return answer.status


def test_web_killed_during_a_post_leaves_a_whole_batch_or_none(site: Site):
    site.start()
    browser = Browser(site)
    assert browser.post("/sign-in/", username="admin", password=site.password) == 200
    text = plan(phase("1", steps=("mkdir -p parts; echo 1 > parts/1.txt",), files="parts/1.txt"))
    pk = int(
        site.shell(
            "from batches.plans.versions import import_plan; from batches.accounts.actor import Actor; from batches.models import Project; "
            f"print(import_plan(text={text!r}, file_name='p.md', project=Project.objects.get(), actor=Actor.command('x')).pk)"
        )
    )
    project = site.query("SELECT id FROM batches_project")[0][0]
    chance = random.Random(4)
    answered = 0
    for _ in range(10):
        site.wait(site.answers, 30, "the site answers")
        time_to_live = chance.uniform(0.05, 1.2)
        outcome: list[int] = []

        def press(outcome: list[int] = outcome) -> None:
            with contextlib.suppress(OSError, urllib.error.URLError, http.client.HTTPException, AssertionError):
                outcome.append(browser.post(f"/plans/{pk}/execute/", project=str(project), on_conflict="warn"))

        finger = threading.Thread(target=press)
        finger.start()
        time.sleep(time_to_live)
        for victim in site.supervised("web"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        finger.join(40 * PATIENCE)
        answered += bool(outcome)
    site.wait(site.answers, 30, "the site answers")
    assert browser.post(f"/plans/{pk}/execute/", project=str(project), on_conflict="warn") == 200
    count = site.query("SELECT count(*) FROM batches_batch")[0][0]
    print(f"{answered} of 10 answered, {count} batches")
    assert count >= answered + 1  # what was acknowledged is there
    executed = "SELECT count(*) FROM batches_run WHERE operation = 'execute' AND reported_at IS NOT NULL"
    site.wait(lambda: site.query(executed)[0][0] == count, 90, "every batch there is has been executed")
    assert site.stop() == 0
    dump = site.dump()
    wrong = faults(site, dump, audited=False)
    assert not wrong, "\n".join(wrong)


def test_database_that_drops_every_connection_again_and_again_delays_and_loses_nothing(site: Site):
    if not site.database_url.startswith("postgres"):
        return  # SQLite has no connections to drop; the file is there or it is not
    import psycopg

    site.start()
    batch = site.start_batch(site.audited_plan(1, (4, 4, 4), random.Random(5)))
    address = urllib.parse.urlsplit(site.database_url)
    name, server = address.path.strip("/"), urllib.parse.urlunsplit(address._replace(path="/postgres"))
    until = time.monotonic() + 12
    with psycopg.connect(server, autocommit=True) as c:
        while time.monotonic() < until:
            c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            time.sleep(0.1)
        c.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        time.sleep(7)
        c.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert tries(finished(site, batch, 90)) == {1}
