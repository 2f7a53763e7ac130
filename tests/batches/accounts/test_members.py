"""Members of projects and teams, and that what may not be seen is in no list and behind no number."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Manager

from batches.accounts.access import may, sight_of
from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError
from batches.engine import pause_and_cancel
from batches.models import Attempt, AuditEvent, Batch, Membership, Plan
from batches.models.visibility import PATHS, ConfinedManager, seeing
from batches.plans.to_batch import next_number
from batches.projects import members
from batches.projects.change_settings import update_project
from tests.batches import builders
from tests.batches.accounts.test_users import add

pytestmark = pytest.mark.django_db
# Tables of the whole installation.
OF_ALL = {"Installation", "SettingChange", "ApiToken", "KeptAnswer", "AuditEvent", "Host"}
OF_ALL |= {"ClosedTour", "PersonalNotifications", "ProviderIdentity", "SavedView", "SecondStep", "SignInFailure"}


def test_every_table_is_of_a_project_or_of_the_installation_and_its_manager_keeps_to_it():
    tables = {model.__name__: model for model in apps.get_app_config("batches").get_models()}
    assert set(tables) == set(PATHS) | OF_ALL
    confined = {name for name, model in tables.items() if isinstance(model._default_manager, ConfinedManager)}
    assert confined == set(PATHS)
    assert all(type(model._base_manager) is Manager for model in tables.values()), "foreign keys and invariants see all"


@pytest.fixture
def closed():
    """A project for members only, with a batch, beside an open one with another."""
    project = builders.make_project("Closed")
    builders.failed_batch(project=project)
    builders.failed_batch(project=builders.make_project("Open"))
    members.set_members_only(project=project, closed=True, actor=Actor("test"))
    return project


def test_who_is_no_member_finds_it_in_no_list_no_figure_and_no_search(client, closed):
    eve = add("eve", "executor")
    client.force_login(eve)
    assert [row.batch.project.name for row in client.get("/batches/").context["rows"]] == ["Open"]
    assert client.get("/batches/1/").status_code == 404 and client.get("/batches/2/").status_code == 200
    assert "Closed" not in client.get("/projects/").text + client.get("/plans/").text + client.get("/plans/new/").text
    assert "Closed" not in client.get("/metrics/?period=all").text
    assert client.get(f"/plans/{Plan.objects.get(project=closed).pk}/").status_code == 404
    with seeing(sight_of(eve)):
        assert {row.task.run.batch.project.name for row in Attempt.objects.all()} == {"Open"}
        assert next_number([]) == 3, "numbers are given over all projects"
    members.set_member(project=closed, who=eve, role="viewer", actor=Actor("test"))
    assert client.get("/batches/1/").status_code == 200
    with pytest.raises(PermissionDenied):
        pause_and_cancel.cancel(run=Batch.objects.get(number=1).runs.get(), actor=Actor.person(User.objects.get(pk=eve.pk)))


def test_a_team_gives_its_people_the_role_and_takes_it_back(closed):
    eve = add("eve", "viewer")
    root = Actor("test")
    team = members.make_team(name="The team", actor=root)
    members.set_people(team=team, people=[eve], actor=root)
    members.set_member(project=closed, who=team, role="executor", actor=root)
    assert may(User.objects.get(pk=eve.pk), EXECUTE_BATCH, closed)
    assert not may(User.objects.get(pk=eve.pk), EXECUTE_BATCH, Batch.objects.get(number=2).project)
    members.delete_team(team=team, actor=root)
    assert not may(User.objects.get(pk=eve.pk), EXECUTE_BATCH, closed) and not Membership.objects.exists()
    assert AuditEvent.objects.filter(what="Closed: the team The team is executor").exists()


def test_a_role_of_the_installation_is_no_team(closed):
    root = Actor("test")
    admins, powerful = Group.objects.get(name="admin"), Group.objects.create(name="powerful")
    powerful.permissions.set(admins.permissions.all()[:1])
    for act in (
        lambda: members.set_people(team=admins, people=[], actor=root),
        lambda: members.set_people(team=powerful, people=[], actor=root),
        lambda: members.delete_team(team=admins, actor=root),
        lambda: members.set_member(project=closed, who=admins, role="viewer", actor=root),
        lambda: members.make_team(name="admin", actor=root),
        lambda: members.set_member(project=closed, who=add("x", "viewer"), role="owner", actor=root),
    ):
        with pytest.raises(ServiceError):
            act()


def test_an_admin_of_a_project_manages_it_and_nothing_of_the_machine(client, closed):
    eve = add("eve", "viewer")
    members.set_member(project=closed, who=eve, role="admin", actor=Actor("test"))
    client.force_login(eve)
    ada = add("ada", "viewer")
    assert client.post(f"/projects/{closed.slug}/members/", {"who": f"user-{ada.pk}", "role": "author"}).status_code == 302
    assert client.post(f"/projects/{closed.slug}/members/", {"who": "user-999", "role": "author"}).status_code == 302
    assert closed.memberships.get(user=ada).role == "author"
    actor = Actor.person(User.objects.get(pk=eve.pk))
    update_project(project=closed, changes={"max_parallel": 2, "tool_paths": closed.tool_paths}, actor=actor)
    with pytest.raises(PermissionDenied):
        update_project(project=closed, changes={"tool_paths": "/root"}, actor=actor)
    client.post(f"/projects/{closed.slug}/members/", {"only": "off"})
    client.post(f"/projects/{closed.slug}/members/", {"end": closed.memberships.get(user=ada).pk})
    closed.refresh_from_db()
    assert not closed.members_only and not closed.memberships.filter(user=ada).exists()
    assert client.get("/teams/").status_code == 403


def test_an_account_without_a_role_sees_its_own_page_and_is_told_why_not_more(client, closed):
    eve = User.objects.create_user("eve", password="a long password")
    client.force_login(eve)
    assert client.get("/account/").status_code == 200
    refused = client.get("/batches/")
    assert refused.status_code == 403 and "no role yet" in refused.text
    members.set_member(project=closed, who=eve, role="viewer", actor=Actor("test"))
    assert [row.batch.project.name for row in client.get("/batches/").context["rows"]] == ["Closed"]
