"""Every reader of what attempts, programs and people wrote, with random input for as long as CE_FUZZ_SECONDS says (2 by default in all).

What comes in is read, or refused by the one error that the reader names. `make fuzz SECONDS=60` gives it longer.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from batches.core.gates.evidence import Evidence, GateEvidence, by_attempt, compare_gates, compare_heads, note_section, read_note, to_json
from batches.core.text.diff import compared, read_diff, side_by_side
from batches.core.text.log_lines import read_line, read_log, styled
from batches.core.text.words import ANSI
from batches.integrations.webhook import WebhookError, check_url
from subagents.contract import ContractError, Heartbeat, TaskResult, TaskSpec
from subagents.files import load_json
from subagents.gates import Capture
from subagents.judges_files import covers, is_declared, judging_part
from subagents.protected_paths import ProtectedPaths, fault_of_pattern
from subagents.redaction import MASK, Redacted
from subagents.secret_scan import added_lines, secrets_in

pytestmark = pytest.mark.long

SECONDS = float(os.environ.get("CE_FUZZ_SECONDS", "2"))

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
GATE = GateEvidence("1", "plan", 1, "it works", "command", "true", "passed", 0, None, False, "c" * 40, "", 0.5, "", "")
EVIDENCE = Evidence("refs/ce/attempts/batch-1/run-1/1/1", 1, 1, 1, "1", "PRP-1.1.1", "A part", "a" * 40, "c" * 40, (GATE,))


def pieces(*words: str) -> st.SearchStrategy[str]:
    """Texts made of pieces that mean something to a reader, and of anything else."""
    return st.lists(st.sampled_from(words) | st.text(max_size=6), max_size=40).map("".join)


DIFFS = pieces(
    *("diff --git a/x b/x\n", "--- a/x\n", "+++ b/x\n", "@@ -1,2 +3 @@\n", "@@ -0,0 +999999999 @@"),
    *("+", "-", "\\ No newline", "\n", "commit "),
)
LOGS = pieces(
    *('{"at": ', '"text": ', '"kind": "error"', '"exit_code": 1', "1e400", '"2026-13-40"'),
    *("-1", "}", ", ", "\n", "[[[[", "null", "9" * 400),
)
TERMINAL = pieces("\x1b[", "\x1b]", "\x1b", "38;5;", "48;2;", "m", ";", ":", "999", "0", "\x07", "\x9b", "K", "²", "1;31", "\r", "\b")
NOTES = pieces("ce-json: ", json.dumps(to_json(EVIDENCE)), "[" * 3000, "{", '"gates": [', "]", "}", "\n", '"format": 1', "null", "9" * 5000)
ADDRESSES = pieces(
    *("https://", "http://", "//", "127.0.0.1", "::1", "x.example", "99999"),
    *("[", "]", "%", "@", ":", "?", "#", "\\", "é", "\t", "/"),
)
CONFIGURATIONS = pieces("[tool.pytest]\n", "a = 1\n", "[", "]", "{", "}", '"scripts": ', "{" * 3000, "=", '"', "\n", "[tool]\nx", "'''")
PATTERNS = pieces("*", "**", "/", "?", "[", "]", "!", ".claude", "..", "a", "[!a-", "\\")


def contract(values: tuple[Any, bytes]) -> None:
    value, data = values
    for kind, sample in ((Heartbeat, HEARTBEAT), (TaskResult, RESULT), (TaskSpec, {})):
        for given_ in (value, {**sample, **(value if isinstance(value, dict) else {})}):
            with_error(lambda kind=kind, given_=given_: kind.from_json(given_), ContractError)
    with_error(lambda: load_json(data, "x"), ContractError)


def changed_field(values: tuple[str, Any]) -> None:
    """One field of a good message with another value."""
    name, value = values
    for kind, sample in ((Heartbeat, HEARTBEAT), (TaskResult, RESULT)):
        if name in sample:
            with_error(lambda kind=kind, sample=sample: kind.from_json({**sample, name: value}), ContractError)


def diffs(text: str) -> None:
    read = read_diff(text)
    for file in read.files:
        lines = compared(file.lines)
        assert [line.text for line in lines] == [line.text for line in file.lines]
        assert sum(line is not None for pair in side_by_side(lines) for line in pair) >= len(lines)
    secrets_in(list(added_lines(text)))


def logs(text: str) -> None:
    for line in read_log(text):
        assert all(0 <= style.start <= style.end <= len(line.text) for style in line.styles)
        line.searched("a")
    read_line(text)


def terminal(text: str) -> None:
    plain, styles = styled(text)
    assert not ANSI.search(plain) or "\x1b" in plain
    assert all(0 <= one.start < one.end <= len(plain) for one in styles)
    capture = Capture()
    capture.add(text.encode("utf-8", "surrogatepass"))
    capture.text()


def notes(text: str) -> None:
    found, faults = read_note(text)
    for name in by_attempt(found):
        assert isinstance(name, str)
    for evidence in found:
        compare_gates(EVIDENCE, evidence, "the note")
        compare_heads(EVIDENCE, evidence, "the note")
        assert read_note(note_section(evidence)) == ([evidence], [])
    assert all(isinstance(fault, str) for fault in faults)


def changed_note(values: tuple[str, Any]) -> None:
    name, value = values
    data = to_json(EVIDENCE)
    gate = {**data["gates"][0], name: value} if name in data["gates"][0] else data["gates"][0]
    notes("ce-json: " + json.dumps({**data, **({name: value} if name in data else {}), "gates": [gate]}))


def addresses(text: str) -> None:
    for private in (False, True):
        with_error(lambda private=private: check_url(text, private=private), WebhookError)


def configurations(text: str) -> None:
    for name in ("package.json", "pyproject.toml", "Cargo.toml", "setup.cfg", "tox.ini"):
        judging_part(name, text)


def patterns(values: tuple[str, str]) -> None:
    pattern, path = values
    fault_of_pattern(pattern)
    ProtectedPaths([pattern]).pattern_of(path)
    is_declared(path, [pattern])
    covers(pattern.split("/"), path.split("/"))


KEY = "sk-ant-" + "api03-Xq7_Lm2-Zt9Rw4Kd8Vb3Nc6Hj1Fp5Gs0QyAe"


def streams(values: tuple[list[str], int]) -> None:
    """However output is cut, no token comes through, and nothing else is lost."""
    words, cut = values
    text = " ".join([*words, KEY, ""]) + "\n"
    data, out = text.encode("utf-8", "surrogatepass"), list[bytes]()
    stream = Redacted(out.append)
    for begin in range(0, len(data), cut):
        stream.add(data[begin : begin + cut])
    stream.end()
    assert KEY.encode() not in b"".join(out) and MASK.encode() in b"".join(out)


def with_error(act: Callable[[], object], expected: type[Exception]) -> None:
    """Do it; the expected error is an answer, too, and no other is."""
    try:
        act()
    except expected as refused:
        assert str(refused)


HEARTBEAT: dict[str, Any] = Heartbeat("phase-1", "x", "x", 1, 1.0, "", "", 1, 1, 0.1, "x", 1, "t").to_json()
RESULT: dict[str, Any] = TaskResult("phase-1", "PRP-1.1.1", "success", 1, "t").to_json()  # type: ignore[arg-type]
NAMES = st.sampled_from([*HEARTBEAT, *RESULT])
NOTE_NAMES = st.sampled_from([*to_json(EVIDENCE), *to_json(EVIDENCE)["gates"][0]])
LOG_NAMES = st.sampled_from(["at", "ts", "kind", "text", "exit_code"])
READERS: dict[Callable[[Any], None], st.SearchStrategy[Any]] = {
    contract: st.tuples(VALUES, st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()) | LOGS.map(str.encode)),
    changed_field: st.tuples(NAMES, VALUES),
    diffs: DIFFS,
    logs: LOGS | VALUES.map(json.dumps) | st.dictionaries(LOG_NAMES, VALUES).map(json.dumps),
    terminal: TERMINAL,
    notes: NOTES,
    changed_note: st.tuples(NOTE_NAMES, VALUES),
    addresses: ADDRESSES,
    configurations: CONFIGURATIONS,
    patterns: st.tuples(PATTERNS, PATTERNS),
    streams: st.tuples(st.lists(st.text(max_size=8), max_size=8), st.integers(1, 40)),
}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_whatever_comes_in_is_read_or_refused_in_words(reader: Callable[[Any], None]) -> None:
    until, number = time.monotonic() + SECONDS / len(READERS), int(os.environ.get("CE_FUZZ_SEED", time.time_ns() % 1_000_000))

    while True:

        @seed(number)
        @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(READERS[reader])
        def look(value: Any) -> None:
            reader(value)

        look()
        number += 1
        if time.monotonic() >= until:
            break
