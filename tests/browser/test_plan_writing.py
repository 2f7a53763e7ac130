"""Writing a plan by hand as a person does: from a template to a plan that can be executed, with completion by keyboard and by mouse."""

import pytest
from playwright.sync_api import expect

from batches.models import Plan
from batches.plans.read_plan import report_of
from batches.projects.add_project import create_project
from tests.batches.conftest import repository  # noqa: F401 -- a fixture, used by its name
from tests.batches.world import ACTOR, World, phase, plan
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def shop(transactional_db, repository):  # noqa: F811 -- the fixture
    made = World(repository, create_project(name="Shop", repository=str(repository), actor=ACTOR))
    made.commit("pyproject.toml", "[tool.pytest.ini_options]\n")
    made.commit("src/basket.py", "")
    made.commit("src/order.py", "")
    made.commit("tests/test_basket.py", "")
    return made


def editor(page):
    return page.get_by_role("textbox", name="Plan in markdown")


def suggested(page):
    return page.get_by_role("listbox", name="Suggestions").get_by_role("option")


def test_a_new_user_without_a_document_comes_from_a_template_to_a_plan_that_can_be_executed(open_tab, shop):
    page = open_tab().open("/plans/new/")
    page.get_by_label("Kind of work").select_option("Bug fix")
    page.locator("#start_project").select_option("Shop")
    page.get_by_label("What is it about?").fill("Totals are wrong for an empty order")
    page.keyboard.press("Enter")
    expect(page.locator("#preview")).to_contain_text("No errors. 2 phases in 2 stages.")
    expect(page.locator("#id_project")).to_have_value(str(shop.project.pk))
    page.get_by_role("button", name="Save this plan").click()
    expect(page.get_by_role("heading", name="Fix: Totals are wrong for an empty order")).to_be_visible()
    saved = report_of(Plan.objects.get())
    assert (saved.reading.errors, saved.reading.warnings) == ((), ())
    page.get_by_role("link", name="Execute").first.click()
    expect(page.get_by_role("button", name="Execute").first).to_be_enabled()


def test_what_a_template_cannot_know_is_selected_by_its_line_and_gone_once_written(open_tab, shop):
    page = open_tab().open("/plans/new/")
    page.get_by_role("button", name="Start with this template").click()
    errors = page.locator(".attention .issues > li")
    expect(errors.first).to_contain_text("Still to be filled in: what goes wrong")
    before = errors.count()
    errors.first.get_by_role("link", name="Line 1").click()
    page.keyboard.type("# Fix: totals")
    expect(errors).to_have_count(before - 1)


def test_completion_by_keyboard_offers_fields_files_phases_and_commands(open_tab, shop):
    page = open_tab().open("/plans/new/")
    page.locator("#id_project").select_option("Shop")
    editor(page).fill(plan(phase("1", title="Build"), phase("2", title="Check")) + "### Phase 3: Ship\n\n")
    editor(page).press("Control+End")
    page.keyboard.type("Go")
    expect(suggested(page)).to_have_text(["Goal"])
    page.keyboard.press("ArrowDown")
    expect(editor(page)).to_have_attribute("aria-activedescendant", "complete-0")
    page.keyboard.press("Enter")
    page.keyboard.type("Ship it")
    page.keyboard.press("Enter")
    page.keyboard.type("**Dependencies**: ")
    expect(suggested(page)).to_have_text(["None", "Phase 1 Build", "Phase 2 Check"])  # not phase 3, which it is
    page.keyboard.type("2")
    expect(suggested(page)).to_have_text(["Phase 2 Check"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("**Files to create/modify**: s")
    expect(suggested(page)).to_have_text(["src/"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(suggested(page)).to_have_text(["src/basket.py", "src/order.py"])  # a folder goes on
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.keyboard.type("**Validation Gates**:")
    page.keyboard.press("Enter")
    page.keyboard.type("- [ ] The tests pass: `")
    expect(suggested(page)).to_have_text(["python -m pytest -q"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("`")
    assert page.evaluate("document.getElementById('id_text').value.split('### Phase 3: Ship\\n\\n')[1]") == (
        "**Goal**: Ship it\n**Dependencies**: Phase 2\n**Files to create/modify**: src/order.py\n"
        "**Validation Gates**:\n- [ ] The tests pass: `python -m pytest -q`"
    )


def test_suggestions_never_take_a_key_that_was_meant_for_the_text(open_tab, shop):
    page = open_tab().open("/plans/new/")
    editor(page).fill("")
    page.keyboard.type("Co")
    expect(suggested(page)).to_have_text(["Complexity"])
    page.keyboard.press("Enter")  # nothing was chosen
    expect(editor(page)).to_have_value("Co\n")
    expect(suggested(page)).to_have_count(0)
    page.keyboard.type("Co")
    expect(suggested(page)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(suggested(page)).to_have_count(0)
    page.keyboard.press("Control+Space")
    expect(suggested(page).first).to_have_attribute("aria-selected", "true")
    suggested(page).first.click()
    expect(editor(page)).to_have_value("Co\n**Complexity**: ")
    page.keyboard.press("Control+z")
    expect(editor(page)).to_have_value("Co\nCo")
    page.keyboard.press("Tab")
    expect(editor(page)).not_to_be_focused()


def test_a_phase_is_added_with_all_its_fields_and_its_first_place_to_fill_in_is_selected(open_tab, shop):
    page = open_tab().open("/plans/new/")
    editor(page).fill(plan(phase("1")))
    page.get_by_role("button", name="Add a phase").click()
    page.keyboard.type("Ship")
    expect(editor(page)).to_have_value(plan(phase("1")) + "\n" + NEW_PHASE)
    expect(page.locator(".attention .issues > li")).to_have_count(4)


NEW_PHASE = """### Phase 2: Ship

**Goal**: [FILL IN: what is true when it is done]
**Estimated Hours**: 1
**Complexity**: low
**Files to create/modify**: [FILL IN: the files or folders]
**Dependencies**: Phase 1

**Implementation Steps**:
1. [FILL IN: the first step]

**Validation Gates**:
- [ ] [FILL IN: how it shows, such as a command in back-ticks]
"""


def test_a_misspelt_path_is_mended_in_the_review_and_axe_finds_nothing(open_tab, shop):
    page = open_tab().open("/plans/new/")
    assert violations(page) == []
    page.locator("#id_project").select_option("Shop")
    gates = ("`test -d .`", "`test -d src`", "`bash scripts/none.sh`")
    editor(page).fill(plan(phase("1", files="src/baskte.py", steps=("true",), gates=gates)))
    review = page.locator("#review-box")
    expect(review).to_contain_text("gate 3 runs scripts/none.sh, which does not exist")
    editor(page).press("Control+End")
    page.keyboard.type("\nCo")
    expect(suggested(page)).to_have_count(1)
    assert violations(page) == []
    page.get_by_role("button", name="Write src/basket.py").click()
    expect(page.locator("#changes")).to_contain_text("Write src/basket.py")
    expect(editor(page)).to_have_value(plan(phase("1", files="src/basket.py", steps=("true",), gates=gates)) + "\nCo")
