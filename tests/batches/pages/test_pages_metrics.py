"""The metrics page, its exports, the attempts behind a figure, remedies, and two batches side by side."""

import html
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from batches.core.metrics.charts import BARS, CHAPTERS, chapters, figures
from batches.core.metrics.summary import summary
from batches.core.metrics.types import Filters, Headline
from batches.metrics import facts
from batches.metrics.history import read_history
from batches.models import AttemptFact, Batch, Project, Run, RunFact
from batches.pages.metrics.metrics import PageLinks
from batches.templatetags.figures import change
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


def marks(page: str, name: str) -> list[tuple[str, str]]:
    """(address, words) of the marks of a plot that lead somewhere."""
    (drawn,) = re.findall(rf'data-plot="{name}">(.*?)</div>', page, re.DOTALL)
    found = re.findall(r'<a class="mark" href="([^"]+)"[^>]*><title>(.*?)</title>', drawn, re.DOTALL)
    return [(html.unescape(href), told) for href, told in found]


def test_an_empty_history_says_what_to_do(ada):
    page = ada.get("/metrics/").text
    assert "Nothing has ended" in page and "Figures appear with the first batch that ends." in page
    assert "no execution has ended" in ada.get("/compare/").text.lower()


def test_the_attempts_of_a_period_are_sorted_by_what_they_cost(ada):
    history_of(1)
    costs = [fact.attempt.cost_usd for fact in ada.get("/metrics/attempts/?sort=-cost").context["page"]]
    known = [cost for cost in costs if cost is not None]
    assert len(set(known)) > 1 and costs[: len(known)] == sorted(known, reverse=True)
    assert ada.get("/metrics/attempts/?sort=nonsense").status_code == 200


@pytest.mark.long
def test_each_figure_has_its_plot_its_table_and_both_exports(ada):
    history_of(2)
    page = "".join(ada.get(f"/metrics/?section={name}").text for name in CHAPTERS)
    names = [one.name for one in figures(read_history(Filters(), timezone.now()), PageLinks(Filters()))]
    assert len(names) == len(set(names)) == 18
    for name in names:
        assert f'id="figure-{name}"' in page
        rows = ada.get(f"/metrics/{name}.json").json()["rows"]
        text = ada.get(f"/metrics/{name}.csv").text.split("\r\n")
        assert len(text) == len(rows) + 2, name
        if rows:
            assert text[0].split(",") == list(rows[0])
            assert f"/metrics/{name}.csv" in page and f'data-plot="{name}"' in page
    assert "'=1+1 <b>bold</b>" in ada.get("/metrics/duration.csv").text
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page


def test_a_bar_and_its_row_lead_to_what_they_were_counted_from(ada):
    history_of(2)
    batch = Batch.objects.latest("number")
    page = ada.get("/metrics/").text
    assert f"/batches/{batch.number}/" in [href for href, _ in marks(page, "duration")]
    assert f'<a href="/batches/{batch.number}/">{batch.number}</a>' in page
    ((href, told),) = marks(ada.get("/metrics/?section=errors").text, "errors")
    assert "this period: 2" in told
    listed = ada.get(href)
    assert listed.status_code == 200 and listed.text.count('class="lead"') == 2, "the failed attempt of either batch"


def test_the_summary_says_what_the_figures_say_and_tells_no_change_of_few_runs(ada):
    history_of(3)
    page = ada.get("/metrics/").text
    seen = read_history(Filters(), timezone.now())
    said = [one.text for one in summary(seen)]
    assert all(html.escape(text) in page for text in said)
    assert said[0].startswith("3 batch runs ended: 0 succeeded (0 %)")
    assert any("3 of " in text and "all with “gate failed”" in text for text in said)
    faster = [replace(one, value=80.0, before=100.0) if one.code == "seconds_median" else one for one in seen.headlines]
    text = "A batch took 20 % less time than in the period before (1 min 20 s, was 1 min 40 s)."
    assert text in [one.text for one in summary(replace(seen, headlines=tuple(faster)))]
    assert text not in [one.text for one in summary(replace(seen, headlines=tuple(faster), runs=2))]


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
    assert "240 instead of the installation" in answer.text
    assert Project.objects.get().phase_limit_minutes == 240
    again = {"code": "raise_phase_limit", "project": project.slug, "minutes": "240", "next": "//elsewhere.example/"}
    answer = ada.post("/metrics/remedy/", again, follow=True)
    assert answer.redirect_chain == [("/metrics/", 302)] and "already" in answer.text


def test_a_viewer_changes_nothing(client):
    project = builders.make_project()
    client.force_login(builders.make_user("viewer", admin=False))
    answer = client.post("/metrics/remedy/", {"code": "raise_phase_limit", "project": project.slug, "minutes": "240"})
    assert answer.status_code == 403 and Project.objects.get().phase_limit_minutes is None


