"""Judges validation gates on what the agent left, by running checks; the agent's word counts for nothing."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import sys
import time

from subagents.backends.steps import shell_command
from subagents.broken_pipe import BROKEN_PIPE, why_141
from subagents.built_environment import ProjectEnvironment
from subagents.contract import GateKind, GateOrigin, GateOutcome, GateSpec, GateStatus
from subagents.credentials import secrets_for
from subagents.environment import site_packages
from subagents.files import MACHINE_ERRORS, clean_text
from subagents.judges_files import SCRIPT_CHARACTERS, commands_within
from subagents.machine_faults import filled_by, full
from subagents.open_repository import attached_repository
from subagents.own_code import WHERE, imported_elsewhere, names_of, told_by_python, watched_names
from subagents.record import replace
from subagents.sandbox import run_commands
from subagents.secret_scan import find_secrets
from subagents.standard_gates import find_markers, find_oversized, parseable
from subagents.told_of_tests import script_cannot_fail, scripts_of, told_by_scripts, told_of_tests, unsure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from subagents.clean_checkout import CleanCheckout, NoFiles
    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter

HEAD_BYTES, TAIL_BYTES = 4_000, 12_000
GATE_SECONDS = 900.0
SYNTAX_CHECKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "syntax.py")
SYNTAX_ENDINGS = (".py", ".pyi", ".json", ".toml", ".yaml", ".yml", ".xml", ".svg")
SCRIPT_ENDINGS = (".js", ".mjs", ".cjs")
SHELL_ENDINGS = (".sh", ".bash")
OF_CHANGED_FILES = frozenset(  # they look at nothing else
    {GateKind.CONFLICT_MARKERS, GateKind.FILE_SIZE, GateKind.PARSES, GateKind.SECRETS, GateKind.UNVERIFIED}
)
RUN_AGAIN = frozenset({GateKind.COMMAND, GateKind.TESTS, GateKind.COVERAGE})
# Python tests run by the interpreter that is found first, without a word on where modules are.
PLAIN_TESTS = re.compile(
    r"\s*(?:python[\d.]*\s+(?:-\w+\s+)*?-m\s+(?:pytest|unittest|coverage)|pytest|py\.test|coverage)\b(?!.*pythonpath)", re.IGNORECASE
)
SECRET_FOUND = (
    "a secret in a commit is known to all who can read the repository: take it out and retry, and revoke it if it is real; "  # noqa: S105 -- a sentence for people
    "if it is none, mark its line with the comment “pragma: allowlist secret”"
)
NOT_FOUND = 127  # what a shell ends with when there is no such program
SKIPPED_FOLDERS = frozenset({"node_modules", "venv", "env", "build", "dist", "__pycache__", "site-packages", "target"})


def _files(number: int, noun: str = "file") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Judge:
    """Judges the gates of one phase in `place`, each on the files of its commit as they are.

    `changed` are the files that the phase left changed, `deleted` those that it removed. `kept_out` tells of paths why they are
    in no commit although the phase left them: a gate on such files fails with the reason, and a command that fails names it.
    """

    def __init__(
        self,
        spec: TaskSpec,
        place: CleanCheckout | NoFiles,
        changed: Sequence[str],
        reporter: Reporter,
        phase: str = "",
        deleted: Sequence[str] = (),
        kept_out: Callable[[Sequence[str]], Mapping[str, str]] = lambda paths: {},
    ) -> None:
        self.spec, self.place, self.changed = spec, place, tuple(changed)
        self.checkout, self.commit, self.kept_out = place.path, place.commit, kept_out
        self.reporter, self.phase, self.deleted = reporter, phase, frozenset(deleted)
        self.environment = ProjectEnvironment.of(spec).id
        self._names: tuple[str, ...] | None = None

    def judge(self, gates: Sequence[GateSpec]) -> tuple[GateOutcome, ...]:
        """One outcome a gate, in order; a fault of one gate is that gate's failure and no other's.

        Raises MachineFault, OSError when the machine could not judge.
        """
        outcomes: list[GateOutcome] = []
        left: dict[str, None] = {}
        for number, gate in enumerate(gates, start=1):
            self.reporter.progress(len(self.spec.steps), f"Gate {number} of {len(gates)}: {gate.text[:100]}", "gate")
            if gate.kind != GateKind.UNVERIFIED:  # those that nothing judges need no files
                left |= dict.fromkeys(filter(None, [self.place.renew()]))
                self._find_odd_names()
            outcome = self._judge(gate)
            if self._worth_another(gate, outcome):
                self.reporter.note("warning", "gate_again", f"run again: {gate.text}", position=gate.position, exit_code=outcome.exit_code)
                self.place.renew()
                outcome = _both(outcome, self._judge(gate))
            outcome = _with_note(outcome, f"what earlier gates left is not there: {', '.join(left)}" if left else "")
            outcome = replace(self._with_kept_out(gate, outcome), environment=self.environment)
            outcomes.append(outcome)
            level = "error" if outcome.status == GateStatus.FAILED else "info"
            self.reporter.note(level, "gate_judged", f"{outcome.status}: {gate.text}", position=gate.position, exit_code=outcome.exit_code)
        return self._of_what_was_built(outcomes)

    def _find_odd_names(self) -> None:
        """Names that are no UTF-8 were told to us as text: look for the files of the commit that are meant."""
        if not any("\ufffd" in path for path in self.changed):
            return
        meant: dict[str, list[str]] = {}
        for name in self.place.names():
            meant.setdefault(clean_text(name), []).append(name)
        self.changed = tuple(name for path in self.changed for name in meant.get(path, [path]))

    def _of_what_was_built(self, outcomes: Sequence[GateOutcome]) -> tuple[GateOutcome, ...]:
        """The outcomes; none is green where the environment that the commands had did not stay as it was built."""
        if not (changed := ProjectEnvironment.of(self.spec).changed_since_built(self.spec.sandbox)):
            return tuple(outcomes)
        note = f"the project's environment was changed while gates ran ({changed}), which the sandbox cannot prevent here: "
        note += "install packages in the project's set-up command only, or install bubblewrap"
        self.reporter.note("error", "environment", note)
        unsure = (GateStatus.PASSED, GateStatus.FAILED)
        return tuple(
            _with_note(replace(outcome, status=GateStatus.FAILED), note) if outcome.status in unsure else outcome for outcome in outcomes
        )

    def _with_kept_out(self, gate: GateSpec, outcome: GateOutcome) -> GateOutcome:
        named = gate.paths or (paths_in(gate.command) if outcome.status == GateStatus.FAILED else ())
        why = "; ".join(self.kept_out([path for path in named if not os.path.lexists(os.path.join(self.checkout, path))]).values())
        return _with_note(replace(outcome, status=GateStatus.FAILED) if why else outcome, why)

    def _worth_another(self, gate: GateSpec, outcome: GateOutcome) -> bool:
        """Whether a second run could end otherwise: a command that said no; not one that is missing or had to be killed."""
        said_no = outcome.status == GateStatus.FAILED and outcome.exit_code is not None and outcome.exit_code > 0
        return said_no and outcome.exit_code != NOT_FOUND and gate.kind in RUN_AGAIN and self.spec.rerun_gates

    def _judge(self, gate: GateSpec) -> GateOutcome:
        if gate.kind == GateKind.UNVERIFIED:
            return self._outcome(gate, GateStatus.UNVERIFIED, note="no rule can check this: a person or a reviewer may")
        if not os.path.isdir(self.checkout):
            return self._outcome(gate, GateStatus.FAILED, note=f"the checkout {self.checkout} is gone: nothing could be judged")
        match gate.kind:
            case GateKind.FILES_EXIST:
                return self._files_exist(gate)
            case GateKind.LINE_COUNT:
                return self._line_count(gate)
            case GateKind.SYNTAX:
                return self._syntax(gate)
            case GateKind.TESTS:
                return self._tests(gate)
            case GateKind.COVERAGE:
                return self._coverage(gate)
            case GateKind.CONFLICT_MARKERS | GateKind.FILE_SIZE | GateKind.PARSES | GateKind.SECRETS:
                return self._standard(gate)
            case _:
                script = shell_command(gate.command, self.spec.attempt_dir, f"gate-{gate.origin}-{gate.position}")
                return self._of_this_checkout(gate, self._told_of_tests(self._command(gate, [script], gate.command)))

    def _outcome(self, gate: GateSpec, status: GateStatus, *, output: str = "", note: str = "", command: str = "") -> GateOutcome:
        return GateOutcome(
            gate.position, gate.text, gate.kind, status, command, None, self.commit, output, 0.0, note, self.phase, gate.origin
        )

    def _command(self, gate: GateSpec, commands: Sequence[list[str]], shown: str, extra: dict[str, str] | None = None) -> GateOutcome:
        """Run the commands one after the other, to the first that fails; passed when all end with 0."""
        capture, began = Capture(), time.monotonic()
        limit, own = min(GATE_SECONDS, self.spec.timeout_seconds), self.place.folder
        exit_code, timed_out = 0, False
        extra = {**(extra or {}), **secrets_for("gates"), **told_by_python(self.checkout, self._watched(), os.path.join(own, "tmp"))}

        def keep(data: bytes) -> None:
            capture.add(data)
            self.reporter.output(data, 0)
            self.reporter.alive()

        for argv in commands:
            try:
                exit_code, timed_out = run_commands(self.spec, argv, self.checkout, keep, gates=True, own=own, extra=extra, seconds=limit)
            except FileNotFoundError:
                return self._outcome(gate, GateStatus.FAILED, note=f"the checkout {self.checkout} is gone", command=shown)
            if exit_code or timed_out:
                break
        self.reporter.end_output(0)
        if exit_code and (fault := full((self.checkout, own, self.spec.repository))) and not filled_by((self.place.folder,)):
            raise fault
        note = ""
        if timed_out:
            note = f"did not end within {limit:g} s and was killed"
        elif exit_code == 127:
            note = (
                "a command was not found: is the tool installed where this runs? A folder outside /usr, such as ~/.cargo, "
                "is seen only if it is under Additional readable paths of the project"
            )
        elif exit_code == BROKEN_PIPE:
            note = why_141(shown)
        elif exit_code < 0:
            note = f"was killed by signal {-exit_code}"
        status = GateStatus.FAILED if exit_code or timed_out else GateStatus.PASSED
        seconds = time.monotonic() - began
        return GateOutcome(
            *(gate.position, gate.text, gate.kind, status, shown, exit_code, self.commit, capture.text(), seconds, note, self.phase),
            gate.origin,
        )

    def _standard(self, gate: GateSpec) -> GateOutcome:
        try:
            match gate.kind:
                case GateKind.CONFLICT_MARKERS:
                    return self._listed(gate, *find_markers(self.checkout, self.changed))
                case GateKind.SECRETS:
                    return self._secrets(gate)
                case GateKind.FILE_SIZE:
                    return self._listed(gate, *find_oversized(self.checkout, self.changed, int(gate.maximum or 0)))
                case _:
                    return self._parses(gate)
        except OSError as error:  # a file that the work made unreadable
            if error.errno in MACHINE_ERRORS:
                raise
            return self._outcome(gate, GateStatus.FAILED, note=f"could not be looked at: {error}")

    def _listed(self, gate: GateSpec, faults: Sequence[str], left_out: str) -> GateOutcome:
        """Failed when there are `faults`; otherwise green only when nothing was left out."""
        if faults:
            return self._outcome(gate, GateStatus.FAILED, output="\n".join(faults), note=left_out)
        if left_out:
            return self._outcome(gate, GateStatus.UNVERIFIED, note=left_out)
        return self._outcome(gate, GateStatus.PASSED, output=f"{_files(len(self.changed), 'changed file')} looked at")

    def _secrets(self, gate: GateSpec) -> GateOutcome:
        """Of what the phase's commits add; the files of the checkout do not matter."""
        found, left_out = find_secrets(attached_repository(self.spec.repository), self.spec.base_commit, self.commit)
        faults = [f"{one.path}:{one.line}: looks like {one.what} (commit {one.commit[:12]})" for one in found if not one.allowed]
        outcome = self._listed(gate, faults, left_out)
        if faults:
            return replace(outcome, note=f"{SECRET_FOUND}; {left_out}" if left_out else SECRET_FOUND)
        marked = [f"{one.path}:{one.line}: looks like {one.what}, and a comment says that it is none" for one in found]
        return replace(outcome, output="\n".join((*marked, outcome.output))) if marked else outcome

    def _parses(self, gate: GateSpec) -> GateOutcome:
        files, left_out = parseable(self.checkout, self.changed, yaml=_has_module("yaml"))
        if not files:
            return self._listed(gate, (), left_out)
        outcome = self._command(gate, [[sys.executable, "-I", SYNTAX_CHECKER, *files]], f"syntax.py ({_files(len(files))})")
        if outcome.status == GateStatus.PASSED and left_out:
            return replace(outcome, status=GateStatus.UNVERIFIED, note=left_out)
        return outcome

    def _files_exist(self, gate: GateSpec) -> GateOutcome:
        gone = self.deleted if gate.origin == GateOrigin.STANDARD else frozenset()  # declared to be removed, and it was
        missing = [path for path in gate.paths if path not in gone and not self._matches(path)]
        output = "\n".join(f"{'missing' if path in missing else 'removed' if path in gone else 'found'}: {path}" for path in gate.paths)
        return self._outcome(gate, GateStatus.FAILED if missing else GateStatus.PASSED, output=output)

    def _matches(self, path: str) -> list[str]:
        """The files in the checkout that `path` (a file, a folder or a glob) names; never outside of it."""
        if any(letter in path for letter in "*?["):
            return sorted(found for found in _files_under(self.checkout) if fnmatch.fnmatchcase(found, path))
        whole = os.path.join(self.checkout, path)
        if not _inside(self.checkout, whole) or not os.path.exists(whole):
            return []
        return [path]

    def _line_count(self, gate: GateSpec) -> GateOutcome:
        rows: list[str] = []
        failed = False
        for path in gate.paths:
            files = [found for found in self._matches(path) if os.path.isfile(os.path.join(self.checkout, found))]
            if not files:
                rows, failed = [*rows, f"missing: {path}"], True
            for file in files:
                lines = _count_lines(os.path.join(self.checkout, file))
                fits = (gate.minimum is None or lines >= gate.minimum) and (gate.maximum is None or lines <= gate.maximum)
                failed = failed or not fits
                rows.append(f"{'fits' if fits else 'does not fit'}: {file} has {lines} lines ({_range(gate)})")
        return self._outcome(gate, GateStatus.FAILED if failed else GateStatus.PASSED, output="\n".join(rows))

    def _syntax(self, gate: GateSpec) -> GateOutcome:
        asked = [found for path in gate.paths for found in self._matches(path)] if gate.paths else list(self.changed)
        files = [file for file in asked if os.path.isfile(os.path.join(self.checkout, file))]
        commands = []
        parsed = [file for file in files if file.endswith(SYNTAX_ENDINGS)]
        if parsed:
            commands.append([sys.executable, "-I", SYNTAX_CHECKER, *parsed])
        python = [file for file in files if file.endswith((".py", ".pyi"))]
        ruff = _tool("ruff")
        if python and ruff:
            commands.append([ruff, "check", "--no-cache", *_ruff_rules(self.checkout), "--", *python])
        node = _tool("node")
        if node:
            commands += [[node, "--check", file] for file in files if file.endswith(SCRIPT_ENDINGS)]
        commands += [["/bin/sh" if file.endswith(".sh") else "bash", "-n", file] for file in files if file.endswith(SHELL_ENDINGS)]
        if not commands:
            return self._outcome(gate, GateStatus.UNVERIFIED, note="no changed file is of a kind whose syntax can be checked here")
        shown = " && ".join(dict.fromkeys(shlex.join([os.path.basename(part) for part in argv[:3]]) for argv in commands))
        return self._command(gate, commands, f"{shown} ({_files(len(files))})")

    def _tests(self, gate: GateSpec) -> GateOutcome:
        commands = [gate.command] if gate.command else find_test_commands(self.checkout)
        if not commands:
            return self._outcome(gate, GateStatus.UNVERIFIED, note="no tests were found to run (pytest, npm, go, cargo, make)")
        outcomes: list[GateOutcome] = []
        for command in commands:
            ran = self._command(gate, [shell_command(command, self.spec.attempt_dir, "tests")], command, NO_LEFTOVERS)
            outcomes.append(self._of_this_checkout(gate, self._told_of_tests(_without_tests(ran))))
            if outcomes[-1].status != GateStatus.PASSED:
                break
        return _all_of(outcomes)

    def _told_of_tests(self, outcome: GateOutcome) -> GateOutcome:
        """What bears out that a command ended well: its own words, and those of its runner. See told_of_tests.py."""
        outcome = told_of_tests(outcome)
        for folder, name in scripts_of(outcome.command) if outcome.status == GateStatus.PASSED else ():
            package = _json(os.path.join(self.checkout, folder, "package.json"))
            scripts = package.get("scripts") if isinstance(package, dict) else None
            if isinstance(scripts, dict) and (why := script_cannot_fail(scripts, name, outcome.command)):
                return unsure(outcome, f"the script {name} of package.json cannot fail: {why}")
        if outcome.status != GateStatus.PASSED:
            return outcome
        return told_by_scripts(outcome, commands_within(outcome.command, self._texts))

    def _texts(self, paths: Sequence[str]) -> dict[str, tuple[str]]:
        """{path: its text} of the files of the checkout that a command runs."""
        found = {}
        for path in paths:
            whole = os.path.realpath(os.path.join(self.checkout, path))
            if _inside(self.checkout, whole) and os.path.isfile(whole):
                with open(whole, encoding="utf-8", errors="replace") as file:
                    found[path] = (file.read(SCRIPT_CHARACTERS),)
        return found

    def _of_this_checkout(self, gate: GateSpec, outcome: GateOutcome) -> GateOutcome:
        """A command that imports what has the name of the checkout's code from elsewhere says nothing about the checkout: never green."""
        if outcome.status != GateStatus.PASSED:
            return outcome
        found = imported_elsewhere(os.path.join(self.place.folder, "tmp")) or self._would_import_elsewhere(gate)
        if not found:
            return outcome
        note = f"the tests may have run against other code: {found}, which is not in the checkout; install the checkout, or set pythonpath"
        return replace(outcome, status=GateStatus.FAILED, note=note)

    def _would_import_elsewhere(self, gate: GateSpec) -> str:
        """Where the Python that is found first would look for names that it did not tell of; "" where it finds them in the checkout."""
        if gate.kind == GateKind.COMMAND and not PLAIN_TESTS.match(gate.command):
            return ""
        names = names_of(self.checkout)
        names = names if self.environment else tuple(name for name in names if name not in self._watched())
        if not names or not has_python_tests(self.checkout) or _sets_path(self.checkout):
            return ""
        return self._command(gate, [["python", "-c", WHERE, *names]], "").output.strip()

    def _watched(self) -> tuple[str, ...]:
        if self._names is None:
            self._names = watched_names(self.checkout)
        return self._names

    def _coverage(self, gate: GateSpec) -> GateOutcome:
        if not has_python_tests(self.checkout):
            return self._outcome(gate, GateStatus.UNVERIFIED, note="coverage can be measured of Python tests only, and there are none")
        data = os.path.join(self.place.folder, "tmp", f"coverage-{gate.position}")
        runner = "pytest -q" if _has_module("pytest") else "unittest discover"
        measured = f"python -m coverage run --source=. -m {runner}"
        report = f"python -m coverage report --fail-under={gate.minimum or 0:g}"
        commands = [shell_command(part, self.spec.attempt_dir, "coverage") for part in (measured, report)]
        outcome = self._command(gate, commands, f"{measured} && {report}", {**NO_LEFTOVERS, "COVERAGE_FILE": data})
        if "No module named coverage" in outcome.output:
            return replace(outcome, note="coverage is not installed where this runs: python -m pip install coverage")
        return self._of_this_checkout(gate, self._told_of_tests(_without_tests(outcome)))


