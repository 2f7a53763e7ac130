"""The plan's pages: choices about conflicts, versions and their differences, several files at once, the preflight check."""

import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.html import escape

from batches.core.gates.binding import understand
from batches.core.plans.analysis import checks_of
from batches.core.plans.conflicts import conflict_id
from batches.models import Batch, Plan, PlanDecision
from batches.pages.uploads import LimitedUpload
from batches.plans.conflict_decisions import decide_plan_conflicts
from batches.plans.read_plan import report_of
from batches.plans.versions import import_plan
from tests.batches import builders
from tests.batches.world import ACTOR, phase, plan, writes

pytestmark = pytest.mark.django_db

CLASH = plan(phase("1", files="a.txt", steps=writes("1")), phase("2", files="a.txt", steps=writes("2")))
ACROSS = plan(
    phase("1", files="b.txt", steps=writes("1")),
    phase("2", files="a.txt", needs="Phase 1", steps=writes("2")),
    phase("3", files="a.txt, b.txt", steps=writes("3")),
)
SHARED = plan(phase("1", files="a.txt", steps=writes("1")), phase("2", files="a.txt", needs="Phase 1", steps=writes("2")))


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


def kept(text: str = CLASH, **options) -> Plan:
    return import_plan(text=text, file_name="plan.md", project=None, actor=ACTOR, **options)


def field_of(text: str) -> str:
    (conflict,) = (one for one in report_of(Plan(text=text)).analysis.conflicts if one.kind != "ordered")
    return f"decision-{conflict_id(conflict)}"


def test_the_preview_offers_a_choice_for_each_conflict_with_its_cost_and_its_line(client, ada):
    text = client.post("/plans/preview/", {"text": CLASH}).text
    assert text.count('type="radio"') == 2
    assert "(+ 1 h)" in text
    line = CLASH.split("\n").index("**Files Modified**: a.txt", CLASH.split("\n").index("### Phase 2: Part 2")) + 1
    assert f'data-line="{line}"' in text
    assert "1 not decided" in text


def test_a_choice_is_counted_in_the_longest_chain_at_once(client, ada):
    name = field_of(CLASH)
    anyway = client.post("/plans/preview/", {"text": CLASH, name: "warn"}).text
    serial = client.post("/plans/preview/", {"text": CLASH, name: "serialize"}).text
    assert "all decided" in anyway
    assert "with what runs one after the other" not in anyway
    assert "1 h, 2 h with what runs one after the other" in serial


def test_a_choice_survives_while_its_conflict_is_away(client, ada):
    name = field_of(CLASH)
    text = client.post("/plans/preview/", {"text": SHARED, name: "serialize"}).text
    assert f'<input type="hidden" name="{name}" value="serialize">' in text


def test_conflicts_across_stages_are_said_to_need_dataflow_and_ordered_ones_are_folded(client, ada):
    across = client.post("/plans/preview/", {"text": ACROSS}).text
    assert "collide only when phases start as soon as what they depend on is merged" in across
    shared = client.post("/plans/preview/", {"text": SHARED}).text
    assert "1 more file shared by phases that depend on one another: no conflict" in shared
    assert 'type="radio"' not in shared


def test_choices_of_the_editor_are_kept_with_the_plan(client, ada):
    client.post("/plans/new/", {"text": CLASH, field_of(CLASH): "serialize"})
    row = PlanDecision.objects.get()
    assert (row.decision, row.decided_by, row.phases) == ("serialize", ada, ["1", "2"])


def test_a_conflict_is_decided_on_the_plans_page_and_who_did_is_shown(client, ada):
    made = kept()
    key = field_of(CLASH).removeprefix("decision-")
    response = client.post(reverse("batches:plan_decide", args=[made.pk]), {"conflict": key, "decision": "serialize"}, follow=True)
    assert "One after the other ✓" in response.text
    assert re.search(r"Decided <time[^>]*>[^<]*</time> by ada", response.text)
    refused = client.post(reverse("batches:plan_decide", args=[made.pk]), {"conflict": "x", "decision": "warn"}, follow=True)
    assert "no such conflict" in refused.text


def test_who_may_only_look_sees_conflicts_without_buttons_and_may_not_edit(client):
    made = kept()
    client.force_login(builders.make_user("bob", admin=False))
    text = client.get(f"/plans/{made.pk}/").text
    assert "Not decided; one after the other costs" in text
    assert "/conflicts/" not in text
    assert client.get(f"/plans/{made.pk}/edit/").status_code == 403
    assert client.post(f"/plans/{made.pk}/edit/", {"text": "# x"}).status_code == 403
    assert client.post(reverse("batches:plan_decide", args=[made.pk]), {"conflict": "x", "decision": "warn"}).status_code == 403
    assert Plan.objects.count() == 1