def test_two_batches_are_compared_figure_by_figure_and_phase_by_phase(ada):
    for _ in range(2):
        builders.finished_batch(tokens=True)
    facts.rebuild()
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


@pytest.mark.parametrize(
    "query",
    [
        *("from=0001-01-01", "to=9999-12-31", "from=0001-01-01&to=9999-12-31", "to=0001-01-01", "from=9999-12-31"),
        *("from=1969-12-31", "to=2200-01-01", "period=range&from=2026-13-01", "from=2026-02-30", "from=x", "from=2026-02-02&to=2026-02-01"),
    ],
)
def test_a_date_that_no_history_has_is_said_in_a_sentence(ada, query):
    history_of(1)
    page = ada.get(f"/metrics/?{query}")
    assert page.status_code == 400 and "Shown are the last 30 days." in page.text
    for address in ("/metrics/duration.csv", "/metrics/attempts/"):
        assert ada.get(f"{address}?{query}").status_code == 400


@pytest.mark.parametrize("query", ["from=1970-01-01", "to=2199-12-31", "from=1970-01-01&to=2199-12-31", "from=2199-12-31", "to=1970-01-01"])
def test_the_first_and_the_last_date_that_can_be_asked_for_are_answered(ada, query):
    history_of(1)
    for address in ("/metrics/", "/metrics/duration.csv", "/metrics/attempts/"):
        assert ada.get(f"{address}?{query}").status_code == 200


def executed(project: Project, seconds: float, *, state: str = "succeeded", batch: Batch | None = None, **fields) -> Batch:
    """A batch of the project with an execution that ended so; with `batch` a later execution of it."""
    made = builders.make_batch(run_state=state, states=dict.fromkeys(("1", "2a", "2b", "3"), "succeeded"), project=project)
    run = made.runs.get()
    facts.rebuild()
    RunFact.objects.filter(run=run).update(seconds=seconds, **fields)
    if batch is not None:
        Run.objects.filter(pk=run.pk).update(batch=batch, number=batch.runs.count() + 1)
        RunFact.objects.filter(run=run).update(batch=batch)
    Batch.objects.update(version=F("version") + 1)  # pages that were rendered before are asked for anew
    return batch or made


def test_a_batch_is_not_compared_with_itself_however_often_it_was_executed(ada):
    project = builders.make_project()
    own = executed(project, 100)
    executed(project, 50, batch=own)
    page = ada.get(f"/batches/{own.number}/").text
    assert "no other batch of this project has succeeded" in page and "faster than" not in page
    other = executed(project, 200)
    executed(project, 10, batch=other)  # its latest execution is the one that stands for it
    assert "faster than 0 % of 1 other batch" in ada.get(f"/batches/{own.number}/").text
    executed(project, 500, state="failed")
    assert "of 1 other batch" in ada.get(f"/batches/{own.number}/").text


def test_a_batch_that_failed_keeps_no_forecast_has_no_place_and_is_no_better(ada):
    project = builders.make_project()
    good, bad = executed(project, 100, tokens=1000), executed(project, 20, state="failed", tokens=10)
    told = {"forecast_seconds": 90, "forecast_p90_seconds": 250, "forecast_runs": 7}
    RunFact.objects.update(**told)
    Run.objects.update(**told)
    page = ada.get(f"/batches/{bad.number}/").text
    assert "it did not succeed" in page and "within the forecast" not in page
    assert "it did not succeed, so it is not compared" in page and "faster than" not in page
    page = ada.get(f"/compare/?a={good.number}&b={bad.number}").text
    assert "better</span>" not in page and f"Batch {bad.number} did not succeed" in page
    rows = ada.get("/metrics/forecasts.json?period=all").json()["rows"]
    assert [row["batch"] for row in rows] == [good.number]


@pytest.mark.parametrize(("first", "second", "words"), [(100.0, 100.0, "equal"), (100.01, 100.02, "equal"), (100, 150, "+50 %")])
def test_figures_that_read_the_same_are_equal_and_not_better(ada, first, second, words):
    project = builders.make_project()
    one, other = executed(project, first), executed(project, second)
    page = ada.get(f"/compare/?a={one.number}&b={other.number}").text
    row = re.search(r">Duration</th>(.*?)</tr>", page, re.S).group(1)
    assert f">{words}</td>" in row and ("better</span>" in row) == (words != "equal")


def test_a_headline_that_reads_the_same_as_before_is_no_change():
    told = change(Headline("seconds_median", "Duration, median", "seconds", 600.2, 600.1, 3, "less"))
    assert "as before (10 min 00 s)" in told and "better" not in told and "worse" not in told
