"""Delete a batch, a plan or a project: the page says what goes, what stays and what stands in the way."""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT
from batches.core.text.words import counted
from batches.models import Plan, Project
from batches.pages.batches.batch import find_batch
from batches.pages.common import act, actor_of
from batches.projects import deletion


@require_http_methods(["GET", "HEAD", "POST"])
def delete_batch(request: HttpRequest, number: int) -> HttpResponse:
    """POST with `branches` makes branches of commits that no branch has; else it deletes."""
    batch = find_batch(number)
    _require(request, CHANGE_PROJECT, batch.project)
    here = reverse("batches:delete", args=[number])
    if request.method == "POST" and "branches" in request.POST:

        def made() -> str:
            return f"Made {counted(len(deletion.make_branches(batch=batch, actor=actor_of(request))), 'branch', 'branches')}."

        return act(request, made, here)
    back = reverse("batches:kept", args=[number])
    return _page(
        request,
        lambda: deletion.batch_deletion(batch),
        lambda: deletion.delete_batch(batch=batch, actor=actor_of(request)),
        back=(back, f"Batch {number}"),
        here=here,
        after=reverse("batches:list"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def delete_plan(request: HttpRequest, pk: int) -> HttpResponse:
    """All versions of the plan."""
    plan = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    _require(request, CHANGE_PROJECT, plan.project)
    return _page(
        request,
        lambda: deletion.plan_deletion(plan),
        lambda: deletion.delete_plan(plan=plan, actor=actor_of(request)),
        back=(reverse("batches:plan_detail", args=[pk]), plan.title),
        here=reverse("batches:plan_delete", args=[pk]),
        after=reverse("batches:plans"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def delete_project(request: HttpRequest, slug: str) -> HttpResponse:
    """With all its batches, plans and ideas."""
    project = get_object_or_404(Project, slug=slug)
    _require(request, ADD_PROJECT, None)
    return _page(
        request,
        lambda: deletion.project_deletion(project),
        lambda: deletion.delete_project(project=project, actor=actor_of(request)),
        back=(reverse("batches:project_detail", args=[slug]), project.name),
        here=reverse("batches:project_delete", args=[slug]),
        after=reverse("batches:projects"),
    )


def _require(request: HttpRequest, permission: str, project: Project | None) -> None:
    if not may(request.user, permission, project):
        raise PermissionDenied(refusal("Deleting", permission))


def _page(
    request: HttpRequest, asked: Callable[[], deletion.Deletion], verb: Callable[[], str], *, back: tuple[str, str], here: str, after: str
) -> HttpResponse:
    """`back`: (address, words) of the page that led here."""
    if request.method == "POST":
        gone = False

        def deleted() -> str:
            nonlocal gone
            said = verb()
            gone = True
            return said

        answer = act(request, deleted, here)
        if gone:
            answer["HX-Redirect" if "HX-Redirect" in answer else "Location"] = after
        return answer
    return render(request, "projects/delete.html", {"deletion": asked(), "back": back[0], "back_name": back[1]})
