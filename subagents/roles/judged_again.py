"""Judges gates again whose judges a phase changed without declaring it: by the version of these files from before that."""

from __future__ import annotations

from subagents.contract import GateStatus, Look, LookKind
from subagents.gates import Judge
from subagents.looks import Looker, gate_named, named
from subagents.record import replace
from subagents.told_phases import told_phases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from subagents.clean_checkout import CleanCheckout
    from subagents.contract import GateOrigin, GateOutcome, GateSpec
    from subagents.looks import JudgeChange
    from subagents.reporting import Reporter
    from subagents.told_phases import ToldPhase
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
    well = [one for one in outcomes if one.status == GateStatus.PASSED or (one.status == GateStatus.UNVERIFIED and one.exit_code == 0)]
    commands = {(outcome.origin, outcome.position): outcome.command for outcome in well}
    undone = {
        (gate.origin, gate.position): paths
        for gate in gates
        if (key := (gate.origin, gate.position)) in commands and (paths := looker.to_undo(gate, changes.get(key, ()), commands[key]))
    }
    words: dict[Key, str] = {}
    if undone and place is not None:
        every = sorted({path for paths in undone.values() for path in paths})
        reporter.note("warning", "judged_again", f"judged again with what the phase did not declare as it was: {named(every)}")
        asked = [gate for gate in gates if (gate.origin, gate.position) in undone]
        again = _judged(looker, place, looker.tree_as_before(every), asked, changed.present, reporter, deleted=changed.deleted)
        second = {(outcome.origin, outcome.position): outcome for outcome in again}
        outcomes = tuple(_by_both(one, second.get((one.origin, one.position)), undone) for one in outcomes)
        words = dict.fromkeys(undone, "judged again with the version before, it passes")
    words |= {(one.origin, one.position): "it fails" for one in outcomes if one.status == GateStatus.FAILED}
    return outcomes, changes, words


def looks_at_the_batchs_judges(
    looker: Looker,
    outcomes: Sequence[GateOutcome],
    place: CleanCheckout | None,
    changed: Changes,
    reporter: Reporter,
    known: Sequence[Look],
) -> list[Look]:
    """Looks across the phases of the batch: at judges of others' gates that this phase changed undeclared, at its own gates that pass
    only by judges that an earlier phase changed so, and at gates of merged phases that fail now that it changed their files.
    `known` are the looks that there are already.

    Raises ContractError, GitError, OSError.
    """
    others = told_phases(looker.spec, "others")
    if not others or not looker.spec.batch_base:
        return []
    looked_at = {look.path for look in known if not look.declared}
    found = looker.of_others(others, looked_at)
    again: dict[tuple[str, str], str] = {}
    for phase in others:
        mine = [one for one in found if one.key == phase.key]
        paths = sorted({path for one in mine for path in looker.to_undo(one.gate, [one.change], one.gate.command)})
        if phase.merged and paths and place is not None:
            gates = [gate for gate in phase.gates if any(one.gate == gate for one in mine)]
            reporter.note("warning", "judged_again", f"gates of phase {phase.key} judged with {named(paths)} as it was")
            tree = looker.tree_as_before(paths)
            ended = _judged(looker, place, tree, gates, phase.files_modified, reporter, phase.key)
            fails = any(outcome.status == GateStatus.FAILED for outcome in ended)
            words = f"by the version before, {'it fails' if fails else 'it passes'} on this work"
            again |= {(phase.key, path): words for path in paths}
    looks = looker.looks_at_others_judges(found, again)
    looks += _by_earlier_phases(looker, others, outcomes, place, changed, reporter)
    return looks + _failing_now(looker, [phase for phase in others if phase.key not in {key for key, _ in again}], place, reporter)


