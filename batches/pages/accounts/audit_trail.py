"""The audit trail, for administrators: who did what and when, as a page and as CSV."""

from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from batches.accounts.audit_trail import KINDS, TrailFilter, read_trail
from batches.core.text.csv import csv_of
from batches.pages.accounts.people import refuse_others
from batches.pages.common import read_number

PAGE_SIZE, LAST_PAGE = 50, 100
CSV_ROWS = 10_000


class Choice(forms.Form):
    """Filters of the trail; empty means all."""

    who = forms.CharField(required=False, max_length=150, label="Who", widget=forms.TextInput(attrs={"placeholder": "Any name"}))
    what = forms.ChoiceField(required=False, label="What", choices=[("", "Everything"), *KINDS.items()])
    batch = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1, label="Batch")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    rules = forms.BooleanField(required=False, label="Also hosts and policies")

    def chosen(self) -> TrailFilter:
        """The valid form as a filter. Days are in the installation's time zone; the last day is included."""
        data = self.cleaned_data
        day = timedelta(days=1)
        since, until = _begin(data["since"]), _begin(data["until"], day)
        return TrailFilter(data["who"].strip(), data["what"], data["batch"], since, until, data["rules"])


def _begin(day: date | None, later: timedelta = timedelta(0)) -> datetime | None:
    try:
        return None if day is None else timezone.make_aware(datetime.combine(day + later, time.min))
    except OverflowError:
        return None


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    refuse_others(request)
    form = Choice(request.GET or None)
    valid = form.is_valid() or not form.is_bound
    page = min(read_number(request.GET.get("page")) or 1, LAST_PAGE)
    chosen = form.chosen() if form.is_bound and valid else TrailFilter()
    entries = read_trail(chosen, PAGE_SIZE + 1, (page - 1) * PAGE_SIZE) if valid else []
    context: dict[str, Any] = {
        "form": form,
        "entries": entries[:PAGE_SIZE],
        "page_number": page,
        "newer": page - 1,
        "older": page + 1 if len(entries) > PAGE_SIZE and page < LAST_PAGE else 0,
        "is_last": page == LAST_PAGE and len(entries) > PAGE_SIZE,
        "narrowed": chosen != TrailFilter(),
        "csv_query": urlencode({name: value for name, value in request.GET.items() if name != "page" and value}),
        "kinds": KINDS,
    }
    return render(request, "accounts/audit_trail.html", context, status=200 if valid else 400)


@require_safe
def audit_csv(request: HttpRequest) -> HttpResponse:
    """The newest 10,000 actions that match the filters."""
    refuse_others(request)
    form = Choice(request.GET)
    if not form.is_valid():
        return audit(request)
    rows = read_trail(form.chosen(), CSV_ROWS)
    names = ("at", "who", "kind", "what", "batch", "detail", "refused")
    text = csv_of(names, ([one.at, one.who, one.kind, one.what, one.batch, one.detail, one.refused] for one in rows))
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)
