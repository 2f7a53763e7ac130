"""Nothing in a plan is lost: what is not read is told, and what can be read in two ways is never turned round."""

import json

import pytest

from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.reader import apply_repair, parse_plan, read_plan
from batches.core.plans.repairs import choices, repair_all
from batches.core.plans.values import read_hours
from tests.core.plans.samples import FIELDS, LISTS, codes, one, phase, plan


def keys(text):
    return [found.key for found in read_plan(text).plan.phases]


@pytest.mark.parametrize(
    ("heading", "key"),
    [
        ("Pre-Phase 2: Look", "Pre-2"),
        ("Final Phase: Release", "Final"),
        ("Post-Phase 1", "Post-1"),
        ("Bonus Phase — Extras", "Bonus"),
        ("Step 3: Three", "3"),
        ("Milestone 3: Three", "3"),
        ("3. Three", "3"),
        ("Phase Three: Three", "Three"),
    ],
)
def test_section_in_the_run_of_phases_is_a_phase_when_it_has_fields(heading, key):
    text = plan(phase("1"), phase("2", Files_Modified="b.py").replace("Phase 2: Work", heading))
    assert keys(text) == ["1", key]


@pytest.mark.parametrize("heading", ["Clean up", "Phases 4-5: Both", "Phase 2 & 3: Both", "The last part"])
def test_other_section_with_fields_is_an_error_with_a_repair_that_makes_it_a_phase(heading):
    text = plan(phase("1"), phase("2", Files_Modified="b.py").replace("Phase 2: Work", heading), phase("7", Files_Modified="c.py"))
    [issue] = read_plan(text).errors
    assert text.split("\n")[issue.line - 1] == f"### {heading}"
    assert [piece.line for piece in read_plan(text).accounting.unread] == [issue.line]
    repaired = read_plan(apply_repair(text, issue.repair))
    assert (len(repaired.plan.phases), repaired.errors) == (3, ())


def test_phases_are_compared_on_the_boundaries_of_numbers_and_letters():
    inside = phase("1") + "\n" + phase("10", Files_Modified="b.py").replace("###", "####")
    assert keys(plan(inside)) == ["1", "10"]


def test_phase_inside_a_phase_with_fields_of_its_own_is_a_phase():
    part = phase("1a", Files_Modified="b.py").replace("###", "####")
    last = phase("2", Files_Modified="c.py", Dependencies="Phase 1")
    reading = read_plan(plan(phase("1") + "\n" + part, last))
    assert [found.key for found in reading.plan.phases] == ["1", "1a", "2"]
    assert "Phase 1a" not in reading.plan.phases[0].section
    only_parts = read_plan(plan("### Phase 1: All\n\n" + part + "\n" + part.replace("1a", "1b"), last))
    assert [(found.key, found.dependencies) for found in only_parts.plan.phases] == [("1a", ()), ("1b", ()), ("2", ("1a", "1b"))]


def test_dependencies_use_the_name_that_the_document_gives_a_phase():
    early = phase("2", Files_Modified="b.py").replace("Phase 2: Work", "Pre-Phase 2: Look")
    reading = read_plan(plan(phase("1"), early, phase("2", Files_Modified="c.py", Dependencies="Pre-Phase 2")))
    assert [found.dependencies for found in reading.plan.phases] == [(), (), ("Pre-2",)]


@pytest.mark.parametrize(
    "order",
    [
        "- Phase 2: depends on Phase 1\n- Phase 1: no dependencies",
        "Phase 1 → Phase 2",
        "- Second (Phase 2) depends on Phase 1, blocks all others",
    ],
)
def test_order_that_a_section_of_the_document_gives_is_taken(order):
    text = plan(phase("1"), phase("2", title="Second", Files_Modified="b.py", Dependencies=None)) + f"\n## Phase Order\n\n{order}\n"
    assert (read_plan(text).errors, read_plan(text).plan.phases[1].dependencies) == ((), ("1",))


def test_missing_dependencies_are_never_made_none_where_the_numbers_show_an_order():
    text = plan(phase("1"), *(phase(key, Files_Modified=f"{key}.py", Dependencies=None) for key in ("2a", "2b", "3")))
    offered = [[repair.text.strip() for repair in issue.repairs] for issue in read_plan(text).errors]
    after = "**Dependencies**: Phase "
    assert offered == [[f"{after}{keys}", "**Dependencies**: None"] for keys in ("1", "1", "2a, Phase 2b")]


