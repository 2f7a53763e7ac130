"""The metrics page in a real browser: plots under the strict policy, bars that open their source, both themes, no script at all."""

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


MUTED = {"light": "rgb(85, 94, 109)", "dark": "rgb(163, 173, 187)"}  # --muted of static/css/base.css, the colour of axes


def axis_in(page, theme: str):
    return page.locator(f"#figure-duration .xtick text[style*='{MUTED[theme]}']").first


def test_figures_are_drawn_follow_the_theme_and_open_their_source(open_tab):
    batch = two_batches()
    tab = open_tab(theme="light")
    page = tab.open("/metrics/")
    page.locator("#figure-duration .chart").scroll_into_view_if_needed()  # a figure is drawn when it is looked at
    page.locator("#figure-duration .bars path").first.wait_for(state="attached")
    assert not page.locator("#figure-duration table").is_visible()
    assert page.locator("style").count() == 0, "nothing was written into the page past its policy"
    axis_in(page, "light").wait_for(state="attached")
    page.emulate_media(color_scheme="dark")
    axis_in(page, "dark").wait_for(state="attached")
    page.locator("#figure-duration summary").click()
    assert page.locator("#figure-duration table").is_visible()
    bar = page.locator("#figure-duration .bars .point").last.bounding_box()
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    page.locator(".hoverlayer text").first.wait_for()
    page.mouse.click(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    page.wait_for_url(f"**/batches/{batch.number}/")


def test_without_the_plotting_script_the_tables_are_the_figures(open_tab):
    two_batches()
    tab = open_tab()
    tab.expected += ["net::ERR_FAILED"]
    tab.page.route("**/plotly-*.js", lambda route: route.abort())
    page = tab.open("/metrics/")
    page.locator("#figure-duration table").wait_for()
    assert page.locator(".chart").count() == 0
