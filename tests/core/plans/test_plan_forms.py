"""Every way of writing a plan that docs/plan-format.md lists, one sample each."""

import pytest

from batches.core.gates.binding import bind_gate
from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.reader import apply_repair, read_plan
from subagents.contract import GateKind
from tests.core.plans.samples import LISTS, codes, linked, one, phase, plan


def keys(text):
    return [one_phase.key for one_phase in read_plan(text).plan.phases]


def test_plan_in_the_framework_format_has_no_fault():
    assert codes(read_plan(plan())) == []


@pytest.mark.parametrize(
    "line",
    [
        "**Goal**: Ship it",
        "**Goal:** Ship it",
        "__Goal__: Ship it",
        "**Objective**: Ship it",
        "Goal: Ship it",
        "- **Goal**: Ship it",
        "* Goal: Ship it",
        "**goal** : Ship it",
        "**GOAL:** Ship it",
        "**Goal** - Ship it",
        "**Goal** — Ship it",
        "**🎯 Goal**: Ship it",
        "> **Goal**: Ship it",
        "#### Goal\n\nShip it",
        "#### Goal: Ship it",
        "**Goal**:\n\nShip it",
        "**Goal**: Ship\nit",
        "**Goal**: Ship it  ",
        "**Goal (short)**: Ship it",
        "**Goal**:\n- Ship it",
    ],
)
def test_goal_is_read_in_every_form(line):
    assert one(line).plan.phases[0].goal == "Ship it"


@pytest.mark.parametrize(
    ("heading", "key", "title"),
    [
        ("### Phase 1: Setup", "1", "Setup"),
        ("## Phase 2a: Setup", "2a", "Setup"),
        ("#### Phase 0.5: Setup", "0.5", "Setup"),
        ("### Phase B: Setup", "B", "Setup"),
        ("### PHASE 1: Setup", "1", "Setup"),
        ("## Phase 0 — Setup", "0", "Setup"),
        ("## Phase 1 – Setup", "1", "Setup"),
        ("## Phase 1 - Setup", "1", "Setup"),
        ("## Phase 1. Setup", "1", "Setup"),
        ("## Phase 1", "1", ""),
        ("## Phase 2 (MVP)", "2", "(MVP)"),
        ("### Phase 1: Setup [COMPLETED]", "1", "Setup"),
        ("### Phase 1: [COMPLETED] Setup", "1", "Setup"),
        ("### Phase 1: Setup ✅", "1", "Setup"),
        ("### 🚀 Phase 1: Setup", "1", "Setup"),
        ("### **Phase 1: Setup**", "1", "Setup"),
        ("### 3.1 Phase 1: Setup", "1", "Setup"),
        ("### Phase 1: Setup `tools/x.py`", "1", "Setup `tools/x.py`"),
        ("### Phase II: Setup", "II", "Setup"),
        ("Phase 1: Setup\n--------------", "1", "Setup"),
        ("### Phase 2.1A: Setup", "2.1A", "Setup"),
        ("### Phase 1: Setup `[COMPLETED]`", "1", "Setup"),
        ("### Phase 1: Setup {#setup}", "1", "Setup"),
        ("### Phase 1: [Setup](setup.md)", "1", "Setup"),
        ("### Phase 4 (optional): Extras", "4", "Extras (optional)"),
        ("### Phase 1\ufe0f\u20e3: Setup", "1", "Setup"),
    ],
)
def test_phase_heading_is_read_in_every_form(heading, key, title):
    [found] = read_plan(f"# Plan\n\n{heading}\n\n**Goal**: x\n").plan.phases
    assert (found.key, found.title) == (key, title)


@pytest.mark.parametrize(
    "heading",
    [
        "### Phase Dependency Graph",
        "### Phase 1 Execution",
        "### Why Phase 1 is Critical",
        "## Phases",
        "### Week 1: Phase 1 Work",
        "### Phased plan",
    ],
)
def test_heading_that_speaks_of_phases_opens_none(heading):
    assert keys(plan(phase("1")) + f"\n{heading}\n\nText.\n") == ["1"]