@pytest.mark.parametrize(
    ("body", "steps", "gates"),
    [
        ("**Tasks**:\n\n**Back**:\n- a\n\n**Front**:\n- b\n\n**Verification**:\n- [ ] c\n\n**Success Criteria**:\n- [ ] d", "a b", "c d"),
        ("- [ ] a\n- [ ] b\n\n**Checkpoint**: c", "a b", "c"),
        ("1. a\n2. b\n\n**Definition of Done**:\nc", "a b", "c"),
        ("#### Sub\n\n- [ ] a\n\n#### Other\n\n- [ ] b", "a b", ""),
        ("- Back\n  - [ ] a\n  - [ ] b", "a b", ""),
        ("**Steps**:\n1. a\n\n**Front**:\n1. b\n\n**Test plan**:\n```sh\nmake\n# why\nmake b\n```", "a b", "`make` `make b`"),
        ("**Steps**:\n- a\n\n**Validation**:\n\n| # | check |\n|---|---|\n| 1 | b |\n", "a", "b"),
        ("**Steps**:\n- a\n\n**Independent Test**: b\n\n- [ ] c", "a c", "b"),
        ("**Steps**:\n- a\n\n**Gates**:\n- [ ] runs\n  ```sh\n  make\n  ```", "a", "runs `make`"),
        ("**Steps**: a", "a", ""),
    ],
)
def test_steps_and_gates_add_up(body, steps, gates):
    [found] = one(body).plan.phases
    assert " ".join(step.text for step in found.steps) == steps
    assert " ".join(gate.text for gate in found.gates) == gates


def test_ticked_steps_can_be_left_out_or_done_again():
    text = plan(phase("1", lists="\n\n**Steps**:\n- [x] a\n  more\n- [ ] b\n- [X] c\n\n**Gates**:\n- d\n"))
    [issue] = read_plan(text).warnings
    without, again = (read_plan(apply_repair(text, repair)) for repair in issue.repairs)
    assert [step.text for step in without.plan.phases[0].steps] == ["b"]
    assert [(step.text, step.done) for step in again.plan.phases[0].steps] == [("a\nmore", False), ("b", False), ("c", False)]
    assert without.warnings == again.warnings == ()


def test_check_boxes_that_are_not_read_become_steps_or_a_phase_by_their_repair():
    text = plan(phase("1", lists="\n\n**Risks**:\n- [ ] a\n" + LISTS)) + "\n## Later\n\n- [ ] b\n- [ ] c\n"
    inside, outside = [issue for issue in read_plan(text).warnings if issue.code == "unread-list"]
    assert [step.text for step in read_plan(apply_repair(text, inside.repair)).plan.phases[0].steps] == ["a", "Write it"]
    assert [step.text for step in read_plan(apply_repair(text, outside.repair)).plan.phases[1].steps] == ["b", "c"]


NAMES = PhaseNames(list("12345"), ["Setup", "Core", "Api", "Ui", "Docs"])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("does not depend on Phase 1", ""),
        ("Phase 1, not Phase 2", "1"),
        ("Phase 1 but not Phase 2", "1"),
        ("must not start before Phase 2", "2"),
        ("cannot start until Phase 1", "1"),
        ("Phase 1 must finish before this", "1"),
        ("All but Phase 2", "1 3"),
        ("All phases except 2 and Phase 3", "1"),
        ("Phases 1-3, but not Phase 2", "1 3"),
        ("None, except Phase 2", "2"),
        ("~~Phase 2~~ Phase 1", "1"),
        ("<del>Phase 2</del> Phase 1", "1"),
        ("[1, 2]", "1 2"),
        ("[]", ""),
        ("Phase 1 (and Phase 2)", "1 2"),
        ("the tables from Phase 2", "2"),
        ("Phase 2 API and Phase 1 models", "1 2"),
        ("Once Phase 1 has been approved", "1"),
        ("Phase 1: can be reused later", "1"),
        ("simultaneous with Phase 2, requires Phase 1", "1"),
        ("nach Phase 1, unabhängig von Phase 2", "1"),
        ("Fase 1 y Fase 2", "1 2"),
        ("aucune", ""),
        *(
            (value, None)
            for value in (
                "blocks Phase 5",
                "Phase 1; blocks Phase 5",
                "before Phase 5",
                "Phase 5 depends on this",
                "required by Phase 5",
                "prerequisite for Phase 5",
                "Phase 1, then Phase 5",
                "blocks all other phases",
                "not all previous phases",
                "Phase 1 is not required",
                "Phases 2 onwards",
                "~~Phase 2~~",
                "unlocks Phase 5",
                "Phase 5 uses this",
                "Phase 5 can only start after this",
                "this → Phase 5",
                "Phase 1 was Phase 2",
                "Phase 1 instead, Phase 2 if time permits",
                "conflicts with Phase 2",
                "skip Phase 2",
                "half of Phase 2",
                "50% of Phase 2",
                "a must for Phase 5",
                "everything but the documents",
                "antes de Phase 5",
                "Phase 1 statt Phase 2",
                "не зависит от Phase 2",
                "simultaneous with Phase 2",
                "as soon as Phase 2 has begun",
                "Phase 2 kicked off",
                "Phase 2 does not need to be finished",
                "starts with Phase 2",
                "can start before Phase 2 is done",
                "may overlap with Phase 2",
                "in any order with Phase 2",
                "once Phase 2 is started",
            )
        ),
    ],
)
def test_dependencies_are_understood_or_an_error(value, wanted):
    read = read_references(value, NAMES, 3)
    understood = not (read.prose or read.turned or read.undefined or read.unsure) and (read.places or read.says_none)
    assert (" ".join(sorted(NAMES.keys[place] for place in read.places)) if understood else None) == wanted


