"""Compare the files that a plan declares with those that a phase changed, by the project's rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.plans.conflicts import covering_entries
from batches.core.text.words import counted

NAMED = 20  # at most so many files are named in a message; the page lists all


class FilePolicy(StrEnum):
    """What a project does about undeclared changes, or about deletions."""

    ALLOW = "allow"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A path, what happened to it ("created", "modified", "deleted" or "untouched"), and whether the plan names it."""

    path: str
    what: str
    declared: bool


def undeclared(declared: Sequence[str], changed: Sequence[str]) -> list[str]:
    """The changed paths that no declared file, directory or glob covers, sorted."""
    named = set(declared)
    covering = covering_entries((*declared, *changed))
    return sorted(path for path in set(changed) - named if named.isdisjoint(covering.get(path, ())))


def compare_files(
    declared: Sequence[str], created: Sequence[str], modified: Sequence[str], deleted: Sequence[str]
) -> tuple[FileRow, ...]:
    """Every changed path, and every declared entry without a change. Undeclared paths come first; then by path."""
    what = dict.fromkeys(created, "created") | dict.fromkeys(modified, "modified") | dict.fromkeys(deleted, "deleted")
    undeclared_paths = set(undeclared(declared, tuple(what)))
    covering = covering_entries((*declared, *what))
    touched = {entry for path in what for entry in (path, *covering.get(path, ()))}
    rows = [FileRow(path, how, path not in undeclared_paths) for path, how in what.items()]
    rows += [FileRow(entry, "untouched", True) for entry in dict.fromkeys(declared) if entry not in touched]
    return tuple(sorted(rows, key=lambda row: (row.declared, row.what == "untouched", row.path)))


def refusal(
    declared: Sequence[str],
    created: Sequence[str],
    modified: Sequence[str],
    deleted: Sequence[str],
    *,
    undeclared_edits: str,
    deletions: str,
) -> str:
    """Why the project's two settings forbid merging these changes, with the files; "" when they allow it."""
    reasons = []
    if deletions == FilePolicy.FAIL and deleted:
        reasons.append(f"{counted(len(deleted), 'file was', 'files were')} deleted: {_file_names(sorted(deleted))}")
    if undeclared_edits == FilePolicy.FAIL:
        already_named = set(deleted) if reasons else set()
        changed = [path for path in undeclared(declared, (*created, *modified, *deleted)) if path not in already_named]
        if changed:
            subject = counted(len(changed), "file was", "files were")
            reasons.append(f"{subject} changed that the plan does not declare: {_file_names(changed)}")
    if not reasons:
        return ""
    return f"Not merged: {'; '.join(reasons)}. Retry the phase, or allow this in the project's settings and then retry."


def _file_names(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more
