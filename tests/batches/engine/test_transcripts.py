"""The transcript of an attempt on its pages: windows, filters, links to entries, following, what programs get and people download."""

import json
import os
from pathlib import Path

import pytest

from batches.accounts import api_tokens
from batches.accounts.actor import Actor
from batches.models import Attempt, Project
from subagents.contract import EntryKind, OrchestrationFiles
from subagents.transcript import Transcript
from tests.batches import builders

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def transcript_file(key: str = "2a") -> Path:
    return Path(OrchestrationFiles(Project.objects.get().repository).task(1, key).transcript)


def fill(path: Path, count: int) -> None:
    """A conversation of `count` entries: each eighth one says something, in between tools are called."""
    written = Transcript(str(path), pytest.fail)
    for number in range(1, count + 1):
        if number % 8 == 1:
            written.add(EntryKind.MESSAGE, f"Now part {number}: <b>hello</b>", tokens={"input_tokens": 9, "output_tokens": 4})
        elif number % 8 == 3:
            edit = f"--- a\n+++ a\n@@ -1 +1 @@\n-{number}\n+new\n"
            written.add(EntryKind.EDIT, "Edit a.py", tool="Edit", seconds=0.5, edit=edit, of=number - 1)
        elif number % 2:
            written.add(EntryKind.RESULT, "Bash make", tool="Bash", output=f"done {number}\nall well\n", seconds=2.0, of=number - 1)
        else:
            written.add(EntryKind.TOOL_CALL, "Bash make", tool="Bash", given="make all")


@pytest.fixture
def attempt(client, settings, tmp_path: Path) -> Attempt:
    """A live attempt of this host whose transcript has 250 entries."""
    settings.CE_HOST = "build-1"
    client.force_login(builders.make_user())
    builders.running_batch()
    Project.objects.update(repository=str(tmp_path))
    files = OrchestrationFiles(str(tmp_path)).task(1, "2a")
    os.makedirs(os.path.dirname(files.log))
    Path(files.spec).write_text(json.dumps({"run": 1, "attempt": 1}))
    fill(Path(files.transcript), 250)
    return Attempt.objects.get(task__name="2a")


def tab(client, **asked: object) -> str:
    return client.get("/batches/1/phases/2a/", {"tab": "transcript", **asked}).text


def more(client, attempt: Attempt, **asked: object):
    return client.get(f"/batches/1/attempts/{attempt.pk}/transcript/", asked, headers=HTMX)


def numbers(text: str) -> list[int]:
    return [int(part.partition('"')[0]) for part in text.split('<li id="entry-')[1:]]


def test_the_tab_shows_the_newest_entries_and_pages_to_the_first(client, attempt, django_assert_max_num_queries):
    text = tab(client)
    assert numbers(text) == list(range(151, 251)) and "250 entries" in text
    with django_assert_max_num_queries(5):
        earlier = more(client, attempt, before=151).text
    assert numbers(earlier) == list(range(51, 151)) and 'value="51"' in earlier
    first = more(client, attempt, before=51).text
    assert numbers(first) == list(range(1, 51)) and 'id="entries-earlier" hx-swap-oob="delete"' in first
    assert numbers(tab(client, before=51)) == list(range(1, 51)), "without scripts the buttons are links"


def test_what_an_agent_wrote_is_escaped_folded_and_told_with_durations_and_tokens(client, attempt):
    text = tab(client, entry=3)
    assert "&lt;b&gt;hello" in text and "<b>hello" not in text
    assert '<span class="line minus">-3</span><span class="line plus">+new</span>' in text
    assert "<details open" not in text and "<summary>Input</summary>" in text
    assert 'href="?tab=transcript&amp;attempt=' in text and "entry=2#entry-2" in text
    assert "2.0 s" in text and "9 → 4" in text and "<summary> all well" in text


def test_an_entry_has_an_address_that_shows_it_with_what_is_around(client, attempt):
    shown = tab(client, entry=100)
    assert numbers(shown) == list(range(80, 180)) and 'id="entry-100" class="entry lit"' in shown
    assert numbers(more(client, attempt, behind=179).text) == list(range(180, 251))
    sent = client.get(f"/batches/1/attempts/{attempt.pk}/transcript/?entry=100")
    assert sent.status_code == 302 and sent.url == f"/batches/1/phases/2a/?entry=100&tab=transcript&attempt={attempt.pk}#entry-100"


