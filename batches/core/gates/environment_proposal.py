"""What builds a project's environment, proposed from the files of its repository. Nothing is run."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnvironmentProposal:
    """A set-up command (a shell script), the variables that it needs as NAME=VALUE lines, and the files that speak for it."""

    setup: str
    variables: str
    why: str


PIP = "python3 -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check"


def propose_environment(files: Sequence[str]) -> EnvironmentProposal | None:
    """The set-up that the lock files and manifests of the top folder speak for, one part for each language; None without any."""
    top = {path for path in files if "/" not in path}
    parts = [part for part in (_python(top), _node(top), _rust(top), _go(top), _ruby(top)) if part is not None]
    if not parts:
        return None
    variables = "\n".join(part.variables for part in parts if part.variables)
    return EnvironmentProposal("\n".join(part.setup for part in parts), variables, ", ".join(part.why for part in parts))


def _python(top: set[str]) -> EnvironmentProposal | None:
    requirements = sorted(name for name in top if name.startswith("requirements") and name.endswith(".txt"))
    if "uv.lock" in top:
        return EnvironmentProposal("uv sync --frozen --all-extras", "", "uv.lock")
    if "poetry.lock" in top:
        return EnvironmentProposal("POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install --no-interaction", "", "poetry.lock")
    if "Pipfile.lock" in top:
        return EnvironmentProposal("PIPENV_VENV_IN_PROJECT=1 pipenv sync --dev", "", "Pipfile.lock")
    if requirements:
        listed = " ".join(f"-r {name}" for name in requirements)
        own = " -e ." if "pyproject.toml" in top or "setup.py" in top else ""
        return EnvironmentProposal(f"{PIP} {listed}{own}", "", ", ".join(requirements))
    if "pyproject.toml" in top or "setup.py" in top:
        name = "pyproject.toml" if "pyproject.toml" in top else "setup.py"
        return EnvironmentProposal(f"{PIP} pytest -e .", "", name)
    return None


def _node(top: set[str]) -> EnvironmentProposal | None:
    for lock, setup in (
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
        ("yarn.lock", "yarn install --frozen-lockfile"),
        ("package-lock.json", "npm ci --no-audit --no-fund"),
        ("npm-shrinkwrap.json", "npm ci --no-audit --no-fund"),
        ("package.json", "npm install --no-audit --no-fund --no-package-lock"),
    ):
        if lock in top:
            return EnvironmentProposal(setup, "", lock)
    return None


def _rust(top: set[str]) -> EnvironmentProposal | None:
    if "Cargo.toml" not in top:
        return None
    return EnvironmentProposal("cargo fetch", "CARGO_HOME={environment}/home/.cargo\nCARGO_NET_RETRY=2", "Cargo.toml")


def _go(top: set[str]) -> EnvironmentProposal | None:
    if "go.mod" not in top:
        return None
    return EnvironmentProposal("go mod download", "GOMODCACHE={environment}/home/gomod\nGOFLAGS=-mod=readonly", "go.mod")


def _ruby(top: set[str]) -> EnvironmentProposal | None:
    if "Gemfile" not in top:
        return None
    return EnvironmentProposal("BUNDLE_PATH=vendor/bundle bundle install", "BUNDLE_PATH=vendor/bundle", "Gemfile")
