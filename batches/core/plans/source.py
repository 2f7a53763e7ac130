"""Turn bytes or text into lines that are safe to parse: encoding, size, invisible characters."""

import re
from dataclasses import dataclass

from batches.core.plans.types import IssueCode, PlanIssue

MAX_PLAN_BYTES = 64 * 1024 * 1024  # the most the reader accepts; the limit of an upload is a setting, and much lower
MAX_LINE = 10_000
_MAX_ISSUES_OF_A_KIND = 20

_MAGIC = ((b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "gzip data"), (b"%PDF", "a PDF document"), (b"\x89PNG", "an image"))
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ZERO_WIDTH = re.compile("[\u200b\u2060\ufeff\u00ad]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# All of the above in one pattern: most texts need only one pass.
_SUSPECT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff\u00ad\ud800-\udfff]")


# Spaces that look like one, where markdown asks for one: after the mark of a list or heading, in a box and after it.
_WIDE = "\u00a0\u2007\u202f\u3000"
_ODD_SPACE = re.compile(
    rf"^(?P<mark>[ \t{_WIDE}]*(?:[-*+]|[0-9]{{1,9}}[.)]|\#{{1,6}})[ {_WIDE}]+)(?P<box>\[[ {_WIDE}xX~-]\][ {_WIDE}]+)?", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class SourceText:
    """Text that is safe to parse (LF only, no control characters, no line over MAX_LINE), and its issues."""

    text: str
    errors: tuple[PlanIssue, ...] = ()
    warnings: tuple[PlanIssue, ...] = ()


def looks_like_json(text: str) -> bool:
    """Whether the text is meant as JSON: it starts with a brace or bracket, but not with a markdown link or checkbox."""
    head = text.lstrip()[:200]
    return head.startswith("{") or bool(re.match(r"\[\s*(?:[{\]]|$)", head))


def _refused(code: IssueCode, message: str, line: int = 0) -> SourceText:
    return SourceText("", (PlanIssue(line, code, message),))


def _decode(data: bytes) -> SourceText:
    """The bytes as text, or the one reason why they are not text."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return _refused(IssueCode.BINARY, f"This is {name}, not a plan. Give the markdown text itself.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(data) >= 4 and data[:200].count(0) * 3 > len(data[:200])):
        return _refused(IssueCode.UTF16, "The file is UTF-16. Save it as UTF-8.", 1)
    try:
        return SourceText(data.decode("utf-8"))
    except UnicodeDecodeError as fault:
        line = _line_at(data[: fault.start].decode("utf-8"), fault.start)
        return _refused(IssueCode.NOT_UTF8, f"Byte 0x{data[fault.start]:02X} on this line is not UTF-8. Save the file as UTF-8.", line)


def _line_at(text: str, position: int) -> int:
    """The line of a position, counted from 1. LF, CRLF and CR each end a line."""
    return text[:position].replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1


def _issues_per_line(text: str, pattern: re.Pattern[str], code: IssueCode, message: str) -> list[PlanIssue]:
    """One issue per line that `pattern` matches, at most _MAX_ISSUES_OF_A_KIND; the last one counts the others."""
    character_at: dict[int, str] = {}
    line, at, more = 1, 0, 0
    for hit in pattern.finditer(text):
        line += text.count("\n", at, hit.start())
        at = hit.start()
        if line in character_at:
            continue
        if len(character_at) == _MAX_ISSUES_OF_A_KIND:
            more += 1
            continue
        character_at[line] = f"U+{ord(hit.group()):04X}"
    issues = [PlanIssue(number, code, message.format(character)) for number, character in character_at.items()]
    if more:
        last = issues[-1]
        issues[-1] = PlanIssue(last.line, code, f"{last.message} (The same in {more} more places below.)")
    return issues


def read_source(source: str | bytes, max_bytes: int = MAX_PLAN_BYTES) -> SourceText:
    """The text of `source`, and its issues as a file. No content makes it raise.

    If `source` is not text (binary, wrong encoding, too large, empty), the text is empty and there is one error. Control
    characters, lone surrogates and bidi controls are errors; each becomes U+FFFD. A line over MAX_LINE is an error and is cut.
    Zero-width characters are removed with a warning.
    """
    size = len(source)
    if size > max_bytes or (isinstance(source, str) and size * 4 > max_bytes and len(source.encode("utf-8", "replace")) > max_bytes):
        return _refused(IssueCode.TOO_LARGE, f"The plan is larger than {max_bytes:,} bytes. Split it into several plans.")
    decoded = _decode(source) if isinstance(source, bytes) else SourceText(source)
    if decoded.errors:
        return decoded
    text = decoded.text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return _refused(IssueCode.EMPTY, "The plan is empty. Start with a title and a heading “### Phase 1: …”.")
    errors: list[PlanIssue] = []
    warnings: list[PlanIssue] = []
    if _SUSPECT.search(text):
        for pattern, code, message in (
            (_CONTROL, IssueCode.CONTROL_CHARACTER, "This line has a control character ({}). Remove it."),
            (_SURROGATE, IssueCode.NOT_UTF8, "This line has half a character ({}, a lone surrogate). Remove it."),
            (_BIDI, IssueCode.BIDI_CONTROL, "This line has a character ({}) that changes the reading direction. Remove it."),
        ):
            errors.extend(_issues_per_line(text, pattern, code, message))
            text = pattern.sub("\ufffd", text)
        warnings.extend(_issues_per_line(text, _ZERO_WIDTH, IssueCode.ZERO_WIDTH, "This line has an invisible character ({}), left out."))
        text = _ZERO_WIDTH.sub("", text)
    if any(space in text for space in _WIDE):
        text = _ODD_SPACE.sub(lambda found: re.sub(f"[{_WIDE}]", " ", found.group()), text)
    lines = text.split("\n")
    if max(map(len, lines)) > MAX_LINE and not looks_like_json(text):  # JSON is often one line, and cut it would be no JSON
        for number, line in enumerate(lines):
            if len(line) > MAX_LINE:
                message = f"This line has {len(line):,} characters; at most {MAX_LINE:,} are read."
                errors.append(PlanIssue(number + 1, IssueCode.LINE_TOO_LONG, message))
                lines[number] = line[:200]
        text = "\n".join(lines)
    return SourceText(text, tuple(errors), tuple(warnings))
