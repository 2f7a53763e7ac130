"""Live pages: what the reader opened stays, polls stop when they should, old data says how old it is."""

import re
import subprocess
from datetime import UTC, datetime

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Page, expect

from batches.models import Attempt, Batch, Project, Run, Task
from tests.batches import builders

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def polls(page: Page) -> list[str]:
    """The polls that leave the page from now on; what the browser fetches for itself, such as the icon, is none."""
    asked: list[str] = []
    page.on("request", lambda request: "/progress/" in request.url and asked.append(request.url))
    return asked


def move_on(batch: Batch, **attempt) -> None:
    Attempt.objects.filter(task__name="2a").update(**attempt)
    Batch.objects.bump(batch.pk)


def test_progress_arrives_without_a_reload_and_nothing_of_the_reader_is_lost(open_tab):
    """Open details, the focus, the place on the page and inside a log, and what is selected, also where the new part is."""
    batch = builders.running_batch()
    tab = open_tab(size=(1280, 500))
    page = tab.open("/batches/1/")
    page.locator("#stage-1 > summary").click()
    page.locator("#phase-3 a.phase-title").focus()
    page.evaluate("window.kept = true; window.scrollTo(0, 200)")
    move_on(batch, progress="Step 3 of 4: Testing", step=3)
    Attempt.objects.filter(task__name="2b").update(progress="Step 2 of 4: Reading")
    Batch.objects.bump(batch.pk)
    expect(page.get_by_text("Step 3 of 4: Testing")).to_be_visible()
    expect(page.get_by_text("Step 2 of 4: Reading")).to_be_visible()
    assert page.evaluate("window.kept")
    assert page.locator("#stage-1").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.closest('.phase').id") == "phase-3", "in a card that was swapped"
    assert page.evaluate("window.scrollY") == 200
    page.evaluate("document.getSelection().selectAllChildren(document.querySelector('#phase-2 .phase-progress'))")
    move_on(batch, progress="Step 4 of 4: Done soon", step=4)
    Attempt.objects.filter(task__name="2b").update(progress="Step 3 of 4: Writing")
    Batch.objects.bump(batch.pk)
    expect(page.get_by_text("Step 3 of 4: Writing")).to_be_visible()
    assert page.evaluate("document.getSelection().toString().trim()") == "Step 3 of 4: Testing", "what is selected waits"
    page.evaluate("document.getSelection().removeAllRanges()")
    expect(page.get_by_text("Step 4 of 4: Done soon")).to_be_visible()


def test_a_list_that_waits_shows_what_begins_and_then_follows_it(open_tab, settings):
    builders.finished_batch()
    page = open_tab().open("/batches/?view=running")
    expect(page.get_by_text("No batch is running.")).to_be_visible()
    page.evaluate("window.kept = true")
    page.locator("#view-failed").focus()
    builders.running_batch()
    page.evaluate("document.querySelectorAll('[data-poll]').forEach((one) => htmx.trigger(one, 'ce:now'))")
    expect(page.locator("#batch-2")).to_be_visible()
    expect(page.locator("#view-running .count")).to_have_text("1")
    assert page.evaluate("document.activeElement.id") == "view-failed" and page.evaluate("window.kept")
    Task.objects.filter(run__batch__number=2, name="2a").update(state="succeeded")
    Batch.objects.bump(Batch.objects.get(number=2).pk)
    expect(page.locator("#batch-2 td").nth(3)).to_have_text("2 / 4")  # by its own polls from now on
    expect(page.locator("#view-running")).to_have_attribute("aria-current", "true")


def test_a_log_grows_at_its_end_and_its_lines_stay_the_same(open_tab):
    batch = builders.running_batch()
    page = open_tab().open("/batches/1/phases/2a/?tab=log")
    page.evaluate("document.querySelector('#phase-log li').kept = true")
    attempt = Attempt.objects.get(task__name="2a")
    move_on(batch, log_tail=attempt.log_tail + '\n{"kind": "output", "message": "\\u001b[31mnew\\u001b[0m line"}', log_bytes=4096)
    expect(page.locator("#phase-log li").last).to_have_text("new line")
    expect(page.locator("#phase-log .ansi.red")).to_have_text("new")
    assert page.evaluate("document.querySelector('#phase-log li').kept")
    assert page.locator("#phase-log li").count() == 5


