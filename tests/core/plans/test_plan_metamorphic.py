"""What may not change when a plan is written differently, and what comes back when it is written out."""

import random
from dataclasses import replace
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.plans.analysis import analyse_document
from batches.core.plans.blocks import parse_blocks, read_blocks
from batches.core.plans.reader import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanInvalid,
    PlanSpec,
    StepSpec,
    apply_repair,
    parse_plan,
    read_plan,
    render_plan,
)
from batches.core.plans.values import says_that_there_is_none
from tests.core.plans.samples import FIELDS, codes, linked, phase, plan

FAULTY = plan(
    phase("1", Estimated_Hours="soon"),
    phase("2", Goal=None, Files_Modified="../x", Dependencies="Phase 9"),
    phase("3", Complexity="purple", Files_Modified="c.py", Dependencies="Phase 4"),
    phase("4", Files_Modified="d.py", Dependencies="Phase 3"),
)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_blank_lines_above_move_every_line_alike(count):
    moved = codes(read_plan("\n" * count + FAULTY))
    assert moved == [(line + count, code) for line, code in codes(read_plan(FAULTY))]
    assert len(moved) == 6


def test_line_ends_change_nothing():
    assert read_plan(FAULTY.replace("\n", "\r\n")) == read_plan(FAULTY)
    assert read_plan(FAULTY.encode()) == read_plan(b"\xef\xbb\xbf" + FAULTY.encode()) == read_plan(FAULTY)


def test_shuffling_independent_phases_changes_no_code():
    parts = [phase(str(number), Files_Modified=f"{number}.py", Estimated_Hours="soon" if number % 3 else "1") for number in range(1, 10)]
    wanted = sorted(code for _, code in codes(read_plan(plan(*parts))))
    for seed in range(5):
        random.Random(seed).shuffle(parts)
        assert sorted(code for _, code in codes(read_plan(plan(*parts)))) == wanted


def bare(spec):
    """A plan without its line numbers."""
    return replace(
        spec,
        phases=tuple(
            replace(
                one,
                line=0,
                steps=tuple(replace(step, line=0) for step in one.steps),
                gates=tuple(replace(gate, line=0) for gate in one.gates),
            )
            for one in spec.phases
        ),
    )


def joined(separator, *parts):
    return st.tuples(*parts).map(lambda drawn: separator.join(word for part in drawn for word in part))


def some(most, *, fewest=0, letters=ascii_lowercase, longest=8):
    return st.lists(st.text(letters, min_size=1, max_size=longest), min_size=fewest, max_size=most)


# Drawn from parts: the same patterns as regular expressions took three quarters of the test's time.
WORDS = joined(" ", st.text(ascii_lowercase, min_size=2, max_size=9).map(lambda word: [word.capitalize()]), some(4))
ITEMS = WORDS.filter(lambda words: not says_that_there_is_none(words))
PATHS = joined("", joined("/", some(1, fewest=1), some(2, letters=ascii_lowercase + "_")), st.sampled_from(["", ".py", "/", ".*"]))
COMMANDS = joined(
    "\n",
    joined(" ", some(1, fewest=1), st.sampled_from([[], ["-x"]]), some(1, letters=ascii_lowercase + ".")).map(lambda line: [line]),
    some(2),
)


@st.composite
def plans(draw):
    count = draw(st.integers(1, 5))
    made = []
    for number in range(count):
        steps = draw(st.lists(st.tuples(ITEMS, st.lists(COMMANDS, max_size=2)), max_size=3))
        hours = draw(st.sampled_from([0.5, 1.0, 2.0, 8.0]))
        made.append(
            PhaseSpec(
                key=f"{number}a" if number % 2 else str(number),
                title=draw(WORDS),
                goal=draw(WORDS),
                hours=hours,
                hours_text=f"{hours:g}",
                complexity=draw(st.sampled_from(["low", "medium", "high"])),
                files=tuple(draw(st.lists(PATHS, unique_by=str.lower, max_size=4))),
                dependencies=tuple(one.key for one in made if draw(st.booleans())),
                steps=tuple(StepSpec(place, text, tuple(commands)) for place, (text, commands) in enumerate(steps, 1)),
                gates=tuple(
                    GateText(text, draw(st.booleans())) for text in draw(st.lists(ITEMS, min_size=0 if steps else 1, max_size=3))
                ),
            )
        )
    return PlanSpec(draw(WORDS), tuple(made))


@pytest.mark.long
@given(plans())
def test_plan_written_out_reads_back_the_same(spec):
    assert bare(parse_plan(render_plan(spec))) == spec


def test_steps_with_parts_and_fences_survive_being_written_out():
    steps = "1. One\n   - part\n\n   more\n   ```python\n   x = 1\n   ```\n   ```sh\n   ls\n\n   echo '```'\n   ```\n2. Two"
    body = f"\n\n**Steps**:\n{steps}\n\n**Gates**:\n- [x] a\n  - b\n"
    once = parse_plan(plan(phase(lists=body)))
    assert bare(parse_plan(render_plan(once))) == bare(once)
    assert once.phases[0].steps[0].commands == ("ls\n\necho '```'",)


def test_parse_plan_raises_every_error_at_once():
    with pytest.raises(PlanInvalid) as refused:
        parse_plan(FAULTY)
    assert refused.value.issues == read_plan(FAULTY).errors
    assert "line 6" in str(refused.value)


