"""The judge of gates, over real files and real commands."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from subagents import environment as environment_module
from subagents import gates as gates_module
from subagents import standard_gates as standard_module
from subagents.built_environment import ProjectEnvironment
from subagents.clean_checkout import CleanCheckout
from subagents.contract import GateKind, GateOrigin, GateOutcome, GateSpec, GateStatus, TaskSpec, replace
from subagents.files import dump_json
from subagents.gates import Judge, find_test_commands
from subagents.journal import Journal
from subagents.open_repository import open_repository
from subagents.reporting import Reporter
from subagents.sandbox import seen_by_commands
from subagents.told_of_tests import told_of_tests
from tests.subagents.conftest import World, commit_files, steps, user_git

pytestmark = pytest.mark.process

PASSED, FAILED, UNVERIFIED = GateStatus.PASSED, GateStatus.FAILED, GateStatus.UNVERIFIED


@pytest.fixture
def place(world: World) -> tuple[TaskSpec, Path]:
    """A spec, and a folder whose files are committed when they are judged."""
    spec = world.spec()
    folder = Path(spec.attempt_dir, "sources")
    folder.mkdir()
    user_git(folder, "init", "--quiet")
    return spec, folder


def judge(
    place: tuple[TaskSpec, Path], *gates: GateSpec, changed: tuple[str, ...] = (), deleted: tuple[str, ...] = ()
) -> tuple[GateOutcome, ...]:
    spec, folder = place
    commit = commit_files(folder, {})
    read_end, write_end = os.pipe()
    try:
        reporter = Reporter(spec, write_end, Journal(str(folder.parent / "log"), 1_000_000))
        checkout = CleanCheckout(spec, open_repository(folder), commit)
        return Judge(spec, checkout, changed, reporter, deleted=deleted).judge(gates)
    finally:
        os.close(read_end)
        os.close(write_end)


def write(folder: Path, **files: str) -> None:
    """Write files; a name's double underscore is a dot, its triple one a slash."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("command", "status", "exit_code"),
    [
        ("true", PASSED, 0),
        ("false", FAILED, 1),
        ("exit 42", FAILED, 42),
        ("no-such-program-7f3a", FAILED, 127),
        ("kill -9 $$", FAILED, -9),
        ("false | true", FAILED, 1),
        ("! { false; }", PASSED, 0),
        ('test -z "$({ grep -r TODO .; } 2>&1 || true)"', PASSED, 0),
    ],
)
def test_command_is_judged_by_its_exit_code(place, command: str, status: GateStatus, exit_code: int) -> None:
    (outcome,) = judge(place, GateSpec(1, command, GateKind.COMMAND, command=command))
    assert (outcome.status, outcome.exit_code, outcome.command) == (status, exit_code, command)
    assert outcome.commit == user_git(place[1], "rev-parse", "HEAD")


def test_missing_program_and_signal_are_explained(place) -> None:
    missing, killed = judge(
        place,
        GateSpec(1, "a", GateKind.COMMAND, command="no-such-program-7f3a"),
        GateSpec(2, "b", GateKind.COMMAND, command="kill -9 $$"),
    )
    assert "is the tool installed" in missing.note and "signal 9" in killed.note


def test_command_that_does_not_end_is_killed_with_all_it_started(place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates_module, "GATE_SECONDS", 0.3)
    began = time.monotonic()
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command="echo begun; sleep 1000 & sleep 1000"))
    assert time.monotonic() - began < 60
    assert outcome.status == FAILED and "did not end within 0.3 s" in outcome.note and outcome.output == "begun\n"


def test_output_keeps_its_head_and_its_tail(place) -> None:
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command="echo first; head -c 100000 /dev/zero; echo; echo last"))
    assert outcome.output.startswith("first\n") and outcome.output.endswith("last\n")
    assert "bytes left out" in outcome.output and "\0" not in outcome.output and len(outcome.output) < 20_000


def test_files_must_exist_inside_the_checkout(place) -> None:
    _, folder = place
    write(folder, src___a__py="1\n")
    os.symlink("/etc/passwd", folder / "outside")
    os.symlink("src/a.py", folder / "inside")

    def exists(*paths: str) -> GateStatus:
        return judge(place, GateSpec(1, "x", GateKind.FILES_EXIST, paths=paths))[0].status

    assert exists("src/a.py", "src", "inside") == PASSED
    assert exists("src/*.py") == PASSED
    assert exists("src/a.py", "src/b.py") == FAILED
    assert exists("docs/*.md") == FAILED
    assert exists("outside") == FAILED
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.FILES_EXIST, paths=("src/a.py", "b")))
    assert outcome.output == "found: src/a.py\nmissing: b"


@pytest.mark.parametrize(
    ("minimum", "maximum", "status"),
    [(3, 3, PASSED), (None, 3, PASSED), (3, None, PASSED), (4, None, FAILED), (None, 2, FAILED)],
)
def test_lines_are_counted_with_or_without_a_last_newline(place, minimum: float | None, maximum: float | None, status: GateStatus) -> None:
    _, folder = place
    write(folder, a__md="1\n2\n3\n", b__md="1\n2\n3")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.LINE_COUNT, paths=("a.md", "b.md"), minimum=minimum, maximum=maximum))
    assert outcome.status == status and "a.md has 3 lines" in outcome.output and "b.md has 3 lines" in outcome.output


def test_line_count_of_a_missing_file_fails(place) -> None:
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.LINE_COUNT, paths=("a.md",), minimum=1))
    assert outcome.status == FAILED and outcome.output == "missing: a.md"


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("a.py", "x = 1\n", PASSED),
        ("a.py", "def f(:\n", FAILED),
        ("a.py", "print(undefined_name)\n", FAILED),  # ruff's errors that are errors in any code
        ("a.py", "import os\n", PASSED),  # taste is the project's own business
        ("a.py", "(" * 5000, FAILED),
        ("a.py", "x = 1\0", FAILED),
        ("a.json", '{"a": 1}', PASSED),
        ("a.json", "{", FAILED),
        ("a.toml", "a = 1", PASSED),
        ("a.toml", "a = ", FAILED),
        ("a.yaml", "a: [1, 2]\n", PASSED),
        ("a.yaml", "a: [1, 2\n", FAILED),
        ("a.xml", "<a/>", PASSED),
        ("a.xml", "<a>", FAILED),
        ("a.sh", "if true; then echo; fi\n", PASSED),
        ("a.sh", "if true; then\n", FAILED),
        ("a.txt", "anything", UNVERIFIED),
    ],
)
def test_syntax_of_changed_files_is_parsed(place, name: str, text: str, status: GateStatus) -> None:
    _, folder = place
    (folder / name).write_text(text)
    (outcome,) = judge(place, GateSpec(1, "No syntax errors", GateKind.SYNTAX), changed=(name,))
    assert outcome.status == status, outcome
    if status == FAILED:
        assert name in outcome.output


