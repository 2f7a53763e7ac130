"""What all code hosts have in common: values, the error, and what a client of one can be asked."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from batches.core.text.issue import IssueText


class ForgeError(Exception):
    """An error as a sentence for people, without the token. `retry_seconds`: the least to wait; None: as you like."""

    def __init__(self, message: str, *, status: int = 0, retry_seconds: float | None = None) -> None:
        self.status, self.retry_seconds = status, retry_seconds
        super().__init__(message)


class RequestState(StrEnum):
    """What became of a pull request there."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Request:
    """A pull request (GitLab: merge request) as the code host has it."""

    number: int
    url: str
    state: RequestState
    head_commit: str = ""
    merge_commit: str = ""
    updated: str = ""  # changes when something is said about it


class CheckOutcome(StrEnum):
    """How a check of the code host's went. Neutral: it says nothing about the work (skipped, cancelled)."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class RemoteCheck:
    """A check (CI) of a commit; `text` is what it says about a failure, `job` names its log where the host keeps one."""

    name: str
    outcome: CheckOutcome
    url: str = ""
    text: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody says about a pull request, or about a line of it. `trusted`: the author may write to the repository.

    `key` names it among all comments of the pull request.
    """

    key: str
    author: str
    text: str
    url: str = ""
    path: str = ""
    line: int | None = None
    trusted: bool = False


class Forge(Protocol):
    """A repository at a code host. Every method raises ForgeError."""

    def find(self, head: str, base: str) -> Request | None:
        """The open pull request from branch `head` into branch `base`, or None."""

    def create(self, head: str, base: str, title: str, body: str) -> Request:
        """Open one. When there is one already, it is that one."""

    def update(self, number: int, title: str, body: str) -> Request:
        """Give it another title and body."""

    def look(self, number: int) -> Request:
        """How it is now."""

    def checks(self, commit: str) -> list[RemoteCheck]:
        """The checks of a commit."""

    def log(self, job: str) -> str:
        """The log of a job; "" where it cannot be asked for."""

    def comments(self, number: int) -> list[Comment]:
        """What people say about it, oldest first."""

    def issue(self, number: int) -> IssueText:
        """What an issue says, with its comments."""
