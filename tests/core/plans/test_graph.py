"""Stages, cycles, conflicts and critical path: cases by hand, and invariants."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches.core.plans.conflicts import ConflictKind
from batches.core.plans.globs import GlobPairs, GlobRelation, glob_relation
from batches.core.plans.graph import UnknownDependency, analyse, find_cycles
from batches.core.plans.types import PhaseSpec


def serialise(phases: Sequence[PhaseSpec], keys: Sequence[str]) -> tuple[PhaseSpec, ...]:
    """`phases` with each of `keys` made to depend on the one before it in stage order, then document order."""
    stage_of = analyse(phases).stage_of
    place = {phase.key: index for index, phase in enumerate(phases)}
    in_order = sorted(dict.fromkeys(keys), key=lambda key: (stage_of.get(key, 0), place[key]))
    previous = dict(zip(in_order[1:], in_order[:-1], strict=True))
    return tuple(
        replace(phase, dependencies=(*phase.dependencies, previous[phase.key]))
        if phase.key in previous and previous[phase.key] not in phase.dependencies
        else phase
        for phase in phases
    )


def phases(spec, files=None, hours=None):
    """“1; 2a < 1; 3 < 2a” as phases, with {key: files} and {key: hours}."""
    made = []
    for part in spec.split(";"):
        key, _, needs = (piece.strip() for piece in part.partition("<"))
        made.append(
            PhaseSpec(
                key, key, hours=(hours or {}).get(key, 1.0), files=tuple((files or {}).get(key, ())), dependencies=tuple(needs.split())
            )
        )
    return made


def conflicts(spec, files):
    return {(found.file, found.phases, found.kind.value) for found in analyse(phases(spec, files)).conflicts}


def test_stages_of_the_seed():
    analysis = analyse(phases("1; 2a < 1; 2b < 1; 3 < 2a 2b"))
    assert analysis.stages == (("1",), ("2a", "2b"), ("3",))
    assert (analysis.widest_stage, analysis.stage_of["2b"]) == (2, 2)


def test_empty_plan_has_no_stages():
    analysis = analyse([])
    assert (analysis.stages, analysis.critical_path, analysis.total_hours, analysis.speed_up) == ((), (), None, None)


def test_unknown_dependency_is_refused_with_the_valid_keys():
    with pytest.raises(UnknownDependency) as refused:
        analyse(phases("1; 2 < 9"))
    assert refused.value.valid == ("1", "2")


def test_cycle_is_a_path_of_depends_on():
    analysis = analyse(phases("1; 2a < 2b; 2b < 2a 1"))
    assert analysis.cycles == (("2a", "2b", "2a"),)
    assert (analysis.stages, analysis.conflicts) == ((), ())


def test_every_independent_cycle_is_reported():
    assert analyse(phases("1 < 2; 2 < 1; 3 < 4; 4 < 3; 5 < 1")).cycles == (("1", "2", "1"), ("3", "4", "3"))
    assert analyse(phases("1 < 2; 2 < 1 3; 3 < 2")).cycles == (("1", "2", "1"), ("2", "3", "2"))
    assert analyse(phases("1 < 2; 2 < 3; 3 < 1")).cycles == (("1", "2", "3", "1"),)
    assert analyse(phases("1 < 1")).cycles == (("1", "1"),)


def test_critical_path_counts_hours_not_phases():
    analysis = analyse(phases("1; 2 < 1; 3; 4 < 2 3", hours={"1": 1, "2": 1, "3": 5, "4": 2}))
    assert (analysis.critical_path, analysis.longest_chain_hours, analysis.total_hours) == (("3", "4"), 7, 9)
    assert analysis.speed_up == pytest.approx(9 / 7)


def test_hours_that_nobody_wrote_are_unknown_not_zero():
    analysis = analyse([PhaseSpec("1", "a"), PhaseSpec("2", "b", dependencies=("1",))])
    assert (analysis.total_hours, analysis.longest_chain_hours, analysis.speed_up) == (None, None, None)
    assert analysis.critical_path == ("1", "2")


def test_conflicts_are_of_three_kinds():
    files = {"1": ["x"], "2": ["x"], "3": ["x"], "4": ["x"]}
    assert conflicts("1; 2; 3 < 1", {"1": ["x"], "2": ["x"]}) == {("x", ("1", "2"), "same_stage")}
    assert conflicts("1; 2; 3 < 1", {"2": ["x"], "3": ["x"]}) == {("x", ("2", "3"), "cross_stage")}
    assert conflicts("1; 2; 3 < 1", {"1": ["x"], "3": ["x"]}) == {("x", ("1", "3"), "ordered")}
    assert conflicts("1; 2; 3 < 1; 4 < 3", files) == {
        ("x", ("1", "2"), "same_stage"),
        ("x", ("2", "3", "4"), "cross_stage"),
        ("x", ("1", "3", "4"), "ordered"),
    }


def test_directories_and_globs_meet_what_they_cover():
    assert conflicts("1; 2; 3", {"1": ["src/"], "2": ["src/a.py"], "3": ["src/b.py"]}) == {("src/", ("1", "2", "3"), "same_stage")}
    assert conflicts("1; 2", {"1": ["src"], "2": ["src/x/a.py"]}) == {("src", ("1", "2"), "same_stage")}
    assert conflicts("1; 2", {"1": ["src"], "2": ["src/"]}) == {("src/", ("1", "2"), "same_stage")}
    assert conflicts("1; 2", {"1": ["src/*.py"], "2": ["src/a.py"]}) == {("src/*.py", ("1", "2"), "same_stage")}
    assert conflicts("1; 2", {"1": ["**/*.py"], "2": ["src/"]}) == {("**/*.py", ("1", "2"), "same_stage")}
    assert conflicts("1; 2", {"1": ["src/*.py"], "2": ["src/a*"]}) == {("src/*.py", ("1", "2"), "same_stage")}
    assert conflicts("1; 2", {"1": ["src/*.py"], "2": ["src/x/a.py"]}) == set()
    assert conflicts("1; 2", {"1": ["src"], "2": ["srcs/a.py"]}) == set()
    assert conflicts("1", {"1": ["src/", "src/a.py"]}) == set()


@pytest.mark.parametrize(
    ("glob", "path", "meeting"),
    [
        ("*.py", "a.py", "covers"),
        ("*.py", "x/a.py", "none"),
        ("**/*.py", "x/y/a.py", "covers"),
        ("**/*.py", "a.py", "covers"),
        ("src/**", "src/a/b", "covers"),
        ("src/*", "src/a/b", "covers"),
        ("src/a?.py", "src/ab.py", "covers"),
        ("src/[ab].py", "src/c.py", "none"),
        ("src/[!a].py", "src/c.py", "covers"),
        ("src/*/x.py", "src/lib", "reaches"),
        ("a/**/b", "a/b", "covers"),
        ("[z-a]", "b", "none"),
    ],
)
def test_glob_meets_path(glob, path, meeting):
    assert glob_relation(glob, path) is GlobRelation(meeting)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("src/*.py", "src/a*", True),
        ("src/*.py", "src/*.js", False),
        ("**/*.py", "src/a*", True),
        ("a/*", "a/*/b", False),
        ("a/**", "a/*/b", True),
        ("*a*b*", "*b*a*", True),
        ("x?z", "xy*", True),
        ("[ab].c", "?.c", True),
        ("src/*", "lib/*", False),
    ],
)
def test_two_globs_meet_when_a_path_fits_both(one, other, meet):
    assert GlobPairs().overlap(one, other) is meet
    assert GlobPairs().overlap(other, one) is meet


def test_globs_too_dear_to_compare_are_taken_to_meet():
    assert GlobPairs(cells=10).overlap("*a*b*c", "*d*e*f") is False  # their ends differ already
    assert GlobPairs(cells=10).overlap("*a*b*", "*d*e*") is True


def test_phases_made_to_run_one_after_the_other_conflict_no_more():
    made = phases("1; 2; 3", {"1": ["x"], "2": ["x"]}, {"1": 2, "2": 3, "3": 4})
    [conflict] = analyse(made).conflicts
    after = analyse(serialise(made, conflict.phases))
    assert [found.kind for found in after.conflicts] == [ConflictKind.ORDERED]
    assert after.stages == (("1", "3"), ("2",))


@st.composite
def graphs(draw, cyclic=False):
    """Phases with random dependencies (backwards only unless `cyclic`), few files and hours, in a random order."""
    count = draw(st.integers(1, 14))
    keys = [str(number) for number in range(count)]
    made = []
    for number, key in enumerate(keys):
        others = [other for other in keys if other != key] if cyclic else keys[:number]
        needs = draw(st.lists(st.sampled_from(others), unique=True, max_size=3)) if others else []
        files = draw(st.lists(st.sampled_from(["a", "b", "src/", "src/x.py", "src/*.py"]), unique=True, max_size=2))
        made.append(PhaseSpec(key, key, hours=float(draw(st.integers(1, 9))), files=tuple(files), dependencies=tuple(needs)))
    return draw(st.permutations(made))


@pytest.mark.long
@given(graphs())
def test_stage_is_one_more_than_the_highest_of_the_dependencies(made):
    analysis = analyse(made)
    assert sorted(key for stage in analysis.stages for key in stage) == sorted(phase.key for phase in made)
    for phase in made:
        assert analysis.stage_of[phase.key] == 1 + max((analysis.stage_of[key] for key in phase.dependencies), default=0)


@pytest.mark.long
@given(graphs(), st.randoms(use_true_random=False))
def test_analysis_does_not_depend_on_the_order_of_the_phases(made, random):
    other = list(made)
    random.shuffle(other)
    one, two = analyse(made), analyse(other)
    assert one.stage_of == two.stage_of
    assert (one.total_hours, one.longest_chain_hours) == (two.total_hours, two.longest_chain_hours)
    assert {(c.file, frozenset(c.phases), c.kind) for c in one.conflicts} == {(c.file, frozenset(c.phases), c.kind) for c in two.conflicts}


@pytest.mark.long
@given(graphs(cyclic=True))
def test_cycle_is_reported_iff_there_is_one_and_every_path_is_real(made):
    needs = {phase.key: set(phase.dependencies) for phase in made}
    graph = nx.DiGraph([(key, other) for key, others in needs.items() for other in others])
    cycles = analyse(made).cycles
    assert bool(cycles) is (not nx.is_directed_acyclic_graph(graph))
    used = []
    for path in cycles:
        assert path[0] == path[-1] and len(set(path)) == len(path) - 1
        used.extend(pairwise(path))
        assert all(other in needs[key] for key, other in pairwise(path))
    assert len(used) == len(set(used))
    graph.remove_edges_from(used)
    assert nx.is_directed_acyclic_graph(graph)


@pytest.mark.long
@given(graphs(), st.data())
def test_an_added_edge_never_lowers_a_stage(made, data):
    before = analyse(made).stage_of
    chosen = data.draw(st.lists(st.sampled_from([phase.key for phase in made]), unique=True, min_size=1, max_size=3))
    after = analyse(serialise(made, chosen))
    assert after.cycles == ()
    assert all(after.stage_of[key] >= before[key] for key in before)


@pytest.mark.long
@settings(max_examples=200)
@given(graphs())
def test_conflicts_are_those_of_the_plain_definition(made):
    graph = nx.DiGraph()
    graph.add_nodes_from(phase.key for phase in made)
    graph.add_edges_from((key, phase.key) for phase in made for key in phase.dependencies)
    above = {phase.key: nx.ancestors(graph, phase.key) for phase in made}
    stage_of = analyse(made).stage_of
    covers = {"src/": {"src/", "src/x.py", "src/*.py"}, "src/*.py": {"src/*.py", "src/x.py"}}
    met = {}
    for one in made:
        for two in made:
            if one is two:
                continue
            for entry in set(one.files):
                if covers.get(entry, {entry}) & set(two.files):
                    if one.key in above[two.key] or two.key in above[one.key]:
                        kind = "ordered"
                    else:
                        kind = "same_stage" if stage_of[one.key] == stage_of[two.key] else "cross_stage"
                    met.setdefault((entry, kind), set()).update((one.key, two.key))
    found = {(c.file, c.kind.value): set(c.phases) for c in analyse(made).conflicts}
    assert found == met
    assert len(found) == len(analyse(made).conflicts)


def test_find_cycles_passes_over_unknown_keys():
    assert find_cycles({"1": ["9"], "2": ["1"]}) == ()
