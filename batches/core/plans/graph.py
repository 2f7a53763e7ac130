"""The order of phases: stages, cycles, the critical path, and the cost of running phases one after the other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from batches.core.errors import BatchError
from batches.core.plans.conflicts import FileConflict, find_conflicts
from batches.core.plans.types import PhaseSpec

if TYPE_CHECKING:
    import networkx as nx

# networkx is imported where a plan is analysed: it takes a seventh of the start of every command, worker and page server.


class UnknownDependency(BatchError):
    """A phase depends on a key that no phase has: the caller analysed a plan without checking its errors."""

    def __init__(self, phase: str, dependency: str, valid: Sequence[str]) -> None:
        self.phase, self.dependency, self.valid = phase, dependency, tuple(valid)
        super().__init__(f'phase {phase} depends on "{dependency}", which does not exist; valid phases: {", ".join(valid)}')


@dataclass(frozen=True, slots=True)
class Analysis:
    """The stages, conflicts, cycles, critical path and hours of a plan's phases.

    `stages` holds keys, in document order within a stage. With `cycles`, stages and all that needs an order are empty; each
    cycle is a path of "depends on" with the first key again at the end. Hours are None when no phase has any.
    """

    stages: tuple[tuple[str, ...], ...]
    stage_of: Mapping[str, int]
    conflicts: tuple[FileConflict, ...]
    cycles: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    total_hours: float | None
    longest_chain_hours: float | None
    widest_stage: int
    speed_up: float | None


def dependency_graph(phases: Sequence[PhaseSpec]) -> "nx.DiGraph[str]":
    """The graph with an edge from each phase to those that depend on it; nodes in document order.

    Raises UnknownDependency (with the valid keys) for a key that no phase has.
    """
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    keys = [phase.key for phase in phases]
    graph.add_nodes_from(keys)
    known = set(keys)
    for phase in phases:
        if not known.issuperset(phase.dependencies):
            raise UnknownDependency(phase.key, next(key for key in phase.dependencies if key not in known), keys)
    graph.add_edges_from((dependency, phase.key) for phase in phases for dependency in phase.dependencies)
    return graph


def _in_or_above_cycles(depends_on: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The rest after repeatedly removing phases without remaining dependencies. A plan without cycles leaves nothing."""
    waiting = {key: sum(1 for other in others if other in depends_on) for key, others in depends_on.items()}
    needed_by: dict[str, list[str]] = {}
    for key, others in depends_on.items():
        for other in others:
            needed_by.setdefault(other, []).append(key)
    free = [key for key, count in waiting.items() if not count]
    while free:
        key = free.pop()
        del waiting[key]
        for other in needed_by.get(key, ()):
            waiting[other] -= 1
            if not waiting[other]:
                free.append(other)
    return {key: depends_on[key] for key in depends_on if key in waiting}


