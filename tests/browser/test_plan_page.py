"""The plan page as a person uses it: choices, drafts, several files, keyboard alone; axe finds nothing in either theme."""

import re

import pytest
from playwright.sync_api import expect

from batches.models import Plan, PlanDecision
from tests.batches import builders
from tests.batches.world import phase, plan, writes
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CLASH = plan(phase("1", files="a.txt", steps=writes("1")), phase("2", files="a.txt", steps=writes("2")))
SELECTED = "(() => { const t = document.getElementById('id_text'); return t.value.slice(t.selectionStart, t.selectionEnd); })()"


def editor(page):
    return page.get_by_label("Plan in markdown")


def test_a_conflict_is_decided_in_the_preview_its_cost_counts_and_the_choice_is_kept_with_the_plan(open_tab):
    page = open_tab().open("/plans/new/")
    editor(page).fill(CLASH)
    serial = page.get_by_role("radio", name="One after the other (+ 1 h)")
    serial.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("2 h with what runs one after the other")).to_be_visible()
    expect(serial).to_be_checked()
    expect(serial).to_be_focused()
    page.get_by_role("link", name=re.compile("Edit line")).click()
    assert page.evaluate(SELECTED) == "**Files Modified**: a.txt"
    page.get_by_role("button", name="Save this plan").click()
    expect(page.get_by_role("button", name=re.compile("One after the other ✓"))).to_be_visible()
    assert PlanDecision.objects.get().decision == "serialize"
    page.get_by_role("button", name="Run anyway").click()
    expect(page.get_by_role("button", name="Run anyway ✓")).to_be_visible()
    assert list(PlanDecision.objects.values_list("decision", flat=True)) == ["serialize", "warn"]


def test_a_draft_survives_a_reload_and_is_offered_not_forced(open_tab):
    tab = open_tab()
    page = tab.open("/plans/new/")
    editor(page).fill(CLASH)
    page.get_by_role("radio", name="Run anyway").check()
    expect(page.locator("#preview")).to_contain_text("all decided")
    page.reload()
    expect(editor(page)).to_have_value("")
    page.get_by_role("button", name="Continue with the draft").click()
    expect(editor(page)).to_have_value(CLASH)
    expect(page.get_by_role("radio", name="Run anyway")).to_be_checked()
    page.reload()
    page.get_by_role("button", name="Discard it").click()
    page.reload()
    expect(page.locator("#draft-offer")).to_be_hidden()


def test_the_draft_of_one_plan_is_not_offered_for_another_and_is_forgotten_once_saved(open_tab):
    first, other = builders.make_plan(CLASH), builders.make_plan()
    tab = open_tab()
    page = tab.open(f"/plans/{first.pk}/edit/")
    changed = CLASH.replace("A small plan", "A changed plan")
    editor(page).fill(changed)
    expect(page.locator("#draft-note")).to_contain_text("Draft saved")
    page = tab.open(f"/plans/{other.pk}/edit/")
    expect(page.locator("#draft-offer")).to_be_hidden()
    page = tab.open(f"/plans/{first.pk}/edit/")
    page.get_by_role("button", name="Continue with the draft").click()
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".head")).to_contain_text("Version 2")
    assert Plan.objects.get(version=2).text == changed
    page = tab.open(f"/plans/{first.pk}/edit/")
    expect(page.locator("#draft-offer")).to_be_hidden()


def test_a_draft_whose_plan_was_refused_is_still_there(open_tab):
    tab = open_tab()
    tab.expected.append("400")
    page = tab.open("/plans/new/")
    editor(page).fill("   \n")
    page.get_by_role("button", name="Save this plan").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be saved")
    editor(page).fill(CLASH)
    expect(page.locator("#draft-note")).to_contain_text("Draft saved")
    page = tab.open("/plans/new/")
    expect(page.get_by_role("button", name="Continue with the draft")).to_be_visible()


def files(*contents: tuple[str, str]) -> list[dict[str, object]]:
    return [{"name": name, "mimeType": "text/markdown", "buffer": text.encode()} for name, text in contents]


def test_several_chosen_files_are_kept_at_once_with_their_errors(open_tab):
    page = open_tab().open("/plans/new/")
    bad = "# A plan\n\n### Phase 1: Set up\n\n**Goal**: x\n"
    page.locator("#id_file").set_input_files(files(("good.md", CLASH), ("bad.md", bad)))
    expect(page.get_by_role("heading", name="2 of 2 files saved as plans")).to_be_visible()
    page.get_by_role("link", name="Line 3").first.click()
    expect(editor(page)).to_be_focused()
    assert page.evaluate(SELECTED) == "### Phase 1: Set up"


