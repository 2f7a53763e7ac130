"""The positions of the nodes of a stage graph. Each stage is a column, so only the order within columns must be found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

SWEEPS = 4
COMPACT_ABOVE = 80  # with more phases than this, boxes are small and show the key only
TALLEST = 40  # boxes of a stage below each other; more stand in lanes beside each other, so that a picture is no ribbon


@dataclass(frozen=True, slots=True)
class Node:
    key: str
    x: float
    y: float
    column: int  # the number of its stage
    critical: bool
    lane: int  # from left to right over all stages


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge from a dependency to the phase that waits for it, as an SVG path."""

    source: str
    target: str
    path: str
    critical: bool
    added: bool = False  # not a dependency of the plan: a person chose to run the two one after the other


@dataclass(frozen=True, slots=True)
class StageColumn:
    number: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """The drawing, in SVG user units. A node is node_width × node_height from its top left corner."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    columns: tuple[StageColumn, ...]
    width: float
    height: float
    node_width: float
    node_height: float
    compact: bool

    @property
    def has_added(self) -> bool:
        return any(edge.added for edge in self.edges)


def lay_out(
    stages: Sequence[Sequence[str]],
    dependencies: Mapping[str, Sequence[str]],
    critical: Sequence[str] = (),
    added: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> GraphLayout:
    """Place each phase of `stages` in its column, a tall stage in lanes beside each other.

    Barycentre sweeps order the rows, so that few edges cross.
    `dependencies` gives for each key the keys that it waits for; `added` gives those that it waits for by a person's choice,
    which may be in the same stage. Keys outside the stages are ignored.
    """
    columns = [list(stage) for stage in stages]
    total = sum(len(column) for column in columns)
    compact = total > COMPACT_ABOVE
    node_width, node_height, gap_x, gap_y = (64.0, 24.0, 56.0, 8.0) if compact else (208.0, 52.0, 64.0, 14.0)
    placed = {key for column in columns for key in column}
    before = {key: [name for name in dependencies.get(key, ()) if name in placed] for key in placed}
    after: dict[str, list[str]] = {key: [] for key in placed}
    for column in columns:
        for key in column:
            for name in before[key]:
                after[name].append(key)
    _sweep(columns, before, after)

    top, left = 40.0, 12.0
    tallest = min(max((len(column) for column in columns), default=0), TALLEST)
    inner = max(tallest * (node_height + gap_y) - gap_y, node_height)
    place: dict[str, Node] = {}
    heads = []
    on_path = set(critical)
    x, lanes = left, 0
    for number, column in enumerate(columns, start=1):
        beside = max(1, math.ceil(len(column) / TALLEST))
        rows = math.ceil(len(column) / beside)
        offset = top + (inner - (rows * (node_height + gap_y) - gap_y)) / 2
        for at, key in enumerate(column):
            lane, row = divmod(at, rows)
            y = offset + row * (node_height + gap_y)
            place[key] = Node(key, x + lane * (node_width + gap_y), y, number, key in on_path, lanes + lane)
        lanes += beside
        heads.append(StageColumn(number, x, beside * (node_width + gap_y) - gap_y))
        x += heads[-1].width + gap_x
    steps = set(pairwise(critical))
    edges = tuple(
        Edge(name, key, _curve(place[name], place[key], node_width, node_height), (name, key) in steps, is_added)
        for column in columns
        for key in column
        for name, is_added in _predecessors(before[key], [other for other in added.get(key, ()) if other in placed])
    )
    width = x - gap_x + left if columns else 0.0
    nodes = tuple(place[key] for column in columns for key in column)
    return GraphLayout(nodes, edges, tuple(heads), width, top + inner + 12, node_width, node_height, compact)


def _sweep(columns: list[list[str]], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> None:
    rank = {key: (row + 0.5) / len(column) for column in columns for row, key in enumerate(column)}
    for turn in range(SWEEPS):
        neighbours = before if turn % 2 == 0 else after
        for column in columns if turn % 2 == 0 else reversed(columns):
            weight = {
                key: sum(rank[name] for name in neighbours[key]) / len(neighbours[key]) if neighbours[key] else rank[key]
                for key in column
            }
            column.sort(key=weight.__getitem__)  # stable: document order among equals
            for row, key in enumerate(column):
                rank[key] = (row + 0.5) / len(column)


def _predecessors(before: Sequence[str], added: Sequence[str]) -> list[tuple[str, bool]]:
    """(the phases that a phase waits for, whether only by a person's choice)."""
    return [*((name, False) for name in before), *((name, True) for name in added if name not in before)]


def _curve(source: Node, target: Node, node_width: float, node_height: float) -> str:
    if target.x <= source.x:  # both in one stage: an arc to the right of both
        x, y1, y2 = source.x + node_width, source.y + node_height / 2, target.y + node_height / 2
        end = target.x + node_width + 5
        return f"M{x:.1f} {y1:.1f}C{x + 36:.1f} {y1:.1f} {end + 31:.1f} {y2:.1f} {end:.1f} {y2:.1f}"
    x1, y1 = source.x + node_width, source.y + node_height / 2
    x2, y2 = target.x - 5, target.y + node_height / 2
    bend = min(40.0, (x2 - x1) / 2)
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
