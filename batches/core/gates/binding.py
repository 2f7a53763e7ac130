"""Which check a validation gate is bound to, by rule (docs/gates.md). What no rule understands is unverified, never green."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batches.core.gates.shell import CHECKERS, SEARCHERS, is_command, looks_like_a_command, parse, programs_of, why_not_run
from subagents.contract import GateKind, GateSpec

# The first two are for pages, which import nothing of the subagents.
__all__ = ["GateKind", "GateSpec", "Understood", "bind_gate", "bind_gates", "understand"]

GATE_CHARACTERS = 2_000  # more than this is an essay, not a check; it also bounds what a hostile text can cost

TICKED = re.compile(r"`([^`\n]+)`")
CHECKED = re.compile(r"\(\s*checked?(?:\s+(?:by|with|via))?\s*:\s*(?P<how>.+)\)\s*\.?\s*$", re.I | re.S)
BY_HAND = re.compile(r"\b(manual|by hand|visual|review|inspect|person|human|eyes?\b|judg)", re.I)
NEGATED = re.compile(r"\b(no|not|never|n't|without|removed?|deleted?|gone|absent)\b", re.I)
ACTS = re.compile(r"^\W*(update|remove|fix|rename|delete|replace|add|move|create|change)\b", re.I)
NOTHING = re.compile(
    r"\b(returns?|finds?|shows?|prints?|outputs?|yields?|gives?|reports?)\s+(nothing|no\s|none|zero|0\b|empty)"
    r"|\bno (matches|output|results|hits)\b",
    re.I,
)
FAILING = re.compile(r"\b(fails?|failing|exits? (with )?(code )?(non-?zero|[1-9])|non-?zero|is rejected|raises|errors out)\b", re.I)

NAMED_EXIST = re.compile(r"\b(exists?|(?:is |are |was |were )?(?:created|present|in place))\b", re.I)
LISTED = re.compile(r"\b(listed|referenced|mentioned|described|documented|exists?|found|files?)\s+(in|by|under)\b", re.I)
# "All files created": said of the declared files. "Backup directory created automatically" is not.
DECLARED_EXIST = re.compile(
    r"(?:(?:verify|ensure|check)\s+(?:that\s+)?)?(?:all\s+(?:(?:of\s+)?the\s+)?(?:\d+\s+)?(?:[\w-]+\s+)?|(?:the|both|every|each|required|new|declared)\s+)*"
    r"(?:files?|scripts?|modules?|documents?|director(?:y|ies)|folders?)\s+(?:all\s+|now\s+)?(?:(?:are|is|were|was|have been|has been)\s+)?"
    r"(?:exists?|created|present|in place)(?:\s+(?:successfully|at (?:the )?(?:correct|right) paths?))?\s*(?:\(.*\))?\W*",
    re.I,
)
TESTS = re.compile(
    r"\b(?:tests?|test[- ]?(?:suites?|cases?|functions?)|specs?)\b(?:\s+[\w/.`-]+){0,5}?\s+(?:pass(?:es|ed|ing)?|green|succeed(?:s|ed)?)\b"
    r"|\bpassing tests?\b|\bpytest (?:passes|exit code|succeeds|is green)\b",
    re.I,
)
SYNTAX = re.compile(
    r"\b(?:no|zero|0|without)\s+(?:\w+\s+)?(?:syntax|lint(?:ing|er)?|ruff|flake8|eslint)\s*(?:or\s+\w+\s+)?(?:errors?|warnings?|issues?|violations?|problems?)"
    r"|\bsyntax(?:\s+is|\s+check)?\s+(?:valid|correct|ok|clean|passes|passed)\b|\b(?:valid|correct)\s+(?:\w+\s+)?syntax\b"
    r"|\b(?:lint(?:ing|er)?|ruff)\s+(?:checks?\s+)?(?:is\s+|are\s+)?(?:pass(?:es|ed|ing)?|clean|green|ok)\b",
    re.I,
)
COVERAGE = re.compile(r"\bcoverage\b", re.I)
PER_CENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")
PATH = re.compile(r"(?<![\w/.])((?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/])")
NAMES_WITHOUT_ENDING = frozenset({"Makefile", "Dockerfile", "LICENSE", "README"})
NUMBER = r"(?<![\d,_.])(\d[\d,_]{0,9})"
LINES = r"(?:\s+|-)(?:lines?|LOC|loc)\b"
_SAYS_LINES = re.compile(r"[\s-](?:line|loc)", re.I)


def bind_gate(position: int, text: str, files: Sequence[str] = ()) -> GateSpec:
    """Bind the gate at `position` (1 is the first) to its check; `files` are those that the phase declares.

    Only what is bound here is ever run; what no rule understands comes back as unverified. Pure: the tests kind finds
    the project's own test command when it is judged.
    """
    if len(text) > GATE_CHARACTERS:
        return _unverified(position, text)
    plain = " ".join(text.split())
    named = CHECKED.search(plain)
    if named:
        return _by_name(position, plain, named["how"].strip(), files)
    return _by_words(position, plain, files)


def bind_gates(texts: Sequence[str], files: Sequence[str] = ()) -> tuple[GateSpec, ...]:
    """bind_gate over a phase's gates, numbered from 1."""
    return tuple(bind_gate(position, text, files) for position, text in enumerate(texts, start=1))


