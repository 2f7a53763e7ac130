"""The metrics page in a real browser: marks that say and open what they were counted from, and both themes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from batches.metrics import facts
from batches.models import Batch, RunFact
from tests.batches import builders

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def two_batches() -> Batch:
    for _ in range(2):
        builders.failed_batch(tokens=True)
    facts.rebuild()
    RunFact.objects.update(ended_at=timezone.now() - timedelta(hours=1), seconds=5000)
    return Batch.objects.latest("number")


def test_a_mark_says_what_it_is_to_pointer_and_keys_and_opens_its_source(open_tab):
    batch = two_batches()
    page = open_tab(theme="light").open("/metrics/")
    assert not page.locator("#figure-duration table").is_visible()
    page.locator("#figure-duration summary").click()
    assert page.locator("#figure-duration table").is_visible()
    colour = "getComputedStyle(document.querySelector('#figure-duration .chart text')).fill"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
    first, last = page.locator("#figure-duration a.mark").first, page.locator("#figure-duration a.mark").last
    first.focus()
    assert f"Batch {batch.number - 1}" in page.locator(".chart-tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert f"Batch {batch.number}" in page.locator(".chart-tip").inner_text()
    assert last.get_attribute("tabindex") == "0" and first.get_attribute("tabindex") == "-1", "one stop of the Tab key"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/batches/{batch.number}/")
