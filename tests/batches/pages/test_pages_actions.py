"""What a person presses reaches the services, refusals are said in words, and rights are checked on every one."""

from ipaddress import ip_network

import pytest
from django.urls import reverse

from batches.core.errors import ServiceError
from batches.engine.sandboxing import refuse_allowed_hosts_without_sandbox
from batches.engine.task_specs import policy_of
from batches.models import Batch, Conflict, Plan, Project, Run, Task, Transition
from batches.pages.batches import list_queries
from tests.batches import builders
from tests.batches.builders import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    user = make_user()
    client.force_login(user)
    return user


def test_pause_go_on_and_cancel_are_kept_on_the_run(client, ada):
    builders.running_batch()
    client.post("/batches/1/pause/")
    assert Run.objects.get().paused
    client.post("/batches/1/unpause/")
    assert not Run.objects.get().paused
    response = client.post("/batches/1/cancel/", follow=True)
    run = Run.objects.get()
    assert (run.cancel_requested, run.cancel_cause) == (True, "person:ada")
    assert "being stopped" in response.text


def test_a_stale_button_is_refused_with_409_for_htmx_and_with_a_message_without(client, ada):
    builders.finished_batch()
    response = client.post("/batches/1/pause/", headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert "is already succeeded" in response.text
    assert "is already succeeded" in client.post("/batches/1/pause/", follow=True).text


def test_a_conflict_is_decided_by_a_person(client, ada):
    batch = builders.failed_batch()
    conflict = builders.make_conflict(batch)
    client.post(reverse("batches:decide", args=[1, conflict.pk]), {"decision": "serialize"})
    conflict.refresh_from_db()
    assert (conflict.decision, conflict.decided_by) == ("serialize", ada)
    assert "A conflict can be decided" in client.post(reverse("batches:decide", args=[1, conflict.pk]), {"decision": "x"}, follow=True).text
    assert Conflict.objects.get().decision == "serialize"


WRITES = [
    ("/batches/1/pause/", {}),
    ("/batches/1/unpause/", {}),
    ("/batches/1/cancel/", {}),
    ("/batches/1/retry/", {}),
    ("/batches/1/execute/", {}),
    ("/plans/new/", {"text": builders.PLAN_TEXT}),
    ("/new-project/", {"name": "Mine", "repository": "/srv/mine"}),
]


@pytest.mark.parametrize(("address", "data"), WRITES)
def test_who_may_only_look_is_refused_every_write(client, address, data):
    builders.failed_batch()
    before = Plan.objects.count(), Project.objects.count()
    client.force_login(make_user("bob", admin=False))
    response = client.post(address, data)
    assert response.status_code == 403
    assert "You may not do this." in response.text
    assert (Plan.objects.count(), Project.objects.count()) == before


@pytest.mark.parametrize(("address", "data"), WRITES)
def test_a_write_takes_post_and_a_token(client, ada, address, data):
    builders.failed_batch()
    strict = type(client)(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert strict.post(address, data).status_code == 403
    if address.rpartition("/")[0].rpartition("/")[2] in {"pause", "unpause", "cancel", "retry"}:
        refused = client.get(address)
        assert refused.status_code == 405 and refused["Allow"] == "POST" and "use the button on its page" in refused.text


def test_who_may_only_look_sees_no_verbs(client):
    builders.failed_batch()
    client.force_login(make_user("bob", admin=False))
    text = client.get("/batches/1/").text
    assert "verb-retry" not in text
    assert "formaction" not in text


def test_a_plan_with_faults_is_kept_and_cannot_be_executed(client, ada):
    response = client.post("/plans/new/", {"text": "# A plan\n\n### Phase 1: Set up\n\n**Goal**: x\n"}, follow=True)
    plan = Plan.objects.get()
    assert plan.error_count
    assert "Estimated Hours" in response.text
    assert "Execute…" not in response.text
    assert "fix them first" in client.get(f"/plans/{plan.pk}/execute/", follow=True).text


def test_an_upload_over_the_limit_answers_413_with_the_limit(client, ada, settings):
    from django.core.files.uploadedfile import SimpleUploadedFile

    settings.CE_UPLOAD_BYTES = 1_000
    response = client.post("/plans/new/", {"file": SimpleUploadedFile("plan.md", b"x" * 1_001)})
    assert response.status_code == 413
    assert "At most 1,000 bytes" in response.text
    assert not Plan.objects.exists()


def test_the_preview_keeps_nothing(client, ada):
    response = client.post("/plans/preview/", {"text": builders.PLAN_TEXT})
    assert "2 phases in 2 stages" in response.text
    assert not Plan.objects.exists()


def test_a_project_without_a_repository_is_refused_in_words(client, ada, tmp_path):
    response = client.post("/new-project/", {"name": "Mine", "repository": str(tmp_path / "nowhere")})
    assert response.status_code == 400
    assert "nowhere" in response.text
    assert not Project.objects.exists()


def test_settings_of_a_project_are_kept(client, ada):
    project = builders.make_project()
    data = {"name": "Other", "base_branch": "main", "backend": "steps", "scheduling": "dataflow"}
    data |= {"max_parallel": 2, "phase_limit_minutes": 5, "undeclared_edits": "fail", "deletions": "allow", "repairs": 1}
    data |= {"notify_format": "json", "network": "steps", "tool_paths": " /opt/jdk\r\n\r\n/opt/go "}
    assert client.post(f"/projects/{project.slug}/", data).status_code == 302
    project.refresh_from_db()
    assert (project.name, project.max_parallel, project.scheduling, project.fail_fast) == ("Other", 2, "dataflow", False)
    assert (project.undeclared_edits, project.deletions, project.repairs) == ("fail", "allow", 1)
    assert (project.network, project.tool_paths) == ("steps", "/opt/jdk\n/opt/go")


def test_allowed_hosts_reach_the_task_and_a_line_that_is_none_is_refused_with_its_number(client, ada, settings, tmp_path):
    project, settings.CE_PRIVATE_NETWORKS, settings.CE_DATA_DIR = builders.make_project(), [ip_network("10.2.0.0/16")], tmp_path
    data = {"name": "Other", "base_branch": "main", "backend": "steps", "scheduling": "dataflow", "max_parallel": 2, "network": "steps"}
    data |= {"phase_limit_minutes": 5, "undeclared_edits": "fail", "deletions": "allow", "repairs": 1, "notify_format": "json"}
    refused = client.post(f"/projects/{project.slug}/", data | {"allowed_hosts": "pypi.org\nhttps://x/"})
    assert refused.status_code == 400 and "Line 2, https://x/: not" in refused.text
    assert client.post(f"/projects/{project.slug}/", data | {"allowed_hosts": " pypi.org\r\n\r\n*.example.org "}).status_code == 302
    project.refresh_from_db()
    policy = policy_of(project)
    assert (policy["hosts"], policy["private"]) == (["pypi.org", "*.example.org"], ["10.2.0.0/16"])
    settings.CE_SANDBOX = "rlimit"
    with pytest.raises(ServiceError, match="at the sandbox level rlimit the network cannot be taken away"):
        refuse_allowed_hosts_without_sandbox(project)


@pytest.mark.parametrize("path", ["opt/jdk", "/", "/opt/../etc", "{data}", "{data}/attempts"])
def test_a_path_that_would_show_what_is_ours_is_refused_in_words(client, ada, settings, tmp_path, path):
    project, settings.CE_DATA_DIR = builders.make_project(), tmp_path / "data"
    data = {"name": "Other", "base_branch": "main", "backend": "steps", "scheduling": "dataflow", "max_parallel": 2, "network": "none"}
    data |= {"phase_limit_minutes": 5, "undeclared_edits": "fail", "deletions": "allow", "repairs": 1}
    data |= {"tool_paths": path.format(data=tmp_path / "data")}
    response = client.post(f"/projects/{project.slug}/", data)
    assert response.status_code == 400 and ("normalised absolute path" in response.text or "data directory" in response.text)


def test_the_sixth_wrong_password_is_answered_with_429_in_the_look_of_the_site(client):
    make_user()
    answers = [client.post("/sign-in/", {"username": "ada", "password": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in answers][-1] == 429
    assert answers[0].status_code == 200
    assert "Too many tries" in answers[-1].text
    assert "css/base.css" in answers[-1].text


def test_a_page_that_is_not_there_answers_404_in_the_look_of_the_site(client, ada):
    response = client.get("/batches/99/")
    assert response.status_code == 404
    assert "Page not found." in response.text


ADMIN_MODELS = [
    *("project", "plan", "batch", "stage", "phase", "gate", "conflict", "run"),
    *("task", "attempt", "result", "gatecheck", "transition", "host"),
]


@pytest.mark.parametrize("model", ADMIN_MODELS)
def test_the_admin_shows_every_table_and_lets_nobody_rewrite_history(client, ada, model, django_assert_max_num_queries):
    builders.make_conflict(builders.failed_batch())
    with django_assert_max_num_queries(14):
        assert client.get(f"/admin/batches/{model}/").status_code == 200
    assert client.get(f"/admin/batches/{model}/add/").status_code == 403
    row = reverse("admin:index")
    if model not in {"host"}:
        from django.apps import apps

        pk = apps.get_model("batches", model).objects.values_list("pk", flat=True)[0]
        assert client.get(f"{row}batches/{model}/{pk}/change/").status_code == 200
        assert client.post(f"{row}batches/{model}/{pk}/change/", {}).status_code == 403
        assert client.post(f"{row}batches/{model}/{pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_queue_cannot_be_run_from_the_admin(client, ada):
    assert client.get("/admin/django_q/").status_code == 404
    assert "django_q" not in client.get("/admin/").text


def test_the_admin_cancels_runs_and_says_of_each_what_became_of_it(client, ada):
    builders.running_batch()
    builders.finished_batch()
    data = {"action": "cancel_selected", "_selected_action": list(Run.objects.values_list("pk", flat=True))}
    text = client.post("/admin/batches/run/", data, follow=True).text
    assert "is being cancelled." in text
    assert "refused. Run 1 of batch 2 is already succeeded." in text
    assert "1 done, 1 refused." in text
    assert Run.objects.get(batch__number=1).cancel_requested


def test_the_admin_refuses_a_retry_that_is_none_and_changes_nothing(client, ada):
    builders.finished_batch()
    task = Task.objects.get(name="1")
    before = Transition.objects.count()
    text = client.post("/admin/batches/task/", {"action": "retry_selected", "_selected_action": [task.pk]}, follow=True).text
    assert "refused." in text
    assert "0 done, 1 refused." in text
    assert Transition.objects.count() == before


def test_a_viewer_in_the_admin_is_refused_the_actions(client):
    from django.contrib.auth.models import Permission

    viewer = make_user("bob", admin=False)
    viewer.is_staff = True
    viewer.save()
    viewer.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client.force_login(viewer)
    builders.running_batch()
    text = client.post("/admin/batches/run/", {"action": "cancel_selected", "_selected_action": [Run.objects.get().pk]}, follow=True).text
    assert "0 done, 1 refused." in text
    assert not Run.objects.get().cancel_requested


def test_a_search_finds_a_batch_by_number_title_and_project(client, ada):
    builders.make_batch(title="Alpha")
    builders.make_batch(title="Beta")
    assert "Beta" not in client.get("/batches/?q=alp").text.partition("<tbody>")[2]
    assert "Beta" in client.get("/batches/?q=%232").text.partition("<tbody>")[2]
    assert list_queries.search(Batch.objects.all(), "sample").count() == 2


def test_filters_count_what_they_hold(client, ada):
    builders.running_batch()
    builders.failed_batch()
    builders.finished_batch()
    builders.make_batch()
    counts = list_queries.view_counts(Batch.objects.with_state())
    assert counts == {"all": 4, "running": 1, "failed": 1, "done": 1, "ready": 1, "cancelled": 0, "archived": 0}
    for view, count in counts.items():
        assert list_queries.in_view(Batch.objects.with_state(), view).count() == count
