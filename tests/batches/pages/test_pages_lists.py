"""Filters of the lists, the project's page around its work, the time axis, and the filters of the administration."""

from datetime import timedelta

import pytest
from django.utils import timezone

from batches.models import Attempt, Batch, Project
from batches.pages.batches.batch_states import latest_run
from batches.pages.batches.board import read_board
from batches.pages.batches.timeline import tick_words
from tests.batches import builders

pytestmark = pytest.mark.django_db


def test_batches_are_narrowed_by_project_person_and_date_and_the_counts_follow(client):
    ada = builders.make_user()
    shop, other = builders.make_project("Shop"), builders.make_project("Another")
    mine = builders.make_batch(run_state="failed", project=shop, title="In the shop")
    theirs = builders.make_batch(run_state="failed", project=other, title="Elsewhere")
    Batch.objects.filter(pk=mine.pk).update(created_by=ada, created_at=timezone.now() - timedelta(days=9))
    client.force_login(ada)

    def shown(**query: str) -> list[int]:
        page = client.get("/batches/", query)
        assert page.context["counts"]["all"] == len(page.context["rows"])
        return [row.batch.number for row in page.context["rows"]]

    assert shown() == [theirs.number, mine.number]
    assert shown(project=shop.slug) == [mine.number] == shown(by="ada")
    assert shown(since=timezone.now().date().isoformat()) == [theirs.number]
    assert shown(operation="execute") == [theirs.number, mine.number] and shown(operation="review") == []
    assert len(shown(since="0001-01-01")) == 2 == len(shown(since="no date")) and shown(by="nobody") == []


def test_batches_are_sorted_by_a_column_with_the_unknown_last(client):
    cheap, dear, unknown = (builders.make_batch(run_state="succeeded", states={"1": "succeeded"}, tokens=True) for _ in range(3))
    for batch, cost in ((cheap, 1), (dear, 20), (unknown, None)):
        Attempt.objects.filter(task__run__batch=batch).update(cost_usd=cost)
    client.force_login(builders.make_user())

    def shown(sort: str) -> list[int]:
        return [row.batch.number for row in client.get("/batches/", {"sort": sort}).context["rows"]]

    assert shown("-cost") == [dear.number, cheap.number, unknown.number]
    assert shown("cost") == [cheap.number, dear.number, unknown.number]
    assert shown("") == shown("nonsense") == [unknown.number, dear.number, cheap.number]
    text = client.get("/batches/", {"sort": "-cost"}).text
    assert 'aria-sort="descending"' in text and "?sort=cost" in text


def test_a_person_saves_views_of_the_list_that_nobody_else_sees(client):
    builders.failed_batch()
    ada, grace = builders.make_user(), builders.make_user("grace")
    client.force_login(ada)
    here = client.get("/batches/", {"view": "failed", "sort": "-cost", "page": "1"}).context["here"]
    assert here == "sort=-cost&view=failed"
    client.post("/batches/views/", {"name": " Dear  failures ", "query": here})
    page = client.get("/batches/?view=failed&sort=-cost")
    assert page.context["this_view"].name == "Dear failures" and "Forget" in page.text
    client.post("/batches/views/", {"name": "Dear failures", "query": "view=done&nonsense=1"})
    assert list(ada.saved_views.values_list("query", flat=True)) == ["view=done"], "the same name replaces it"
    client.force_login(grace)
    client.post("/batches/views/", {"remove": str(ada.saved_views.get().pk)})
    assert ada.saved_views.count() == 1 and client.get("/batches/").context["saved_views"] == []
    client.force_login(ada)
    client.post("/batches/views/", {"remove": str(ada.saved_views.get().pk)})
    assert not ada.saved_views.exists()
    assert "needs a name" in client.post("/batches/views/", {"name": " ", "query": ""}, follow=True).text


def test_chosen_batches_are_archived_at_once_and_each_refusal_says_why(client):
    open_project = builders.make_project("Open")
    done, live = builders.make_batch(run_state="failed", project=open_project), builders.running_batch(project=open_project)
    closed = builders.make_batch(run_state="failed", project=builders.make_project("Closed"))
    viewer = builders.make_user("mia", admin=False)
    Project.objects.filter(pk=closed.project_id).update(members_only=True)
    client.force_login(builders.make_user())
    assert f'id="choose-{done.number}"' in client.get("/batches/").text
    asked = {"batch": [done.number, live.number, 99, "x"], "query": "view=all&evil=//elsewhere"}
    answer = client.post("/batches/archive/", asked, follow=True)
    assert answer.redirect_chain[0][0] == "/batches/?view=all"
    assert "1 batch archived" in answer.text and f"Batch {live.number} is busy" in answer.text
    assert list(Batch.objects.exclude(archived_at=None)) == [done]
    client.post("/batches/archive/", {"batch": [done.number], "back": "1"})
    assert not Batch.objects.exclude(archived_at=None).exists()
    assert "Choose at least one" in client.post("/batches/archive/", {}, follow=True).text
    client.force_login(viewer)
    assert f'id="choose-{done.number}"' not in client.get("/batches/").text
    refused = client.post("/batches/archive/", {"batch": [done.number, closed.number]}, follow=True)
    assert f"Batch {done.number} is archived by an administrator" in refused.text, [str(m) for m in refused.context["messages"]]
    assert f"Batch {closed.number}" not in refused.text
    assert not Batch.objects.exclude(archived_at=None).exists()