def test_syntax_looks_at_no_file_that_did_not_change(place) -> None:
    _, folder = place
    write(folder, old__py="def f(:\n", new__py="x = 1\n")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.SYNTAX), changed=("new.py", "deleted.py"))
    assert outcome.status == PASSED


def test_lint_uses_the_projects_own_rules_where_it_has_some(place) -> None:
    _, folder = place
    write(folder, a__py="import os\n", pyproject__toml='[tool.ruff.lint]\nselect = ["F401"]\n')
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.SYNTAX), changed=("a.py",))
    assert outcome.status == FAILED and "F401" in outcome.output


@pytest.mark.parametrize(
    ("test", "status"),
    [("def test_it():\n    assert 1\n", PASSED), ("def test_it():\n    assert 0\n", FAILED), ("x = 1\n", FAILED)],
)
def test_tests_gate_runs_pytest_and_no_test_is_no_pass(place, test: str, status: GateStatus) -> None:
    _, folder = place
    write(folder, tests___test_a__py=test)
    (outcome,) = judge(place, GateSpec(1, "Tests pass", GateKind.TESTS))
    assert outcome.status == status and outcome.command == "python -m pytest -q"


@pytest.mark.parametrize(("head", "better"), [("head -n 3", "sed -n 1,3p"), ("head -5", "sed -n 1,5p"), ("head", "sed -n 1,10p")])
def test_a_pipe_that_breaks_is_explained_with_the_line_that_holds(place, head: str, better: str) -> None:
    (outcome,) = judge(place, GateSpec(1, "It prints", GateKind.COMMAND, command=f"seq 100000 | {head}"))
    assert (outcome.status, outcome.exit_code) == (FAILED, 141)
    assert f"let the last one read everything: seq 100000 | {better}; failed twice" in outcome.note
    (fixed,) = judge(place, GateSpec(1, "It prints", GateKind.COMMAND, command=f"seq 100000 | {better}"))
    assert fixed.status == PASSED


@pytest.mark.parametrize("said", ["Ran 0 tests in 0.000s", "collected 0 items", "no tests ran in 0.01s"])
def test_a_runner_that_ran_no_test_and_ends_with_0_is_no_pass(place, said: str) -> None:
    _, folder = place
    write(folder, Makefile=f"test:\n\t@echo '{said}'\n")
    (outcome,) = judge(place, GateSpec(1, "Tests pass", GateKind.TESTS))
    assert (outcome.command, outcome.exit_code, outcome.status, outcome.note) == ("make test", 0, FAILED, "the command ran no test at all")


