"""What builds a project's environment, proposed from the files of its repository. Nothing is run."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnvironmentProposal:
    """A set-up command (a shell script), the variables that it needs as NAME=VALUE lines, and the files that speak for it.

    `readable`: folders of this machine that commands must be able to read for it, and that the sandbox does not show by itself.
    """

    setup: str
    variables: str
    why: str
    readable: tuple[str, ...] = ()


_INSTALL = "bin/python -m pip install --quiet --disable-pip-version-check"
PIP = f"python3 -m venv .venv && .venv/{_INSTALL}"
# Programs that a proposal may name and that Python or Node can bring along where the machine lacks them.
FETCHED_TOOLS = ("uv", "poetry", "pipenv", "pnpm", "yarn")
# Programs of Python that proposed gates start, each a package of the same name; with "coverage" pytest needs its plug-in.
PYTHON_TOOLS = {"pytest": "pytest", "ruff": "ruff", "mypy": "mypy", "flake8": "flake8", "coverage": "coverage", "--cov": "pytest-cov"}


@dataclass(frozen=True, slots=True)
class RustPlace:
    """Where this machine has its cargo: the folder of the program, and the home of rustup if it is rustup that starts it."""

    programs: str
    rustup_home: str


def propose_environment(
    files: Sequence[str], lacking: Collection[str] = (), rust: RustPlace | None = None, commands: Sequence[str] = ()
) -> EnvironmentProposal | None:
    """The set-up that the lock files and manifests of the top folder speak for, one part for each language; None without any.

    `lacking`: which of FETCHED_TOOLS this machine does not have; the set-up installs those it needs for itself.
    `rust`: where its cargo is; None without one.
    `commands`: those of the gates that are proposed beside it; pip installs the tools that they start.
    """
    top = {path for path in files if "/" not in path}
    python = _python(top, lacking, _tools(commands))
    parts = [part for part in (python, _node(top, lacking), _rust(top, rust), _go(top), _ruby(top)) if part is not None]
    if not parts:
        return None
    variables = "\n".join(part.variables for part in parts if part.variables)
    readable = tuple(path for part in parts for path in part.readable)
    return EnvironmentProposal("\n".join(part.setup for part in parts), variables, ", ".join(part.why for part in parts), readable)


def _fetched(tool: str, lacking: Collection[str], *, variables: str = "") -> str:
    """The start of a command line of `tool` with `variables` before it; the tool is installed first where the machine lacks it."""
    before = f"{variables} " if variables else ""
    if tool not in lacking:
        return f"{before}{tool}"
    if tool in ("pnpm", "yarn"):
        return f"{before}npx --yes {tool}"
    return f"python3 -m venv .tools && .tools/{_INSTALL} {tool} && {before}.tools/bin/{tool}"


def _tools(commands: Sequence[str]) -> str:
    """The packages of PYTHON_TOOLS that `commands` start, as words for pip."""
    words = {word.partition("=")[0] for command in commands for word in re.split(r"[\s;&|]+", command)}
    return " ".join(package for word, package in PYTHON_TOOLS.items() if word in words)


def _python(top: set[str], lacking: Collection[str], tools: str) -> EnvironmentProposal | None:
    requirements = sorted(name for name in top if name.startswith("requirements") and name.endswith(".txt"))
    if "uv.lock" in top:  # the tests' requirements may stand in an extra or in a group
        return EnvironmentProposal(f"{_fetched('uv', lacking)} sync --frozen --all-extras --all-groups", "", "uv.lock")
    if "poetry.lock" in top:
        poetry = _fetched("poetry", lacking, variables="POETRY_VIRTUALENVS_IN_PROJECT=1")
        return EnvironmentProposal(f"{poetry} install --no-interaction --all-extras", "", "poetry.lock")
    if "Pipfile.lock" in top:
        return EnvironmentProposal(f"{_fetched('pipenv', lacking, variables='PIPENV_VENV_IN_PROJECT=1')} sync --dev", "", "Pipfile.lock")
    if requirements:
        listed = " ".join(f"-r {name}" for name in requirements)
        own = " -e ." if "pyproject.toml" in top or "setup.py" in top else ""
        # Apart from the requirements: where those have hashes, pip refuses what has none.
        beside = f" && .venv/{_INSTALL} {tools}" if tools else ""
        return EnvironmentProposal(f"{PIP} {listed}{own}{beside}", "", ", ".join(requirements))
    if "pyproject.toml" in top or "setup.py" in top:
        name = "pyproject.toml" if "pyproject.toml" in top else "setup.py"
        return EnvironmentProposal(f"{PIP} {tools or 'pytest'} -e .", "", name)
    return None


def _node(top: set[str], lacking: Collection[str]) -> EnvironmentProposal | None:
    for lock, setup in (
        ("pnpm-lock.yaml", f"{_fetched('pnpm', lacking)} install --frozen-lockfile"),
        ("yarn.lock", f"{_fetched('yarn', lacking)} install --frozen-lockfile"),
        ("package-lock.json", "npm ci --no-audit --no-fund"),
        ("npm-shrinkwrap.json", "npm ci --no-audit --no-fund"),
        ("package.json", "npm install --no-audit --no-fund --no-package-lock"),
    ):
        if lock in top:
            return EnvironmentProposal(setup, "", lock)
    return None


def _rust(top: set[str], place: RustPlace | None) -> EnvironmentProposal | None:
    """Commands have an empty HOME, where rustup finds no toolchain: it is told where this machine's toolchains are."""
    if "Cargo.toml" not in top:
        return None
    rustup = f"\nRUSTUP_HOME={place.rustup_home}" if place and place.rustup_home else ""
    paths = [path for path in (place.programs, place.rustup_home) if path and not path.startswith("/usr/")] if place else []
    variables = f"CARGO_HOME={{environment}}/home/.cargo\nCARGO_NET_RETRY=2{rustup}"
    return EnvironmentProposal("cargo fetch", variables, "Cargo.toml", tuple(paths))


def _go(top: set[str]) -> EnvironmentProposal | None:
    if "go.mod" not in top:
        return None
    return EnvironmentProposal("go mod download", "GOMODCACHE={environment}/home/gomod\nGOFLAGS=-mod=readonly", "go.mod")


def _ruby(top: set[str]) -> EnvironmentProposal | None:
    if "Gemfile" not in top:
        return None
    return EnvironmentProposal("BUNDLE_PATH=vendor/bundle bundle install", "BUNDLE_PATH=vendor/bundle", "Gemfile")
