"""A phase as a form: what is changed is written into the document's own text, and every other line stays as it is."""

import pytest

from batches.core.plans.phase_form import FormRefused, form_of, write_form
from batches.core.plans.reader import read_plan
from batches.core.plans.text_diff import lines_of

TEXT = """# Plan

Some words.

## Phase 1: Base 🚀

- **Goal:** Make the base
- **Effort**: 2-3 h (with review)
- **Complexity**: low
- **Dependencies**: None

**Files to create**:
- `src/a.py` (NEW)
- `src/b.py` - the helper

**Tasks**:
1. Write it
   ```sh
   make a
   ```
2. [x] Look at it

<!-- a remark -->

## Phase 2: On top
**Goal**: Use the base,
and say so
**Estimated Hours**: 4
**Complexity**: medium
**Files Modified**: src/c.py, src/d.py
**Dependencies**: Phase 1 (its tables)

**Validation Gates**:
- [ ] `pytest` passes
"""


def changed_lines(old: str, new: str) -> tuple[list[str], list[str]]:
    """The lines that are gone, and those that are new."""
    before, after = lines_of(old), lines_of(new)
    return [line for line in before if line not in after], [line for line in after if line not in before]


def test_the_form_shows_the_fields_as_they_are_written():
    form = form_of(TEXT, "1")
    assert (form.title, form.goal, form.hours, form.complexity) == ("Base", "Make the base", "2-3 h (with review)", "low")
    assert (form.files, form.dependencies, form.gates) == ("src/a.py\nsrc/b.py", "None", "")
    assert form.steps == "1. Write it\n   ```sh\n   make a\n   ```\n2. [x] Look at it"
    assert form_of(TEXT, "2").goal == "Use the base, and say so" and form_of(TEXT, "2").dependencies == "Phase 1 (its tables)"


@pytest.mark.parametrize(
    ("key", "name", "value", "gone", "new"),
    [
        ("1", "title", "Ground", ["## Phase 1: Base 🚀"], ["## Phase 1: Ground 🚀"]),
        ("1", "goal", "Lay the ground", ["- **Goal:** Make the base"], ["- **Goal:** Lay the ground"]),
        ("1", "hours", "3", ["- **Effort**: 2-3 h (with review)"], ["- **Effort**: 3"]),
        ("1", "complexity", "high", ["- **Complexity**: low"], ["- **Complexity**: high"]),
        ("1", "files", "src/a.py\nsrc/new.py", ["- `src/b.py` - the helper"], ["- `src/new.py`"]),
        ("1", "steps", "1. Write it\n2. Read it", ["   ```sh", "   make a", "   ```", "2. [x] Look at it"], ["2. Read it"]),
        ("1", "gates", "It works\n`true` passes", [], ["- [ ] It works", "- [ ] `true` passes"]),
        ("2", "goal", "Use it", ["**Goal**: Use the base,", "and say so"], ["**Goal**: Use it"]),
        ("2", "files", "src/c.py", ["**Files Modified**: src/c.py, src/d.py"], ["**Files Modified**: src/c.py"]),
        ("2", "dependencies", "None", ["**Dependencies**: Phase 1 (its tables)"], ["**Dependencies**: None"]),
        ("2", "steps", "Build it", [], ["**Implementation Steps**:", "1. Build it"]),
    ],
)
def test_one_change_alters_the_lines_of_its_field_and_no_other(key, name, value, gone, new):
    written = write_form(TEXT, key, {name: value})
    removed, added = changed_lines(TEXT, written)
    assert removed == gone and [line for line in added if line != "**Validation Gates**:"] == new
    assert getattr(form_of(written, key), name) == value or name in ("gates", "steps")
    assert write_form(written, key, {name: value} if name not in ("gates", "steps") else {}) == written


def test_a_field_that_is_not_there_is_added_below_the_others():
    text = TEXT.replace("**Estimated Hours**: 4\n", "")
    assert "**Dependencies**: Phase 1 (its tables)\n**Estimated Hours**: 4\n" in write_form(text, "2", {"hours": "4"})


def test_the_same_values_change_nothing_with_every_line_end():
    form = form_of(TEXT, "1")
    same = {name: getattr(form, name).replace("\n", "\r\n") for name in ("title", "goal", "hours", "files", "steps", "gates")}
    assert write_form(TEXT, "1", same) == TEXT


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("goal", "", "cannot be empty"),
        ("hours", "soon", "is not a number of hours"),
        ("dependencies", "Phase 9", "does not exist"),
        ("dependencies", "Phase 2", "itself"),
        ("files", "../x", ".."),
        ("goal", "Text\n\n## Phase 3: Mine\n\n**Goal**: x", "Goal occurs twice"),
        ("steps", "1. Do it\n```sh\nmake", "another phase"),
        ("steps", "", "cannot be emptied"),
    ],
)
def test_what_the_plan_would_not_say_is_refused_and_nothing_is_changed(name, value, words):
    with pytest.raises(FormRefused, match=words):
        write_form(TEXT, "2" if name != "steps" else "1", {name: value})


def test_a_heading_typed_into_a_list_opens_no_phase():
    written = read_plan(write_form(TEXT, "1", {"steps": "1. Do it\n\n## Phase 3: Mine"}))
    assert [phase.key for phase in written.plan.phases] == ["1", "2"] and len(written.plan.phases[0].steps) == 2


def test_plans_of_other_tools_and_phases_that_are_not_there_have_no_form():
    with pytest.raises(FormRefused, match="another tool"):
        form_of("# Tasks\n\n## Phase 1: A\n\n- [ ] T001 Do it\n", "1")
    with pytest.raises(FormRefused, match="no single phase"):
        form_of(TEXT, "7")
