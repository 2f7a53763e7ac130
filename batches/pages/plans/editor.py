"""The plan editor with its live preview: new plans, new versions, uploaded files."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from batches.accounts.access import may, may_anywhere
from batches.accounts.rights import refusal
from batches.accounts.roles import WRITE_PLANS
from batches.core.errors import BatchError, ServiceError
from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.core.plans.phase_form import FormRefused, PhaseForm, form_of, write_form
from batches.core.plans.repairs import repair_all
from batches.core.plans.templates import ProjectShape, TemplateKind, template
from batches.core.plans.text_diff import diff_texts, lines_of
from batches.core.plans.types import PlanIssue, apply_repair
from batches.engine.ideas import idea_of
from batches.gates.shapes import shape_of_project, suggestions
from batches.models import Idea, Plan, Project
from batches.pages.common import actor_of, read_number
from batches.pages.errors import too_large
from batches.pages.plans.editor_form import PlanText, TemplateStart
from batches.pages.plans.preview import Preview, models_chosen, schedule_of
from batches.pages.uploads import is_too_large
from batches.plans.conflict_decisions import decisions_of
from batches.plans.finished_phases import finished_phases
from batches.plans.read_plan import report_of
from batches.plans.versions import SAMPLE, import_plan
from batches.review.plan_review import review_of_text

DECISION_FIELD = re.compile(r"decision-([0-9a-f]{24})")
DECISIONS_KEPT = 500  # most decisions in one form
ERRORS_OF_A_FILE = 5
TYPED_CHARACTERS = 300  # of what is completed
DIFF_LINES = 1_000  # of the preview of repairs
COMPLEXITIES = ("low", "medium", "high")
FORM_NAMES = tuple(field.name for field in fields(PhaseForm))
REPAIR_ALL = {"all-in-order": False, "all-at-once": True}  # value of the button: whether phases without an order run at once


@require_http_methods(["GET", "HEAD", "POST"])
def plan_new(request: HttpRequest) -> HttpResponse:
    """GET: the editor, empty or from ?from=PLAN, ?template= or ?idea=, for a ?project=. POST: save text or files."""
    _require_author(request)
    if request.method != "POST":
        if (start := read_number(request.GET.get("from"))) is not None:
            plan = get_object_or_404(Plan, pk=start)
            return _editor(request, plan.text, plan.file_name, project=plan.project_id)
        if "template" in request.GET:
            return _from_template(request)
        if (start := read_number(request.GET.get("idea"))) is not None:
            idea = get_object_or_404(Idea, pk=start)
            return _editor(request, idea.text or idea.document, "", project=idea.project_id)
        return _editor(request, "", "", project=read_number(request.GET.get("project")))
    return _save(request, None)


def _from_template(request: HttpRequest) -> HttpResponse:
    """The editor with a template, filled with what the project's settings and repository say; nothing is saved."""
    form = TemplateStart(request.GET)
    if not form.is_valid():
        return _editor(request, "", "", status=400, start=form)
    project, shape = form.cleaned_data["project"], ProjectShape()
    if project is not None:
        try:
            shape = shape_of_project(project)
        except ServiceError as error:
            messages.warning(request, f"Nothing was filled in from the repository: {error}")
    text = template(TemplateKind(form.cleaned_data["template"]), shape, form.cleaned_data["about"])
    return _editor(request, text, "", project=None if project is None else project.pk, start=form)


@require_http_methods(["GET", "HEAD", "POST"])
def plan_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the editor with this version's text. POST: save it as the next version."""
    plan = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    _require_author(request, plan.project)
    if request.method == "POST":
        return _save(request, plan)
    decisions = {key: one.decision for key, one in decisions_of(plan).items()}
    return _editor(request, plan.text, plan.file_name, edited=plan, decisions=decisions, project=plan.project_id)


def _require_author(request: HttpRequest, project: Project | None = None) -> None:
    """Raises PermissionDenied. Without a project it is enough that there is one in which the person may write plans."""
    if not (may(request.user, WRITE_PLANS, project) if project else may_anywhere(request.user, WRITE_PLANS)):
        raise PermissionDenied(refusal("Writing plans", WRITE_PLANS))


