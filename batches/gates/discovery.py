"""Looking at a project's repository for the commands that could be its gates: read from git, nothing is run."""

import os
import shutil
from collections.abc import Sequence

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.errors import ServiceError
from batches.core.gates.discovery import Proposal, manifests_of, propose
from batches.core.gates.environment_proposal import FETCHED_TOOLS, EnvironmentProposal, RustPlace, propose_environment
from batches.models import Project
from batches.repositories.repository import checked_repository
from subagents.contract import SubagentError
from subagents.documents import list_files, read_start
from subagents.workspace import Repository

MANIFEST_BYTES = 256 * 1024


def propose_setup(*, project: Project, actor: Actor) -> EnvironmentProposal | None:
    """The set-up that the base branch's files speak for; nothing is kept. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    try:
        repository = checked_repository(project)
        commit = repository.branch_commit(project.base_branch)
        files = list_files(repository, commit)
        found = proposal_of(repository, commit, files)
        commands = [one.command for one in (found.lint, found.test, found.coverage) if one is not None]
        lacking = [tool for tool in FETCHED_TOOLS if shutil.which(tool) is None]
        return propose_environment(files, lacking, _rust_place(), commands)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem


def _rust_place() -> RustPlace | None:
    """Where this machine's cargo is. A cargo that leads to rustup needs the folder of its toolchains, which is below a person's home."""
    found = shutil.which("cargo")
    if found is None:
        return None
    by_rustup = os.path.basename(os.path.realpath(found)) == "rustup"
    home = os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup")
    return RustPlace(os.path.dirname(found), home if by_rustup and os.path.isdir(home) else "")


def look_at_repository(*, project: Project, actor: Actor) -> Proposal:
    """The commands that the base branch's files speak for; nothing is kept. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    try:
        repository = checked_repository(project)
        commit = repository.branch_commit(project.base_branch)
        return proposal_of(repository, commit, list_files(repository, commit))
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem


def proposal_of(repository: Repository, commit: str, files: Sequence[str]) -> Proposal:
    """The commands that the commit's `files` speak for. Raises GitError."""
    contents = {path: read_start(repository, commit, path, MANIFEST_BYTES).decode("utf-8", "replace") for path in manifests_of(files)}
    return propose(files, contents)