def test_saving_an_edited_plan_makes_a_version_and_the_list_shows_the_latest_alone(client, ada):
    first = kept()
    response = client.post(f"/plans/{first.pk}/edit/", {"text": CLASH.replace("A small plan", "A better plan")}, follow=True)
    assert "Version 2 ·" in response.text
    assert "Versions" in response.text
    listed = client.get("/plans/").text
    assert "A better plan" in listed
    assert "A small plan" not in listed
    assert "is the latest" in client.get(f"/plans/{first.pk}/").text
    first.refresh_from_db()
    assert first.text == CLASH


def test_saving_without_a_change_makes_no_version(client, ada):
    first = kept()
    response = client.post(f"/plans/{first.pk}/edit/", {"text": CLASH.replace("\n", "\r\n")}, follow=True)
    assert "Nothing was changed" in response.text
    assert Plan.objects.count() == 1


def test_any_two_versions_are_compared_line_by_line(client, ada):
    first = kept()
    second = kept(CLASH.replace("A small plan", "Second"), edited=first)
    third = kept(CLASH.replace("A small plan", "Third"), edited=first)
    last = client.get(f"/plans/{third.pk}/diff/").text
    assert "# Second" in last
    assert "# Third" in last
    assert "1 line added" in last
    wide = client.get(f"/plans/{second.pk}/diff/", {"from": "1", "to": "3"}).text
    assert "Version 1 to version 3" in wide
    assert re.search(r'class="line-del">.*?# A small plan', wide, re.DOTALL)
    assert client.get(f"/plans/{second.pk}/diff/", {"from": "99", "to": "x"}).status_code == 200
    assert "Their lines are the same" in client.get(f"/plans/{first.pk}/diff/").text


def test_a_batch_says_which_version_it_was_made_of(client, ada):
    batch = builders.failed_batch()
    later = builders.make_plan(first_version=batch.plan, version=2)
    assert "plan, version 1" in client.get(f"/batches/{batch.number}/").text
    shown = client.get(f"/plans/{later.pk}/").text
    assert f"/batches/{batch.number}/" in shown
    assert "version 1 ·" in shown