DROP = """([contents]) => {
  const data = new DataTransfer();
  contents.forEach(([name, text]) => data.items.add(new File([text], name, { type: 'text/markdown' })));
  document.getElementById('editor').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def test_one_dropped_file_is_read_into_the_editor_and_several_are_kept(open_tab):
    tab = open_tab()
    page = tab.open("/plans/new/")
    page.evaluate(DROP, [[["one.md", CLASH]]])
    expect(editor(page)).to_have_value(CLASH)
    expect(page.get_by_text("No errors.")).to_be_visible()
    assert not Plan.objects.exists()
    page.evaluate(DROP, [[["one.md", CLASH], ["two.md", CLASH]]])
    expect(page.get_by_role("heading", name="2 of 2 files saved as plans")).to_be_visible()
    assert Plan.objects.count() == 2


def tab_to(page, wanted: str, *, key: str = "Tab", at_most: int = 60) -> None:
    """Press the key until the focused element matches `wanted`; every stop on the way must show its focus."""
    for _ in range(at_most):
        page.keyboard.press(key)
        seen = page.evaluate(
            """wanted => {
              const one = document.activeElement;
              const shows = element => {
                const style = getComputedStyle(element);
                return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
              };
              const node = one.querySelector && one.querySelector('.node-box');
              const lit = node && getComputedStyle(node).strokeWidth === '2px';
              const marked = lit || shows(one) || (one.parentElement && shows(one.parentElement));
              return [one.matches(wanted), marked, one.outerHTML.slice(0, 120)];
            }""",
            wanted,
        )
        assert seen[1], f"no focus to be seen at {seen[2]}"
        if seen[0]:
            return
    raise AssertionError(f"{wanted} was not reached with {at_most} presses of {key}")


@pytest.mark.timeout(1200)
def test_keyboard_alone_writes_repairs_decides_saves_and_gets_to_the_confirmation(open_tab):
    builders.make_project()
    page = open_tab().open("/plans/new/")
    tab_to(page, "#id_text")
    page.keyboard.insert_text(CLASH.replace("**Estimated Hours**: 1\n", "", 1))
    expect(page.get_by_role("heading", name="Errors")).to_be_visible()
    tab_to(page, ".issues a")
    page.keyboard.press("Enter")
    expect(editor(page)).to_be_focused()
    assert page.evaluate(SELECTED).startswith("### Phase 1")
    tab_to(page, ".issues button")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No errors.")).to_be_visible()
    editor(page).focus()
    page.keyboard.press("F6")
    expect(page.locator("#preview")).to_be_focused()
    tab_to(page, ".graph [data-node]")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.node") == "2"
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.dataset.node") == "1"
    tab_to(page, "input[type=radio]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#preview")).to_contain_text("all decided")
    tab_to(page, "#keep", key="Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="A small plan")).to_be_visible()
    tab_to(page, "a[href$='/execute/']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Execute this plan?")).to_be_visible()


def test_the_graph_is_one_stop_of_the_tab_key_and_arrows_go_through_it(open_tab):
    made = builders.make_plan(builders.plan_text(40))
    page = open_tab().open(f"/plans/{made.pk}/")
    assert page.locator(".graph [data-node][tabindex='0']").count() == 1
    page.locator(".graph [data-node]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.column") == "1"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.column") == "4"
    page.keyboard.press("Enter")
    assert re.search(r"#L\d+$", page.url)


@pytest.mark.parametrize("where", ["edit", "kept"])
def test_a_graph_of_500_phases_waits_behind_a_button(open_tab, where):
    made = builders.make_plan(builders.plan_text(500))
    page = open_tab().open(f"/plans/{made.pk}/" + ("edit/" if where == "edit" else ""))
    assert page.locator(".graph").count() == 0
    page.get_by_text("Draw the graph of 500 phases").click()
    expect(page.locator(".graph [data-node]")).to_have_count(500)
    assert page.locator(".graph [data-node][tabindex='0']").count() == 1
    large, box = page.locator(".graph-map svg"), page.locator(".graph")
    size = "document.querySelector('.graph svg').getBoundingClientRect().width"
    expect(large).to_be_visible()
    before = page.evaluate(size)
    page.get_by_role("button", name="100 %").click()
    assert page.evaluate(size) > before
    page.get_by_role("button", name="Fit").click()
    assert page.evaluate("document.querySelector('.graph svg').getBoundingClientRect().height") <= box.bounding_box()["height"]
    expect(large).not_to_be_visible()
    page.get_by_label("Find a phase in the graph").fill("part 437 ")
    expect(page.locator("[data-graph-found]")).to_have_text("1 found")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.node") == "437"


@pytest.mark.timeout(1200)
def test_axe_finds_nothing_on_any_page_of_a_plan_also_on_a_phone(open_tab):
    builders.make_project()
    builders.finished_batch()
    first = builders.make_plan(CLASH)
    second = builders.make_plan(CLASH.replace("A small plan", "A changed plan"), first_version=first, version=2)
    wide = builders.make_plan(builders.plan_text(500))
    faulty = builders.make_plan("# A plan\n\n### Phase 1: Set up\n\n**Goal**: x\n", errors=3)
    paths = [f"/plans/{one.pk}/{tail}" for one in (second, faulty) for tail in ("", "edit/")]
    paths += [f"/plans/{second.pk}/diff/", f"/plans/{second.pk}/checks/", f"/plans/{second.pk}/execute/", f"/plans/{wide.pk}/graph/"]
    paths += ["/plans/new/", f"/plans/{wide.pk}/"]
    tab = open_tab(size=(390, 844))
    found, overflowing = {}, {}
    for path in paths:
        page = tab.open(path)
        if page.locator("#preflight").count():
            expect(page.locator("#preflight .no-js")).to_have_count(0)  # the preflight check has answered
        if faults := violations(page):
            found[path] = faults
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            overflowing[path] = width
    assert not found
    assert not overflowing


def test_no_style_or_script_of_the_pages_is_refused_by_the_policy(open_tab):
    """Faults of the console, policy violations among them, fail the test when its tab closes."""
    made = builders.make_plan(CLASH)
    tab = open_tab()
    for path in (f"/plans/{made.pk}/", f"/plans/{made.pk}/edit/", f"/plans/{made.pk}/diff/"):
        expect(tab.open(path).locator("h1")).to_be_visible()


def test_lines_that_are_not_read_are_dimmed_and_say_why_where_the_cursor_is(open_tab):
    page = open_tab().open("/plans/new/")
    editor(page).fill(builders.plan_text(1) + "\n## Notes\n\n- [ ] Later\n")
    expect(page.locator(".unread-bands > i")).to_have_count(1)
    page.locator("#unread-box summary").click()
    page.locator("#unread-box a").click()
    expect(page.locator("#unread-note")).to_contain_text("is not read. It stands outside every phase.")
