"""Finds keys and passwords in what the commits of a phase add (docs/gates.md). What was found is named, and never shown.

The patterns follow the published rules of detect-secrets and gitleaks.
"""

from __future__ import annotations

import math
import re

from subagents.judges_files import TEST_LIKE
from subagents.record import record
from subagents.token_shapes import token_shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from subagents.workspace import Repository

MOST_BYTES = 20_000_000  # of the commits' changes
MOST_FOUND = 50
LINE_CHARACTERS = 20_000
ALLOWED = ("pragma: allowlist secret", "gitleaks:allow")  # the comments of the two scanners that are most in use
PRIVATE_KEY = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
KEY_BODY = r"""^[\s"'+,]*(?:Proc-Type|Version|Comment)|[A-Za-z0-9+/=]{40,}"""
ADDRESS = r"""\b[a-z][a-z0-9+.-]{1,15}://[^\s:/?#"'@<>{}$]{1,64}:([^\s/?#"'@<>{}$%]{8,80})@([\w.-]+)"""
NAMES = ("passw", "secret", "token", "api_key", "apikey", "api-key", "access_key", "auth_key", "private_key", "credential")
ASSIGNED = rf"""(?i)(?:{"|".join(NAMES)})[\w-]{{0,30}}["']?\s{{0,4}}(?:[:=]|=>|:=)\s{{0,4}}["']([^\s"'<>{{}}$%]{{16,200}})["']"""
MADE_UP = ("example", "sample", "dummy", "placeholder", "changeme", "change-me", "change_me", "your", "xxxx", "test", "fake", "redacted")
HERE = ("localhost", "127.0.0.1", "0.0.0.0", "example.com", "example.org", "host.docker.internal")  # noqa: S104 -- a host name that is looked for
HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@record
class AddedLine:
    """A line that a commit adds to a file; lines count from 1."""

    commit: str
    path: str
    number: int
    text: str


@record
class FoundSecret:
    """Where something looks like a secret, and what it looks like; `allowed` when a comment on its line says that it is none."""

    commit: str
    path: str
    line: int
    what: str
    allowed: bool


def find_secrets(repository: Repository, base: str, head: str) -> tuple[list[FoundSecret], str]:
    """(what looks like a secret in the lines that the commits from `base` to `head` add, what was not looked at or "").

    Each commit counts, not only the last: what a later one takes out again stays in the history that is merged. Raises GitError.
    """
    diff = repository.commits_diff(base, head, MOST_BYTES)
    left_out = f"only the first {MOST_BYTES:,} bytes of the changes were looked at" if diff.truncated else ""
    return secrets_in(list(added_lines(diff.text))), left_out


def added_lines(log: str) -> Iterator[AddedLine]:
    """The lines that the commits of `git log -p -U0` add. What stands inside of a hunk is never read as git's own words."""
    commit, path, number, removed, added = "", "", 0, 0, 0
    for line in log.split("\n"):
        if removed and line.startswith("-"):
            removed -= 1
        elif added and line.startswith("+"):
            yield AddedLine(commit, path, number, line[1 : LINE_CHARACTERS + 1].replace("\0", ""))  # without NUL UTF-16 can be read
            number, added = number + 1, added - 1
        elif found := HUNK.match(line):
            removed, number, added = int(found[1] or 1), int(found[2]), int(found[3] or 1)
        elif line.startswith("+++ "):
            path = line[4:].rstrip("\t").removeprefix('"').removesuffix('"').removeprefix("b/")
        elif line.startswith("commit "):
            commit = line[7:47]


def secrets_in(lines: Sequence[AddedLine]) -> list[FoundSecret]:
    """What looks like a secret, at most MOST_FOUND, one a line, in the order of the lines."""
    text = "\n".join(line.text for line in lines)
    rules = token_shapes(text)
    small = text.casefold()
    assigned = re.compile(ASSIGNED) if any(name in small for name in NAMES) else None
    address = re.compile(ADDRESS) if "://" in text else None
    key = re.compile(PRIVATE_KEY) if "-----BEGIN " in text else None
    if not (rules or assigned or address or key):
        return []
    found: list[FoundSecret] = []
    for place, line in enumerate(lines):
        what = next((what for what, rule in rules if (match := rule.search(line.text)) and not _made_up(match[match.lastindex or 0])), "")
        if not what and key and (begun := key.search(line.text)):
            after = [line.text[begun.end() :], *(next_.text for next_ in lines[place + 1 : place + 2] if next_.path == line.path)]
            what = "a private key" if any(re.search(KEY_BODY, part) for part in after) else ""
        if not what and address and (match := address.search(line.text)):
            what = "a password in an address" if match[2] not in HERE and _mixed(match[1]) and not _made_up(match[1]) else ""
        if not what and assigned and not _is_beside(line.path) and (match := assigned.search(line.text)):
            what = "a password or key" if _mixed(match[1]) and _entropy(match[1]) >= 3.0 and not _made_up(match[1]) else ""
        if what:
            allowed = any(comment in line.text for comment in ALLOWED)
            found.append(FoundSecret(line.commit, line.path, line.number, what, allowed))
            if len(found) == MOST_FOUND:
                break
    return found


def _made_up(secret: str) -> bool:
    """Whether it is an example: it says so, or it has hardly any different characters."""
    small = secret.casefold()
    return any(word in small for word in MADE_UP) or len(set(small[-20:])) < 6


def _mixed(secret: str) -> bool:
    """Whether letters and digits are mixed, as in what a person or a program makes up as a secret; names have no digits."""
    return any(letter.isdigit() for letter in secret) and any(letter.isalpha() for letter in secret)


def _is_beside(path: str) -> bool:
    """Whether it is a test or a document: these are full of passwords that open nothing. Tokens are looked for there all the same."""
    return TEST_LIKE.search(path) is not None or path.lower().endswith((".md", ".rst", ".lock", ".svg")) or "lock.json" in path


def _entropy(text: str) -> float:
    """In bits a character."""
    return -sum(share * math.log2(share) for share in (text.count(letter) / len(text) for letter in set(text)))
