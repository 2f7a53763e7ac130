"""The review of a plan that is being written: each finding with its line and, where there is one, a repair that ends it."""

import time

import pytest

from batches.core.plans.analysis import analyse_document
from batches.core.plans.types import apply_repair
from batches.core.review.plan_review import BaseFiles, PlanReview, files_run, review_plan
from batches.core.review.tree_names import TreeNames, is_slip
from batches.core.review.types import Severity
from tests.batches.builders import plan_text
from tests.batches.world import phase, plan

TREE = ("README.md", "pyproject.toml", "scripts/check.sh", "src/shop/basket.py", "src/shop/__init__.py", "tests/test_basket.py")
GATES = ("`test -d .`", "`test -d src`", "`test -d tests`")


def reviewed(text: str, *files: str, **said) -> PlanReview:
    report = analyse_document(text)
    stages = report.analysis.stages if report.analysis else ()
    return review_plan(report.reading.plan.phases, stages, text.split("\n"), BaseFiles(TreeNames(files or TREE), **said))


def told(text: str, *files: str, **said) -> list[tuple[str, str]]:
    """(the line in words, message) of findings about files."""
    lines = text.split("\n")
    found = reviewed(text, *files, **said).findings
    return [(lines[one.line - 1], one.message) for one in found if "gate" not in one.message or "runs" in one.message]


def one(*, files: str = "src/shop/basket.py", steps: tuple[str, ...] = ("true",), gates: tuple[str, ...] = GATES) -> str:
    return plan(phase("1", files=files, steps=steps, gates=gates))


def test_a_plan_whose_files_exist_or_are_new_has_no_finding_about_them():
    text = one(files="src/shop/basket.py, src/shop/order.py, docs/")
    assert told(text) == []
    assert reviewed(text).new_files == ("src/shop/order.py", "docs/")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("src/shop/baskte.py", "src/shop/basket.py"),
        ("src/shop/Basket.py", "src/shop/basket.py"),
        ("src/shop/baskets.py", "src/shop/basket.py"),
        ("scrpts/check.sh", "scripts/check.sh"),
        ("script/chekc.sh", "scripts/check.sh"),
        ("pyproject.tom", "pyproject.toml"),
        ("READNE.md", "README.md"),
    ],
)
def test_a_path_that_is_an_existing_one_misspelt_is_told_and_put_right_at_one_press(written, meant):
    text = one(files=f"{written}, notes.txt")
    (finding,) = [one for one in reviewed(text).findings if "looks like" in one.message]
    assert finding.severity is Severity.MINOR
    assert text.split("\n")[finding.line - 1] == f"**Files Modified**: {written}, notes.txt"
    assert reviewed(text).new_files == ("notes.txt",)
    assert finding.repair is not None
    assert told(apply_repair(text, finding.repair)) == []
    assert analyse_document(apply_repair(text, finding.repair)).reading.plan.phases[0].files[0] == meant


@pytest.mark.parametrize("path", ["src/shop/order.py", "src/a.py", "tests/test_basket2.py", "script2/check.sh", "docs/README.md"])
def test_a_new_name_is_no_misspelt_one(path):
    assert told(one(files=path)) == []
    assert reviewed(one(files=path)).new_files == (path,)


def test_a_path_that_is_marked_as_new_or_stands_beside_the_one_it_looks_like_is_meant():
    text = one().replace("**Files Modified**: src/shop/basket.py", "**Files Modified**:\n- `src/shop/baskets.py` (NEW)\n")
    assert told(text) == []
    assert told(one(files="src/shop/baskets.py, src/shop/basket.py")) == []


def test_what_git_would_not_commit_is_major_and_names_what_keeps_it_out():
    text = one(files="lib/a.py, vendor/x/b.c, big.bin")
    said = {"ignored": {"lib/a.py": ".gitignore:1 `lib/`"}, "submodules": {"vendor/x/b.c": "vendor/x"}, "filtered": {"big.bin": "lfs"}}
    found = [one for one in reviewed(text, **said).findings if one.severity is Severity.MAJOR]
    assert [finding.message for finding in found] == [
        "Phase 1: lib/a.py is kept out of every commit by .gitignore:1 `lib/`.",
        "Phase 1: vendor/x/b.c lies in the submodule vendor/x, and no batch can commit it.",
        "Phase 1: big.bin goes through the filter lfs, which is not run.",
    ]


def test_a_protected_path_that_a_step_names_is_declared_at_one_press():
    text = one().replace("1. Step 1 of 1", "1. Raise the version in `pyproject.toml` and write it down")
    said = {"protected": {"pyproject.toml": "pyproject.toml"}}
    (finding,) = [one for one in reviewed(text, **said).findings if "protected" in one.message]
    assert finding.message.startswith("Phase 1: step 1 names pyproject.toml, a protected path")
    declared = apply_repair(text, finding.repair)
    assert "**Files Modified**: src/shop/basket.py, pyproject.toml\n" in declared
    assert [one.message for one in reviewed(declared, **said).findings if "protected" in one.message] == [
        "Phase 1: pyproject.toml is a protected path (pyproject.toml). It is declared, so its change needs no look."
    ]
    listed = text.replace("**Files Modified**: src/shop/basket.py", "**Files Modified**:\n- `src/shop/basket.py`\n")
    (finding,) = [one for one in reviewed(listed, **said).findings if "protected" in one.message]
    assert "- `src/shop/basket.py`\n- `pyproject.toml`\n" in apply_repair(listed, finding.repair)


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("python scripts/a.py --fast", ["scripts/a.py"]),
        ("./scripts/a.sh", ["scripts/a.sh"]),
        ("bash scripts/a.sh && node tools/b.js", ["scripts/a.sh", "tools/b.js"]),
        ("pytest -q tests/test_a.py::test_b tests/unit", ["tests/test_a.py", "tests/unit"]),
        ("python -m pytest tests/test_a.py", ["tests/test_a.py"]),
        ("cd web && node test/run.js", ["web/test/run.js"]),
        ("pytest -q", []),
        ("python -c 'import a.b'", []),
        ("python -m http.server", []),
        ("bash $HOME/a.sh", []),
        ("bash /usr/bin/a.sh", []),
        ("node ../a.js", []),
        ("./node_modules/.bin/jest", []),
        ("make && ./build/app", []),
        ("cat scripts/a.sh", []),
        ("python 'unclosed", []),
    ],
)
def test_the_files_that_a_command_runs(command, files):
    assert files_run(command) == files


