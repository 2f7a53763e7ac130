"""Graphs drawn in a document (mermaid, Graphviz, or arrows in plain text) in which the phases of the plan are the nodes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from batches.core.plans.dependencies import PhaseNames
from batches.core.plans.labels import phase_heading

_FENCE = re.compile(r"[ \t>]*(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[\w.-]*)")
_LANGUAGES = frozenset({"mermaid", "dot", "graphviz"})
_PLAIN = frozenset({"", "text", "txt", "ascii", "plaintext"})
_GRAPH = re.compile(r"^\s*(?:graph|flowchart|(?:strict\s+)?digraph)\b", re.MULTILINE | re.IGNORECASE)
_OPENING = re.compile(r"^\s*(?:(?:graph|flowchart)\b[ \t]*\w*[ \t]*;?|(?:strict\s+)?digraph\b[^{]*\{)", re.IGNORECASE)
_NO_EDGE = re.compile(
    r"^\s*(?:%%|//|#|subgraph\b|end\s*$|style\b|classDef\b|class\b|click\b"
    r"|linkStyle\b|direction\b"
    r"|(?:rankdir|label)\s*=|(?:node|edge|graph)\s*\[|[{}])",
    re.IGNORECASE,
)
# “-- text -->” and “[label="text"]” in the form that carries its text in one place.
_INLINE_NOTE = re.compile(r"(?:--|==|-\.)[ \t]+(?P<note>[^-=.>|\n][^>|\n]*?)[ \t]+(?P<arrow>-->|==>|\.->)")
_DOT_LABEL = re.compile(r"\[[^\]\n]{0,120}?\blabel\s*=\s*\"(?P<label>[^\"\n]*)\"[^\]\n]*\]|\[\w+\s*=[^\]\n]*\]")
_NODE = re.compile(
    r"\s*(?:\"(?P<quoted>[^\"\n]+)\"|(?P<id>\w+(?:-(?!-)\w+)*))"
    r"(?:@\{[^}\n]*\}|[ \t]*[\[({>]+[/\\]?\s*(?:\"(?P<string>[^\"\n]*)\"|(?P<label>(?:[^\[\](){}\"\n]|\([^()\n]*\))*))\s*[/\\]?[\])}]+)?"
    r"(?::::\w+)?\s*"
)
_LINK = re.compile(r"(?P<arrow><?(?:-+>|=+>|-\.+->)|-{3,}|={3,}|-\.+-|--+[ox](?=\s))(?:\|(?P<note>[^|\n]*)\|)?")
_TURNED = re.compile(
    r"(?:depends(?:\s+on)?|needs|requires|waits(?:\s+for)?|(?:(?:comes|runs|starts)\s+)?after|(?:is\s+)?blocked\s+by)", re.IGNORECASE
)
_MAY_TURN = re.compile(r"\b(?:depends|needs|requires|waits|after|blocked by)\b", re.IGNORECASE)
_SUBGRAPH = re.compile(r"\s*subgraph\s+(?P<id>\w+)", re.IGNORECASE)
_SEVERAL = re.compile(
    r"\bphases\s+[0-9]|\bphase\s*[0-9].*\bphase\s*[0-9]|\bphase\s+[0-9.]+\s*(?:[-\u2013,&+]|and\b|to\b)\s*[0-9]"
    r"|\bp[0-9]+\s*(?:[,&+]|and\b)\s*p[0-9]",
    re.IGNORECASE,
)
_DOWN = re.compile(r"[\s|\u2502\u2503]*[\u2193\u25bcvV\u21d3][\s|\u2502\u2503\u2193\u25bcvV\u21d3]*|[\s|\u2502\u2503]+")
_ACROSS = re.compile(r"\s*(?:[-\u2500\u2501=]*(?:>|\u25ba|\u25b6|\u2192|\u21d2)|\u27f6)\s*")
_DRAWN = re.compile(r"[\u2190-\u21ff\u2500-\u257f\u25b2-\u25c5]|[-=]+>")
_BREAK = re.compile(r"<br\s*/?>|\\n", re.IGNORECASE)
_SHORT = re.compile(r"(?:phase|p|task|t|step|s|stage|milestone|m|story|us)[ _-]?(?P<key>[0-9]+(?:[._][0-9]+)*[a-z]?)", re.IGNORECASE)
_MAX_LINES, _MAX_LINE = 400, 400  # lines of one drawing, and characters of a line


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph over phases: its first and last line (from 1), and {place: places that it waits for}; None where it is not understood."""

    line: int
    end: int
    before: Mapping[int, tuple[int, ...]] | None