def test_word_for_a_key_is_a_phase_when_it_has_fields():
    assert keys(plan(phase("Alpha"), phase("Beta", Dependencies="Phase Alpha"))) == ["Alpha", "Beta"]
    words = plan(phase("core"), phase("core-api", Dependencies="Phase core"), phase("z", Dependencies="core-api and Phase core"))
    assert [found.dependencies for found in read_plan(words).plan.phases] == [(), ("core",), ("core", "core-api")]
    assert keys(plan(phase("1")) + "\n### Phase Overview: how it goes\n\nText.\n") == ["1"]


@pytest.mark.parametrize("heading", ["Phase 2 Build", "Phase 2 · Build", "Phase 2, Build", "Phase 2) Build", "Phase 2 of 3: Build"])
def test_heading_without_a_colon_is_a_phase_when_it_has_fields(heading):
    text = plan(phase("1"), phase("2", title="Build", Files_Modified="b.py").replace("Phase 2: Build", heading))
    assert [(found.key, found.title) for found in read_plan(text).plan.phases][1] == ("2", "Build")
    assert keys(plan(phase("1")) + f"\n### {heading}\n\nText.\n") == ["1"]


@pytest.mark.parametrize("key", ["1-a", "1/3", "2 & 3", "1.a", "4-8"])
def test_bad_key_of_a_section_with_fields_is_told_and_not_lost(key):
    text = plan(phase("1"), phase("2", title="Build").replace("Phase 2: Build", f"Phase {key}: Build"))
    assert "bad-key" in [code for _, code in codes(read_plan(text))]


def test_phases_in_bold_text_are_told_at_their_line():
    [issue] = read_plan("# Plan\n\n**Phase 1: Setup**\n\nText.\n").errors
    assert (issue.code, issue.line) == ("no-phases", 3)
    assert "### Phase 1: Setup" in issue.message


def test_phase_headings_of_mixed_levels_are_all_phases():
    text = plan(phase("1").replace("###", "##"), phase("2"), phase("3").replace("###", "####"), phase("4").replace("###", "##"))
    assert keys(text) == ["1", "2", "3", "4"]


def test_part_of_a_phase_is_no_phase_of_its_own():
    assert keys("# Plan\n\n" + phase("2").replace("###", "##") + "\n#### Phase 2.1A: First half\n\nText.\n") == ["2"]


def test_heading_repeated_without_fields_is_a_mention():
    reading = read_plan(
        plan(phase("1"), phase("2", Files_Modified="b.py")) + "\n## Acceptance\n\n### Phase 1\n\n- [ ] done\n\n### Phase 2\n\n- [ ] done\n"
    )
    assert [found.key for found in reading.plan.phases] == ["1", "2"]
    assert {issue.code for issue in reading.warnings} == {"repeated-heading"}
    assert not reading.errors


def test_overview_before_the_phases_is_a_mention():
    [first] = read_plan("# Plan\n\n### Phase 1: Base (the start)\n\nIn short.\n\n" + phase("1", title="Base")).plan.phases
    assert first.goal == "Do it"


def test_document_level_fields_do_not_leak():
    text = (
        "# Plan\n\n- **Effort**: 99 hours\n- **Dependencies**: Phase 7\n\n"
        + phase()
        + "\n## Dependencies\n\n**Depends On**: other work\n\n## Validation Gates\n\n- all\n"
    )
    reading = read_plan(text)
    assert reading.errors == ()
    assert (reading.plan.phases[0].hours, len(reading.plan.phases[0].gates)) == (2.0, 1)


def test_front_matter_is_no_part_of_the_plan():
    reading = read_plan("---\ntitle: From above\nestimated_hours: 9\n---\n\n" + phase())
    assert (reading.plan.title, reading.errors) == ("From above", ())
    assert reading.plan.phases[0].line == 6


def test_headings_inside_fences_are_text():
    assert keys(plan(phase()) + "\n```markdown\n### Phase 2: Sample\n```\n") == ["1"]


def test_fence_nested_in_a_markdown_example_does_not_end_it():
    example = (
        "```markdown\n# Sample\n\n### Phase 7: In the sample\n\n```sh\nls\n```\n\n### Phase 8: In the sample too\n\n```sh\nls\n```\n```\n"
    )
    assert keys(plan(phase()) + "\n## Notes\n\n" + example + "\n" + phase("2", Files_Modified="b.py")) == ["1", "2"]