def _save(request: HttpRequest, edited: Plan | None) -> HttpResponse:
    uploads = request.FILES.getlist("file")
    form = PlanText(request.POST)
    text, decisions = request.POST.get("text", ""), _decisions(request)
    if not form.is_valid():
        return _editor(request, text, "", form=form, status=400, edited=edited, decisions=decisions)
    project = form.cleaned_data["project"]
    if len(uploads) > 1:
        return _save_all(request, uploads, project)
    if uploads and is_too_large(uploads[0]):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    # Forms send every line end as CRLF.
    source: str | bytes = uploads[0].read() if uploads else form.cleaned_data["text"].replace("\r\n", "\n")
    name = str(uploads[0].name) if uploads else form.cleaned_data["file_name"]
    if edited is not None and isinstance(source, str) and _is_same(edited, source, project, decisions):
        messages.info(request, f"Nothing was changed; version {edited.version} is still the latest.")
        return redirect("batches:plan_detail", edited.pk)
    try:
        plan = import_plan(text=source, file_name=name, project=project, actor=actor_of(request), edited=edited, decisions=decisions)
    except BatchError as error:
        form.add_error(None, str(error))
        return _editor(request, source if isinstance(source, str) else "", name, form=form, status=400, edited=edited, decisions=decisions)
    return redirect("batches:plan_detail", plan.pk)


def _is_same(edited: Plan, source: str, project: Project | None, decisions: Mapping[str, str]) -> bool:
    before = {key: one.decision for key, one in decisions_of(edited).items()}
    return lines_of(source) == lines_of(edited.text) and project == edited.project and before | dict(decisions) == before


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The result for one file: the saved plan, or why it was refused."""

    name: str
    plan: Plan | None = None
    errors: tuple[PlanIssue, ...] = ()
    refusal: str = ""

    @property
    def more_errors(self) -> int:
        return self.plan.error_count - len(self.errors) if self.plan else 0


def _save_all(request: HttpRequest, uploads: "list[UploadedFile[Any]]", project: Project | None) -> HttpResponse:
    """Save each file separately and show each result. A refused file does not affect the others."""
    outcomes = [_save_one(request, upload, project) for upload in uploads]
    kept = sum(one.plan is not None for one in outcomes)
    status = 200 if kept else 413 if all(is_too_large(upload) for upload in uploads) else 400
    context = {"outcomes": outcomes, "kept": kept, "refused": len(outcomes) - kept}
    return render(request, "plans/uploaded_plans.html", context, status=status)


def _save_one(request: HttpRequest, upload: "UploadedFile[Any]", project: Project | None) -> Uploaded:
    name = str(upload.name)
    if is_too_large(upload):
        return Uploaded(name, refusal=f"It has {upload.size:,} bytes; the limit is {settings.CE_UPLOAD_BYTES:,} (CE_UPLOAD_BYTES).")
    try:
        plan = import_plan(text=upload.read(), file_name=name, project=project, actor=actor_of(request))
    except BatchError as error:
        return Uploaded(name, refusal=str(error))
    errors = report_of(plan).reading.errors if plan.error_count else ()
    return Uploaded(name, plan=plan, errors=errors[:ERRORS_OF_A_FILE])


def _editor(
    request: HttpRequest,
    text: str,
    name: str,
    *,
    form: PlanText | None = None,
    status: int = 200,
    edited: Plan | None = None,
    decisions: Mapping[str, str] | None = None,
    project: int | None = None,
    before: str | None = None,
    changes: Mapping[str, int] | None = None,
    start: TemplateStart | None = None,
    phase_form: Mapping[str, str] | None = None,
) -> HttpResponse:
    """The editor with `text`. `before` is the text that repairs changed, for their preview and for Undo."""
    projects = list(Project.objects.all())
    chosen = request.POST.get("project") if request.method == "POST" else project
    if not chosen and len(projects) == 1 and request.method != "POST" and edited is None:
        chosen = projects[0].pk
    context = {
        "text": text,
        "file_name": name,
        "form": form or PlanText(),
        "projects": projects,
        "chosen": str(chosen or ""),
        "preview": _preview_of(text, decisions or {}, str(chosen or "")),
        "limit": settings.CE_UPLOAD_BYTES,
        "editing": True,
        "edited": edited,
        "start": start or TemplateStart(initial={"project": chosen}),
        "posted": request.method == "POST",
        "phase_form": phase_form,
        "complexities": COMPLEXITIES,
        "before": before,
        "changes": changes or {},
        "diff": diff_texts(before, text, limit=DIFF_LINES) if before is not None else None,
        "idea": None if edited is None else idea_of(edited),
        "example": Plan.objects.filter(file_name=SAMPLE, error_count=0).defer("text").order_by("pk").first(),
    }
    return render(request, "plans/editor.html", context, status=status)


def _preview_of(text: str, decisions: Mapping[str, str], project: str) -> Preview | None:
    if not text.strip():
        return None
    number = read_number(project)
    chosen, report = Project.objects.filter(pk=number).first() if number else None, _report(text)
    return Preview(
        report,
        text=text,
        decisions=decisions,
        history=finished_phases(),
        project=number,
        schedule=schedule_of(chosen),
        models=models_chosen(chosen, report),
        review=review_of_text(chosen, report, text),
    )


@require_POST
def plan_form(request: HttpRequest) -> HttpResponse:
    """The editor with the form of a phase beside the text; with `write`, its key, what the form says is in the text. Nothing is saved."""
    text = request.POST.get("text", "").replace("\r\n", "\n")
    if not _fits(text):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    previous = read_number(request.POST.get("edited"))
    edited = None if previous is None else get_object_or_404(Plan, pk=previous)
    key, before, changes = request.POST.get("write", request.POST.get("form_phase", "")), None, None
    given: Mapping[str, str] = {name: request.POST[f"form-{name}"] for name in FORM_NAMES if f"form-{name}" in request.POST}
    shown: Mapping[str, str] | None = None
    try:
        if "write" in request.POST:
            written = write_form(text, key, given)
            if written != text:
                before, text, changes = text, written, {f"Phase {key} by its form": 1}
        shown = asdict(form_of(text, key))
    except FormRefused as refused:
        messages.error(request, str(refused))
        shown = given or None
    name, decisions = request.POST.get("file_name", ""), _decisions(request)
    opened = None if shown is None else {"key": key, **shown}
    return _editor(request, text, name, edited=edited, decisions=decisions, before=before, changes=changes, phase_form=opened)


def _report(text: str) -> DocumentReport:
    return analyse_document(text, settings.CE_UPLOAD_BYTES)


def _decisions(request: HttpRequest) -> dict[str, str]:
    """{conflict_id: choice} from the fields that the preview adds to the form."""
    found = [(match[1], request.POST[name]) for name in request.POST if (match := DECISION_FIELD.fullmatch(name))]
    return {key: choice for key, choice in found[:DECISIONS_KEPT] if choice in ("warn", "serialize")}


def _fits(text: str) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) <= settings.CE_UPLOAD_BYTES


@require_safe
def plan_complete(request: HttpRequest) -> HttpResponse:
    """JSON: what can stand at the editor's cursor. ?kind= is path or command, ?typed= what stands there, ?project= whose repository."""
    number = read_number(request.GET.get("project"))
    project = None if number is None else get_object_or_404(Project, pk=number)
    _require_author(request, project)
    try:
        values = suggestions(project, request.GET.get("kind", ""), request.GET.get("typed", "")[:TYPED_CHARACTERS]) if project else []
    except ServiceError:
        values = []  # the preview says why the repository cannot be read
    return JsonResponse({"values": values})