@dataclass(frozen=True, slots=True)
class Understood:
    """How a gate is read: its check in words, and where a command in it is not run, why not and what one click would run.

    `offer` is the command that `(checked: …)` would run; "" when there is nothing to offer.
    """

    gate: GateSpec
    words: str
    why_not: str = ""
    offer: str = ""

    @property
    def sentence(self) -> str:
        """What will be done, or why its command is not run: for every page and command that tells it."""
        return f"{self.words}; its command is not run: {self.why_not}" if self.why_not else self.words

    @property
    def chosen(self) -> str:
        """What the author writes at the end of the gate to have its command run; "" when there is nothing to run."""
        return f"(checked: `{self.offer}`)" if self.offer else ""

    def to_json(self) -> dict[str, Any]:
        """Of `checks` in what `analyze --json` prints."""
        return {
            "gate": self.gate.text,
            "kind": str(self.gate.kind),
            "command": self.gate.command,
            "understood": self.words,
            "why_not_run": self.why_not,
            "offer": self.chosen,
        }


def understand(position: int, text: str, files: Sequence[str] = ()) -> Understood:
    """bind_gate, and how it came to that: what the preview shows before anything is run. Pure."""
    gate = bind_gate(position, text, files)
    if gate.kind != GateKind.UNVERIFIED:
        return Understood(gate, _how(gate))
    plain = " ".join(text.split())
    if len(text) > GATE_CHARACTERS:
        return Understood(gate, BY_PERSON, f"it is longer than {GATE_CHARACTERS:,} characters")
    if CHECKED.search(plain):
        return Understood(gate, BY_PERSON)  # how it is checked was chosen, and it is no command
    around, ticked = TICKED.sub(" ", plain), TICKED.findall(plain)
    runnable = [span for span in ticked if is_command(span)]
    if runnable:
        return Understood(gate, BY_PERSON, _why_not_in(around, runnable), " && ".join(runnable))
    offered = [span for span in ticked if looks_like_a_command(span)]
    spoken_of = offered or [span for span in ticked if any(len(part.words) > 1 for part in parse(span))]
    return Understood(gate, BY_PERSON, why_not_run(spoken_of[0]) if spoken_of else "", " && ".join(offered))


BY_PERSON = "no rule can check this: a person may"


def how_checked(spec: Mapping[str, Any]) -> str:
    """The check that a gate is bound to (GateSpec JSON) in words; of one that no rule can check also why its command is not run.

    Raises ContractError.
    """
    gate = GateSpec.from_json(spec)
    if gate.kind != GateKind.UNVERIFIED:
        return _how(gate)
    read = understand(gate.position, gate.text)
    return read.sentence if read.gate.kind == gate.kind else BY_PERSON


def _how(gate: GateSpec) -> str:
    """The check of a bound gate in words."""
    named = ", ".join(gate.paths[:5]) + (f" and {len(gate.paths) - 5} more" if len(gate.paths) > 5 else "")
    match gate.kind:
        case GateKind.FILES_EXIST:
            return f"is in the commit: {named}"
        case GateKind.LINE_COUNT:
            bounds = [f"{word} {bound:g}" for word, bound in (("at least", gate.minimum), ("at most", gate.maximum)) if bound is not None]
            return f"counts the lines of {named}: {' and '.join(bounds)}"
        case GateKind.SYNTAX:
            return f"checks the syntax of {named or 'the files that the phase changed'}"
        case GateKind.TESTS:
            return "runs the project's own tests"
        case GateKind.COVERAGE:
            return f"runs the project's own tests and measures their coverage: at least {gate.minimum or 0:g} %"
        case _:
            return f"runs {gate.command} and looks at its exit code"