def test_phases_as_a_list_are_read_when_there_is_no_heading():
    assert keys("# Plan\n\n- Phase 0: Spike\n\n  - Try it\n\n- Phase 1: Build\n\n  - **Goal**: Build it\n") == ["0", "1"]
    assert keys("# Plan\n\n- Phase 1: 1 hour\n- Phase 2: 2 hours\n") == []


def test_crlf_is_read_like_lf():
    text = plan(phase("1"), phase("2", Dependencies="Phase 1"))
    assert read_plan(text.replace("\n", "\r\n")) == read_plan(text) == read_plan(text.replace("\n", "\r"))


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("2h", 2),
        ("2 hours", 2),
        ("3-4", 3.5),
        ("3–4 hours", 3.5),
        ("2 to 3 hours", 2.5),
        ("~2", 2),
        ("about 3 h", 3),
        ("30 minutes", 0.5),
        ("90 min", 1.5),
        ("30-60 minutes", 0.75),
        ("1 day", 8),
        ("2 days", 16),
        ("~half day", 4),
        ("1–2 weeks", 60),
        ("1 week", 40),
        ("4h (increased from 3h)", 4),
        ("4-5 (reduced)", 4.5),
        ("1h 30m", 1.5),
        ("2 hours, with review", 2),
        ("30min-1h", 0.75),
        ("**3**", 3),
        ("8 hours (1 day)", 8),
        ("two hours", 2),
        ("3+ hours", 3),
        ("<1h", 1),
        ("2.5-3 hours", 2.75),
        ("1 hour and 15 minutes", 1.25),
    ],
)
def test_hours_are_read_in_every_form(written, hours):
    reading = one(f"**Estimated Hours**: {written}")
    assert (reading.plan.phases[0].hours, reading.plan.phases[0].hours_text) == (pytest.approx(hours), written)


@pytest.mark.parametrize("label", ["Effort", "Duration", "Time", "Timing", "Estimated Effort", "Estimated Hours"])
def test_hours_stand_under_many_names(label):
    assert one(f"**{label}**: 3 hours").plan.phases[0].hours == 3


def test_duration_in_the_heading_counts_where_there_is_no_field():
    [found] = read_plan("# Plan\n\n### Phase 1: Setup (30 minutes)\n\n**Goal**: x\n").plan.phases
    assert (found.hours, found.hours_text, found.title) == (0.5, "30 minutes", "Setup (30 minutes)")
    [week] = read_plan("# Plan\n\n### Phase 1: Setup (Week 1)\n\n**Goal**: x\n").plan.phases
    assert week.hours is None


@pytest.mark.parametrize(
    ("written", "complexity"),
    [("low", "low"), ("Medium", "medium"), ("HIGH", "high"), ("low-medium", "medium"), ("Medium (4-6 hours)", "medium"), ("Low.", "low")],
)
def test_complexity_is_read_in_every_form(written, complexity):
    assert one(f"**Complexity**: {written}").plan.phases[0].complexity == complexity