@require_POST
def plan_preview(request: HttpRequest) -> HttpResponse:
    """The preview of the editor's text, as a fragment. Nothing is saved."""
    text = request.POST.get("text", "")
    if not _fits(text):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    preview = _preview_of(text, _decisions(request), request.POST.get("project", ""))
    return render(request, "plans/_preview.html", {"preview": preview, "editing": True})


@require_POST
def preview_graph(request: HttpRequest) -> HttpResponse:
    """The graph of a large plan in the editor, as a fragment, on request."""
    text = request.POST.get("text", "")
    if not _fits(text):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    preview = Preview(_report(text), text=text, decisions=_decisions(request))
    return render(request, "plans/_graph.html", {"preview": preview})


@require_POST
def plan_repair(request: HttpRequest) -> HttpResponse:
    """The editor with one repair, or all of them, applied to its text, or with the text before them. Nothing is saved.

    Only repairs that the reader or the review suggests for this text are applied.
    """
    text = request.POST.get("text", "").replace("\r\n", "\n")
    before, changes = None, None
    previous = read_number(request.POST.get("edited"))
    edited = None if previous is None else get_object_or_404(Plan, pk=previous)
    wanted = request.POST.get("repair", "")
    if not _fits(text) or not _fits(request.POST.get("before", "")):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    if wanted == "undo":
        text = request.POST.get("before", text).replace("\r\n", "\n")
    elif wanted in REPAIR_ALL:
        proposal = repair_all(text, at_once=REPAIR_ALL[wanted])
        before, text, changes = text, proposal.text, proposal.changes
    else:
        report, number = _report(text), read_number(request.POST.get("project"))
        review = review_of_text(Project.objects.filter(pk=number).first() if number else None, report, text)
        offered = {repair.id: repair for issue in (*report.reading.errors, *report.reading.warnings) for repair in issue.repairs}
        offered |= {repair.id: repair for finding in review.findings for repair in finding.repairs}
        if wanted in offered:
            chosen = offered[wanted]
            before, text, changes = text, apply_repair(text, chosen), {chosen.label: 1}
        else:
            messages.error(request, "The text has changed; check the list again.")
    name, decisions = request.POST.get("file_name", ""), _decisions(request)
    return _editor(request, text, name, edited=edited, decisions=decisions, before=before, changes=changes)
