"""Templates of plans for real repositories: on the page New plan and from the command."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from batches.core.plans.analysis import analyse_document
from batches.core.plans.templates import TemplateKind
from batches.gates.shapes import shape_of_project
from batches.models import Plan
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


@pytest.fixture
def shop(world):
    """A project with Python code, tests and pytest."""
    world.commit("pyproject.toml", "[tool.pytest.ini_options]\n")
    world.commit("src/cart.py", "def total(prices):\n    return sum(prices)\n")
    world.commit("tests/test_cart.py", "def test_nothing():\n    pass\n")
    return world


def text_of(response) -> str:
    return response.context["text"]


def test_a_template_on_the_page_is_an_executable_plan_for_the_chosen_project_and_nothing_is_saved(client, ada, shop):
    page = client.get("/plans/new/", {"template": "bug-fix", "project": shop.project.pk, "about": "Totals are wrong"})
    report = analyse_document(text_of(page))
    assert (report.reading.errors, report.reading.warnings) == ((), ())
    assert "`python -m pytest -q`" in text_of(page)
    assert [phase.files for phase in report.reading.plan.phases] == [("tests/",), ("src/", "tests/")]
    assert page.context["chosen"] == str(shop.project.pk)
    assert not Plan.objects.exists()


def test_a_command_of_the_projects_settings_wins_over_the_repository_and_a_new_commit_counts_at_once(shop):
    assert shape_of_project(shop.project).test == "python -m pytest -q"
    assert shape_of_project(shop.project).documents == ("README.md",)
    shop.commit("docs/use.md", "Use it.\n")
    assert shape_of_project(shop.project).documents == ("README.md", "docs/")
    shop.project.test_command = "make check"
    assert shape_of_project(shop.project).test == "make check"


def test_without_a_project_or_its_repository_the_template_asks_for_what_is_unknown(client, ada):
    bare = client.get("/plans/new/", {"template": "feature", "about": "Export as CSV"})
    assert text_of(bare).count("[FILL IN: the command that runs the tests]") == 2
    gone = client.get("/plans/new/", {"template": "feature", "project": builders.make_project().pk, "about": "Export as CSV"})
    assert "Nothing was filled in from the repository: " in gone.text
    assert text_of(gone) == text_of(bare)


def test_an_unknown_template_is_refused_and_leaves_the_editor_empty(client, ada):
    page = client.get("/plans/new/", {"template": "poem"})
    assert page.status_code == 400
    assert "poem is not one of the available choices" in page.text
    assert text_of(page) == ""


def test_the_command_prints_the_plan_of_the_page(client, ada, shop):
    page = client.get("/plans/new/", {"template": "migration", "project": shop.project.pk, "about": "From sum to fsum"})
    out = StringIO()
    call_command("plan_from_template", "migration", project=shop.project.slug, about="From sum to fsum", stdout=out)
    assert out.getvalue() == text_of(page)
    for kind in TemplateKind:
        out = StringIO()
        call_command("plan_from_template", kind.value, about="This and that", stdout=out)
        assert not analyse_document(out.getvalue()).reading.errors


def test_the_command_says_what_is_wrong_with_the_repository():
    project = builders.make_project()
    with pytest.raises(CommandError, match=project.repository):
        call_command("plan_from_template", "bug-fix", stdout=StringIO())


def test_the_editor_is_told_what_can_stand_at_its_cursor(client, ada, shop):
    def values(**asked: object) -> list[str]:
        return client.get("/plans/complete/", {"project": shop.project.pk, **asked}).json()["values"]

    assert values(kind="path", typed="src/") == ["src/cart.py"]
    assert values(kind="command", typed="") == ["python -m pytest -q"]
    assert values(kind="command", typed="make") == []
    assert values(kind="poem", typed="") == []
    assert client.get("/plans/complete/", {"kind": "path", "typed": ""}).json() == {"values": []}
    gone = {"project": builders.make_project().pk, "kind": "path", "typed": ""}
    assert client.get("/plans/complete/", gone).json() == {"values": []}
    assert client.get("/plans/complete/", {"project": 10**6}).status_code == 404