@pytest.mark.parametrize("where", ["step", "gate"])
def test_a_command_that_runs_a_file_that_nobody_creates_is_told(where):
    command = "bash scripts/deploy.sh"
    text = one(steps=(command,)) if where == "step" else one(gates=(f"`{command}`", *GATES))
    number = 1
    assert told(text) == [
        (f"   {command}" if where == "step" else f"- [ ] `{command}`",
         f"Phase 1: {where} {number} runs scripts/deploy.sh, which does not exist, and neither this phase nor one before it creates it.")
    ]  # fmt: skip
    for files in ("scripts/deploy.sh", "scripts/", "scripts/*.sh"):
        assert told(one(files=files, steps=(command,))) == []
    assert told(one(steps=("echo true > scripts/deploy.sh", command))) == []
    assert told(one(steps=("echo true > scripts/deploy.sh; bash scripts/deploy.sh",))) == []


def test_a_command_that_runs_an_existing_file_misspelt_is_put_right_at_one_press():
    text = one(gates=("`bash scripts/chekc.sh`", *GATES))
    (finding,) = [one for one in reviewed(text).findings if "runs" in one.message]
    assert finding.message == "Phase 1: gate 1 runs scripts/chekc.sh, which does not exist; scripts/check.sh does."
    assert told(apply_repair(text, finding.repair)) == []


def test_a_file_of_a_phase_that_is_not_waited_for_is_told_and_the_repair_waits_for_it():
    first = phase("1", files="scripts/new.sh", steps=("true",), gates=GATES)
    text = plan(first, phase("2", files="a.txt", steps=("bash scripts/new.sh",), gates=GATES))
    (finding,) = [one for one in reviewed(text).findings if "runs" in one.message]
    assert "does not exist until Phase 1 is merged" in finding.message
    repaired = apply_repair(text, finding.repair)
    assert analyse_document(repaired).reading.plan.phases[1].dependencies == ("1",)
    assert told(repaired) == []
    third = phase("3", needs="Phase 2", files="b.txt", steps=("bash scripts/new.sh",), gates=GATES)
    assert told(repaired + third) == []  # by way of phase 2


def test_what_the_rules_of_a_review_find_stands_at_its_line():
    text = one(gates=("`test -d .`",)).replace("1. Step 1 of 1", "1. Do")
    lines = {one.message: text.split("\n")[one.line - 1] for one in reviewed(text).findings}
    assert lines["Phase 1: There is 1 gate; fewer than 3 prove little."] == "- [ ] `test -d .`"
    assert lines["Phase 1: The step is vague: it has 1 word."] == "1. Do"
    pressed = one().replace("**Estimated Hours**: 1", "**Estimated Hours**: 9")
    lines = {one.message: pressed.split("\n")[one.line - 1] for one in reviewed(pressed).findings}
    assert lines["Phase 1: 9 hours are unusual for low complexity, which takes 0 to 4."] == "**Estimated Hours**: 9"


def test_a_plan_in_a_circle_or_with_nothing_in_it_is_reviewed_as_far_as_it_goes():
    circle = plan(phase("1", needs="Phase 2", steps=("bash a/b.sh",)), phase("2", needs="Phase 1"))
    assert [message for _, message in told(circle) if "runs" in message]
    assert review_plan((), (), [], None) == PlanReview(())


def test_slips_of_the_keyboard():
    assert is_slip("basket.py", "baskte.py")
    assert is_slip("Basket.py", "basket.py")
    assert not is_slip("basket.py", "basket.py")
    assert not is_slip("page1.html", "page2.html")
    assert not is_slip("cart.py", "card.py")  # too short to tell
    assert not is_slip("basket.py", "gasketh.py")


def test_reviewing_500_phases_beside_20_000_files_stays_under_300_milliseconds():
    text = plan_text(500, width=20)
    report = analyse_document(text)
    names = TreeNames(f"src/part{number % 200}/module_{number}.py" for number in range(20_000))
    base = BaseFiles(names, protected={"pyproject.toml": "pyproject.toml"})
    lines, stages = text.split("\n"), report.analysis.stages
    names.has("src")  # read once for each commit
    best = 9.0
    for _ in range(3):
        start = time.process_time()
        review_plan(report.reading.plan.phases, stages, lines, base)
        best = min(best, time.process_time() - start)
    assert best < 0.3


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("s", ["scripts/", "src/"]),
        ("src/shop/b", ["src/shop/basket.py"]),
        ("SRC/", ["src/shop/__init__.py", "src/shop/basket.py"]),
        ("basket", ["src/shop/basket.py", "tests/test_basket.py"]),
        ("README.md", []),
        ("shop/ba", ["src/shop/basket.py"]),
        ("nothing", []),
        ("", ["README.md", "pyproject.toml", "scripts/"]),
    ],
)
def test_paths_that_go_on_as_what_is_typed_come_before_those_that_hold_it(typed, found):
    assert TreeNames(TREE).like(typed, 3) == found
