"""What of a repository an attempt could not carry into a commit, or not find in its checkout: said before anything is spent."""

from __future__ import annotations

import os
import re

from subagents.checkout import filters_of
from subagents.submodules import submodules_of
from subagents.workspace import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from subagents.workspace import Repository

FILTER = re.compile(r"(?:^|\s)filter=(?P<name>[^\s]+)")
GLOB_LETTERS = "*?["


def ignored_files(repository: Repository, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """{path: where it is ignored, such as ".gitignore:1 `lib/`"} of those paths that the commit's .gitignore files keep out.

    Files that are in the commit are kept whatever is ignored. Globs are left out: they name nothing yet. Raises GitError, OSError.
    """
    wanted = sorted({path.lstrip("/") for path in paths if path.strip("/") and not any(letter in path for letter in GLOB_LETTERS)})
    asked = ("ls-tree", "-r", "-z", "--full-tree", "--name-only", "--end-of-options", commit)
    tracked = {text_of(row, strip=False) for row in repository.git(*asked, accept=(0,)).out.split(b"\0") if row}
    wanted = [path for path in wanted if path not in tracked and not any(name.startswith(path.rstrip("/") + "/") for name in tracked)]
    if not wanted:
        return {}
    given = b"".join(os.fsencode(path) + b"\0" for path in wanted)
    with repository.files_named(".gitignore", commit) as folder:
        why = ("check-ignore", "--verbose", "--no-index", "-z", "--stdin")
        answer = repository.git(*why, environment={"GIT_WORK_TREE": folder}, given=given, accept=(0, 1), directory=folder).out
    parts = [text_of(part, strip=False) for part in answer.split(b"\0")]
    rows = zip(parts[0::4], parts[1::4], parts[2::4], parts[3::4], strict=False)
    return {path: f"{source}:{line} `{pattern}`" for source, line, pattern, path in rows if not pattern.startswith("!")}


def filters_named(repository: Repository, commit: str) -> dict[str, str]:
    """{filter: the line that names it, such as ".gitattributes:1 `*.psd filter=lfs`"}. Raises GitError."""
    found: dict[str, str] = {}
    for path, data in sorted(repository.read_named(".gitattributes", commit).items()):
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
            if not line.lstrip().startswith("#"):
                where = f"{os.fsdecode(path)}:{number} `{line.strip()}`"
                found |= {match["name"]: where for match in FILTER.finditer(line) if match["name"] not in found}
    return found


def filters_in_use(repository: Repository, commit: str) -> dict[str, str]:
    """Those of `filters_named` that a file of the commit goes through; it stays as the commit has it. Raises GitError, OSError."""
    named = filters_named(repository, commit)
    if not named:
        return {}
    paths = b"".join(os.fsencode(path) + b"\0" for path in repository.file_names(commit))
    used = set(filters_of(repository, commit, paths).values())
    return {name: where for name, where in named.items() if name in used}


def filtered_files(repository: Repository, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """{path: filter} of those of the paths that the commit's .gitattributes files send through a filter. Raises GitError, OSError."""
    wanted = sorted({path.lstrip("/") for path in paths if path.strip("/") and not any(letter in path for letter in GLOB_LETTERS)})
    return filters_of(repository, commit, b"".join(os.fsencode(path) + b"\0" for path in wanted)) if wanted else {}


def missing_submodules(repository: Repository, commit: str) -> list[str]:
    """The paths of submodules whose objects are not on this machine: their folders will be empty. Raises GitError."""
    return [submodule.path for submodule in submodules_of(repository, commit) if submodule.repository is None]


def submodule_of(repository: Repository, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """{path: the submodule that it lies below}: a change there would be in no commit of the project. Raises GitError."""
    folders = [submodule.path for submodule in submodules_of(repository, commit)]
    return {path: folder for path in paths for folder in folders if path == folder or path.startswith(folder + "/")}
