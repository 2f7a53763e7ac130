"""The transcript in a browser: it grows while it is followed, goes back a window at a time, and an entry's address leads to it."""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from batches.models import Project
from subagents.contract import OrchestrationFiles
from tests.batches import builders
from tests.batches.engine.test_transcripts import fill

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def transcript(transactional_db, settings, tmp_path: Path) -> Path:
    """The file of a live attempt of this host, with 1,200 entries: more than a page that follows keeps."""
    settings.CE_HOST = "build-1"
    builders.running_batch()
    Project.objects.update(repository=str(tmp_path))
    files = OrchestrationFiles(str(tmp_path)).task(1, "2a")
    os.makedirs(os.path.dirname(files.log))
    Path(files.spec).write_text(json.dumps({"run": 1, "attempt": 1}))
    fill(Path(files.transcript), 1_200)
    return Path(files.transcript)


def test_entries_come_by_themselves_what_is_open_stays_and_the_button_goes_back(open_tab, transcript):
    page = open_tab().open("/batches/1/phases/2a/?tab=transcript")
    entries = page.locator("#entries > li")
    expect(entries).to_have_count(100)
    page.locator("#entry-1200 summary").click()
    with transcript.open("a") as file:
        file.write(json.dumps({"number": 1201, "kind": "message", "text": "Just said <b>now</b>."}) + "\n")
    expect(page.locator("#entry-1201")).to_contain_text("Just said <b>now</b>.")
    assert page.locator("#entry-1200 details").get_attribute("open") is not None
    page.locator("#entries-earlier a").click()
    expect(page.locator("#entry-1001")).to_be_attached()
    expect(entries).to_have_count(201)


def test_the_address_of_an_entry_in_another_window_leads_to_it_opened(open_tab, transcript):
    page = open_tab().open("/batches/1/phases/2a/?tab=transcript#entry-10")
    expect(page.locator("#entry-10 details")).to_have_attribute("open", "")
    assert "entry=10" in page.url
    page.locator("#entry-12 a.ln").click()
    expect(page.locator("#entry-12.lit")).to_be_visible()
