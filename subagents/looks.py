"""What a person should look at in a phase's work: changes of judges' files and of protected ones, and others' work that it takes back.

The rules are in judges_files.py, protected_paths.py and taken_back.py. This module asks git for what they need, and for no more.
"""

from __future__ import annotations

import os
from functools import cached_property

from subagents.contract import GateKind, GateOrigin, GateStatus, Look, LookKind
from subagents.judges_files import TEST_LIKE, has_parts, is_declared, judges_of, judging_part, with_judging_part
from subagents.protected_paths import ProtectedPaths
from subagents.record import record
from subagents.secret_scan import find_secrets
from subagents.taken_back import taken_back
from subagents.trees import Entry
from subagents.workspace import SYMLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from subagents.contract import GateOutcome, GateSpec, TaskSpec
    from subagents.judges_files import Judges
    from subagents.told_phases import ToldPhase
    from subagents.workspace import Repository

    Key = tuple[GateOrigin, int]

NAMED = 5
ROLES = {"script": "runs", "test": "takes its tests from", "configuration": "reads as configuration"}
INDENTED = (".py", ".pyi", ".pyx", ".yaml", ".yml", ".mk", "makefile", ".md", ".rst", ".haml", ".slim", ".pug", ".sass", ".coffee", ".nim")
REGULAR = ("100644", "100755")


@record
class JudgeChange:
    """A changed file by which a gate judges: its role, and whether the phase declares it."""

    path: str
    role: str
    declared: bool


@record
class OthersJudge:
    """A file by which a gate of another phase judges, and which a phase changed without declaring it. Key "": the stage as a whole."""

    key: str
    gate: GateSpec
    change: JudgeChange