def drawings_of(
    lines: Sequence[str], names: PhaseNames, words: Sequence[str] = (), phases: Sequence[tuple[int, int]] = ()
) -> list[Drawing]:
    """The drawings that name two phases or more. A node that is no phase only hands on what it waits for.

    `words` are the headings of the phases in lower case: a node “Task 2” is Phase 2 only where that heading says “task”.
    `phases` are the first and last lines of the phases: a drawing inside one shows its parts, so only “Phase 2” and “P2” are phases there.
    A phase without an arrow to it waits for nothing, if all phases are in the drawing; otherwise nothing is said of it.
    """
    found = []
    for line, info, body in _fences(lines):
        if info in _LANGUAGES and _GRAPH.search("\n".join(body)):
            edges = _edges(body)
        elif info in _PLAIN and any(_DRAWN.search(one) for one in body):
            edges = _arrows(body)
        else:
            continue
        inside = any(first <= line <= last for first, last in phases)
        named = {node: _phase(label, names, words, by_word=inside) for node, label in edges.labels.items()}
        places = {place for place in named.values() if place is not None}
        around = {node for link in edges.links for node in link if node in edges.groups and named[node] is None}
        if around or any(map(_SEVERAL.search, edges.labels.values())):
            edges.is_clear = False
        if len(places) > 1:
            found.append(
                Drawing(line, line + len(body) + 1, _before(edges.links, named, len(places) == len(names.keys)) if edges.is_clear else None)
            )
        elif info in _PLAIN and len(set(_mentioned(body, names, words))) > 1:
            found.append(Drawing(line, line + len(body) + 1, None))
    return found