@pytest.mark.parametrize(
    ("body", "files"),
    [
        ("**Files Modified**: src/a.py, tests/test_a.py", ["src/a.py", "tests/test_a.py"]),
        ("**Files Modified**:\n- src/a.py\n- `tests/b.py`", ["src/a.py", "tests/b.py"]),
        ("**Files to modify**:\n- `src/a.py` - why\n- `src/b.py` — `other.py` calls it", ["src/a.py", "src/b.py"]),
        ("**Files to create**:\n- a.py (NEW)\n- b.py (new - a guide)", ["a.py", "b.py"]),
        ("**Files Created**:\n- a.py\n\n**Files Modified**:\n- b.py", ["a.py", "b.py"]),
        ("**Key files**: `a.py`, `b.py`", ["a.py", "b.py"]),
        ("#### Files\n\n- `./a.py`", ["a.py"]),
        ("- **Files**: `a.py`, `b.py`", ["a.py", "b.py"]),
        ("- **Files**:\n  - `a.py`\n  - `b.py`", ["a.py", "b.py"]),
        ("**Files Read** (not changed):\n- c.py", []),
        ("**Files Modified**: None (testing only)", []),
        ("**Files to modify**:\n- None (verification only)", []),
        ("**Files Modified**:\n- src/components/\n- docs/*.md", ["src/components/", "docs/*.md"]),
        ("**Files**:\n- `src/a.ts:71-82`\n- `src/b.ts:5`", ["src/a.ts", "src/b.ts"]),
        ("**Files**:\n- Create `src/new.ts` - a module", ["src/new.ts"]),
        ("**Files**:\n- Create 40+ directories under `lib/core/`", ["lib/core/"]),
        ("**Files**:\n- Possibly docs/*.md (if needed)", ["docs/*.md"]),
        ("**Files**:\n- src/**/*.py\n- **lib/a.py**\n- `**/x/**`", ["src/**/*.py", "lib/a.py", "**/x/**"]),
        ("**Files**: src/{a,b}.py", ["src/a.py", "src/b.py"]),
        ("**Files**: \"a.py\", 'b.py'", ["a.py", "b.py"]),
        ("**Files**: a.py and b.py", ["a.py", "b.py"]),
        ("**Files**: [a.py](src/a.py)", ["a.py"]),
        ("**Files**:\n```\nsrc/a.py\nsrc/b.py\n```", ["src/a.py", "src/b.py"]),
        ("**Files Modified**: `.github/ci.yml`", [".github/ci.yml"]),
        ("**Files to update**: a//b.py, a/./c.py", ["a/b.py", "a/c.py"]),
    ],
)
def test_files_are_read_in_every_form(body, files):
    assert list(one(body).plan.phases[0].files) == files


def test_prose_that_names_no_file_is_passed_over_with_a_warning():
    reading = one("**Files Modified**:\n- Multiple files in examples/ (moved)\n- docs/x.md")
    assert reading.plan.phases[0].files == ("docs/x.md",)
    assert "file-prose" in {issue.code for issue in reading.warnings}


@pytest.mark.parametrize(
    ("written", "dependencies"),
    [
        ("None", []),
        ("none", []),
        ("None (can run beside Phase 2)", []),
        ("N/A", []),
        ("-", []),
        ("—", []),
        ("None - independent of Phase 1", []),
        ("Phase 1", ["1"]),
        ("phase 2A", ["2a"]),
        ("1", ["1"]),
        ("1, 2a", ["1", "2a"]),
        ("Phases 1, 2a and 2b", ["1", "2a", "2b"]),
        ("Phase 1 (needs x, y)", ["1"]),
        ("Phase 1, Phase 2a (all of it)", ["1", "2a"]),
        ("Phase 1 and Phase 2a", ["1", "2a"]),
        ("Phase 1-2b", ["1", "2a", "2b"]),
        ("Phases 1–2b (all)", ["1", "2a", "2b"]),
        ("Phase 1 through 2b", ["1", "2a", "2b"]),
        ("All previous phases", ["1", "2a", "2b"]),
        ("All other phases", ["1", "2a", "2b", "4"]),
        ("Previous phase", ["2b"]),
        ("Base work", ["1"]),
        ("base WORK", ["1"]),
        ("Phase 1: Base work", ["1"]),
        ("Phase 1 - the base", ["1"]),
        ("Phase 1 — models, views and urls", ["1"]),
        ("After Phase 1", ["1"]),
        ("Phase 1 must be complete", ["1"]),
        ("Phase 1 + Phase 2a", ["1", "2a"]),
        ("Phase 1 & 2a", ["1", "2a"]),
        ("`Phase 1`", ["1"]),
        ("**Phase 1**", ["1"]),
        ("Requires Phases 1 and 2a to be merged", ["1", "2a"]),
        ("Phase 1; Phase 2b", ["1", "2b"]),
        ("All phases above", ["1", "2a", "2b"]),
    ],
)
def test_dependencies_are_read_in_every_form(written, dependencies):
    others = [phase("1", title="Base work"), phase("2a", title="Left"), phase("2b", title="Right")]
    reading = read_plan(plan(*others, phase("3", title="Join", Dependencies=written), phase("4", title="End")))
    assert (list(reading.plan.phases[3].dependencies), reading.errors) == (dependencies, ())


