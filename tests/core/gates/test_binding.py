import time

import pytest

from batches.core.gates.binding import bind_gate, bind_gates, understand
from batches.core.gates.shell import command_of_step
from subagents.contract import GateKind, GateSpec

DECLARED = ("src/app.py", "tests/test_app.py")


@pytest.mark.parametrize(
    ("text", "kind", "command"),
    [
        ("All files created (checked: file existence)", GateKind.FILES_EXIST, ""),
        ("No syntax errors (checked: linting)", GateKind.SYNTAX, ""),
        ("Tests pass (checked: pytest exit code)", GateKind.TESTS, ""),
        (">90% coverage (checked: coverage report)", GateKind.COVERAGE, ""),
        ("It starts (checked: python -m app --version)", GateKind.COMMAND, "python -m app --version"),
        ("It starts (checked: `python -m app`)", GateKind.COMMAND, "python -m app"),
        ("It starts (checked: ./run.sh (quick) | grep ok)", GateKind.COMMAND, "./run.sh (quick) | grep ok"),
        ("It reads well (checked: manual review)", GateKind.UNVERIFIED, ""),
        ("It is agreed (checked: asking the team)", GateKind.UNVERIFIED, ""),
        ("`pytest tests/ -q` passes", GateKind.COMMAND, "pytest tests/ -q"),
        ("`ruff check .` and `mypy src` are clean", GateKind.COMMAND, "ruff check . && mypy src"),
        ("`pytest` passes", GateKind.COMMAND, "pytest"),
        ("`FOO=1 ./check.sh`", GateKind.COMMAND, "FOO=1 ./check.sh"),
        ("`grep -r TODO src` returns nothing", GateKind.COMMAND, 'test -z "$({ grep -r TODO src; } 2>&1 || true)"'),
        ("`python -m app --bad` exits with code 2", GateKind.COMMAND, "! { python -m app --bad; }"),
        ("All tests passing", GateKind.TESTS, ""),
        ("All unit tests pass", GateKind.TESTS, ""),
        ("Test suite is green", GateKind.TESTS, ""),
        ("All integration tests in tests/ still pass", GateKind.TESTS, ""),
        ("No lint errors", GateKind.SYNTAX, ""),
        ("Linting passes", GateKind.SYNTAX, ""),
        ("Valid YAML syntax", GateKind.SYNTAX, ""),
        ("Python 3.11 works with `python`", GateKind.UNVERIFIED, ""),
        ("`rm /tmp/test.txt`, `curl https://example.com`", GateKind.UNVERIFIED, ""),
        ("`curl -sf localhost:8000/health` answers", GateKind.COMMAND, "curl -sf localhost:8000/health"),
        ("`python -m app.audit` returns zero high alerts", GateKind.UNVERIFIED, ""),
        ("`grep -r old docs/` - update all references", GateKind.UNVERIFIED, ""),
        ("Working directory clean: `git status`", GateKind.UNVERIFIED, ""),
        ("`find . -name x` works", GateKind.UNVERIFIED, ""),
        ("`find . -name '*.orig'` finds nothing", GateKind.COMMAND, "test -z \"$({ find . -name '*.orig'; } 2>&1 || true)\""),
        ("`pytest -q` or `make test` passes", GateKind.COMMAND, "pytest -q || make test"),
        ("Tests: `cd tools && uv run pytest tests/ -v`", GateKind.COMMAND, "cd tools && uv run pytest tests/ -v"),
        ("Verify no stale references exist", GateKind.UNVERIFIED, ""),
        ("Backup directory created automatically", GateKind.UNVERIFIED, ""),
        ("Heartbeat files created and monitored correctly", GateKind.UNVERIFIED, ""),
        ("All agents listed in `provides.agents` exist as files", GateKind.UNVERIFIED, ""),
        ("159+ files exist in `src/core/`", GateKind.UNVERIFIED, ""),
        ("If desired: `rm $(which but)`", GateKind.UNVERIFIED, ""),
        ("`find . -name x | xargs rm` is clean", GateKind.UNVERIFIED, ""),
        ("`git push origin main` works", GateKind.UNVERIFIED, ""),
        ("`git diff --exit-code` is clean", GateKind.COMMAND, "git diff --exit-code"),
        ("`/web/jobs` — Jobs", GateKind.UNVERIFIED, ""),
        ("Documentation updated", GateKind.UNVERIFIED, ""),
        ("Project structure created", GateKind.UNVERIFIED, ""),
        ("`src/app.py` updated", GateKind.UNVERIFIED, ""),
        ("Old files no longer present", GateKind.UNVERIFIED, ""),
        ("`legacy.py` does not exist", GateKind.UNVERIFIED, ""),
        ("Manual tests pass", GateKind.UNVERIFIED, ""),
        ("Coverage is good", GateKind.UNVERIFIED, ""),
        ("", GateKind.UNVERIFIED, ""),
    ],
)
def test_gate_is_bound_by_rule_or_not_at_all(text: str, kind: GateKind, command: str) -> None:
    gate = bind_gate(1, text, DECLARED)
    assert (gate.kind, gate.command) == (kind, command)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("All files created", DECLARED),
        ("All 5 template files created", DECLARED),
        ("The files exist.", DECLARED),
        ("Verify all directories created successfully", DECLARED),
        ("Files are in place (see goal)", DECLARED),
        ("`src/new.py` exists", ("src/new.py",)),
        ("Files `a.py` and `b/c.md` are created", ("a.py", "b/c.md")),
        ("Directory `docs/` created", ("docs",)),
        ("File docs/guide.md exists", ("docs/guide.md",)),
        ("`src/*.py` present", ("src/*.py",)),
        ("Created files: `../secret`, `/etc/passwd`, `ok.txt` exist", ("ok.txt",)),
    ],
)
def test_existence_looks_at_named_files_else_at_declared_ones(text: str, paths: tuple[str, ...]) -> None:
    assert bind_gate(1, text, DECLARED) == GateSpec(1, text, GateKind.FILES_EXIST, paths=paths)


