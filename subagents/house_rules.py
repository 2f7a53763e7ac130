"""The rules that a repository gives to agents: CLAUDE.md and AGENTS.md, what they import, and rule files.

They are read from a commit, never from working files. Files of others that lie in the tree give no rules.
"""

from __future__ import annotations

import posixpath
import re

from subagents.documents import NotADocument, read_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from subagents.workspace import Repository

GUIDES = ("CLAUDE.md", "AGENTS.md")
RULE_FOLDERS = (".ce/rules/", ".claude/rules/")
OF_OTHERS = frozenset({"node_modules", "vendor", "third_party", "site-packages"})
RULES_BYTES = 48_000
MOST_FILES = 100
IMPORT_DEPTH = 5
NAMED = 40  # files that are left out and named
IMPORT = re.compile(r"(?:^|(?<=\s))@([\w./-]*\w)")
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)


def house_rules(repository: Repository, commit: str, files: Sequence[str]) -> list[tuple[str, str]]:
    """(name, text) of each file with rules among `files`, the paths in `commit`; together at most RULES_BYTES.

    The first are those at the top with what they import, then the rule files, then those of folders, the outer ones first.
    What does not fit is named at the end. Raises GitError.
    """
    found: list[tuple[str, str]] = []
    left_out: list[str] = []
    left = RULES_BYTES
    for name, text in _texts(repository, commit, files):
        data = text.encode("utf-8", "replace")
        if left <= 0 or len(found) >= MOST_FILES:
            left_out.append(name)
            continue
        cut = f"\n… {len(data) - left} more bytes\n" if len(data) > left else ""
        found.append((name, data[:left].decode("utf-8", "ignore").rstrip("\n") + cut))
        left -= len(data)
    if left_out:
        more = f"\nand {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
        found.append(("rules that are left out for their length: read them where you work", "\n".join(left_out[:NAMED]) + more))
    return found


def _texts(repository: Repository, commit: str, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    known = frozenset(files)
    read: set[str] = set()

    def guide(path: str, label: str, depth: int) -> Iterator[tuple[str, str]]:
        if path in read or path not in known or len(read) >= 2 * MOST_FILES:
            return
        read.add(path)
        text = _read(repository, commit, path)
        if text.strip():
            yield label, text
            for imported in _imports(text, posixpath.dirname(path)) if depth < IMPORT_DEPTH else ():
                yield from guide(imported, f"{imported} (imported by {path})", depth + 1)

    for path in GUIDES:
        yield from guide(path, path, 0)
    for path in (path for folder in RULE_FOLDERS for path in files if path.startswith(folder) and path.endswith(".md")):
        yield from guide(path, path, 0)
    nested = (path for path in files if "/" in path and posixpath.basename(path) in GUIDES)
    for path in sorted((path for path in nested if OF_OTHERS.isdisjoint(path.split("/"))), key=lambda path: (path.count("/"), path)):
        yield from guide(path, f"{path} (for files below {posixpath.dirname(path)}/)", 0)


def _imports(text: str, folder: str) -> list[str]:
    """The paths inside the repository that `@path` names in a text, outside of code."""
    named = (posixpath.normpath(posixpath.join(folder, path)) for path in IMPORT.findall(CODE.sub(" ", text)) if not path.startswith("/"))
    return [path for path in dict.fromkeys(named) if not path.startswith("..")]


def _read(repository: Repository, commit: str, path: str) -> str:
    try:
        return (read_document(repository, commit, path) or b"").decode("utf-8", "replace")
    except NotADocument:
        return ""
