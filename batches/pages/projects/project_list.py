"""The list of projects."""

from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.models import Project


@require_safe
def project_list(request: HttpRequest) -> HttpResponse:
    """The projects; with ?archived=1 those that are archived."""
    archived = bool(request.GET.get("archived"))
    found = Project.objects.annotate(batch_count=Count("batches"), newest=Max("batches__number")).order_by("name")
    projects = [project for project in found if (project.archived_at is not None) is archived]
    return render(request, "projects/list.html", {"projects": projects, "archived": archived, "others": len(found) - len(projects)})
