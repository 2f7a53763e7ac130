"""GitLab's REST API, version 4, as much of it as is used. A pull request is called a merge request there.

Source: docs.gitlab.com/api (merge_requests, rest).
"""

from typing import Any
from urllib.parse import quote

from batches.integrations.forges.connection import Connection, part_of, rows_of
from batches.integrations.forges.types import ForgeError, Request, RequestState

STATES = {"opened": RequestState.OPEN, "locked": RequestState.OPEN, "merged": RequestState.MERGED, "closed": RequestState.CLOSED}


class GitLab:
    """The project `path` (group/subgroup/name) of the GitLab at `root`."""

    def __init__(self, root: str, path: str, token: str) -> None:
        self.connection = Connection(f"{root}/api/v4", {"PRIVATE-TOKEN": token, "Accept": "application/json"}, token)
        self.project = f"/projects/{quote(path, safe='')}"

    def find(self, head: str, base: str) -> Request | None:
        """The open merge request from `head` into `base`, or None."""
        query = {"state": "opened", "source_branch": head, "target_branch": base, "per_page": "10"}
        rows = rows_of(self.connection.call("GET", f"{self.project}/merge_requests", query=query))
        return next((_request(row) for row in rows if part_of(row, "source_branch") == head), None)

    def create(self, head: str, base: str, title: str, body: str) -> Request:
        """Open one. When there is one already, it is that one."""
        sent = {"source_branch": head, "target_branch": base, "title": title, "description": body}
        try:
            return _request(self.connection.call("POST", f"{self.project}/merge_requests", body=sent))
        except ForgeError as problem:
            if problem.status == 409 and (there := self.find(head, base)) is not None:
                return there
            raise

    def update(self, number: int, title: str, body: str) -> Request:
        """Give it another title and body."""
        sent = {"title": title, "description": body}
        return _request(self.connection.call("PUT", f"{self.project}/merge_requests/{number}", body=sent))

    def look(self, number: int) -> Request:
        """How it is now."""
        return _request(self.connection.call("GET", f"{self.project}/merge_requests/{number}"))


def _request(row: Any) -> Request:
    try:
        state = STATES[row["state"]]
        merged = str(row.get("merge_commit_sha") or row.get("squash_commit_sha") or row.get("sha") or "")
        commit = merged if state is RequestState.MERGED else ""
        return Request(int(row["iid"]), str(row["web_url"]), state, str(row.get("sha") or ""), commit)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ForgeError("GitLab's answer is not a merge request.") from None
