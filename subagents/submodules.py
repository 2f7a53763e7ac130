"""Submodules of a project: where their objects are, if anywhere. A checkout of ours is filled from them and never fetches."""

from __future__ import annotations

import contextlib
import os

from subagents.open_repository import repository_at
from subagents.record import record
from subagents.workspace import GITLINK, Repository, RepositoryProblem, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


@record
class Submodule:
    """A submodule at a commit of the project; `repository` is None when that commit's objects are not on this machine."""

    path: str
    commit: str
    repository: Repository | None


def submodules_of(repository: Repository, commit: str) -> tuple[Submodule, ...]:
    """The submodules of a commit, in order of their paths. Raises GitError."""
    rows = repository.git("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit, accept=(0,)).out.split(b"\0")
    entries = (text_of(row, strip=False).partition("\t") for row in rows)
    links = {path: meta.split(" ")[2] for meta, _, path in entries if meta.startswith(GITLINK)}
    return found_at_hand(repository, commit, links)


def found_at_hand(repository: Repository, commit: str, links: Mapping[str, str]) -> tuple[Submodule, ...]:
    """The submodules behind `links` {path: commit there}, which `commit` of the project holds. Raises GitError."""
    if not links:
        return ()
    names = _names(repository, commit)
    return tuple(Submodule(path, at, _find(repository, path, names.get(path, ""), at)) for path, at in sorted(links.items()))


def _names(repository: Repository, commit: str) -> dict[str, str]:
    """{path: name} as .gitmodules of the commit has them; what is there is read as values and runs nothing."""
    asked = ("config", "-z", "--blob", f"{commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    rows = text_of(repository.git(*asked).out, strip=False).split("\0")
    pairs = (row.partition("\n") for row in rows if row)
    return {path.rstrip("/"): key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs}


def _find(repository: Repository, path: str, name: str, commit: str) -> Repository | None:
    places = [os.path.join(repository.path, path, ".git")]  # as old versions of git made them
    if name and ".." not in name.split("/") and not name.startswith("/"):
        places += [os.path.join(above, "modules", name) for above in dict.fromkeys((repository.git_dir, repository.common_dir))]
    for place in places:
        if os.path.isdir(os.path.join(place, "objects")) and os.path.isfile(os.path.join(place, "HEAD")):
            with contextlib.suppress(RepositoryProblem):
                found = repository_at(os.path.join(repository.path, path), place)
                if found.find_commit(commit) is not None:
                    return found
    return None
