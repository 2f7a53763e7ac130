"""Viewing runs nothing: no program but our own git, and nothing that a repository or a person's configuration names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batches.engine.preflight import ask_at_start
from batches.models import Batch, Plan, Result
from tests.batches import builders
from tests.batches.accounts.test_users import add
from tests.batches.addresses import Objects, every_address

pytestmark = [pytest.mark.django_db, pytest.mark.process]
HOOKS = ("post-index-change", "pre-commit", "post-checkout", "reference-transaction", "post-merge", "fsmonitor-watchman")
STARTS = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork", "os.forkpty", "os.spawn")
_started: list[str] | None = None


def _note(event: str, arguments: tuple) -> None:
    if _started is not None and event in STARTS:
        argv = arguments[1] if len(arguments) > 1 else ()
        if not (event == "os.posix_spawn" and os.path.basename(os.fsdecode(argv[0])) == "git" and argv[3] == "--no-optional-locks"):
            _started.append(f"{event} {arguments[:2]}")


@pytest.fixture(scope="module")
def hook():
    sys.addaudithook(_note)  # for the rest of this process: it cannot be taken back, and notes nothing unless it is asked to


@pytest.fixture
def watch(hook):
    ask_at_start()  # as ce_web/wsgi.py does when the server starts; other tests of this process may have asked for other settings


@pytest.fixture
def sprung(tmp_path: Path, monkeypatch) -> Path:
    """The folder in which each trap that went off leaves a file. The traps of a person lie in HOME."""
    folder = tmp_path / "sprung"
    folder.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(traps(folder, "person"))
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {folder}/variable-external; true")
    monkeypatch.setenv("GIT_PAGER", f"touch {folder}/variable-pager; cat")
    return folder


def traps(folder: Path, whose: str) -> str:
    """A configuration of git in which whatever can name a program names one that leaves a file in `folder`."""

    def trap(name: str) -> str:
        return f'"touch {folder}/{whose}-{name}; cat"'

    return f"""
[core]
    fsmonitor = {trap("fsmonitor")}
    hooksPath = {folder.parent}/hooks
    pager = {trap("pager")}
    editor = {trap("editor")}
    sshCommand = {trap("ssh")}
    askPass = {trap("askpass")}
    alternateRefsCommand = {trap("alternates")}
[filter "trap"]
    clean = {trap("clean")}
    smudge = {trap("smudge")}
    required = true
[diff]
    external = {trap("external")}
[diff "trap"]
    textconv = {trap("textconv")}
    command = {trap("diff")}
[merge "trap"]
    driver = {trap("merge")}
[gpg]
    program = {trap("gpg")}
[commit]
    gpgSign = true
[log]
    showSignature = true
[credential]
    helper = {trap("credential")}
[alias]
    status = !touch {folder}/{whose}-alias
    diff = !touch {folder}/{whose}-alias
[uploadpack]
    packObjectsHook = {trap("pack")}
[include]
    path = {folder.parent}/included
"""


@pytest.fixture
def objects(repository: Path, sprung: Path, tmp_path: Path) -> Objects:
    """A batch in a repository full of traps, with a batch branch, a changed working tree and a plan that names files there."""

    def git(*words: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@localhost")
        clean = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(["git", *identity, *words], cwd=repository, env=clean, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (repository / ".gitattributes").write_text("* filter=trap diff=trap merge=trap\n")
    for name in ("src/part_1.py", "src/part_2.py", "CLAUDE.md"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("1\n")
    git("add", "--all")
    git("commit", "-q", "-m", "Files")
    base = git("rev-parse", "HEAD")
    project = builders.make_project()
    project.repository = str(repository)
    project.save()
    made = Objects(project, builders.make_user("root"))
    git("checkout", "-q", "-b", made.batch.branch)
    (repository / "src/part_1.py").write_text("2\n")
    git("commit", "-q", "-a", "-m", "Work")
    head = git("rev-parse", "HEAD")
    git("checkout", "-q", "main")
    (repository / "src/part_1.py").write_text("3\n")
    git("commit", "-q", "-a", "-m", "Moved on")
    (repository / "src/part_1.py").write_text("changed\n")
    (repository / "new.py").write_text("new\n")
    Batch.objects.update(base_commit=base)
    Plan.objects.update(text=builders.PLAN_TEXT)
    Result.objects.update(commits=[head])
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for place in (hooks, repository / ".git" / "hooks"):
        place.mkdir(exist_ok=True)
        for name in HOOKS:
            (place / name).write_text(f"#!/bin/sh\ntouch {sprung}/hook-{name}\n")
            (place / name).chmod(0o755)
    (tmp_path / "included").write_text(f'[filter "trap"]\n    clean = "touch {sprung}/included-clean; cat"\n')
    with (repository / ".git" / "config").open("a") as file:
        file.write(traps(sprung, "repository"))
    return made


@pytest.mark.parametrize("role", ["viewer", "author", "executor", "admin"])
def test_no_page_starts_a_program_other_than_our_git_and_no_trap_of_the_repository_goes_off(
    client, objects, sprung, watch, role
):
    global _started
    client.force_login(add("eve", role))
    paths = every_address(objects)
    answers = {}
    for name, path in paths.items():
        _started = []
        try:
            answers[name] = client.get(path).status_code
            assert _started == [], (name, path)
        finally:
            _started = None
        assert list(sprung.iterdir()) == [], (name, path)
    assert all(status < 500 or name == "batches:health" for name, status in answers.items()), answers
    seen = ("detail", "changes", "plan_detail", "plan_checks", "phase", "gates", "log", "diff", "projects", "metrics")
    assert {answers[f"batches:{name}"] for name in seen} == {200}, answers


def test_the_traps_go_off_for_a_plain_git_and_the_watch_sees_a_program(objects, sprung, watch):
    global _started
    subprocess.run(["git", "status", "--short"], cwd=objects.project.repository, check=False, capture_output=True)
    subprocess.run(["git", "diff"], cwd=objects.project.repository, check=False, capture_output=True)
    assert {path.name for path in sprung.iterdir()} & {"repository-clean", "repository-fsmonitor"}
    _started = []
    try:
        subprocess.run(["true"], check=True)
        assert _started
    finally:
        _started = None
