"""The changes of a batch in a browser: files are marked as viewed and commented on by pointer and by key."""

import pytest
from playwright.sync_api import expect

from batches.models import Attempt, DiffComment, Result, ViewedFile
from tests.batches import builders

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DIFF = "diff --git a/src/app/{name}.py b/src/app/{name}.py\n@@ -1,2 +1,2 @@\n import os\n-x = 1\n+x = 2\n"


def test_a_person_views_file_after_file_and_says_what_should_change(open_tab, transactional_db):
    builders.failed_batch()
    Result.objects.update(diff="")
    one, other = Attempt.objects.filter(task__name__in=("1", "2a")).order_by("pk")
    Result.objects.filter(attempt=one).update(diff=DIFF.format(name="first") + DIFF.format(name="second"))
    Result.objects.filter(attempt=other).update(diff=DIFF.format(name="first"))
    page = open_tab().open("/batches/1/changes/")
    files = page.locator("details.diff")
    expect(files).to_have_count(3)
    files.first.locator("summary").focus()
    page.keyboard.press("v")
    expect(page.locator("#viewed-count")).to_have_text("1")
    expect(files.first).not_to_have_attribute("open", "")
    expect(files.nth(1).locator("summary")).to_be_focused()
    assert ViewedFile.objects.get().phase.key == "1"
    expect(page.locator(".file-tree a[data-viewed]")).to_have_count(1)
    page.keyboard.press("c")
    expect(page.locator("#comment-file")).to_have_value("src/app/first.py")
    expect(page.locator("#comment-attempt")).to_have_value(str(other.pk))
    page.keyboard.press("Escape")
    files.nth(1).locator("tr.add td.at").last.click()
    page.keyboard.type("Why two?")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator("tr.remark")).to_contain_text("Why two?")
    assert DiffComment.objects.get().attempt == other
    expect(page.locator("#viewed-count")).to_have_text("1")
    page.wait_for_load_state()  # keys are heard from then on
    page.keyboard.press("s")
    expect(page.locator(".code-split")).not_to_have_count(0)