def test_keys_move_search_and_explain_and_the_tab_says_how_it_stands(open_tab):
    builders.running_batch()
    builders.failed_batch(title="Another")
    page = open_tab().open("/batches/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "/batches/1/"
    page.keyboard.press("k")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("j?")
    assert page.locator("#search").input_value() == "j?"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/batches/2/")
    assert page.title().startswith("(1) ✕ 2/4 · Batch 2: Another")
    assert page.locator("#icon").get_attribute("href").startswith("data:image/svg+xml,")


def test_who_asked_to_be_told_is_told_when_the_batch_ends(open_tab):
    batch = builders.running_batch()
    tab = open_tab()
    tab.page.add_init_script(
        "window.notes = []; window.Notification = class extends EventTarget {"
        " static permission = 'default'; static async requestPermission() { return Notification.permission = 'granted'; }"
        " constructor(title) { super(); window.notes.push(title); } }; document.hasFocus = () => false;"
    )
    page = tab.open("/batches/1/")
    page.get_by_role("button", name="Notify me").click()
    expect(page.get_by_role("button", name="Notifications on")).to_have_attribute("aria-pressed", "true")
    now = timezone.now()
    Task.objects.update(state="succeeded")
    Attempt.objects.filter(ended_at=None).update(ended_at=now, outcome="succeeded")
    Run.objects.update(state="succeeded", ended_at=now, reported_at=now, report="Done.")
    Batch.objects.bump(batch.pk)
    expect(page).to_have_title(re.compile("^! 4/4 · Batch 1"))  # two of its phases have no gate that was judged
    assert [note.partition(":")[0] for note in page.evaluate("window.notes")] == ["! 4/4 · Batch 1"]


def test_the_page_of_a_run_that_ends_shows_the_report_and_asks_no_more(open_tab):
    batch = builders.running_batch()
    page = open_tab().open("/batches/1/")
    now = timezone.now()
    Task.objects.update(state="succeeded")
    Attempt.objects.filter(ended_at=None).update(ended_at=now, outcome="succeeded")
    Run.objects.update(state="succeeded", ended_at=now, reported_at=now, report="All four phases are done.")
    Batch.objects.bump(batch.pk)
    expect(page.locator("#report")).to_contain_text("All four phases are done.")
    expect(page.locator("h1 + .pill")).to_have_text("!succeeded, 2 phases not verified")
    expect(page.locator("#announce[role=status]")).to_have_text("Batch 1 succeeded, 2 phases not verified: 4 of 4 phases done, 0 failed.")
    expect(page.locator("#as-of")).to_contain_text("Ended, as of")
    asked = polls(page)
    page.wait_for_timeout(1_000)
    assert len(asked) <= 1, "but for one look after the end; a page that goes on asks three times"


def test_times_are_in_the_zone_of_whoever_looks_and_the_zone_is_named_once(open_tab, browser):
    batch = builders.failed_batch()
    Batch.objects.filter(pk=batch.pk).update(created_at=datetime(2026, 1, 2, 23, 30, tzinfo=UTC))
    Run.objects.update(ended_at=datetime(2026, 1, 2, 23, 30, tzinfo=UTC), report="It failed.")
    tab = open_tab(zone="Asia/Tokyo")
    page = tab.open("/batches/1/")
    expect(page.locator("#zone")).to_have_text("Asia/Tokyo (UTC+09:00)")
    ended = page.locator("#report time")
    expect(ended).to_have_text("2026-01-03 08:30")
    ended.hover()
    expect(ended).to_have_attribute("title", "2026-01-03 08:30:00 UTC+09:00")


def test_what_another_person_does_is_shown_on_an_ended_batch_and_on_a_tab_without_a_reload(open_tab):
    batch = builders.failed_batch()
    first, second = open_tab().open("/batches/1/"), open_tab().open("/batches/1/gates/")
    for page in (first, second):
        page.evaluate("window.same = true")
    first.locator("#stage-1 > summary").click()
    run = batch.runs.get()
    moved = {"from_state": "failed", "to_state": "pending", "cause": "person:mia", "at": timezone.now()}
    run.transitions.create(task=run.tasks.get(name="2a"), event="retry", **moved)
    Run.objects.update(state="running", ended_at=None, reported_at=None)
    Batch.objects.bump(batch.pk)
    for page in (first, second):
        expect(page.locator("h1 + .pill")).to_have_text("◐running")
        expect(page.locator("#notice")).to_contain_text("Retried phase 2a by mia")
        assert page.evaluate("window.same"), "the page is the same, not loaded anew"
    expect(first.locator("#stage-1")).to_have_attribute("open", "")
    Run.objects.update(paused=True)
    Batch.objects.bump(batch.pk)
    expect(first.locator("h1 + .pill")).to_have_text("‖paused")  # its own poll has begun again


def test_a_list_that_is_open_shows_what_is_added_elsewhere_and_takes_away_nothing_that_is_typed(open_tab):
    builders.failed_batch()
    page = open_tab().open("/plans/")
    builders.make_plan(builders.plan_text(2), title="Written elsewhere")
    expect(page.get_by_role("link", name="Written elsewhere", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("half a wo")
    builders.make_plan(builders.plan_text(2), title="Written later")
    expect(page.get_by_role("button", name="Show", exact=True)).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value("half a wo")


def test_a_hidden_tab_does_not_ask(open_tab):
    builders.running_batch()
    page = open_tab().open("/batches/1/")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    asked = polls(page)
    page.wait_for_timeout(1_000)
    assert not asked


def test_without_an_answer_the_old_data_stays_and_says_so(open_tab):
    builders.running_batch()
    tab = open_tab()
    tab.expected += ["Failed to load resource", "/progress/", "409", "htmx:"]
    page = tab.open("/batches/1/")
    page.route("**/progress/**", lambda route: route.abort())
    expect(page.locator("#as-of")).to_contain_text("No connection. Data as of")
    expect(page.get_by_role("heading", name="Text statistics")).to_be_visible()


def test_an_expired_session_leads_to_the_sign_in_page_and_back(open_tab):
    builders.running_batch()
    page = open_tab().open("/batches/1/")
    Session.objects.all().delete()
    page.wait_for_url("**/sign-in/?next=%2Fbatches%2F1%2F")


def test_a_refused_button_says_why_and_the_page_stays(open_tab):
    batch = builders.running_batch()
    tab = open_tab()
    tab.expected += ["Failed to load resource", "/progress/", "409", "htmx:"]
    page = tab.open("/batches/1/")
    page.route("**/progress/**", lambda route: route.abort())
    Run.objects.update(state="succeeded", ended_at=timezone.now())
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#notice")).to_contain_text("already succeeded")
    assert page.url.endswith(f"/batches/{batch.number}/")


def test_a_batch_is_executed_paused_cancelled_and_retried_without_javascript(browser, live_server, user, client, tmp_path):
    batch = builders.make_batch(run_state=None)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A Person", "-c", "user.email=person@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "Start"], ["branch", batch.branch]):
        subprocess.run([*git, *arguments], check=True)
    Project.objects.update(repository=str(tmp_path))
    client.force_login(user)
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    page.goto(live_server.url + "/batches/1/")
    page.get_by_role("link", name="Execute…").click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Execute ")).click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").click()
    page.locator("#verb-cancel > summary").click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(page.get_by_text("being stopped")).to_be_visible()
    run = Run.objects.get()
    assert run.cancel_requested and not run.paused
    Task.objects.filter(run=run).update(state="cancelled")
    Task.objects.filter(run=run, name="1").update(state="failed", reason="crashed", message="Its process died")
    now = timezone.now()
    Run.objects.update(state="failed", ended_at=now, reported_at=now, cancel_requested=False)
    Batch.objects.bump(batch.pk)
    page.reload()
    page.get_by_role("button", name="Retry failed (1)").click()
    expect(page.get_by_text("Will be retried: 1")).to_be_visible()
    context.close()


def test_the_link_of_an_error_selects_its_line_and_a_repair_is_made(open_tab):
    tab = open_tab()
    page = tab.open("/plans/new/")
    fields = "**Goal**: Make it\n**Complexity**: low\n**Files Modified**: a.py\n**Dependencies**: None\n"
    text = f"# A plan\n\n## Phases\n\n### Phase 1: Set up\n\n{fields}\n**Implementation Steps**:\n1. Make it\n"
    page.get_by_label("Plan in markdown").fill(text)
    link = page.locator(".issues a").first
    expect(link).to_be_visible()
    link.click()
    selected = "(() => { const t = document.getElementById('id_text'); return t.value.slice(t.selectionStart, t.selectionEnd); })()"
    assert page.evaluate(selected) == "### Phase 1: Set up"
    page.locator(".issues button").first.click()
    expect(page.get_by_text("No errors.")).to_be_visible()
    assert "**Estimated Hours (assumed)**" in page.get_by_label("Plan in markdown").input_value()
