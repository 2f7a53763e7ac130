"""The button that archives a project, or brings it back."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.models import Project
from batches.pages.common import act, actor_of
from batches.projects.archive import archive_project


@require_POST
def archive(request: HttpRequest, slug: str) -> HttpResponse:
    """Archive the project; with `back` bring it back."""
    project, back = get_object_or_404(Project, slug=slug), "back" in request.POST

    def verb() -> str:
        archive_project(project=project, actor=actor_of(request), back=back)
        return "Lists show it again." if back else "Archived: lists hide it and its batches, and nothing was deleted."

    return act(request, verb, reverse("batches:project_detail", args=[slug]))
