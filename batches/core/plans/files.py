"""Read the file names under “Files Modified”, and refuse those that no plan may name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from batches.core.plans.labels import symbols_off
from batches.core.plans.types import IssueCode

MAX_PATH_BYTES = 255
_MAX_EXPANSIONS = 16

_NONE = re.compile(
    r"^(?:none|n/?a|nothing|no files?(?: changes?)?|no changes?|-{1,3}|\u2013|\u2014|tbd|nil)"
    r"(?!\w)[.]?\s*(?:$|[(\u2013\u2014:;,-]|needed|required|modified)",
    re.IGNORECASE,
)
_DASHES = re.compile(r"^(?:-{1,3}|\u2013|\u2014)?$")
_CODE = re.compile(r"`+([^`]+)`+")
_LINK = re.compile(r"\[([^\]]*)\]\(([^()\s]*)\)")
_WHY = re.compile(r"\s+(?:[-\u2013\u2014]+|\u2192|->|=>|:)\s+.*$|:\s+.*$|\s*\u2014.*$", re.DOTALL)
_NOTE = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\)\s*$|(?<=\s)\((?:[^()]|\([^()]*\))*\)|\s+\[[A-Za-z ]+\]$")
_LINES = re.compile(r"(?::L?[0-9]+(?:[-\u2013:][0-9]+)?(?:,\s*[0-9]+(?:[-\u2013][0-9]+)?)*|#L[0-9]+(?:-L?[0-9]+)?)$")
_VERB = re.compile(
    r"^(?:create|creates|modify|update|add|edit|delete|remove|new|extend|refactor|rename|rewrite|move|change|touch|write|fix|test|tests|"
    r"modified|created|updated|added|deleted|new file|file|possibly|maybe|perhaps|optionally|probably|likely)\s*:?\s+(?=\S+$)",
    re.IGNORECASE,
)
_GROUP = re.compile(
    r"^(?:\[(?:new|add|added|mod|modify|modified|edit|update|updated|del|delete|deleted|create|created)\]\s*:?\s*|"
    r"\*{0,2}(?:to\s+(?:be\s+)?)?(?:create|modify|delete|update|new|edit|add|remove|rename|move|change|create/modify|existing|"
    r"created|modified|deleted|updated|added|removed|renamed|changed)(?:\s+files?)?\s*(?::\*\*|\*\*\s*:|:)\s*)(?=\S)",
    re.IGNORECASE,
)
_RENAMED = re.compile(r"^(?P<old>\S+)\s*(?:\u2192|->|=>)\s*(?P<new>\S+)$")
_WHOLE_PATH = re.compile(r"[\w*]\.[A-Za-z0-9]{1,8}$|/$|\*$")
_NO_NAME = frozenset({"etc", "various", "multiple", "several", "misc", "others", "unknown", "more"})
_BOLD = re.compile(r"(?<!\S)\*\*(?=[\w`.])([^*]+)\*\*(?![\w/*])")  # not the stars of a glob
_CHECKBOX = re.compile(r"^\[[ xX]\]\s+")
_SHELL = re.compile(r"[$`;|&<>\"'\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")
_GIT = re.compile(r"\.git[ .]*|git~[0-9]+[ .]*", re.IGNORECASE)
_PATHLIKE = re.compile(r"[/.*]|^[A-Z][A-Za-z]*file$|^[A-Z]{3,}$")
_CALL = re.compile(r"\(\)|^[A-Za-z_]+\.[A-Za-z_]+\(|^--?\w|^@\w+$|\s")


@dataclass(frozen=True, slots=True)
class FileReading:
    """One normalised name, or why it is refused (`code` and `message`)."""

    path: str
    code: IssueCode | None = None
    message: str = ""


def _split(text: str) -> Iterator[str]:
    """Split an inline list at commas and semicolons that are outside brackets, braces and code."""
    depth, start, code = 0, 0, False
    for at, char in enumerate(text):
        if char == "`":
            code = not code
        elif code:
            continue
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth = max(0, depth - 1)
        elif char in ",;" and not depth:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def expand_braces(path: str) -> list[str]:
    """The names in `src/{a,b}.py`, at most _MAX_EXPANSIONS. Braces without a comma stay as written.

    Not bracex: it raises above its limit and on deep nesting, where a plan needs the first names, and it also expands ranges.
    """
    todo = [path]
    done: list[str] = []
    while todo and len(done) < _MAX_EXPANSIONS:
        name = todo.pop()
        braces = re.search(r"\{([^{}]*,[^{}]*)\}", name)
        if not braces:
            done.append(name)
            continue
        choices = braces.group(1).split(",")[:_MAX_EXPANSIONS]
        todo += [name[: braces.start()] + choice.strip() + name[braces.end() :] for choice in reversed(choices)]
    return done


# Most names are plain: nothing to remove or refuse. Only the others are examined closely.
_PLAIN_NAME = re.compile(r"[\w.][\w.-]*(?:/[\w.-]+)*/?", re.ASCII)


def _is_plain(name: str) -> bool:
    return name[:1] != "." and "/." not in name and name[-1:] != "." and len(name) <= MAX_PATH_BYTES and bool(_PLAIN_NAME.fullmatch(name))


def normalise(written: str) -> FileReading:
    """The name without `./` and double slashes, or why it is refused. A directory keeps its trailing slash.

    Refused are absolute, home and drive paths, `..`, everything inside `.git` (in any case, or its 8.3 form), backslashes,
    shell characters, a leading dash, and more than 255 bytes.
    """
    path = written.strip().strip("\"'\u2018\u2019\u201c\u201d").strip()
    path = " ".join(path.split())
    before = None
    while path != before:
        before, path = path, _LINES.sub("", path)
    if path.startswith(("/", "~")) or _DRIVE.match(path):
        return FileReading(
            path, IssueCode.FILE_ABSOLUTE, f"“{path[:80]}” is not inside the repository. Write the path from the repository's root."
        )
    if "\\" in path:
        return FileReading(path, IssueCode.FILE_NAME, f"“{path[:80]}” has a backslash. Separate directories with “/”.")
    if path.startswith("-"):
        return FileReading(path, IssueCode.FILE_NAME, f"“{path[:80]}” begins with a dash, so commands would read it as an option.")
    if _SHELL.search(path):
        return FileReading(path, IssueCode.FILE_NAME, f"“{path[:80]}” has characters with a meaning for the shell. Rename the file.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        return FileReading(path, IssueCode.FILE_OUTSIDE, f"“{path[:80]}” contains “..”. Write the path from the repository's root.")
    for part in parts:
        if _GIT.fullmatch(part):
            return FileReading(path, IssueCode.FILE_IN_GIT, f"“{path[:80]}” is inside git's own directory. A plan must not change it.")
    if not parts:
        return FileReading(path, IssueCode.FILE_NAME, f"“{written[:80]}” is not a file name.")
    path = "/".join(parts) + ("/" if path.endswith("/") else "")
    if len(path.encode("utf-8", "replace")) > MAX_PATH_BYTES:
        return FileReading(path[:80], IssueCode.FILE_TOO_LONG, f"“{path[:60]}…” is longer than {MAX_PATH_BYTES} bytes.")
    return FileReading(path)


def _names_in(part: str) -> list[str]:
    """The names in one entry of a list; [] for prose."""
    whole = re.fullmatch(r"`([^`]+)`", part.strip())
    if whole:
        return [whole[1]]
    part = _GROUP.sub("", symbols_off(_CHECKBOX.sub("", part.strip())))
    part = _BOLD.sub(r"\1", part)
    part = _LINK.sub(lambda found: f"`{found[1].strip('`')}`" if _PATHLIKE.search(found[1].strip("`")) else f"`{found[2]}`", part)
    renamed = _RENAMED.match(part)
    if renamed and all(_PATHLIKE.search(name) for name in renamed.groups()):
        return [name.strip("`") for name in renamed.groups()]
    if "`" in part:
        head = _WHY.split(part, maxsplit=1)[0]
        spans = [span.strip() for span in _CODE.findall(head)]
        if not spans:
            spans = [span.strip() for span in _CODE.findall(part)][:1]
        likely = [span for span in spans if _PATHLIKE.search(span) and not _CALL.search(span)]
        if likely:
            return likely
        bare = _NOTE.sub("", head).strip()
        return spans if len(spans) == 1 and bare == f"`{spans[0]}`" else []
    name = _NOTE.sub("", part)
    name = _WHY.sub("", name)
    name = _NOTE.sub("", name).strip().strip("\"'")
    name = _VERB.sub("", name)
    if name.endswith((".", ",", ":")) and not name.endswith(".."):
        name = name[:-1]
    words = name.split()
    if len(words) > 1 and all(_WHOLE_PATH.search(word) and not _CALL.search(word) for word in words):
        return words
    return words if len(words) == 1 and name.lower() not in _NO_NAME else []


def names_no_file(text: str) -> bool:
    """Whether a list item is only the heading of a list below it (“Create:”, “**Backend**”): it has nothing like a path."""
    return not _PATHLIKE.search(text.replace("*", "").replace("_", "").strip().rstrip(":")) and "`" not in text


def says_none(text: str) -> bool:
    """Whether a value means nothing: “None”, “None (testing only)”, “n/a”, a dash, or empty."""
    text = text.strip().strip("*_").strip()
    return bool(_DASHES.match(text) or _NONE.match(text))


def read_files(value: str, inline: bool) -> Iterator[FileReading]:
    """The file names in a value: the text after the label (`inline`, separated by commas) or one item of a bullet list.

    Prose without a file name gets the code file-prose, with the prose in `path`.
    """
    value = " ".join(value.split())
    if says_none(value):
        return
    group = _GROUP.match(value)
    if group:
        value, inline = value[group.end() :], True
    names = value.split(", ") if inline else [value.strip("`")]
    if names and all(map(_is_plain, names)) and names[-1].lower() not in _NO_NAME:
        yield from map(FileReading, names)
        return
    parts = list(_split(_WHY.split(value, maxsplit=1)[0] if inline and "," not in _WHY.split(value, maxsplit=1)[0] else value))
    if (not inline and "`" in value) or _RENAMED.match(value):
        parts = [value]
    for part in parts:
        if not part.strip() or says_none(part):
            continue
        pieces = re.split(r"\s+(?:and|or|&|\+)\s+", part) if inline and "`" not in part else [part]
        names = [name for piece in pieces for name in _names_in(piece)]
        if not names:
            yield FileReading(part.strip()[:120], IssueCode.FILE_PROSE, f"“{part.strip()[:80]}” names no file and is ignored.")
        for name in names:
            for written in expand_braces(name):
                yield normalise(written)


_PATH_IN_TEXT = re.compile(
    r"`(?P<coded>[\w.-]+(?:/[\w.*-]+)+/?|[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,7})`"
    r"|(?<![\w/.:@`])(?P<plain>(?:[\w.-]+/)+[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/`])"
)


def paths_in(text: str) -> list[str]:
    """The paths that a sentence names, each once, in order: in back-ticks, or with a directory and an extension."""
    found: dict[str, None] = {}
    for match in _PATH_IN_TEXT.finditer(text):
        reading = normalise(match["coded"] or match["plain"])
        if reading.code is None and "://" not in text[max(0, match.start() - 8) : match.start()]:
            found[reading.path] = None
    return list(found)


_PROTECTED = (".github", ".claude", ".gitattributes")


def is_protected(path: str) -> bool:
    """Whether a path configures how people and tools work on the repository (CI, agents, git attributes)."""
    if path[:1] != "." and "/." not in path:
        return False
    return path.split("/", 1)[0].lower() in _PROTECTED or path.rsplit("/", 1)[-1].lower() == ".gitattributes"
