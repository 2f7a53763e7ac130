"""Which commands lint, test and measure the coverage of a repository, by what lies in it. A proposal: nothing is run.

The first rule that fits wins: Python (ruff, flake8, pytest, tox, nox), then npm scripts, go, cargo, make targets. When the
top folder shows nothing, the first folder below it that does is taken.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

MANIFESTS = (
    *("pyproject.toml", "setup.cfg", "tox.ini", "noxfile.py", "pytest.ini", ".coveragerc", "package.json"),
    *("Makefile", "makefile", "GNUmakefile"),
)
MARKS = frozenset(
    {*MANIFESTS, "ruff.toml", ".ruff.toml", ".flake8", "conftest.py", "go.mod", "Cargo.toml", "clippy.toml", ".clippy.toml"}
)
FOLDERS_LOOKED_AT = 20
PYTEST = "python -m pytest -q"


@dataclass(frozen=True, slots=True)
class Found:
    """A command, and what in the repository speaks for it."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was found; None where nothing speaks for a command."""

    lint: Found | None = None
    test: Found | None = None
    coverage: Found | None = None
    build: Found | None = None  # for plans; no gate of the project's settings

    def __bool__(self) -> bool:
        return any((self.lint, self.test, self.coverage))


def manifests_of(files: Sequence[str]) -> list[str]:
    """The files whose contents `propose` wants to see: those of the top folder and of the folders that it may look at."""
    folders = ["", *_folders(files)]
    names = set(files)
    return [path for folder in folders for name in MANIFESTS if (path := _join(folder, name)) in names]


def propose(files: Sequence[str], contents: Mapping[str, str]) -> Proposal:
    """The commands for a repository with these `files` (paths from its top); `contents` are those of its manifests."""
    whole = _in_folder(files, contents, "")
    if whole:
        return whole
    return next((found for folder in _folders(files) if (found := _in_folder(files, contents, folder))), Proposal())


def _folders(files: Sequence[str]) -> list[str]:
    """Folders of the top that hold something telling, by name."""
    telling = {path.partition("/")[0] for path in files if path.count("/") == 1 and path.partition("/")[2] in MARKS}
    return sorted(name for name in telling if not name.startswith("."))[:FOLDERS_LOOKED_AT]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _in_folder(files: Sequence[str], contents: Mapping[str, str], folder: str) -> Proposal:
    start = len(folder) + 1 if folder else 0
    inside = frozenset(path[start:] for path in files if not folder or path.startswith(folder + "/"))
    text = {name: contents.get(_join(folder, name), "") for name in MANIFESTS}
    kinds = (_python, _npm, _go, _cargo, _make)
    found = Proposal()
    for kind in kinds:
        other = kind(inside, text)
        changes = {field.name: getattr(other, field.name) for field in fields(found) if getattr(found, field.name) is None}
        found = replace(found, **changes)
    if not folder:
        return found
    moved = {field.name: _below(getattr(found, field.name), folder) for field in fields(found)}
    return Proposal(**moved)


def _below(found: Found | None, folder: str) -> Found | None:
    return None if found is None else Found(f"cd {shlex.quote(folder)} && {found.command}", f"{found.why}, in {folder}/")


def _python(inside: frozenset[str], text: Mapping[str, str]) -> Proposal:
    settings = _tool(text["pyproject.toml"])
    tests = _first(_about_pytest(inside, text, settings))
    return Proposal(
        lint=_first(_about_lint(inside, text, settings)),
        test=tests,
        coverage=_coverage(text, settings) if tests and tests.command == PYTEST else None,
    )


def _about_lint(inside: frozenset[str], text: Mapping[str, str], settings: Mapping[str, Any]) -> Iterator[Found]:
    for name in ("ruff.toml", ".ruff.toml"):
        if name in inside:
            yield Found("ruff check .", name)
    if "ruff" in settings:
        yield Found("ruff check .", "[tool.ruff] in pyproject.toml")
    if ".flake8" in inside:
        yield Found("flake8", ".flake8")
    for name in ("setup.cfg", "tox.ini"):
        if _section(text[name], "flake8"):
            yield Found("flake8", f"[flake8] in {name}")
    if _section(text["tox.ini"], "testenv:lint"):
        yield Found("tox -e lint", "[testenv:lint] in tox.ini")
    if _session(text["noxfile.py"], "lint"):
        yield Found("nox -s lint", "the session lint in noxfile.py")


