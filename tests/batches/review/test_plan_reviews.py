"""The review beside the editor, with a real repository: what git would not commit, what is misspelt, repairs, and what it costs."""

import re
from html import unescape

import pytest

from batches.core.plans.analysis import analyse_document
from batches.models import Plan
from batches.repositories import base_tree
from batches.review.plan_review import review_of_text
from subagents import workspace
from tests.batches import builders
from tests.batches.world import phase, plan

pytestmark = pytest.mark.django_db
GATES = ("`test -d .`", "`test -f .gitignore`", "`test -d src`")


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


@pytest.fixture
def shop(world):
    """A project with a file of its own, one that is protected, and a folder that git ignores."""
    world.commit(".gitignore", "lib/\n")
    world.commit("pyproject.toml", "")
    world.commit("src/basket.py", "")
    return world


def one(files: str) -> str:
    return plan(phase("1", files=files, steps=("true",), gates=GATES))


def messages(project, text: str) -> list[str]:
    return [found.message for found in review_of_text(project, analyse_document(text), text).findings]


def posted(client, world, text: str, **fields: str):
    return client.post("/plans/preview/", {"text": text, "project": world.project.pk, **fields})


def test_the_preview_says_what_git_would_not_commit_what_is_misspelt_and_what_is_new(client, ada, shop):
    shown = unescape(posted(client, shop, one("lib/a.py, src/baskte.py, src/order.py, pyproject.toml")).text)
    assert "lib/a.py is kept out of every commit by .gitignore:1 `lib/`" in shown
    assert "src/baskte.py does not exist, and looks like src/basket.py" in shown
    assert "pyproject.toml is a protected path (pyproject.toml). It is declared" in shown
    assert re.search(r'id="new-files".*?lib/a.py.*?src/order.py', shown, re.S)
    assert re.search(r'id="review-box"\s+open', shown)  # a batch of it would fail


def test_a_repair_of_the_review_is_applied_and_nothing_is_saved(client, ada, shop):
    text = one("src/baskte.py")
    (repair,) = re.findall(r'value="([0-9a-f]{32})"', posted(client, shop, text).text)
    page = client.post("/plans/repair/", {"text": text, "project": shop.project.pk, "repair": repair})
    assert page.context["text"] == one("src/basket.py")
    assert page.context["changes"] == {"Write src/basket.py": 1}
    assert not Plan.objects.exists()
    elsewhere = client.post("/plans/repair/", {"text": text, "repair": repair})
    assert "The text has changed" in elsewhere.text  # without the project nobody suggests it


def test_a_new_commit_on_the_base_branch_counts_at_once(shop):
    text = one("src/baskte.py")
    assert any("looks like" in message for message in messages(shop.project, text))
    shop.commit("src/baskte.py", "")
    assert messages(shop.project, text) == []


def test_a_repository_that_cannot_be_read_is_said_and_hides_nothing_else(client, ada):
    project = builders.make_project()
    text = one("a.txt").replace("**Estimated Hours**: 1", "**Estimated Hours**: 9")
    shown = unescape(client.post("/plans/preview/", {"text": text, "project": project.pk}).text)
    assert f"The files were not compared with the repository: {project.repository}" in shown
    assert "9 hours are unusual for low complexity" in shown


def test_the_saved_plan_shows_its_review_without_buttons(client, ada, shop):
    saved = builders.make_plan(one("src/baskte.py"), project=shop.project)
    shown = unescape(client.get(f"/plans/{saved.pk}/").text)
    assert "src/baskte.py does not exist, and looks like src/basket.py" in shown
    assert "Write src/basket.py" not in shown


def test_the_tree_is_read_once_for_a_commit_and_git_is_asked_for_a_path_once(shop, monkeypatch):
    asked: list[str] = []
    real = workspace.Repository.git

    def noted(self, *words, **options):
        asked.append(words[0])
        return real(self, *words, **options)

    monkeypatch.setattr(workspace.Repository, "git", noted)
    base_tree.read_tree.cache_clear()
    messages(shop.project, one("lib/a.py, src/order.py"))
    assert "ls-tree" in asked
    assert "check-ignore" in asked
    asked.clear()
    messages(shop.project, one("lib/a.py, src/order.py"))
    assert not {"ls-tree", "check-ignore", "check-attr"}.intersection(asked)
