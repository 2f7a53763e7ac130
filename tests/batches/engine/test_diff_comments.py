"""Comments on lines of a diff: with the code around, open until a person resolves them, told to the next attempt's agent."""

import pytest
from django.urls import reverse

from batches.core.review.diff_comments import code_around, told_to_agent
from batches.models import Attempt, DiffComment, Result, Run, Task
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
    told = told_to_agent([("calc.py", 2, False, "+x", "Why?"), ("b.py", 1, True, "-y", "Keep it.")])
    assert "calc.py, line 2: Why?\n\n    +x" in told and "b.py, line 1 before the change: Keep it." in told
    assert told_to_agent([]) == ""


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
    monkeypatch.setattr("batches.pages.batches.actions.retries.retry_task", lambda **how: told.append(how["remark"]) or [attempt.task])
    address = reverse("batches:retry_task", args=[1, attempt.task_id])
    client.post(address, {"comments": "1", "remark": "Take care."})
    client.post(address, {"remark": "Take care."})
    with_comments, without = told
    assert with_comments.startswith("Take care.\n\nA person commented on lines") and "calc.py, line 2: Why plus?" in with_comments
    assert without == "Take care."


def test_who_may_not_execute_sees_comments_and_no_form(client, attempt):
    builders.make_comment(attempt)
    client.force_login(add("eve", "viewer"))
    text = client.get("/batches/1/phases/2a/?tab=diff").text
    assert "1 open comment" in text and "comment-form" not in text and "Resolve</button>" not in text
    assert say(client, attempt).status_code == 403
    assert Task.objects.get(pk=attempt.task_id).state == "failed"
