"""From an idea to a plan on the screen: typed, questions answered, drafted, revised, with the real agent and a stand-in model."""

import re

import pytest
from playwright.sync_api import Page, expect

from batches.models import Idea
from tests.batches.conftest import repository, world  # noqa: F401 -- fixtures
from tests.batches.world import World
from tests.browser.axe import violations
from tests.subagents import ideas as model
from tests.subagents.messages_api import messages_api

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def at_rest(made: World, page: Page) -> None:
    """Tick until the agent is not asked for anything; then the page, which does not poll meanwhile, looks."""
    made.until(lambda: Idea.objects.get().wanted == "", "the end of what was asked")
    page.evaluate("htmx.trigger('#idea-progress', 'ce:now')")


def test_an_idea_is_typed_questions_are_answered_and_a_plan_that_can_be_executed_is_on_the_screen(
    open_tab,
    world: World,  # noqa: F811 -- the fixture
    settings,
    monkeypatch,
):
    scenario = model.drafts(revision=model.plan(model.phase("Only this")))
    with messages_api({"idea": scenario}) as api:
        settings.CE_API_BASE_URL = api.address
        settings.CE_POLL_SECONDS = 600  # the tables of a test cannot be read while the ticker writes them
        monkeypatch.setenv("ANTHROPIC_API_KEY", "fake-idea")
        world.project.backend, world.project.model = "claude", "haiku"
        world.project.save()
        page = open_tab().open("/plans/new/")
        page.get_by_role("link", name="Describe what you want").click()
        page.get_by_label("What you want").fill("Export the data")
        page.locator("#idea-form details").evaluate("one => { one.open = true; }")
        assert not violations(page)
        page.get_by_role("button", name="Let the agent begin").click()
        expect(page.locator("#idea-progress")).to_be_visible()
        at_rest(world, page)
        page.get_by_role("radio", name="YAML").check()
        page.get_by_label("Your own answer to: For whom?").fill("Only me")
        assert not violations(page)
        page.get_by_role("button", name="Draft the plan").click()
        expect(page.locator("#idea-progress")).to_contain_text("Spent: $0.00")
        at_rest(world, page)
        page.wait_for_url("**/plans/*/edit/")
        expect(page.locator("#preview")).to_contain_text("No errors. 2 phases in 2 stages.")
        expect(page.locator("#drafted")).to_contain_text("Every file that it names exists or is new.")
        assert Idea.objects.get().answers == ["YAML", "Only me"]
        page.get_by_role("link", name="Revise it with the agent").click()
        page.get_by_label("Revise").fill("Less")
        page.get_by_role("button", name="Revise the plan").click()
        expect(page.locator("#idea-progress")).to_be_visible()
        at_rest(world, page)
        expect(page.get_by_role("heading", name="Version 1 to version 2")).to_be_visible()
        assert not violations(page)
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".messages")).to_contain_text("Version 3 says again")
        page.get_by_role("link", name="The plan", exact=True).click()
        expect(page.get_by_role("link", name=re.compile("Execute"))).to_be_visible()