@pytest.mark.parametrize("label", ["Dependencies", "Depends on", "Blocked by", "Prerequisites"])
def test_dependencies_stand_under_many_names_and_as_bullets(label):
    reading = read_plan(plan(phase("1"), phase("2", Dependencies=None, lists=f"\n\n**{label}**:\n- Phase 1 (the base)\n{LISTS}")))
    assert (reading.plan.phases[1].dependencies, reading.errors) == (("1",), ())


def test_decimal_key_is_not_taken_for_its_whole_number():
    reading = read_plan(plan(phase("0"), phase("0.5"), phase("1", Dependencies="Phase 0, Phase 0.5")))
    assert reading.plan.phases[2].dependencies == ("0", "0.5")


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        ("**Implementation Steps**:\n1. One\n2. Two", ["One", "Two"]),
        ("**Steps**:\n- One\n- Two", ["One", "Two"]),
        ("#### Tasks\n\n- [ ] One\n- [x] Two", ["One", "Two"]),
        ("#### Deliverables\n- One", ["One"]),
        ("**Deliverables**:\n- A thing\n\n**Tasks**:\n1. One", ["One"]),
        ("**Steps**:\n1. One\n   - part\n   - part\n2. Two", ["One\n- part\n- part", "Two"]),
        ("**Steps**:\n\n**Back**:\n1. One\n2. Two\n\n**Front**:\n3. Three", ["One", "Two", "Three"]),
        (
            "**Steps**:\n\n**Back**:\n1. One\n\n**Front**:\n2. Two:\n   - part\n3. Three\n\n**End**:\n4. Four",
            ["One", "Two:\n- part", "Three", "Four"],
        ),
        ("**Steps**:\n1. One\n\n**Notes**:\n1. json\n2. yaml", ["One"]),
        ("**Steps**:\n1. One\n\n**Front**:\n1. Two\n2. Three", ["One", "Two", "Three"]),
        ("**Tasks**:\n\n**Back**:\n- [ ] One\n\n**Front**:\n- [ ] Two\n\n**Notes**:\n- none", ["One", "Two"]),
        ("#### Tasks\n\n##### Back\n\n- [ ] One\n\n##### Front\n\n- [ ] Two", ["One", "Two"]),
        ("**Steps**:\n1. One\n2. Two\n**Validation Gates**:\n- [ ] ok", ["One", "Two"]),
        ("**Steps**:\n1. One\n\n```python\nx = 1\n```\n\n2. Two", ["One", "Two"]),
    ],
)
def test_steps_are_read_in_every_form(body, steps):
    assert [step.text for step in one(body).plan.phases[0].steps] == steps


def test_shell_fences_of_a_step_are_its_commands():
    body = (
        "**Steps**:\n1. Build it\n   ```bash\n   make\n   make install\n   ```\n   then look\n2. Try it\n\n```\nrun\n```\n\n"
        "3. Read it\n   ```python\n   x = 1\n   ```\n4. Talk\n   ```console\n   $ ls\n   a.py\n   ```\n"
    )
    steps = one(body).plan.phases[0].steps
    assert [step.commands for step in steps] == [("make\nmake install",), ("run",), (), ("ls",)]
    assert steps[0].text == "Build it\nthen look"
    assert "x = 1" in steps[2].text


def test_an_empty_fence_is_no_command():
    """It would run, do nothing and succeed."""
    steps = "\n\n**Implementation Steps**:\n1. Build it\n   ```sh\n\n   ```\n\n**Validation Gates**:\n- [ ] It works\n"
    [read] = read_plan(plan(phase(lists=steps))).plan.phases
    assert [step.commands for step in read.steps] == [()]


def test_a_step_that_is_a_command_in_back_ticks_is_its_own_and_a_fence_wins():
    body = "**Steps**:\n1. `npm ci`\n2. `npm ci`\n   ```sh\n   npm install\n   ```\n3. Look at `npm ci`\n"
    assert [step.commands for step in one(body).plan.phases[0].steps] == [("npm ci",), ("npm install",), ()]


