"""The main job as a person does it: a real Chromium on a whole installation, agents as real processes."""

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.commands.driver import PLANS, Driver, phase, plan
from tests.installation import Installation
from tests.patience import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.engine]

RUN_MS = 90_000  # a whole sample run, on a machine that is busy with other things

# What each stage said over time, and whether this very page was there all along.
WATCH_STAGES = """() => {
  window.seen = [];
  const look = () => {
    const now = [...document.querySelectorAll("details.stage > summary .pill")].map((pill) => pill.dataset.state).join(" ");
    if (window.seen.at(-1) !== now) window.seen.push(now);
  };
  look();
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, attributes: true});
}"""


@dataclass
class Session:
    """A tab of a signed-in person, with everything that went wrong in it and every page it went to."""

    installation: Installation
    page: Page
    faults: list[str] = field(default_factory=list)
    visited: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.installation.url + path)
        return self.page

    @property
    def batch(self) -> int:
        return int(re.search(r"/batches/(\d+)/", self.page.url).group(1))

    @property
    def driver(self) -> Driver:
        return Driver(self.installation)

    def execute(self, source: Path | str) -> Page:
        """Choose a plan file, keep it, press Execute, confirm; the page of the new batch."""
        page = self.go("/plans/new/")
        file = source if isinstance(source, Path) else {"name": "plan.md", "mimeType": "text/markdown", "buffer": source.encode()}
        page.get_by_label("File", exact=True).set_input_files(file)
        expect(page.locator("#preview")).to_contain_text("No errors.")
        page.get_by_role("button", name="Save this plan").click()
        page.get_by_role("link", name="Execute…").click()
        page.get_by_role("button", name=re.compile("^Execute ")).click()
        page.wait_for_url("**/batches/*/")
        return page

    def expect_state(self, word: str) -> None:
        expect(self.page.locator("#head .pill-l")).to_have_text(re.compile(word), timeout=RUN_MS)

    def expect_ended(self, word: str) -> None:
        """The execute run has ended so, and its report is there."""
        expect(self.page.locator("#report")).to_contain_text(f"Execute: {word}", timeout=RUN_MS)
        self.expect_state(word)


def watched(context: BrowserContext, installation: Installation) -> Session:
    context.add_init_script(
        "document.addEventListener('securitypolicyviolation',"
        " event => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))"
    )
    session = Session(installation, context.new_page())
    page, ours = session.page, urlsplit(installation.url).netloc
    page.on("request", lambda request: urlsplit(request.url).netloc == ours or session.faults.append(f"foreign: {request.url}"))
    page.on("console", lambda message: message.type == "error" and session.faults.append(message.text))
    page.on("pageerror", lambda error: session.faults.append(str(error)))
    page.on("framenavigated", lambda frame: frame == page.main_frame and session.visited.append(frame.url))
    return session


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Iterator[Installation]:
    place = tmp_path_factory.mktemp("browser") / "installation"
    made = Installation(place, CE_POLL_SECONDS="0.3", CE_SANDBOX="rlimit")  # steps wait for a file outside
    try:
        made.bootstrap()
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def cookies(browser: Browser, installation: Installation) -> Path:
    """Who signed in once by the printed link: a link signs in once, and a browser goes on being signed in."""
    context = browser.new_context()
    context.set_default_timeout(30_000 * PATIENCE)
    session = watched(context, installation)
    session.page.goto(installation.sign_in_link)
    session.page.get_by_role("button", name="Sign in").click()
    expect(session.page.get_by_role("link", name="Try the sample")).to_be_visible()
    kept = installation.directory / "cookies.json"
    context.storage_state(path=kept)
    assert not session.faults
    context.close()
    return kept


@pytest.fixture
def session(browser: Browser, installation: Installation, cookies: Path) -> Iterator[Session]:
    context = browser.new_context(storage_state=cookies, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000 * PATIENCE)
    session = watched(context, installation)
    yield session
    context.close()
    assert not session.faults


def test_sample_plan_is_uploaded_executed_and_followed_to_its_end_without_a_reload(session):
    page = session.go("/plans/new/")
    page.get_by_label("File", exact=True).set_input_files(PLANS / "text-statistics.md")
    expect(page.locator("#preview")).to_contain_text("No errors. 4 phases in 3 stages.")
    for stage in ("Stage 1", "Stage 2", "Stage 3"):
        expect(page.locator("#preview svg")).to_contain_text(stage)
    page.get_by_role("button", name="Save this plan").click()
    page.get_by_role("link", name="Execute…").click()
    expect(page.locator("main")).to_contain_text("13 of 14 gates")
    page.get_by_role("button", name=re.compile("^Execute ")).click()
    page.wait_for_url("**/batches/*/")

    page.evaluate(WATCH_STAGES)
    visits = len(session.visited)
    session.expect_ended("succeeded")
    assert len(session.visited) == visits, "the page was never loaded again"
    seen = page.evaluate("window.seen")
    assert seen[-1] == "succeeded succeeded succeeded"
    assert [one for one in seen if re.fullmatch("succeeded running (queued|planned)", one)], seen
    assert [one for one in seen if re.fullmatch("succeeded succeeded running", one)], seen

    report = page.locator("#report")
    expect(report).to_contain_text("4 of 4 phases done")
    expect(report).to_contain_text("Phase 3: Command line and documentation (success")
    number = session.batch
    session.go("/metrics/")
    row = page.locator("#figure-duration tbody tr", has=page.locator(f"a[href='/batches/{number}/']"))
    expect(row).to_contain_text("Text statistics")
    expect(row).to_contain_text("succeeded")
    session.go("/metrics/?section=tokens")
    expect(page.locator("#figure-tokens")).to_contain_text("No attempt has reported tokens")


