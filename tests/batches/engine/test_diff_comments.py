"""Comments on lines of a diff: with the code around, open until a person resolves them, told to the next attempt's agent."""

import pytest
from django.urls import reverse

from batches.core.review.diff_comments import code_around, told_to_agent
from batches.engine.diff_comments import AGAIN
from batches.engine.messages_to_agents import REMARK_CHARACTERS
from batches.models import Attempt, DiffComment, Project, Result, Run, Task
from tests.batches import builders
from tests.batches.accounts.test_users import add

pytestmark = pytest.mark.django_db
DIFF = """diff --git a/calc.py b/calc.py
index 1..2 100644
--- a/calc.py
+++ b/calc.py
@@ -1,3 +1,3 @@
 def add(a, b):
-    return a - b
+    return a + b
 # end
"""


@pytest.fixture
def attempt(client):
    """A failed attempt of an agent, with a diff."""
    client.force_login(builders.make_user())
    builders.failed_batch()
    Run.objects.update(backend="command")
    found = Attempt.objects.get(task__name="2a")
    Result.objects.filter(attempt=found).update(diff=DIFF)
    return found


def say(client, attempt, **fields: object):
    asked = {"file": "calc.py", "line": "2", "text": "Why plus?", **fields}
    return client.post(reverse("batches:comment", args=[1, attempt.pk]), asked, follow=True)


def test_a_line_is_quoted_with_what_is_around_it_on_both_sides():
    assert code_around(DIFF, "calc.py", 2, False) == " def add(a, b):\n-    return a - b\n+    return a + b\n # end"
    assert code_around(DIFF, "calc.py", 2, True) is not None
    assert code_around(DIFF, "calc.py", 9, False) is None and code_around(DIFF, "other.py", 2, False) is None
    told = told_to_agent([(7, "calc.py", 2, False, "+x", "Why?"), (8, "b.py", 1, True, "-y", "Keep it.")])
    assert "Comment 7, calc.py, line 2: Why?\n\n    +x" in told and "b.py, line 1 before the change: Keep it." in told
    assert told_to_agent([]) == ""
    assert "Comment 9, a.py: All of it." in told_to_agent([(9, "a.py", 0, False, "", "All of it.")])
    many = told_to_agent([(line, "calc.py", line, False, "+x" * 400, "Why?") for line in range(1, 40)])
    assert len(many) < 8_000 and "+x" not in many and "calc.py, line 39: Why?" in many, "the code is left out, no comment is"


@pytest.mark.parametrize(
    ("count", "size", "first", "words"),
    [
        (7, 950, 7, ""),
        (8, 1_000, 6, "2 more comments are not told; they stay open."),
        (7, 1_000, 6, "1 more comment is not told; it stays open."),
        (700, 1, 225, "475 more comments are not told; they stay open."),
    ],
)
def test_comments_that_a_remark_cannot_hold_are_counted_and_the_oldest_are_told(count, size, first, words):
    told = told_to_agent([(number, "a.py", number, False, "+x", "y" * size) for number in range(1, count + 1)])
    assert len(f"{AGAIN}\n\n{told}") <= REMARK_CHARACTERS and told.endswith(words)
    assert f"Comment {first}, " in told and (f"Comment {count}, " in told) == (not words)


def test_a_comment_stays_open_until_a_person_resolves_it(client, attempt):
    text = say(client, attempt).text
    (one,) = DiffComment.objects.all()
    assert (one.file, one.line, one.removed, one.name) == ("calc.py", 2, False, "ada") and "+    return a + b" in one.code
    assert "1 open comment" in text and "Why plus?" in text and "Retry with the comments" in text
    assert "1 open comment" not in client.post(reverse("batches:resolve_comment", args=[1, one.pk]), follow=True).text
    one.refresh_from_db()
    assert one.resolved_name == "ada" and one.resolved_at is not None
    assert "resolved already" in client.post(reverse("batches:resolve_comment", args=[1, one.pk]), follow=True).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "  "}, "Say something about the line"),
        ({"text": "x" * 1_001}, "at most 1000 characters"),
        ({"line": "two"}, "Name the line by its number"),
        ({"line": "77"}, "The diff shows no line 77"),
        ({"file": "<b>"}, "The diff shows no line 2 of"),
    ],
)
def test_what_is_no_comment_on_a_line_is_refused_in_a_sentence(client, attempt, fields, words):
    assert words in say(client, attempt, **fields).text and not DiffComment.objects.exists()


def test_a_retry_with_the_comments_tells_them_to_the_agent_after_the_remark(client, attempt, monkeypatch):
    say(client, attempt)
    told = []
    monkeypatch.setattr("batches.pages.batches.retry.retries.retry_task", lambda **how: told.append(how["remark"]) or [attempt.task])
    address = reverse("batches:retry_task", args=[1, attempt.task_id])
    client.post(address, {"comments": "1", "remark": "Take care."})
    client.post(address, {"remark": "Take care."})
    with_comments, without = told
    assert with_comments.startswith("Take care.\n\nA person commented on the diff") and "calc.py, line 2: Why plus?" in with_comments
    assert without == "Take care."


def test_a_comment_without_a_line_is_one_on_the_file(client, attempt):
    assert "Commented on calc.py." in say(client, attempt, line="").text
    (one,) = DiffComment.objects.all()
    assert (one.line, one.code, one.place) == (0, "", "calc.py")
    assert "shows no file" in say(client, attempt, line="", file="other.py").text
    assert client.get("/batches/1/changes/").text.count("Why plus?") == 2, "above the diff, and at its place in it"


def test_comments_on_work_that_is_merged_are_worked_on_by_another_run(client, monkeypatch):
    client.force_login(builders.make_user())
    builders.finished_batch()
    Run.objects.update(backend="command")
    Project.objects.update(backend="command", agent_command="true")
    attempt = Attempt.objects.get(task__name="2a")
    address = reverse("batches:send_comments", args=[1])
    assert "No done phase has an open comment" in client.post(address, follow=True).text
    builders.make_comment(attempt, text="Say why.")
    assert "Have agents work on those of done phases" in client.get("/batches/1/changes/").text
    told = []
    monkeypatch.setattr("batches.engine.diff_comments.execute_again", lambda **how: told.append(how["remarks"]) or Run.objects.first())
    client.post(address)
    ((key, text),) = told[0].items()
    assert key == "2a" and text.startswith("Your work is merged.") and "src/part_1.py, line 3: Say why." in text


def test_who_may_not_execute_sees_comments_and_no_form(client, attempt):
    builders.make_comment(attempt)
    client.force_login(add("eve", "viewer"))
    text = client.get("/batches/1/phases/2a/?tab=diff").text
    assert "1 open comment" in text and "comment-form" not in text and "Resolve</button>" not in text
    assert say(client, attempt).status_code == 403
    assert Task.objects.get(pk=attempt.task_id).state == "failed"
