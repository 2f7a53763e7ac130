"""Secrets of a project: stored encrypted, given to attempts, shown nowhere, not even in what the database keeps of a run."""

import json

import pytest
from django.core import serializers
from django.urls import reverse

from batches import models
from batches.accounts.sessions import CONFIRMED
from batches.core.errors import ServiceError
from batches.engine import retries
from batches.engine.task_specs import environment_of
from batches.models import Attempt, AuditEvent, ProjectSecret
from batches.projects.secrets import keep_secret
from subagents import redaction
from tests.batches.builders import make_project, make_user
from tests.batches.world import ACTOR, World, phase, plan

VALUE = "open-sesame-4711"


def address(project) -> str:
    return reverse("batches:project_secret", args=[project.slug])


def page(client, project) -> str:
    return client.get(reverse("batches:project_environment", args=[project.slug])).text


def everything() -> str:
    """All rows of all tables that people's pages and the API read."""
    kinds = [kind for kind in vars(models).values() if isinstance(kind, type) and hasattr(kind, "_meta")]
    return "".join(serializers.serialize("json", kind._base_manager.all()) for kind in kinds)


@pytest.mark.django_db
def test_a_secret_can_be_added_replaced_given_to_others_and_deleted_and_is_never_shown(client):
    project = make_project()
    client.force_login(make_user("root"))
    client.post(address(project), {"name": "TOKEN", "value": VALUE, "steps": "1"})
    first = ProjectSecret.objects.get()
    assert first.uses == ["steps"] and VALUE not in first.sealed
    assert "TOKEN" in page(client, project) and VALUE not in page(client, project)
    client.post(address(project), {"name": "TOKEN", "value": "", "gates": "1", "setup": "1"})
    second = ProjectSecret.objects.get()
    assert second.uses == ["setup", "gates"] and second.sealed == first.sealed
    client.post(address(project), {"name": "TOKEN", "value": "another-value-1", "setup": "1"})
    assert ProjectSecret.objects.get().sealed != first.sealed
    client.post(address(project), {"name": "TOKEN", "delete": "1"})
    assert not ProjectSecret.objects.exists()
    said = [event.what for event in AuditEvent.objects.filter(what__contains="TOKEN").order_by("pk")]
    assert [one.split(" the ")[0] for one in said] == ["Added", "Changed", "Replaced", "Deleted"]
    assert VALUE not in everything() and "another-value-1" not in everything()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "A-B"}, "environment variable"),
        ({"name": "PATH"}, "set by CE Web"),
        ({"name": "LD_AUDIT"}, "would load code"),
        ({"name": "CACHE"}, "among the environment variables already"),
        ({"value": "short"}, "at least 8 characters"),
        ({"value": "x" * 9000}, "at most 8192 bytes"),
        ({"value": ""}, "Enter the value"),
        ({"steps": ""}, "Choose what"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_and_not_repeated(client, given: dict[str, str], says: str):
    project = make_project()
    type(project).objects.filter(pk=project.pk).update(environment_variables="CACHE=1")
    client.force_login(make_user("root"))
    data = {name: value for name, value in ({"name": "TOKEN", "value": VALUE, "steps": "1"} | given).items() if value}
    shown = client.post(address(project), data, follow=True).text
    assert says in shown and VALUE not in shown
    assert not ProjectSecret.objects.exists()


@pytest.mark.django_db
def test_only_administrators_keep_secrets_and_only_after_they_typed_their_password_lately(client):
    project = make_project()
    data = {"name": "TOKEN", "value": VALUE, "steps": "1"}
    client.force_login(make_user("ana", admin=False))
    assert client.post(address(project), data).status_code == 403
    client.force_login(make_user("root"))
    session = client.session
    del session[CONFIRMED]
    session.save()
    assert "confirm" in client.post(address(project), data)["Location"]
    assert not ProjectSecret.objects.exists()


@pytest.mark.django_db
def test_an_environment_is_built_again_when_a_secret_of_its_set_up_changes_and_the_spec_holds_no_value():
    project = make_project()
    type(project).objects.filter(pk=project.pk).update(setup_command="npm ci")
    project.refresh_from_db()
    specs = []
    for value in (VALUE, VALUE + "-2"):
        keep_secret(project=project, name="TOKEN", value=value, uses=["setup"], actor=ACTOR)
        specs.append(json.dumps(environment_of(project)))
    assert specs[0] != specs[1] and VALUE not in specs[1]


@pytest.mark.engine
@pytest.mark.process
@pytest.mark.django_db(transaction=True)
def test_a_run_uses_its_secrets_and_no_row_and_no_page_holds_one(world: World, admin_client, settings, monkeypatch):
    keep_secret(project=world.project, name="TOKEN", value=VALUE, uses=["steps", "gates"], actor=ACTOR)
    say = 'echo "it is $TOKEN"; test "$TOKEN" = open-sesame-"4711"'
    made = plan(phase("1", steps=(f"{say}; echo $TOKEN > part-1.txt",), gates=(f"`{say.replace('echo', 'printf')}`",)))
    batch = world.generated(made)
    run = world.execute(batch)
    world.until(lambda: Attempt.objects.filter(task__run=run, exited_at__isnull=False).exists(), "the end of the phase")
    monkeypatch.setattr(redaction, "_known", [])  # another process goes on, which launched nothing
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    assert VALUE not in everything()
    attempt = Attempt.objects.get(task__run=run, task__name="1")
    for where in ("phases/1/", "phases/1/?tab=diff", "changes/", "gates/", f"attempts/{attempt.pk}/log/", f"attempts/{attempt.pk}/diff/"):
        assert VALUE not in admin_client.get(f"/batches/{batch.number}/{where}").text
    settings.SECRET_KEY = "another one"
    failed = world.finish(world.execute(world.generated(made)))
    assert (world.task(failed, "1").reason, failed.state) == ("setup_failed", "failed")
    assert "secret TOKEN cannot be used" in world.task(failed, "1").message and "another SECRET_KEY" in world.task(failed, "1").message
    with pytest.raises(ServiceError):
        keep_secret(project=world.project, name="TOKEN", value="", uses=[], actor=ACTOR)
    keep_secret(project=world.project, name="TOKEN", value=VALUE, uses=["steps", "gates"], actor=ACTOR)
    retries.retry(run=failed, actor=ACTOR)
    assert world.finish(failed).state == "succeeded"
