"""Every page answers in every state, shows hostile text as text, and costs a bounded number of queries."""

import functools
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.urls import reverse
from django.utils import timezone

from batches.metrics import facts
from batches.models import Attempt, Batch, Conflict, Gate, GateCheck, Host, Phase, Plan, Project, Result, Run, SignOff, Task
from batches.pages.batches import batch as batch_page
from batches.pages.batches.board import read_board
from batches.pages.batches.phase import TABS
from batches.templatetags.ce import coded
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


def page_addresses() -> list[str]:
    """Every GET page of what there is in the database."""
    found = ["/batches/", "/plans/", "/plans/new/", "/projects/", "/new-project/", "/health/", "/settings/"]
    found += ["/metrics/?period=all", "/metrics/attempts/", "/compare/?a=1&b=2"]
    for batch in Batch.objects.all():
        tails = ("", "progress/", "gates/", "graph/", "execute/", "stages/1/", "review/", "context/", "changes/", "kept/")
        found += [f"/batches/{batch.number}/{tail}" for tail in (*tails, "changes/?phase=1")]
        for phase in one_phase_of_each_state(batch):
            found += [f"/batches/{batch.number}/phases/{phase.key}/?tab={tab}" for tab in TABS]
    texts = {text: pk for pk, text in Plan.objects.values_list("pk", "text")}
    found += [f"/plans/{pk}/{tail}" for pk in texts.values() for tail in ("", "execute/")]
    return found + [f"/projects/{slug}/{tab}" for slug in Project.objects.values_list("slug", flat=True) for tab in ("", "?tab=settings")]


def one_phase_of_each_state(batch: Batch) -> list[Phase]:
    """The page of a second phase in the same state of the same batch is made of the same lines."""
    states = dict(Task.objects.filter(run__batch=batch, phase__isnull=False).values_list("phase_id", "state"))
    return list({states.get(phase.pk, ""): phase for phase in batch.phases.all()}.values())


@pytest.mark.long
def test_every_page_answers_in_every_state_of_a_batch(client, ada):
    builders.make_batch(run_state=None)
    builders.make_batch(run_state="queued")
    builders.running_batch()
    builders.running_batch(paused=True)
    builders.failed_batch(tokens=True)
    builders.finished_batch()
    builders.make_batch(states={"1": "succeeded", "2a": "cancelled"}, run_state="cancelled")
    builders.make_batch(operation="generate", states={"1": "running"}, run_state="running")
    builders.make_batch(operation="generate", states={"1": "failed"}, run_state="failed")
    builders.make_conflict(Batch.objects.get(number=3))
    builders.make_review(Batch.objects.get(number=6), "before", "needs_revision", overruled=True)
    builders.make_review(Batch.objects.get(number=6), "after", "approved_with_warnings")
    builders.make_review(Batch.objects.get(number=5), "before", "", state="running")
    builders.make_review(Batch.objects.get(number=7), "before", "", state="failed")
    for number, decision in ((6, "proposed"), (2, "accepted"), (3, "rejected"), (1, "unchanged")):
        builders.make_context_change(Batch.objects.get(number=number), decision, notes=("CLAUDE.md is a symbolic link",))
    builders.make_context_change(Batch.objects.get(number=7), "", state="failed")
    for address in page_addresses():
        response = client.get(address)
        assert response.status_code in (200, 286) or (address == "/health/" and response.status_code == 503), address
        assert "TEMPLATE-INVALID" not in response.text


def test_a_page_with_nothing_to_show_says_what_to_do(client, ada):
    assert "Add a project" in client.get("/batches/").text
    builders.make_project()
    assert "New plan" in client.get("/batches/").text
    plan = builders.make_plan()
    assert reverse("batches:plan_detail", args=[plan.pk]) in client.get("/batches/").text


@pytest.mark.parametrize("address", ["/batches/", "/plans/", "/projects/", "/metrics/", "/health/", "/batches/1/", "/batches/1/progress/"])
def test_who_is_not_signed_in_is_sent_to_the_sign_in_page(client, address):
    assert client.get(address)["Location"].startswith("/sign-in/?next=")


def test_an_expired_session_sends_a_polling_page_to_the_sign_in_page(client):
    response = client.get("/batches/1/progress/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/batches/1/"})
    assert response.status_code == 204
    assert response["HX-Redirect"] == "/sign-in/?next=%2Fbatches%2F1%2F"


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7|add:7 }} \u202egnp.exe\x07 hx-swap-oob="live"'


