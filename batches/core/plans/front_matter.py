"""The YAML front matter of a document, checked and read without building objects from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from batches.core.plans.types import IssueCode, PlanIssue

MAX_BYTES = 4096
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The number of lines it takes (0 without front matter), its title ("" if none) and its errors."""

    end: int = 0
    title: str = ""
    errors: tuple[PlanIssue, ...] = ()


class _FrontMatterError(Exception):
    """An error in the front matter, and its line within the block (from 0)."""

    def __init__(self, code: IssueCode, line: int, message: str) -> None:
        self.code, self.line = code, line
        super().__init__(message)


def _scan(text: str) -> str:
    """The value of the top-level key `title`. Reads YAML events only, so nothing is expanded. Raises _FrontMatterError."""
    title, expects_title = "", False
    keys: list[set[str] | None] = []  # a set for each open mapping, None for a sequence
    is_key: list[bool] = []
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)):
                continue
            line = event.start_mark.line if event.start_mark else 0
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _FrontMatterError(IssueCode.FRONT_MATTER_ALIAS, line, "Front matter must not use aliases (& and *). Write it out.")
            tag = getattr(event, "tag", None)
            if tag:
                raise _FrontMatterError(IssueCode.FRONT_MATTER_TAG, line, f"Front matter must not use tags ({tag}). Remove the tag.")
            if not keys and not isinstance(event, yaml.MappingStartEvent):
                message = "Front matter must consist of “name: value” lines. Write such lines, or remove the “---” lines."
                raise _FrontMatterError(IssueCode.FRONT_MATTER_NOT_MAPPING, line, message)
            opens = isinstance(event, yaml.CollectionStartEvent)
            if isinstance(event, yaml.CollectionEndEvent):
                keys.pop()
                is_key.pop()
                continue
            if keys and keys[-1] is not None:
                if is_key[-1] and isinstance(event, yaml.ScalarEvent):
                    if event.value in keys[-1]:
                        message = f"“{event.value}” occurs twice in the front matter. Keep one."
                        raise _FrontMatterError(IssueCode.FRONT_MATTER_DUPLICATE, line, message)
                    keys[-1].add(event.value)
                    expects_title = len(keys) == 1 and event.value.lower() == "title"
                elif expects_title and len(keys) == 1:
                    title = event.value if isinstance(event, yaml.ScalarEvent) else ""
                    expects_title = False
                is_key[-1] = not is_key[-1]
            if opens:
                keys.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
                is_key.append(True)
                if len(keys) > _MAX_DEPTH:
                    message = f"Front matter is nested more than {_MAX_DEPTH} levels deep. Flatten it."
                    raise _FrontMatterError(IssueCode.FRONT_MATTER_TOO_DEEP, line, message)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or "it cannot be parsed"
        message = f"The front matter is not valid YAML: {problem}."
        raise _FrontMatterError(IssueCode.FRONT_MATTER_YAML, mark.line if mark else 0, message) from fault
    return " ".join(title.split())


def read_front_matter(lines: Sequence[str]) -> FrontMatter:
    """The front matter of a document's lines: from “---” on the first line to the next “---” or “...”.

    If a blank line or a heading follows the first “---”, it is a thematic break and not front matter.
    """
    if not lines or lines[0].rstrip() != "---" or len(lines) < 2 or not lines[1].strip() or lines[1].startswith("#"):
        return FrontMatter()
    end = next((at for at in range(1, len(lines)) if lines[at].rstrip() in ("---", "...")), 0)
    if not end:
        message = "The front matter that starts here is never closed. Add a line “---” below it."
        return FrontMatter(0, "", (PlanIssue(1, IssueCode.FRONT_MATTER_UNCLOSED, message),))
    text = "\n".join(lines[1:end])
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        message = f"The front matter is larger than {MAX_BYTES:,} bytes. Move its text below the “---” line."
        return FrontMatter(end + 1, "", (PlanIssue(1, IssueCode.FRONT_MATTER_TOO_LARGE, message),))
    try:
        return FrontMatter(end + 1, _scan(text))
    except _FrontMatterError as fault:
        return FrontMatter(end + 1, "", (PlanIssue(fault.line + 2, fault.code, str(fault)),))
