"""An issue of a tracker as a document: what it says and what was said about it. Values in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass

CHARACTERS = 60_000  # of a document; the idea itself, and a document of the person's own, need room beside it


@dataclass(frozen=True, slots=True)
class Said:
    """A comment of an issue, as markdown."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class IssueText:
    """What an issue says; `description` is markdown, `comments` are the oldest first."""

    identifier: str
    title: str
    description: str
    comments: Sequence[Said] = ()
    url: str = ""


def document_of(issue: IssueText) -> str:
    """The issue as markdown, at most CHARACTERS. Of many comments the last ones count: they say what was agreed."""
    begin = f"# {issue.identifier}: {issue.title}\n\n{issue.description}".replace("\r\n", "\n").replace("\0", "").rstrip()
    begin = begin[:CHARACTERS]
    parts: list[str] = []
    room = CHARACTERS - len(begin)
    for comment in reversed(issue.comments):
        text = comment.text.replace("\r\n", "\n").replace("\0", "").strip()
        part = f"\n\n## {comment.author or 'Somebody'} says\n\n{text}"
        if not text or len(part) + 60 > room:
            if text:
                parts.append(f"\n\n({len(issue.comments) - len(parts)} earlier comments are left out.)")
                break
            continue
        parts.append(part)
        room -= len(part)
    return begin + "".join(reversed(parts))
