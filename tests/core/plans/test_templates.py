"""Templates of plans: each reads back without errors for what is known, and asks with a line for what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.gates.binding import GateKind
from batches.core.gates.discovery import propose
from batches.core.plans.analysis import analyse_document, checks_of
from batches.core.plans.templates import ABOUT_CHARACTERS, ProjectShape, TemplateKind, shape_of, template
from batches.core.plans.types import IssueCode

PYTHON = {
    "pyproject.toml": "[tool.pytest]\n[tool.ruff]\n",
    **dict.fromkeys(("src/shop/cart.py", "tests/test_cart.py", "docs/use.md", "README.md"), ""),
}
JAVASCRIPT = {
    "package.json": '{"scripts": {"test": "node --test", "lint": "eslint .", "build": "vite build"}}',
    "package-lock.json": "{}",
    "src/cart.js": "",
    "src/cart.test.js": "",
}
UNKNOWN = {"notes.txt": ""}
ABOUT = "Totals are wrong for an empty order."


def shape(files: dict[str, str]) -> ProjectShape:
    return shape_of(list(files), propose(list(files), files))


@pytest.mark.parametrize("files", [PYTHON, JAVASCRIPT], ids=["python", "javascript"])
@pytest.mark.parametrize("kind", TemplateKind)
def test_a_template_for_a_known_project_is_executable_and_every_gate_of_it_is_run(kind, files):
    report = analyse_document(template(kind, shape(files), ABOUT))
    assert (report.reading.errors, report.reading.warnings) == ((), ())
    assert report.analysis is not None
    assert not [one for one in report.analysis.conflicts if one.kind != "ordered"]
    checks = [read.gate for phase in report.reading.plan.phases for read in checks_of(phase)]
    assert checks
    assert GateKind.UNVERIFIED not in {gate.kind for gate in checks}


@pytest.mark.parametrize("kind", TemplateKind)
def test_what_nobody_knows_of_an_unknown_repository_is_an_error_with_the_line_to_fill_in(kind):
    text = template(kind, shape(UNKNOWN))
    reading = analyse_document(text).reading
    lines = text.split("\n")
    assert {error.code for error in reading.errors} == {IssueCode.UNFILLED_TEMPLATE}
    assert {error.line for error in reading.errors} == {number for number, line in enumerate(lines, start=1) if "[FILL IN:" in line}
    assert reading.errors[0].line == 1  # what the work is about becomes the title
    assert reading.plan.phases


def test_the_commands_and_folders_of_the_project_stand_in_the_plan():
    python, javascript = (template(TemplateKind.BUG_FIX, shape(files), ABOUT) for files in (PYTHON, JAVASCRIPT))
    assert "# Fix: Totals are wrong for an empty order\n" in python
    assert [line for line in python.split("\n") if line.startswith("- `")] == ["- `tests/`", "- `src/`", "- `tests/`"]
    assert "`python -m pytest -q`" in python
    assert "`ruff check .`" in python
    assert "   ```sh\n   npm run test\n   ```" in javascript
    assert "- `src/**/*.test.js`" in javascript
    assert "`npm run build`" in javascript


@pytest.mark.parametrize(
    ("files", "sources", "tests"),
    [
        (["app.py", "test_app.py"], ("*.py",), ("test_*.py",)),
        (["cmd/main.go", "internal/a.go", "internal/b.go", "internal/a_test.go"], ("internal/", "cmd/"), ("internal/**/*_test.go",)),
        (["web/src/a.ts", "web/tests/a.ts", "vendor/x/y.go", ".github/z.py"], ("web/",), ("web/tests/",)),
        (["lib/a.rb", "spec/a_spec.rb", "examples/b.rb"], ("lib/",), ("spec/",)),
    ],
)
def test_folders_of_code_and_of_tests_are_told_apart(files, sources, tests):
    found = shape_of(files, propose(files, {}))
    assert (found.sources, found.tests) == (sources, tests)


@pytest.mark.long
@given(st.text(max_size=300))
def test_no_sentence_about_the_work_changes_what_the_plan_is(about):
    plain = analyse_document(template(TemplateKind.FEATURE, shape(PYTHON), ABOUT)).reading.plan
    reading = analyse_document(template(TemplateKind.FEATURE, shape(PYTHON), about)).reading
    assert [(phase.key, phase.title, phase.files, phase.dependencies, len(phase.steps), len(phase.gates)) for phase in plain.phases] == [
        (phase.key, phase.title, phase.files, phase.dependencies, len(phase.steps), len(phase.gates)) for phase in reading.plan.phases
    ]


def test_a_place_to_fill_in_is_an_error_in_a_command_too_and_hides_what_else_is_wrong_with_its_line():
    text = template(TemplateKind.BUG_FIX, shape(PYTHON), ABOUT).replace("python -m pytest -q", "[FILL IN: the command]", 1)
    text = text.replace("**Estimated Hours**: 1", "**Estimated Hours**: [FILL IN: how many]", 1)
    errors = analyse_document(text).reading.errors
    assert [error.message.partition(". ")[0] for error in errors] == [
        "Still to be filled in: how many",
        "Still to be filled in: the command",
    ]


def test_a_long_sentence_is_cut():
    (title,) = (line for line in template(TemplateKind.FEATURE, ProjectShape(), "a" * 1000).split("\n") if line.startswith("# "))
    assert title == "# Feature: " + "a" * ABOUT_CHARACTERS
