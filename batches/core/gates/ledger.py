"""The gate ledger: every check-box with what was found about it, and who said so (docs/gates.md). Values in, values out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from batches.core.text.csv import csv_of
from subagents.contract import GateOrigin


class GateState(StrEnum):
    """Where a gate stands: as it was judged last, and whether a person or a second run had to speak for it."""

    PLANNED = "planned"
    PASSED = "passed"
    FLAKY = "flaky"
    SIGNED_OFF = "ticked"  # the name in addresses and exports
    UNVERIFIED = "unverified"
    FAILED = "failed"


FILTERS: Mapping[str, str] = {
    "": "All",
    GateState.FAILED: "Failed",
    GateState.UNVERIFIED: "Unverified",
    GateState.FLAKY: "Flaky",
    GateState.SIGNED_OFF: "Signed off by a person",
    GateState.PASSED: "Passed",
    GateState.PLANNED: "Not judged yet",
}


class Opinion(StrEnum):
    """What a reviewer says of a gate that no rule can check."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does_not_hold"
    NOT_JUDGED = "not_judged"


@dataclass(frozen=True, slots=True)
class Check:
    """One judgement, without what was printed. `at_stage_end`: on the merged tree. `row` names it among the kept ones."""

    row: int
    attempt: int
    status: str
    flaky: bool
    command: str
    exit_code: int | None
    seconds: float | None
    commit: str
    note: str
    at: datetime
    first_exit_code: int | None = None
    environment: str = ""  # the id of the project's environment that the command had; "" when it needs none

    @property
    def state(self) -> GateState:
        return GateState.FLAKY if self.flaky else GateState(self.status)


@dataclass(frozen=True, slots=True)
class SignedOff:
    """A named person's word that an unverified gate holds."""

    row: int
    name: str
    at: datetime
    reason: str
    commit: str


@dataclass(frozen=True, slots=True)
class Said:
    """A reviewer's opinion about an unverified gate, with what it rests on."""

    opinion: Opinion
    evidence: str
    model: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `phase` is "" for what is judged of a stage as a whole; `gate` is None but for the plan's."""

    origin: GateOrigin
    stage: int
    phase: str
    position: int
    text: str
    kind: str
    bound_to: str
    gate: int | None = None
    in_phase: Check | None = None
    at_stage_end: Check | None = None
    sign_off: SignedOff | None = None
    said: Said | None = None

    @property
    def last(self) -> Check | None:
        """The judgement that counts: on the merged tree where there was one."""
        return self.at_stage_end or self.in_phase

    @property
    def state(self) -> GateState:
        """As it was judged last; a sign-off speaks only for what no rule could check, and passing at once outdoes passing later."""
        if self.last is None:
            return GateState.PLANNED
        if self.last.state == GateState.UNVERIFIED and self.sign_off is not None:
            return GateState.SIGNED_OFF
        flaky = any(check is not None and check.flaky for check in (self.in_phase, self.at_stage_end))
        return GateState.FLAKY if flaky and self.last.state == GateState.PASSED else self.last.state

    @property
    def can_be_signed_off(self) -> bool:
        return self.gate is not None and self.state == GateState.UNVERIFIED


def count_states(entries: Iterable[Entry]) -> dict[GateState, int]:
    """How many gates stand where; only what there is, in the order of the states."""
    found = Counter(entry.state for entry in entries)
    return {state: found[state] for state in GateState if found[state]}


def count_words(counts: Mapping[GateState, int]) -> str:
    """The counts as a report says them: "12 passed, 1 flaky, 2 unverified"."""
    words = {GateState.SIGNED_OFF: "signed off by a person", GateState.PLANNED: "not judged"}
    return ", ".join(f"{count} {words.get(state, state)}" for state, count in counts.items() if count)


COLUMNS = (
    *("stage", "phase", "asked_by", "position", "gate", "state", "checked_by", "command", "exit_code", "seconds", "commit", "judged_at"),
    *("state_in_phase", "state_at_stage_end", "first_exit_code", "note", "ticked_by", "ticked_at", "tick_reason"),
    *("opinion", "opinion_evidence", "environment"),
)


def ledger_csv(entries: Iterable[Entry]) -> str:
    """The ledger as CSV (RFC 4180) with a heading; unknown is empty. No cell is a formula to a spreadsheet."""
    return csv_of(COLUMNS, (_row(entry) for entry in entries))


def _row(entry: Entry) -> list[object]:
    last, sign_off, said = entry.last, entry.sign_off, entry.said
    judged: list[object] = [None] * 5
    if last is not None:
        judged = [last.command or entry.bound_to, last.exit_code, last.seconds, last.commit, last.at.isoformat()]
    else:
        judged[0] = entry.bound_to
    return [
        *(entry.stage, entry.phase, entry.origin, entry.position, entry.text, entry.state, entry.kind),
        *judged,
        *(check.state if check else None for check in (entry.in_phase, entry.at_stage_end)),
        *((last.first_exit_code, last.note) if last else (None, None)),
        *((sign_off.name, sign_off.at.isoformat(), sign_off.reason) if sign_off else (None, None, None)),
        *((said.opinion, said.evidence) if said else (None, None)),
        last.environment if last else None,
    ]
