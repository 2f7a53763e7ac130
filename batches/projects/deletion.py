"""Delete batches, plans and projects. Before it happens it is said what goes, what stays, and what stands in the way.

Work is never deleted: branches stay in the repository, and what has commits that no branch has is not deleted. A batch is
first archived, so that nothing starts; then its files go; at last its rows, with a line in the audit trail. Safe to repeat.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT
from batches.core.errors import ServiceError
from batches.core.text.words import counted
from batches.models import Attempt, Batch, Idea, Installation, Phase, Plan, Project, PullRequest, Run
from batches.repositories.ownership import OWNER, refuse_owned, this_installation
from batches.repositories.repository import checked_repository
from batches.runs.busy_or_archived import refuse_busy
from subagents.contract import OrchestrationFiles, SubagentError
from subagents.left_over import ARCHIVE
from subagents.workspace import RefMoved, Repository, branch_ref

NAMED = 5  # of a long list
_OF_BATCH = re.compile(r"refs/ce/[a-z]+/batch-(\d+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deletion would do, in sentences: what goes, what stays, and why it is refused.

    `lonely` are references whose commits no branch has; `make_branches` is the way out for them.
    """

    name: str
    goes: tuple[str, ...]
    stays: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    lonely: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises ServiceError with what stands in the way."""
        if self.refusals:
            raise ServiceError(" ".join(self.refusals[:NAMED]))


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the repository holds of batches: {batch: {reference: commit}}, and the commits that no branch has."""

    repository: Repository | None = None
    references: dict[int, dict[str, str]] = field(default_factory=dict)
    lonely: frozenset[str] = frozenset()
    problem: str = ""

    @classmethod
    def of(cls, project: Project) -> "_Kept":
        if project.demo or not os.path.exists(project.repository):
            return cls()  # the rows are all that there is
        try:
            repository = checked_repository(project)
            refuse_owned(repository, this_installation())
            found: dict[int, dict[str, str]] = defaultdict(dict)
            for name, commit in repository.references("refs/ce/").items():
                if (number := _OF_BATCH.match(name)) is not None:
                    found[int(number[1])][name] = commit
            return cls(repository, found, repository.on_no_branch([commit for one in found.values() for commit in one.values()]))
        except (SubagentError, ServiceError) as problem:
            return cls(problem=str(problem))


# Batches


def batch_deletion(batch: Batch) -> Deletion:
    """What deleting the batch would do."""
    return _batch_deletion(batch, _Kept.of(batch.project))


def _batch_deletion(batch: Batch, kept: _Kept) -> Deletion:
    attempts = Attempt.objects.filter(task__run__batch=batch)
    references = kept.references.get(batch.number, {})
    lonely = tuple(sorted(name for name, commit in references.items() if commit in kept.lonely))
    said = [f"{counted(batch.runs.count(), 'run')} and {counted(attempts.count(), 'attempt')} with logs, results, reviews and figures."]
    said += [f"{counted(len(references), 'reference')} to commits that are on a branch."] if references else []
    if batch.project.monthly_budget_usd is not None and attempts.exclude(cost_usd=None).exists():
        said.append("What it cost, also of this month's budget.")
    stays = list(_branch_words(kept.repository, batch)) if kept.repository else []
    stays += [f"Archives of files that were not committed, below {_folder(batch)}."] if any(_left_over(batch)) else []
    elsewhere = attempts.exclude(host=settings.CE_HOST).values_list("host", flat=True)
    stays += [f"Logs on the host {host}." for host in sorted(set(elsewhere))]
    return Deletion(f"batch {batch.number}, {batch.title}", tuple(said), tuple(stays), tuple(_refusals(batch, kept, lonely)), lonely)


def _refusals(batch: Batch, kept: _Kept, lonely: tuple[str, ...]) -> Iterator[str]:
    if kept.problem:
        yield kept.problem
    try:
        refuse_busy(batch)
    except ServiceError as busy:
        yield str(busy)
        return
    if not batch.project.demo and batch.runs.filter(reported_at=None).exists():
        yield f"The report of batch {batch.number} is still being written. Try again shortly."
    if batch.verifications.filter(ended_at=None).exists():
        yield f"Batch {batch.number} is being verified. Wait for its end, or stop it."
    if batch.base_merges.filter(ended_at=None).exists() or batch.pull_requests.filter(status=PullRequest.Status.WANTED).exists():
        yield f"Batch {batch.number} is being merged, or its pull request is being opened. Try again shortly."
    if folders := list(_folders(batch)):
        what = f"Batch {batch.number} left folders, which may hold what is in no commit: {_some(folders)}."
        yield f"{what} Clean up first, on its page Kept work."
    if lonely:
        names = [name.removeprefix("refs/ce/") for name in lonely]
        yield f"Batch {batch.number} left commits that no branch has: {_some(names)}. Make branches of them first."


