"""Whether the base branch here is as the code host has it: fetched before a batch starts, and said where it is not."""

from batches.core.text.words import counted
from batches.integrations.code_hosts.home import home_of, is_configured
from batches.integrations.code_hosts.types import ForgeError
from batches.models import Project
from subagents.remotes import RemoteProblem, fetch_branch
from subagents.workspace import Repository

REF = "refs/ce/remote/{branch}"
SECONDS = 10.0  # a person waits for it
COMMITS_COUNTED = 1000


def look_at_base(project: Project, repository: Repository) -> str:
    """Fetch the project's base branch beside the person's own, which stays as it is; a sentence where the two differ, else "".

    A code host that cannot be asked holds nothing up; the sentence then says why it could not. Raises SubagentError for a fault here.
    """
    if not is_configured(project):
        return ""
    branch = project.base_branch
    try:
        home = home_of(project)
        there = fetch_branch(repository, home.remote(), branch, REF.format(branch=branch), seconds=SECONDS)
    except (ForgeError, RemoteProblem) as problem:
        return f"Whether {branch} is up to date is not known: {problem}"
    here = repository.branch_commit(branch)
    behind = len(repository.commits(here, there, COMMITS_COUNTED))
    if not behind:
        return ""
    ahead = len(repository.commits(there, here, COMMITS_COUNTED))
    also = f", and has {ahead} that are not there" if ahead else ""
    return (
        f"{branch} here was {counted(behind, 'commit')} behind {branch} at {home.name}{also}. The batch starts from {branch} as it is "
        f"here; to include them, pull {branch}, then make the batch anew."
    )