# Tests leave caches beside the code; what a gate leaves is never committed, and less of it is less to trip over.
NO_LEFTOVERS = {"PYTEST_ADDOPTS": "-p no:cacheprovider"}


def _sets_path(checkout: str) -> bool:
    """Whether the tests themselves say where modules are found."""
    places = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "conftest.py", "tests/conftest.py")
    return any("pythonpath" in line or "sys.path" in line for name in places for line in _lines(os.path.join(checkout, name)))


def _with_note(outcome: GateOutcome, note: str) -> GateOutcome:
    """The outcome of a gate that failed with one more word on why; any other as it is."""
    if outcome.status != GateStatus.FAILED or not note:
        return outcome
    return replace(outcome, note=f"{outcome.note}; {note}" if outcome.note else note)


def paths_in(command: str) -> list[str]:
    """The words of a command that could be files of the checkout."""
    words = re.split(r"[\s;&|()<>'\"`=]+", command)
    return [os.path.normpath(word) for word in words[:200] if word and not word.startswith(("-", "/", "~", "$")) and ".." not in word]


def _both(first: GateOutcome, second: GateOutcome) -> GateOutcome:
    """A gate that failed and was run again: the second run counts, and what the first one said is kept beside it."""
    flaky = second.status == GateStatus.PASSED
    if flaky:
        said = f"flaky: it ended with exit code {first.exit_code}, and passed when it was run again on the same files"
    else:
        said = "failed twice"
    return replace(
        second,
        flaky=flaky,
        first_exit_code=first.exit_code,
        first_output=first.output,
        seconds=first.seconds + second.seconds,
        note=f"{second.note}; {said}" if second.note else said,
    )