def _folders(batch: Batch) -> Iterator[str]:
    """Attempts that left a folder: on this host as it is, of others what they have told."""
    rows = Attempt.objects.filter(task__run__batch=batch, checkout_removed_at=None).exclude(checkout="")
    for one in rows.select_related("task__run").defer("spec", "log_tail", "heartbeat"):
        there = os.path.isdir(one.checkout) if one.host == settings.CE_HOST else one.checkout_bytes is not None
        if there:
            yield f"{one.task.name} (run {one.task.run.number}, attempt {one.number})"


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return f"{', '.join(names[:NAMED])}{f' and {more} more' if more > 0 else ''}"


def _branch_words(repository: Repository, batch: Batch) -> Iterator[str]:
    tip, base = (repository.reference(branch_ref(name)) for name in (batch.branch, batch.base_branch))
    if not tip:
        return
    missing = "." if not base else f"; {batch.base_branch} has all its commits."
    if base and not repository.is_ancestor(tip, base):
        missing = f", with commits that {batch.base_branch} does not have."
    yield f"The branch {batch.branch}{missing}"


def make_branches(*, batch: Batch, actor: Actor) -> list[str]:
    """Make a branch at each reference of the batch whose commits no branch has; returns their names.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(CHANGE_PROJECT, batch.project)
    kept, made = _Kept.of(batch.project), []
    try:
        for name, commit in sorted(kept.references.get(batch.number, {}).items()):
            if commit in kept.lonely and kept.repository is not None:
                branch = f"ce/kept-{name.removeprefix('refs/ce/').replace('/', '-')}"
                if kept.repository.ensure_branch(branch, commit) != commit:
                    raise ServiceError(f"There is a branch {branch} at another commit. Rename it, then try again.")
                made.append(branch)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return made


def delete_batch(*, batch: Batch, actor: Actor) -> str:
    """Delete a batch; returns a sentence. Raises ServiceError with what stands in the way, PermissionDenied."""
    actor.require(CHANGE_PROJECT, batch.project)
    batch_deletion(batch).check()
    with transaction.atomic():  # from here on nothing starts
        if not Batch.objects.select_for_update().filter(pk=batch.pk).exists():
            raise ServiceError(f"Batch {batch.number} is deleted already.")
        refuse_busy(batch)
        Batch.objects.filter(pk=batch.pk, archived_at=None).update(archived_at=timezone.now())
    kept = _Kept.of(batch.project)
    found = _batch_deletion(batch, kept)
    try:
        found.check()
        _delete_batch(batch, kept, found, actor)
    except IntegrityError:
        raise ServiceError(f"Something began with batch {batch.number} meanwhile. It is archived now.") from None
    except ServiceError as problem:
        raise ServiceError(f"{problem} Batch {batch.number} is archived now.") from problem
    return f"Deleted {found.name}."


def _delete_batch(batch: Batch, kept: _Kept, found: Deletion, actor: Actor) -> None:
    try:
        if kept.repository is not None:
            for name, commit in kept.references.get(batch.number, {}).items():
                kept.repository.delete_ref(name, commit)
            for path in OrchestrationFiles(kept.repository.path).of_batch(batch.number):
                _remove(path)
        if not batch.project.demo:
            _remove(_folder(batch), but=ARCHIVE)
    except (OSError, SubagentError, RefMoved) as problem:
        raise ServiceError(f"Not all files of batch {batch.number} could be removed: {problem}. Try again.") from problem
    with transaction.atomic():
        list(Run.objects.select_for_update().filter(batch=batch).values_list("pk"))  # a retry that was faster is seen now
        refuse_busy(batch)
        Run.objects.filter(batch=batch).delete()  # with tasks, attempts, moves and facts, which protect phases
        Phase.objects.filter(batch=batch).delete()
        if not batch.project.demo:  # so that no other batch gets its number
            Installation.objects.get_or_create(pk=1)
            Installation.objects.filter(pk=1, deleted_batch__lt=batch.number).update(deleted_batch=batch.number)
        Batch.objects.filter(pk=batch.pk).delete()
        audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Deleted {found.name}, of {batch.project.name}: {' '.join(found.goes)}")


def _folder(batch: Batch) -> str:
    """Where this host has the folders of the batch's attempts."""
    return str(Path(settings.CE_DATA_DIR) / "attempts" / batch.project.slug / f"batch-{batch.number}")


def _left_over(batch: Batch) -> Iterator[str]:
    return (place for place, _, names in os.walk(_folder(batch)) if ARCHIVE in names)


def _remove(path: str, but: str = "") -> None:
    """Remove a file, or a folder with all but files named `but`. Never what lies behind a link. Raises OSError."""
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path) or not os.path.lexists(path):
        return
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
    elif not but:
        shutil.rmtree(path)
    else:
        for place, folders, names in os.walk(path, topdown=False):
            for name in (*names, *(one for one in folders if os.path.islink(os.path.join(place, one)))):
                if name != but:
                    os.unlink(os.path.join(place, name))
            if not os.listdir(place):
                os.rmdir(place)


# Plans


def _versions(series: Iterable[int]) -> QuerySet[Plan]:
    """All versions of these plans, also those in projects that the request does not see."""
    return Plan._base_manager.filter(Q(pk__in=series) | Q(first_version__in=series))


