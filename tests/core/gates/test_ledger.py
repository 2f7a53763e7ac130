"""The ledger's words: where a gate stands, what is counted, and a CSV that no spreadsheet takes for formulas."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batches.core.gates.ledger import (
    COLUMNS,
    Check,
    Entry,
    GateState,
    Opinion,
    Said,
    SignedOff,
    count_states,
    count_words,
    ledger_csv,
)
from subagents.contract import GateOrigin

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
PASSED = Check(1, 1, "passed", False, "pytest -q", 0, 0.5, "c0ffee", "", AT)
FAILED = replace(PASSED, status="failed", exit_code=1)
FLAKY = replace(PASSED, flaky=True, first_exit_code=1)
UNVERIFIED = Check(2, 1, "unverified", False, "", None, 0.0, "c0ffee", "no rule", AT)
SIGN_OFF = SignedOff(1, "ada", AT, "Tried it.", "c0ffee")
GATE = Entry(GateOrigin.PLAN, 1, "1", 1, "Tests pass", "tests", "", gate=7)


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        (GATE, GateState.PLANNED),
        (replace(GATE, in_phase=PASSED), GateState.PASSED),
        (replace(GATE, in_phase=FAILED), GateState.FAILED),
        (replace(GATE, in_phase=FLAKY), GateState.FLAKY),
        (replace(GATE, in_phase=PASSED, at_stage_end=FAILED), GateState.FAILED),
        (replace(GATE, in_phase=FAILED, at_stage_end=PASSED), GateState.PASSED),
        (replace(GATE, in_phase=FLAKY, at_stage_end=PASSED), GateState.FLAKY),
        (replace(GATE, in_phase=FLAKY, at_stage_end=FAILED), GateState.FAILED),
        (replace(GATE, in_phase=UNVERIFIED), GateState.UNVERIFIED),
        (replace(GATE, in_phase=UNVERIFIED, sign_off=SIGN_OFF), GateState.SIGNED_OFF),
        (replace(GATE, in_phase=UNVERIFIED, said=Said(Opinion.HOLDS, "src/a.py:3", "small")), GateState.UNVERIFIED),
        (replace(GATE, in_phase=FAILED, sign_off=SIGN_OFF), GateState.FAILED),
        (replace(GATE, sign_off=SIGN_OFF), GateState.PLANNED),
    ],
)
def test_a_gate_stands_as_it_was_judged_last_and_a_tick_speaks_only_for_what_no_rule_checked(entry: Entry, state: GateState):
    assert entry.state == state
    assert entry.can_be_signed_off is (state == GateState.UNVERIFIED)


def test_only_a_gate_of_the_plan_can_be_signed_off():
    assert not Entry(GateOrigin.STANDARD, 1, "1", 3, "Parses", "parses", "", in_phase=UNVERIFIED).can_be_signed_off


def test_counts_are_in_one_order_and_leave_out_what_there_is_none_of():
    counts = count_states([replace(GATE, in_phase=FLAKY), GATE, replace(GATE, in_phase=PASSED), replace(GATE, in_phase=PASSED)])
    assert list(counts.items()) == [(GateState.PLANNED, 1), (GateState.PASSED, 2), (GateState.FLAKY, 1)]
    assert count_words(counts) == "1 not judged, 2 passed, 1 flaky"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\ufeff="])
def test_no_cell_of_the_csv_is_a_formula(start: str):
    text = f'{start}cmd|"/c calc"!A1'
    unverified, sign_off = replace(UNVERIFIED, command=text, note=text), replace(SIGN_OFF, reason=text, name=text)
    entry = replace(GATE, text=text, in_phase=unverified, sign_off=sign_off)
    rows = list(csv.DictReader(io.StringIO(ledger_csv([entry]), newline="")))
    assert [rows[0][name] for name in ("gate", "command", "note", "tick_reason", "ticked_by")] == [f"'{text}"] * 5


def test_csv_keeps_quotes_commas_and_lines_and_leaves_the_unknown_empty():
    text = 'One, "two"\nthree'
    assert ledger_csv([]).startswith("stage,phase,asked_by")
    [row] = csv.DictReader(io.StringIO(ledger_csv([replace(GATE, text=text)]), newline=""))
    assert list(row) == list(COLUMNS)
    assert (row["gate"], row["state"], row["exit_code"], row["seconds"], row["ticked_by"]) == (text, "planned", "", "", "")


def test_csv_has_numbers_as_numbers_and_who_said_what():
    entry = replace(GATE, in_phase=replace(FAILED, exit_code=-9), sign_off=SIGN_OFF, said=Said(Opinion.DOES_NOT_HOLD, "a.py:1", "small"))
    [row] = csv.DictReader(io.StringIO(ledger_csv([entry]), newline=""))
    assert (row["exit_code"], row["seconds"], row["commit"], row["judged_at"]) == ("-9", "0.5", "c0ffee", "2026-01-02T03:04:00+00:00")
    assert (row["ticked_by"], row["opinion"], row["opinion_evidence"]) == ("ada", "does_not_hold", "a.py:1")