def _by_name(position: int, text: str, how: str, files: Sequence[str]) -> GateSpec:
    """A gate that says itself how it is checked: in one of the seed's phrases, or by a command."""
    phrase = how.strip("`").lower()
    ticked = TICKED.findall(how)
    if not ticked:
        if re.fullmatch(r"files?[- ](existence|exists?)", phrase):
            return _existence(position, text, _ticked_paths(text) or tuple(PATH.findall(CHECKED.sub("", text))) or tuple(files))
        if re.fullmatch(r"(lint(ing|er)?|syntax)( check| errors)?", phrase):
            return GateSpec(position, text, GateKind.SYNTAX, paths=_ticked_paths(text))
        if re.fullmatch(r"(pytest|tests?)( suite)?( exit code| run| pass)?", phrase):
            return GateSpec(position, text, GateKind.TESTS)
        if re.fullmatch(r"(test )?coverage( report)?", phrase):
            return _coverage(position, text)
        if re.fullmatch(r"line counts?|wc( -l)?|number of lines", phrase):
            return _line_count(position, text, files) or _unverified(position, text)
        if BY_HAND.search(how) or _is_prose(how):
            return _unverified(position, text)
    command = " && ".join(ticked) if ticked else how
    return GateSpec(position, text, GateKind.COMMAND, command=command)


def _by_words(position: int, text: str, files: Sequence[str]) -> GateSpec:
    """A gate in prose: the first rule that understands it."""
    if BY_HAND.search(TICKED.sub("", text)):
        return _unverified(position, text)
    commands = [span for span in TICKED.findall(text) if is_command(span)]
    if commands:
        return _command(position, text, commands)
    counted = _line_count(position, text, files)
    if counted is not None:
        return counted
    if COVERAGE.search(text) and PER_CENT.search(text):
        return _coverage(position, text)
    if TESTS.search(text) and not NEGATED.search(text):
        return GateSpec(position, text, GateKind.TESTS)
    if SYNTAX.search(text):
        return GateSpec(position, text, GateKind.SYNTAX, paths=_ticked_paths(text))
    if DECLARED_EXIST.fullmatch(text):
        return _existence(position, text, tuple(files))
    if NAMED_EXIST.search(TICKED.sub("x", text)) and not NEGATED.search(text) and not LISTED.search(text):
        return _existence(position, text, _named(text, files))
    return _unverified(position, text)


def _command(position: int, text: str, commands: Sequence[str]) -> GateSpec:
    around = TICKED.sub(" ", text)
    if _why_not_in(around, commands):
        return _unverified(position, text)
    command = (" || " if re.search(r"\bor\b", around, re.I) else " && ").join(commands)
    if NOTHING.search(around):
        command = f'test -z "$({{ {command}; }} 2>&1 || true)"'
    elif FAILING.search(around) and not re.search(r"\b(never|not|no|without)\b", around, re.I):
        command = f"! {{ {command}; }}"
    return GateSpec(position, text, GateKind.COMMAND, command=command)


def _why_not_in(around: str, commands: Sequence[str]) -> str:
    """Why commands that could be run are not, by what the sentence around them says; "" when they are."""
    programs = programs_of(commands)
    if BY_HAND.search(around):
        return "the sentence asks a person to look"
    if ACTS.search(around):
        return "the sentence asks for something to be done, not whether it is"
    if NOTHING.search(around):
        return "" if programs <= SEARCHERS else "what it prints is more than what it finds, so only a reader can tell"
    return "find ends well whatever it finds" if programs <= {"find"} else ""


def _existence(position: int, text: str, paths: tuple[str, ...]) -> GateSpec:
    if not paths:
        return _unverified(position, text)
    return GateSpec(position, text, GateKind.FILES_EXIST, paths=paths)


def _coverage(position: int, text: str) -> GateSpec:
    found = PER_CENT.search(text)
    minimum = float(found[1]) if found else math.inf
    if minimum > 100:
        return _unverified(position, text)
    return GateSpec(position, text, GateKind.COVERAGE, minimum=minimum)


