"""All four operations on the sample project in a real browser: live on one page, stopped by nobody, accepted by a person."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.test_journey import WITHIN_MS, sign_in
from tests.installation import ROOT, Installation
from tests.repository_state import check_four_operations, git, users_own

pytestmark = [pytest.mark.browser, pytest.mark.engine]

# Every word that the batch's own pill has shown, in order; a reload would begin a new list.
WATCH = """
window.words = [];
new MutationObserver(() => {
  const word = document.querySelector("#head .pill-l")?.textContent.trim();
  if (word && word !== window.words.at(-1)) window.words.push(word);
}).observe(document.body, {childList: true, subtree: true, characterData: true});
"""


def test_the_autopilot_carries_the_sample_plan_through_all_operations_on_one_live_page(browser: Browser, installation: Installation):
    before = users_own(installation.repository)
    page = sign_in(browser, installation)
    page.goto(f"{installation.url}/plans/new/")
    page.locator("#id_file").set_input_files(ROOT / "examples" / "plans" / "text-statistics.md")
    expect(page.get_by_text("No errors.")).to_be_visible()
    page.get_by_role("button", name="Save this plan").click()
    page.get_by_role("link", name="Execute…").click()
    expect(page.locator("#saving")).to_contain_text("at once")
    page.get_by_role("button", name="Autopilot", exact=True).click()
    page.wait_for_url("**/batches/*/")
    n = int(re.search(r"/batches/(\d+)/", page.url).group(1))
    page.evaluate(WATCH)

    card = page.locator("#autopilot")
    expect(card).to_contain_text("The update of the context waits for your decision.", timeout=WITHIN_MS)
    expect(card).to_contain_text("finished")
    assert len(page.evaluate("window.words")) >= 2, "the operations followed one another on the page, without a reload"
    expect(page.locator("#report")).to_contain_text("4 of 4 phases done")

    page.get_by_role("link", name="Review", exact=True).click()
    expect(page.locator("main")).to_contain_text("Approved")
    check_four_operations(installation.repository, n, accepted=False)

    page.get_by_role("link", name="Context", exact=True).click()
    expect(page.locator("main")).to_contain_text("CLAUDE.md")
    page.get_by_role("button", name=re.compile("Accept")).first.click()
    expect(page.get_by_text(f"Accepted: it is on ce/batch-{n} now.", exact=True)).to_be_visible()
    check_four_operations(installation.repository, n, accepted=True)
    assert git(installation.repository, "log", "-1", "--format=%s", f"ce/batch-{n}").startswith(f"PRP-{n}: Merge context")
    assert users_own(installation.repository) == before
    page.close()
