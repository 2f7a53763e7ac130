"""What a repetition says: when two runs of one command printed the same, and when everything agrees."""

from dataclasses import replace

import pytest

from batches.core.gates.evidence import GateEvidence
from batches.core.gates.verification import Line, Now, Verified, compare_runs, report_text, steady

GATE = GateEvidence("2a", "plan", 1, "It runs", "command", "make", "passed", 0, None, False, "c" * 40, "", 0.5, "d" * 64, "")
NOW = Now("passed", 0, 0.4, "ok\n", "")


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("3 passed in 0.02s", "3 passed in 1.2s"),
        ("==== 3 passed in 0.02s ====", "=== 3 passed in 12.02s ==="),
        ("Ran 3 tests in 0.001s\n\nOK", "Ran 3 tests in 0.1s\n\nOK"),
        ("ok  \tpkg\t0.004s", "ok  \tpkg\t1.1s"),
        ("2026-01-01 10:00:00,123 INFO x", "2027-11-12T11:00:00Z INFO x"),
        ("rootdir: /d/checkouts/x/.judge/1/checkout", "rootdir: /d/checkouts/x/verification-3/.judge/2/checkout"),
        ("<object at 0x7f31dacf99e0>", "<object at 0x7efcc9003c90>"),
        ("/tmp/tmpab12/x", "/tmp/tmpcd34/x"),
        ("… 120 bytes left out …", "… 121 bytes left out …"),
        ("test a ... ok\ntest b ... ok", "test b ... ok\ntest a ... ok"),
    ],
)
def test_what_differs_from_run_to_run_is_no_difference(then: str, now: str):
    assert compare_runs(GATE, then, replace(NOW, output=now), ()) == []


@pytest.mark.parametrize(
    ("then", "now"),
    [("3 passed", "2 passed"), ("3 passed in 1s", "3 passed, 1 skipped in 1s"), ("a", ""), ("exit 1", "exit 2"), ("a\nb", "a\nc")],
)
def test_what_else_is_printed_is_a_difference_and_its_first_line_is_told(then: str, now: str):
    [found] = compare_runs(GATE, then, replace(NOW, output=now), ())
    assert found.code == "output" and "line " in found.words
    assert steady("x /a/b y", ("/a/b",)) == "x <folder> y"


def test_a_gate_of_a_merged_tree_is_told_from_the_same_gate_of_its_phase():
    line = Line(2, "2a", 2, 1, "plan", 1, "It runs", "command", GATE, NOW)
    said = report_text({"batch_id": 1, "title": "T", **Verified([line, replace(line, merged=True)]).to_json()})
    assert 'phase 2a, attempt 1: plan gate 1 "It runs" agrees' in said
    assert 'phase 2a, merged tree of stage 2, attempt 1: plan gate 1 "It runs" agrees' in said


def test_nothing_recorded_and_what_could_not_be_repeated_are_no_agreement():
    line = Line(1, "2a", 2, 1, "plan", 1, "It runs", "command", GATE, NOW)
    assert Verified([line]).agrees and not Verified().agrees
    for other in (replace(line, repeated=False), replace(line, then=None), replace(line, differences=(*compare_runs(GATE, "x", NOW, ()),))):
        assert not Verified([line, other]).agrees
        document = {"batch_id": 1, "title": "T", **Verified([line, other]).to_json()}
        assert "Not everything agrees: 2 gates, 1 agrees, 1 " in report_text(document)
