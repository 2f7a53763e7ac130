"""How long reading and analysing a plan takes, and in how much memory; plain networkx on the same graphs beside it.

    python bench/analysis.py [--quick]

Each line is measured in a process of its own, so that its peak memory is its own. Times are CPU seconds, the best of three.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CASES = ["random 1000", "random 10000", "random 20000", "full 1000", "full 10000", "chain 5000", "dense 300"]
PHASE = """### Phase {key}: Part {key}

**Goal**: Do part {key}
**Estimated Hours**: 2
**Complexity**: low
**Files Modified**: {files}
**Dependencies**: {dependencies}
"""
STEP = "\n**Implementation Steps**:\n1. Write it\n"
LISTS = """
**Implementation Steps**:
1. Write it
2. Test it
3. Verify it

**Validation Gates**:
- [ ] Written
- [ ] Tested
- [ ] Documented
"""


def plan_of(kind: str, size: int) -> str:
    """`random`: 3 dependencies, 5 files and a step each; `full`: the same with steps and gates; `chain`; `dense`: two layers, all edges."""
    source = random.Random(7)
    parts = ["# Big plan\n\n## Phases\n"]
    count = 2 * size if kind == "dense" else size
    for key in range(1, count + 1):
        if kind == "chain":
            needed = [key - 1] if key > 1 else []
        elif kind == "dense":
            needed = list(range(1, size + 1)) if key > size else []
        else:
            needed = sorted(source.sample(range(max(1, key - 60), key), min(3, key - 1)))
        files = ", ".join(f"src/part{source.randrange(size)}/module{source.randrange(20)}.py" for _ in range(5))
        dependencies = ", ".join(f"Phase {number}" for number in needed) or "None"
        parts.append(PHASE.format(key=key, files=files, dependencies=dependencies) + (LISTS if kind == "full" else STEP))
    return "\n".join(parts)


def best(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case: str, rounds: int) -> dict[str, float]:
    """Run in the child: seconds of reading, of analysing and of both from text; peak MiB in all, and over the bare interpreter."""
    from batches.core.plans.analysis import analyse_document
    from batches.core.plans.graph import analyse
    from batches.core.plans.reader import read_plan

    kind, size = case.split()
    text = plan_of(kind, int(size))
    base = peak_mib()
    report = analyse_document(text)
    assert not report.reading.errors and report.analysis is not None
    peak = peak_mib()
    phases = report.reading.plan.phases
    conflicts = len(report.analysis.conflicts)
    del report
    return {
        "phases": len(phases),
        "megabytes": len(text) / 1e6,
        "read": best(lambda: read_plan(text), rounds),
        "analyse": best(lambda: analyse(phases), rounds),
        "whole": best(lambda: analyse_document(text), rounds),
        "peak": peak,
        "extra": peak - base,
        "conflicts": conflicts,
    }


def measure_networkx(case: str, rounds: int) -> dict[str, float]:
    """Run in the child: the same graph with networkx alone: build, cycle check, generations, longest path; then ancestor sets for all."""
    import networkx as nx

    from batches.core.plans.reader import read_plan

    kind, size = case.split()
    phases = read_plan(plan_of(kind, int(size))).plan.phases

    def plain() -> "nx.DiGraph[str]":
        graph: nx.DiGraph[str] = nx.DiGraph()
        for phase in phases:
            graph.add_node(phase.key)
            graph.add_edges_from((dependency, phase.key, {"weight": phase.hours}) for dependency in phase.dependencies)
        assert nx.is_directed_acyclic_graph(graph)
        list(nx.topological_generations(graph))
        nx.dag_longest_path(graph)
        return graph

    seconds = best(plain, rounds)
    graph, base = plain(), peak_mib()
    found = {"plain": seconds, "ancestors": float("nan"), "ancestors_extra": float("nan")}
    if len(phases) <= 5000:  # 10,000 phases take most of a minute and 2 GB
        started = time.process_time()
        above = {key: nx.ancestors(graph, key) for key in graph}
        found["ancestors"] = time.process_time() - started
        found["ancestors_extra"] = peak_mib() - base
        assert len(above) == len(phases)
    return found


def in_a_process(what: str, case: str, rounds: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", what, case, "--rounds", str(rounds)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round each, up to 1,000 phases")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, case = options.one
        print(json.dumps((measure if what == "ours" else measure_networkx)(case, options.rounds)))
        return
    rounds = 1 if options.quick else options.rounds
    cases = ["random 1000", "full 1000"] if options.quick else CASES
    print(f"{'plan':<14}{'MB':>6}{'read s':>9}{'analyse s':>11}{'both s':>9}{'peak MiB':>10}{'of it':>8}", end="   ")
    print("networkx: plain s, ancestor sets s (MiB)")
    whole = {}
    for case in cases:
        ours, plain = in_a_process("ours", case, rounds), in_a_process("networkx", case, 1)
        whole[case] = ours["whole"]
        sets = "–" if plain["ancestors"] != plain["ancestors"] else f"{plain['ancestors']:.2f} ({plain['ancestors_extra']:.0f})"
        print(
            f"{case:<14}{ours['megabytes']:>6.1f}{ours['read']:>9.3f}{ours['analyse']:>11.3f}{ours['whole']:>9.3f}{ours['peak']:>10.0f}"
            f"{ours['extra']:>8.0f}   {plain['plain']:.3f}, {sets}",
            flush=True,
        )
    if "random 20000" in whole:
        print(f"20,000 to 10,000 phases: {whole['random 20000'] / whole['random 10000']:.2f} times the time")


if __name__ == "__main__":
    main()
