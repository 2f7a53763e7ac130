"""The rules of reviews: the risk formula against tables computed by hand, findings, verdicts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.review.drift import DriftEvidence, measure_drift
from batches.core.review.outcome_review import review_other_gates, review_outcome
from batches.core.review.prp_review import review_batch, review_prp
from batches.core.review.risk import RiskBand, score_risk
from batches.core.review.types import ConflictFacts, GateFact, Outcome, PhaseFacts, ReviewFinding, Severity, Verdict, judge

CLEAR = "Write the parser for the new header"
LONG = " ".join(["word"] * 101)


def facts(**changes) -> PhaseFacts:
    """A PRP that no rule complains about, changed as told."""
    gates = tuple(GateFact(f"`pytest -q tests/part_{number}.py`", True) for number in range(5))
    sound = {
        "key": "1", "prp_id": "PRP-44.1.1", "title": "Read the header", "goal": "Headers are read without loss", "complexity": "medium",
        "hours": 8.0, "steps": (CLEAR, CLEAR), "gates": gates, "files": ("src/header.py",), "dependencies": (),
    }  # fmt: skip
    return PhaseFacts(**{**sound, **changes})


# complexity, hours, gates, dependencies, steps -> points before weights, weighted sum × 100 by hand, score, band
RISKS = (
    # the worked example: 0.25·3 = 0.75; 75 ÷ 5.95 = 12.605
    ("medium", 8, 5, 0, [CLEAR], (3, 0, 0, 0, 0), 75, 13, "low"),
    ("low", 2, 5, 0, [CLEAR], (1, 0, 0, 0, 0), 25, 4, "low"),
    ("low", 4, 5, 0, [], (1, 0, 0, 0, 0), 25, 4, "low"),
    ("low", 4.5, 5, 0, [], (6, 0, 0, 0, 0), 150, 25, "medium"),
    ("medium", 2, 4, 0, [], (3, 2, 0, 0, 0), 125, 21, "medium"),
    ("medium", 1.9, 3, 2, [], (8, 2, 0, 2, 0), 280, 47, "high"),
    ("high", 6, 2, 1, [CLEAR], (5, 5, 0, 2, 0), 280, 47, "high"),
    ("high", 16, 5, 3, [CLEAR], (5, 0, 0, 5, 0), 200, 34, "medium"),
    ("high", 16.5, 0, 3, ["Do it"] * 3, (10, 5, 5, 5, 0), 550, 92, "high"),
    ("high", 0.5, 0, 3, ["Do it"] * 3, (10, 5, 5, 5, 3), 595, 100, "high"),
    ("medium", 8, 5, 0, ["Do it", LONG, CLEAR], (3, 0, 0, 0, 0), 75, 13, "low"),
    ("medium", 8, 5, 0, ["Do it", LONG, ""], (3, 0, 5, 0, 0), 175, 29, "medium"),
    ("low", 0.5, 5, 0, [CLEAR] * 3, (1, 0, 0, 0, 3), 70, 12, "low"),
    ("low", 0.75, 5, 0, [CLEAR] * 3, (1, 0, 0, 0, 0), 25, 4, "low"),
    ("low", None, 5, 0, [CLEAR] * 3, (1, 0, 0, 0, 0), 25, 4, "low"),
)  # fmt: skip


@pytest.mark.parametrize(("complexity", "hours", "gates", "dependencies", "steps", "points", "weighted", "shown", "band"), RISKS)
def test_the_risk_score_is_the_formula_s(complexity, hours, gates, dependencies, steps, points, weighted, shown, band):
    risk = score_risk(complexity, hours, gates, dependencies, steps)
    assert (risk.complexity, risk.gates, risk.steps, risk.dependencies, risk.time) == points
    assert risk.score == pytest.approx(weighted / 5.95)
    assert (risk.shown, risk.band) == (shown, band)


def test_every_band_of_risk_is_reachable_and_the_table_above_reaches_it():
    assert {row[-1] for row in RISKS} == set(RiskBand)


@given(
    st.sampled_from(["low", "medium", "high", "?"]),
    st.none() | st.floats(0, 1e6),
    st.integers(0, 50),
    st.integers(0, 50),
    st.lists(st.sampled_from(["Do it", CLEAR, LONG]), max_size=30),
)
def test_a_risk_score_is_from_0_to_100_and_a_gate_more_never_raises_it(complexity, hours, gates, dependencies, steps):
    risk = score_risk(complexity, hours, gates, dependencies, steps)
    assert 0 <= risk.score <= 100 + 1e-9
    assert score_risk(complexity, hours, gates + 1, dependencies, steps).score <= risk.score


def test_a_sound_prp_has_no_findings_and_is_approved():
    assert review_prp(facts()) == ()
    assert judge(()) is Verdict.APPROVED


def said(findings) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.category, finding.place) for finding in findings]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"goal": " "}, [("major", "goal", "PRP-44.1.1, Problem")]),
        ({"goal": "Faster"}, [("minor", "goal", "PRP-44.1.1, Problem")]),
        ({"steps": ()}, [("major", "steps", "PRP-44.1.1, Steps")]),
        ({"steps": (CLEAR, "Do it")}, [("minor", "steps", "PRP-44.1.1, Step 2")]),
        ({"steps": (LONG,)}, [("minor", "steps", "PRP-44.1.1, Step 1")]),
        ({"gates": ()}, [("major", "gates", "PRP-44.1.1, Validation Gates")]),
        ({"gates": (GateFact("`pytest`", True),) * 2}, [("minor", "gates", "PRP-44.1.1, Validation Gates")]),
        ({"gates": (*facts().gates, GateFact("It looks good", False))}, [("minor", "gates", "PRP-44.1.1, Gate 6")]),
        ({"files": ()}, [("minor", "files", "PRP-44.1.1, Files")]),
        ({"hours": None}, [("minor", "hours", "PRP-44.1.1, Estimated Hours")]),
        ({"hours": 9.0}, [("minor", "hours", "PRP-44.1.1, Estimated Hours")]),
        ({"hours": 2.0, "steps": (CLEAR,) * 9}, [("minor", "hours", "PRP-44.1.1, Estimated Hours")]),
    ],
)
def test_each_structural_fault_is_one_finding_at_its_place(changes, expected):
    assert said(review_prp(facts(**changes))) == expected


def test_three_vague_steps_need_revision_two_are_a_warning():
    assert judge(review_prp(facts(steps=("Do it",) * 2))) is Verdict.WARNINGS
    assert judge(review_prp(facts(steps=("Do it",) * 3))) is Verdict.REVISION


def test_gates_of_which_no_rule_can_check_any_need_revision():
    gates = tuple(GateFact(f"The owner likes part {number}", False) for number in range(5))
    assert judge(review_prp(facts(gates=gates))) is Verdict.REVISION


def test_a_prp_without_steps_and_gates_is_rejected():
    assert judge(review_prp(facts(steps=(), gates=()))) is Verdict.REJECTED


def test_high_risk_alone_is_a_warning():
    risky = review_prp(facts(complexity="high", hours=20.0, dependencies=("a", "b", "c"), gates=facts().gates[:3]))
    assert ("minor", "risk", "PRP-44.1.1") in said(risky)
    assert judge(risky) is Verdict.WARNINGS


def finding(severity: Severity) -> ReviewFinding:
    return ReviewFinding(severity, "x", "y", "z", "w")


@given(st.lists(st.sampled_from(Severity)))
def test_the_worst_finding_makes_the_verdict(severities):
    worst = next((one for one in Severity if one in severities), Severity.INFO)
    expected = {"critical": Verdict.REJECTED, "major": Verdict.REVISION, "minor": Verdict.WARNINGS, "info": Verdict.APPROVED}[worst]
    assert judge([finding(one) for one in severities]) is expected


def test_an_undecided_conflict_of_one_stage_needs_revision_and_a_decided_or_ordered_one_says_nothing():
    phases = [facts(), facts(key="2", prp_id="PRP-44.1.2", title="Write the header")]
    conflicts = [
        ConflictFacts("a.py", ("1", "2"), "same_stage", False),
        ConflictFacts("b.py", ("1", "2"), "cross_stage", False),
        ConflictFacts("c.py", ("1", "2"), "same_stage", True),
        ConflictFacts("d.py", ("1", "2"), "ordered", False),
    ]
    assert said(review_batch(phases, conflicts, ("1",))) == [("major", "conflicts", "a.py"), ("minor", "conflicts", "b.py")]


def test_a_batch_that_nothing_judges_needs_revision_and_an_unjudged_merge_is_a_warning():
    nothing = [facts(gates=()), facts(key="2", title="Other", gates=(GateFact("Good", False),))]
    assert ("major", "gates", "batch") in said(review_batch(nothing, (), ()))
    half = [facts(), *(facts(key=key, title=f"Part {key}", gates=(), stage=2) for key in ("2a", "2b"))]
    assert said(review_batch(half, (), ())) == [("minor", "gates", "stage 2")]


def test_long_chains_hot_files_and_equal_or_long_titles_are_named():
    phases = [facts(key=str(number), prp_id=f"PRP-44.1.{number}", title=f"Part {number}") for number in range(1, 5)]
    found = review_batch(phases, (), tuple(str(number) for number in range(9)))
    assert said(found) == [("minor", "dependencies", "batch"), ("minor", "files", "src/header.py")]
    assert review_batch(phases[:3], (), tuple("12345678")) == ()
    twins = [facts(), facts(prp_id="PRP-44.1.2", title="read  THE header", files=()), facts(prp_id="PRP-44.1.3", title="x" * 81, files=())]
    assert said(review_batch(twins, (), ())) == [("info", "naming", "PRP-44.1.3"), ("minor", "naming", "PRP-44.1.1, PRP-44.1.2")]


@pytest.mark.parametrize("state", ["", "failed", "blocked", "cancelled"])
def test_after_execution_a_phase_that_is_not_done_needs_revision(state):
    assert judge(review_outcome(facts(), Outcome(state))) is Verdict.REVISION


def outcome(changed=("src/header.py",), deleted=(), hours=8.0, done=2, **more) -> Outcome:
    evidence = DriftEvidence(("src/header.py",), changed, deleted, 2, done, 8.0, hours)
    return Outcome("succeeded", drift=measure_drift(evidence), lines_added=3, lines_removed=1, **more)


def test_after_execution_work_as_planned_is_approved():
    assert review_outcome(facts(), outcome(gates=(GateFact("`pytest`", True, "passed"),))) == ()


def test_after_execution_a_failed_gate_rejects_and_an_unverified_one_warns():
    assert judge(review_outcome(facts(), outcome(gates=(GateFact("`pytest`", True, "failed"),)))) is Verdict.REJECTED
    assert judge(review_outcome(facts(), outcome(gates=(GateFact("Nice", False, "unverified"),)))) is Verdict.WARNINGS


def test_undeclared_deletions_need_revision_and_are_named():
    found = review_outcome(facts(), outcome(("src/header.py", "LICENSE"), ("LICENSE",)))
    assert ("major", "files", "LICENSE") in said(found)
    declared = review_outcome(facts(), outcome(deleted=("src/header.py",)))
    assert said(declared) == [("info", "files", "src/header.py")]


def test_undeclared_and_untouched_files_and_large_diffs_are_warnings():
    found = review_outcome(facts(), outcome(("other.py",)))
    assert {("minor", "files", "other.py"), ("minor", "files", "src/header.py")} <= set(said(found))
    large = Outcome("succeeded", lines_added=900, lines_removed=101)
    assert said(review_outcome(facts(), large)) == [("minor", "size", "PRP-44.1.1")]
    assert review_outcome(facts(), Outcome("succeeded", lines_added=900, lines_removed=100)) == ()
    assert review_outcome(facts(), Outcome("succeeded")) == ()  # no diff was read: nothing is claimed about its size


def test_gates_of_the_project_count_in_the_review_after_execution():
    judged = [("PRP-1.1.1, project gate", "Lint", "passed"), ("stage 1, project gate", "Tests", "failed"), ("stage 2", "Parse", "flaky")]
    failed, flaky = review_other_gates(judged)
    assert (failed.severity, failed.place, flaky.severity) == (Severity.CRITICAL, "stage 1, project gate", Severity.MINOR)
    assert judge([failed]) is Verdict.REJECTED
