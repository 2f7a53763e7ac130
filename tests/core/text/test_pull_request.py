"""The body of a pull request: what it tells, and that nothing that others wrote has an effect in it."""

from batches.core.text.pull_request import BODY_CHARACTERS, Told, body_of, code, plain, title_of

PHASE = {
    "phase": "1",
    "title": "Parse",
    "status": "success",
    "success": "verified",
    "accepted_by": "",
    "looks": [],
    "elapsed_seconds": 61.0,
    "attempts": 2,
    "cost_usd": 0.5,
    "undeclared": ["b.py"],
    "files_created": ["a.py"],
    "files_modified": ["b.py"],
    "files_deleted": [],
}
RESULT = {
    "batch_id": 44,
    "elapsed_seconds": 61.0,
    "tokens_used": 1200,
    "cost_usd": 0.5,
    "unpriced": 0,
    "not_verified": "",
    "conflicts": [],
    "results": [PHASE],
}
TOLD = Told("https://ce.example.org/batches/44/", {"1": "low (12 of 100)"}, {"1": ["a.py", "c.py", "docs/*.md"]})


def test_it_tells_phases_with_risk_and_declared_against_actual_files():
    body = body_of(RESULT, [], TOLD)
    assert "[Batch 44](https://ce.example.org/batches/44/): 1 phase of 1 done in 1 min 01 s." in body
    assert "| 1 Parse | verified | 1 min 01 s | 2 | $0.50 | low (12 of 100) |" in body
    assert "| `a.py` | created | 1 | yes |" in body and "| `b.py` | modified | 1 | **no** |" in body
    assert "| `c.py` | not touched | 1 | yes |" in body and "docs/" not in body


def test_what_a_person_should_look_at_stands_first():
    looks = PHASE | {"looks": ["changes a test"], "accepted_by": "ada"}
    result = RESULT | {"results": [looks], "not_verified": "1 phase not verified", "conflicts": [{"file": "x.py", "collided": True}]}
    body = body_of(result, [], TOLD)
    start = body.index("**To look at**")
    assert start < body.index("## Phases")
    for part in ("1 phase not verified", "Phase 1: changes a test", "accepted as it is by ada", "collided in `x.py`"):
        assert part in body[start:], part


def test_words_of_others_mention_nobody_close_nothing_and_are_no_markup():
    said = plain("@ada fixes #1 <img src=x> [a](http://e.example) **b** \u202e| !1\nhttps://e.example")
    assert "@ada" not in said and "#1" not in said.replace("\\#", "") and "<img" not in said.replace("\\<", "")
    assert "](" not in said.replace("\\]", "").replace("\\(", "") and "\n" not in said and "\u202e" not in said
    assert "http://" not in said and "https://" not in said
    assert code("a`b|c") == "``a`b\\|c``" and code("") == ""
    assert title_of(7, "Two\nlines\u202e") == "Two lines⟦U+202E⟧ (batch 7)"


def test_a_very_long_report_is_cut_at_a_line():
    many = [PHASE | {"phase": str(number), "title": "x" * 190} for number in range(1, 400)]
    body = body_of(RESULT | {"results": many}, [], TOLD)
    assert len(body) <= BODY_CHARACTERS and body.endswith("|\n\nThe rest is on the batch's page.\n")
