"""What git sends to a remote: with the token it was given and nothing else, over real sockets to git's own server."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from subagents import workspace
from subagents.open_repository import open_repository
from subagents.processes import run
from subagents.remotes import Remote, RemoteProblem, fetch_branch, push_branch
from subagents.workspace import Repository
from tests.git_server import TOKEN, GitServer
from tests.local_server import serving

REF = "refs/ce/remote/main"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=A Person", "-c", "user.email=person@localhost", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    git(made, "commit", "-q", "--allow-empty", "-m", "Start")
    return made


@pytest.fixture
def repository(folder: Path) -> Repository:
    opened = open_repository(folder)
    opened.ensure_branch("ce/batch-1", opened.branch_commit("main"))
    return opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    made = GitServer(tmp_path / "served")
    with serving(made):
        yield made


@pytest.fixture
def remote(server: GitServer) -> Remote:
    server.bare("ada/shop")
    return Remote(f"{server.url}/ada/shop.git", "127.0.0.1", "ce-web", TOKEN)


def refused(call: object) -> RemoteProblem:
    with pytest.raises(RemoteProblem) as caught:
        call()
    return caught.value


@pytest.mark.process
def test_a_branch_is_pushed_with_the_token_and_nothing_of_it_stays_anywhere(folder, repository, server, remote, monkeypatch):
    arguments: list[str] = []

    def seen(argv, environment, **more):
        arguments.extend(argv)
        return run(argv, environment, **more)

    monkeypatch.setattr(workspace, "run", seen)
    at = push_branch(repository, remote, "ce/batch-1")
    proof = base64.b64encode(f"ce-web:{TOKEN}".encode()).decode()
    assert "push" in arguments and not any(secret in one for one in arguments for secret in (TOKEN, proof))
    assert git(server.root / "ada/shop.git", "rev-parse", "ce/batch-1") == at
    assert set(server.users) == {"ce-web"}
    kept = b"".join(path.read_bytes() for path in (folder / ".git").rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept and b"Basic" not in kept
    assert push_branch(repository, remote, "ce/batch-1") == at, "a second time changes nothing"


@pytest.mark.process
def test_no_hook_helper_or_address_of_the_repository_is_in_force(folder, repository, server, remote, tmp_path):
    sign = tmp_path / "sign"
    hook = folder / ".git/hooks/pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {sign}\n")
    hook.chmod(0o755)
    git(folder, "config", "credential.helper", f"!touch {sign}")
    git(folder, "config", "core.sshCommand", f"touch {sign}")
    git(folder, "config", "url.http://127.0.0.1:1/.insteadOf", server.url)
    git(folder, "config", "http.proxy", "http://127.0.0.1:1")
    push_branch(repository, remote, "ce/batch-1")
    assert not sign.exists()
    denied = refused(lambda: push_branch(repository, Remote(remote.address, remote.place), "ce/batch-1"))
    assert denied.code == "denied" and not sign.exists()


@pytest.mark.process
def test_the_base_is_fetched_beside_the_persons_branches(folder, repository, server, remote, tmp_path):
    git(folder, "push", "-q", str(server.root / "ada/shop.git"), "main")
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(server.root / "ada/shop.git"), str(other)], check=True)
    git(other, "commit", "-q", "--allow-empty", "-m", "By somebody")
    git(other, "push", "-q", "origin", "main")
    before = git(folder, "rev-parse", "main")
    at = fetch_branch(repository, remote, "main", REF)
    assert at == git(other, "rev-parse", "main") == git(folder, "rev-parse", REF)
    assert git(folder, "rev-parse", "main") == before and git(folder, "for-each-ref", "refs/remotes", "refs/tags") == ""
    assert [one.subject for one in repository.commits(before, at)] == ["By somebody"]
    assert refused(lambda: fetch_branch(repository, remote, "other", REF)).code == "refused"


@pytest.mark.process
def test_what_the_remote_has_beyond_ours_is_replaced_only_where_it_is_what_was_pushed(folder, repository, server, remote):
    first = push_branch(repository, remote, "ce/batch-1")
    bare = server.root / "ada/shop.git"
    tree = git(folder, "rev-parse", "main^{tree}")
    other = git(folder, "commit-tree", tree, "-m", "Begun anew")
    repository.move_ref("refs/heads/ce/batch-1", other, first)
    diverged = refused(lambda: push_branch(repository, remote, "ce/batch-1"))
    assert diverged.code == "diverged" and "commits that ours lacks" in str(diverged)
    assert refused(lambda: push_branch(repository, remote, "ce/batch-1", over=other)).code == "diverged"
    assert git(bare, "rev-parse", "ce/batch-1") == first
    assert push_branch(repository, remote, "ce/batch-1", over=first) == other == git(bare, "rev-parse", "ce/batch-1")


@pytest.mark.process
def test_refusals_are_told_in_a_sentence_without_the_token(repository, server, remote):
    hook = server.root / "ada/shop.git/hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\necho 'This branch is protected. {TOKEN}' >&2\nexit 1\n")
    hook.chmod(0o755)
    protected = refused(lambda: push_branch(repository, remote, "ce/batch-1"))
    assert protected.code == "refused" and "This branch is protected." in str(protected)
    wrong = refused(lambda: push_branch(repository, Remote(remote.address, "127.0.0.1", "ce-web", "another-token"), "ce/batch-1"))
    assert wrong.code == "denied" and "does not accept the token" in str(wrong)
    nothing = refused(lambda: push_branch(repository, Remote(f"{server.url}/ada/none.git", "127.0.0.1", "ce-web", TOKEN), "ce/batch-1"))
    assert nothing.code == "denied" and "no repository that this token can see" in str(nothing)
    closed = refused(lambda: push_branch(repository, Remote("http://127.0.0.1:9/x.git", "127.0.0.1", "ce-web", TOKEN), "ce/batch-1"))
    assert closed.code == "unreachable"
    for one in (protected, wrong, nothing, closed):
        assert TOKEN not in str(one) and "another-token" not in str(one)


@pytest.mark.process
def test_a_redirect_is_not_followed_and_only_the_checked_place_is_asked(repository, server, remote, tmp_path):
    other = GitServer(tmp_path / "served")
    with serving(other):
        server.redirect = other.url
        assert refused(lambda: push_branch(repository, remote, "ce/batch-1")).code == "unreachable"
        assert other.asked == []
        named = Remote(f"http://git.example.org:{other.server_port}/ada/shop.git", "127.0.0.1", "ce-web", TOKEN)
        push_branch(repository, named, "ce/batch-1")
        assert other.asked, "the name is not looked up again"


NOT_SPOKEN = ("ext::touch {ran}", "--upload-pack=touch {ran}", "ssh://-oProxyCommand=touch {ran}/x", "file://{repository}", "fd::0")


@pytest.mark.parametrize("address", NOT_SPOKEN)
def test_an_address_that_is_a_command_an_option_or_another_protocol_is_given_to_no_git(repository, tmp_path, address):
    remote = Remote(address.format(ran=tmp_path / "ran", repository=repository.path))
    for ask in (lambda: push_branch(repository, remote, "main"), lambda: fetch_branch(repository, remote, "main", "refs/ce/there")):
        with pytest.raises(RemoteProblem, match="neither an https address nor an absolute path"):
            ask()
    assert not (tmp_path / "ran").exists()
