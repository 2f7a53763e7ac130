"""Which files judge: read from commands, scripts and configuration, without running anything."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.review.declared_changes import undeclared
from subagents.contract import GateKind, GateSpec
from subagents.judges_files import is_declared, judges_of, judging_part, with_judging_part

FILES = {
    "Makefile": "VERSION = 1\n\nall: build\n\ncheck: lint\n\tbash ci/check.sh\n\nlint:\n\truff check src\n\ndeploy:\n\tbash ci/deploy.sh\n",
    "justfile": "test *args:\n    ./ci/check.sh {{args}}\n",
    "package.json": json.dumps(
        {"scripts": {"test": "npm run unit && node ci/report.js", "unit": "jest", "all": "run-s test unit", "ship": "bash ci/deploy.sh"}}
    ),
    "ci/check.sh": """#!/bin/sh
set -e
cd "$(dirname "$0")/.."
. ci/lib.sh
if true; then
  python -m pytest -q tests/unit \\
    -k fast
fi
""",
    "ci/lib.sh": "export X=1\n",
    "ci/run.py": "import subprocess\nsubprocess.run(['bash', 'ci/check.sh'], check=True)\n",
    "sub/Makefile": "PY ?= python\nRUN = $(PY) -m pytest\ninclude build/rules\n\ndeep: more\n\t$(RUN) tests\n",
    "sub/build/rules": "more:\n\tsh ci/included.sh\n",
    "ci/finds.sh": """HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$(dirname "$0")/a.sh"