def _line_count(position: int, text: str, files: Sequence[str]) -> GateSpec | None:
    bounds = _line_bounds(text)
    if bounds is None:
        return None
    paths = _named(text, files)
    if not paths:
        every = re.search(r"\b(each|every|all|files)\b", text, re.I)
        paths = tuple(files) if every or len(files) == 1 else ()
    if not paths:
        return _unverified(position, text)
    return GateSpec(position, text, GateKind.LINE_COUNT, paths=paths, minimum=bounds[0], maximum=bounds[1])


def _line_bounds(text: str) -> tuple[float | None, float | None] | None:
    """(fewest, most) lines that a gate allows; None when it is not about lines. "About 300" allows a tenth either way."""
    if not _SAYS_LINES.search(text):  # most gates, at a tenth of the time
        return None
    forms: tuple[tuple[str, str], ...] = (
        (rf"{NUMBER}\s*(?:±|\+/-|\+-)\s*{NUMBER}{LINES}|{NUMBER}\s+lines?\s*\(?\s*(?:±|\+/-|\+-)\s*{NUMBER}", "around"),
        (rf"(?:between\s+)?{NUMBER}\s*(?:-|–|to|and)\s*{NUMBER}{LINES}", "between"),
        (rf"(?:at least|no (?:less|fewer) than|minimum(?: of)?|≥|>=)\s*{NUMBER}{LINES}", "least"),
        (rf"(?:more than|over|above|>)\s*{NUMBER}{LINES}", "over"),
        (rf"(?:at most|no more than|not more than|maximum(?: of)?|up to|≤|<=)\s*{NUMBER}{LINES}", "most"),
        (rf"(?:fewer than|less than|under|below|<)\s*{NUMBER}{LINES}", "under"),
        (rf"{NUMBER}\+{LINES}", "least"),
        (rf"(?:~|≈|about|around|approximately|approx\.?|roughly)\s*{NUMBER}{LINES}", "about"),
        (rf"exactly\s+{NUMBER}{LINES}", "exactly"),
    )
    for pattern, form in forms:
        found = re.search(pattern, text, re.I)
        if found:
            first, *more = [float(re.sub(r"[,_]", "", number)) for number in found.groups() if number]
            second = more[0] if more else 0.0
            return {
                "around": (max(0.0, first - second), first + second),
                "between": (min(first, second), max(first, second)),
                "least": (first, None),
                "over": (first + 1, None),
                "most": (None, first),
                "under": (None, first - 1),
                "about": (math.floor(first * 0.9), math.ceil(first * 1.1)),
                "exactly": (first, first),
            }[form]
    return None


def _ticked_paths(text: str) -> tuple[str, ...]:
    """Back-ticked file names, folders and globs, as paths inside the repository."""
    found = []
    for span in TICKED.findall(text):
        path = re.sub(r":\d+(-\d+)?$", "", span.strip()).removeprefix("./")
        named = _is_a_path(path) or re.search(r"\.[A-Za-z]\w{0,9}$", path)
        climbs = path.startswith(("/", "~", "-")) or ".." in path.split("/")
        if named and not climbs and not re.search(r"[\s<>|&;$(){}\"'\\]|://", path):
            found.append(path.rstrip("/") or path)
    return tuple(dict.fromkeys(found))


def _named(text: str, files: Sequence[str]) -> tuple[str, ...]:
    """The files that a text names; those that the phase declares also without an ending to tell them by (“bin/tool exists”)."""
    ticked = set(TICKED.findall(text))
    words = {word.strip(".,;:()'\"").removeprefix("./").rstrip("/") for word in text.replace("`", " ").split()}
    declared = (file.rstrip("/") for file in files)
    told = tuple(path for path in declared if path in words and (_is_a_path(path) or path in ticked))
    return tuple(dict.fromkeys((*(_ticked_paths(text) or PATH.findall(text)), *told)))


def _is_a_path(text: str) -> bool:
    return "/" in text or text in NAMES_WITHOUT_ENDING


def _is_prose(how: str) -> bool:
    """Whether "checked: …" is a description: several plain words of which the first is no known program."""
    words = how.split()
    return len(words) > 1 and words[0] not in CHECKERS and all(re.fullmatch(r"[A-Za-z,'][A-Za-z,'-]*", word) for word in words)


def _unverified(position: int, text: str) -> GateSpec:
    return GateSpec(position, text, GateKind.UNVERIFIED)