@pytest.mark.parametrize(
    ("command", "said", "status"),
    [
        ("python -m pytest -q", "", FAILED),
        ("python -m pytest -q", "1 passed in 0.01s", PASSED),
        ("python -m pytest -q", "\x1b[32m\x1b[1m1 passed\x1b[0m in 0.01s", PASSED),
        ("python -m pytest -q", "1 xfailed in 0.01s", UNVERIFIED),
        ("python -m pytest -q", "1 passed, 1 xfailed in 0.01s", PASSED),
        ("python -m pytest -q", "2 skipped in 0.01s", UNVERIFIED),
        ("pytest tests", "collected 1 item", FAILED),
        ("pytest --version", "pytest 8", PASSED),
        ("pytest --collect-only", "1 test collected", UNVERIFIED),
        ("python -m pytest --co -q tests", "1 test collected", UNVERIFIED),
        ("pytest -qq", ".", PASSED),
        ("pytest > log", "", PASSED),
        ("! pytest | grep -q failed", "", PASSED),
        ("python -m unittest", "Ran 0 tests in 0.000s\n\nOK", FAILED),
        ("python -m unittest", "Ran 2 tests in 0.001s\n\nOK", PASSED),
        ("python -m unittest", "", FAILED),
        ("python -m unittest", "Ran 2 tests in 0.001s\n\nOK (skipped=2)", UNVERIFIED),
        ("python -m unittest", "Ran 2 tests in 0.001s\n\nOK (skipped=1)", PASSED),
        ("python -m unittest", "Ran 12 tests in 0.001s\n\nOK (skipped=1, expected failures=12)", UNVERIFIED),
        ("node --test", "ok 1 - adds\nok 2 - more\n# tests 2\n# pass 2", PASSED),
        ("node --test", "# Subtest: /a/b.test.js\n    ok 1 - adds\nok 1 - /a/b.test.js\n# pass 1", PASSED),
        ("node --test", "✔ adds (1.5ms)\nℹ tests 1\nℹ pass 1", PASSED),
        ("node --test", "ok 1 - /a/b.test.js\n# tests 1\n# pass 1", UNVERIFIED),
        ("node --test", "✔ b.test.mjs (1.5ms)\nℹ tests 1\nℹ pass 1", UNVERIFIED),
        ("python manage.py test", "Found 2 test(s).\nRan 2 tests in 0.1s\n\nOK", PASSED),
        ("./manage.py test shop", "", FAILED),
        ("node --test", "# tests 2\n# pass 0\n# fail 0\n# skipped 2", UNVERIFIED),
        ("node --test", "", FAILED),
        ("cargo test -q", "test result: ok. 1 passed", PASSED),
        ("cargo test", "", FAILED),
        ("cd src && FAST=1 uv run pytest -x", "", FAILED),
        ("coverage run --branch -m pytest", "", FAILED),
        (".venv/bin/python -m pytest", "", FAILED),
        ("(cd a; /opt/bin/pytest)", "", FAILED),
        ("grep -q pytest setup.cfg", "", PASSED),
        ("test -e /tmp/pytest-of-root/x", "", PASSED),
        ("test -f pytest.ini && pytest.sh", "", PASSED),
        ("make test", "", PASSED),
        ("cargo test", "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 3 ignored", UNVERIFIED),
        ("go test ./...", "--- PASS: TestX (0.00s)\nPASS\nok  \tshop/cart\t0.004s\n?   \tshop\t[no test files]", PASSED),
        ("go test ./...", "ok  \tshop/cart\t0.004s", FAILED),
        ("go test ./...", "--- SKIP: TestX (0.00s)\nPASS\nok  \tshop/cart\t0.004s", UNVERIFIED),
        ("go test -bench . -run '^$'", "BenchmarkX-2  \t1000\t 12 ns/op\nPASS\nok  \tshop\t1.004s", PASSED),
        ("make test", "ok  \tshop/cart\t0.004s", PASSED),
        ("pytest -q", ".s..  [100%]", PASSED),
        ("pytest -q", "ss  [100%]", FAILED),
        ("node --test --test-reporter=dot", "...", PASSED),
        ("python manage.py test", "Ran 5 tests in 0.012s\n\nOK (skipped=1)", PASSED),
        ("python manage.py test", "Ran 2 tests in 0.012s\n\nOK (skipped=2)", UNVERIFIED),
        ("poetry run python manage.py test", "5 passed, 1 warning in 0.50s", PASSED),
        ("go test -v=false ./...", "ok  \tshop/cart\t0.004s", PASSED),
        ("GOFLAGS=-mod=vendor go test ./...", "ok  \tshop/cart\t0.004s", PASSED),
        ("go test ./...", "?   \tshop\t[no test files]", UNVERIFIED),
        ("go test -run Nothing ./...", "ok  \tshop/cart\t0.004s [no tests to run]", UNVERIFIED),
        ("npx jest --passWithNoTests", "No tests found, exiting with code 0", UNVERIFIED),
        ("npx jest", "Tests:       1 skipped, 2 passed, 3 total", PASSED),
        ("npx mocha", "  0 passing (1ms)\n  2 pending", UNVERIFIED),
        ("make test", "no tests ran in 0.01s", UNVERIFIED),
        ("make test", "=== no tests ran in 0.01s ===\n3 passed in 0.1s", PASSED),
        ("make test", "=== 1 failed, 2 passed in 0.12s ===", UNVERIFIED),
        ("make test", "make: Nothing to be done for 'test'.", UNVERIFIED),
        ("make test", "make: 'test' is up to date.", UNVERIFIED),
        ("make deps test", "make: Nothing to be done for 'deps'.\nall is well", PASSED),
        ("npm test", "\n> test\n> node --test\n\nTAP version 13\n1..0\n# tests 0\n# suites 0\n# pass 0\n# fail 0", UNVERIFIED),
        ("npm test", "ok 1 - a # SKIP later\n1..1\n# tests 1\n# pass 0\n# skipped 1", UNVERIFIED),
        ("npm test", "ok 1 - a\nok 2 - b # SKIP\n1..2\n# tests 2\n# pass 1\n# skipped 1", PASSED),
        ("yarn test", "No tests found, exiting with code 0", UNVERIFIED),
        ("npm run test:unit", "Test Suites: 1 passed, 1 total\nTests:       1 skipped, 1 todo, 2 total", UNVERIFIED),
        ("npx jest --passWithNoTests --silent", "No tests found, exiting with code 0", UNVERIFIED),
        ("npx jest --json", '{"numPassedTests":0,"success":true}', UNVERIFIED),
        ("npx mocha -R json", '{"stats": {"suites": 0, "tests": 0, "passes": 0}}', UNVERIFIED),
        ("make test", "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored", UNVERIFIED),
        ("make test", "test result: ok. 0 passed; 0 failed\n\ntest result: ok. 2 passed; 0 failed", PASSED),
        ("cargo test -q", "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored", UNVERIFIED),
        ("cargo test --quiet", "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored", UNVERIFIED),
        ("cargo test -- --list", "0 tests, 0 benchmarks", UNVERIFIED),
        ("cargo test --no-run", "  Executable unittests src/lib.rs", PASSED),
        ("make test", "?   \tshop\t[no test files]", UNVERIFIED),
        ("just test", "ok  \tx/a\t0.002s [no tests to run]", UNVERIFIED),
        ("just test", "?   \tshop\t[no test files]\nok  \tx/a\t0.002s", UNVERIFIED),
        ("just test", "--- PASS: TestX (0.00s)\nok  \tx/a\t0.002s\nok  \tx/b\t0.001s", PASSED),
        ("go test -v ./...", "=== RUN   TestX\n--- SKIP: TestX (0.00s)\nPASS\nok  \tx/a\t0.002s", UNVERIFIED),
        ("go test -v ./...", "--- PASS: TestX (0.00s)\nPASS\nok  \tx/a\t0.004s", PASSED),
        ("go test -json ./...", '{"Action":"skip","Package":"x/a","Test":"TestX"}\n{"Action":"pass","Package":"x/a"}', UNVERIFIED),
        ("go test -json ./...", '{"Action":"pass","Package":"x/a","Test":"TestX"}', PASSED),
        ("go test -list . ./...", "TestX\nok  \tx/a\t0.003s", UNVERIFIED),
        ("go test -c -o /dev/null ./a", "", PASSED),
        ("ruby test/all.rb", "0 runs, 0 assertions, 0 failures, 0 errors, 0 skips", UNVERIFIED),
        ("rake test", "1 runs, 2 assertions, 0 failures, 0 errors, 0 skips", PASSED),
        ("bundle exec rspec", "0 examples, 0 failures", UNVERIFIED),
        ("bundle exec rspec", "3 examples, 0 failures", PASSED),
        ("vendor/bin/phpunit", "No tests executed!", UNVERIFIED),
        ("ctest", "No tests were found!!!", UNVERIFIED),
        ("mvn test", "[INFO] No tests to run.", UNVERIFIED),
        ("gradle test", "> Task :test NO-SOURCE\n\nBUILD SUCCESSFUL", UNVERIFIED),
        ("dotnet test", "No test is available in a.dll. Make sure that …", UNVERIFIED),
        ("prove -r t", "Files=0, Tests=0,  0 wallclock secs\nResult: NOTESTS", UNVERIFIED),
        ("prove -r t", "All tests successful.\nFiles=2, Tests=9,  0 wallclock secs\nResult: PASS", PASSED),
        ("mix test", "There are no tests to run", UNVERIFIED),
        ("bats test", "1..0", UNVERIFIED),
        ("npx turbo run test", " Tasks:    0 successful, 0 total", UNVERIFIED),
        ("black --check .", "3 files would be left unchanged, 1 skipped", PASSED),
        ("sh check.sh", "\x1b[31mTests:       1 failed, 2 passed, 3 total\x1b[0m", UNVERIFIED),
        ("! python -m pytest -q", "1 failed in 0.12s", PASSED),
        ("cat notes.txt", "the 1 failed try of 2019 took 12 days", PASSED),
        ("python -m pytest -q || true", "1 failed in 0.12s", UNVERIFIED),
        ("python -m pytest -q tests || echo 'some fail; never mind'", "1 passed in 0.12s", UNVERIFIED),
        ("bash -c 'pytest -q; true'", "1 passed in 0.12s", UNVERIFIED),
        ("set +e; pytest -q; exit 0", "1 passed in 0.12s", UNVERIFIED),
        ("sh judge.sh &", "", UNVERIFIED),
        ("exit 0", "", UNVERIFIED),
        ("echo all tests pass", "all tests pass", UNVERIFIED),
        ("echo all tests pass && exit 0", "all tests pass", UNVERIFIED),
        ("node -e \"console.log('3 passed')\"", "3 passed", UNVERIFIED),
        ("python -c 'print(1)'", "1", UNVERIFIED),
        ("python -c 'import shop'", "", PASSED),
        ("test -f a && echo there", "there", PASSED),
        ("pytest -q; true", "1 passed in 0.12s", PASSED),  # bash -e ends at what fails
        ("pytest -q | tee log", "1 passed in 0.12s", PASSED),  # and pipefail
        ("test -f a || { echo missing; exit 1; }", "", PASSED),
        ("grep -q 'x || true' a", "", PASSED),
        ("test -f a || true; grep -q x a", "", PASSED),
        ("test -f a || exit", "", PASSED),
        ("cc -fsyntax-only $(python3-config --includes || echo -I$(pwd)) a.c", "", PASSED),
        ("test -f $(git rev-parse --show-toplevel || true)/a", "", PASSED),
        ("said=$(pytest || true)", "", UNVERIFIED),
        ("test -f $(pwd || true)/a || true", "", UNVERIFIED),
        ("echo 1 | grep -q 1", "", PASSED),
    ],
)
def test_a_runner_that_ends_well_and_tells_of_no_test_is_no_pass(command: str, said: str, status: GateStatus) -> None:
    outcome = GateOutcome(1, "Tests pass", GateKind.COMMAND, PASSED, command, 0, "", said)
    assert told_of_tests(outcome).status == status, told_of_tests(outcome).note