def find_cycles(depends_on: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Every independent cycle of {key: keys it depends on}, as paths like ("2a", "2b", "2a"): 2a depends on 2b.

    The cycles share no edge, and every other cycle shares an edge with one of them, so breaking these breaks all. The walk
    over the edges is linear, and deterministic for a given document order. Unknown keys are ignored.
    """
    depends_on = _in_or_above_cycles(depends_on)
    cycles: list[tuple[str, ...]] = []
    finished: set[str] = set()
    # Each edge is used once. The edges of a reported cycle are used up, so the walk steps back to where the cycle closed.
    # The nodes in between count as unvisited again, with only their untried edges.
    untried: dict[str, Iterator[str]] = {key: iter(dependencies) for key, dependencies in depends_on.items()}
    for start in depends_on:
        path: list[str] = [start] if start not in finished else []
        place = {start: 0}
        while path:
            key = path[-1]
            following = next(untried[key], None)
            if following is None:
                finished.add(key)
                path.pop()
                del place[key]
            elif following in place:
                begin = place[following]
                cycles.append((*path[begin:], following))
                for passed in path[begin + 1 :]:
                    del place[passed]
                del path[begin + 1 :]
            elif following in untried and following not in finished:
                place[following] = len(path)
                path.append(following)
    return tuple(cycles)


def _longest_chain(
    order: Iterable[str], phases: Mapping[str, PhaseSpec], extra: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> tuple[tuple[str, ...], float]:
    """The chain with most hours (then most phases, then first in document order), and its hours. Unknown hours count as 0.

    `extra` gives what a phase waits for besides its dependencies; `order` must respect it too.
    """
    best: dict[str, tuple[float, int]] = {}
    before: dict[str, str | None] = {}
    for key in order:
        reached, count, previous = 0.0, 0, None
        for dependency in (*phases[key].dependencies, *extra.get(key, ())):
            if best[dependency] > (reached, count):
                (reached, count), previous = best[dependency], dependency
        best[key] = (reached + (phases[key].hours or 0.0), count + 1)
        before[key] = previous
    if not best:
        return (), 0.0
    last: str | None = max((key for key in phases), key=lambda key: best[key])
    hours = best[last][0] if last is not None else 0.0
    chain: list[str] = []
    while last is not None:
        chain.append(last)
        last = before[last]
    return tuple(reversed(chain)), hours


def analyse(phases: Sequence[PhaseSpec]) -> Analysis:
    """Stages, conflicts, cycles, critical path and hours of `phases`, which have distinct keys.

    The stage of a phase is 1 + the highest stage of its dependencies, whatever the order of the phases; within a stage they
    stand in document order. Linear in practice. Raises UnknownDependency.
    """
    import networkx as nx

    graph = dependency_graph(phases)
    by_key = {phase.key: phase for phase in phases}
    known_hours = [phase.hours for phase in phases if phase.hours is not None]
    total = sum(known_hours) if known_hours else None
    place = {phase.key: index for index, phase in enumerate(phases)}
    try:
        stages = tuple(tuple(sorted(layer, key=place.__getitem__)) for layer in nx.topological_generations(graph))
    except nx.NetworkXUnfeasible:
        cycles = find_cycles({phase.key: phase.dependencies for phase in phases})
        return Analysis((), MappingProxyType({}), (), cycles, (), total, None, 0, None)
    stage_of = {key: number for number, stage in enumerate(stages, start=1) for key in stage}
    order = [key for stage in stages for key in stage]
    chain, longest = _longest_chain(order, by_key)
    return Analysis(
        stages=stages,
        stage_of=MappingProxyType(stage_of),
        conflicts=find_conflicts([by_key[key] for key in order], stage_of, place),
        cycles=(),
        critical_path=chain,
        total_hours=total,
        longest_chain_hours=longest if known_hours else None,
        widest_stage=max((len(stage) for stage in stages), default=0),
        speed_up=total / longest if total and longest else None,
    )


def serial_edges(keys: Iterable[str], stage_of: Mapping[str, int], groups: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """{phase: phases it waits for besides its dependencies} when each group runs one after the other; `keys` are all, in order.

    A group runs in stage order, then document order, as in the engine. So groups cannot form a cycle.
    """
    place = {key: (stage_of[key], index) for index, key in enumerate(keys)}
    after: dict[str, list[str]] = {}
    for group in groups:
        for earlier, later in pairwise(sorted(dict.fromkeys(group), key=place.__getitem__)):
            after.setdefault(later, []).append(earlier)
    return {key: tuple(dict.fromkeys(names)) for key, names in after.items()}


def chain_with(
    phases: Sequence[PhaseSpec], stages: Sequence[Sequence[str]], extra: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], float | None]:
    """The critical path and its hours when phases also wait for `extra` (see `serial_edges`). Hours are None if none is known.

    Linear: the order of `stages` respects those edges too, so nothing is sorted again.
    """
    by_key = {phase.key: phase for phase in phases}
    chain, hours = _longest_chain((key for stage in stages for key in stage), by_key, extra)
    return chain, hours if any(phase.hours is not None for phase in phases) else None