class Looker:
    """Looks at what lies between a phase's base and its result, both commits of `repository`."""

    def __init__(self, spec: TaskSpec, repository: Repository, result: str) -> None:
        self.spec, self.repository, self.result = spec, repository, result
        self.entries = repository.changed_entries(spec.base_commit, result)
        self._texts: dict[str, tuple[str | None, str | None]] = {}
        self._in_base: list[str] | None = None

    # Judges' files

    def judge_changes(self, gates: Sequence[GateSpec], outcomes: Sequence[GateOutcome]) -> dict[Key, tuple[JudgeChange, ...]]:
        """{gate: the changed files by which it judges}; only gates that have any. Raises GitError."""
        found: dict[Key, tuple[JudgeChange, ...]] = {}
        if not self.entries:
            return found
        ran = {(outcome.origin, outcome.position): outcome.command for outcome in outcomes}
        for gate in gates:
            judges = judges_of(gate, self._read, ran.get((gate.origin, gate.position), ""))
            roles = {path: role for path in self.entries if (role := judges.role_of(path)) and self._judging_part_changed(path)}
            if roles:
                changes = (JudgeChange(path, role, is_declared(path, self.spec.files_modified)) for path, role in sorted(roles.items()))
                found[gate.origin, gate.position] = tuple(changes)
        return found

    def to_undo(self, gate: GateSpec, changes: Sequence[JudgeChange], command: str = "") -> list[str]:
        """Those of the undeclared changes that are undone when the gate is judged again.

        An added file that the gate names stays, and so do a project's first tests: without them there is nothing to judge by.
        Raises GitError.
        """
        undeclared = [change for change in changes if not change.declared]
        added = [change for change in undeclared if self.entries[change.path][0] is None]
        kept = {change.path for change in added if change.role == "script"}
        tests = [change.path for change in added if change.role == "test"]
        if tests and not self._has_tests(judges_of(gate, self._read, command)):
            kept |= {*tests, *(change.path for change in added if os.path.basename(change.path) == "conftest.py")}
        return [change.path for change in undeclared if change.path not in kept]

    def of_others(self, phases: Sequence[ToldPhase], looked_at: Collection[str]) -> list[OthersJudge]:
        """The undeclared changes of files by which gates of other phases judge, without the files in `looked_at`. Raises GitError."""
        left = {path: entry for path, entry in self.entries.items() if path not in looked_at}
        left = {path: entry for path, entry in left.items() if not is_declared(path, self.spec.files_modified)}
        found: list[OthersJudge] = []
        if not left:
            return found
        for phase in phases:
            for gate in phase.gates:
                judges = judges_of(gate, self._read, gate.command)
                roles = ((path, judges.role_of(path)) for path in left)
                changed = (JudgeChange(path, role, False) for path, role in roles if role and self._judging_part_changed(path))
                found += [OthersJudge(phase.key, gate, change) for change in changed]
        return found

    def by_earlier_phases(self, phases: Sequence[ToldPhase], paths: Sequence[str]) -> dict[str, str]:
        """{path: the phase that changed it without declaring it}, for paths that changed between the batch's beginning and the base.

        Phases that a person has accepted are left out. Raises GitError.
        """
        known = {phase.key: phase for phase in phases}
        found: dict[str, str] = {}
        for merge in self.repository.merges_between(self.spec.batch_base, self.spec.base_commit, paths):
            key = _phase_of(merge.attempt_ref, self.spec.batch_id)
            phase = known.get(key)
            for path in merge.changed if key and key != self.spec.key else ():
                if path in paths and (phase is None or not (phase.accepted or is_declared(path, phase.files_modified))):
                    found.setdefault(path, key)
        return found

    def _has_tests(self, judges: Judges) -> bool:
        if self._in_base is None:
            self._in_base = self.repository.file_names(self.spec.base_commit)
        return any(judges.role_of(path) == "test" and TEST_LIKE.search(path) for path in self._in_base)

    def tree_as_before(self, paths: Sequence[str], commit: str = "") -> str:
        """A tree in which the judging part of these files is as the phase found it, and all else as in the result.

        `commit` can stand in for the result when it has the same versions of these files. Raises GitError.
        """
        entries = {path: self._as_before(path) for path in paths}
        return self.repository.tree_with(commit or self.result, entries, os.path.join(self.spec.attempt_dir, "index-as-before"))

    def _as_before(self, path: str) -> Entry | None:
        before, after = self.entries[path]
        if before is None or after is None or before.mode not in REGULAR or after.mode not in REGULAR:
            return before
        old, new = self._versions(path)
        mixed = with_judging_part(path, old or "", new or "")
        return before if mixed == old else Entry(before.mode, self.repository.write_text(mixed))

    def _judging_part_changed(self, path: str) -> bool:
        before, after = self.entries[path]
        if (before and after and before.mode != after.mode) or any(entry and entry.mode == SYMLINK for entry in (before, after)):
            return True
        if not has_parts(path):
            return True
        old, new = self._versions(path)
        return judging_part(path, old) != judging_part(path, new)

    def _versions(self, path: str) -> tuple[str | None, str | None]:
        """The text of a file in the base and in the result; None where it is not there."""
        if path not in self._texts:
            names = [f"{commit}:{path}" for commit in (self.spec.base_commit, self.result)]
            texts = self.repository.read_texts(names)
            self._texts[path] = (texts.get(names[0]), texts.get(names[1]))
        return self._texts[path]

    def _read(self, paths: Sequence[str]) -> Mapping[str, Sequence[str]]:
        unknown = [path for path in paths if path not in self._texts]
        commits = (self.spec.base_commit, self.result)
        texts = self.repository.read_texts([f"{commit}:{path}" for path in unknown for commit in commits])
        self._texts |= {path: (texts.get(f"{commits[0]}:{path}"), texts.get(f"{commits[1]}:{path}")) for path in unknown}
        return {path: [text for text in dict.fromkeys(self._texts[path]) if text is not None] for path in paths}

    def looks_at_judges(
        self, gates: Sequence[GateSpec], changes: Mapping[Key, Sequence[JudgeChange]], again: Mapping[Key, str]
    ) -> list[Look]:
        """A look for each judge's file that was changed, with how the gate ended when it was judged again (`again`, in words)."""
        found: list[Look] = []
        for gate in gates:
            key = (gate.origin, gate.position)
            for change in changes.get(key, ()):
                named = f"{gate_named(gate)} {ROLES[change.role]} {change.path}"
                if change.declared:
                    text = f"{named}, which the phase {self._did(change.path)}, as it declares"
                else:
                    how = again.get(key, "") or "there is no version before it to judge by"
                    text = f"{named}, which the phase {self._did(change.path)} and does not declare; {how}"
                found.append(Look(LookKind.JUDGES_FILE, change.path, text, change.declared))
        return found

    def looks_at_others_judges(self, found: Sequence[OthersJudge], again: Mapping[tuple[str, str], str]) -> list[Look]:
        """A look for each file by which gates of other phases judge; `again` {(phase, path): how its gates ended by the version before}."""
        looks = []
        for path in dict.fromkeys(one.change.path for one in found):
            of_path = [one for one in found if one.change.path == path]
            first = next((one for one in of_path if (one.key, path) in again), of_path[0])
            more = len(of_path) - 1
            beside = f" (as {more} other gate{'s do' if more > 1 else ' does'})" if more else ""
            how = "; ".join(dict.fromkeys(words for (_, file), words in again.items() if file == path))
            whose = gate_named(first.gate, f"phase {first.key}" if first.key else "the merged tree")
            text = f"{whose} {ROLES[first.change.role]} {path}{beside}, which the phase {self._did(path)} and does not declare"
            looks.append(Look(LookKind.JUDGES_FILE, path, f"{text}; {how}" if how else text))
        return looks

    def looks_at_protected(self, named_before: Sequence[Look]) -> list[Look]:
        """A look for each of the project's patterns that covers a changed file, without files that `named_before` names as undeclared."""
        protected = ProtectedPaths(self.spec.protected)
        known = {look.path for look in named_before if not look.declared}
        found: dict[tuple[str, bool], list[str]] = {}
        for path in self.entries:
            if path not in known and (pattern := protected.pattern_of(path)):
                found.setdefault((pattern, is_declared(path, self.spec.files_modified)), []).append(path)
        looks = []
        for (pattern, declared), paths in sorted(found.items()):
            did = f"{self._did(paths[0])} {paths[0]}" if len(paths) == 1 else f"changed {named(sorted(paths))}"
            says = "as it declares" if declared else "and does not declare it" if len(paths) == 1 else "and does not declare them"
            looks.append(Look(LookKind.PROTECTED, min(paths), f"the phase {did}, protected by {pattern}, {says}", declared))
        return looks

    def _did(self, path: str) -> str:
        before, after = self.entries[path]
        return "added" if before is None else "deleted" if after is None else "changed"

    def looks_at_secrets(self, outcomes: Sequence[GateOutcome]) -> list[Look]:
        """A look for each line that looks like a secret although a comment there says that it is none. Raises GitError.

        A person decides that, not who wrote the comment.
        """
        if not any(outcome.kind == GateKind.SECRETS and outcome.status == GateStatus.PASSED for outcome in outcomes):
            return []
        found, _ = find_secrets(self.repository, self.spec.base_commit, self.result)
        return [
            Look(LookKind.SECRET, one.path, f"{one.path}:{one.line} looks like {one.what}, and a comment there says that it is none")
            for one in found
            if one.allowed
        ]

    def looks_at_white_space(self) -> list[Look]:
        """A look when only white space was changed: that is work only for a phase that formats files. Raises GitError."""
        edited = [path for path, (before, after) in self.entries.items() if before and after and before.mode == after.mode in REGULAR]
        if not edited or len(edited) < len(self.entries):
            return []
        indentation = any(path.lower().endswith(INDENTED) for path in edited)
        if self.repository.changed_visibly(self.spec.base_commit, self.result, indentation=indentation):
            return []
        return [Look(LookKind.WHITE_SPACE, edited[0], f"changes nothing but white space, in {named(sorted(edited))}")]

    # Others' work

    def looks_at_others_work(self) -> list[Look]:
        """A look for each file in which the phase takes back, or deletes, what another phase of the batch did. Raises GitError."""
        found: dict[tuple[str, str], Look] = {}
        for key, path, (before, merged) in self.done_by_others:
            if text := self._undone(path, before, merged, key):
                found.setdefault((key, path), Look(LookKind.TAKEN_BACK, path, text, phase=key))
        return sorted(found.values(), key=lambda look: look.path)

    @cached_property
    def done_by_others(self) -> list[tuple[str, str, tuple[Entry | None, Entry | None]]]:
        """(phase, path, what it made of what) of merged work of other phases on the files that this one changed. Raises GitError."""
        base, began = self.spec.base_commit, self.spec.batch_base
        if not began or not self.entries:
            return []
        merges = self.repository.merges_between(began, base, list(self.entries))
        rows = ((_phase_of(merge.attempt_ref, self.spec.batch_id), *change) for merge in merges for change in merge.changed.items())
        return [(key, path, change) for key, path, change in rows if key and key != self.spec.key and path in self.entries]

    def _undone(self, path: str, before: Entry | None, merged: Entry | None, key: str) -> str:
        """In words what the phase undoes of what phase `key` did to the file; "" for nothing."""
        base, result = self.entries[path]
        if result is None:
            made = before is None and merged is not None
            if merged is None or (path in self.spec.files_modified if made else is_declared(path, self.spec.files_modified)):
                return ""
            return f"deletes {path}, which phase {key} {'added' if made else 'changed'}"
        if base is None:
            return f"brings back {path}, which phase {key} deleted" if merged is None and result == before else ""
        if merged is None or base == before:
            return ""  # another phase has done that before
        if result == before:
            return f"takes back what phase {key} did in {path}"
        if any(entry is not None and entry.mode not in REGULAR for entry in (before, merged, base, result)):
            return ""
        texts = self.repository.read_texts(list(dict.fromkeys(entry.blob for entry in (before, merged, base, result) if entry)))
        how = taken_back(*(texts.get(entry.blob, "") if entry else "" for entry in (before, merged, base, result)))
        return f"takes back {'part of ' if how == 'part' else ''}what phase {key} did in {path}" if how else ""


def _phase_of(attempt_ref: str, batch: int) -> str:
    """The phase that an attempt's reference of this batch belongs to; "" for any other."""
    parts = attempt_ref.split("/")
    return parts[-2] if attempt_ref.startswith(f"refs/ce/attempts/batch-{batch}/") and len(parts) > 5 else ""


def gate_named(gate: GateSpec | GateOutcome, whose: str = "") -> str:
    """A gate in a sentence: gate 1 of phase 2 "The tests pass"."""
    origin = "gate" if gate.origin == GateOrigin.PLAN else f"{gate.origin} gate"
    return f'{origin} {gate.position}{f" of {whose}" if whose else ""} "{" ".join(gate.text.split())[:120]}"'


def named(paths: Sequence[str]) -> str:
    """Some paths in a sentence."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more
