"""The metrics page: figures with their tables, findings with their remedy, and the success criteria."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from batches.accounts.access import may
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.errors import WrongChoice
from batches.core.metrics.charts import CHAPTERS, chapters, figures
from batches.core.metrics.figures import Figure
from batches.core.metrics.findings import Finding, RemedyCode
from batches.core.metrics.summary import FEW_RUNS, summary
from batches.core.metrics.types import Filters, History
from batches.core.metrics.values import bare
from batches.core.text.csv import csv_of
from batches.metrics import history
from batches.models import Project
from batches.pages.common import OPERATIONS, act, actor_of
from batches.projects.apply_remedy import apply_remedy as apply_to_project

PERIODS = {"7d": "7 days", "30d": "30 days", "90d": "90 days", "all": "All time"}
SECTIONS = {"": "Overview"} | CHAPTERS
HEADLINES = ("success_share", "seconds_median", "cost_per_batch", "tokens_per_phase", "error_share")
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Where bars lead to, with what the page is filtered by (core.history_figures.Links)."""

    filters: Filters
    section: str = ""

    def batch(self, number: int) -> str:
        return _batch(number)

    def phase(self, batch: int, key: str) -> str:
        return reverse("batches:phase", args=[batch, key])

    def days(self, start: date, end: date) -> str:
        narrowed = {"period": "range", "from": start.isoformat(), "to": (end - timedelta(days=1)).isoformat()}
        return _address("batches:metrics", self.filters.query(**narrowed, section=self.section))

    def attempts(self, **narrowed: str) -> str:
        return _address("batches:metrics_attempts", self.filters.query() | narrowed)


@lru_cache(maxsize=1024)
def _batch(number: int) -> str:
    """Kept, because each of the latest runs is named in several figures."""
    return reverse("batches:detail", args=[number])


def _address(name: str, query: Mapping[str, str], *args: str) -> str:
    address = reverse(name, args=args)
    return f"{address}?{urlencode(query)}" if query else address


