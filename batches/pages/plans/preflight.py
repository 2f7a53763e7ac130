"""What the preflight of a plan says: repository, backend, ticker and disk."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from batches.engine.preflight import preflight_checks
from batches.models import Plan, Project
from batches.pages.common import htmx, read_number
from batches.pages.plans.preview import Preview
from batches.plans.conflict_decisions import decisions_of
from batches.plans.read_plan import report_of


@require_safe
def plan_checks(request: HttpRequest, pk: int) -> HttpResponse:
    """The environment checks of a project for this plan; ?project= and ?backend= as chosen on the confirmation page."""
    plan = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    wanted = read_number(request.GET.get("project"))
    project = plan.project if wanted is None else get_object_or_404(Project, pk=wanted)
    decisions = {key: one.decision for key, one in decisions_of(plan).items()}
    preview = Preview(report_of(plan), decisions=decisions)
    prose, files = [phase.key for phase in preview.prose_phases], [path for phase in preview.phases for path in phase.files]
    checks = preflight_checks(project=project, backend=request.GET.get("backend", ""), prose_phases=prose, files=files)
    troubles = [check for check in checks if check.state in ("error", "warning")]
    context: dict[str, object] = {"plan": plan, "project": project, "preview": preview, "checks": checks, "troubles": troubles}
    context |= {"errors": sum(check.state == "error" for check in checks), "verdict": "verdict" in request.GET}
    if not htmx(request):
        return render(request, "plans/preflight.html", context)
    return render(request, "plans/_preflight_ready.html" if "brief" in request.GET else "plans/_preflight.html", context)