@pytest.mark.parametrize("remark", ["(optional)", "(can start early)", "(may overlap)", "(started is enough)", "(half of it)"])
def test_a_remark_in_brackets_that_loosens_a_dependency_is_told_since_nothing_follows_it(remark: str) -> None:
    read = read_references(f"Phase 1 {remark}, Phase 2 (for the tables)", NAMES, 3)
    assert (read.places, read.loose) == ([0, 1], [remark])


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("~~4~~ 6", 6),
        ("<del>4</del> 6 h", 6),
        ("3 x 2h", 6),
        ("2 hours × 3", 6),
        ("two and a half hours", 2.5),
        ("an hour and a half", 1.5),
        ("1h30", 1.5),
        ("2 (was 4 hours)", 2),
        ("0.469", 0.469),
        *(
            (text, None)
            for text in (
                "9:30",
                "14:00-16:00",
                "9am - 5pm",
                "1 200",
                "1'200",
                "1,200",
                "1.200",
                "1.200,5",
                "2 Stunden",
                "3 jours",
                "5 小时",
                "2h per file",
                "2h each",
                "50% of a day",
                "8h → 12h",
                "1 day, at most 2 days",
                "2 people x 3 days",
                "2 plus 3",
                "90 seconds",
                "2 días",
                "4h -> 2h",
                "2h × 2 people",
                "3 days with 2 devs",
                "an hour or two",
                "2h of 8h",
                "4h +/- 1",
                "TBD (2h?)",
            )
        ),
    ],
)
def test_hours_are_understood_or_an_error(written, hours):
    reading = read_hours(written)
    assert (reading.hours, bool(reading.message)) == (hours, hours is None)


def test_json_is_read_in_any_case_and_depth_and_says_what_it_does_not_read():
    first = {"ID": "A-1", "Title": "x" * 12_000, "Tasks": ["a"], "estimatedHours": 5, "colour": "red"}
    second = {"ID": "A-2", "DependsOn": ["A-1"], "acceptanceCriteria": ["b"], "success_criteria": ["c"], "Steps": ["d"]}
    reading = read_plan(json.dumps({"master": {"userStories": [first, second]}}))
    one_phase, other = reading.plan.phases
    assert (one_phase.hours, other.dependencies, [gate.text for gate in other.gates]) == (5.0, ("A-1",), ["b", "c"])
    assert (reading.errors, [issue.field for issue in reading.warnings if issue.code == "unknown-field"]) == ((), ["colour"])


def test_every_field_in_lower_case_is_read():
    body = "\n".join(f"{name.lower()}: {value}" for name, value in FIELDS.items())
    assert codes(one(body + LISTS)) == []


UNKNOWN = """# Shop

Overview.

## Chapter 1: Cart

1. Write src/cart.py
2. Write tests

## Chapter 2: Payment

**Depends on**: Chapter 1

1. Take money

## Chapter 3: Mail

1. Send it
"""


def test_document_without_phases_says_what_it_holds_and_how_it_could_be_read():
    [issue] = read_plan(UNKNOWN).errors
    assert "3 headings (“Chapter 1: Cart” and others like it), 4 numbered items" in issue.message
    one_by_one, together = (read_plan(apply_repair(UNKNOWN, repair)).plan.phases for repair in issue.repairs)
    assert [(found.key, found.dependencies, len(found.steps)) for found in one_by_one] == [("1", (), 2), ("2", ("1",), 1), ("3", ("2",), 1)]
    assert [found.dependencies for found in together] == [(), ("1",), ()]


