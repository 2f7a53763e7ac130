"""What a repository's files say about how its environment is built."""

import pytest

from batches.core.gates.environment_proposal import FETCHED_TOOLS, RustPlace, propose_environment


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (["uv.lock", "pyproject.toml"], "uv sync --frozen --all-extras --all-groups"),
        (["poetry.lock", "pyproject.toml"], "poetry install"),
        (["requirements.txt", "requirements-dev.txt", "setup.py"], "-r requirements-dev.txt -r requirements.txt -e ."),
        (["pyproject.toml", "src/shop/__init__.py"], "pytest -e ."),
        (["package.json", "package-lock.json"], "npm ci"),
        (["package.json", "pnpm-lock.yaml"], "pnpm install --frozen-lockfile"),
        (["package.json"], "npm install"),
        (["Cargo.toml", "Cargo.lock"], "cargo fetch"),
        (["go.mod"], "go mod download"),
        (["Gemfile"], "bundle install"),
    ],
)
def test_the_lock_file_decides(files, command):
    proposal = propose_environment(files)
    assert proposal is not None and command in proposal.setup


def test_two_languages_are_both_set_up():
    proposal = propose_environment(["package-lock.json", "package.json", "requirements.txt"])
    assert proposal is not None and "npm ci" in proposal.setup and "-r requirements.txt" in proposal.setup
    assert proposal.why == "requirements.txt, package-lock.json"


def test_rust_is_told_where_rustup_keeps_its_toolchains_since_commands_have_an_empty_home():
    found = propose_environment(["Cargo.toml"], rust=RustPlace("/home/ada/.cargo/bin", "/home/ada/.rustup"))
    assert found is not None and found.readable == ("/home/ada/.cargo/bin", "/home/ada/.rustup")
    assert found.variables.split("\n") == ["CARGO_HOME={environment}/home/.cargo", "CARGO_NET_RETRY=2", "RUSTUP_HOME=/home/ada/.rustup"]
    packaged = propose_environment(["Cargo.toml"], rust=RustPlace("/usr/bin", ""))
    assert packaged is not None and "RUSTUP" not in packaged.variables and not packaged.readable


def test_files_below_the_top_and_other_files_propose_nothing():
    assert propose_environment(["docs/package.json", "README.md"]) is None


@pytest.mark.parametrize(
    ("lock", "tool", "brought"),
    [
        ("uv.lock", "uv", "install --quiet --disable-pip-version-check uv && .tools/bin/uv sync"),
        ("poetry.lock", "poetry", "poetry && POETRY_VIRTUALENVS_IN_PROJECT=1 .tools/bin/poetry install"),
        ("Pipfile.lock", "pipenv", "pipenv && PIPENV_VENV_IN_PROJECT=1 .tools/bin/pipenv sync"),
        ("pnpm-lock.yaml", "pnpm", "npx --yes pnpm install"),
        ("yarn.lock", "yarn", "npx --yes yarn install"),
    ],
)
def test_the_set_up_installs_the_tool_that_the_machine_lacks(lock, tool, brought):
    assert tool in FETCHED_TOOLS
    lacking = propose_environment([lock], lacking=FETCHED_TOOLS)
    assert lacking is not None and brought in lacking.setup
    there = propose_environment([lock])
    assert there is not None and ".tools" not in there.setup and "npx" not in there.setup


@pytest.mark.parametrize(
    ("commands", "installed"),
    [
        ((), "pytest -e ."),
        (("ruff check .", "python -m pytest -q --cov=shop"), "pytest ruff pytest-cov -e ."),
        (("mypy src && ruff check .",), "ruff mypy -e ."),
    ],
)
def test_the_set_up_installs_the_tools_that_the_proposed_gates_start(commands, installed):
    found = propose_environment(["pyproject.toml"], commands=commands)
    assert found is not None and found.setup.endswith(f"--disable-pip-version-check {installed}")


def test_tools_are_installed_apart_from_requirements_that_may_have_hashes():
    found = propose_environment(["requirements.txt"], commands=["ruff check ."])
    assert found is not None and found.setup.split(" && ")[1:] == [
        ".venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt",
        ".venv/bin/python -m pip install --quiet --disable-pip-version-check ruff",
    ]
    alone = propose_environment(["requirements.txt"])
    assert alone is not None and alone.setup.count("pip install") == 1
