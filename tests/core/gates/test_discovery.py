"""Commands of a repository, by what lies in it: one row a shape, real files in small."""

import json

import pytest

from batches.core.gates.discovery import Proposal, manifests_of, propose

PYTEST = "python -m pytest -q"
COVERAGE = "python -m coverage run -m pytest -q && python -m coverage report"
NOX = "import nox\n\n\n@nox.session\ndef tests(session):\n    pass\n\n\n@nox.session(python=['3.11'])\ndef lint(session):\n    pass\n"

SHAPES = {
    "empty": ({}, (None, None, None)),
    "only documents": ({"README.md": "# x\n", "docs/a.md": ""}, (None, None, None)),
    "pyproject": (
        {"pyproject.toml": "[tool.ruff]\n[tool.pytest.ini_options]\n[tool.coverage.report]\nfail_under = 90\n"},
        ("ruff check .", PYTEST, COVERAGE),
    ),
    "ruff.toml and tests": ({"ruff.toml": "", "tests/test_a.py": ""}, ("ruff check .", PYTEST, None)),
    "coverage without a threshold": ({"pytest.ini": "[pytest]\n", ".coveragerc": "[run]\nbranch = True\n"}, (None, PYTEST, None)),
    "coveragerc with a threshold": ({"pytest.ini": "[pytest]\n", ".coveragerc": "[report]\nfail_under = 80\n"}, (None, PYTEST, COVERAGE)),
    "setup.cfg": ({"setup.cfg": "[flake8]\n[tool:pytest]\n"}, ("flake8", PYTEST, None)),
    "tox": ({"tox.ini": "[tox]\nenvlist = py\n[testenv:lint]\n"}, ("tox -e lint", "tox", None)),
    "tox beside tests": ({"tox.ini": "[tox]\n", "a_test.py": ""}, (None, PYTEST, None)),
    "nox": ({"noxfile.py": NOX}, ("nox -s lint", "nox -s tests", None)),
    "npm": (
        {"package.json": json.dumps({"scripts": {"lint": "eslint .", "test": "jest", "coverage": "jest --coverage"}})},
        ("npm run lint", "npm run test", "npm run coverage"),
    ),
    "npm without tests": (
        {"package.json": json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})},
        (None, None, None),
    ),
    "pnpm": ({"package.json": '{"scripts": {"test": "vitest"}}', "pnpm-lock.yaml": ""}, (None, "pnpm run test", None)),
    "yarn": ({"package.json": '{"scripts": {"test:coverage": "x"}}', "yarn.lock": ""}, (None, None, "yarn run test:coverage")),
    "go": ({"go.mod": "module x\n"}, ("go vet ./...", "go test ./...", None)),
    "go with golangci": ({"go.mod": "", ".golangci.yml": ""}, ("golangci-lint run", "go test ./...", None)),
    "cargo": ({"Cargo.toml": "[package]\n"}, (None, "cargo test", None)),
    "cargo with clippy": ({"Cargo.toml": "", "clippy.toml": ""}, ("cargo clippy --all-targets -- -D warnings", "cargo test", None)),
    "make": ({"Makefile": "CC := gcc\nlint:\n\ttrue\ntest: lint\ncov:\n"}, ("make lint", "make test", "make cov")),
    "make assignments": ({"Makefile": "test := 1\nlint:=2\n"}, (None, None, None)),
    "make fills what Python leaves open": ({"pytest.ini": "[pytest]\n", "Makefile": "lint:\ntest:\n"}, ("make lint", PYTEST, None)),
    "Python and npm": (
        {"test_a.py": "", "package.json": '{"scripts": {"lint": "eslint .", "test": "jest"}}'},
        ("npm run lint", PYTEST, None),
    ),
    "one folder down": (
        {"README.md": "", "my app/package.json": '{"scripts": {"test": "jest"}}'},
        (None, "cd 'my app' && npm run test", None),
    ),
    "the top before a folder": ({"go.mod": "", "web/package.json": '{"scripts": {"lint": "x"}}'}, ("go vet ./...", "go test ./...", None)),
    "two folders down is too deep": ({"a/b/go.mod": ""}, (None, None, None)),
    "hidden folders are not looked at": ({".ci/Makefile": "test:\n"}, (None, None, None)),
    "broken manifests": (
        {"pyproject.toml": "[tool", "package.json": "{", "setup.cfg": "[", "Makefile": "\0"},
        (None, None, None),
    ),
    "manifests of another shape": ({"pyproject.toml": "tool = 3", "package.json": "[]"}, (None, None, None)),
    "scripts of another shape": ({"package.json": '{"scripts": {"test": 3, "lint": null}}'}, (None, None, None)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_commands_are_found_by_what_lies_in_the_repository(shape: str):
    files, expected = SHAPES[shape]
    found = propose(list(files), files)
    assert tuple(one and one.command for one in (found.lint, found.test, found.coverage)) == expected
    assert all(one is None or one.why for one in (found.lint, found.test, found.coverage))


def test_only_manifests_are_asked_for_and_those_of_the_folders_that_count():
    files = ["pyproject.toml", "src/a.py", "web/package.json", "web/src/package.json", "go.mod"]
    assert manifests_of(files) == ["pyproject.toml", "web/package.json"]


def test_nothing_found_is_false():
    assert not Proposal()
    assert propose(["go.mod"], {})