def _about_pytest(inside: frozenset[str], text: Mapping[str, str], settings: Mapping[str, Any]) -> Iterator[Found]:
    if "pytest" in settings:
        yield Found(PYTEST, "[tool.pytest] in pyproject.toml")
    for name, section in (("pytest.ini", "pytest"), ("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
        if _section(text[name], section):
            yield Found(PYTEST, f"[{section}] in {name}")
    if "conftest.py" in inside:
        yield Found(PYTEST, "conftest.py")
    tests = sorted(path for path in inside if re.fullmatch(r"test_.*\.py|.*_test\.py", path.rpartition("/")[2]))
    if tests:
        yield Found(PYTEST, tests[0])
    if "tox.ini" in inside:
        yield Found("tox", "tox.ini")
    for name in ("tests", "test"):
        if _session(text["noxfile.py"], name):
            yield Found(f"nox -s {name}", f"the session {name} in noxfile.py")


def _coverage(text: Mapping[str, str], settings: Mapping[str, Any]) -> Found | None:
    """Only with a threshold of the project's own: without one the command ends well whatever is covered."""
    command = "python -m coverage run -m pytest -q && python -m coverage report"
    report = settings.get("coverage", {})
    report = report.get("report", {}) if isinstance(report, dict) else {}
    if isinstance(report, dict) and "fail_under" in report:
        return Found(command, "fail_under in pyproject.toml")
    for name in (".coveragerc", "setup.cfg", "tox.ini"):
        if re.search(r"^\s*fail_under\s*=", text[name], re.M):
            return Found(command, f"fail_under in {name}")
    return None


def _npm(inside: frozenset[str], text: Mapping[str, str]) -> Proposal:
    try:
        scripts = json.loads(text["package.json"] or "{}").get("scripts", {})
    except (ValueError, AttributeError, RecursionError):
        return Proposal()
    if not isinstance(scripts, dict):
        return Proposal()
    manager = "pnpm" if "pnpm-lock.yaml" in inside else "yarn" if "yarn.lock" in inside else "npm"

    def script(*names: str) -> Found | None:
        chosen = next((name for name in names if isinstance(scripts.get(name), str) and "no test specified" not in scripts[name]), None)
        return None if chosen is None else Found(f"{manager} run {chosen}", f"the script {chosen} in package.json")

    return Proposal(script("lint"), script("test"), script("coverage", "test:coverage"), script("build"))


def _go(inside: frozenset[str], text: Mapping[str, str]) -> Proposal:
    if "go.mod" not in inside:
        return Proposal()
    settings = next((name for name in (".golangci.yml", ".golangci.yaml", ".golangci.toml") if name in inside), None)
    lint = Found("golangci-lint run", settings) if settings else Found("go vet ./...", "go.mod")
    return Proposal(lint, Found("go test ./...", "go.mod"), build=Found("go build ./...", "go.mod"))


def _cargo(inside: frozenset[str], text: Mapping[str, str]) -> Proposal:
    if "Cargo.toml" not in inside:
        return Proposal()
    settings = next((name for name in ("clippy.toml", ".clippy.toml") if name in inside), None)
    lint = Found("cargo clippy --all-targets -- -D warnings", settings) if settings else None
    return Proposal(lint, Found("cargo test", "Cargo.toml"), build=Found("cargo build", "Cargo.toml"))


def _make(inside: frozenset[str], text: Mapping[str, str]) -> Proposal:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if name in inside), "Makefile")
    targets = set(re.findall(r"^([A-Za-z][\w-]*)[ \t]*:(?![:=])", text[name], re.M))

    def target(*names: str) -> Found | None:
        chosen = next((one for one in names if one in targets), None)
        return None if chosen is None else Found(f"make {chosen}", f"the target {chosen} in {name}")

    return Proposal(target("lint"), target("test", "check"), target("coverage", "cov"), target("build"))


def _first(found: Iterator[Found]) -> Found | None:
    return next(found, None)


def _tool(text: str) -> Mapping[str, Any]:
    """The [tool] table of a pyproject.toml; {} for what does not parse."""
    try:
        tool = tomllib.loads(text).get("tool", {})
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    return tool if isinstance(tool, dict) else {}


def _section(text: str, name: str) -> bool:
    return bool(re.search(rf"^\[{re.escape(name)}\]", text, re.M))


def _session(text: str, name: str) -> bool:
    """Whether a noxfile defines a session of this name."""
    return bool(re.search(rf"^@(?:nox\.)?session\b[^\n]*\n(?:@[^\n]*\n)*def {name}\(", text, re.M))