def _failing_now(looker: Looker, others: Sequence[ToldPhase], place: CleanCheckout | None, reporter: Reporter) -> list[Look]:
    """Looks at gates of merged phases that fail on this phase's work, which changed files of theirs."""
    changed: dict[str, str] = {}
    for key, path, _ in looker.done_by_others if place is not None and any(phase.merged for phase in others) else ():
        changed.setdefault(key, path)
    looks: list[Look] = []
    for phase in others:
        if place is None or not phase.merged or phase.key not in changed:
            continue
        path, tree = changed[phase.key], looker.repository.tree(looker.result)
        reporter.note("info", "judged_again", f"gates of phase {phase.key} judged on this work, which changes {path} after it")
        for outcome in _judged(looker, place, tree, phase.gates, phase.files_modified, reporter, phase.key):
            if outcome.status == GateStatus.FAILED:
                text = f"{gate_named(outcome, f'phase {phase.key}')} fails on this work, which changes {path} after that phase"
                looks.append(Look(LookKind.TAKEN_BACK, path, text, phase=phase.key))
    return looks


def _by_earlier_phases(
    looker: Looker,
    others: Sequence[ToldPhase],
    outcomes: Sequence[GateOutcome],
    place: CleanCheckout | None,
    changed: Changes,
    reporter: Reporter,
) -> list[Look]:
    """Looks at gates that pass only by what an earlier phase changed of their judges without declaring it."""
    spec = looker.spec
    passed = {(outcome.origin, outcome.position): outcome.command for outcome in outcomes if outcome.status == GateStatus.PASSED}
    if place is None or not passed or spec.batch_base == spec.base_commit:
        return []
    earlier = Looker(replace(spec, base_commit=spec.batch_base), looker.repository, spec.base_commit)
    changes = {key: rows for key, rows in earlier.judge_changes(spec.gates, outcomes).items() if key in passed}
    paths = sorted({row.path for rows in changes.values() for row in rows if not row.declared and row.path not in looker.entries})
    by = looker.by_earlier_phases(others, paths) if paths else {}
    looks: list[Look] = []
    undone: dict[Key, list[str]] = {}
    for gate in spec.gates:
        key = (gate.origin, gate.position)
        rows = [row for row in changes.get(key, ()) if row.path in by]
        if rows and (files := earlier.to_undo(gate, rows, passed[key])):
            undone[key] = files
    if not undone:
        return []
    every = sorted({path for files in undone.values() for path in files})
    reporter.note("warning", "judged_again", f"judged again with what earlier phases did not declare as it was: {named(every)}")
    gates = [gate for gate in spec.gates if (gate.origin, gate.position) in undone]
    ended = _judged(looker, place, earlier.tree_as_before(every, looker.result), gates, changed.present, reporter)
    for outcome in ended:
        if outcome.status == GateStatus.FAILED:
            path = undone[outcome.origin, outcome.position][0]
            text = f"{gate_named(outcome)} passes only with {path} as phase {by[path]} left it, which does not declare it"
            how = "by the version that the batch began with, it fails"
            looks.append(Look(LookKind.JUDGES_FILE, path, f"{text}; {how}", phase=by[path]))
    return looks


def _judged(
    looker: Looker,
    place: CleanCheckout,
    tree: str,
    gates: Sequence[GateSpec],
    files: Sequence[str],
    reporter: Reporter,
    phase: str = "",
    deleted: Sequence[str] = (),
) -> tuple[GateOutcome, ...]:
    """The gates' outcomes on the phase's work with this tree, which has other judges."""
    place.turn_to(looker.repository.make_commit(tree, (looker.result,), "As before\n"))
    return Judge(looker.spec, place, files, reporter, phase, deleted).judge(gates)


def _by_both(first: GateOutcome, second: GateOutcome | None, undone: dict[Key, list[str]]) -> GateOutcome:
    """The outcome of a gate that was judged by the phase's own judges, and by those that it started from."""
    if second is None or (first.status == second.status == GateStatus.UNVERIFIED):
        return first
    files = named(undone[first.origin, first.position])
    if second.status == GateStatus.PASSED:
        note = f"passes as well with {files} as it was before the phase, which does not declare it"
        return replace(first, note=f"{first.note}; {note}" if first.note else note, seconds=first.seconds + second.seconds)
    note = f"passes only with the phase's own {files}, which it does not declare; judged by the version that it started from, it fails"
    return replace(second, note=f"{note} ({second.note})" if second.note else note, status=GateStatus.FAILED)
