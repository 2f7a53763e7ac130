"""What a batch leaves behind, as text: the managed block leaves every other byte alone, and a second update changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.review.context_update import (
    BlockUnclear,
    PhaseRecord,
    front_matter,
    markers,
    memories,
    render_block,
    with_block,
)
from batches.core.review.drift import DriftEvidence, measure_drift
from batches.core.review.types import GateFact

DRIFT = measure_drift(DriftEvidence(("a.py", "b.py"), ("a.py", "c.py"), (), 2, 2, 1.0, 1.0))
GATES = (GateFact("x", True, "passed"),)
DONE = PhaseRecord("PRP-4.1.1", "Read | it", "succeeded", "", "c0ffee" * 6, "2026-11-22", ("a.py",), GATES, DRIFT)
FAILED = PhaseRecord("PRP-4.2.1", "Write <b>it</b>", "failed", "gate_failed: no")
BLOCK = render_block(4, "Title", "ce/batch-4", [DONE, FAILED])
MARKERS = tuple(marker.encode() for marker in markers(4))


@given(st.binary(max_size=200).filter(lambda text: not any(marker in text for marker in MARKERS)), st.integers(1, 9))
def test_every_byte_outside_of_the_block_stays_and_a_second_time_changes_nothing(existing: bytes, number: int):
    once = with_block(existing, 4, BLOCK)
    assert once.startswith(existing)
    assert with_block(once, 4, BLOCK) == once
    shorter = BLOCK.replace("- PRP-4.1.1", "- X" * number)
    again = with_block(once, 4, shorter)
    assert again.startswith(existing)
    assert with_block(again, 4, BLOCK) == once


def test_the_block_is_replaced_where_it_stands_and_other_batches_blocks_stay():
    other = render_block(5, "Other", "ce/batch-5", [])
    text = f"# Shop\n\n{other}\n\nMiddle\n\n{BLOCK}\n\nEnd without a newline".encode()
    new = render_block(4, "New title", "ce/batch-4", [DONE])
    assert with_block(text, 4, new) == text.replace(BLOCK.encode(), new.encode())


def test_line_ends_of_the_file_are_kept():
    text = with_block(b"# Shop\r\n", 4, BLOCK)
    assert text.startswith(b"# Shop\r\n\r\n<!--")
    assert text.count(b"\n") == text.count(b"\r\n")


def test_a_file_without_content_is_the_block():
    assert with_block(None, 4, BLOCK) == with_block(b"", 4, BLOCK) == BLOCK.encode() + b"\n"


@pytest.mark.parametrize("order", [(0,), (1,), (1, 0), (0, 0, 1), (0, 1, 0, 1), (0, 1, 1)])
def test_markers_that_enclose_no_single_block_are_refused_never_guessed(order: tuple[int, ...]):
    with pytest.raises(BlockUnclear, match="was not changed"):
        with_block(b"x\n" + b"\ntext\n".join(MARKERS[place] for place in order), 4, BLOCK)


def test_text_of_a_plan_can_hold_no_marker_and_no_markup():
    hostile = PhaseRecord("PRP-4.1.1", f"Bad {markers(4)[1]}\n# Heading", "succeeded")
    block = render_block(4, markers(4)[0], "ce/batch-4", [hostile])
    assert (block.count(markers(4)[0]), block.count(markers(4)[1])) == (1, 1)
    assert "\n# Heading" not in block


def test_front_matter_says_status_evidence_gates_and_drift():
    assert front_matter(DONE) == {
        "status": "executed",
        "evidence": "merged as c0ffeec0ffee on 2026-11-22",
        "gates": "1 passed",
        "drift": "32 % (concerning)",
        "undeclared": "c.py",
    }
    assert front_matter(FAILED) == {"status": "failed", "evidence": "gate_failed: no"}
    assert front_matter(PhaseRecord("PRP-4.3.1", "Later", "")) == {"status": "new"}


def test_memory_files_name_what_was_done_and_what_strayed():
    files = memories(4, "Title", "ce/batch-4", [DONE, FAILED])
    assert set(files) == {".serena/memories/ce-batch-4.md", ".serena/memories/ce-batch-4-drift.md"}
    assert "| PRP-4.1.1 | Read \\| it | executed | c0ffeec0ffee |" in files[".serena/memories/ce-batch-4.md"]
    assert "| PRP-4.1.1 | 32 % (concerning) | c.py | none | b.py |" in files[".serena/memories/ce-batch-4-drift.md"]