def test_hints_are_for_who_is_new_on_a_fresh_installation_and_never_return_once_closed(client):
    client.force_login(builders.make_user())
    assert client.get("/batches/").text.count("data-points-at") == 4
    assert client.post("/tour/close/").url == "/batches/"
    assert client.post("/tour/close/", headers={"HX-Request": "true"}).content == b"", "closing them twice does nothing"
    assert "data-points-at" not in client.get("/batches/").text
    client.force_login(builders.make_user("mia"))
    assert "data-points-at" in client.get("/batches/").text
    for _ in range(3):
        builders.failed_batch()
    assert "data-points-at" not in client.get("/batches/").text


def test_the_list_of_plans_shows_the_last_result_and_offers_execute(client):
    builders.failed_batch()
    client.force_login(builders.make_user())
    text = client.get("/plans/").text
    assert 'href="/batches/1/"' in text and "/execute/" in text
    assert "Nothing here" in client.get("/plans/", {"project": "no-such"}).text


def test_the_page_of_a_project_is_about_its_work_and_its_settings_stand_in_groups(client):
    batch = builders.failed_batch()
    client.force_login(builders.make_user())
    address = f"/projects/{batch.project.slug}/"
    work = client.get(address).text
    assert "New plan" in work and 'class="mini"' in work and "Phases in parallel" not in work
    settings = client.get(address, {"tab": "settings"})
    assert "<legend>Money</legend>" in settings.text
    listed = [field.name for _, fields in settings.context["groups"] for field in fields]
    assert sorted(listed) == sorted(settings.context["form"].fields), "each field once, also one that was added later"


def test_a_project_says_of_its_batches_what_their_list_says(client):
    paused, generated = builders.running_batch(title="Paused"), builders.make_batch(run_state="succeeded", title="Generated")
    paused.runs.update(paused=True)
    generated.runs.update(operation="generate")
    client.force_login(builders.make_user())
    listed = {row.batch.title: (row.state, row.word) for row in client.get("/batches/").context["rows"]}
    page = client.get(f"/projects/{paused.project.slug}/")
    assert {row.batch.title: (row.state, row.word) for row in page.context["batches"]} == listed
    assert listed == {"Paused": ("paused", ""), "Generated": ("planned", "ready")} and "paused</span>" in page.text


def test_the_time_axis_shows_each_attempt_and_what_is_blocked():
    batch = builders.failed_batch()
    board = read_board(batch, latest_run(batch), timezone.now())
    rows = {row.card.phase.key: row for stage in board.timeline.drawn for row in stage.rows}
    blocked = next(card.phase.key for card in board.cards if card.state == "blocked")
    assert not rows[blocked].bars and [bar.state for bar in rows["2a"].bars][-1] == "failed"
    assert [stage.card.stage.number for stage in board.timeline.drawn] == [1, 2, 3] and all(stage.opened for stage in board.timeline.drawn)
    assert board.timeline.ticks[0].words == "0" and len(board.timeline.ticks) <= 7
    assert [tick_words(seconds) for seconds in (30, 300, 7200)] == ["30 s", "5 min", "2 h"]


def test_a_long_timeline_waits_outside_the_live_page_and_shows_every_phase_at_each_width(client):
    batch = builders.wide_batch(60)
    client.force_login(builders.make_user())
    address = f"/batches/{batch.number}/timeline/"
    live = client.get(f"/batches/{batch.number}/").text
    assert f'hx-get="{address}"' in live and "plot-row" not in live
    drawn = client.get(address).context["timeline"]
    begun = sum(card.attempt is not None for stage in drawn.stages for card in stage.cards)
    assert begun > 30 and sum(len(stage.rows) for stage in drawn.drawn) == begun
    assert [stage.opened for stage in drawn.drawn] == [False, True], "what has ended is folded"
    wide = client.get(address, {"zoom": "16"}, headers={"HX-Request": "true"})
    assert wide.context["timeline"].zoom == 16 and "<html" not in wide.text and len(wide.context["timeline"].ticks) > len(drawn.ticks)
    assert client.get(address, {"zoom": "3"}).context["timeline"].zoom == 1


def test_rows_of_the_administration_are_filtered_by_batch_and_lead_to_the_page(client):
    builders.failed_batch()
    builders.failed_batch()
    client.force_login(builders.make_user())
    first = client.get("/admin/batches/task/", {"batch": "1"})
    assert {task.run.batch.number for task in first.context["cl"].queryset} == {1}
    task = first.context["cl"].queryset.filter(phase__key="2a").get()
    assert "/batches/1/phases/2a/" in client.get(f"/admin/batches/task/{task.pk}/change/").text
    assert client.get("/admin/batches/batch/", {"batch": "2"}).context["cl"].queryset.get().number == 2
