"""The timeline of a batch of 500 phases: read by keys alone, wider and narrower, on a phone."""

import pytest
from playwright.sync_api import expect

from tests.batches import builders
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_timeline_of_500_phases_is_read_by_keys_and_fits_a_phone(open_tab):
    batch = builders.wide_batch(500)
    page = open_tab().open(f"/batches/{batch.number}/")
    page.locator("#timeline-box > summary").click()
    rows = page.locator(".plot-stage .plot-name a")
    expect(rows).to_have_count(208)  # 199 are done, 8 run, and the first stage
    assert page.locator(".plot [tabindex='0']").count() == 1
    page.locator("#timeline-stage-1 > summary").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent").split()[0] == "2.2"
    words = page.locator(".plot-name a:focus .plot-words")
    expect(words).to_have_css("opacity", "1")
    assert "attempt 1: succeeded" in words.inner_text()
    page.get_by_role("link", name="Wider").click()
    expect(page.locator(".plot")).to_have_attribute("data-zoom", "2")
    box = page.locator(".plot-box")
    assert box.evaluate("box => box.scrollWidth > 1.8 * box.clientWidth")
    page.get_by_role("link", name="Narrower").click()
    expect(page.locator(".plot")).to_have_attribute("data-zoom", "1")
    assert not violations(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and box.evaluate("box => box.scrollWidth <= box.clientWidth")
    assert rows.last.evaluate("row => row.scrollWidth <= row.clientWidth"), "titles are whole"
