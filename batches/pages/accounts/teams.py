"""Teams: people who can be members of projects together."""

from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.users import ROLES
from batches.pages.accounts.people import for_administrators
from batches.pages.common import act, actor_of, read_number
from batches.projects import members


def all_teams() -> list[Group]:
    return list(Group.objects.exclude(name__in=ROLES).filter(permissions=None).order_by("name").prefetch_related("user_set"))


@require_http_methods(["GET", "HEAD", "POST"])
@for_administrators
def team_list(request: HttpRequest) -> HttpResponse:
    """All teams. POST creates one."""
    if request.method == "POST":
        return act(
            request,
            lambda: f"Created {members.make_team(name=request.POST.get('name', ''), actor=actor_of(request)).name}.",
            reverse("batches:teams"),
        )
    context = {"teams": all_teams(), "people": User.objects.filter(is_active=True).order_by("username")}
    return render(request, "accounts/teams.html", context)


@require_POST
@for_administrators
def team_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Save who is in it (`person`, several), or delete it (`delete`)."""
    team = get_object_or_404(Group.objects.exclude(name__in=ROLES), pk=pk)

    def verb() -> str:
        if "delete" in request.POST:
            members.delete_team(team=team, actor=actor_of(request))
            return "Deleted, and its memberships with it."
        numbers = [number for text in request.POST.getlist("person") if (number := read_number(text))]
        members.set_people(team=team, people=list(User.objects.filter(pk__in=numbers)), actor=actor_of(request))
        return "Saved."

    return act(request, verb, reverse("batches:teams"))