source "$HERE/b.sh"
"${BASH_SOURCE%/*}/c.sh"
here=`dirname $0`; $here/d.sh
ROOT=$(git rev-parse --show-toplevel)
python "$ROOT/ci/e.py"
cd "$(dirname "$0")"
./f.sh
cd ..
run() { "$@"; }
run python -m pytest tests/g
${PYTHON:-python3} -m pytest tests/h
for t in tests/i/*.py; do python "$t"; done
""",
    "conftest.py": 'pytest_plugins = (\n    "support.more",\n)\n',
    "tools/helped.py": "import json\nimport helper\nfrom calc import add\n",
    "tools/helped.js": "const helper = require('./helper')\n",
    "tools/limits.py": "import json\nn = json.load(open('limits.json'))\nrules = open('ci/rules.yml')\nsubject = open('data/all.json')\n"
    "most, known, want = open('data/limits.json'), open('etc/allowlist.txt'), open('data/expected.json')\n",
    "ci/limit.sh": "max=$(cat ci/max.txt)\ntest $(wc -l < src/a.txt) -le $max\n",
    "check": "ci/check.sh",
    "tests/test_d.py": "from src.a import f\nfrom tests.help import holds\nholds(f(), open('tests/data/d.txt'), open('data/d.txt'))\n",
    "tests/e.test.js": "const {f} = require('../src/e'); require('./help').holds(f)\n",
    "web/package.json": json.dumps({"scripts": {"check": "vitest run"}}),
}


def role(command: str, path: str, kind: GateKind = GateKind.COMMAND) -> str:
    gate = GateSpec(1, command, kind, command=command if kind == GateKind.COMMAND else "")
    return judges_of(gate, lambda paths: {name: [FILES[name]] for name in paths if name in FILES}, command).role_of(path)


@pytest.mark.parametrize(
    ("command", "path", "expected"),
    [
        ("pytest -q", "tests/test_a.py", "test"),
        ("pytest -q", "src/a.py", ""),
        ("pytest -q tests/unit", "tests/unit/data/expected.json", "test"),
        ("pytest -q tests/unit", "tests/other/test_b.py", ""),
        ("pytest tests/test_a.py::test_x --cov src -k part", "tests/test_a.py", "test"),
        ("pytest tests/test_a.py::test_x --cov src -k part", "src/a.py", ""),
        ("python3.12 -m pytest", "src/deep/conftest.py", "configuration"),
        ("python -m pytest -c ci/strict.ini", "ci/strict.ini", "script"),
        ("PYTHONPATH=src timeout 60 python -m unittest tests.test_a.TestIt", "tests/test_a.py", "test"),
        ("python -m pytest", "pytest.py", "configuration"),
        ("python tools/check.py", "tools/check.py", "script"),
        ("python tools/check.py", "tools/json.py", "configuration"),
        ("python tools/check.py", "src/json.py", ""),
        ("python -m tools.check", "tools/check.py", "script"),
        ('python -c "from tests.test_a import f; f()"', "tests/test_a.py", "test"),
        ('python -c "from app import f; f()"', "app.py", ""),
        ("./ci/check.sh", "ci/check.sh", "script"),
        ("bash ci/check.sh", "ci/lib.sh", "script"),
        ("bash ci/check.sh", "tests/unit/test_a.py", "test"),
        ("bash -c 'cd web && npm run check'", "web/vitest.config.ts", "configuration"),
        ("cd web && npm run check", "web/src/a.test.ts", "test"),
        ("make check", "Makefile", "configuration"),
        ("make check", "ci/check.sh", "script"),
        ("make check", "ci/lib.sh", "script"),
        ("make check", "ci/deploy.sh", ""),
        ("make check", "ruff.toml", "configuration"),
        ("make -s check", "tests/unit/test_a.py", "test"),
        ("just test", "tests/unit/test_a.py", "test"),
        ("python ci/run.py", "ci/check.sh", "script"),
        ("npm test", "ci/report.js", "script"),
        ("npm test", "jest.config.js", "configuration"),
        ("npm test", "ci/deploy.sh", ""),
        ("yarn jest", "src/__tests__/a.js", "test"),
        ("uv run --frozen pytest tests", "tests/test_a.py", "test"),
        ("poetry run pytest", "pyproject.toml", "configuration"),
        ("go test ./...", "pkg/a_test.go", "test"),
        ("cargo test", "tests/it.rs", "test"),
        ("coverage run -m pytest && coverage report --rcfile=ci/cov.ini", "ci/cov.ini", "script"),
        ("ruff check src && mypy src", "mypy.ini", "configuration"),
        ("ruff check src && mypy src", "src/a.py", ""),
        ("diff -u expected.txt <(./run.sh)", "expected.txt", "script"),
        ("diff -u expected.txt <(./run.sh)", "run.sh", "script"),
        # what lies beside them
        ("python tools/limits.py", "tools/limits.json", "script"),
        ("python tools/limits.py", "ci/rules.yml", "script"),
        ("python tools/limits.py", "data/all.json", ""),
        ("python tools/limits.py", "data/limits.json", "script"),
        ("python tools/limits.py", "etc/allowlist.txt", "script"),
        ("python tools/limits.py", "data/expected.json", "script"),
        ("sh ci/limit.sh", "ci/max.txt", "script"),
        ("sh ci/limit.sh", "src/a.txt", ""),
        ("sh check", "ci/check.sh", "script"),  # a link
        *((f"pytest tests/test_d.py{case}", "tests/help.py", "script") for case in ("", "::test_it")),
        ("pytest tests/test_d.py", "tests/data/d.txt", "script"),
        ("pytest tests/test_d.py", "tests/__init__.py", "script"),
        ("python -m unittest tests.test_d", "tests/__init__.py", "script"),
        *(("pytest tests/test_d.py", path, "") for path in ("src/a.py", "data/d.txt", "tests/test_e.py", "src/__init__.py")),
        ("node --test tests/e.test.js", "tests/help.js", "script"),
        ("node --test tests/e.test.js", "src/e.js", ""),
        ("python -m pytest", "x-1.0.dist-info/entry_points.txt", "configuration"),
        # what is looked at does not judge
        ("test -f part.txt", "part.txt", ""),
        ("grep -q done notes/tests.md", "notes/tests.md", ""),
        ("cat out.log | grep -q ok && wc -l out.log", "out.log", ""),
        ("python -m py_compile src/a.py", "src/a.py", ""),
        ("test -x bin/tool", "bin/tool", ""),
        # through variables, the folder of the script, includes and what starts others
        ("make -C sub deep", "sub/tests/test_a.py", "test"),
        ("make -C sub deep", "sub/conftest.py", "configuration"),
        ("make -C sub deep", "sub/build/rules", "script"),
        ("make -C sub deep", "sub/ci/included.sh", "script"),
        *(("bash ci/finds.sh", path, "script") for path in ("ci/a.sh", "ci/b.sh", "ci/c.sh", "ci/d.sh", "ci/e.py", "ci/f.sh")),
        ("bash ci/finds.sh", "tests/g/test_a.py", "test"),
        ("bash ci/finds.sh", "tests/h/test_a.py", "test"),
        ("bash ci/finds.sh", "tests/i/test_a.py", "test"),
        ("pytest -p plug -p no:cacheprovider tests", "plug.py", "script"),
        ("pytest tests", "support/more.py", "script"),
        ("python tools/helped.py", "tools/helper.py", "script"),
        ("python tools/helped.py", "tools/json.py", "configuration"),
        ("python tools/helped.py", "calc.py", ""),
        ("node tools/helped.js", "tools/helper.js", "script"),
        ("npm run all", "ci/report.js", "script"),
        ("python -munittest -q", "tests/test_a.py", "test"),
        ("hatch run test:all", "tests/test_a.py", "test"),
        ("docker compose run web pytest tests", "tests/test_a.py", "test"),
        ("./manage.py test", "app/tests/test_a.py", "test"),
        ("php artisan test", "tests/ATest.php", "test"),
        ("ruby -Itest test/a_test.rb", "test/a_test.rb", "script"),
        ("deno test", "a_test.ts", "test"),
        ("swift test", "Tests/ATests/a.swift", "test"),
        ("prove -r t", "t/a.t", "test"),
        ("go test ./...", "go.work", "configuration"),
        ("python -m doctest docs/x.md", "docs/x.md", "test"),
    ],
)
def test_what_a_command_runs_or_reads_as_configuration_judges(command: str, path: str, expected: str):
    assert role(command, path) == expected


def test_gates_of_other_kinds_have_their_judges():
    assert role("go test ./...", "conftest.py", GateKind.TESTS) == "configuration", "which tool runs the tests, a phase can change"
    assert role("", "Makefile", GateKind.TESTS) == "configuration"
    assert role("", ".coveragerc", GateKind.COVERAGE) == "configuration"
    assert role("", "ruff.toml", GateKind.SYNTAX) == "configuration"
    assert role("", "tests/test_a.py", GateKind.FILES_EXIST) == ""


@given(st.text(max_size=200), st.text(min_size=1, max_size=30))
def test_no_text_breaks_the_reading(command: str, path: str):
    gate = GateSpec(1, "x", GateKind.COMMAND, command=command)
    assert judges_of(gate, lambda paths: {name: [command] for name in paths}).role_of(path) in ("", "script", "test", "configuration")


BEFORE = ("", "set -e; ", "cd sub && ", "env A=1 ", "! ", "(", "true | ")


@given(st.sampled_from(["bash", "sh", "python", "node", "./"]), st.sampled_from(BEFORE))
def test_a_script_judges_however_it_is_started(program: str, before: str):
    command = before + (f"{program}run_it.sh" if program == "./" else f"{program} run_it.sh") + (")" if before == "(" else "")
    assert role(command, "sub/run_it.sh" if "cd" in before else "run_it.sh") == "script"


@pytest.mark.parametrize(
    ("path", "old", "new", "same"),
    [
        ("package.json", {"scripts": {"test": "jest"}}, {"scripts": {"test": "jest"}, "dependencies": {"a": "1"}}, True),
        ("package.json", {"scripts": {"test": "jest"}}, {"scripts": {"test": "true"}}, False),
        ("package.json", {}, {"jest": {"testPathIgnorePatterns": ["a"]}}, False),
        ("pyproject.toml", "[project]\nname = 'a'\n", "[project]\nname = 'a'\ndependencies = ['b']\n", True),
        ("pyproject.toml", "[project]\nname = 'a'\n", "[project]\nname = 'a'\n[tool.pytest.ini_options]\naddopts = '-k x'\n", False),
        ("pyproject.toml", "[tool.poetry]\nname = 'a'\n", "[tool.poetry]\nname = 'b'\n", True),
        ("pyproject.toml", "[tool.hatch.envs.test]\nscripts.t = 'pytest'\n", "[tool.hatch.envs.test]\nscripts.t = 'true'\n", False),
        ("pyproject.toml", "[project]\nname = 'a'\n", "no toml [", False),
        ("setup.cfg", "[metadata]\nname = a\n", "[metadata]\nname = b\n", True),
        ("setup.cfg", "[metadata]\nname = a\n", "[metadata]\nname = a\n[tool:pytest]\naddopts = -k x\n", False),
        ("conftest.py", "a", "b", False),
        ("pyproject.toml", None, "[project]\nname = 'a'\n", True),
    ],
)
def test_only_the_part_that_judges_counts(path: str, old: object, new: object, same: bool):
    texts = [text if isinstance(text, str) or text is None else json.dumps(text) for text in (old, new)]
    assert (judging_part(path, texts[0]) == judging_part(path, texts[1])) == same


def test_scripts_of_npm_are_taken_back_and_dependencies_stay():
    old, new = {"scripts": {"test": "jest"}}, {"scripts": {"test": "true"}, "dependencies": {"a": "1"}, "jest": {"x": 1}}
    mixed = json.loads(with_judging_part("web/package.json", json.dumps(old), json.dumps(new)))
    assert mixed == {"scripts": {"test": "jest"}, "dependencies": {"a": "1"}}
    assert with_judging_part("Makefile", "old", "new") == "old"


PART = st.sampled_from(["a", "b", "ab", "a.py", "*", "a*", "?", "[ab]", "**", "**/", "*.py"])


NAMES = st.lists(st.sampled_from(["a", "b", "ab", "a.py"]), min_size=1, max_size=4)


@given(st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), max_size=3), NAMES)
def test_declared_means_here_what_it_means_on_the_changes_page(declared: list[str], parts: list[str]):
    path = "/".join(parts)
    assert is_declared(path, declared) == (not undeclared(declared, [path])), (declared, path)
