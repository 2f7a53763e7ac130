"""GitHub's REST API, version 2022-11-28, as much of it as is used. Also GitHub Enterprise, below /api/v3.

Source: docs.github.com/rest (pulls, rate limits) and github/rest-api-description.
"""

from typing import Any
from urllib.parse import quote

from batches.integrations.forges.connection import Connection, part_of, rows_of
from batches.integrations.forges.types import ForgeError, Request, RequestState

VERSION = "2022-11-28"


class GitHub:
    """The repository `path` (owner/name) of GitHub, or of the GitHub Enterprise at `root`."""

    def __init__(self, root: str, path: str, token: str) -> None:
        host = root.partition("://")[2]
        base = "https://api.github.com" if host in ("github.com", "www.github.com") else f"{root}/api/v3"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}
        self.connection = Connection(base, headers, token)
        self.owner = path.partition("/")[0]
        self.repository = f"/repos/{quote(path)}"

    def find(self, head: str, base: str) -> Request | None:
        """The open pull request from `head` into `base`, or None."""
        query = {"state": "open", "head": f"{self.owner}:{head}", "base": base, "per_page": "10"}
        rows = rows_of(self.connection.call("GET", f"{self.repository}/pulls", query=query))
        return next((_request(row) for row in rows if part_of(row, "head", "ref") == head), None)  # an unknown `head` is no filter

    def create(self, head: str, base: str, title: str, body: str) -> Request:
        """Open one. When there is one already, it is that one."""
        sent = {"title": title, "head": head, "base": base, "body": body}
        try:
            return _request(self.connection.call("POST", f"{self.repository}/pulls", body=sent))
        except ForgeError as problem:
            if problem.status == 422 and (there := self.find(head, base)) is not None:
                return there
            raise

    def update(self, number: int, title: str, body: str) -> Request:
        """Give it another title and body."""
        return _request(self.connection.call("PATCH", f"{self.repository}/pulls/{number}", body={"title": title, "body": body}))

    def look(self, number: int) -> Request:
        """How it is now."""
        return _request(self.connection.call("GET", f"{self.repository}/pulls/{number}"))


def _request(row: Any) -> Request:
    try:
        state = RequestState.MERGED if row.get("merged") or row.get("merged_at") else RequestState(row["state"])
        merged = str(row.get("merge_commit_sha") or "") if state is RequestState.MERGED else ""
        return Request(int(row["number"]), str(row["html_url"]), state, str(row["head"]["sha"]), merged)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ForgeError("GitHub's answer is not a pull request.") from None
