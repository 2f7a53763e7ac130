"""The main job in a real browser on a whole installation: sign in, upload, execute, watch, retry after a fix."""

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.installation import ROOT, Installation
from tests.patience import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.engine]
WITHIN_MS = 150_000


def sign_in(browser: Browser, installation: Installation) -> Page:
    page = browser.new_page()
    page.set_default_timeout(30_000 * PATIENCE)
    page.goto(installation.sign_in_link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Batches", exact=True)).to_be_visible()
    return page


def upload_and_execute(page: Page, installation: Installation, name: str) -> None:
    """From the list to the page of the new batch; the page keeps a mark that a reload would wipe out."""
    page.goto(f"{installation.url}/plans/new/")
    page.locator("#id_file").set_input_files(ROOT / "examples" / "plans" / name)
    expect(page.get_by_text("No errors.")).to_be_visible()
    page.get_by_role("button", name="Save this plan").click()
    page.get_by_role("link", name="Execute…").click()
    page.get_by_role("button", name=re.compile("^Execute ")).click()
    page.wait_for_url(re.compile(r"/batches/\d+/$"))
    page.evaluate("window.kept = true")


@pytest.mark.timeout(1200)
def test_a_plan_is_uploaded_executed_and_watched_to_its_end_without_a_reload(browser, installation):
    page = sign_in(browser, installation)
    upload_and_execute(page, installation, "text-statistics.md")
    expect(page.locator("details.stage[id^='stage-']")).to_have_count(3)
    expect(page.locator("#stage-1 > summary .pill")).to_have_text("✓succeeded", timeout=WITHIN_MS)
    expect(page.locator("h1 + .pill")).to_have_text("✓succeeded", timeout=WITHIN_MS)
    expect(page.get_by_role("heading", name="Report")).to_be_visible()
    assert page.evaluate("window.kept")
    number = re.search(r"/batches/(\d+)/", page.url).group(1)
    page.goto(f"{installation.url}/metrics/")
    expect(page.locator("#figure-duration tbody tr").first.locator("a").first).to_have_attribute("href", f"/batches/{number}/")
    page.close()


@pytest.mark.timeout(1200)
def test_a_failing_gate_is_explained_fixed_retried_and_its_first_attempt_kept(browser, installation):
    page = sign_in(browser, installation)
    upload_and_execute(page, installation, "release-needs-approval.md")
    expect(page.locator("h1 + .pill")).to_have_text("✕failed", timeout=WITHIN_MS)
    expect(page.locator("#attention")).to_contain_text("Approved version")
    page.locator("#attention").get_by_role("link").first.click()
    expect(page.locator(".note").first).to_contain_text("Failed at gate 3 of 7")
    expect(page.locator("#phase-body")).to_contain_text("approv")
    approve(installation.repository)
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("h1 + .pill")).to_have_text("✓succeeded", timeout=WITHIN_MS)
    page.get_by_role("link", name=re.compile("^Attempts")).click()
    outcomes = page.locator("#phase-body tbody tr .pill")
    expect(outcomes).to_contain_text(["succeeded", "failed"])
    page.get_by_role("link", name=re.compile("^Batch ")).click()
    expect(page.locator("h1 + .pill")).to_have_text("✓succeeded", timeout=WITHIN_MS)
    page.close()


def approve(repository: Path) -> None:
    """What the gate's output tells a person to do."""
    git = ["git", "-C", str(repository), "-c", "user.name=A Person", "-c", "user.email=person@localhost"]
    (repository / "RELEASE_APPROVAL").write_text("A Person\n")
    subprocess.run([*git, "add", "RELEASE_APPROVAL"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Approve the release"], check=True)
