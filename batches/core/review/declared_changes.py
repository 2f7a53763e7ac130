"""Declared against actual: which files a phase said it would touch, which it did, and what a project lets pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.plans.conflicts import covering_entries
from batches.core.text.words import counted

NAMED = 20  # files that a sentence names; the page lists them all


class FilePolicy(StrEnum):
    """What a project does about a kind of change that it did not ask for."""

    ALLOW = "allow"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A path with what happened to it ("created", "modified", "deleted" or "untouched") and whether the plan names it."""

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
    """Every changed path, and every declared entry under which nothing changed; what is not declared first, then by path."""
    what = dict.fromkeys(created, "created") | dict.fromkeys(modified, "modified") | dict.fromkeys(deleted, "deleted")
    odd = set(undeclared(declared, tuple(what)))
    covering = covering_entries((*declared, *what))
    touched = {entry for path in what for entry in (path, *covering.get(path, ()))}
    rows = [FileRow(path, how, path not in odd) for path, how in what.items()]
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
    """Why these changes may not be merged under the project's two settings, naming the files; "" when they may."""
    said = []
    if deletions == FilePolicy.FAIL and deleted:
        said.append(f"{counted(len(deleted), 'file was', 'files were')} deleted: {_named(sorted(deleted))}")
    if undeclared_edits == FilePolicy.FAIL:
        gone = set(deleted) if said else set()  # named already
        odd = [path for path in undeclared(declared, (*created, *modified, *deleted)) if path not in gone]
        if odd:
            said.append(f"{counted(len(odd), 'file was', 'files were')} changed that the plan does not declare: {_named(odd)}")
    if not said:
        return ""
    return f"Not merged: {'; '.join(said)}. Retry the phase, or allow this in the project's settings and then retry."


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more