SWALLOWS = {
    "exit 0": False, "": False, "echo no tests": False, "echo 'no tests' && exit 0": False, "echo none >&2": False, "npm run unit": False,
    "node -e \"console.log('ok')\"": False, "npm run check": True,
    "jest || true": False, "jest; exit 0": False, "jest | tee log": False, "node ok.js": True, "jest -i": True,
}  # fmt: skip


@pytest.mark.parametrize(("script", "passes"), SWALLOWS.items())
def test_an_npm_script_that_cannot_fail_proves_nothing(place, script: str, passes: bool) -> None:
    others = {"unit": "echo todo", "check": "node ok.js"}
    tools = place[1] / "tools"
    tools.mkdir()
    for name in ("npm", "jest"):
        (tools / name).write_text("#!/bin/sh\necho 'Tests:       1 passed, 1 total'\n")
        (tools / name).chmod(0o755)
    write(place[1], package__json=json.dumps({"scripts": {"test": script, **others}}))
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command='PATH="$PWD/tools:$PATH"; npm test'))
    assert outcome.status == (PASSED if passes else UNVERIFIED), outcome
    assert passes or "the script test of package.json cannot fail" in outcome.note


def test_a_module_that_ends_the_runner_does_not_make_its_tests_pass(place) -> None:
    write(place[1], app__py="import os\nos._exit(0)\n", test_app__py="import app\n\n\ndef test_it():\n    assert app.answer() == 42\n")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command="python -m pytest -q test_app.py"))
    assert (outcome.exit_code, outcome.status) == (0, FAILED) and "told of no test" in outcome.note


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("package.json", json.dumps({"scripts": {"test": "jest"}}), "npm test --silent"),
        ("package.json", json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}}), ""),
        ("package.json", "{", ""),
        ("go.mod", "module x\n", "go test ./..."),
        ("Cargo.toml", "[package]\n", "cargo test"),
        ("Makefile", "all:\n\ntest:\n\ttrue\n", "make test"),
        ("Makefile", "all:\n", ""),
        ("node_modules/x/test_a.py", "", ""),
        ("tests/test_a.py", "", "python -m pytest -q"),
        ("a_test.py", "", "python -m pytest -q"),
    ],
)
def test_test_command_is_found_by_what_is_there(tmp_path: Path, name: str, text: str, command: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert find_test_commands(str(tmp_path)) == [command] * bool(command)


def test_all_tests_are_those_of_each_language_that_has_some(place) -> None:
    """A file of tests in another language does not stand in the place of those that were there."""
    write(place[1], test_a__py="def test_a():\n    pass\n", package__json='{"scripts": {"test": "node --test"}}')
    (place[1] / "a.test.js").write_text("require('node:test')('x', () => { throw new Error('no') })\n")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.TESTS))
    assert (outcome.status, outcome.command) == (FAILED, "python -m pytest -q && npm test --silent")
    assert "1 passed" in outcome.output and "# fail 1" in outcome.output
    (place[1] / "a.test.js").write_text("require('node:test')('x', () => {})\n")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.TESTS))
    assert outcome.status == PASSED, outcome