def test_kinds_and_words_filter_and_are_kept_while_one_pages_and_follows(client, attempt):
    edits = tab(client, kind="edit")
    assert numbers(edits) == list(range(3, 250, 8)) and "the filter shows 31" in edits
    assert numbers(tab(client, kind=["edit", "message"]))[:4] == [1, 3, 9, 11]
    assert numbers(tab(client, q="PART 9:")) == [9] and numbers(tab(client, q="done 125\nall")) == [125]
    assert numbers(tab(client, q="duration")) == [], "the names of fields are not text"
    assert "No entry is like that" in tab(client, q="nothing like it")
    assert numbers(more(client, attempt, kind="edit", after=200).text) == [203, 211, 219, 227, 235, 243]
    assert "kind=edit" in edits.partition("data-poll")[2].partition(">")[0] or "kind=edit" in edits.rpartition("data-poll")[2]


def test_a_page_that_follows_gets_only_what_is_new(client, attempt, django_assert_max_num_queries):
    with django_assert_max_num_queries(5):
        assert more(client, attempt, after=250).status_code == 204
    with transcript_file().open("a") as file:
        file.write(json.dumps({"number": 251, "kind": "note", "text": "One more."}) + '\n{"half')
    response = more(client, attempt, after=250)
    assert numbers(response.text) == [251] and "One more." in response.text and 'value="251"' in response.text
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=attempt.launched_at, outcome="cancelled")
    assert more(client, attempt, after=251).status_code == 286


def test_a_hidden_page_that_catches_up_gets_the_newest_and_is_told_of_the_rest(client, attempt):
    transcript_file().unlink()
    fill(transcript_file(), 1_000)
    text = more(client, attempt, after=10).text
    assert numbers(text) == list(range(701, 1_001)) and "690 entries came meanwhile" in text


def test_a_poll_of_the_phase_leaves_the_entries_alone_and_a_new_attempt_loads_its_own(client, attempt):
    page = client.get("/batches/1/phases/2a/", {"tab": "transcript"})
    batch = attempt.task.run.batch
    type(batch).objects.bump(batch.pk)
    poll = client.get("/batches/1/phases/2a/", {"tab": "transcript", "v": page.context["version"]}, headers=HTMX)
    assert poll.status_code == 200 and 'id="phase-body"' not in poll.text
    assert 'id="phase-body"' in tab(client), "the first rendering has it"


def test_it_can_be_taken_away_as_lines_and_as_a_document(client, attempt):
    base = f"/batches/1/attempts/{attempt.pk}/transcript"
    lines = b"".join(client.get(f"{base}.jsonl").streaming_content)
    assert lines == transcript_file().read_bytes()
    text = b"".join(client.get(f"{base}.md").streaming_content).decode()
    assert text.count("\n## ") == 250 and "```diff\n--- a" in text and "*" in text and "2.0 s" in text


def test_programs_read_on_from_a_cursor(client, attempt):
    _token, secret = api_tokens.make_token(name="t", days=7, actor=Actor.person(builders.make_user("root")))

    def ask(**asked: object) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {secret}"}
        return client.get("/api/batches/1/phases/2a/transcript/", asked, headers=headers).json()

    first = ask(limit=200)
    assert [entry["number"] for entry in first["entries"]] == list(range(1, 201))
    assert (first["cursor"], first["more"], first["ended"], first["total"]) == (200, True, False, 250)
    assert (first["attempt"], first["attempt_number"]) == (attempt.pk, 1)
    rest = ask(limit=200, cursor=first["cursor"])
    assert [entry["number"] for entry in rest["entries"]] == list(range(201, 251)) and (rest["cursor"], rest["more"]) == (250, False)
    assert ask(cursor=250)["entries"] == [] and ask(cursor=250)["cursor"] == 250
    assert {entry["kind"] for entry in ask(kind="edit")["entries"]} == {"edit"}
    assert "limit" in str(ask(limit="many")["error"])
    assert "Unknown kinds: shout" in str(ask(kind="shout")["error"])


def test_another_host_and_an_attempt_without_an_agent_say_so(client, attempt, settings):
    transcript_file().unlink()
    assert "run without an agent" in tab(client)
    settings.CE_HOST = "build-2"
    assert "lies on the host build-1" in tab(client)
    assert more(client, attempt, after=0).status_code == 286
