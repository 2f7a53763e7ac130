"""Gitea's REST API, version 1, which Forgejo has, too; as much of it as is used.

Source: the swagger document of Gitea (templates/swagger/v1_json.tmpl).
"""

from typing import Any
from urllib.parse import quote

from batches.core.text.issue import IssueText
from batches.integrations.code_hosts.connection import Connection, issue_of, line_of, part_of, rows_of
from batches.integrations.code_hosts.pulls import Pulls
from batches.integrations.code_hosts.types import CheckOutcome, Comment, ForgeError, RemoteCheck, Request

OUTCOMES = {"success": CheckOutcome.PASSED, "pending": CheckOutcome.PENDING, "warning": CheckOutcome.NEUTRAL}
PAGE, PAGES = 50, 20  # the list of pull requests cannot be asked for a branch


class Gitea(Pulls):
    """The repository `path` (owner/name) of the Gitea or Forgejo at `root`."""

    host, taken = "Gitea", 409

    def __init__(self, root: str, path: str, token: str, fork: str = "") -> None:
        self.connection = Connection(f"{root}/api/v1", {"Authorization": f"token {token}", "Accept": "application/json"}, token)
        self.repository = f"/repos/{quote(path)}"
        self.owner, self.fork, self.source = (fork or path).partition("/")[0], fork, fork or path

    def find(self, head: str, base: str) -> Request | None:
        """The open pull request from `head` into `base`, or None."""
        for page in range(1, PAGES + 1):
            query = {"state": "open", "sort": "recentupdate", "limit": str(PAGE), "page": str(page)}
            rows = rows_of(self.connection.call("GET", f"{self.repository}/pulls", query=query))
            for row in rows:
                where = str(part_of(row, "head", "repo", "full_name") or self.source)  # somebody's fork may have a branch of that name
                ours = where.lower() == self.source.lower() and part_of(row, "head", "ref") == head
                if ours and part_of(row, "base", "ref") == base:
                    return self.request(row)
            if len(rows) < PAGE:
                return None
        return None

    def checks(self, commit: str) -> list[RemoteCheck]:
        """The statuses of a commit, the newest of each context."""
        try:
            found = self.connection.call("GET", f"{self.repository}/commits/{commit}/status")
        except ForgeError as problem:
            if problem.status in (403, 404):
                return []
            raise
        return [
            RemoteCheck(
                str(row.get("context", "")),
                OUTCOMES.get(str(row.get("status")), CheckOutcome.FAILED),
                str(row.get("target_url") or ""),
                str(row.get("description") or ""),
            )
            for row in rows_of(part_of(found, "statuses") or [])
        ]

    def log(self, job: str) -> str:
        """None: a status names no job whose log can be asked for."""
        return ""

    def comments(self, number: int) -> list[Comment]:
        """Reviews with their comments on lines, and comments below the pull request."""
        rows: list[tuple[str, dict[str, Any]]] = []
        for review in self.connection.pages(f"{self.repository}/pulls/{number}/reviews", size="limit"):
            if review.get("state") in ("REQUEST_CHANGES", "COMMENT") and not review.get("dismissed"):
                rows.append(("review", review))
                if review.get("comments_count"):
                    lines = rows_of(self.connection.call("GET", f"{self.repository}/pulls/{number}/reviews/{review.get('id')}/comments"))
                    rows += [("line", row) for row in lines]
        rows += [("comment", row) for row in rows_of(self.connection.call("GET", f"{self.repository}/issues/{number}/comments"))]
        said = [(kind, row) for kind, row in rows if str(row.get("body") or "").strip()]
        authors = {str(part_of(row, "user", "login") or "somebody") for _, row in said}
        writers = {author for author in authors if self._may_write(author)}
        return [_comment(kind, row, writers) for kind, row in said]

    def _may_write(self, author: str) -> bool:
        try:
            found = self.connection.call("GET", f"{self.repository}/collaborators/{quote(author, safe='')}/permission")
        except ForgeError as problem:
            if problem.status in (403, 404):
                return False
            raise
        return part_of(found, "permission") in ("write", "admin", "owner")

    def issue(self, number: int) -> IssueText:
        """What an issue says, with its comments."""
        place = f"{self.repository}/issues/{number}"
        row = self.connection.call("GET", place)
        comments = rows_of(self.connection.call("GET", f"{place}/comments")) if part_of(row, "comments") else []
        return issue_of(row, "number", "body", [(part_of(one, "user", "login"), one.get("body")) for one in comments])


def _comment(kind: str, row: dict[str, Any], writers: set[str]) -> Comment:
    author, line = str(part_of(row, "user", "login") or "somebody"), row.get("position") or row.get("original_position")
    where = str(row.get("path") or "")
    url = str(row.get("html_url") or "")
    return Comment(f"{kind} {row.get('id')}", author, str(row["body"]), url, where, line_of(line), author in writers)
