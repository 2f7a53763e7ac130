"""How many clicks five tasks take a new user, counted by the browser; what is typed needs no click of its own."""

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from batches.metrics import facts
from batches.models import Attempt, AttemptFact, Idea, Project, Run, Task
from tests.batches import builders

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
COUNT = "addEventListener('pointerdown', () => { sessionStorage.clicks = 1 + Number(sessionStorage.clicks || 0); }, true)"


@pytest.fixture
def begin(open_tab) -> Callable[[], Page]:
    """Opens the list of batches, once the rows are made."""

    def opened() -> Page:
        tab = open_tab()
        tab.page.add_init_script(COUNT)
        return tab.open("/batches/")

    return opened


@pytest.fixture
def repository(tmp_path) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path], check=True)
    author = ["-c", "user.name=A", "-c", "user.email=a@localhost"]
    subprocess.run(["git", "-C", tmp_path, *author, "commit", "-q", "--allow-empty", "-m", "Begin"], check=True)
    return tmp_path


def clicks(page: Page) -> int:
    return int(page.evaluate("sessionStorage.clicks || 0"))


def test_a_repository_is_added_with_at_most_six(begin, repository):
    page = begin()
    page.get_by_role("link", name="Add a project").first.click()
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Shop")
    page.keyboard.press("Tab")
    page.keyboard.type(str(repository))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Looks right").click()
    page.wait_for_url("**/projects/shop/")
    assert clicks(page) <= 6


def test_an_idea_is_on_its_way_to_a_plan_with_at_most_three(begin, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not asked here")
    Project.objects.filter(pk=builders.make_project("Shop").pk).update(backend="claude")
    page = begin()
    page.get_by_role("link", name="Describe what you want").first.click()
    expect(page.get_by_label("What you want")).to_be_focused()
    page.keyboard.type("Export the data as JSON")
    page.get_by_role("button", name="Let the agent begin").click()
    page.wait_for_url("**/plans/ideas/*/")
    assert Idea.objects.get().text == "Export the data as JSON" and clicks(page) <= 3


def test_why_a_batch_failed_is_read_with_at_most_two(begin):
    builders.failed_batch(title="The one that failed")
    page = begin()
    page.get_by_role("link", name="The one that failed").click()
    assert page.locator("#attention pre").is_visible(), "what the failed gate printed"
    assert clicks(page) <= 2


def test_a_phase_is_retried_with_a_remark_with_at_most_three(begin, repository):
    batch = builders.failed_batch(title="The one that failed")
    Run.objects.filter(batch=batch).update(backend="claude")
    Project.objects.update(repository=str(repository))
    subprocess.run(["git", "-C", repository, "branch", batch.branch], check=True)
    page = begin()
    page.get_by_role("link", name="The one that failed").click()
    page.locator("#attention summary", has_text="Retry with a remark").click()
    expect(page.get_by_label("What the agent reads first")).to_be_focused()
    page.keyboard.type("Look at the fixture first")
    page.get_by_role("button", name="Retry with this").click()
    expect(page.locator("#notice")).to_contain_text("Will be retried: 2a")
    assert Task.objects.get(phase__key="2a").remark == "Look at the fixture first" and clicks(page) <= 3


def test_the_most_expensive_phase_of_the_last_month_is_found_with_at_most_four(begin):
    builders.finished_batch(tokens=True, title="Dear")
    Attempt.objects.filter(task__phase__key="2b").update(cost_usd=7)
    facts.rebuild()
    AttemptFact.objects.update(ended_at=timezone.now() - timedelta(days=20))
    page = begin()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Metrics").click()
    page.get_by_role("link", name="Most expensive phases").click()
    first = page.locator("tbody tr").first
    assert "2b" in first.inner_text() and "$7.00" in first.inner_text()
    assert clicks(page) <= 4
