"""Install, renew or remove the commands for Claude Code in the repository of a project."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.models import Project
from batches.pages.common import act, actor_of
from batches.projects.claude_commands import change_claude_commands


@require_POST
def project_commands(request: HttpRequest, slug: str) -> HttpResponse:
    """Install or renew the commands for Claude Code in the repository, or remove them."""
    project = get_object_or_404(Project, slug=slug)
    remove = request.POST.get("do") == "remove"
    return act(
        request,
        lambda: change_claude_commands(project=project, actor=actor_of(request), remove=remove).words,
        reverse("batches:project_detail", args=[project.slug]),
    )