@pytest.mark.parametrize(
    ("text", "minimum", "maximum"),
    [
        ("`a.md` is ~730 ± 50 lines", 680, 780),
        ("`a.md` has at least 100 lines", 100, None),
        ("`a.md` under 400 lines", None, 399),
        ("`a.md` at most 1,400 lines", None, 1400),
        ("`a.md`: 100-200 lines", 100, 200),
        ("`a.md` between 100 and 200 lines", 100, 200),
        ("`a.md` is about 300 lines", 270, 330),
        ("`a.md` has 500+ lines", 500, None),
        ("`a.md` has exactly 50 lines", 50, 50),
        ("`a.md` more than 10 lines", 11, None),
    ],
)
def test_line_counts_become_bounds(text: str, minimum: float | None, maximum: float | None) -> None:
    assert bind_gate(1, text) == GateSpec(1, text, GateKind.LINE_COUNT, paths=("a.md",), minimum=minimum, maximum=maximum)


def test_line_count_without_a_file_is_of_the_only_declared_one_else_unverified() -> None:
    assert bind_gate(1, "Under 400 lines", ("one.py",)).paths == ("one.py",)
    assert bind_gate(1, "Under 400 lines", DECLARED).kind == GateKind.UNVERIFIED
    assert bind_gate(1, "Each file under 400 lines", DECLARED).paths == DECLARED


@pytest.mark.parametrize(
    ("text", "minimum"), [(">90% coverage", 90), ("Coverage of at least 85.5 % reached", 85.5), ("Test coverage ≥ 80%", 80)]
)
def test_coverage_takes_its_figure_from_the_text(text: str, minimum: float) -> None:
    assert bind_gate(1, text) == GateSpec(1, text, GateKind.COVERAGE, minimum=minimum)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("bin/tool exists", ("bin/tool",)),
        ("`Procfile` and `app.json` are there and exist", ("app.json", "Procfile")),
        ("Makefile and docs/new exist.", ("Makefile", "docs/new")),
        ("The guides exist", ()),
        ("Tools exist for and/or", ()),
    ],
)
def test_a_declared_file_without_an_ending_is_recognised_by_its_whole_name(text: str, paths: tuple[str, ...]) -> None:
    gate = bind_gate(1, text, ("bin/tool", "Procfile", "Makefile", "docs/new/", "guides"))
    assert (gate.kind, gate.paths) == (GateKind.FILES_EXIST if paths else GateKind.UNVERIFIED, paths)


def test_file_existence_without_any_file_is_unverified() -> None:
    assert bind_gate(1, "All files created (checked: file existence)").kind == GateKind.UNVERIFIED


def test_gates_are_numbered_in_order() -> None:
    assert [gate.position for gate in bind_gates(["a", "b", "c"])] == [1, 2, 3]


@pytest.mark.parametrize("unit", ["`", "tests ", "(checked: ", "9", "a/", "no syntax ", "a.", "9,9-", "pass ", "`a` "])
def test_hostile_text_is_bound_quickly(unit: str) -> None:
    began = time.process_time()
    for size in (100, 1_000, 1_990, 100_000):
        text = (unit * size)[:size]
        bind_gate(1, text + " lines", DECLARED)
        bind_gate(1, text + ")", DECLARED)
    assert time.process_time() - began < 2


