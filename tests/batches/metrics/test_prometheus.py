"""What Prometheus collects: every line can be read, the figures are those of the rows, and a token tells of its projects alone."""

import json
import re

import pytest
from django.utils import timezone

from batches.metrics import facts
from batches.metrics.prometheus import exposition
from batches.models import Attempt, AttemptFact, Host, Project
from tests.batches import builders
from tests.batches.pages.api_v1.program import Program
from tests.installation import ROOT

pytestmark = pytest.mark.django_db
LABELS = r'\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\}'
SAMPLE = re.compile(rf"^(ce_[a-z_]+)({LABELS})? (-?[0-9.e+-]+)$")


def read(text: str) -> dict[str, dict[str, float]]:
    """{name: {labels: value}}; AssertionError for a line that is none, or a sample before its type."""
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            found[line.split()[2]] = {}
        elif not line.startswith("# HELP"):
            name, labels, value = SAMPLE.match(line).groups()
            found[name][labels or ""] = float(value)
    assert text.endswith("\n")
    return found


def scrape(client, token: str):
    return client.get("/metrics/prometheus/", headers={"Authorization": f"Bearer {token}"})


def test_the_figures_are_those_of_the_rows(client):
    builders.make_batch(states={"1": "running", "2a": "pending", "2b": "pending", "3": "pending"}, run_state="running")
    Host.objects.create(name='a "host"', slots=8, last_tick_at=timezone.now())
    answer = scrape(client, Program(builders.make_user("root"), scope="read").token)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = read(answer.content.decode())
    assert found["ce_runs"] == {'{state="running",operation="execute"}': 1}
    assert found["ce_tasks"] == {'{state="pending"}': 3, '{state="running"}': 1}
    assert found["ce_questions_open"] == {"": 0} and found["ce_host_slots"] == {r'{host="a \"host\""}': 8}


def test_what_ended_is_counted_with_its_cost_without_demonstrations(django_assert_max_num_queries):
    batch = builders.failed_batch()
    Attempt.objects.filter(task__name="2a").update(tokens_used=1500, cost_usd="0.25", model="haiku")
    facts.rebuild(anew=True)
    with django_assert_max_num_queries(14):
        found = read(exposition(timezone.now()))
    slug = batch.project.slug
    assert sum(found["ce_attempts_total"].values()) == Attempt.objects.count() > 2
    assert found["ce_cost_usd_total"][f'{{project="{slug}",model="haiku"}}'] == 0.25
    assert found["ce_tokens_total"][f'{{project="{slug}",model="haiku"}}'] == 1500
    assert found["ce_runs_total"] == {f'{{project="{slug}",operation="execute",state="failed"}}': 1}
    AttemptFact.objects.update(demo=True)
    assert read(exposition(timezone.now()))["ce_attempts_total"] == {}


def test_a_token_tells_of_what_it_may_see_and_nobody_else_is_told_anything(client):
    builders.make_batch(states={"1": "running", "2a": "pending", "2b": "pending", "3": "pending"}, run_state="running")
    other = builders.make_project("Other")
    Host.objects.create(name="one", slots=8, last_tick_at=timezone.now())
    found = read(scrape(client, Program(builders.make_user("root"), project=other).token).content.decode())
    assert found["ce_runs"] == {} and "ce_host_slots" not in found
    assert client.get("/metrics/prometheus/").status_code == 401
    client.force_login(builders.make_user("ada"))
    assert client.get("/metrics/prometheus/").status_code == 401
    assert Project.objects.count() == 2


def test_the_dashboard_and_the_document_name_what_there_is_and_all_of_it():
    Host.objects.create(name="one", slots=8, last_tick_at=timezone.now())
    there = set(read(exposition(timezone.now())))
    panels = json.loads((ROOT / "examples" / "grafana" / "ce-web.json").read_text("utf-8"))["panels"]
    asked = set(re.findall(r"ce_[a-z_]+", " ".join(target["expr"] for panel in panels for target in panel["targets"])))
    assert asked <= there and there - asked == {"ce_last_attempt_ended_timestamp_seconds"}
    documented = re.findall(r"^\| `(ce_[a-z_]+)` \|", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE)
    assert set(documented) == there