def test_failed_gate_is_shown_fixed_and_tried_again_with_the_first_attempt_kept(session):
    page = session.execute(PLANS / "release-needs-approval.md")
    session.expect_ended("failed")
    attention = page.locator("#attention")
    expect(attention).to_contain_text("Needs attention")
    expect(attention).to_contain_text("Somebody has approved the release")
    expect(attention).to_contain_text("exit code 1")
    number = session.batch

    page.get_by_role("link", name="Approved version").first.click()
    expect(page.locator("main")).to_contain_text("Failed at gate 3 of 7: python tools/release_check.py gave exit code 1")
    expect(page.locator("#phase-body")).to_contain_text("To approve it, commit your name on the main branch")

    session.driver.commit("RELEASE_APPROVAL", "Ada\n")
    session.go(f"/batches/{number}/")
    page.locator("#attention").get_by_role("button", name="Retry Approved version").click()
    session.expect_ended("succeeded")
    expect(page.locator("#report")).to_contain_text("3 of 3 phases done")
    expect(page.locator("#attention")).to_have_text("")

    session.go(f"/batches/{number}/phases/2/?tab=attempts")
    rows = page.locator("#phase-body tbody tr")
    expect(rows.filter(has_text="execute")).to_have_count(2)
    first = rows.filter(has=page.get_by_role("link", name="#1")).filter(has_text="execute")
    expect(first).to_contain_text("failed")
    expect(first).to_contain_text("Somebody has approved the release")
    first.get_by_role("link", name="#1").click()
    page.get_by_role("link", name="Gates").click()
    expect(page.locator("main")).to_contain_text("Failed at gate 3 of 7")
    assert session.driver.attempts(number) == {"1": 1, "2": 2, "3": 1}


def test_phases_that_change_the_same_file_are_announced_and_the_collision_names_the_files(session):
    page = session.go("/plans/new/")
    page.get_by_label("File", exact=True).set_input_files(PLANS / "file-conflict.md")
    announced = page.locator("#preview section", has_text="File conflicts")
    expect(announced).to_contain_text("CHANGELOG.md")
    expect(announced).to_contain_text("textstats/counting.py")
    expect(announced).to_contain_text("+ 1 h")
    session.execute(PLANS / "file-conflict.md")
    session.expect_ended("failed")
    expect(page.locator("#attention")).to_contain_text("CHANGELOG.md, textstats/counting.py")
    expect(page.locator("#conflicts tr[id^='conflict-']", has_text="CHANGELOG.md")).to_contain_text("yes")
    page.get_by_role("button", name="Retry failed (1)").click()
    session.expect_ended("succeeded")


def test_cycle_is_shown_as_a_path_with_its_line_and_cannot_be_executed(session):
    page = session.go("/plans/new/")
    page.get_by_label("File", exact=True).set_input_files(PLANS / "cycle.md")
    errors = page.locator("#preview .attention")
    expect(errors).to_contain_text("1 → 3 → 2 → 1")
    expect(errors.get_by_role("link", name="Line 14")).to_be_visible()
    page.get_by_role("button", name="Save this plan").click()
    expect(page.locator("main")).to_contain_text("1 → 3 → 2 → 1")
    expect(page.get_by_role("link", name=re.compile("Execute"))).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("Execute"))).to_have_count(0)
    page.goto(page.url + "execute/")
    expect(page.locator(".messages")).to_contain_text("This plan has errors; fix them first.")


def running_with(word: str) -> list[int]:
    """The processes that have this word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended meanwhile
    return found


def test_cancel_ends_every_process_of_the_batch(session):
    word = f"300.{uuid4().int % 10**9:09d}"
    sleepers = f"(setsid sleep {word} & sleep {word} & sleep {word})"
    page = session.execute(plan("Endless", phase("1", sleepers), phase("2", sleepers), phase("3", "true", after="Phase 1")))
    session.installation.wait(lambda: len(running_with(f"sleep\0{word}")) == 6, 30, "both phases run three sleepers each")
    expect(page.locator("#head")).to_contain_text("execute run")
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel the batch").click()
    session.expect_ended("cancelled")
    assert running_with(word) == []
    assert session.driver.statuses(session.batch) == {"1": "cancelled", "2": "cancelled", "3": "cancelled"}


def test_cluster_killed_during_a_run_is_replaced_while_the_page_and_the_run_go_on(session):
    gate = session.installation.directory / f"go-{uuid4().hex}"
    wait = f"for i in $(seq 600); do test -e {gate} && break; sleep 0.1; done; test -e {gate}"
    page = session.execute(plan("Long", phase("1", f"({wait})"), phase("2", "true", after="Phase 1")))
    session.driver.wait_for_beat(session.batch, "1")
    expect(page.locator("#stage-1")).to_contain_text("running", timeout=RUN_MS)
    visits = len(session.visited)
    parent = session.installation.supervised("cluster")[0]
    os.kill(parent, signal.SIGKILL)
    session.installation.wait(lambda: parent not in session.installation.processes(), 10, "the cluster is gone")
    gate.touch()
    session.expect_ended("succeeded")
    assert len(session.visited) == visits
    assert session.driver.attempts(session.batch) == {"1": 1, "2": 1}


def test_sign_in_link_is_used_up_and_says_so(browser, installation, cookies):
    context = browser.new_context()
    context.set_default_timeout(30_000 * PATIENCE)
    page = context.new_page()
    assert page.goto(installation.sign_in_link).status == 410
    expect(page.locator("main")).to_contain_text("This link is used up")
    context.close()


def test_administration_shows_the_batches_and_asks_for_nothing_that_is_not_there(session):
    page = session.go("/admin/")
    page.get_by_role("link", name="Tasks").first.click()
    expect(page.locator("#content")).to_contain_text("Select task")
