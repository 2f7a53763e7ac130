"""What pages show of steering: who stops, says, asks and answers, what is repaired, and what runs wait for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from batches.engine.reporting import status_of, status_text
from batches.models import Attempt, Batch, Run
from tests.batches import builders

pytestmark = pytest.mark.django_db
ASKED = {"number": 0, "text": "Which <b>port</b>?", "answers": ["80", "80\"80"], "at": "2026-01-01T10:00:00+00:00"}
OPEN = {**ASKED, "answer": None, "by": "", "answered_at": None}


@pytest.fixture
def page(client):
    client.force_login(builders.make_user())
    return lambda address: " ".join(client.get(address).text.split())


def bump() -> None:
    Batch.objects.bump(Batch.objects.get().pk)


def running(**columns) -> tuple[str, str]:
    """The addresses of a batch at work and of its running phase, whose attempt has these columns."""
    batch = builders.running_batch(backend="claude")
    Attempt.objects.filter(task__name="2a").update(**columns)
    return f"/batches/{batch.number}/", f"/batches/{batch.number}/phases/2a/"


def test_a_running_phase_can_be_stopped_from_its_page_and_its_card_once(page):
    for address in running():
        assert "Stop this phase" in page(address)
    Attempt.objects.filter(task__name="2a").update(stop_cause="person:ada")
    bump()
    task = Attempt.objects.get(task__name="2a").task_id
    text = page("/batches/1/phases/2a/")
    assert "Being stopped; its work so far is kept." in text and f"stop-{task}" not in text


def test_who_may_not_execute_has_no_such_button(client):
    addresses = running(questions=[OPEN])
    client.force_login(builders.make_user("vera", admin=False))
    for address in addresses:
        text = client.get(address).text
        assert "Stop this phase" not in text and "verb-answer" not in text and "verb-say" not in text


def test_a_question_waits_for_the_person_on_both_pages_with_its_suggestions_as_buttons(page):
    batch, phase = running(questions=[OPEN])
    text = page(batch)
    assert "waits for you" in text and "Its agent asks: Which &lt;b&gt;port&lt;/b&gt;?" in text
    text = page(phase)
    assert 'value="80"' in text and 'value="80&quot;80"' in text and "verb-answer" in text
    assert "The clocks of this phase stand still until then." in text
    Attempt.objects.filter(task__name="2a").update(questions=[{**OPEN, "answer": "8080", "by": "person:ada"}])
    bump()
    text = page(phase)
    assert "person:ada: 8080" in text and "verb-answer" not in text and "waits for you" not in text


def test_programs_learn_of_a_question_and_how_to_answer_it():
    running(questions=[OPEN])
    result, text = _status()
    [asked] = [entry["question"] for entry in result["results"] if entry["question"]]
    assert asked == {"text": ASKED["text"], "answers": ASKED["answers"], "asked_at": ASKED["at"]}
    assert "ce answer 1 2a TEXT" in text
    Run.objects.update(trouble="no_credit", trouble_message="Your credit is used up", trouble_until=timezone.now())
    assert "Waiting for the provider: Your credit is used up. The next try is at " in _status()[1]


def _status() -> tuple[dict, str]:
    run, result = status_of(Batch.objects.get())
    return result, status_text(run, result, timezone.now())


def test_a_message_says_whether_the_agent_has_read_it(page):
    one = {"text": "Keep the name.", "by": "person:ada", "at": "2026-01-01T10:00:00+00:00", "read_at": None}
    _, phase = running(messages=[one], repair="Repair 1 of 2 after gate 3", remark="Look at the log.", remark_cause="person:ada")
    text = page(phase)
    assert "Keep the name." in text and "The agent reads it at its next turn." in text
    assert "Repair 1 of 2 after gate 3" in text and "Look at the log." in text
    assert "takes no messages while it runs" not in text
    Run.objects.update(backend="command")
    bump()
    assert "The backend command takes no messages while it runs. What you say is kept for the next attempt." in page(phase)


def test_trouble_with_the_provider_is_a_banner_with_its_cause_the_next_try_and_a_way_to_try_now(page):
    batch, _ = running()
    now = timezone.now()
    columns = {"trouble_message": "api.example cannot be reached", "trouble_since": now, "trouble_paused_at": now, "trouble_holds": 1}
    Run.objects.update(trouble="unreachable", trouble_until=now + timedelta(seconds=90), **columns)
    text = page(batch)
    assert "No network to the API." in text and "api.example cannot be reached" in text and "No phase has failed" in text
    assert "verb-try-provider" in text
    Run.objects.update(trouble_until=now - timedelta(seconds=1))
    bump()
    text = page(batch)
    assert "it is being tried now." in text and "verb-try-provider" not in text
