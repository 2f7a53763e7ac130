"""Gitea's REST API, version 1, which Forgejo has, too; as much of it as is used.

Source: the swagger document of Gitea (templates/swagger/v1_json.tmpl).
"""

from typing import Any
from urllib.parse import quote

from batches.integrations.forges.connection import Connection, part_of, rows_of
from batches.integrations.forges.types import ForgeError, Request, RequestState

PAGE, PAGES = 50, 20  # the list of pull requests cannot be asked for a branch


class Gitea:
    """The repository `path` (owner/name) of the Gitea or Forgejo at `root`."""

    def __init__(self, root: str, path: str, token: str) -> None:
        self.connection = Connection(f"{root}/api/v1", {"Authorization": f"token {token}", "Accept": "application/json"}, token)
        self.repository = f"/repos/{quote(path)}"

    def find(self, head: str, base: str) -> Request | None:
        """The open pull request from `head` into `base`, or None."""
        for page in range(1, PAGES + 1):
            query = {"state": "open", "sort": "recentupdate", "limit": str(PAGE), "page": str(page)}
            rows = rows_of(self.connection.call("GET", f"{self.repository}/pulls", query=query))
            for row in rows:
                if part_of(row, "head", "ref") == head and part_of(row, "base", "ref") == base:
                    return _request(row)
            if len(rows) < PAGE:
                return None
        return None

    def create(self, head: str, base: str, title: str, body: str) -> Request:
        """Open one. When there is one already, it is that one."""
        sent = {"head": head, "base": base, "title": title, "body": body}
        try:
            return _request(self.connection.call("POST", f"{self.repository}/pulls", body=sent))
        except ForgeError as problem:
            if problem.status == 409 and (there := self.find(head, base)) is not None:
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
        state = RequestState.MERGED if row.get("merged") else RequestState(row["state"])
        merged = str(row.get("merge_commit_sha") or "") if state is RequestState.MERGED else ""
        return Request(int(row["number"]), str(row["html_url"]), state, str(part_of(row, "head", "sha") or ""), merged)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ForgeError("Gitea's answer is not a pull request.") from None