def upload(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_several_files_are_kept_one_by_one_and_a_bad_one_does_not_spoil_the_others(client, ada, settings):
    settings.CE_UPLOAD_BYTES = 5_000
    files = [
        upload("good.md", CLASH.encode()),
        upload("faulty.md", b"# A plan\n\n### Phase 1: Set up\n\n**Goal**: x\n"),
        upload("picture.md", b"\x89PNG\r\n\x1a\n\0\0\0"),
        upload("large.md", b"x" * 5_001),
    ]
    response = client.post("/plans/new/", {"file": files})
    assert response.status_code == 200
    assert "2 of 4 files saved as plans" in response.text
    assert response.text.count("not saved") == 2
    assert "picture.md cannot be saved" in response.text
    assert "It has 5,001 bytes; the limit is 5,000" in response.text
    assert "Estimated Hours" in response.text
    assert sorted(Plan.objects.values_list("file_name", flat=True)) == ["faulty.md", "good.md"]


def test_files_that_are_all_too_large_answer_413_and_leave_nothing(client, ada, settings, tmp_path):
    settings.CE_UPLOAD_BYTES = 1_000
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    response = client.post("/plans/new/", {"file": [upload("a.md", b"x" * 1_001), upload("b.md", b"x" * 2_000_000)]})
    assert response.status_code == 413
    assert not Plan.objects.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_request_larger_than_all_its_files_may_be_is_refused_before_it_is_read(client, ada, settings):
    settings.CE_UPLOAD_BYTES = 1_000
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
    response = client.post("/plans/new/", {"file": upload("a.md", b"x" * 60_000)})
    assert response.status_code == 413
    assert "At most 1,000 bytes" in response.text


def test_too_many_files_are_refused_in_words(client, ada, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    response = client.post("/plans/new/", {"file": [upload(f"{n}.md", CLASH.encode()) for n in range(3)]})
    assert response.status_code == 400
    assert "At most 2 files" in response.text
    assert not Plan.objects.exists()


def test_of_a_file_past_the_limit_nothing_is_held(settings):
    settings.CE_UPLOAD_BYTES = 10
    handler = LimitedUpload()
    handler.new_file("file", "a.md", "text/markdown", None)
    handler.receive_data_chunk(b"12345678", 0)
    handler.receive_data_chunk(b"12345678", 8)
    handler.receive_data_chunk(b"1", 16)
    made = handler.file_complete(17)
    assert (made.size, made.read()) == (17, b"")


def test_the_preflight_check_is_a_fragment_for_the_chosen_project(client, ada):
    project = builders.make_project()
    made = builders.make_plan(project=None)
    assert "no project chosen yet" in client.get(f"/plans/{made.pk}/checks/", headers={"HX-Request": "true"}).text
    chosen = client.get(f"/plans/{made.pk}/checks/", {"project": project.pk}, headers={"HX-Request": "true"}).text
    assert project.repository in chosen
    assert "steps runs commands only" in chosen
    assert "<html" in client.get(f"/plans/{made.pk}/checks/").text
    assert client.get(f"/plans/{made.pk}/checks/", {"project": "999"}).status_code == 404


SIZES = [(4, True, False), (80, True, False), (150, True, False), (151, False, True), (601, False, False)]


@pytest.mark.long
@pytest.mark.parametrize(("phases", "drawn", "asked"), SIZES)
def test_the_graph_is_drawn_at_once_or_when_asked_or_not_at_all(client, ada, phases, drawn, asked):
    made = builders.make_plan(builders.plan_text(phases))
    text = client.get(f"/plans/{made.pk}/").text
    assert (text.count('class="node') > 0) == drawn
    assert ("Draw the graph of" in text) == asked
    assert ("node-compact" in text) == (drawn and phases > 80)
    graph = client.get(f"/plans/{made.pk}/graph/", headers={"HX-Request": "true"}).text
    assert (graph.count("data-node=") == phases) == (phases <= 600)


def test_a_plan_without_phases_shows_its_errors_and_no_empty_picture(client, ada):
    text = client.post("/plans/preview/", {"text": "# A plan\n\nNothing yet.\n"}).text
    assert "Errors" in text
    assert "<svg role" not in text
    assert "Hours and forecast" not in text


def test_the_forecast_says_that_there_is_no_data_or_how_many_runs_it_is_from(client, ada):
    assert "no data yet" in client.post("/plans/preview/", {"text": builders.PLAN_TEXT}).text
    builders.finished_batch()
    assert re.search(r"percentile of \d+ finished run", client.post("/plans/preview/", {"text": builders.PLAN_TEXT}).text)


def test_a_forecast_of_a_part_says_of_how_many_phases_it_is(client, ada):
    builders.finished_batch()
    text = client.post("/plans/preview/", {"text": builders.plan_text(6)}).text
    assert re.search(r"only of [1-5] of 6 phases", text)


def test_the_confirmation_shows_what_was_decided_and_what_was_not(client, ada):
    builders.make_project()
    made = kept()
    assert "1 file conflict, 1 not decided" in client.get(f"/plans/{made.pk}/execute/").text
    decide_plan_conflicts(plan=made, decisions={field_of(CLASH).removeprefix("decision-"): "serialize"}, actor=ACTOR)
    text = client.get(f"/plans/{made.pk}/execute/").text
    assert "1 file conflict, all decided" in text
    assert "2 stages, longest chain" not in text
    assert "longest chain 2 h" in text


def test_the_preview_says_what_each_gate_runs_or_why_not_and_one_press_writes_the_choice_into_the_plan(client, ada):
    gates = ("`pytest -q` passes", "`mytool check`", "It feels right", "`a.txt` exists")
    text = plan(phase("1", files="a.txt", steps=writes("1"), gates=gates))
    shown = client.post("/plans/preview/", {"text": text}).text
    assert "pytest -q" in shown and "is in the commit: a.txt" in shown
    reads = checks_of(report_of(Plan(text=text)).reading.plan.phases[0])
    assert [bool(read.offer) for read in reads] == [False, True, False, False]
    for read in reads:
        assert (read.gate.command or escape(read.sentence)) in shown, read
    table = shown[shown.index('id="gates-list"') :].partition("</details>")[0]
    (repair,) = re.findall(r'name="repair"\s+value="([^"]+)"', table)
    after = client.post("/plans/repair/", {"text": text, "repair": repair}).text
    assert "`mytool check` (checked: `mytool check`)" in unescape(after)
    batch = builders.make_batch("1")
    gate = batch.phases.get().gates.first()
    type(gate).objects.filter(pk=gate.pk).update(text="`mytool check`", kind="unverified")
    page = client.get(f"/batches/{batch.number}/phases/1/?tab=gates").text
    assert escape(understand(1, "`mytool check`").sentence) in page and "(checked: `mytool check`)" in page


LOOSE = "# Shop\n\n## Chapter 1: Cart\n\n1. Write src/cart.py\n\n## Chapter 2: Mail\n\n1. Send it\n\n## Notes\n\n| a |\n|---|\n| b |\n"


def test_all_repairs_at_once_show_every_change_and_can_be_undone(client, ada):
    page = client.post(reverse("batches:preview"), {"text": LOOSE}).content.decode()
    assert "2 headings (“Chapter 1: Cart” and others like it)" in page
    assert "Repair all, one after the other" in page and "Repair all, all at once" in page
    repaired = client.post(reverse("batches:plan_repair"), {"text": LOOSE, "repair": "all-in-order"})
    text = repaired.context["text"]
    assert "## Phase 2: Mail" in text and "**Dependencies**: Phase 1\n" in text
    body = repaired.content.decode()
    assert "No errors." in body and "Estimated Hours of 2 phases" in body and 'class="line-add"' in body
    undone = client.post(reverse("batches:plan_repair"), {"text": text, "before": repaired.context["before"], "repair": "undo"})
    assert undone.context["text"] == LOOSE
    assert not Plan.objects.exists()


def test_what_is_not_read_is_counted_and_given_to_the_editor(client, ada):
    text = builders.plan_text(1) + "\n## Notes\n\n- [ ] Later\n"
    page = client.post(reverse("batches:preview"), {"text": text})
    assert [piece.text for piece in page.context["preview"].unread] == ["- [ ] Later"]
    assert "It stands outside every phase." in page.content.decode()
    assert "data-unread" in page.content.decode()


def test_a_phase_is_edited_as_a_form_which_writes_into_the_text_and_saves_nothing(client, ada):
    text = builders.PLAN_TEXT
    page = client.post("/plans/form/", {"text": text, "form_phase": "1"})
    assert page.status_code == 200 and 'name="form-goal"' in page.text and 'name="write"' in page.text
    written = client.post("/plans/form/", {"text": text, "form_phase": "2", "write": "1", "form-hours": "7", "form-title": "Another name"})
    assert "Phase 1: Another name" in written.context["text"] and "7" in written.context["text"] and written.context["before"] == text
    assert written.context["changes"] == {"Phase 1 by its form": 1} and not Plan.objects.exists()
    refused = client.post("/plans/form/", {"text": text, "form_phase": "1", "write": "1", "form-dependencies": "Phase 99"})
    assert "does not exist" in unescape(refused.text) and refused.context["text"] == text
    assert refused.context["phase_form"]["dependencies"] == "Phase 99"  # what was typed is shown again
    assert "no single phase" in unescape(client.post("/plans/form/", {"text": text, "form_phase": "none"}).text)


def test_a_plan_without_a_project_is_never_executed_on_one_that_nobody_chose(client):
    first, second = builders.make_project("Another shop"), builders.make_project("Shop")
    plan = builders.make_plan(builders.plan_text(2), project=None)
    client.force_login(builders.make_user())
    address = f"/plans/{plan.pk}/execute/"
    page = client.get(address)
    assert page.context["project"] is None and "Choose a project" in page.text
    assert "Execute 2 phases </button>" in " ".join(page.text.split())
    refused = client.post(address, {"on_conflict": "warn"})
    assert refused.status_code == 400 and "Choose the project to execute it on." in refused.text and not Batch.objects.exists()
    chosen = client.get(address, {"project": second.pk, "budget_usd": "7"})
    assert chosen.context["project"] == second and "on Shop" in " ".join(chosen.text.split()) and 'value="7"' in chosen.text
    assert "4 (project)" in chosen.text, "what is left empty shows the value of the project"
    assert first.name in chosen.text


def test_a_plan_is_not_shown_green_over_undecided_conflicts_or_errors_of_the_preflight_check(client):
    conflict = builders.make_plan(CLASH, project=builders.make_project())
    client.force_login(builders.make_user())
    page = client.get(f"/plans/{conflict.pk}/").text
    assert 'id="verdict" data-state="stale"' in " ".join(page.split()) and "to decide" in page
    checks = " ".join(client.get(f"/plans/{conflict.pk}/checks/?verdict=1", headers={"HX-Request": "true"}).text.split())
    assert 'id="verdict" data-state="failed"' in checks, "its repository does not exist"
    assert "it cannot run" in checks and "of the preflight check" in checks