def test_commands_see_no_package_of_the_server_and_borrow_only_what_runs_tests(place) -> None:
    commands = ("python -c 'import django'", "python -c 'import httpx'", "python -c 'import pytest, coverage'", "pytest --version")
    outcomes = judge(place, *(GateSpec(number, "x", GateKind.COMMAND, command=command) for number, command in enumerate(commands)))
    assert [outcome.status for outcome in outcomes] == [FAILED, FAILED, PASSED, PASSED], outcomes
    write(place[1], pluggy__py="x = 1\n")  # what is lent comes after all that the project has
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command="python -c 'import pluggy; pluggy.x'"))
    assert outcome.status == PASSED


def test_what_commands_import_from_the_very_place_of_the_servers_packages_is_named() -> None:
    """Of the interpreter's own library that is so; of the packages of a virtual environment it is not."""
    ours = {"json": json.__file__, "pytest": str(pytest.__file__), "nowhere_7f3a": "/nowhere", "wsgiref": "/elsewhere/wsgiref/__init__.py"}
    assert seen_by_commands(ours) == ("json",)


def test_python_tests_of_other_code_are_not_green(place) -> None:
    """A package of the interpreter's own has the name of the one in src: the tests never saw the checkout."""
    write(place[1], tests___test_a__py="import wsgiref\n\n\ndef test_it():\n    assert wsgiref\n")
    package = place[1] / "src/wsgiref"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("x = 1\n")
    (outcome,) = judge(place, GateSpec(1, "Tests pass", GateKind.TESTS))
    assert outcome.status == FAILED and "wsgiref is " in outcome.note and "not in the checkout" in outcome.note
    write(place[1], pytest__ini="[pytest]\npythonpath = src\n")
    assert judge(place, GateSpec(1, "Tests pass", GateKind.TESTS))[0].status == PASSED


@pytest.mark.parametrize("name", ["GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "EDITOR", "VISUAL"])
def test_an_editor_is_an_error_at_once(place, name: str) -> None:
    assert judge(place, GateSpec(1, "x", GateKind.COMMAND, command=f'test "${name}" = false; ! ${name} file'))[0].status == PASSED


@pytest.mark.skipif(not shutil.which("vim"), reason="vim is not installed")
@pytest.mark.parametrize(
    "command",
    [
        "code=0; timeout 20 vim file || code=$?; test $code = 1",
        "echo a > file; vim -c s/a/b/ -c wq file; grep b file",
        "echo a > file; printf ':s/a/b/\n:wq\n' | vim file; grep b file",
        "echo a > file; printf 's/a/b/\nwq\n' | ex file; grep b file",
    ],
)
def test_vim_waits_for_nobody_and_does_what_it_is_told(place, command: str) -> None:
    assert judge(place, GateSpec(1, "x", GateKind.COMMAND, command=command))[0].status == PASSED


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("make test", {"Makefile": "test:\n\t@python -m pytest -q\n"}),
        ("sh run.sh", {"run.sh": "set -e\npython -m unittest test_a\n"}),
        ("./dev test", {"dev": "#!/bin/sh\ncase $1 in test) pytest -q;; lint) true;; esac\n"}),
        ("npm test", {"package.json": '{"scripts": {"test": "node --test"}}', "a.test.js": "process.exit(0)\n"}),
        ("sh run.sh a", {"run.sh": "set -e\npython -m pytest -q test_$1.py\n"}),
        ("sh run.sh -q", {"run.sh": "set -e\npython -m pytest \"$@\" test_a.py\n"}),
        ("python all.py", {"all.py": "import pytest\nraise SystemExit(pytest.main(['-q']))\n"}),
    ],
)
def test_a_runner_behind_a_script_that_names_no_test_is_not_believed(place, command: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (place[1] / name).write_text(text)
        (place[1] / name).chmod(0o755)
    write(place[1], calc__py="import os\nos._exit(0)\n", test_a__py="import calc\n")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command=command))
    assert (outcome.status, outcome.exit_code) == (UNVERIFIED, 0) and "no test that ran is named" in outcome.note
    write(place[1], test_a__py="import unittest\n\n\nclass TestIt(unittest.TestCase):\n    def test_it(self):\n        pass\n")
    (place[1] / "a.test.js").write_text("require('node:test')('adds', () => {})\n")
    assert judge(place, GateSpec(1, "x", GateKind.COMMAND, command=command))[0].status == PASSED


@pytest.mark.parametrize(
    "script",
    [
        "case $1 in test) pytest -q;; lint) true;; esac",
        "verb=$1\ncase $verb in test) pytest -q;; lint) true;; esac",
        'if [ "$1" = full ]; then pytest -q; fi',
        'all() { pytest -q; }\nlint() { true; }\n"$@"',
        "on_all() { pytest -q; }\non_lint() { true; }\non_$1",
        'for one in "$@"; do test $one != all || pytest -q; done',
    ],
)
def test_a_script_that_runs_tests_only_when_it_is_asked_to_passes_without_them(place, script: str) -> None:
    write(place[1], dev__sh=f"{script}\n")
    assert judge(place, GateSpec(1, "x", GateKind.COMMAND, command="sh dev.sh lint"))[0].status == PASSED


@pytest.mark.parametrize("own", ["", "-mod=readonly "])
def test_go_is_asked_to_name_its_tests_beside_what_the_project_tells_it(place, own: str) -> None:
    spec = ProjectEnvironment(variables=(("GOFLAGS", own.strip()),) if own else ()).given_to(place[0])
    gate = GateSpec(1, "x", GateKind.COMMAND, command=f'test "$GOFLAGS" = "{own}-test.v"')
    assert judge((spec, place[1]), gate)[0].status == PASSED


def test_without_any_tests_the_gate_is_unverified(place) -> None:
    (outcome,) = judge(place, GateSpec(1, "Tests pass", GateKind.TESTS))
    assert outcome.status == UNVERIFIED and "no tests were found" in outcome.note


