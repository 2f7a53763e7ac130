"""What a phase changed, as its reviewer's agent reads it: the diff, file by file, cut to a length that says what is left out."""

from __future__ import annotations

import posixpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.workspace import Repository

READ_BYTES = 4_000_000
FILE_CHARACTERS, ALL_CHARACTERS = 12_000, 80_000
NAMED = 50
START = "diff --git "
MADE_BY_TOOLS = frozenset({"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "Cargo.lock", "go.sum"})


def diff_to_read(repository: Repository, base: str, head: str) -> str:
    """The diff from `base` to `head`, each file up to FILE_CHARACTERS, lock files last, and a list of what is left out.

    Raises GitError.
    """
    found = repository.diff(base, head, READ_BYTES)
    parts = [START + part for part in found.text.removeprefix(START).split("\n" + START)] if found.text.startswith(START) else []
    parts.sort(key=lambda part: posixpath.basename(_name(part)) in MADE_BY_TOOLS)  # stable: else in git's order
    shown: list[str] = []
    left_out: list[str] = []
    left = ALL_CHARACTERS
    for part in parts:
        room = min(FILE_CHARACTERS, left)
        if len(part) <= room:
            shown.append(part.rstrip("\n"))
        elif room >= FILE_CHARACTERS // 4:
            whole_lines = part[:room].rpartition("\n")[0]
            shown.append(whole_lines)
            left_out.append(f"{_name(part)}: all but its first {whole_lines.count(chr(10)) + 1} of {part.count(chr(10)) + 1} lines")
        else:
            left_out.append(f"{_name(part)}: {part.count(chr(10)) + 1} lines")
            continue
        left -= len(shown[-1])
    if found.truncated:
        left_out.append(f"what comes after the first {READ_BYTES:,} bytes of the diff")
    text = "\n".join(shown)
    if left_out:
        more = f"\n- and {len(left_out) - NAMED} more files" if len(left_out) > NAMED else ""
        text += "\n\nLeft out for its length; read the files themselves:\n" + "\n".join(f"- {line}" for line in left_out[:NAMED]) + more
    return text


def _name(part: str) -> str:
    """The file of a part of a diff, from its first line: "diff --git a/x b/x"."""
    return part.partition("\n")[0].rpartition(" b/")[2]
