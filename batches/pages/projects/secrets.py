"""Store or delete a secret of a project."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.models import Project
from batches.pages.accounts.sign_in import confirmed
from batches.pages.common import act, actor_of
from batches.pages.projects.group_of_settings import USE_WORDS
from batches.projects.secrets import delete_secret, keep_secret


@require_POST
@confirmed
def project_secret(request: HttpRequest, slug: str) -> HttpResponse:
    """Store, replace or ("delete") delete a secret. Its value is in no answer, also not in one that refuses it."""
    project = get_object_or_404(Project, slug=slug)
    name = request.POST.get("name", "").strip()

    def verb() -> str:
        if "delete" in request.POST:
            delete_secret(project=project, name=name, actor=actor_of(request))
            return f"Deleted {name}."
        uses = [use for use, _ in USE_WORDS if use in request.POST]
        keep_secret(project=project, name=name, value=request.POST.get("value", ""), uses=uses, actor=actor_of(request))
        return f"{name} is stored, encrypted. Attempts that start from now on are given it."

    return act(request, verb, reverse("batches:project_environment", args=[project.slug]))
