"""Every page, in both themes and on a phone: axe finds nothing, nothing leaves this machine, nothing overflows."""

import pytest

from batches.models import Batch
from tests.batches import builders
from tests.browser.axe import violations
from tests.browser.screenshots import build_rows

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


# Pages that only a form leads to: (address, field to fill, button).
SHOWN_ONCE = (("/users/", "id_name", "Add"), ("/account/", "id_name", "Create token"))


@pytest.mark.timeout(2400)
def test_axe_finds_nothing_on_any_page_and_none_is_wider_than_a_phone(open_tab):
    shots = {shot.path: shot.name for shot in build_rows() if shot.signed_in}
    tab = open_tab()
    tab.expected += ["503", "404"]  # the health page with a host that is lost, and the page that is not there
    found, wide = {}, {}
    for path, name in shots.items():
        page = tab.open(path)
        page.set_viewport_size({"width": 390, "height": 844})
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            wide[name] = width
        page.set_viewport_size({"width": 1280, "height": 860})
        page.evaluate("document.querySelectorAll('details:not(.menu)').forEach(one => { one.open = true; })")
        if (draw := page.locator("a[hx-target='#graph-box'], button[hx-target='#graph-box']")).count():
            draw.click()
        if page.locator("details#graph-box, #graph-box:has([hx-target])").count():
            page.locator("#graph-box .graph").wait_for()
        if faults := violations(page):
            found[name] = faults
    for path, field, button in SHOWN_ONCE:
        page = tab.open(path)
        page.locator(f"#{field}").fill("made-by-the-walk")
        page.get_by_role("button", name=button, exact=True).click()
        page.locator("#secret").wait_for()
        if faults := violations(page):
            found[button] = faults
    assert not found and not wide


def test_axe_finds_nothing_before_the_sign_in(open_tab):
    tab = open_tab(signed_in=False)
    tab.expected += ["410"]
    assert not violations(tab.open("/sign-in/"))
    assert not violations(tab.open("/sign-in/MQ/used-up/"))


def test_the_chosen_theme_is_there_at_the_first_paint_of_the_next_page(open_tab):
    tab = open_tab(theme="light")
    page = tab.open("/batches/")
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Dark").click()
    page.goto(tab.address + "/plans/")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"


SHIFTS = """window.shifted = [];
new PerformanceObserver((list) => list.getEntries().forEach((one) => shifted.push(one.value)))
  .observe({type: 'layout-shift', buffered: true});"""


def test_nothing_moves_once_the_script_is_there(open_tab):
    builders.running_batch()
    tab = open_tab()
    tab.page.add_init_script(SHIFTS)
    for path in ("/batches/", "/batches/1/"):
        page = tab.open(path)
        page.locator("html.js").wait_for()
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate("shifted.reduce((sum, one) => sum + one, 0)") < 0.005, path


def test_hostile_text_runs_nothing(open_tab):
    builders.failed_batch(title="<img src=x onerror=alert(1)>\"'><script>alert(2)</script>")
    tab = open_tab()
    asked = []
    tab.page.on("dialog", lambda dialog: asked.append(dialog.message))
    for path in ("/batches/", "/batches/1/", "/batches/1/graph/", "/batches/1/phases/2a/"):
        tab.open(path)
    assert not asked
    assert Batch.objects.get().title in tab.open("/batches/1/").locator("h1").inner_text()


def test_ctrl_k_goes_anywhere_and_does_what_the_page_offers_by_keys_alone(open_tab):
    batch = builders.failed_batch(title="Word counts")
    tab = open_tab()
    page = tab.open("/metrics/")
    page.keyboard.press("Control+k")
    page.keyboard.type("word co")
    page.locator("#palette-found .found[aria-selected=true]", has_text="Word counts").wait_for()
    assert not violations(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/batches/{batch.number}/")
    page.keyboard.press("Control+k")
    page.keyboard.type("2a")  # on a batch's page its own phases
    page.locator("#palette-found .found[aria-selected=true]", has_text="2a").wait_for()
    page.keyboard.press("Escape")
    page.locator("#palette").wait_for(state="hidden")
    page.keyboard.press("Control+k")
    page.locator("#palette-found .found", has_text="Retry").first.wait_for()
    page.keyboard.press("Enter")  # nothing is chosen before a word is typed, so nothing is retried
    page.keyboard.type("kept work")
    page.keyboard.press("Enter")  # before the list has come: it goes where the list of these words begins
    page.wait_for_url(f"**/batches/{batch.number}/kept/")
