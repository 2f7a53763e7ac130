"""Judges gates again whose judges a phase changed without declaring it: by the version of these files that it started from."""

from __future__ import annotations

from subagents.contract import GateStatus
from subagents.gates import Judge
from subagents.looks import named
from subagents.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from subagents.clean_checkout import CleanCheckout
    from subagents.contract import GateOrigin, GateOutcome, GateSpec
    from subagents.looks import JudgeChange, Looker
    from subagents.reporting import Reporter
    from subagents.workspace import Changes

    Key = tuple[GateOrigin, int]


def judged_again(
    looker: Looker,
    gates: Sequence[GateSpec],
    outcomes: tuple[GateOutcome, ...],
    place: CleanCheckout | None,
    changed: Changes,
    reporter: Reporter,
) -> tuple[tuple[GateOutcome, ...], Mapping[Key, tuple[JudgeChange, ...]], dict[Key, str]]:
    """(the outcomes after that, {gate: the changed files by which it judges}, {gate: what came of it, in words}).

    What fails by the version before fails; what passes by it a person looks at. Afterwards `place` may hold another commit.
    Raises GitError, OSError.
    """
    changes = looker.judge_changes(gates, outcomes)
    commands = {(outcome.origin, outcome.position): outcome.command for outcome in outcomes if outcome.status == GateStatus.PASSED}
    undone = {
        (gate.origin, gate.position): paths
        for gate in gates
        if (key := (gate.origin, gate.position)) in commands and (paths := looker.to_undo(gate, changes.get(key, ()), commands[key]))
    }
    words: dict[Key, str] = {}
    if undone and place is not None:
        every = sorted({path for paths in undone.values() for path in paths})
        reporter.note("warning", "judged_again", f"judged again with what the phase did not declare as it was: {named(every)}")
        place.turn_to(looker.repository.make_commit(looker.tree_as_before(every), (looker.result,), "As before\n"))
        judge = Judge(looker.spec, place, changed.present, reporter, deleted=changed.deleted)
        again = judge.judge([gate for gate in gates if (gate.origin, gate.position) in undone])
        second = {(outcome.origin, outcome.position): outcome for outcome in again}
        outcomes = tuple(_by_both(one, second.get((one.origin, one.position)), undone) for one in outcomes)
        words = dict.fromkeys(undone, "judged again with the version before, it passes")
    words |= {(one.origin, one.position): "it fails" for one in outcomes if one.status == GateStatus.FAILED}
    return outcomes, changes, words


def _by_both(first: GateOutcome, second: GateOutcome | None, undone: dict[Key, list[str]]) -> GateOutcome:
    """The outcome of a gate that was judged by the phase's own judges, and by those that it started from."""
    if second is None:
        return first
    files = named(undone[first.origin, first.position])
    if second.status == GateStatus.PASSED:
        note = f"passes as well with {files} as it was before the phase, which does not declare it"
        return replace(first, note=f"{first.note}; {note}" if first.note else note, seconds=first.seconds + second.seconds)
    note = f"passes only with the phase's own {files}, which it does not declare; judged by the version that it started from, it fails"
    return replace(second, note=f"{note} ({second.note})" if second.note else note, status=GateStatus.FAILED)
