"""Logs for people: each line is a JSON object and becomes a sentence; terminal colours become named styles."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from batches.core.text.words import ANSI

_TIME_KEYS = ("at", "time", "ts", "timestamp")
_KIND_KEYS = ("kind", "event", "level", "type", "stream")
_TEXT_KEYS = ("text", "message", "line", "output", "progress", "command", "note", "data")
LOG_TEXT_LIMIT = 8_000  # characters per line; the journal has the same limit

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_WEIGHTS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_WEIGHTS_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("strike",)}
_CUBE = (0, 95, 135, 175, 215, 255)  # levels of the 6 x 6 x 6 cube of 256 colours
_SGR = re.compile(r"\x1b\[([0-9;:]*)m")


@dataclass(frozen=True, slots=True)
class TextStyle:
    """The style of text[start:end]: names such as "red bold" or "on-red", never text from the log."""

    start: int
    end: int
    names: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an attempt's log; `at` is None when the line has no time; `who` names the task where several logs are merged.

    `kind` is "error" or "warning" when the line says so, else its own kind ("step", "output", ...). `number` counts from 1
    in the whole log, 0 when unknown. `hits` are the (start, end) of search hits.
    """

    at: datetime | None
    kind: str
    text: str
    who: str = ""
    styles: tuple[TextStyle, ...] = ()
    number: int = 0
    hits: tuple[tuple[int, int], ...] = ()

    def searched(self, needle: str) -> "LogLine":
        """The line with its hits for `needle`, ignoring case."""
        return replace(self, hits=tuple(found_at(self.text, needle)))


def read_log(tail: str, *, who: str = "", limit: int = 200) -> tuple[LogLine, ...]:
    """The last `limit` lines of a log of JSON objects. Other lines are shown as they are, never dropped."""
    lines = [line for line in tail.split("\n") if line.strip()]
    return tuple(read_line(line, who) for line in lines[-limit:])


def read_line(line: str, who: str = "", number: int = 0) -> LogLine:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return LogLine(None, "", *_plain(line, who), number)
    at = time_of(next((data[key] for key in _TIME_KEYS if key in data), None))
    kinds = [str(data[key]) for key in _KIND_KEYS if isinstance(data.get(key), str)]
    kind = next((name for name in kinds if name in ("error", "warning")), kinds[0] if kinds else "")
    fields = [data[key] for key in _TEXT_KEYS if isinstance(data.get(key), str)]
    texts = [text for text in fields if text.strip()]
    rest = {key: value for key, value in data.items() if key not in (*_TIME_KEYS, *_KIND_KEYS, *_TEXT_KEYS)}
    if kind and not fields:  # an empty line of output stays empty
        texts = [f"{kind} " + " ".join(f"{key}={_short(value)}" for key, value in rest.items())]
    elif isinstance(rest.get("exit_code"), int) and not any("exit code" in text for text in texts):
        texts.append(f"exit code {rest['exit_code']}")
    text = " · ".join(item.rstrip("\n") for item in texts) or ("" if fields else line)
    return LogLine(at, kind, *_plain(text, who), number)


def _plain(text: str, who: str) -> tuple[str, str, tuple[TextStyle, ...]]:
    shown, styles = styled(text)
    return shown[:LOG_TEXT_LIMIT], who, tuple(style for style in styles if style.end <= LOG_TEXT_LIMIT)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def time_of(value: object) -> datetime | None:
    """The moment of a log's time: seconds since 1970, or ISO 8601 (UTC without a zone); None for anything else."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def found_at(text: str, needle: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each hit of `needle` in `text`, ignoring case, without overlaps."""
    if not needle:
        return
    # Lower case can be longer than the original ("İ"); then only exact matches are marked.
    lowered, wanted = (text.lower(), needle.lower()) if len(text.lower()) == len(text) else (text, needle)
    place = lowered.find(wanted)
    while place >= 0:
        yield place, place + len(wanted)
        place = lowered.find(wanted, place + len(wanted))


def styled(text: str) -> tuple[str, tuple[TextStyle, ...]]:
    """(`text` without terminal sequences, the styles of its colour sequences). Cursor moves and titles are dropped."""
    if "\x1b" not in text:
        return text, ()
    parts: list[str] = []
    styles: list[TextStyle] = []
    at, start, length = _Pen(), 0, 0

    def append(piece: str) -> None:
        nonlocal length
        if not piece:
            return
        parts.append(piece)
        if names := at.names():
            if styles and styles[-1].end == length and styles[-1].names == names:
                styles[-1] = replace(styles[-1], end=length + len(piece))
            else:
                styles.append(TextStyle(length, length + len(piece), names))
        length += len(piece)

    for found in ANSI.finditer(text):
        append(text[start : found.start()])
        start = found.end()
        if colour := _SGR.fullmatch(found.group()):
            at.change(colour.group(1))
    append(text[start:])
    return "".join(parts), tuple(styles)


class _Pen:
    """The colours and weights that the sequences so far have set."""

    def __init__(self) -> None:
        self.fore = self.back = ""
        self.weights: set[str] = set()

    def names(self) -> str:
        return " ".join(name for name in (self.fore, self.back, *sorted(self.weights)) if name)

    def change(self, text: str) -> None:
        """Apply the numbers of one SGR sequence; unknown numbers are ignored."""
        codes = [int(code) if code.isascii() and code.isdigit() and len(code) < 4 else 0 for code in text.replace(":", ";").split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()  # type: ignore[misc]  # back to the start
            elif code in _WEIGHTS:
                self.weights.add(_WEIGHTS[code])
            elif code in _WEIGHTS_OFF:
                self.weights -= set(_WEIGHTS_OFF[code])
            elif code in (38, 48):
                name = _extended(codes)
                self.fore, self.back = (name, self.back) if code == 38 else (self.fore, f"on-{name}")
            elif code in (39, 49):
                self.fore, self.back = ("", self.back) if code == 39 else (self.fore, "")
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.fore = COLOURS[code % 10]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.back = f"on-{COLOURS[code % 10]}"


def _extended(codes: list[int]) -> str:
    """The nearest of the eight colours to "5;n" or "2;r;g;b", removed from the front of `codes`."""
    mode = codes.pop(0) if codes else 0
    if mode == 5:
        index = codes.pop(0) if codes else 0
        if index < 16:
            return COLOURS[index % 8]
        if index >= 232:
            return "white" if index > 243 else "black"
        cube = index - 16
        red, green, blue = _CUBE[cube // 36 % 6], _CUBE[cube // 6 % 6], _CUBE[cube % 6]
    else:
        red, green, blue = ([*codes[:3], 0, 0, 0])[:3]
        del codes[:3]
    strongest = max(red, green, blue, 1)
    return COLOURS[sum(bit for bit, level in ((1, red), (2, green), (4, blue)) if level > strongest * 0.6 and level > 60)]
