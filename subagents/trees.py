"""Compares, joins and changes trees without starting git, where that needs no rule of git's but "this file is that one".

Whatever takes more than that (renames, contents to merge, objects that are not plainly there) is None here, and git is asked.
"""

from __future__ import annotations

from subagents.objects import FOLDER, ObjectWriter, read_tree
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Content = Mapping[bytes, tuple[str, str]]

MOST_TREES = 500  # read for one answer; for more, one git is cheaper


@record
class Entry:
    """A file as a tree has it: git's mode and the id of its content."""

    mode: str
    blob: str


class NotPlain(Exception):
    """It takes git to answer."""


def differences(common_dir: str, one: str, other: str) -> dict[bytes, tuple[Entry | None, Entry | None]] | None:
    """{path: (in tree `one`, in tree `other`)} of the files that differ, in git's order; None where git has to be asked."""
    found: dict[bytes, tuple[Entry | None, Entry | None]] = {}
    try:
        _compare(_Reader(common_dir), b"", one, other, found)
    except NotPlain:
        return None
    return found


def joined(common_dir: str, base: str, ours: str, theirs: str) -> str | None:
    """The tree that has what `ours` and `theirs` changed of the tree `base`; None where they changed the same, or git has to be asked.

    Nothing may be gone on either side where the other one changed something near it: git would look for renames. Raises OSError.
    """
    try:
        return _join(_Reader(common_dir), ObjectWriter(common_dir), base, ours, theirs)
    except NotPlain:
        return None


def with_content(common_dir: str, tree: str, path: bytes, entry: Entry) -> str | None:
    """The tree with this entry at `path`; None where git has to be asked, also when the path leads through a file. Raises OSError."""
    try:
        return _with(_Reader(common_dir), ObjectWriter(common_dir), tree, path.split(b"/"), entry)
    except NotPlain:
        return None


class _Reader:
    def __init__(self, common_dir: str) -> None:
        self.common_dir, self.left = common_dir, MOST_TREES

    def tree(self, name: str) -> Content:
        self.left -= 1
        found = read_tree(self.common_dir, name) if self.left > 0 else None
        if found is None:
            raise NotPlain
        return found


def _compare(reader: _Reader, above: bytes, one: str, other: str, found: dict[bytes, tuple[Entry | None, Entry | None]]) -> None:
    first, second = reader.tree(one) if one else {}, reader.tree(other) if other else {}
    changed = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    order = {name: name + (b"/" if (first.get(name) or second[name])[0] == FOLDER else b"") for name in changed}
    for name in sorted(changed, key=order.__getitem__):
        before, after = first.get(name), second.get(name)
        folders = {entry[0] == FOLDER for entry in (before, after) if entry}
        if len(folders) == 2:  # a file became a folder, or the other way round
            raise NotPlain
        if folders == {True}:
            _compare(reader, above + name + b"/", before[1] if before else "", after[1] if after else "", found)
        else:
            found[above + name] = (Entry(*before) if before else None, Entry(*after) if after else None)


def _join(reader: _Reader, writer: ObjectWriter, base: str, ours: str, theirs: str) -> str:
    before, first, second = (reader.tree(name) if name else {} for name in (base, ours, theirs))
    made: dict[bytes, tuple[str, str]] = {}
    for name in {**before, **first, **second}:
        old, one, other = before.get(name), first.get(name), second.get(name)
        if one == other and one is not None:
            made[name] = one
        elif one == old and other is not None:
            made[name] = other
        elif other == old and one is not None:
            made[name] = one
        elif one and other and one[0] == other[0] == FOLDER and (old is None or old[0] == FOLDER):
            made[name] = (FOLDER, _join(reader, writer, old[1] if old else "", one[1], other[1]))
        else:
            raise NotPlain
    return writer.write_tree(made)


def _with(reader: _Reader, writer: ObjectWriter, tree: str, parts: list[bytes], entry: Entry) -> str:
    name, *below = parts
    content = dict(reader.tree(tree) if tree else {})
    there = content.get(name)
    if there is not None and (there[0] == FOLDER) != bool(below):
        raise NotPlain
    content[name] = (FOLDER, _with(reader, writer, there[1] if there else "", below, entry)) if below else (entry.mode, entry.blob)
    return writer.write_tree(content)
