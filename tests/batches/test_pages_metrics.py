"""The metrics page, its exports, the attempts behind a figure, remedies, and two batches side by side."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from batches.core.metrics.charts import BARS, chapters, figures
from batches.core.metrics.types import Filters
from batches.metrics import facts
from batches.metrics.history import read_history
from batches.models import AttemptFact, Batch, Project, Run, RunFact
from batches.pages.metrics.metrics import PageLinks
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    client.force_login(builders.make_user())
    return client


def history_of(batches: int, *, days: float = 1.0) -> None:
    """So many batches, each with a failure, `days` between their ends."""
    for _ in range(batches):
        builders.failed_batch(tokens=True, title="=1+1 <b>bold</b>")
    facts.rebuild()
    now = timezone.now()
    for place, fact in enumerate(RunFact.objects.order_by("-pk")):
        ended = now - timedelta(days=days * place)
        RunFact.objects.filter(pk=fact.pk).update(ended_at=ended, day=ended.date())
        AttemptFact.objects.filter(run=fact.pk).update(ended_at=ended, day=ended.date(), role="executor", model="haiku")


def plots(page: str) -> dict[str, dict]:
    """The plots of a page by their names."""
    found = re.findall(r'<script id="([a-z_]+)-plot" type="application/json">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in found}


def test_an_empty_history_says_what_to_do_and_loads_no_plotting_script(ada):
    page = ada.get("/metrics/").text
    assert "Nothing has ended" in page and "Figures appear with the first batch that ends." in page
    assert "plotly" not in page
    assert "no execution has ended" in ada.get("/compare/").text.lower()


def test_each_figure_has_its_plot_its_table_and_both_exports(ada):
    history_of(2)
    page = ada.get("/metrics/").text
    names = [one.name for one in figures(read_history(Filters(), timezone.now()), PageLinks(Filters()))]
    assert len(names) == len(set(names)) == 18
    drawn = plots(page)
    for name in names:
        assert f'id="figure-{name}"' in page
        rows = ada.get(f"/metrics/{name}.json").json()["rows"]
        text = ada.get(f"/metrics/{name}.csv").text.split("\r\n")
        assert len(text) == len(rows) + 2, name
        if rows:
            assert text[0].split(",") == list(rows[0])
            assert f"/metrics/{name}.csv" in page and (name in drawn)
    assert "'=1+1 <b>bold</b>" in ada.get("/metrics/duration.csv").text
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page


def test_a_bar_and_its_row_lead_to_what_they_were_counted_from(ada):
    history_of(2)
    batch = Batch.objects.latest("number")
    page = ada.get("/metrics/").text
    bars = plots(page)["duration"]["data"]
    assert f"/batches/{batch.number}/" in [told[0] for trace in bars for told in trace["customdata"]]
    assert f'<a href="/batches/{batch.number}/">{batch.number}</a>' in page
    (href,) = {told[0] for told in plots(page)["errors"]["data"][0]["customdata"]}
    listed = ada.get(href)
    assert listed.status_code == 200 and listed.text.count('class="lead"') == 2, "the failed attempt of either batch"


def test_more_runs_than_fit_are_drawn_as_days_that_lead_to_their_runs(ada):
    history_of(3)
    fact = RunFact.objects.latest("pk")
    now = timezone.now()
    seen = read_history(Filters(), now)
    many = type(seen)(**{name: getattr(seen, name) for name in seen.__dataclass_fields__} | {"batches_left": BARS})
    (duration, *_) = chapters(many, PageLinks(Filters(project="sample-project")))[0].figures
    assert duration.title == "Duration of batches by day" and len(duration.rows) == 3
    assert duration.rows[-1].href == f"/metrics/?period=range&from={fact.day}&to={fact.day}&project=sample-project"
    narrowed = ada.get(duration.rows[-1].href.replace("&project=sample-project", ""))
    assert "Duration per batch" in narrowed.text and "1 run and" in narrowed.text


def test_filters_stay_in_the_addresses_of_exports_and_of_the_forms(ada):
    history_of(1)
    page = ada.get("/metrics/?period=90d&model=haiku&operation=any").text
    assert "/metrics/duration.csv?period=90d&amp;operation=any&amp;model=haiku" in page
    assert '<option value="haiku" selected>' in page and '<input type="hidden" name="model" value="haiku">' in page
    assert ada.get("/metrics/?model=opus").text.count("Nothing has ended") == 1


@pytest.mark.parametrize(
    ("query", "said"), [("period=5d", "There is no period"), ("from=x", "is a date such as"), ("operation=x", "There is no operation")]
)
def test_a_wrong_filter_is_said_and_refused(ada, query, said):
    answer = ada.get(f"/metrics/?{query}")
    assert answer.status_code == 400 and said in answer.text
    assert ada.get(f"/metrics/duration.csv?{query}").status_code == 400
    assert ada.get("/metrics/nothing.csv").status_code == 404


def test_the_number_of_queries_does_not_grow_with_the_history(ada, django_assert_max_num_queries):
    history_of(4)
    for address, most in (("/metrics/", 30), ("/metrics/duration.csv", 30), ("/metrics/attempts/", 8), ("/compare/?a=1&b=2", 12)):
        with django_assert_max_num_queries(most):
            assert ada.get(address).status_code == 200


def test_a_remedy_changes_the_setting_and_says_so(ada):
    project = builders.make_project()
    answer = ada.post(
        "/metrics/remedy/",
        {"code": "raise_phase_limit", "project": project.slug, "minutes": "240", "next": "/metrics/?period=7d"},
        follow=True,
    )
    assert answer.redirect_chain == [("/metrics/?period=7d", 302)]
    assert "240 instead of 60" in answer.text
    assert Project.objects.get().phase_limit_minutes == 240
    again = {"code": "raise_phase_limit", "project": project.slug, "minutes": "240", "next": "//elsewhere.example/"}
    answer = ada.post("/metrics/remedy/", again, follow=True)
    assert answer.redirect_chain == [("/metrics/", 302)] and "already" in answer.text


def test_a_viewer_changes_nothing(client):
    project = builders.make_project()
    client.force_login(builders.make_user("viewer", admin=False))
    answer = client.post("/metrics/remedy/", {"code": "raise_phase_limit", "project": project.slug, "minutes": "240"})
    assert answer.status_code == 403 and Project.objects.get().phase_limit_minutes == 60


def test_two_batches_are_compared_figure_by_figure_and_phase_by_phase(ada):
    history_of(2)
    first, second = Batch.objects.order_by("number")
    RunFact.objects.filter(batch=first).update(seconds=100)
    RunFact.objects.filter(batch=second).update(seconds=150)
    page = ada.get(f"/compare/?a={first.number}&b={second.number}").text
    row = re.search(r">Duration</th>(.*?)</tr>", page, re.S).group(1)
    assert "1 min 40 s" in row and "2 min 30 s" in row and "+50 %" in row and row.count("better</span>") == 1
    assert page.count(f"/batches/{first.number}/phases/") >= 3
    assert "Both are the same batch" in ada.get(f"/compare/?a={first.number}&b={first.number}").text
    assert "Batch 999 has no finished execution" in ada.get(f"/compare/?a={first.number}&b=999").text
    assert ada.get("/compare/?a=x&b=&a=²").status_code == 200


def test_a_batchs_page_tells_its_place_and_how_the_forecast_turned_out(ada):
    for _ in range(5):
        builders.finished_batch(tokens=True)
    facts.rebuild()
    for place, fact in enumerate(RunFact.objects.order_by("pk")):
        RunFact.objects.filter(pk=fact.pk).update(seconds=100 * (place + 1), forecast_seconds=90, forecast_p90_seconds=250, forecast_runs=7)
    Run.objects.update(forecast_seconds=90, forecast_p90_seconds=250, forecast_runs=7)
    second, last = Batch.objects.order_by("number")[1], Batch.objects.latest("number")
    page = ada.get(f"/batches/{second.number}/").text
    assert "faster than 75 % of 4 other batches" in page and "within the forecast" in page
    assert "1 min 30 s to 4 min 10 s" in page and "from 7 finished phases" in page
    page = ada.get(f"/batches/{last.number}/").text
    assert "faster than 0 % of 4 other batches" in page and "longer than the forecast" in page
    running = builders.running_batch()
    assert "other batches" not in ada.get(f"/batches/{running.number}/").text
