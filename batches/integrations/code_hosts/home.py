"""Which repository at which code host a project belongs to, and how it is reached."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from batches.accounts.sealed import Unreadable, unseal
from batches.integrations.code_hosts.connection import checked_place
from batches.integrations.code_hosts.gitea import Gitea
from batches.integrations.code_hosts.github import GitHub
from batches.integrations.code_hosts.gitlab import GitLab
from batches.integrations.code_hosts.types import Forge, ForgeError
from batches.models import Project
from batches.models.choices import ForgeKind
from subagents.remotes import Remote

SEGMENT = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
# The name beside the token, for git; each host takes the token as the password.
USERS: Mapping[str, str] = {ForgeKind.GITHUB: "x-access-token", ForgeKind.GITLAB: "oauth2", ForgeKind.GITEA: "ce-web"}
CLIENTS: Mapping[str, type[GitHub | GitLab | Gitea]] = {ForgeKind.GITHUB: GitHub, ForgeKind.GITLAB: GitLab, ForgeKind.GITEA: Gitea}


@dataclass(frozen=True, slots=True)
class Home:
    """A repository at a code host. `root` is the address of the host, `path` the repository's part, `fork` that of a fork to push to."""

    kind: str
    root: str
    path: str
    token: str
    fork: str = ""

    def __repr__(self) -> str:
        return f"Home({self.name})"  # never the token

    @property
    def address(self) -> str:
        return f"{self.root}/{self.path}"

    @property
    def name(self) -> str:
        """It for people: github.com/ada/shop."""
        return self.address.partition("://")[2]

    def remote(self) -> Remote:
        """It for git, once its host was looked up and checked. Raises ForgeError."""
        return Remote(f"{self.address}.git", checked_place(self.address).ip, USERS[self.kind], self.token)

    def pushed_to(self) -> Remote:
        """The fork for git, or the repository itself. Raises ForgeError."""
        return replace(self, path=self.fork or self.path, fork="").remote()

    @contextmanager
    def opened(self) -> Iterator[Forge]:
        """A client of its API. Raises ForgeError."""
        client = CLIENTS[self.kind](self.root, self.path, self.token, self.fork)
        try:
            yield client
        finally:
            client.connection.close()


def split_address(kind: str, address: str) -> tuple[str, str]:
    """(root, path) of a repository's address, such as https://github.com/ada/shop. Raises ForgeError."""
    parts = urlsplit(address.strip())
    segments = [one for one in parts.path.removesuffix("/").removesuffix(".git").split("/") if one]
    if not parts.scheme or not parts.netloc or parts.query or parts.fragment or len(segments) < 2:
        raise ForgeError("Enter the address of the repository's page, such as https://github.com/ada/shop.")
    if not all(SEGMENT.fullmatch(one) for one in segments) or {".", ".."} & set(segments):
        raise ForgeError("The path of the repository's address has letters that no code host uses.")
    # GitLab's groups nest, so there all of the path is the project's; the others may be below a path of their host.
    before, own = ([], segments) if kind == ForgeKind.GITLAB else (segments[:-2], segments[-2:])
    root = f"{parts.scheme}://{parts.netloc}"
    return "/".join([root, *before]), "/".join(own)


def is_configured(project: Project) -> bool:
    """Whether the project names its repository at a code host and a token for it."""
    return bool(project.forge and project.forge_address and project.forge_token_sealed)


def home_of(project: Project) -> Home:
    """The project's repository at its code host. Raises ForgeError when none is set, or its token cannot be read."""
    if not is_configured(project):
        raise ForgeError(f"{project.name} names no code host: set its address and a token in the project's settings.")
    root, path = split_address(project.forge, project.forge_address)
    try:
        token = unseal(project.forge_token_sealed)
    except Unreadable as problem:
        raise ForgeError(f"The token of the code host cannot be read. {problem}") from None
    fork = split_address(project.forge, project.forge_fork)[1] if project.forge_fork else ""
    return Home(project.forge, root, path, token, fork)