@pytest.mark.parametrize("text", [UNKNOWN, "**Chapter 1: A**\n\n1. b\n\n**Chapter 2: B**\n\n1. c\n", "Do it:\n\n1. a\n"])
def test_all_repairs_at_once_lead_to_a_plan_without_errors_that_says_what_is_assumed(text):
    proposal, *others = choices(text)
    found = read_plan(proposal.text)
    assert (found.errors, proposal.errors) == ((), 0)
    assert {assumed for one_phase in found.plan.phases for assumed in one_phase.assumed} == {"Estimated Hours", "Complexity"}
    assert all(other.hours < proposal.hours for other in others)


def test_plain_bullets_of_an_unknown_document_become_steps_and_no_dependencies():
    text = repair_all("# Map\n\n## Features\n\n- Resize\n- Store\n\n## Links\n\nMore of them.\n\n- Join\n").text
    assert [(list(phase.dependencies), len(phase.steps)) for phase in parse_plan(text).phases] == [([], 2), (["1"], 1)]


def test_repairs_at_once_keep_the_order_of_the_numbers():
    text = plan(phase("1"), *(phase(key, Files_Modified=f"{key}.py", Dependencies=None) for key in ("2a", "2b", "3")))
    in_order, together = choices(text)
    assert [found.dependencies for found in read_plan(in_order.text).plan.phases] == [(), ("1",), ("1",), ("2a", "2b")]
    assert (in_order.hours, together.hours) == (6.0, 2.0)


def test_what_is_struck_through_is_neither_done_nor_judged_nor_declared():
    lists = "\n\n**Steps**:\n- [ ] a\n- [ ] ~~b~~\n\n**Gates**:\n- <del>c</del>\n- d\n"
    text = plan(
        phase("1", Files_Modified="src/a.py, ~~src/b.py~~, src/c.py", lists=lists),
        phase("2", Files_Modified="\n- src/d.py\n- ~~src/e.py~~", Dependencies="Phase 1"),
    )
    reading = read_plan(text)
    first, second = reading.plan.phases
    assert (first.files, second.files) == (("src/a.py", "src/c.py"), ("src/d.py",)) and not reading.errors
    assert ([step.text for step in first.steps], [gate.text for gate in first.gates]) == (["a"], ["d"])
    struck = [text.split("\n").index(line) + 1 for line in ("- [ ] ~~b~~", "- <del>c</del>")]
    assert [piece.line for piece in reading.accounting.unread if "struck" in piece.why] == struck


def test_an_item_that_says_that_there_is_none_is_no_work() -> None:
    text = plan(phase("1", lists="\n\n**Steps**:\n1. None\n\n**Gates**:\n- [ ] N/A\n- None (documentation only)\n"))
    reading = read_plan(text)
    assert [issue.code for issue in reading.errors] == ["no-work"]
    assert [piece.why for piece in reading.accounting.unread] == ["It says that there is none."] * 3
    held = plan(phase("1", lists="\n\n**Steps**:\n1. Nothing else (not even tests) may call it\n\n**Gates**:\n- None: `make diff`\n"))
    [found] = read_plan(held).plan.phases
    assert len(found.steps) == len(found.gates) == 1


def test_a_phase_whose_heading_calls_it_off_is_warned_of_since_it_would_be_carried_out() -> None:
    heads = ("B [SKIPPED]", "~~B~~", "B (deferred to next year)", "B [COMPLETED]", "B (skip list)", "B [a] ~ b")
    for head, told in zip(heads, (True, True, True, False, False, False), strict=True):
        reading = read_plan(f"# P\n\n## Phase 1: A\n- [ ] a\n\n## Phase 2: {head}\n- [ ] b\n")
        assert [issue.phase for issue in reading.warnings if issue.code == "called-off"] == ["2"] * told, head


@pytest.mark.parametrize("head", ["## Phase 1: A", "### Task 1: A"])
def test_steps_that_are_marked_as_called_off_or_begun_are_warned_of_since_they_would_be_done(head: str) -> None:
    second = head.replace("1", "2")
    text = f"# P\n\n{head}\n**Steps**:\n- [ ] a\n- [-] b\n- [-] c\n- [~] d\n- [ ] [-] e\n\n{second}\n**Steps**:\n- [>] f\n- g\n"
    told = [(issue.code, issue.line, issue.message) for issue in read_plan(text).warnings if " marked as " in issue.message]
    assert told == [
        ("called-off", 6, "2 steps of Phase 1 are marked as called off ([-]). As written they are done: remove what is not to be."),
        ("already-done", 8, "1 step of Phase 1 is marked as begun ([~]). As written it is done from the start."),
        ("called-off", 13, "1 step of Phase 2 is marked as put off ([>]). As written it is done: remove what is not to be."),
    ]