@pytest.mark.parametrize(("minimum", "status"), [(60, PASSED), (90, FAILED)])
def test_coverage_is_measured_and_compared(place, minimum: float, status: GateStatus) -> None:
    _, folder = place
    module = "def used():\n    return 1\n\n\ndef unused(x):\n    y = x\n    return y\n"
    write(folder, a__py=module, test_a__py="import a\n\n\ndef test_it():\n    assert a.used() == 1\n")
    (outcome,) = judge(place, GateSpec(1, "coverage", GateKind.COVERAGE, minimum=minimum))
    assert outcome.status == status and "TOTAL" in outcome.output


def test_coverage_of_failing_tests_is_a_failure_whatever_the_figure(place) -> None:
    _, folder = place
    write(folder, test_a__py="def test_it():\n    assert 0\n")
    assert judge(place, GateSpec(1, "coverage", GateKind.COVERAGE, minimum=1))[0].status == FAILED


def test_coverage_without_python_tests_is_unverified(place) -> None:
    assert judge(place, GateSpec(1, "coverage", GateKind.COVERAGE, minimum=90))[0].status == UNVERIFIED


def test_one_outcome_a_gate_in_order_whatever_happens(place) -> None:
    commands = ["", "exit 1", "true", 'rm -rf "$PWD"', "true"]
    kinds = [GateKind.COMMAND if command else GateKind.UNVERIFIED for command in commands]
    gates = [GateSpec(number, "x", kinds[number - 1], command=command) for number, command in enumerate(commands, start=1)]
    outcomes = judge(place, *gates)
    assert [outcome.position for outcome in outcomes] == [1, 2, 3, 4, 5]
    assert [outcome.status for outcome in outcomes] == [UNVERIFIED, FAILED, PASSED, PASSED, PASSED]


LEAVINGS = {
    "a file": ("echo x > new", "test ! -e new"),
    "a changed file": ("echo 2 > a.txt", "test $(cat a.txt) = 1"),
    "a file of the same size and time": ("touch -r a.txt ../t; echo 2 > a.txt; touch -r ../t a.txt", "test $(cat a.txt) = 1"),
    "an ignored file": ("mkdir -p node_modules/.bin; echo exit > node_modules/.bin/tool", "test ! -e node_modules"),
    "an empty folder": ("mkdir out", "test ! -e out"),
    "a removed file": ("rm a.txt", "test -e a.txt"),
    "rights": ("chmod +x a.txt; mkdir closed; touch closed/x; chmod 0 closed", "test ! -x a.txt -a ! -e closed"),
    "a link": ("ln -sf /etc/passwd a.txt", "test ! -L a.txt"),
    "something at home": ('touch "$HOME/x" "$TMPDIR/x"', 'test -z "$(ls -A "$HOME" "$TMPDIR" | grep x)"'),
    "git's own": ("git config alias.x status; git tag mine", "! git config alias.x; ! git rev-parse mine"),
}


@pytest.mark.parametrize("what", LEAVINGS)
def test_what_one_gate_leaves_no_other_finds(place, what: str) -> None:
    _, folder = place
    write(folder, a__txt="1\n", __gitignore="node_modules/\n")
    leave, look = LEAVINGS[what]
    left, found = judge(place, *(GateSpec(number, "x", GateKind.COMMAND, command=command) for number, command in enumerate((leave, look))))
    assert (left.status, found.status) == (PASSED, PASSED), found


def test_a_place_that_is_used_again_holds_the_next_commit_and_nothing_else(place) -> None:
    spec, folder = place
    write(folder, a__txt="1\n", b__txt="1\n", run__sh="true\n", d___c__txt="1\n", __gitignore="*.log\n")

    def look(command: str) -> GateStatus:
        return judge(place, GateSpec(1, "x", GateKind.COMMAND, command=command))[0].status

    leave = "git rm -q --cached b.txt; rm -r d; echo 9 > a.txt; touch left.log new; chmod +x run.sh; mkdir -p .git/hooks e/f"
    assert look(leave) == PASSED
    before = os.stat(Path(spec.attempt_dir, ".judge/1/checkout/b.txt"))
    (folder / "b.txt").unlink()
    write(folder, d___c__txt="2\n", f___g__txt="1\n")
    same = 'test "$(ls -A)" = "$(printf ".git\n.gitignore\na.txt\nd\nf\nrun.sh")" -a "$(cat a.txt d/c.txt f/g.txt)" = "$(printf "1\n2\n1")"'
    assert look(f"{same}; test ! -x run.sh") == PASSED
    after = os.stat(Path(spec.attempt_dir, ".judge/1/checkout/.gitignore"))
    assert after.st_mtime_ns <= before.st_mtime_ns, "what has not changed was not written again"
    write(folder, __gitattributes="*.txt eol=crlf\n")  # decides how a file is written that itself has not changed
    assert look("grep -q \"$(printf '\\r')\" a.txt") == PASSED
    Path(spec.attempt_dir, ".judge/1/state").write_bytes(b"torn")
    assert look("grep -q \"$(printf '\\r')\" a.txt; test ! -e left.log") == PASSED


def test_a_gate_that_nothing_can_judge_needs_no_files(place) -> None:
    spec, folder = place
    write(folder, a__txt="a")
    gate = GateSpec(1, "A person looked at it", GateKind.UNVERIFIED)
    [outcome] = judge(place, gate)
    places = Path(os.path.dirname(spec.checkout), ".judge")
    assert outcome.status == UNVERIFIED and not list(places.glob("*/checkout"))
    judge(place, gate, GateSpec(2, "There", GateKind.FILES_EXIST, paths=("a.txt",)))
    assert list(places.glob("*/checkout/a.txt"))


def test_a_gate_that_needs_what_another_left_says_so(place) -> None:
    commands = ("mkdir dist; touch dist/app", "test -e dist/app")
    outcome = judge(place, *(GateSpec(number, "x", GateKind.COMMAND, command=command) for number, command in enumerate(commands)))[1]
    assert outcome.status == FAILED and "what earlier gates left is not there: dist, dist/app" in outcome.note


ONCE = "test -e ../seen || { touch ../seen; echo not yet; exit 3; }; echo now"


