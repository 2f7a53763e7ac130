"""What changed between two versions of a plan."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from batches.core.plans.text_diff import diff_texts
from batches.models import Plan
from batches.pages.common import read_number
from batches.pages.plans.plan import versions_of


@require_safe
def plan_diff(request: HttpRequest, pk: int) -> HttpResponse:
    """The changes between two versions: ?from= and ?to= are version numbers; the default is the last two."""
    plan = get_object_or_404(Plan.objects.defer("text"), pk=pk)
    versions = list(versions_of(plan))
    by_number = {one.version: one for one in versions}
    new = by_number.get(read_number(request.GET.get("to")) or 0, plan)
    earlier = next((one for one in versions if one.version < new.version), new)
    old = by_number.get(read_number(request.GET.get("from")) or 0, earlier)
    texts = dict(Plan.objects.filter(pk__in=[old.pk, new.pk]).values_list("pk", "text"))
    context = {"plan": plan, "versions": versions, "old": old, "new": new, "diff": diff_texts(texts[old.pk], texts[new.pk])}
    return render(request, "plans/version_changes.html", context)