def test_gate_as_long_as_an_essay_is_unverified() -> None:
    assert bind_gate(1, "All tests pass. " * 200).kind == GateKind.UNVERIFIED


@pytest.mark.parametrize(
    "command",
    [
        "just test",
        "gcc -Wall -Werror -fsyntax-only src/a.c",
        "cc -c a.c && ./check.sh",
        "set -e; make lint; ./run.sh",
        "/abs/path/python -m pytest",
        "/usr/bin/python3.12 -m pytest -q",
        "cat out.txt | grep -q done",
        "git status --porcelain | grep -q .",
        "pytest -q | tail -5",
        "! grep -r TODO src",
        "(cd tools && make test)",
        "diff <(ls a) <(ls b)",
        "grep -c 'a|b; c' notes.md",
        "node_modules/.bin/jest --ci",
        "[[ -f a && -f b ]]",
    ],
)
def test_command_that_says_yes_or_no_is_run_as_written(command: str) -> None:
    assert understand(1, f"It holds: `{command}`").gate == GateSpec(1, f"It holds: `{command}`", GateKind.COMMAND, command=command)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("mytool check --strict", "mytool is no program that is known to say yes or no by its exit code"),
        ("a | b", "a is no program that is known to say yes or no by its exit code"),
        ("./check", "it may be a name as well as a command"),
        ("cat a | wc -l", "nothing in it says yes or no: its programs end well whatever they see"),
        ("echo done", "echo ends well whatever it sees"),
        ("pytest -q || true", "what follows “||” makes it end well whatever happens"),
        ("python -m http.server &", "“&” leaves it running, so nobody learns how it ends"),
        ("for f in *.py; do python $f; done", "it is a small script, so it runs only when you say so"),
        ("git status", "git ends well whatever it finds, unless an option asks otherwise"),
    ],
)
def test_other_commands_are_not_run_say_why_and_are_offered(command: str, why: str) -> None:
    read = understand(1, f"Holds: `{command}`")
    assert (read.gate.kind, read.why_not, read.offer) == (GateKind.UNVERIFIED, why, command)


@pytest.mark.parametrize(
    "span",
    [
        *("UserService", "src/app.py", "docs/", "/web/jobs", "/abs/pytest", "npm", "python", "GET /api/x", "x = 3", "key: value"),
        *("call(x, y)", "user not found", "def f(x)", "SELECT * FROM x", '{"a": 1}', "a && ", "it's", "--flag", "<br>"),
        *("rm -rf build", "find . -name x -delete", "sed -i s/a/b/ x", "git push origin main", "pytest && git push", "ls | xargs rm"),
    ],
)
def test_names_paths_descriptions_and_deeds_are_neither_run_nor_offered(span: str) -> None:
    read = understand(1, f"See `{span}`")
    assert (read.gate.kind, read.offer) == (GateKind.UNVERIFIED, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Review by hand: `pytest -q`", "the sentence asks a person to look"),
        ("Update `npm run test`", "the sentence asks for something to be done, not whether it is"),
        ("`python -m app.audit` returns nothing", "what it prints is more than what it finds, so only a reader can tell"),
        ("`find . -name x` works", "find ends well whatever it finds"),
        ("Remove it: `rm -rf build`", "it changes or removes things, and a gate only looks"),
        ("It is agreed", ""),
    ],
)
def test_what_the_sentence_says_is_told_too(text: str, why: str) -> None:
    assert understand(1, text).why_not == why


@pytest.mark.parametrize(
    ("step", "command"),
    [
        ("`npm ci`", "npm ci"),
        ("Run `npm run build`.", "npm run build"),
        ('`echo "# Shop" > README.md && ls`', 'echo "# Shop" > README.md && ls'),
        ("run: `./build.sh`", "./build.sh"),
        ("`cp a b`", "cp a b"),
        ("`.venv/bin/pip install -e .`", ".venv/bin/pip install -e ."),
        ("`tool --all`", "tool --all"),
        ("`src/a.py`", ""),
        ("`src/a.py src/b.py`", ""),
        ("`GET /users`", ""),
        ("`user model`", ""),
        ("`class Foo`", ""),
        ("`x = 1`", ""),
        ("`npm`", ""),
        ("Create `src/a.py`", ""),
        ("`npm ci` and `npm test`", ""),
        ("Do not run `npm ci`", ""),
    ],
)
def test_a_step_is_a_command_only_if_it_is_nothing_else(step: str, command: str):
    assert command_of_step(step) == command