def _without_tests(outcome: GateOutcome) -> GateOutcome:
    """A test run that ran no test proves nothing: never green."""
    none = "Ran 0 tests" in outcome.output or "collected 0 items" in outcome.output or "no tests ran" in outcome.output
    if none and outcome.exit_code in (0, 5):
        return replace(outcome, status=GateStatus.FAILED, note="the command ran no test at all")
    return outcome


def has_python_tests(checkout: str) -> bool:
    """Whether there are files that pytest would collect by its default names."""
    names = (os.path.basename(path) for path in _files_under(checkout))
    return any(name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py")) for name in names)


def find_test_commands(checkout: str) -> list[str]:
    """The commands that run the project's tests, one for each language that has some, by what is there."""
    found = []
    if has_python_tests(checkout):
        found.append("python -m pytest -q" if _has_module("pytest") else "python -m unittest discover -v")
    if _npm_tests(os.path.join(checkout, "package.json")):
        found.append("npm test --silent")
    of_files = (("go.mod", "go test ./..."), ("Cargo.toml", "cargo test"))
    found += [command for name, command in of_files if os.path.isfile(os.path.join(checkout, name))]
    by_make = not found and any(line.startswith("test:") for line in _lines(os.path.join(checkout, "Makefile")))
    return ["make test"] if by_make else found


def _all_of(outcomes: Sequence[GateOutcome]) -> GateOutcome:
    """The outcome of commands that ran one after the other: that of the last, with what all of them printed."""
    if len(outcomes) == 1:
        return outcomes[0]
    return replace(
        outcomes[-1],
        command=" && ".join(outcome.command for outcome in outcomes),
        output="\n".join(f"$ {outcome.command}\n{outcome.output}" for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
    )


def _has_module(name: str) -> bool:
    """Whether the interpreter of the commands has a package; looked up in its folders, since we run without site."""
    return any(os.path.isdir(os.path.join(place, name)) for place in site_packages())


def _json(path: str) -> object:
    try:
        return json.loads("\n".join(_lines(path)) or "{}")
    except (ValueError, RecursionError):
        return None


def _npm_tests(path: str) -> bool:
    package = _json(path)
    scripts = package.get("scripts", {}) if isinstance(package, dict) else {}
    return isinstance(scripts, dict) and "no test specified" not in str(scripts.get("test", "no test specified"))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1_000_000).split("\n")
    except OSError:
        return []


def _ruff_rules(checkout: str) -> list[str]:
    """The project's own rules where it has some; else only what is an error in any code."""
    own = any(os.path.exists(os.path.join(checkout, name)) for name in ("ruff.toml", ".ruff.toml"))
    own = own or any(line.startswith("[tool.ruff") for line in _lines(os.path.join(checkout, "pyproject.toml")))
    return [] if own else ["--isolated", "--select", "E9,F63,F7,F82"]


def _tool(name: str) -> str:
    return shutil.which(name, path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])) or ""


def _files_under(checkout: str) -> list[str]:
    found = []
    for folder, folders, files in os.walk(checkout):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")]
        found += [os.path.relpath(os.path.join(folder, name), checkout) for name in files]
    return found


def _inside(checkout: str, path: str) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(checkout) + os.sep)


def _count_lines(path: str) -> int:
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            lines, last = lines + part.count(b"\n"), part[-1:]
    return lines + (last != b"\n")


def _range(gate: GateSpec) -> str:
    if gate.minimum is None:
        return f"at most {gate.maximum:g}"
    if gate.maximum is None:
        return f"at least {gate.minimum:g}"
    return f"{gate.minimum:g} to {gate.maximum:g}"


class Capture:
    """The head and the tail of a stream; what lies between is counted, not kept."""

    def __init__(self) -> None:
        self._head, self._tail, self._size = b"", b"", 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail = (self._tail + (data[room:] if room > 0 else data))[-TAIL_BYTES:]

    def text(self) -> str:
        left_out = self._size - len(self._head) - len(self._tail)
        middle = f"\n… {left_out} bytes left out …\n".encode() if left_out > 0 else b""
        return (self._head + middle + self._tail).decode("utf-8", "replace").replace("\0", "\ufffd")
