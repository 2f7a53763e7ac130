"""From an idea to a plan: what a person asks of the agent (docs/ideas.md). engine/drafting.py does it."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import WRITE_PLANS
from batches.core.engine.execute_options import dollars
from batches.core.errors import ServiceError
from batches.core.plans.drafted import IdeaRequest
from batches.core.text.issue import document_of
from batches.engine.preflight import agent_lacking
from batches.integrations.issue_trackers import read_issue
from batches.models import Idea, Plan, Project
from batches.plans.versions import import_plan
from batches.repositories.repository import checked_repository
from subagents.contract import SubagentError
from subagents.documents import list_files

CHARACTERS = 100_000  # of an idea, and of its document: about as much as a model reads with attention
MOST_FILES = 50


def new_idea(
    *,
    project: Project,
    actor: Actor,
    text: str,
    source: str = "",
    document: str = "",
    issue: str = "",
    files: Sequence[str] = (),
    translate: bool = False,
    cap_usd: float | Decimal | None = None,
    asked_by: UUID | None = None,
) -> Idea:
    """Keep an idea and have the agent ask its questions, or, with `translate`, say the document in our format.

    `issue` is a link to an issue at the code host or in Linear, whose text and comments are read now and become part of the document.
    `cap_usd` None means the project's cap for an attempt. `asked_by` identifies the form: sent twice, it gives the same idea,
    and the agent is paid once.
    Raises ServiceError, PermissionDenied.
    """
    actor.require(WRITE_PLANS, project)
    if lacks := agent_lacking(project):
        raise ServiceError(lacks)
    text, document = text.replace("\r\n", "\n").strip(), document.replace("\r\n", "\n")
    if issue.strip():
        found = read_issue(project, issue)
        said = document_of(found)
        document, source = (f"{said}\n\n{document}" if document.strip() else said), source or found.identifier
    if not (document if translate else text or document).strip():
        say_it = "Say what you want, or add a document or an issue that says it."
        raise ServiceError("Upload or paste the document." if translate else say_it)
    for what, given in (("The idea", text), ("The document", document)):
        if len(given) > CHARACTERS:
            raise ServiceError(f"{what} has {len(given):,} characters; an agent is given at most {CHARACTERS:,}. Shorten it.")
        if "\0" in given:
            raise ServiceError(f"{what} is not text.")
    idea = Idea(
        project=project,
        text=text,
        source=source[:500],
        document=document,
        files=_known_files(project, files),
        translate=translate,
        cap_usd=project.phase_cap_usd if cap_usd is None else dollars(cap_usd, "The cap"),
        wanted=IdeaRequest.TRANSLATION if translate else IdeaRequest.QUESTIONS,
        cause=actor.cause,
        created_by=actor.user,
        created_at=timezone.now(),
    )
    try:
        with transaction.atomic():
            idea.asked_by = asked_by
            idea.save()
    except IntegrityError:
        first = Idea.objects.filter(asked_by=asked_by, project=project, text=text, document=document).first()
        if first is not None:
            return first
        idea.asked_by = None  # the browser went back to the form, and something else was typed
        idea.save()
    return idea


def _known_files(project: Project, files: Sequence[str]) -> list[str]:
    """The named files, each once. Raises ServiceError for one that is not in the repository."""
    named = list(dict.fromkeys(path for given in files if (path := given.strip().removeprefix("./"))))
    if not named:
        return []
    if len(named) > MOST_FILES:
        raise ServiceError(f"{len(named)} files are named; the agent is pointed at no more than {MOST_FILES}.")
    try:
        repository = checked_repository(project)
        there = list_files(repository, repository.branch_commit(project.base_branch))
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    known = set(there)
    for path in named:
        if path not in known and not any(one.startswith(path.rstrip("/") + "/") for one in there):
            raise ServiceError(f"{path} is not in the repository on {project.base_branch}.")
    return named


def answer_questions(*, idea: Idea, answers: Sequence[str], actor: Actor) -> None:
    """Keep answers ("": the suggested one), and have the plan written. Raises ServiceError, PermissionDenied."""
    if not idea.waits_for_answers:
        raise ServiceError("Nothing is asked about this idea, or it has been answered.")
    said = []
    for number, one in enumerate(idea.questions):
        given = " ".join(answers[number].split())[:2_000] if number < len(answers) else ""
        said.append(given or (one["answers"][0] if one["answers"] else "Decide it yourself."))
    _ask(idea, IdeaRequest.PLAN, actor, answers=said)


def revise(*, idea: Idea, remark: str, actor: Actor) -> None:
    """Have the newest version of the plan changed as the remark says. Raises ServiceError, PermissionDenied."""
    if idea.plan is None:
        raise ServiceError("There is no plan yet to revise.")
    if not remark.strip():
        raise ServiceError("Say what is to be changed.")
    if len(remark) > CHARACTERS:
        raise ServiceError(f"The remark has {len(remark):,} characters; the limit is {CHARACTERS:,}.")
    _ask(idea, IdeaRequest.REVISION, actor, remark=remark.strip())


def try_again(*, idea: Idea, actor: Actor, cap_usd: float | Decimal | None = None) -> None:
    """Try once more what came to nothing, with the cap if one is given. Raises ServiceError, PermissionDenied."""
    if not idea.problem:
        raise ServiceError("There is nothing to try again.")
    again = IdeaRequest.TRANSLATION if idea.translate else IdeaRequest.PLAN if idea.answers is not None else IdeaRequest.QUESTIONS
    if idea.plan is not None and idea.remark:
        again = IdeaRequest.REVISION
    caps = {} if cap_usd is None else {"cap_usd": dollars(cap_usd, "The cap")}
    _ask(idea, again, actor, **caps)


def _ask(idea: Idea, request: IdeaRequest, actor: Actor, **columns: object) -> None:
    """Raises ServiceError when the agent is at work on it already, or cannot work."""
    actor.require(WRITE_PLANS, idea.project)
    if lacks := agent_lacking(idea.project):
        raise ServiceError(lacks)
    fresh = {"problem": "", "stop_cause": "", "restarts": 0, "not_before": None, "pauses": 0, "paused_since": None, "paused_until": None}
    if not Idea.objects.filter(pk=idea.pk, wanted="").update(wanted=request, **fresh, **columns):
        raise ServiceError("The agent is at work on this idea already.")


def stop(*, idea: Idea, actor: Actor) -> None:
    """Have the agent stopped. What was written stays. Raises ServiceError, PermissionDenied."""
    actor.require(WRITE_PLANS, idea.project)
    if not Idea.objects.filter(pk=idea.pk).exclude(wanted="").update(stop_cause=actor.cause):
        raise ServiceError("No agent is at work on this idea.")


def undo(*, idea: Idea, actor: Actor) -> Plan:
    """Save the version before the newest once more, as the next one. Raises ServiceError, PermissionDenied."""
    actor.require(WRITE_PLANS, idea.project)
    newest, before = (*versions_of(idea)[:2], None, None)[:2]
    if newest is None or before is None:
        raise ServiceError("The plan has no earlier version.")
    plan = import_plan(text=before.text, file_name=before.file_name, project=before.project, actor=actor, edited=newest)
    Idea.objects.filter(pk=idea.pk).update(plan=plan)
    return plan


def versions_of(idea: Idea) -> Sequence[Plan]:
    """All versions of the idea's plan, the newest first."""
    return [] if idea.plan is None else list(Plan.objects.series_of(idea.plan).order_by("-version"))


def idea_of(plan: Plan) -> Idea | None:
    """The idea that the plan's series was drafted from; None for any other plan."""
    return Idea.objects.filter(plan__in=Plan.objects.series_of(plan).values("pk")).first()
