"""Version 1: batches, and what is done with a whole batch."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from batches.accounts.roles import CHANGE_PROJECT
from batches.models import Batch
from batches.pages.api import batches as shared
from batches.pages.api import merges, phases, reviews
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.projects import archive_json, named, told
from batches.pages.api_v1.shapes import (
    ArchiveShape,
    Batches,
    BatchStatus,
    Begun,
    Decide,
    DeletionShape,
    Diffs,
    DryRun,
    Execute,
    MergeBody,
    Merged,
    MergePreview,
    NewBatch,
    Number,
    OfProject,
    PlanOfBatch,
    Preview,
    Proposal,
    Report,
    Retried,
    Retry,
    ReviewBody,
    Runs,
    RunWhole,
    VerificationShape,
    View,
)
from batches.pages.batches import list_queries
from batches.pages.batches.batch import find_batch
from batches.pages.batches.batch_list import rows_of
from batches.pages.common import LARGEST_NUMBER
from batches.projects import deletion
from batches.projects.archive import archive_batch

TAGS, WORK, AFTER = ["batches"], ["work"], ["after the execution"]
Words = Annotated[str, Query(max_length=200, description="A number, or words of the title or project.", examples=["export"])]
AsText = Annotated[Literal["", "1"], Query(description="1: add what the command prints.", examples=["1"])]
MakeBranches = Annotated[Literal["", "1"], Query(description="1: first make branches of commits that no branch has.", examples=["1"])]
OfPhase = Annotated[str, Query(max_length=40, description="The key of a phase; empty: all.", examples=["2a"])]
RunPath = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The number of a run in its batch.", examples=[1])]


@api.get("batches/", response=Batches, url_name="batches", tags=TAGS, summary="List batches")
def batches(
    request: HttpRequest, view: View = "all", project: OfProject = "", q: Words = "", cursor: Cursor = "", limit: Limit = 50
) -> dict[str, Any]:
    """Batches, the newest first, filtered as on the page."""
    found = list_queries.in_view(list_queries.search(Batch.objects.with_state(), q), view).select_related("project")
    if (of_project := named(project)) is not None:
        found = found.filter(project=of_project)

    def shown(rows: list[Batch]) -> Iterable[dict[str, Any]]:
        return (shared.row_json(request, row) for row in rows_of(rows))

    return {"count": found.count()} | part_of(found, "number", cursor, limit, shown)


@api.post("batches/", response={201: Begun}, url_name="batches", tags=TAGS, summary="Make a batch")
def new_batch(request: HttpRequest, sent: NewBatch) -> HttpResponse:
    """Make a batch of a saved plan and write its PRPs; carry it out too, if that is asked for."""
    return shared.new_batch(request, actor_of(request))


@api.get("batches/{int:number}/", response=BatchStatus, url_name="batch", tags=TAGS, summary="Read a batch")
def batch(request: HttpRequest, number: Number, text: AsText = "") -> HttpResponse:
    """How far a batch is: its stages, phases, gates and cost."""
    return shared.batch(request, actor_of(request), number)


@api.delete("batches/{int:number}/", response=DeletionShape, url_name="batch", tags=TAGS, summary="Delete a batch")
def delete_batch(request: HttpRequest, number: Number, dry_run: DryRun = "", make_branches: MakeBranches = "") -> dict[str, Any]:
    """Its runs, logs and figures. Branches stay; with commits that no branch has it is refused."""
    found, actor = find_batch(number), actor_of(request)
    actor.require(CHANGE_PROJECT, found.project)
    if make_branches and not dry_run:
        deletion.make_branches(batch=found, actor=actor)
    return told(deletion.batch_deletion(found), lambda: deletion.delete_batch(batch=found, actor=actor), dry_run)


@api.put("batches/{int:number}/archive/", response=ArchiveShape, url_name="archive", tags=TAGS, summary="Archive a batch")
def archive(request: HttpRequest, number: Number) -> dict[str, Any]:
    """Lists hide it and nothing starts in it. Nothing of it is deleted."""
    return _archived(request, number, back=False)


@api.delete("batches/{int:number}/archive/", response=ArchiveShape, url_name="archive", tags=TAGS, summary="Bring a batch back")
def bring_back(request: HttpRequest, number: Number) -> dict[str, Any]:
    """Lists show it again, unless its project is archived."""
    return _archived(request, number, back=True)


def _archived(request: HttpRequest, number: int, *, back: bool) -> dict[str, Any]:
    found = find_batch(number)
    archive_batch(batch=found, actor=actor_of(request), back=back)
    return archive_json(f"batch {number}", find_batch(number).archived_at)


@api.get("batches/{int:number}/plan/", response=PlanOfBatch, url_name="batch_plan", tags=TAGS, summary="Read a batch's plan")
def batch_plan(request: HttpRequest, number: Number) -> HttpResponse:
    """The text of the plan that the batch was made of."""
    return phases.plan(request, actor_of(request), number)


@api.get("batches/{int:number}/report/", response=Report, url_name="report", tags=TAGS, summary="Read a batch's report")
def report(request: HttpRequest, number: Number) -> HttpResponse:
    """The report of the latest run that has one, or null."""
    return shared.report(request, actor_of(request), number)


@api.get("batches/{int:number}/runs/", response=Runs, url_name="runs", tags=TAGS, summary="List runs")
def runs(request: HttpRequest, number: Number, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The runs of a batch, the newest first."""
    rows = find_batch(number).runs.defer("result", "report")
    fields = ("operation", "state", "backend", "model", "started_at", "ended_at", "seconds", "stop_reason", "stop_message")
    return part_of(
        rows, "number", cursor, limit, lambda rows: ({"run": row.number, **{name: getattr(row, name) for name in fields}} for row in rows)
    )


