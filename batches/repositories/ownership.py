"""Which installation works on a repository: refs/ce/owner says it, so that two never merge into the same branches.

The reference holds a small text. Whoever finds another one there does not touch the repository.
"""

import json
from dataclasses import asdict, dataclass

from batches.core.errors import ServiceError
from batches.models import Installation, Project
from batches.repositories.repository import repository_of
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, Repository

OWNER = "refs/ce/owner"
ADOPT = "manage.py adopt --repositories"


@dataclass(frozen=True, slots=True)
class Owner:
    """An installation and its data directory, by their ids; host and place are for people."""

    installation: str = ""
    directory: str = ""
    host: str = ""
    place: str = ""

    @property
    def words(self) -> str:
        where = f"{self.place} on {self.host}" if self.place else "a place that is not known"
        return f"another CE Web installation ({where})"


class OwnedByAnother(ServiceError):
    """Another installation works on the repository; the text says which, and the way out."""


def this_installation() -> Owner:
    """Who we are, as the database says; without ids before the first start."""
    found = Installation.objects.filter(pk=1).values_list("identity", "directory", "host", "place").first()
    return Owner(*found) if found else Owner()


def refuse_owned(repository: Repository, me: Owner) -> str:
    """The reference's id, "" when nobody owns the repository. Raises OwnedByAnother, SubagentError."""
    held = repository.reference(OWNER)
    if not held:
        return ""
    try:
        noted = json.loads(repository.text_of_object(held))
        owner = Owner(**{name: str(noted.get(name, "")) for name in asdict(me)})
    except (ValueError, AttributeError, SubagentError):
        owner = Owner()
    if (owner.installation, owner.directory) != (me.installation, me.directory):
        raise OwnedByAnother(
            f"{repository.path} belongs to {owner.words}: two of them would merge the same work twice. "
            f"Use a clone of your own for this project or, if that installation is gone for good: {ADOPT}"
        )
    return held


def claim(repository: Repository, me: Owner, *, by_force: bool = False) -> str:
    """Write down that the repository is ours; returns the reference's id. Raises OwnedByAnother, SubagentError."""
    if not by_force and (held := refuse_owned(repository, me)):
        return held
    mine = repository.write_text(json.dumps(asdict(me), sort_keys=True) + "\n")
    before = repository.reference(OWNER)
    if before != mine:
        try:
            repository.move_ref(OWNER, mine, before or None)
        except RefMoved:
            return refuse_owned(repository, me)  # somebody was faster
    return mine


def take_over_all(me: Owner) -> list[str]:
    """Claim the repositories of all projects, whoever owns them; returns a sentence for each that could not be."""
    problems = []
    for project in Project.objects.order_by("pk"):
        try:
            claim(repository_of(project), me, by_force=True)
        except (SubagentError, OSError) as problem:
            problems.append(f"{project.name}: {problem}")
    return problems
