"""The order of phases that a document shows beside its Dependencies fields: in its numbering, or in a section about order."""

import re
from collections.abc import Iterator, Sequence

from batches.core.plans.dependencies import PhaseNames, read_references

ABOUT_ORDER = re.compile(
    r"\bdependenc(?:y|ies)\b|\b(?:execution|phase|implementation|build) (?:order|sequence)\b|\border of\b|^(?:order|sequence)$", re.I
)

_KEY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)*)(?P<letter>[A-Za-z][0-9]?)?")
_MARKER = re.compile(r"^\s*(?:>\s*)*(?:[-*+]\s+|[0-9]{1,4}[.)]\s+)?(?:\[[ xX]\]\s+)?")
ARROW = re.compile(r"\s*(?:\u2192|-+>|=+>|\u27f6|\u21d2)\s*")
_SUBJECT = re.compile(
    r"^(?P<subject>[^:\u2013\u2014]{1,120}?)\s*"
    r"(?:[:\u2013\u2014]|\s-\s|(?=\b(?:depends|requires|needs|waits|must wait|is blocked|has no|comes after|starts? after)\b))"
    r"\s*(?P<value>\S.*)$",
    re.I,
)
_VERB = re.compile(
    r"^(?:(?:it\s+)?(?:depends?|depending)\s+(?:up)?on|requires?|needs?|waits?\s+for|must\s+wait\s+for|(?:is\s+)?blocked\s+by|"
    r"(?:comes|starts?|runs?)\s+after|after)"
    r"\s*:?\s+(?P<what>.+)$",
    re.I,
)
_NOTHING = re.compile(r"^(?:has\s+)?(?:no\s+dependenc(?:y|ies)|none|nothing|can\s+start\s+(?:immediately|at\s+once|right\s+away))\b", re.I)
_BLOCKS = re.compile(r"\s*[,;.(\u2013\u2014-]?\s*\b(?:and\s+)?(?:it\s+)?blocks\b.*$", re.I | re.S)


def by_numbering(keys: Sequence[str]) -> list[tuple[int, ...]]:
    """For each phase, the places of those it comes after by its key: 2a and 2b both after 1, and 3 after both.

    Keys of another kind (words, letters, parts such as 1.1) come one after the other.
    """
    groups: list[list[int]] = []
    stem = ""
    for place, key in enumerate(keys):
        found = _KEY.fullmatch(key)
        number = found["number"] if found and found["letter"] else ""
        if number and number == stem:
            groups[-1].append(place)
        else:
            groups.append([place])
        stem = number
    after: list[tuple[int, ...]] = [()] * len(keys)
    for before, group in zip([[], *groups], groups, strict=False):
        for place in group:
            after[place] = tuple(before)
    return after


def written_order(lines: Sequence[str], sections: Sequence[tuple[int, int]], names: PhaseNames) -> dict[int, tuple[int, tuple[int, ...]]]:
    """What sections about order say: {place of a phase: (line, places of the phases it depends on)}.

    `sections` are first and last lines (from 1). A line counts only if it is understood whole: “Phase 2: depends on Phase 1”,
    “Setup (Phase 1): no dependencies”, “Phase 1 → Phase 2 → Phase 3”. Two lines that disagree about a phase say nothing.
    """
    said: dict[int, tuple[int, tuple[int, ...]]] = {}
    drawn: dict[int, tuple[int, set[int]]] = {}  # by arrows; several arrows to one phase add up
    unsure: set[int] = set()
    for number, text in _sayings(lines, sections):
        links = ARROW.split(text)
        if len(links) > 1:
            chain = [_all_named(link, names) or [] for link in links]
            if all(chain):
                for before, after in zip([[], *chain], chain, strict=False):
                    for place in after:
                        drawn.setdefault(place, (number, set()))[1].update(before)
            continue
        found = _SUBJECT.match(text)
        subject = _named(found["subject"], names) if found else None
        if found is None or subject is None:
            continue
        value = found["value"].strip()
        verb = _VERB.match(value)
        needs = _all_named(_BLOCKS.sub("", verb["what"]), names, subject) if verb else None
        if verb is None and _NOTHING.match(value) and not _UNITS.search(value):  # “no dependencies other than Phase 2” has one
            needs = []
        if needs is not None and said.setdefault(subject, (number, tuple(sorted(set(needs)))))[1] != tuple(sorted(set(needs))):
            unsure.add(subject)
    for place, (number, before_it) in drawn.items():
        if said.setdefault(place, (number, tuple(sorted(before_it))))[1] != tuple(sorted(before_it)):
            unsure.add(place)
    return {place: one for place, one in said.items() if place not in unsure}


