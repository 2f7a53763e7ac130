"""The whole log of an attempt: found where it lies, read a page at a time, searched, and followed."""

import json
import os
from pathlib import Path

import pytest

from batches.engine import log_reader
from batches.models import Attempt, Project
from subagents.contract import OrchestrationFiles
from tests.batches import builders

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def entry(message: str, kind: str = "output") -> str:
    return json.dumps({"at": "2026-01-02T03:04:05.678Z", "level": "info", "kind": kind, "message": message}, ensure_ascii=False) + "\n"


@pytest.fixture
def attempt(client, settings, tmp_path: Path) -> Attempt:
    """A live attempt of this host whose log has 2,500 lines."""
    settings.CE_HOST = "build-1"
    client.force_login(builders.make_user())
    builders.running_batch()
    Project.objects.update(repository=str(tmp_path))
    found = Attempt.objects.get(task__name="2a")
    files = OrchestrationFiles(str(tmp_path)).task(1, "2a")
    os.makedirs(os.path.dirname(files.log))
    Path(files.spec).write_text(json.dumps({"run": 1, "attempt": 1}))
    lines = [entry(f"line {number} of the work") for number in range(1, 2_501)]
    lines[1_233] = entry('\x1b[31mFAILED\x1b[0m "tests/ä.py" <script>\u202e')
    Path(files.log).write_text("".join(lines))
    return found


def log_file(attempt: Attempt) -> Path:
    return Path(OrchestrationFiles(Project.objects.get().repository).task(1, "2a").log)


def address(attempt: Attempt) -> str:
    return f"/batches/1/attempts/{attempt.pk}/log/"


def numbers(text: str) -> list[int]:
    return [int(part.partition('"')[0]) for part in text.split('<li id="L')[1:]]


def test_a_log_is_shown_from_its_end_and_paged_to_its_beginning(client, attempt):
    page = client.get(address(attempt)).context["page"]
    assert (page.first, page.last, page.total, page.later, page.earlier) == (2_001, 2_500, 2_500, None, 1_501)
    assert numbers(client.get(address(attempt) + "?start=1").text) == list(range(1, 501))
    shown = client.get(address(attempt) + "?line=1234").context["page"]
    assert shown.first < 1_234 < shown.last


def test_a_search_finds_words_across_colours_in_any_case_and_marks_them_escaped(client, attempt):
    text = client.get(address(attempt), {"q": 'failed "TESTS/Ä.py"'}).text
    assert "<strong>1 line</strong>" in text
    assert '<mark><span class="ansi red">FAILED</span></mark><mark> &quot;tests/ä.py&quot;</mark>' in text.replace("&#34;", "&quot;")
    assert "<script>\u202e" not in text and "⟦U+202E⟧" in text
    many = client.get(address(attempt), {"q": "line 12", "only": "1"})
    assert numbers(many.text) == list(many.context["page"].search.hits)
    assert numbers(many.text)[:3] == [12, 120, 121]
    assert client.get(address(attempt), {"q": "message"}).context["page"].search.hits == (), "the names of fields are not text"


def test_next_and_previous_go_from_hit_to_hit(client, attempt):
    page = client.get(address(attempt), {"q": "line 12", "line": "120"}).context["page"]
    assert (page.hit_before, page.hit_place, page.hit_after) == (12, 2, 121)


def test_a_search_that_takes_too_long_says_how_far_it_came_and_goes_on_from_there(client, attempt, monkeypatch):
    monkeypatch.setattr(log_reader, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(log_reader, "SEARCH_SECONDS", -1.0)
    first = client.get(address(attempt), {"q": "line 2500"}).context["page"].search
    assert first.hits == () and 1 < first.go_on < 2_500
    monkeypatch.setattr(log_reader, "SEARCH_SECONDS", 60.0)
    assert client.get(address(attempt), {"q": "line 2500", "since": first.go_on}).context["page"].search.hits == (2_500,)


@pytest.mark.parametrize("chunk", [7, 100, 1_000, 300_000])
def test_lines_are_found_whatever_the_borders_of_chunks_cut(attempt, monkeypatch, chunk):
    monkeypatch.setattr(log_reader, "CHUNK_BYTES", chunk)
    data = b"".join(f"{number}\n".encode() for number in range(1, 201)) + b"not ended"
    log = log_reader.Log(None, data, f"chunk-{chunk}")
    assert log.lines == 200
    for first in (1, 2, 50, 199, 200):
        assert [line.text for line in log.page(first, 3)] == [str(number) for number in range(first, min(201, first + 3))]
    assert log.page(201) == []
    assert log.search("99").hits == (99, 199)


def test_a_page_that_follows_gets_only_what_is_new(client, attempt, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        assert client.get(address(attempt), {"after": "2500"}, headers=HTMX).status_code == 204
    with log_file(attempt).open("a") as file:
        file.write(entry("one more") + '{"half')
    response = client.get(address(attempt), {"after": "2500"}, headers=HTMX)
    assert numbers(response.text) == [2_501] and "one more" in response.text
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=attempt.launched_at, outcome="cancelled")
    assert client.get(address(attempt), {"after": "2501"}, headers=HTMX).status_code == 286


def test_after_its_end_the_archived_log_is_read_although_the_next_attempt_writes_in_its_place(client, attempt):
    files = OrchestrationFiles(Project.objects.get().repository)
    files.archive_task(1, 1, "2a", 1)
    os.unlink(log_file(attempt))
    log_file(attempt).write_text(entry("the next attempt"))
    Path(files.task(1, "2a").spec).write_text(json.dumps({"run": 1, "attempt": 2}))
    text = client.get(address(attempt)).text
    assert "line 2500 of the work" in text and "the next attempt" not in text
    body = b"".join(client.get(address(attempt).replace("/log/", "/log.txt")).streaming_content)
    assert body.count(b"\n") == 2_500


def test_another_host_shows_the_end_that_its_row_keeps_and_says_where_the_rest_is(client, attempt, settings):
    settings.CE_HOST = "build-2"
    text = client.get(address(attempt)).text
    assert "lies on the host build-1" in text
    assert "12 passed in 0.42s" in text and "line 2500" not in text


def test_a_link_in_the_place_of_a_log_is_not_followed(client, attempt, tmp_path):
    (tmp_path / "secret").write_text(entry("a secret"))
    os.unlink(log_file(attempt))
    os.symlink(tmp_path / "secret", log_file(attempt))
    text = client.get(address(attempt)).text
    assert "a secret" not in text and "gone from this host" in text
