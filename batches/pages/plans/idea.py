"""From an idea to a plan: what a person wants, the agent's questions, its progress, and what came of it."""

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from batches.accounts.access import may, may_anywhere
from batches.accounts.rights import refusal
from batches.accounts.roles import WRITE_PLANS
from batches.core.errors import ServiceError
from batches.core.plans.text_diff import diff_texts
from batches.core.text.log_lines import read_log
from batches.engine import ideas
from batches.engine.preflight import agent_lacking
from batches.models import Idea, Project
from batches.pages.common import act, actor_of, htmx, read_number
from batches.pages.errors import too_large
from batches.pages.plans.idea_form import IdeaCap, IdeaNew
from batches.pages.uploads import is_too_large

LATEST, LOG_LINES, DIFF_LINES, ACCOUNT_SHOWN = 10, 60, 1_000, 500


@require_http_methods(["GET", "HEAD", "POST"])
def idea_new(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: keep the idea and let the agent begin; a refusal shows again what was typed."""
    if not may_anywhere(request.user, WRITE_PLANS):
        raise PermissionDenied(refusal("Writing plans", WRITE_PLANS))
    if request.method != "POST":
        return _form(request, IdeaNew(initial={"project": read_number(request.GET.get("project"))}))
    given = request.POST.copy()
    upload = request.FILES.get("file")
    if upload is not None and is_too_large(upload):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    problem = ""
    if upload is not None:
        try:
            pasted, uploaded = given.get("document", ""), upload.read().decode("utf-8-sig")
            given["document"], given["source"] = f"{pasted}\n\n{uploaded}" if pasted.strip() else uploaded, str(upload.name)
        except UnicodeDecodeError:
            problem = f"{upload.name} is not text in UTF-8. Paste what it says."
    form = IdeaNew(given)
    if problem or not form.is_valid():
        if problem:
            form.add_error(None, problem)
        return _form(request, form, status=400)
    values = form.cleaned_data
    try:
        idea = ideas.new_idea(
            project=values["project"],
            actor=actor_of(request),
            text=values["text"],
            source=values["source"],
            document=values["document"],
            issue=values["issue"],
            files=values["paths"].split("\n"),
            translate=values["translate"],
            cap_usd=values["cap_usd"],
            asked_by=values["sent"],
        )
    except ServiceError as error:
        form.add_error(None, str(error))
        return _form(request, form, status=400)
    return redirect("batches:idea", idea.pk)


def _form(request: HttpRequest, form: IdeaNew, status: int = 200) -> HttpResponse:
    projects = [project for project in Project.objects.all() if may(request.user, WRITE_PLANS, project)]
    lacking = [(project, lacks) for project in projects if (lacks := agent_lacking(project))]
    context = {
        "form": form,
        "projects": projects,
        "lacking": lacking,
        "none_can": len(lacking) == len(projects),
        "latest": Idea.objects.select_related("project", "plan")[:LATEST],
    }
    return render(request, "plans/describe_what_you_want.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def idea_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """An idea: questions to answer, an agent at work (htmx polls), a plan with its changes, or what went wrong."""
    idea = get_object_or_404(Idea.objects.select_related("project", "plan", "created_by"), pk=pk)
    writes = may(request.user, WRITE_PLANS, idea.project)
    if request.method == "POST":
        if not writes:
            raise PermissionDenied(refusal("Writing plans", WRITE_PLANS))
        return _act(request, idea)
    attempt = idea.attempts.order_by("-number").first()
    progress = {"idea": idea, "attempt": attempt, "writes": writes, "spent": idea.known_usd}
    if htmx(request) and idea.wanted:
        return render(request, "plans/_idea_progress.html", progress)
    if htmx(request):
        if idea.plan is not None and idea.plan.version == 1 and not idea.problem and writes:
            return HttpResponse(status=204, headers={"HX-Redirect": reverse("batches:plan_edit", args=[idea.plan.pk])})
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    versions = ideas.versions_of(idea)
    newest, before = (*versions[:2], None, None)[:2]
    context = {
        **progress,
        "newest": newest,
        "before": before,
        "diff": diff_texts(before.text, newest.text, limit=DIFF_LINES) if newest and before else None,
        "log": read_log(attempt.log_tail, limit=LOG_LINES) if attempt else (),
        "account": idea.account[:ACCOUNT_SHOWN],
        "account_left": len(idea.account[ACCOUNT_SHOWN:]),
        "left_out": sum(not one["became"] for one in idea.account),
        "answered": list(zip(idea.questions, idea.answers or [], strict=False)),
        "lacks": agent_lacking(idea.project),
    }
    return render(request, "plans/idea.html", context)


def _act(request: HttpRequest, idea: Idea) -> HttpResponse:
    """Carry out what a button of the page asks for."""
    wanted, actor, back = request.POST.get("action", ""), actor_of(request), reverse("batches:idea", args=[idea.pk])

    def verb() -> str:
        match wanted:
            case "answer" | "suggested":
                ideas.answer_questions(idea=idea, answers=_answers(request, idea) if wanted == "answer" else [], actor=actor)
                return "The agent writes the plan. This page shows what it does."
            case "revise":
                ideas.revise(idea=idea, remark=request.POST.get("remark", ""), actor=actor)
                return "The agent revises the plan. The difference is shown here."
            case "again":
                form = IdeaCap(request.POST)
                if not form.is_valid():
                    raise ServiceError("The cap is an amount in US dollars, at least 0.01.")
                ideas.try_again(idea=idea, actor=actor, cap_usd=form.cleaned_data["cap_usd"])
                return "The agent tries again."
            case "stop":
                ideas.stop(idea=idea, actor=actor)
                return "The agent is being stopped. What you wrote is kept."
            case "undo":
                plan = ideas.undo(idea=idea, actor=actor)
                return f"Version {plan.version} says again what the version before said."
        raise ServiceError("This page has no such button; reload it.")

    return act(request, verb, back)


def _answers(request: HttpRequest, idea: Idea) -> list[str]:
    """For each question the answer in a person's own words, else the chosen one."""
    numbers = range(len(idea.questions))
    return [request.POST.get(f"own-{number}", "").strip() or request.POST.get(f"answer-{number}", "") for number in numbers]
