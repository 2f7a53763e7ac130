"""Members of a project."""

from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from batches.accounts.access import may
from batches.accounts.roles import CHANGE_PROJECT
from batches.accounts.sessions import is_confirmed
from batches.core.errors import WrongChoice
from batches.models import Membership, Project
from batches.pages.accounts.sign_in import ask_to_confirm
from batches.pages.accounts.teams import all_teams
from batches.pages.common import act, actor_of, read_number
from batches.projects import members


@require_http_methods(["GET", "HEAD", "POST"])
def project_members(request: HttpRequest, slug: str) -> HttpResponse:
    """The members. POST adds or changes one (`who`, `role`), ends a membership (`end`), opens or closes it (`only`)."""
    project = get_object_or_404(Project, slug=slug)
    if not may(request.user, CHANGE_PROJECT, project):
        raise PermissionDenied("The members of a project are for the role admin, of the installation or in the project.")
    if request.method == "POST" and not is_confirmed(request):
        return ask_to_confirm(request)
    if request.method == "POST":
        return act(request, lambda: _change(request, project), reverse("batches:project_members", args=[slug]))
    rows = project.memberships.select_related("user", "team").order_by("team__name", "user__username")
    context = {
        "project": project,
        "rows": rows,
        "roles": Membership.Role.choices,
        "people": User.objects.filter(is_active=True).order_by("username"),
        "teams": all_teams(),
    }
    return render(request, "projects/members.html", context)


def _change(request: HttpRequest, project: Project) -> str:
    actor = actor_of(request)
    if "only" in request.POST:
        members.set_members_only(project=project, closed=request.POST["only"] == "on", actor=actor)
        return f"{project.name} is for its members only." if project.members_only else f"{project.name} is for everybody with a role."
    if "end" in request.POST:
        membership = get_object_or_404(project.memberships.select_related("project"), pk=read_number(request.POST["end"]) or 0)
        members.remove_member(membership=membership, actor=actor)
        return "Ended."
    kind, _, number = request.POST.get("who", "").partition("-")
    found: User | Group | None = None
    if kind == "team":
        found = Group.objects.filter(pk=read_number(number) or 0).first()
    elif kind == "user":
        found = User.objects.filter(pk=read_number(number) or 0, is_active=True).first()
    if found is None:
        raise WrongChoice("Choose a person or a team.")
    members.set_member(project=project, who=found, role=request.POST.get("role", ""), actor=actor)
    return "Saved."