@pytest.mark.parametrize(
    ("body", "gates"),
    [
        ("**Validation Gates**:\n- [ ] a\n- [x] b", [("a", False), ("b", True)]),
        ("**Gates**:\n* a", [("a", False)]),
        ("**Verification**:\n- a\n  - detail", [("a\n- detail", False)]),
        ("#### Acceptance Criteria\n\n- [X] a", [("a", True)]),
        ("**Exit Criteria**\n- a", [("a", False)]),
        ("**Acceptance Criteria**:\n- other\n\n**Validation Gates**:\n- [ ] a", [("a", False)]),
        ("**Verification**:\n- [ ] a\n\n**Acceptance Criteria**:\n- [ ] b", [("a", False), ("b", False)]),
        ("**Done when**:\n- a\n\n**Success Criteria**:\n- b\n\n**Checkpoint**: c", [("a", False), ("b", False), ("c", False)]),
        ("**Files**: a.py\n**Steps**:\n1. x\n**Validation Gates**:\n- [ ] a\n- [ ] b", [("a", False), ("b", False)]),
    ],
)
def test_gates_are_read_in_every_form(body, gates):
    assert [(gate.text, gate.checked) for gate in one(body).plan.phases[0].gates] == gates


def test_several_fields_on_one_line_are_all_read():
    [found] = one("**Complexity**: low | **Effort**: 3h · **Dependencies**: None").plan.phases
    assert (found.complexity, found.hours, found.dependencies) == ("low", 3.0, ())


def test_fields_of_parts_do_not_speak_for_the_phase():
    body = "#### Item 1\n\n**Duration**: 2 days\n**Dependencies**: Item 0\n\n#### Item 2\n\n**Duration**: 1 day\n**Dependencies**: Item 1\n"
    reading = one(body)
    assert reading.plan.phases[0].hours is None
    assert [issue.code for issue in reading.errors] == [*["missing-field"] * 5, "no-work"]


def test_no_phases_says_where_headings_stand_in_fences():
    [fault] = read_plan("# Plan\n\n```markdown\n### Phase 1: Sample\n```\n").errors
    assert (fault.code, fault.line) == ("no-phases", 4)
    assert "line 4" in fault.message


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("1/2 day", 4),
        ("\u00bd day", 4),
        ("2\u00bd hours", 2.5),
        ("5 working days", 40),
        ("2 person-days", 16),
        ("2 or 3 hours", 2.5),
        ("between 1 and 2 hours", 1.5),
        ("1 hour and 30 minutes", 1.5),
        ("2h code + 1h tests", 3),
        ("6h (4h + 2h)", 6),
        ("Low (2h)", 2),
        ("Week 3 (~2 days)", 16),
        ("3 story points", None),
        ("1 sprint", None),
        ("Weeks 3-4", None),
    ],
)
def test_amounts_of_work_are_read_or_refused_never_guessed(written, hours):
    assert read_plan(plan(phase(Estimated_Hours=written))).plan.phases[0].hours == hours


@pytest.mark.parametrize("title", ["Setup (Est: 2h)", "Setup (estimated 1-3 hours)", "Setup - 2 hours", "Setup \u2014 2h"])
def test_duration_in_the_heading_is_read_in_every_form(title):
    text = plan(phase("1", title=title)).replace("**Estimated Hours**: 2\n", "")
    assert "**Estimated Hours**" not in text
    assert read_plan(text).plan.phases[0].hours == 2


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("\n- Create:\n  - a.py\n  - `b.py`\n- Modify:\n  - c.py", "a.py b.py c.py"),
        ("\n- **Create**: `a.py`, `b.py`\n- Delete: c.py", "a.py b.py c.py"),
        ("\n- Backend\n  - a.py\n- Frontend\n  - b.ts", "a.py b.ts"),
        ("\n- [NEW] a.py\n- \u2728 b.py", "a.py b.py"),
        ("\n\n| File | Why |\n|---|---|\n| `a.py` | new |\n| b.py | edit |", "a.py b.py"),
        ("\n\n| # | Path |\n|---|---|\n| 1 | a.py |", "a.py"),
        ("a.py b.py", "a.py b.py"),
        ("a.py & b.py", "a.py b.py"),
        ("`a.py` \u2192 `b.py`", "a.py b.py"),
        ("a.py, etc.", "a.py"),
        ("various", ""),
        ("docs/my file.md", ""),
        ("\n- src/\n  - a.py", "src/"),
        ("\n- Makefile\n  - add the target", "Makefile"),
    ],
)
def test_files_are_found_in_groups_tables_and_rows(written, names):
    assert " ".join(read_plan(plan(phase(Files_Modified=written))).plan.phases[0].files) == names