def inline_code(text: str) -> list[str]:
    """Handlers, scripts and styles that are part of the page itself."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            names = {name for name, _value in attrs}
            found.extend(name for name in names if name.startswith("on") or name == "style")
            data = ("type", "application/json") in attrs  # values, which a browser does not run
            if tag == "style" or (tag == "script" and "src" not in names and not data):
                found.append(tag)

    Reader().feed(text)
    return found


@pytest.mark.long
def test_hostile_text_is_escaped_and_hidden_characters_are_named_on_every_page(client, ada):
    batch = builders.failed_batch()
    builders.make_conflict(batch, file=HOSTILE[:200])
    Batch.objects.update(title=HOSTILE)
    Project.objects.update(name=HOSTILE[:80], backend="steps")
    Plan.objects.update(title=HOSTILE, file_name=HOSTILE, text=builders.PLAN_TEXT.replace("Set up", HOSTILE.replace("\x07", "")))
    Phase.objects.update(
        title=HOSTILE, goal=HOSTILE, hours_text=HOSTILE, files=[HOSTILE], steps=[{"number": 1, "text": HOSTILE, "commands": [HOSTILE]}]
    )
    Gate.objects.update(text=HOSTILE, command=HOSTILE)
    GateCheck.objects.update(output=HOSTILE, note=HOSTILE, command=HOSTILE)
    Task.objects.exclude(message="").update(message=HOSTILE)
    Attempt.objects.update(log_tail=f"{HOSTILE}\n", progress=HOSTILE, host=HOSTILE[:100])
    Result.objects.update(data={"x": HOSTILE}, files_created=[HOSTILE], undeclared=[HOSTILE], commits=[HOSTILE], diff=f"@@\n+{HOSTILE}\n")
    Run.objects.update(report=HOSTILE)
    Host.objects.create(name=HOSTILE[:100], last_tick_at=timezone.now(), facts={HOSTILE: HOSTILE})
    facts.rebuild()
    for address in page_addresses():
        text = client.get(address).text
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address
        shown = re.sub(r"<input [^>]*>", "", text)  # a field to edit holds the value as it is
        assert "\u202e" not in shown, address
        assert "\x07" not in shown, address
        assert 'hx-swap-oob="live"' not in text, address
        assert not inline_code(text), address
    assert "⟦U+202E⟧" in client.get(f"/batches/{batch.number}/").text


def test_the_hosts_that_an_attempt_asked_for_are_on_its_page_and_the_refused_ones_come_first(client, ada):
    batch = builders.failed_batch()
    reached = {"host": "pypi.org", "port": 443, "count": 3, "sent": 1700, "received": 52000, "refused": ""}
    refused = {"host": HOSTILE, "port": 443, "count": 2, "sent": 0, "received": 0, "refused": "is not among them"}
    Result.objects.update(data={"connections": [refused, reached]})
    text = client.get(f"/batches/{batch.number}/phases/2a/?tab=attempts").text
    assert "2 asked for" in text and "1 refused" in text and "<script>alert" not in text
    assert text.index("not connected: it is not among them") < text.index("pypi.org") and "52000" in text


@pytest.mark.parametrize(
    ("address", "most"),
    [
        ("/batches/", 20),
        ("/batches/1/", 26),
        ("/batches/1/progress/", 25),
        ("/batches/1/stages/2/", 16),
        ("/batches/1/phases/2a/?tab=gates", 24),
        ("/plans/", 9),
        ("/projects/", 7),
        ("/metrics/", 33),
        ("/health/", 15),
    ],
)
def test_the_number_of_queries_of_a_page_does_not_grow_with_its_rows(client, ada, django_assert_max_num_queries, address, most):
    builders.running_batch()
    for _ in range(3):
        builders.failed_batch()
    with django_assert_max_num_queries(most):
        client.get(address)


def test_a_poll_without_news_costs_six_queries_and_answers_204(client, ada, django_assert_max_num_queries):
    batch = builders.running_batch()
    version = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    with django_assert_max_num_queries(6):
        response = client.get(f"/batches/{batch.number}/progress/", {"v": version}, headers={"HX-Request": "true"})
    assert response.status_code == 204


def test_polls_of_many_watchers_share_a_look_that_is_a_moment_old_and_none_goes_back(client, ada, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("batches.pages.batches.live.REST", 1e6)  # the most there is: a second
    monkeypatch.setattr("batches.pages.batches.live.REST_SECONDS", 3600.0)
    batch = builders.running_batch()
    version = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    ask = functools.partial(client.get, f"/batches/{batch.number}/progress/", headers={"HX-Request": "true"})
    Batch.objects.bump(batch.pk)
    with django_assert_num_queries(3):  # the session, the person, which batch it is
        assert ask({"v": version}).status_code == 204
    opened = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    assert opened != version, "a page that is opened shows what is"
    assert opened in ask({"v": version}).text and ask({"v": opened}).status_code == 204
    Batch.objects.bump(batch.pk)
    newest = f'value="{Batch.objects.get().version}-"'
    assert newest in ask({"v": "999999-"}).text, "a page that shows more than is remembered is told what is"


def test_the_list_gets_only_what_changed_and_goes_on_asking_seldom_when_nothing_is_at_work(client, ada, django_assert_max_num_queries):
    first, second = builders.running_batch(), builders.running_batch(title="Another")
    page = client.get("/batches/")
    assert page.context["rows"][0].left is None, "one finished phase says little"
    version = re.search(r'name="v" value="([^"]+)"', page.text).group(1)
    assert 'hx-trigger="every 2s, ce:now"' in page.text
    with django_assert_max_num_queries(4):
        assert client.get("/batches/", {"v": version}, headers={"HX-Request": "true"}).status_code == 204
    Batch.objects.bump(second.pk)
    text = client.get("/batches/", {"v": version}, headers={"HX-Request": "true"}).text
    assert 'id="batch-2" hx-swap-oob="true"' in text and 'id="batch-1"' not in text
    Run.objects.update(state="succeeded", ended_at=timezone.now())
    Batch.objects.bump(first.pk)
    last = client.get("/batches/", {"v": version}, headers={"HX-Request": "true"})
    assert last.status_code == 200 and 'id="batch-1"' in last.text and 'id="rows"' not in last.text
    assert 'hx-trigger="every 16s, ce:now"' in last.text and "v=" not in re.search(r'hx-get="([^"]+)"', last.text).group(1)


def test_a_batch_that_begins_appears_in_a_list_that_held_nothing(client, ada):
    builders.finished_batch()
    page = client.get("/batches/?view=running")
    assert "No batch is running." in page.text
    version = re.search(r'name="v" value="([^"]+)"', page.text).group(1)
    assert client.get("/batches/", {"view": "running", "v": version}, headers={"HX-Request": "true"}).status_code == 204
    builders.running_batch()
    text = client.get("/batches/", {"view": "running", "v": version}, headers={"HX-Request": "true"}).text
    assert "?v=" not in text and "&amp;v=" not in text, "what a poll asked with is in no address of its answer"
    assert 'id="rows" hx-swap-oob="true"' in text and 'id="batch-2"' in text and 'hx-trigger="every 2s, ce:now"' in text


def test_the_list_and_the_page_say_the_same_time_left(client, ada):
    states = {"1": "succeeded", "2a": "succeeded", "2b": "running"}
    batch = builders.make_batch("1 -> 2a 2b 2c -> 3", states=states, run_state="running")
    (row,) = client.get("/batches/").context["rows"]
    board = read_board(batch, batch.runs.get(), timezone.now())
    assert row.left.seconds == pytest.approx(board.time_left.seconds, rel=0.05) and row.left.seconds > 0
    assert board.critical_path == ("2c", "3")
    assert board.unblocks == {"2b": 1, "2c": 1, "3": 0}
    assert "Finishing this unblocks 1" in client.get("/batches/1/").text


@pytest.mark.parametrize("part", ["", "graph/", "timeline/", "stages/2/"])
def test_the_number_of_queries_does_not_grow_with_the_phases(client, ada, django_assert_max_num_queries, part):
    batch = builders.wide_batch(60)
    with django_assert_max_num_queries(40):
        assert client.get(f"/batches/{batch.number}/{part}").status_code == 200


@pytest.mark.long
def test_a_hundred_watchers_cost_one_rendering(client, ada, monkeypatch):
    batch = builders.running_batch()
    version = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    Batch.objects.bump(batch.pk)
    made = []
    monkeypatch.setattr(batch_page, "render_fragments", lambda board, executes: made.append(1) or {"head": "<p id='head'></p>"})
    for _ in range(100):
        assert client.get(f"/batches/{batch.number}/progress/", {"v": version}, headers={"HX-Request": "true"}).status_code == 200
    assert made == [1]


def test_a_poll_brings_only_the_parts_that_changed(client, ada):
    batch = builders.running_batch()
    version = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    Attempt.objects.filter(task__name="2a").update(progress="Step 2 of 4: Testing")
    Batch.objects.bump(batch.pk)
    response = client.get(f"/batches/{batch.number}/progress/", {"v": version}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    sent = re.findall(r'id="([^"]+)" hx-swap-oob="true"', response.text)
    assert [name for name in sent if name != "timeline"] == ["phase-2"]  # the timeline's right end is now
    assert 'id="live-version"' in response.text
    assert "Step 2 of 4: Testing" in response.text


def test_the_tab_of_a_phase_says_its_state(client, ada):
    builders.failed_batch()
    batch = builders.running_batch()
    at_work = client.get(f"/batches/{batch.number}/phases/2a/").text
    assert re.search(r'id="mark"[^>]* data-look="running" data-title="◐ 2a [^"]+ · Batch 2" data-attention="0" data-live="true"', at_work)
    done = client.get("/batches/1/phases/1/").text
    assert re.search(r'id="mark"[^>]* data-look="succeeded" data-title="✓ 1 ', done)


def test_the_end_of_a_run_is_sent_with_286_and_the_report_comes_first(client, ada):
    batch = builders.running_batch()
    version = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    now = timezone.now()
    Task.objects.update(state="succeeded")
    Run.objects.update(state="succeeded", ended_at=now, reported_at=now, report="All done.")
    Batch.objects.bump(batch.pk)
    response = client.get(f"/batches/{batch.number}/progress/", {"v": version}, headers={"HX-Request": "true"})
    assert response.status_code == 286
    assert "All done." in response.text
    assert "data-poll" not in client.get(f"/batches/{batch.number}/").text


def test_an_attempt_that_falls_silent_is_shown_although_no_row_changed(client, ada):
    batch = builders.running_batch()
    version = re.search(r'name="v" value="([^"]+)"', client.get(f"/batches/{batch.number}/").text).group(1)
    Attempt.objects.filter(task__name="2a").update(last_beat_at=timezone.now() - timedelta(seconds=50))
    response = client.get(f"/batches/{batch.number}/progress/", {"v": version}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "No heartbeat for" in response.text


def test_a_wide_batch_gets_cards_only_for_what_runs(client, ada):
    batch = builders.wide_batch(120)
    text = client.get(f"/batches/{batch.number}/").text
    assert text.count('class="phase"') == 8
    assert "All 118 phases of this stage" in text


@pytest.mark.parametrize(
    "address",
    ["/batches/?q=%00", "/batches/?project=%00&state=x", "/metrics/?project=%00", "/audit/?who=a%00", "/projects/%00/", "/?%00=1"],
)
def test_a_nul_in_an_address_is_refused_on_every_database(client, ada, address):
    answer = client.get(address)
    assert answer.status_code in (400, 404)
    assert answer.status_code == 404 or "could not be read" in answer.content.decode()


def test_a_nul_in_a_field_is_refused_and_in_a_plan_is_a_fault_of_the_plan(client, ada):
    builders.running_batch()
    gate = Gate.objects.select_related("phase__batch").first()
    address = reverse("batches:sign_off_gate", args=[gate.phase.batch.number, gate.pk])
    assert client.post(address, {f"sign-off-{gate.pk}": "seen\0"}).status_code == 400
    assert not SignOff.objects.exists()
    told = client.post(reverse("batches:preview"), {"text": "# Plan\n\0"})
    assert told.status_code == 200 and "U+0000" in told.content.decode()


def test_answers_carry_the_security_headers(client, ada):
    response = client.get("/batches/")
    assert response["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert "no-store" in response["Cache-Control"]
    assert not inline_code(response.text)


def test_conflicts_show_what_was_decided(client, ada):
    batch = builders.failed_batch()
    builders.make_conflict(batch, decision="serialize")
    assert "One after the other ✓" in client.get(f"/batches/{batch.number}/").text
    assert Conflict.objects.get().decision == "serialize"


def test_every_place_that_shows_a_phase_tells_the_colours_of_its_success_apart(client, ada):
    batch = builders.wide_batch(16)
    Gate.objects.filter(phase__batch=batch).delete()  # nobody can check anything
    for place in ("", "stages/2/", "phases/2.1/"):
        text = client.get(f"/batches/1/{place}").text
        assert "succeeded, not verified" in text, place
        assert not re.search(r'data-state="succeeded"><span[^>]*>[^<]*</span>succeeded<', text), place
    stage = read_board(batch, batch.runs.get(), timezone.now()).stages[1]
    assert {card.state for card in stage.open_cards} == {"running"}  # what is at work or failed, not all that nobody checked


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Run `npm ci` first", "Run <code>npm ci</code> first"),
        ("`a` and ``b``", "<code>a</code> and <code>b</code>"),
        ("`<b>` & `x", "<code>&lt;b&gt;</code> &amp; `x"),
        (None, ""),
    ],
)
def test_what_stands_in_back_ticks_is_shown_as_code_and_nothing_else_is_markup(text, told):
    assert coded(text) == told
