"""What git exchanges with a project's remote: the base branch is read from it, a batch's branch is pushed to it.

git runs with a configuration of ours here as everywhere (own_git.py): no remote, credential helper, hook or ssh command of the
repository is in force. The token is a header that git is given in its environment, for one address alone; so it is in no
argument, no file and no message. git connects to the address that was checked, and follows no redirect.
"""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import urlsplit

from subagents.files import SubagentError
from subagents.make_repository import draft_repository
from subagents.open_repository import open_repository
from subagents.record import record
from subagents.redaction import MASK
from subagents.workspace import Repository, branch_ref, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 20.0  # of one exchange; a queued task may take 30
SAID_CHARACTERS = 300
SPOKEN = ("https://", "http://", "/")
SAFE = re.compile(r"[^\x20-\x7e\u00a0-\uffff]+")


class RemoteProblem(SubagentError):
    """The remote could not be read or written. `code` is a stable word, the message says why and what to do."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@record
class Remote:
    """A repository elsewhere: `address` is where git finds it, `place` the IP address that was checked for its host.

    An absolute path is an address, too; it has no place. `user` and `token` are what its host asks for ("" for none).
    """

    address: str
    place: str = ""
    user: str = ""
    token: str = ""

    @property
    def name(self) -> str:
        """It for people: host and path."""
        parts = urlsplit(self.address)
        if not parts.scheme:
            return self.address
        return f"{parts.netloc}{parts.path.removesuffix('.git')}"


def fetch_branch(repository: Repository, remote: Remote, branch: str, ref: str, *, seconds: float = SECONDS) -> str:
    """Bring the remote's `branch` to `ref`, a reference of ours, and return its commit; branches of the person stay as they are.

    Raises RemoteProblem.
    """
    settings = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")
    wanted = ("--end-of-options", remote.address, f"+{branch_ref(branch)}:{ref}")
    _exchange(repository, remote, seconds, f"Its branch {branch} could not be read", "fetch", *settings, *wanted)
    found = repository.find_commit(ref)
    if found is None:
        raise RemoteProblem("refused", f"{remote.name} has no branch {branch}.")
    return found


def push_branch(repository: Repository, remote: Remote, branch: str, *, over: str | None = None, seconds: float = SECONDS) -> str:
    """Push our `branch` to the remote's branch of that name, and return the commit that is there now.

    With `over` it also replaces commits that ours lacks, but only while the remote is at that commit. Raises RemoteProblem
    (diverged, refused, denied, unreachable), RepositoryProblem.
    """
    ref, commit = branch_ref(branch), repository.branch_commit(branch)
    force = (f"--force-with-lease={ref}:{over}",) if over is not None else ()
    settings = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed", *force)
    _exchange(repository, remote, seconds, f"{branch} could not be pushed", "push", *settings, remote.address, f"{commit}:{ref}")
    return commit


def fetch_refs(repository: Repository, remote: Remote, wanted: Mapping[str, str], *, seconds: float = SECONDS) -> None:
    """Bring references of the remote here: {its name: ours}, both may end with /*. Ours are moved wherever they were.

    Raises RemoteProblem.
    """
    settings = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")
    moves = [f"+{theirs}:{ours}" for theirs, ours in wanted.items()]
    what = "What another host did could not be fetched"
    _exchange(repository, remote, seconds, what, "fetch", *settings, "--end-of-options", remote.address, *moves)


def push_refs(repository: Repository, remote: Remote, given: Mapping[str, str], *, seconds: float = SECONDS) -> None:
    """Move references of the remote, all or none: {its name: our reference or commit}, "" deletes. Raises RemoteProblem."""
    settings = ("--porcelain", "--atomic", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed")
    moves = [f"+{ours}:{theirs}" for theirs, ours in given.items()]
    _exchange(repository, remote, seconds, "The work of this host could not be pushed", "push", *settings, remote.address, *moves)


def clone_at(path: str, remote: Remote, ref: str, *, seconds: float = SECONDS) -> Repository:
    """A new repository at `path` with the commit of the remote's `ref`, and no files checked out. It appears whole or not at all.

    Raises RemoteProblem, GitError, OSError.
    """
    here = "refs/ce/start"
    with draft_repository(path) as made:
        fetch_refs(made, remote, {ref: here}, seconds=seconds)
        made.git("update-ref", "--no-deref", "HEAD", here, accept=(0,))
    return open_repository(path)


def _exchange(repository: Repository, remote: Remote, seconds: float, what: str, *arguments: str) -> None:
    """Run git with this remote; `what` could not be done otherwise. Raises RemoteProblem."""
    if not remote.address.startswith(SPOKEN):  # git itself knows addresses that are commands (ext::), options and other programs
        raise RemoteProblem("refused", f"{remote.address[:80]} is neither an https address nor an absolute path. {what}.")
    answer = repository.git(*arguments, environment=_environment(remote, seconds), seconds=seconds, limit=1_000_000)
    if answer.timed_out:
        raise RemoteProblem("unreachable", f"{remote.name} did not answer within {seconds:g} s. {what}.")
    if answer.exit_code:
        raise _problem(remote, text_of(answer.err), text_of(answer.out), what)


def _environment(remote: Remote, seconds: float) -> Mapping[str, str]:
    """What git is told beside its arguments: by its environment, which other users cannot read."""
    parts = urlsplit(remote.address)
    told = [("protocol.allow", "never"), (f"protocol.{parts.scheme or 'file'}.allow", "always")]
    if remote.place:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        place = f"[{remote.place}]" if ":" in remote.place else remote.place
        told.append(("http.curloptResolve", f"{parts.hostname}:{port}:{place}"))
    told += [
        ("http.followRedirects", "false"),
        ("http.lowSpeedLimit", "1"),
        ("http.lowSpeedTime", str(max(1, int(seconds)))),
        ("transfer.fsckObjects", "true"),
        ("http.userAgent", "CE-Web"),
    ]
    if remote.token:
        told.append((f"http.{remote.address}.extraHeader", f"Authorization: Basic {_proof(remote)}"))
    if authorities := os.environ.get("SSL_CERT_FILE"):
        told.append(("http.sslCAInfo", authorities))
    names = {"GIT_CONFIG_COUNT": str(len(told))}
    for number, (key, value) in enumerate(told):
        names |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return names


def _proof(remote: Remote) -> str:
    return base64.b64encode(f"{remote.user}:{remote.token}".encode()).decode()


def _problem(remote: Remote, said: str, lines: str, what: str) -> RemoteProblem:
    """Why git failed, as a sentence of what it (`lines`: for programs) and the server said, without the token."""
    if "stale info" in lines:
        return RemoteProblem("diverged", f"Somebody has pushed to {remote.name} since. {what}.")
    if "(non-fast-forward)" in lines or "(fetch first)" in lines:
        return RemoteProblem("diverged", f"The branch at {remote.name} has commits that ours lacks. {what}.")
    if rejected := re.search(r"\[remote rejected\] \((.*)\)", lines):
        told = " ".join(line.removeprefix("remote:").strip() for line in said.split("\n") if line.startswith("remote:"))
        return RemoteProblem("refused", f"{remote.name} refused it ({_plain(remote, rejected[1])}). {_plain(remote, told)}".strip())
    if "could not read Username" in said or "Authentication failed" in said or "error: 401" in said or "error: 403" in said:
        return RemoteProblem("denied", f"{remote.name} does not accept the token for this. {what}. Enter one that may.")
    if "does not appear to be a git repository" in said or "dubious ownership" in said:
        return RemoteProblem("denied", f"{remote.name} is no git repository of this user on this host. {what}.")
    if "not found" in said or "error: 404" in said:
        return RemoteProblem("denied", f"{remote.name} is no repository that this token can see.")
    if "couldn't find remote ref" in said:
        return RemoteProblem("refused", f"{remote.name} has no such branch. {what}.")
    words = said.strip().split("\n")[-1].removeprefix("fatal: ").removeprefix("error: ")
    return RemoteProblem("unreachable", f"{what}: {_plain(remote, words) or 'git said nothing'}.")


def _plain(remote: Remote, text: str) -> str:
    """What a server or git said, fit to be shown: one short line, without the token in any form that we gave it."""
    for secret in filter(None, (remote.token, _proof(remote) if remote.token else "")):
        text = text.replace(secret, MASK)
    return SAFE.sub(" ", text).strip()[:SAID_CHARACTERS]