@dataclass(frozen=True, slots=True)
class Card:
    """A finding with where its remedy leads: a form of these hidden fields for whoever may apply it, or a page."""

    finding: Finding
    fields: tuple[tuple[str, str], ...] = ()
    href: str = ""
    may_apply: bool = False


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The page. A wrong filter is said, and the page shows what it does without filters."""
    fault = ""
    try:
        filters = Filters.read(request.GET)
    except WrongChoice as error:
        filters, fault = Filters(), str(error)
    section = request.GET.get("section", "")
    if section not in CHAPTERS:
        section = ""
    seen = history.read_history(filters, now=timezone.now())
    first = {name: seen.headline(name) for name in HEADLINES}
    context = {
        "history": seen,
        "filters": filters,
        "narrowed": [value for value in (filters.project, filters.role, filters.model, filters.demo) if value],
        "fault": fault,
        "section_shown": section,
        "sections": [(name, title, _address("batches:metrics", filters.query(section=name))) for name, title in SECTIONS.items()],
        "ended": bool(seen.runs or seen.attempts),
        "few": seen.runs < FEW_RUNS,
        "periods": [
            (name, _address("batches:metrics", filters.query(period=name, section=section, **{"from": "", "to": ""}))) for name in PERIODS
        ],
        "period_names": PERIODS,
        "operations": OPERATIONS,
        "exports": urlencode(filters.query()),
        "by_cost": _address("batches:metrics_attempts", filters.query(sort="-cost")),
        "all_time": _address("batches:metrics", filters.query(period="all", **{"from": "", "to": ""})),
        "back": request.get_full_path(),
    }
    if seen.runs or seen.attempts:
        made = chapters(seen, PageLinks(filters, section), section or "time")[0].figures
        shown = made if section else made[:1]
        context |= {
            "sentences": [(one, _address("batches:metrics", filters.query(section=one.section))) for one in summary(seen)],
            "headlines": list(first.values()),
            "others": [one for one in seen.headlines if one.code not in first],
            "figures": [one for one in shown if one.rows],
            "empty": [one for one in shown if not one.rows],
            "cards": _cards(seen.findings, request),
        }
    return render(request, "metrics/metrics.html", context, status=400 if fault else 200)


def _cards(found: Sequence[Finding], request: HttpRequest) -> list[Card]:
    applied = {one.remedy.project for one in found if one.remedy.is_applied}
    projects = Project.objects.filter(slug__in=applied) if applied else ()
    theirs = {project.slug for project in projects if may(request.user, CHANGE_PROJECT, project)}
    return [_card(one, one.remedy.project in theirs) for one in found]


def _card(one: Finding, may_apply: bool) -> Card:
    remedy = one.remedy
    if remedy.is_applied:
        fields = {"code": remedy.code.value, "project": remedy.project} | {name: str(value) for name, value in remedy.params.items()}
        return Card(one, tuple(fields.items()), may_apply=may_apply)
    return Card(one, href=_page_of(remedy.code, remedy.params))


def _page_of(code: RemedyCode, params: Mapping[str, str | int]) -> str:
    """The page where a person carries out what is no setting."""
    match code:
        case RemedyCode.CHECK_HEALTH:
            return reverse("batches:health")
        case RemedyCode.CHECK_GATES:
            return reverse("batches:gates", args=[params["batch"]])
        case RemedyCode.SPLIT_PHASE:
            return reverse("batches:phase", args=[params["batch"], params["phase"]])
        case RemedyCode.OPEN_SETTINGS:
            return f"{reverse('batches:project_detail', args=[params['project']])}?tab=settings"
    return reverse("batches:detail", args=[params["batch"]])


def _read(request: HttpRequest) -> tuple[Filters, History]:
    """What an export tells. A wrong filter is a 400 with the sentence that says why."""
    try:
        filters = Filters.read(request.GET)
    except WrongChoice as error:
        raise BadRequest(str(error)) from error
    return filters, history.read_history(filters, now=timezone.now())


def _figure(request: HttpRequest, name: str) -> Figure:
    filters, seen = _read(request)
    found = next((one for one in figures(seen, PageLinks(filters)) if one.name == name), None)
    if found is None:
        raise Http404(f"There is no figure {name!r}.")
    return found


@require_safe
def metrics_csv(request: HttpRequest, name: str) -> HttpResponse:
    """The table of one figure, for a spreadsheet."""
    figure = _figure(request, name)
    text = csv_of([one.name for one in figure.columns], ([bare(value) for value in row.values] for row in figure.rows))
    return HttpResponse(
        text, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{figure.name}.csv"'}
    )


@require_safe
def metrics_json(request: HttpRequest, name: str) -> HttpResponse:
    """The same table as one object: figure, title, columns, and rows as objects."""
    figure = _figure(request, name)
    names = [one.name for one in figure.columns]
    rows = [dict(zip(names, (bare(value) for value in row.values), strict=True)) for row in figure.rows]
    return JsonResponse({"figure": figure.name, "title": figure.title, "note": figure.note, "columns": names, "rows": rows})


@require_safe
def metrics_all_json(request: HttpRequest) -> HttpResponse:
    """Everything the page is made of, as `manage.py batch_trends --json` prints it."""
    _, seen = _read(request)
    return JsonResponse(history.to_json(seen))


@require_POST
def apply_remedy(request: HttpRequest) -> HttpResponse:
    """Change the setting that a finding names; the form shows what it changes before it is sent."""
    project = get_object_or_404(Project, slug=request.POST.get("project", ""))
    params = {name: value for name, value in request.POST.items() if name not in ("csrfmiddlewaretoken", "code", "project", "next")}
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = reverse("batches:metrics")

    def verb() -> str:
        return apply_to_project(code=request.POST.get("code", ""), project=project, params=params, actor=actor_of(request))

    return act(request, verb, back)
