"""Pull requests of GitHub and Gitea: the same addresses below /repos/OWNER/NAME/pulls, and the same fields."""

from abc import ABC, abstractmethod
from typing import Any

from batches.integrations.code_hosts.connection import Connection, commit_of, number_of, part_of
from batches.integrations.code_hosts.types import ForgeError, Request, RequestState


class Pulls(ABC):
    """The pull requests of one repository."""

    host: str  # its name in sentences
    taken: int  # the status of the answer when there is a pull request of this branch already
    connection: Connection
    repository: str  # "/repos/OWNER/NAME"
    owner: str  # of the repository that the branch is in
    fork: str  # that repository, where it is a fork

    @abstractmethod
    def find(self, head: str, base: str) -> Request | None:
        """The open pull request from `head` into `base`, or None."""

    def create(self, head: str, base: str, title: str, body: str) -> Request:
        """Open one. When there is one already, it is that one."""
        sent = {"title": title, "head": f"{self.owner}:{head}" if self.fork else head, "base": base, "body": body}
        try:
            return self.request(self.connection.call("POST", f"{self.repository}/pulls", body=sent))
        except ForgeError as problem:
            if problem.status == self.taken and (there := self.find(head, base)) is not None:
                return there
            raise

    def update(self, number: int, title: str, body: str) -> Request:
        """Give it another title and body."""
        return self.request(self.connection.call("PATCH", f"{self.repository}/pulls/{number}", body={"title": title, "body": body}))

    def look(self, number: int) -> Request:
        """How it is now."""
        return self.request(self.connection.call("GET", f"{self.repository}/pulls/{number}"))

    def request(self, row: Any) -> Request:
        """The pull request of an answer. Raises ForgeError for anything else."""
        try:
            state = RequestState.MERGED if row.get("merged") or row.get("merged_at") else RequestState(row["state"])
            merged = commit_of(row.get("merge_commit_sha")) if state is RequestState.MERGED else ""
            updated = str(row.get("updated_at") or "")
            return Request(number_of(row["number"]), str(row["html_url"]), state, str(part_of(row, "head", "sha") or ""), merged, updated)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ForgeError(f"{self.host}'s answer is not a pull request.") from None
