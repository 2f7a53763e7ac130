"""One Linear issue for each PRP: created once, retried later, never in the way. Against a server on a real socket."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from batches.accounts.sealed import Unreadable, seal, unseal
from batches.core.errors import ServiceError
from batches.engine import reporting
from batches.integrations import linear_issues
from batches.integrations.linear import Linear, LinearError, check_address, reset_seconds
from batches.models import Batch, LinearIssue, Project
from batches.plans.prp_document import prp_of
from batches.projects.change_settings import update_project
from tests.batches.builders import make_batch, make_project, make_user
from tests.batches.linear_server import TOKEN, LinearServer, as_usual, created_and_lost, hangs, limited, refused
from tests.batches.world import ACTOR, SEED_FLOW, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings) -> Iterator[LinearServer]:
    made = LinearServer()
    settings.LINEAR_API_KEY = ""
    with made.serve() as settings.CE_LINEAR_URL:
        yield made


@pytest.fixture
def batch(server) -> Batch:
    """Four PRPs, written, that want their issues; of rows alone."""
    done = dict.fromkeys(("1", "2a", "2b", "3"), "succeeded")
    made = make_batch("1 -> 2a 2b -> 3", states=done, run_state="succeeded", operation="generate")
    update_project(project=made.project, changes={"linear_team": "ENG", "linear_token": TOKEN}, actor=ACTOR)
    linear_issues.want_issues(made)
    return made


def rows() -> list[LinearIssue]:
    return list(LinearIssue.objects.order_by("phase__position"))


def due_again() -> None:
    LinearIssue.objects.update(next_try_at=timezone.now() - timedelta(seconds=1))


def test_every_prp_gets_one_issue_in_the_order_of_the_plan(batch, server):
    linear_issues.work(batch=batch)
    assert [row.identifier for row in rows()] == ["ENG-1", "ENG-2", "ENG-3", "ENG-4"]
    assert [name for name, _ in server.asked] == ["Team", "Create", "Create", "Create", "Create"]
    first = next(iter(server.issues.values()))
    assert first["title"].startswith(f"PRP-{batch.number}.1.1: ") and f"ce/batch-{batch.number}" in first["description"]
    linear_issues.work(batch=batch)
    assert len(server.issues) == 4
    assert "Created 4 Linear issues. Ready for execution." in reporting.generated_summary(batch)


def test_an_answer_that_was_lost_makes_no_second_issue(batch, server):
    server.instead = [as_usual, created_and_lost]
    linear_issues.work(batch=batch)
    assert "status 502" in rows()[0].error and len(server.issues) == 4
    due_again()
    linear_issues.work(batch=batch)
    assert rows()[0].identifier == "ENG-1" and not rows()[0].error
    assert len(server.issues) == 4 and server.count("Issue") == 1


def test_whoever_was_killed_between_creating_and_keeping_is_followed_by_one_who_finds_the_issue(batch, server):
    row = rows()[0]
    server.made({"input": {"id": str(row.uid), "teamId": "team-1"}})
    LinearIssue.objects.filter(pk=row.pk).update(tries=1, claimed_until=timezone.now() + timedelta(seconds=30))
    linear_issues.work(batch=batch)
    assert rows()[0].url == "", "somebody may still be at it"
    LinearIssue.objects.filter(pk=row.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    linear_issues.work(batch=batch)
    assert rows()[0].identifier == "ENG-1" and len(server.issues) == 4


def test_a_rate_limit_puts_all_off_until_its_reset(batch, server):
    server.instead = [as_usual, as_usual, limited(600)]
    linear_issues.work(batch=batch)
    made, *others = rows()
    assert made.identifier == "ENG-1"
    for row in others:
        assert row.error == "Linear's rate limit is reached."
        assert 500 < (row.next_try_at - timezone.now()).total_seconds() <= 601
    asked = len(server.asked)
    linear_issues.work(batch=batch)
    assert len(server.asked) == asked, "nothing is asked before its time"
    due_again()
    linear_issues.work(batch=batch)
    assert all(row.url for row in rows()) and len(server.issues) == 4


def test_a_server_that_hangs_is_left_after_the_time_limit_and_tried_later(batch, server, monkeypatch):
    assert Linear.__init__.__kwdefaults__ == {"seconds": 5.0}
    monkeypatch.setitem(Linear.__init__.__kwdefaults__, "seconds", 0.3)
    server.instead = [hangs]
    linear_issues.work(batch=batch)
    assert {row.error for row in rows()} == {"Linear did not answer within 0.3 s."}
    assert all(row.next_try_at > timezone.now() for row in rows())
    assert server.count("Team") == 1


def test_a_refusal_is_kept_shown_and_tried_again_by_the_button(batch, server, client):
    server.instead = [as_usual, refused]
    linear_issues.work(batch=batch)
    failed = rows()[0]
    assert failed.error == "Linear refused: The team is archived." and failed.tries == 1
    assert (failed.next_try_at - timezone.now()).total_seconds() > 50
    summary = reporting.generated_summary(batch)
    assert "Created 3 Linear issues. Ready for execution." in summary
    assert "Warning: 1 Linear issue could not be created yet; CE Web tries again: Linear refused" in summary
    client.force_login(make_user())
    page = client.get(f"/batches/{batch.number}/").text
    assert "The team is archived." in page and "https://linear.app/test/issue/ENG-4" not in page
    assert "https://linear.app/test/issue/ENG-1" in page and "Create them now" in page
    said = client.post(f"/batches/{batch.number}/issues/", follow=True).text
    assert "1 Linear issue will be created" in said
    linear_issues.work(batch=batch)
    assert all(row.url for row in rows())
    again = client.post(f"/batches/{batch.number}/issues/", follow=True).text
    assert "already has its issue" in again


def test_a_team_that_is_not_there_and_a_token_that_is_refused_are_said_without_the_token(batch, server):
    Project.objects.update(linear_team="NOPE")
    linear_issues.work(batch=Batch.objects.get())
    assert rows()[0].error == "Linear has no team 'NOPE' that this token can see."
    due_again()
    update_project(project=batch.project, changes={"linear_token": "lin_secret_other"}, actor=ACTOR)
    linear_issues.work(batch=Batch.objects.get())
    assert rows()[0].error == "Linear refused: bad token …"
    assert server.issues == {}


def test_redirects_are_not_followed(batch, server):
    server.instead = [lambda *_: (307, {"Location": "http://127.0.0.1:1/"}, {})]
    linear_issues.work(batch=batch)
    assert rows()[0].error == "Linear responded with a redirect, which is not followed."


def test_the_token_is_kept_sealed_and_never_rendered(batch, client, settings):
    sealed = Project.objects.get().linear_token_sealed
    assert TOKEN not in sealed and unseal(sealed) == TOKEN
    client.force_login(make_user())
    project = batch.project
    for address in (f"/projects/{project.slug}/", f"/admin/batches/project/{project.pk}/change/"):
        text = client.get(address).text
        assert TOKEN not in text and sealed not in text
    page = client.get(f"/projects/{project.slug}/")
    form = {name: value for name, value in page.context["form"].initial.items() if value not in (None, False)}
    client.post(f"/projects/{project.slug}/", form | {"linear_token": ""})
    assert unseal(Project.objects.get().linear_token_sealed) == TOKEN, "an empty field leaves it"
    client.post(f"/projects/{project.slug}/", form | {"linear_forget": "on"})
    assert Project.objects.get().linear_token_sealed == ""
    settings.SECRET_KEY = "another key, as long as it has to be, for this one test"
    with pytest.raises(Unreadable, match="enter it again"):
        unseal(sealed)


def test_a_token_that_cannot_be_read_any_more_is_said(batch, server, settings):
    settings.SECRET_KEY = "another key, as long as it has to be, for this one test"
    linear_issues.work(batch=batch)
    assert "enter it again" in rows()[0].error and server.asked == []


def test_a_token_that_no_header_can_carry_holds_up_no_other_project(batch, server):
    Project.objects.update(linear_token_sealed=seal("tökén"))
    other = make_batch("1", states={"1": "succeeded"}, run_state="succeeded", operation="generate", project=make_project(name="Other"))
    update_project(project=other.project, changes={"linear_team": "ENG", "linear_token": TOKEN}, actor=ACTOR)
    linear_issues.want_issues(other)
    linear_issues.work()
    assert {row.error for row in LinearIssue.objects.filter(phase__batch=batch)} == {"Linear could not be reached (LocalProtocolError)."}
    assert LinearIssue.objects.get(phase__batch=other).identifier == "ENG-1"


@pytest.mark.parametrize("token", ["tökén", "lin_a\r\nX-Other: 1", "lin_a b", "lin_\0"])
@pytest.mark.parametrize("name", ["linear_token", "forge_token"])
def test_a_token_with_a_letter_that_none_has_is_refused_where_it_is_entered(batch, name, token):
    with pytest.raises(ServiceError, match="a letter that no token has"):
        update_project(project=batch.project, changes={name: token}, actor=ACTOR)


def test_a_token_of_the_environment_serves_projects_without_one(batch, server, settings):
    update_project(project=batch.project, changes={"linear_forget": True}, actor=ACTOR)
    assert not linear_issues.is_configured(batch.project)
    settings.LINEAR_API_KEY = TOKEN
    assert linear_issues.is_configured(batch.project)
    linear_issues.work(batch=Batch.objects.get())
    assert len(server.issues) == 4


@pytest.mark.parametrize("address", ["http://linear.example/graphql", "ftp://127.0.0.1/", "file:///etc/passwd", "", "https://"])
def test_only_https_is_spoken_to_but_for_this_machine(address: str):
    with pytest.raises(LinearError, match="https"):
        check_address(address)
    check_address("https://api.linear.app/graphql")
    check_address("http://127.0.0.1:8000/graphql")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"X-RateLimit-Requests-Reset": "1030000", "X-RateLimit-Requests-Remaining": "0"}, 30),
        ({"X-RateLimit-Requests-Reset": "1030000", "X-RateLimit-Complexity-Reset": "1090000", "X-RateLimit-Complexity-Remaining": "0"}, 90),
        ({"X-RateLimit-Requests-Reset": "1030000"}, 30),
        ({"X-RateLimit-Requests-Reset": "900000"}, 1),
        ({"Retry-After": "1e9"}, 3600),
        ({"Retry-After": "soon"}, 60),
        ({}, 60),
    ],
)
def test_a_rate_limits_reset_is_read_from_the_headers_and_bounded(headers: dict[str, str], seconds: float):
    assert reset_seconds(headers, 1000.0) == seconds


def test_what_is_sealed_differs_each_time_and_comes_back():
    assert seal("x") != seal("x") and unseal(seal("ключ")) == "ключ"


@pytest.mark.process
def test_the_command_creates_the_issues_and_writes_their_addresses_into_the_prps(world: World, server, capsys):
    update_project(project=world.project, changes={"linear_team": "ENG", "linear_token": TOKEN}, actor=ACTOR)
    path = world.repository.parent / "plan.md"
    path.write_text(SEED_FLOW)
    call_command("batch_gen_prp", str(path))
    assert capsys.readouterr().out.splitlines() == [
        "Batch 1 Generated:",
        "  Stage 1: PRP-1.1.1",
        "  Stage 2: PRP-1.2.1, PRP-1.2.2 (parallel)",
        "  Stage 3: PRP-1.3.1",
        "",
        "Created 4 Linear issues. Ready for execution.",
    ]
    document = world.git("show", "ce/batch-1:PRPs/feature-requests/PRP-1.1.1-part-1.md")
    assert 'issue: "https://linear.app/test/issue/ENG-1"' in document.split("---")[1]
    assert world.git("log", "-1", "--format=%s", "ce/batch-1") == "PRP-1: Link issues - A small plan"
    assert not linear_issues.has_work(timezone.now())
    batch = Batch.objects.get()
    again = prp_of(batch, batch.phases.first(), timezone.now())
    assert dict(again.extra) == {"issue": "https://linear.app/test/issue/ENG-1"}, "written anew it has the address too"


@pytest.mark.process
def test_linear_out_of_order_stops_nothing(world: World, server, capsys):
    update_project(project=world.project, changes={"linear_team": "GONE", "linear_token": TOKEN}, actor=ACTOR)
    path = world.repository.parent / "plan.md"
    path.write_text(SEED_FLOW)
    call_command("batch_gen_prp", str(path))
    out = capsys.readouterr().out
    assert "Created 4 PRPs. Ready for execution." in out and "Linear has no team 'GONE'" in out
    assert world.finish(world.execute(Batch.objects.get())).state == "succeeded"
