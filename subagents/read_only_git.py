"""What an agent may ask git about the history of the repository: commands that read, with arguments from a list."""

from __future__ import annotations

import re

from subagents.contract import SubagentError
from subagents.workspace import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from subagents.workspace import Repository

OUTPUT_BYTES = 30_000
SECONDS = 30.0
COMMANDS = ("log", "show", "diff", "blame")
OPTIONS = re.compile(
    r"--(stat|oneline|name-only|name-status|patch|no-patch|follow|no-merges|first-parent|reverse)"
    r"|--(max-count|unified|since|until)=[\w:. -]{1,40}"
    r"|-(p|s|w|\d{1,4}|n\d{1,4}|U\d{1,3}|L\d{1,6},\+?\d{1,6})"
)
# HEAD and ids of commits, their ancestors, ranges of them, and files in them. Not the user's index, stashes or branches.
_COMMIT = r"(HEAD|[0-9a-f]{7,64})([~^]\d{0,4}){0,5}"
REVISION = re.compile(rf"{_COMMIT}(\.\.\.?{_COMMIT})?|{_COMMIT}:.+")
HEAD = re.compile(r"(?<![\w/.-])HEAD(?![\w/-])")


class NotAsked(SubagentError):
    """A question that is not among those that an agent may ask git."""


def ask_git(repository: Repository, commit: str, words: Sequence[str]) -> str:
    """What git answers to `words`, such as ("log", "-n5", "--", "src/app.py"); HEAD stands for `commit`.

    At most OUTPUT_BYTES. Raises NotAsked with what may be asked, GitError.
    """
    if not words or words[0] not in COMMANDS:
        raise NotAsked(f"only {', '.join(COMMANDS)} can be asked")
    asked, paths = _split(words[1:])
    options = [word for word in asked if word.startswith("-")]
    for option in options:
        if not OPTIONS.fullmatch(option):
            raise NotAsked(f"the option {option[:60]!r} is not among those that can be asked")
    for word in asked:
        if not word.startswith("-") and not REVISION.fullmatch(word):
            raise NotAsked(f"{word[:60]!r} is neither HEAD nor a commit's id; write a file after --")
    revisions = [HEAD.sub(commit, word) for word in asked if not word.startswith("-")]
    if words[0] == "diff":
        if not revisions:
            raise NotAsked("diff needs a commit, or two, such as `diff HEAD~1 HEAD`")
        revisions += [commit] if len(revisions) == 1 and ".." not in revisions[0] else []
    revisions = revisions or [commit]
    if words[0] != "blame":
        paths = [f":(top,literal){path}" for path in paths]
    fixed = [] if words[0] == "blame" else ["--no-color", "--no-ext-diff", "--no-textconv"]
    end = [] if words[0] == "blame" else ["--end-of-options"]  # blame knows it not; no revision here begins with a dash
    answer = repository.git(words[0], *fixed, *options, *end, *revisions, "--", *paths, accept=None, limit=OUTPUT_BYTES, seconds=SECONDS)
    text = text_of(answer.out, strip=False) or text_of(answer.err)
    return text + ("\n… more than can be shown: ask for less" if answer.truncated else "") if text else "git has nothing to say about that"


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before "--", and the paths after it. Raises NotAsked."""
    found = list(words)
    if any("\0" in word for word in found):
        raise NotAsked("a word has a null byte")
    at = found.index("--") if "--" in found else len(found)
    return found[:at], found[at + 1 :]