def plan_deletion(plan: Plan) -> Deletion:
    """What deleting the plan would do: all its versions."""
    versions = _versions([plan.series_id])
    numbers = list(Batch._base_manager.filter(plan__in=versions).order_by("number").values_list("number", flat=True))
    refusals = []
    if numbers:
        refusals.append(f"Delete what came of it first: batch {_some([str(number) for number in numbers])}.")
    ideas = list(Idea._base_manager.filter(plan__in=versions))
    if any(idea.wanted for idea in ideas):
        refusals.append("An agent is at work on it. Wait for its end, or stop it.")
    stays = ("The idea that it was drafted from.",) if ideas else ()
    goes = f"{counted(versions.count(), 'version')} with the decisions about conflicts."
    return Deletion(f"the plan {plan.title or 'without a title'}", (goes,), stays, tuple(refusals))


def delete_plan(*, plan: Plan, actor: Actor) -> str:
    """Delete all versions of a plan; returns what went. Needs the right in the project of each version.

    Raises ServiceError with what stands in the way, PermissionDenied.
    """
    actor.require(CHANGE_PROJECT, plan.project)
    for other in _versions([plan.series_id]).exclude(project=plan.project_id).select_related("project"):
        actor.require(CHANGE_PROJECT, other.project)
    try:
        with transaction.atomic():
            found = plan_deletion(plan)
            found.check()
            _delete_versions([plan.series_id])
            audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Deleted {found.name}: {found.goes[0]}")
    except IntegrityError:
        raise ServiceError("A batch or a version was made of it meanwhile. Look again.") from None
    return f"Deleted {found.name}."


def _delete_versions(series: Iterable[int]) -> None:
    _versions(series).exclude(first_version=None).delete()
    _versions(series).delete()


# Projects


def project_deletion(project: Project) -> Deletion:
    """What deleting the project with its batches would do."""
    kept = _Kept.of(project)
    each = [_batch_deletion(batch, kept) for batch in project.batches.select_related("project").order_by("number")]
    refusals = [kept.problem] if kept.problem else []
    refusals += [said for one in each for said in one.refusals if said != kept.problem]
    if project.ideas.exclude(wanted="").exists():
        refusals.append("An agent is at work on an idea. Wait for its end, or stop it.")
    versions = _versions(_series(project))
    elsewhere = Batch._base_manager.filter(plan__in=versions).exclude(project=project).order_by("number")
    if numbers := [str(batch.number) for batch in elsewhere]:
        refusals.append(f"Delete what came of its plans in other projects first: batch {_some(numbers)}.")
    if shared := sorted({plan.title for plan in versions.exclude(project=None).exclude(project=project)}):
        refusals.append(f"Delete the plans first that have versions in other projects, too: {_some(shared)}.")
    attempts = Attempt.objects.filter(task__run__batch__project=project).count()
    goes = (
        f"{counted(len(each), 'batch', 'batches')} with {counted(attempts, 'attempt')}, logs, results, reviews and figures.",
        f"{counted(versions.count(), 'version')} of plans, {counted(project.ideas.count(), 'idea')}.",
        f"Its settings, {counted(project.secrets.count(), 'secret')}, {counted(project.memberships.count(), 'membership')}.",
    )
    stays = [f"The repository {project.repository} with all its branches."] if not project.demo else []
    return Deletion(project.name, goes, tuple(dict.fromkeys([*stays, *(said for one in each for said in one.stays)])), tuple(refusals))


def _series(project: Project) -> set[int]:
    return {plan.series_id for plan in Plan._base_manager.filter(project=project).only("first_version")}


def delete_project(*, project: Project, actor: Actor) -> str:
    """Delete a project with all of it. Raises ServiceError with what stands in the way, PermissionDenied."""
    actor.require(ADD_PROJECT, None)
    found = project_deletion(project)
    found.check()
    Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=timezone.now())
    for batch in project.batches.order_by("number"):
        delete_batch(batch=batch, actor=actor)
    kept, data = _Kept.of(project), Path(settings.CE_DATA_DIR)
    try:
        shared = Project.objects.exclude(pk=project.pk).filter(repository=project.repository).exists()
        if kept.repository is not None and not shared and (held := kept.repository.reference(OWNER)):
            kept.repository.delete_ref(OWNER, held)
        for path in sorted((data / "attempts" / project.slug).glob("idea-*")) if not project.demo else ():
            _remove(str(path))
    except (OSError, SubagentError, RefMoved) as problem:
        raise ServiceError(f"{project.name} is archived, but not all its files could be removed: {problem}. Try again.") from problem
    try:
        with transaction.atomic():
            project_deletion(project).check()
            _delete_versions(_series(project))
            project.delete()
            audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Deleted {found.name}: {' '.join(found.goes)}")
    except IntegrityError:
        raise ServiceError(f"Something was made in {project.name} meanwhile. It is archived now. Look again.") from None
    return f"Deleted {found.name}."