@pytest.mark.parametrize(
    ("written", "found", "code"),
    [
        ("Phase1, phase_2", "1 2", ""),
        ("Phase 1/2", "1 2", ""),
        ("[Phase 1](#phase-1)", "1", ""),
        ("~~Phase 1~~ None", "", ""),
        ("Everything above", "1 2", ""),
        ("Previous", "2", ""),
        ("None; can start at once", "", ""),
        ("None, 2", "2", "none-and-dependency"),
        ("Phase 1, can run in parallel with Phase 2", "1", ""),
        ("Can run in parallel with Phase 2", "", "unreadable-dependency"),
        ("Phase Z", "", "undefined-dependency"),
    ],
)
def test_what_a_phase_waits_for_is_told_from_what_it_only_mentions(written, found, code):
    reading = read_plan(plan(phase("1"), phase("2", Files_Modified="b.py"), phase("3", Files_Modified="c.py", Dependencies=written)))
    assert " ".join(reading.plan.phases[2].dependencies) == found
    assert [found_code for _, found_code in codes(reading)] == ([code] if code else [])


def test_whole_numbers_are_near_with_and_without_a_zero():
    issues = read_plan(plan(phase("2.0"), phase("3", Files_Modified="b.py", Dependencies="Phase 2"))).errors
    assert "Did you mean 2.0?" in issues[0].message


def test_numbered_headings_under_steps_are_the_steps():
    built = "##### Step 1: Build\n\nAll of it:\n\n- this\n\n```sh\nmake\n```\n\n"
    steps = f"#### Implementation Steps\n\n{built}##### Step 2 - Test\n\n- [ ] once\n"
    text = plan(phase("1", lists="")) + f"\n{steps}\n#### Validation Gates\n- [ ] ok\n"
    [found] = read_plan(text).plan.phases
    assert [(step.text.split("\n")[0], step.commands) for step in found.steps] == [("Build", ("make",)), ("Test", ())]
    assert [gate.text for gate in found.gates] == ["ok"]


def test_table_of_two_columns_may_hold_the_fields():
    rows = "| Goal | Ship |\n| **Effort** | 2 h |\n| Complexity | low |\n| Files | `a.py`, b.py |\n| Dependencies | None |"
    [found] = read_plan(f"# Plan\n\n### Phase 1: Setup\n\n| Field | Value |\n|---|---|\n{rows}\n").plan.phases
    assert (found.goal, found.hours, found.complexity, found.files) == ("Ship", 2, "low", ("a.py", "b.py"))


def test_bold_value_below_a_sub_heading_is_the_value():
    text = plan(phase("1")).replace("**Complexity**: low\n", "") + "\n#### Complexity\n\n**High** (production)\n"
    assert read_plan(text).plan.phases[0].complexity == "high"


def test_faults_of_a_second_phase_with_the_same_key_are_told_at_once():
    text = plan(phase("1"), phase("1", title="Other", Estimated_Hours="soon", Dependencies="Phase 9"))
    assert {"duplicate-key", "bad-hours", "undefined-dependency"} <= {code for _, code in codes(read_plan(text))}


def test_missing_field_of_a_phase_in_a_list_is_repaired_inside_the_list():
    text = "# Plan\n\n- Phase 1: Spike\n\n  - Try\n\n- Phase 2: Build\n\n  - **Goal**: x\n"
    first = read_plan(text).errors[0]
    assert first.repair is not None
    fixed = read_plan(apply_repair(text, first.repair))
    assert [(found.key, found.goal) for found in fixed.plan.phases] == [("1", "Spike"), ("2", "x")]


