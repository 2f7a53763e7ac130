"""Go to projects, plans, batches, phases and pages by their names. The dialog of Ctrl K asks it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from batches.accounts.access import may_anywhere
from batches.accounts.roles import ADD_PROJECT, CHANGE_INSTALLATION, WRITE_PLANS
from batches.models import Batch, Phase, Plan, Project
from batches.pages.batches import list_queries
from batches.pages.common import LARGEST_NUMBER, htmx, read_number

MOST = 6  # of a kind
PLACES = (  # (words, name of the address, the right that it needs anywhere)
    ("Batches", "list", ""),
    ("Plans", "plans", ""),
    ("Projects", "projects", ""),
    ("Metrics", "metrics", ""),
    ("Compare two batches", "compare", ""),
    ("Health", "health", ""),
    ("Your account", "account", ""),
    ("New plan", "plan_new", WRITE_PLANS),
    ("Describe what you want", "idea_new", WRITE_PLANS),
    ("Add a project", "project_new", ADD_PROJECT),
    ("Settings", "settings", CHANGE_INSTALLATION),
)
NUMBER_AND_KEY = re.compile(r"#?(\d+)[\s.,:/]+(\S.*)")  # "44 2a": a phase of a batch


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to go to: its kind, its name, and words that tell it from others of the name."""

    kind: str
    name: str
    href: str
    beside: str = ""


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """?q= is what to find, ?batch= the number of the batch whose phases come first. For htmx the list alone."""
    text = request.GET.get("q", "")[:100].strip()
    here = read_number(request.GET.get("batch"), most=LARGEST_NUMBER)
    found = [*_places(request, text), *_found(text, here)] if text else list(_places(request, ""))
    return render(request, "parts/_found.html" if htmx(request) else "installation/find.html", {"found": found, "text": text})


def _places(request: HttpRequest, text: str) -> Iterator[Found]:
    for name, address, right in PLACES:
        if text.lower() in name.lower() and (not right or may_anywhere(request.user, right)):
            yield Found("Go to", name, reverse(f"batches:{address}"))


def _found(text: str, here: int | None) -> Iterator[Found]:
    """Four queries, each limited; the managers leave out what the person may not see."""
    for one in Project.objects.filter(name__icontains=text).order_by("name")[:MOST]:
        yield Found("Project", one.name, reverse("batches:project_detail", args=[one.slug]))
    for batch in list_queries.search(Batch.objects.select_related("project"), text).order_by("-number")[:MOST]:
        yield Found("Batch", f"{batch.number}: {batch.title}", reverse("batches:detail", args=[batch.number]), batch.project.name)
    phases = Phase.objects.select_related("batch").only("key", "title", "batch__number", "batch__title")
    if pair := NUMBER_AND_KEY.fullmatch(text):
        number = read_number(pair[1], most=LARGEST_NUMBER)
        phases = phases.filter(batch__number=number, key__istartswith=pair[2]) if number else phases.none()
    elif here:
        phases = (phases.filter(key__iexact=text) | phases.filter(title__icontains=text)).filter(batch__number=here)
    else:
        phases = phases.filter(title__icontains=text)
    for phase in phases.order_by("-batch__number", "pk")[:MOST]:
        href = reverse("batches:phase", args=[phase.batch.number, phase.key])
        yield Found("Phase", f"{phase.key} {phase.title}", href, f"batch {phase.batch.number}")
    plans = Plan.objects.latest_versions().select_related("project").defer("text").filter(title__icontains=text)
    for plan in plans.order_by("-pk")[:MOST]:
        yield Found("Plan", plan.title, reverse("batches:plan_detail", args=[plan.pk]), plan.project.name if plan.project else "")