@pytest.mark.parametrize("name", list(FIELDS))
def test_repair_of_a_missing_field_removes_that_fault_and_adds_none(name):
    text = plan(phase("1", **{name.replace(" ", "_"): None}))
    [fault] = read_plan(text).errors
    assert (fault.code, fault.field) == (IssueCode.MISSING_FIELD, name)
    assert read_plan(apply_repair(text, fault.repair)).errors == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (plan(phase("1"), phase("2a", Dependencies="Phase 1"), phase("3", Dependencies="Phase 2 (the base)")), "undefined-dependency"),
        (plan(phase("1"), phase("1", title="Other", Files_Modified="b.py")), "duplicate-key"),
        (plan(phase("1", Estimated_Hours="1,5")), "bad-hours"),
        (phase("1"), "no-title"),
    ],
)
def test_repair_leaves_a_plan_without_errors(text, code):
    [fault] = read_plan(text).errors
    assert (fault.code, bool(fault.repair.label)) == (code, True)
    assert read_plan(apply_repair(text, fault.repair)).errors == ()


def test_repairs_make_bare_headings_whole_but_never_green_and_empty():
    """Every missing line is offered; what is to be done is left to the person, and is an error until it is there."""
    text = "## Phase 1: A\nSome words.\n## Phase 2: B\n- a list\n\nPhase 3: C\n----------\n"
    for _ in range(30):
        repair = next((fault.repair for fault in read_plan(text).errors if fault.repair), None)
        if repair is None:
            break
        text = apply_repair(text, repair)
    assert [(fault.code, fault.phase) for fault in read_plan(text).errors] == [("no-work", "1"), ("no-work", "2"), ("no-work", "3")]
    text = text.replace("**Goal**", "**Steps**:\n1. Do it\n\n**Goal**")
    assert [one.key for one in parse_plan(text).phases] == ["1", "2", "3"]


@pytest.mark.parametrize("written", ["1,5 2", "1,5 parsecs", "1,5 per file", "0,0"])
def test_a_comma_is_not_repaired_where_what_comes_of_it_is_no_hours_either(written):
    [fault] = read_plan(plan(phase("1", Estimated_Hours=written))).errors
    assert fault.code == "bad-hours" and "can be read in two ways" in fault.message and fault.repair is None


@pytest.mark.parametrize("written", ["19999999999999999", "123456789", "1.1.1.1.1.1.1.1.1"])
def test_a_key_that_no_phase_can_have_is_repaired_by_one_that_it_can(written):
    [fault] = read_plan(plan(phase(written))).errors
    assert fault.code == "bad-key" and fault.repair is not None
    assert read_plan(apply_repair(plan(phase(written)), fault.repair)).errors == ()


def test_no_repair_writes_what_stands_there_already():
    [fault] = read_plan("### Phase 3: Work\n\n**Go: Do it\n\n# Plan\n\n- [ ] It works\n**Dependencies**: Phase 1\n").errors
    assert (fault.code, fault.repair) == ("no-phases", None)


def test_repair_of_a_line_that_is_gone_is_refused():
    [fault] = read_plan(plan(phase("1", Estimated_Hours="1,5"))).errors
    with pytest.raises(ValueError, match="no line"):
        apply_repair("# Plan", fault.repair)


def test_undefined_dependency_names_the_valid_phases_and_the_nearest():
    [fault] = read_plan(linked("1; 2a < 1; 2b < 1; 3 < 9")).errors
    assert fault.message == 'Phase 3 depends on "9", which does not exist. Valid phases: 1, 2a, 2b, 3.'
    [near] = read_plan(linked("1; 2a < 1; 3 < 2")).errors
    assert "Did you mean 2a?" in near.message


LINES = st.lists(
    st.sampled_from(
        [
            "",
            "",
            "# H",
            "### Phase 1: x",
            "**Goal**: x",
            "text",
            "- a",
            "- [ ] b",
            "1. a",
            "2. b",
            "7. c",
            "---",
            "===",
            "```",
            "```sh",
            "   ```",
            "  - n",
            "    code",
            "> q",
            "* s",
            "+ p",
            "<div>",
            "<!--",
            "-->",
            "  text",
            "\ttab",
            "- `x`",
            "1) p",
            "- ",
            "1.",
            "#",
            "- 1. x",
            "~~~",
            "- > q",
            "2b",
            "-a",
            "10. ten",
            "- **x**: y",
        ]
    ),
    max_size=25,
)


def shape(blocks):
    return [
        (
            block.kind,
            block.start,
            block.level,
            block.info,
            [line.strip() for line in block.text.strip().split("\n")],
            [(item.start, item.number, shape(item.blocks)) for item in block.items or ()],
            shape(block.blocks or ()),
        )
        for block in blocks
    ]


@given(LINES)
def test_blocks_put_together_by_hand_are_those_of_the_parser(lines):
    assert shape(read_blocks(lines)) == shape(parse_blocks(lines))


@given(LINES, st.integers(1, 6))
def test_any_document_ends_in_a_report(lines, seed):
    report = analyse_document("\n".join([*lines, *random.Random(seed).choices(lines or ["x"], k=5)]))
    assert report.reading.plan.phases or report.reading.errors
    report.to_json()