def test_a_command_that_passes_the_second_time_is_flaky_and_both_outputs_are_kept(place) -> None:
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command=ONCE))
    assert (outcome.status, outcome.flaky, outcome.exit_code, outcome.output) == (PASSED, True, 0, "now\n")
    assert (outcome.first_exit_code, outcome.first_output) == (3, "not yet\n")
    assert "flaky" in outcome.note and "exit code 3" in outcome.note
    assert GateOutcome.from_json(outcome.to_json()) == replace(outcome, seconds=round(outcome.seconds, 3))


def test_a_command_that_fails_twice_has_failed_and_is_not_flaky(place) -> None:
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command="echo again >> ../runs; exit 4"))
    assert (outcome.status, outcome.flaky, outcome.exit_code, outcome.first_exit_code) == (FAILED, False, 4, 4)
    assert Path(place[0].attempt_dir, ".judge/1/runs").read_text() == "again\nagain\n"


def test_nothing_is_run_again_where_the_project_does_not_want_it(place) -> None:
    spec, folder = place
    (outcome,) = judge((replace(spec, rerun_gates=False), folder), GateSpec(1, "x", GateKind.COMMAND, command=ONCE))
    assert (outcome.status, outcome.flaky, outcome.first_exit_code) == (FAILED, False, None)


@pytest.mark.parametrize("command", ["no-such-program-7f3a", "kill -9 $$"])
def test_what_a_second_run_cannot_fix_is_run_once(place, command: str) -> None:
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command=command))
    assert outcome.status == FAILED and outcome.first_exit_code is None


def standard(kind: GateKind, **fields) -> GateSpec:
    return GateSpec(1, "x", kind, origin=GateOrigin.STANDARD, **fields)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("a\n<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\n", FAILED),
        ("a\r\n<<<<<<< ours\r\nb\r\n=======\r\nc\r\n>>>>>>> theirs\r\n", FAILED),
        ("Title\n=======\n", PASSED),
        (" <<<<<<< ours\n =======\n >>>>>>> theirs\n", PASSED),
        ("<<<<<<< ours\n>>>>>>> theirs\n=======\n", PASSED),
        (">>>>>>> a\n=======\n<<<<<<< b\n", PASSED),
        ("", PASSED),
    ],
)
def test_conflict_markers_are_three_lines_in_their_order(place, text: str, status: GateStatus) -> None:
    (place[1] / "a.txt").write_text(text, newline="")
    (outcome,) = judge(place, standard(GateKind.CONFLICT_MARKERS), changed=("a.txt", "deleted.txt"))
    assert (outcome.status, outcome.origin) == (status, GateOrigin.STANDARD)
    assert status == PASSED or outcome.output == "a.txt:2: conflict markers"


def test_a_file_over_the_limit_is_named_with_its_size(place) -> None:
    _, folder = place
    (folder / "small").write_bytes(b"x" * 1000)
    (folder / "large").write_bytes(b"x" * 1001)
    small, large = (judge(place, standard(GateKind.FILE_SIZE, maximum=1000), changed=(name,))[0] for name in ("small", "large"))
    assert small.status == PASSED
    assert large.status == FAILED and large.output == "large: 1,001 bytes; at most 1,000 are allowed"


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("a.py", "def f(:\n", FAILED),
        ("a.py", "print(undefined_name)\n", PASSED),  # lint is the project's own business
        ("a.json", "{", FAILED),
        ("tsconfig.json", "{ // a comment\n}", PASSED),
        (".vscode/settings.json", "{ // a comment\n}", PASSED),
        ("tests/fixtures/bad.json", "{", PASSED),
        ("chart/templates/a.yaml", "{{ x }}: {{", PASSED),
        ("a.yaml", "a: [1, 2\n", FAILED),
        ("a.toml", "a = ", FAILED),
        ("a.txt", "{", PASSED),
    ],
)
def test_changed_sources_parse(place, name: str, text: str, status: GateStatus) -> None:
    path = place[1] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (outcome,) = judge(place, standard(GateKind.PARSES), changed=(name,))
    assert outcome.status == status, outcome
    assert status == PASSED or name in outcome.output


def test_a_link_is_not_followed_by_a_standard_gate(place) -> None:
    _, folder = place
    (folder.parent / "outside.json").write_text("{")
    os.symlink(folder.parent / "outside.json", folder / "a.json")
    for kind in (GateKind.PARSES, GateKind.CONFLICT_MARKERS, GateKind.FILE_SIZE):
        assert judge(place, standard(kind, maximum=0.0), changed=("a.json",))[0].status == PASSED


def test_what_a_bound_left_out_is_said_and_not_green(place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_module, "MOST_FILES", 2)
    names = ("a.json", "b.json", "c.json")
    for name in names:
        (place[1] / name).write_text("{}")
    for kind in (GateKind.PARSES, GateKind.CONFLICT_MARKERS, GateKind.FILE_SIZE):
        (outcome,) = judge(place, standard(kind, maximum=1000.0), changed=names)
        assert outcome.status == UNVERIFIED and "1 of 3 changed files were not looked at" in outcome.note


def test_a_declared_file_that_the_phase_removed_is_not_missing(place) -> None:
    write(place[1], a__py="")
    gate = standard(GateKind.FILES_EXIST, paths=("a.py", "old.py"))
    assert judge(place, gate)[0].status == FAILED
    (outcome,) = judge(place, gate, deleted=("old.py",))
    assert outcome.status == PASSED and outcome.output == "found: a.py\nremoved: old.py"


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (GateKind.CONFLICT_MARKERS, b"b\xff.txt", b"<<<<<<< a\n=======\n>>>>>>> b\n"),
        (GateKind.FILE_SIZE, b"caf\xe9/b.txt", b"x" * 1001),
        (GateKind.PARSES, b"b\xff.py", b"def f(:\n"),
        (GateKind.SYNTAX, b"caf\xe9.sh", b"if true; then\n"),
    ],
)
def test_a_file_whose_name_is_no_utf_8_is_looked_at_like_any_other(place, kind: GateKind, name: bytes, text: bytes) -> None:
    """The phase's changed files come as text, in which such a byte is U+FFFD."""
    spec, folder = place
    base = commit_files(folder, {"a.txt": "1\n"})
    whole = os.path.join(os.fsencode(folder), name)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    Path(os.fsdecode(whole)).write_bytes(text)
    changed = open_repository(folder).changes(base, commit_files(folder, {})).present
    (outcome,) = judge((spec, folder), standard(kind, maximum=1000.0), changed=changed)
    assert outcome.status == FAILED, outcome
    assert "\ufffd" in GateOutcome.from_json(json.loads(dump_json(outcome.to_json()))).output or kind == GateKind.SYNTAX