def test_json_files_in_braces_are_two_files_as_in_markdown():
    reading = read_plan('{"title": "x", "items": [{"id": "1", "dependencies": [], "files": ["src/{a,b}.py", "c.py"], "gates": ["a"]}]}')
    assert reading.plan.phases[0].files == ("src/a.py", "src/b.py", "c.py") and not reading.errors


def test_a_line_of_braces_without_end_is_a_name_that_is_too_long():
    braces = "{a,b}" * 1900
    in_json = read_plan(f'{{"items": [{{"id": "1", "dependencies": [], "files": ["{braces}"]}}]}}')
    in_markdown = read_plan(f"# P\n\n### Phase 1: x\n\n**Goal**: g\n**Files Modified**: `{braces}`\n")
    for reading in (in_json, in_markdown):
        assert "file-too-long" in [issue.code for issue in reading.errors] and not reading.plan.phases[0].files


def test_json_steps_keep_their_own_commands_and_empty_items_are_told():
    steps = '["a", {}, {"text": "b", "commands": ["make"]}, 3, {"commands": ["ls"]}]'
    item = f'{{"id": "1", "dependencies": [], "files": [], "steps": {steps}, "gates": ["", "ok"]}}'
    reading = read_plan(f'{{"title": "x", "items": [{item}]}}')
    assert [(step.text, step.commands) for step in reading.plan.phases[0].steps] == [("a", ()), ("b", ("make",)), ("3", ()), ("", ("ls",))]
    assert [(issue.code, issue.field) for issue in reading.errors if issue.code == "empty-item"] == [
        ("empty-item", "Implementation Steps"),
        ("empty-item", "Validation Gates"),
    ]


@pytest.mark.parametrize("command", ["mytool check --strict", "git status", "for f in *; do sh $f; done", "cat a | wc -l"])
def test_one_click_keeps_the_choice_in_the_text_and_the_command_runs(command: str) -> None:
    text = plan(phase("1", lists=f"\n\n**Steps**:\n1. a\n\n**Gates**:\n- [ ] Fine\n- [ ] It holds: `{command}`\n"))
    [fault] = read_plan(text).warnings
    fixed = apply_repair(text, fault.repair)
    assert f"- [ ] It holds: `{command}` (checked: `{command}`)" in fixed.split("\n")
    reading = read_plan(fixed)
    assert not reading.warnings and not reading.errors
    gate = bind_gate(2, reading.plan.phases[0].gates[1].text)
    assert (gate.kind, gate.command) == (GateKind.COMMAND, command)


@pytest.mark.parametrize("said", ["Phase A-12 and A-13 (both)", "`A-12`, `A-13`.", "A-12/A-13", "Phases A-12 and A-13", "after A-12, A-13"])
def test_a_key_of_letters_and_number_is_a_phase_wherever_it_stands(said):
    names = PhaseNames(["A-12", "A-13", "A-14"], ["Base", "Feed", "Page"])
    read_as = read_references(said, names, 2)
    assert read_as.places == [0, 1] and not (read_as.prose or read_as.undefined or read_as.unsure)


def test_a_label_may_end_with_a_full_stop():
    text = linked("1; 2 < 1")
    dotted = text.replace("**Goal**:", "**Goal.**").replace("**Dependencies**:", "**Dependencies.**")
    assert dotted != text and read_plan(dotted).plan == read_plan(text).plan


def test_json_that_says_nothing_of_the_order_keeps_the_order_written():
    reading = read_plan('{"items": [{"id": "1", "steps": ["a"]}, {"id": "2", "steps": ["b"]}, {"id": "3", "steps": ["c"]}]}')
    assert [phase.dependencies for phase in reading.plan.phases] == [(), ("1",), ("2",)]
    assert [phase.assumed for phase in reading.plan.phases] == [(), ("Dependencies",), ("Dependencies",)]
    said = read_plan('{"items": [{"id": "1", "steps": ["a"], "dependencies": []}, {"id": "2", "steps": ["b"]}]}')
    assert [phase.dependencies for phase in said.plan.phases] == [(), ()]