@api.get("batches/{int:number}/runs/{int:run}/", response=RunWhole, url_name="run", tags=TAGS, summary="Read a run")
def run(request: HttpRequest, number: Number, run: RunPath) -> HttpResponse:
    """A run with its tasks; at its end with `report`, and `passes`: whether work may continue."""
    return phases.run(request, actor_of(request), number, run)


@api.post("batches/{int:number}/execute/", response={202: Begun}, url_name="execute", tags=WORK, summary="Execute")
def execute(request: HttpRequest, number: Number, sent: Execute) -> HttpResponse:
    """Carry out what is left of the batch, or a part of it. What is left out takes the project's setting."""
    return shared.execute(request, actor_of(request), number)


@api.post("batches/{int:number}/preview/", response=Preview, url_name="preview", tags=WORK, summary="Preview an execution")
def preview(request: HttpRequest, number: Number, sent: Execute) -> HttpResponse:
    """What *Execute* would do with the same body. Nothing is changed."""
    return shared.preview(request, actor_of(request), number)


@api.post("batches/{int:number}/try-now/", response={202: Begun}, url_name="try_now", tags=WORK, summary="Try now")
def try_now(request: HttpRequest, number: Number) -> HttpResponse:
    """Try at once the machine or the provider that the last run waits for."""
    return shared.try_now(request, actor_of(request), number)


@api.post("batches/{int:number}/retry/", response={202: Retried}, url_name="retry", tags=WORK, summary="Retry")
def retry(request: HttpRequest, number: Number, sent: Retry) -> HttpResponse:
    """Retry phases of the last run, or all that failed, with those that they blocked."""
    return shared.retry(request, actor_of(request), number)


@api.post("batches/{int:number}/cancel/", response={202: Begun}, url_name="cancel", tags=WORK, summary="Cancel")
def cancel(request: HttpRequest, number: Number) -> HttpResponse:
    """Stop the last run with everything that works in it."""
    return shared.cancel(request, actor_of(request), number)


@api.get("batches/{int:number}/diff/", response=Diffs, url_name="diff", tags=WORK, summary="Read diffs")
def diff(request: HttpRequest, number: Number, phase: OfPhase = "") -> HttpResponse:
    """What git shows as changed by each phase in its newest attempt."""
    return phases.diff(request, actor_of(request), number)


@api.get("batches/{int:number}/verify/", response=VerificationShape, url_name="verify", tags=AFTER, summary="Read a verification")
def verification(request: HttpRequest, number: Number) -> HttpResponse:
    """How far the latest verification is, and what it found."""
    return shared.verification(request, actor_of(request), number)


@api.post("batches/{int:number}/verify/", response={202: VerificationShape}, url_name="verify", tags=AFTER, summary="Verify")
def verify(request: HttpRequest, number: Number) -> HttpResponse:
    """Judge all recorded gates once more."""
    return shared.verify(request, actor_of(request), number)


@api.post("batches/{int:number}/verify/stop/", response={202: VerificationShape}, url_name="verify_stop", tags=AFTER, summary="Stop it")
def stop_verification(request: HttpRequest, number: Number) -> HttpResponse:
    """Stop the verification."""
    return shared.verify_stop(request, actor_of(request), number)


@api.post("batches/{int:number}/review/", response={202: Begun}, url_name="review", tags=AFTER, summary="Review")
def review(request: HttpRequest, number: Number, sent: ReviewBody) -> HttpResponse:
    """Review the PRPs, or the code."""
    return reviews.review(request, actor_of(request), number)


@api.post("batches/{int:number}/context/", response={202: Begun}, url_name="context", tags=AFTER, summary="Update the context")
def context(request: HttpRequest, number: Number) -> HttpResponse:
    """Propose an update of the context after an execution."""
    return reviews.context(request, actor_of(request), number)


@api.get("batches/{int:number}/context/", response=Proposal, url_name="context", tags=AFTER, summary="Read the proposal")
def context_proposal(request: HttpRequest, number: Number) -> HttpResponse:
    """The newest update of the context that was proposed, and what was decided about it; `run` is null without one."""
    return reviews.proposal(request, actor_of(request), number)


@api.post("batches/{int:number}/context/decide/", response=Proposal, url_name="decide_context", tags=AFTER, summary="Decide it")
def decide_context(request: HttpRequest, number: Number, sent: Decide) -> HttpResponse:
    """Accept or reject the newest proposal."""
    return reviews.decide_context(request, actor_of(request), number)


@api.post("batches/{int:number}/bring-in/", response=MergePreview, url_name="bring_in", tags=AFTER, summary="Bring in the base")
def bring_in(request: HttpRequest, number: Number) -> HttpResponse:
    """Merge new commits of the base branch into the batch's branch. Its gates are to be judged on that."""
    return merges.bring_in(request, actor_of(request), number)


@api.post("batches/{int:number}/judge/", response={202: Begun}, url_name="judge", tags=AFTER, summary="Judge again")
def judge(request: HttpRequest, number: Number) -> HttpResponse:
    """Judge all gates of the batch again, on its branch as it is."""
    return merges.judge(request, actor_of(request), number)


@api.get("batches/{int:number}/merge/", response=MergePreview, url_name="merge", tags=AFTER, summary="Preview the merge")
def merge_preview(request: HttpRequest, number: Number) -> HttpResponse:
    """What a merge into the base branch would bring, or why it is refused."""
    return merges.merge_preview(request, actor_of(request), number)


@api.post("batches/{int:number}/merge/", response=Merged, url_name="merge", tags=AFTER, summary="Merge")
def merge(request: HttpRequest, number: Number, sent: MergeBody) -> HttpResponse:
    """Merge the batch's branch into its base branch."""
    return merges.merge(request, actor_of(request), number)
