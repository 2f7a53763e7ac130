"""Evidence as notes and files hold it."""

from dataclasses import replace

import pytest

from batches.core.gates.evidence import Evidence, GateEvidence, compare_gates, compare_heads, from_json, note_section, read_note, to_json

GATE = GateEvidence("2a", "plan", 1, "It runs", "command", "make", "passed", 0, None, False, "c" * 40, "", 0.5, "d" * 64, "")
EVIDENCE = Evidence("refs/ce/attempts/batch-1/run-2/2a/1", 1, 2, 1, "2a", "PRP-1.1.1", "Core", "b" * 40, "c" * 40, (GATE,))


def test_a_note_of_several_sections_is_read_back_as_it_was_written_whatever_the_texts_hold():
    odd = replace(EVIDENCE, attempt="x", title="A\nce-json: {}\n", gates=(replace(GATE, gate="\x1b[2J\nce-json: 1", command="a\nb ü"),))
    note = note_section(EVIDENCE) + "\n" + note_section(odd)
    assert read_note(note) == ([EVIDENCE, odd], [])
    assert "passed: plan gate 1, It runs\n    `make`: exit 0, 0.50 s, environment not needed" in note
    assert from_json(to_json(EVIDENCE)) == EVIDENCE


@pytest.mark.parametrize("line", ["{", "1", '{"format": 2}', '{"format": 1}', '{"format": 1, "gates": [1]}', '{"format": 1, "gates": 1}'])
def test_a_section_that_cannot_be_read_is_told(line: str):
    found, faults = read_note(f"Words\nce-json: {line}\n")
    assert found == [] and len(faults) == 1


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("  passed: plan", "  failed: plan", "it says “failed: plan gate 1, It runs” where “passed: plan gate 1, It runs” was written"),
        ("Judged on a clean checkout", "Judged somewhere", "it says “Judged somewhere of "),
        ("ce-json", "All is well.\nce-json", "it says “All is well.” where “” was written"),
        ("\nCE Web", "\nAccepted\nCE Web", "it says “Accepted” where “CE Web, batch 1"),
    ],
)
def test_the_words_for_people_are_those_that_were_written_beside_the_json(before: str, after: str, said: str):
    note = note_section(EVIDENCE) + "\n" + note_section(replace(EVIDENCE, attempt="x"))
    found, [fault] = read_note(note.replace(before, after, 1))
    assert len(found) == 2 and fault.startswith(said)
    assert read_note(note + "All is well.\n")[1] == ["it says “All is well.” where “” was written"]


def test_every_member_that_differs_is_found():
    for name in GateEvidence.__dataclass_fields__:
        altered = replace(GATE, **{name: f"other {name}"})
        assert compare_gates(EVIDENCE, replace(EVIDENCE, gates=(altered,)), "the note"), name
    for name in Evidence.__dataclass_fields__.keys() - {"gates"}:
        assert compare_heads(EVIDENCE, replace(EVIDENCE, **{name: "other"}), "the note"), name
    [[missing]] = compare_gates(replace(EVIDENCE, gates=()), EVIDENCE, "the note").values()
    [[added]] = compare_gates(EVIDENCE, replace(EVIDENCE, gates=()), "the note").values()
    assert (missing.code, added.code) == ("row_missing", "not_in_evidence")