_PARALLEL = re.compile(
    r"^(?P<subject>[^:\u2013\u2014]{1,120}?)\s*[:\u2013\u2014-]?\s*\b(?:"
    r"(?:can|may|could|runs?)\s+(?:be\s+(?:done|run|built)\s+|run\s+|start\s+|proceed\s+)?in\s+parallel(?:\s+(?:with|to)\s+(?P<with>.+?))?"
    r"|(?:can|may|could)\s+(?:be\s+)?(?:\w+\s+)?(?:in\s+any\s+order|interleaved)(?:\s+(?:with|relative\s+to)\s+(?P<order>.+?))?"
    r"|(?:(?:can|may|could)\s+)?overlaps?(?:\s+with\s+(?P<over>.+?))?"
    r"|(?:(?:is|are)\s+)?(?:\w+\s+)?independent\s+(?:of|from)\s+(?:each\s+other|one\s+another|(?P<of>.+?))"
    r"|(?:need|does|do)(?:\s+not|n['\u2019]t)\s+(?:need\s+to\s+|have\s+to\s+)?wait\s+for\s+(?P<wait>.+?)"
    r")[.!]?$",
    re.I,
)
# Behind “independent of Phase 3”, a condition that names another phase: “…, needs Phase 2”, “… once Phase 2 is done”.
_MORE = re.compile(r"\b(?:but|only|needs?|requires?|depends?|waits?|once|after|until|when|before|if|as\s+soon)\b", re.I)
# Words that loosen an order: what they say is not “one after the other”, but something else than “at the same time” too.
LOOSE = re.compile(
    r"\b(?:can|could|may|might)\s+(?:\w+\s+)?(?:start|begin|run|proceed|be\s+\w+)\b[^.;]{0,60}\b(?:before|while|in\s+parallel|alongside)\b"
    r"|\boverlap(?:s|ping)?\s+with\b|\b(?:can|may)\s+(?:\w+\s+)?overlap\b|\bin\s+any\s+order\b|\binterleav"
    r"|\bindependent(?:ly)?\s+(?:of|from)\b|\bare\s+(?:\w+\s+)?independent\b(?!ly)"
    r"|\bneed\s+not\s+wait\b|(?:\bnot|n['\u2019]t)\s+(?:(?:need|have|required?)\s+to\s+)?wait\b|\bno\s+need\s+to\s+wait\b|\bwithout\s+waiting\b"
    r"|(?:^|\b(?:can|may)\s+(?:start|begin|run)\s+)(?:once|as\s+soon\s+as|when|after)\b[^.;]{0,60}\b(?:starts?|started|begins?|begun|under\s?way)\b",
    re.I,
)
_UNITS = re.compile(
    r"\b(?:phases?|tasks?|steps?|stor(?:y|ies)|stages?|milestones?|parts?|sprints?|epics?|waves?)\s+#?(?=[0-9A-Z])(?P<key>[0-9A-Za-z.]*[0-9A-Za-z])",
    re.I,
)


def loose_sayings(lines: Sequence[str], names: PhaseNames) -> Iterator[tuple[int, str]]:
    """(line, text) of what a document says outside code of a phase that need not wait: “Phase 3 may overlap with Phase 2”."""
    for number, text in _sayings(lines, ((1, len(lines)),)):
        if LOOSE.search(text) and any(names.key(found["key"]) is not None for found in _UNITS.finditer(text)):
            yield number, text


def written_parallel(
    lines: Sequence[str], sections: Sequence[tuple[int, int]], names: PhaseNames
) -> dict[int, tuple[int, tuple[int, ...]]]:
    """What sections about order say of phases that run in parallel: {place of a phase: (line, places that it runs beside)}."""
    said: dict[int, tuple[int, tuple[int, ...]]] = {}
    for number, text in _sayings(lines, sections):
        found = _PARALLEL.match(text)
        if found is None:
            continue
        what = next(filter(None, found.group("with", "order", "over", "of", "wait")), "")
        if _MORE.search(what):
            continue
        subjects = _all_named(found["subject"], names) or []
        others = (_all_named(what, names) or []) if what else []
        together = sorted({*subjects, *others})
        if len(together) > 1 and subjects and (others or not what):
            for place in together[1:]:
                said.setdefault(place, (number, tuple(other for other in together if other < place)))
    return said


def _sayings(lines: Sequence[str], sections: Sequence[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """The lines of the sections, outside code, without list marks and emphasis, each with its number."""
    for first, last in sections:
        fenced = False
        for number in range(first, min(last, len(lines)) + 1):
            line = lines[number - 1]
            if line.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            elif not fenced and (text := _MARKER.sub("", line).replace("**", "").replace("`", "").strip()):
                yield number, text


def _named(text: str, names: PhaseNames) -> int | None:
    """The one phase that a subject names: “Phase 2”, “Setup (Phase 1)”, “Foundation”."""
    inner = re.search(r"\((phases?\s[^()]*)\)", text, re.I)
    found = _all_named(inner[1] if inner else text, names)
    return found[0] if found is not None and len(found) == 1 else None


def _all_named(text: str, names: PhaseNames, place: int = -1) -> list[int] | None:
    """The phases that a text names, if it is understood whole; None otherwise."""
    read = read_references(text.strip("()[] "), names, place if place >= 0 else len(names.keys))
    if read.undefined or read.prose or read.beside or not read.places:
        return None
    return read.places
