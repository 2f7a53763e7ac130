"""Which tracker an issue is in that somebody names: the project's code host, or its Linear team."""

import re

from batches.core.errors import ServiceError
from batches.core.text.issue import IssueText
from batches.integrations import linear_issues
from batches.integrations.code_hosts.home import home_of, is_configured
from batches.integrations.code_hosts.types import ForgeError
from batches.models import Project

NUMBER = re.compile(r"#([0-9]{1,12})")
PATH = re.compile(r"/(?:-/)?issues/([0-9]{1,12})(?:[/?#]\S*)?")
PASTE = "Paste its text instead."


def read_issue(project: Project, address: str) -> IssueText:
    """What the issue behind a link says, with its comments; or one named as #12 (code host) or ENG-12 (Linear).

    Only issues of the project's own repository or team are read. Raises ServiceError, which says what to do instead.
    """
    named = address.strip()
    short = NUMBER.fullmatch(named)
    here = project.forge_address and named.startswith((f"{project.forge_address}/", f"{project.forge_address}.git"))
    if not short and not here:
        return linear_issues.read_issue(project, named)
    found = short or PATH.fullmatch(named.removeprefix(project.forge_address))
    if found is None:
        raise ServiceError(f"“{named[:80]}” is no link to an issue. {PASTE}")
    if not is_configured(project):
        raise ServiceError(f"{project.name} names no code host and token in its settings, so its issues cannot be read. {PASTE}")
    try:
        with home_of(project).opened() as forge:
            return forge.issue(int(found[1]))
    except ForgeError as problem:
        raise ServiceError(f"{problem} {PASTE}") from None