def test_a_file_whose_name_is_no_utf_8_is_made_anew_for_the_next_gate(place) -> None:
    _, folder = place
    write(folder, a__txt="1\n")
    Path(os.fsdecode(os.path.join(os.fsencode(folder), b"b\xff"))).write_text("b\n")
    commands = ("rm b*", 'test "$(cat b*)" = b')
    outcomes = judge(place, *(GateSpec(number, "x", GateKind.COMMAND, command=command) for number, command in enumerate(commands)))
    assert [outcome.status for outcome in outcomes] == [PASSED, PASSED]


def test_without_a_sandbox_no_gate_has_a_package_that_a_command_installed_beside_the_tools(place) -> None:
    """As `pip install` does for a user: what PYTHONUSERBASE names is imported by every Python."""
    spec, folder = replace(place[0], sandbox="rlimit"), place[1]
    write(folder, a__txt="1\n")
    install = "d=$(python3 -c 'import site; print(site.getusersitepackages())'); mkdir -p $d; touch $d/extra.py; python3 -c 'import extra'"
    commands = (install, "! python3 -c 'import extra'")
    gates = tuple(GateSpec(number, "x", GateKind.COMMAND, command=command) for number, command in enumerate(commands))
    assert [outcome.status for outcome in judge((spec, folder), *gates)] == [PASSED, PASSED]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("python -m pytest -q", FAILED),
        ("pytest -q tests", FAILED),
        ("python3 -B -m unittest discover -s tests -p 'test_*.py'", FAILED),
        ("PYTHONPATH=src python -m pytest -q -p no:cacheprovider", PASSED),
        ("true", PASSED),
    ],
)
def test_a_command_that_runs_python_tests_is_green_by_the_code_of_the_checkout_only(place, command: str, status: GateStatus) -> None:
    """`wsgiref` of src is not what the tests import, unless the command says where modules are."""
    test = "import unittest, wsgiref\n\n\nclass A(unittest.TestCase):\n    def test(self):\n        assert wsgiref\n"
    write(place[1], tests___test_a__py=test)
    (place[1] / "src/wsgiref").mkdir(parents=True)
    (place[1] / "src/wsgiref/__init__.py").write_text("x = 1\n")
    (outcome,) = judge(place, GateSpec(1, "x", GateKind.COMMAND, command=command))
    assert outcome.status == status, outcome
    assert status == PASSED or "may have run against other code: wsgiref is" in outcome.note


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the machine's own Python has packages, `sixth` and `klick`, as every command finds them."""
    site = str(tmp_path / "machine")
    commit = {"sixth.py": "x = 1\n", "klick/__init__.py": ""}
    for name, text in commit.items():
        Path(site, name).parent.mkdir(parents=True, exist_ok=True)
        Path(site, name).write_text(text)
    told = environment_module.LENDER.replace("sys.meta_path.append(Lender)", f"sys.path.append({site!r})\nsys.meta_path.append(Lender)")
    monkeypatch.setattr(environment_module, "LENDER", told)
    return site


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("cd a && python -m pytest -q tests", FAILED),
        ("sh run.sh", FAILED),
        ("python -m unittest tests.test_sixth", FAILED),
        ("python -c 'import klick'", FAILED),
        ("python -m pytest -q tests/test_sixth.py -c pythonpath.ini", PASSED),
        ("PYTHONPATH=src python -c 'import sixth'", PASSED),
        ("cd a/src && python -c 'import klick'", PASSED),
        ("python -c 'import klick' && python -c 'import other'", FAILED),
        ("python -c 'import other'", PASSED),
    ],
)
def test_no_command_is_green_that_imports_what_has_the_name_of_the_checkouts_code_from_the_machine(
    place, machine: str, command: str, status: GateStatus
) -> None:
    """Whoever starts Python, and however deep the project lies: a module in src, and a package of a project in a folder."""
    test = "import unittest\nimport {}\n\n\nclass A(unittest.TestCase):\n    def test(self):\n        pass\n"
    files = {"tests/__init__.py": "", "tests/test_sixth.py": test.format("sixth"), "src/sixth.py": "", "src/other/part.py": ""}
    files |= {"a/pyproject.toml": "", "a/src/klick/__init__.py": "", "a/tests/test_klick.py": test.format("klick")}
    files |= {"run.sh": "cd a && python3 -m pytest -q tests\n", "pythonpath.ini": "[pytest]\npythonpath = src\n", "other.py": ""}
    commit_files(place[1], files)
    (outcome,) = judge((replace(place[0], sandbox="rlimit"), place[1]), GateSpec(1, "x", GateKind.COMMAND, command=command))
    assert outcome.status == status, outcome
    assert status == PASSED or ("may have run against other code: " in outcome.note and machine in outcome.note)


@pytest.mark.parametrize(("step", "kind", "made"), [
    ("true", GateKind.CONFLICT_MARKERS, False), ("rm x", GateKind.SECRETS, True), ("echo 2 > x", GateKind.FILE_SIZE, True),
    ("true", GateKind.COMMAND, True),
])  # fmt: skip
def test_gates_of_changed_files_need_no_files_where_nothing_was_changed(world: World, step: str, kind: GateKind, made: bool) -> None:
    commit_files(world.project, {"x": "1\n"})
    gates = (GateSpec(1, "Kept", kind, "true" if kind == GateKind.COMMAND else "", maximum=1_000.0),)
    spec = world.spec(steps=steps(step), gates=gates)
    result = world.run(spec).result
    assert result is not None and [gate.status for gate in result.gates] == [PASSED], result
    assert Path(spec.checkout).parent.joinpath(".judge").exists() is made