def _fences(lines: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(line of its first fence, language in lower case, lines inside) of each fenced block."""
    at = 0
    starts = [at for at, line in enumerate(lines) if "```" in line or "~~~" in line]
    for start in starts:
        opened = _FENCE.match(lines[start])
        if start < at or opened is None:
            continue
        at = start + 1
        while at < len(lines) and not lines[at].lstrip(" \t>").startswith(opened["marks"]):
            at += 1
        if at - start <= _MAX_LINES and all(len(one) <= _MAX_LINE for one in lines[start:at]):
            yield start + 1, opened["info"].lower(), list(lines[start + 1 : at])
        at += 1


@dataclass(slots=True)
class _Edges:
    """The nodes of a drawing with their texts, the arrows between them, boxes around nodes, and whether all of it was understood."""

    labels: dict[str, str]
    links: list[tuple[str, str]]
    is_clear: bool = True
    groups: frozenset[str] = frozenset()


def _edges(body: Sequence[str]) -> _Edges:
    """The nodes and arrows of mermaid or Graphviz."""
    edges = _Edges({}, [], groups=frozenset(found["id"] for found in map(_SUBGRAPH.match, body) if found))
    text = "\n".join(line for line in (_OPENING.sub("", one) for one in body) if not _NO_EDGE.match(line))
    text = _INLINE_NOTE.sub(lambda one: f"-->|{one['note']}|", text)
    for statement in re.split(r"[;\n]", text):
        is_arrow = "->" in statement  # in Graphviz a label behind an arrow is that of the arrow
        statement = _DOT_LABEL.sub(lambda one, bare=is_arrow: f'["{one["label"]}"]' if one["label"] and not bare else "", statement)
        groups: list[list[str]] = []
        links: list[re.Match[str]] = []
        at, group = 0, []
        while node := _NODE.match(statement, at):
            name = node["quoted"] or node["id"]
            label = node["string"] or node["label"] or node["quoted"] or ""
            if label or name not in edges.labels:
                edges.labels[name] = label or name
            group.append(name)
            at = node.end()
            if statement.startswith("&", at):
                at += 1
                continue
            groups.append(group)
            group = []
            link = _LINK.match(statement, at)
            if link is None:
                break
            links.append(link)
            at = link.end()
        if statement[at:].strip(" }"):
            edges.is_clear = edges.is_clear and not links and not _LINK.search(statement)
        for number, link in enumerate(links[: len(groups) - 1]):
            if not link["arrow"].endswith(">") or link["arrow"].startswith("<"):
                edges.is_clear = False
            note = (link["note"] or "").strip(' "')
            turned = bool(_TURNED.fullmatch(note))
            if not turned and _MAY_TURN.search(note):
                edges.is_clear = False
            for first in groups[number]:
                edges.links += [(second, first) if turned else (first, second) for second in groups[number + 1]]
    return edges


def _arrows(body: Sequence[str]) -> _Edges:
    """A drawing in plain text: “A → B → C” on a line, or names below each other with “↓” between them."""
    edges = _Edges({}, [])
    above: list[str] = []
    is_down = False
    for line in filter(str.strip, body):
        if _DOWN.fullmatch(line):
            is_down = True
            continue
        chain = [part.strip() for part in _ACROSS.split(line)]
        if len(chain) == 1 and above and not is_down:
            edges.is_clear = False
        if not all(chain) or any(_DRAWN.search(part) for part in chain):
            edges.is_clear = False
            chain = list(filter(None, chain))
        steps = [*([above] if is_down else []), *([part] for part in chain)]
        edges.labels.update({part: part for part in chain})
        for before, after in pairwise(steps):
            edges.links += [(first, second) for first in before for second in after]
        above, is_down = chain[-1:], False
    return edges


def _mentioned(body: Sequence[str], names: PhaseNames, words: Sequence[str]) -> Iterator[int]:
    """The phases on lines of a drawing that hold, or stand beside, a mark of one."""
    for at, line in enumerate(body):
        drawn = any(_DRAWN.search(near) for near in body[max(at - 1, 0) : at + 2])
        for found in re.finditer(r"\bphase\s+[\w.]+", line, re.IGNORECASE) if drawn else ():
            place = _phase(found[0], names, words)
            if place is not None:
                yield place


def _phase(label: str, names: PhaseNames, words: Sequence[str], by_word: bool = False) -> int | None:
    """The phase that the text of a node names: by its word and key (“P1” too), and unless `by_word` by its title or key alone."""
    label = " ".join(_BREAK.sub(" ", label).split()).strip("*` ")
    heading = phase_heading(label)
    if heading is not None and heading.key:
        place = names.key(heading.key)
        word = label.split()[0].lower().rstrip("0123456789.-#:")
        if place is not None and (word == "phase" or (not word and not by_word) or (bool(word and words) and word in words[place])):
            return place
        return None
    titled = None if by_word else names.title(label)
    if titled is not None:
        return titled
    short = _SHORT.fullmatch(label)
    if short is None:
        return None if by_word else names.key(label)
    place, letter = names.key(short["key"].replace("_", ".")), label[0].lower()
    is_phase = letter == "p" or bool(words and place is not None and re.search(rf"\b{letter}[a-z]*[ #]*[0-9]", words[place]))
    return place if is_phase else None


def _before(links: Sequence[tuple[str, str]], named: Mapping[str, int | None], is_whole: bool) -> dict[int, tuple[int, ...]] | None:
    """What each phase waits for; None for a drawing with a circle, or whose arrows mostly point backwards."""
    above: dict[str, list[str]] = {}
    for first, second in links:
        above.setdefault(second, []).append(first)

    def phases_above(node: str) -> set[int] | None:
        places: set[int] = set()
        seen, waiting = {node}, list(above.get(node, ()))
        while waiting:
            other = waiting.pop()
            place = named.get(other)
            if place is not None and place == named[node]:
                return None
            if place is not None:
                places.add(place)
            elif other not in seen:
                seen.add(other)
                waiting += above.get(other, ())
        return places

    before: dict[int, set[int]] = {}
    for node, place in named.items():
        if place is None:
            continue
        over = phases_above(node)
        if over is None:
            return None
        if over or is_whole:
            before.setdefault(place, set()).update(over)
    steps = [other < place for place, others in before.items() for other in others]
    if steps.count(False) > steps.count(True) or _is_circle(before):
        return None
    return {place: tuple(sorted(others)) for place, others in before.items()}


def _is_circle(before: Mapping[int, set[int]]) -> bool:
    left = {place: set(others) & before.keys() for place, others in before.items()}
    while free := [place for place, others in left.items() if not others]:
        for place in free:
            del left[place]
        for others in left.values():
            others.difference_update(free)
    return bool(left)
