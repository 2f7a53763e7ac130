"""GitHub's REST API, version 2022-11-28, as much of it as is used. Also GitHub Enterprise, below /api/v3.

Source: docs.github.com/rest (pulls, rate limits) and github/rest-api-description.
"""

from typing import Any
from urllib.parse import quote

from batches.core.text.issue import IssueText
from batches.integrations.code_hosts.connection import Connection, issue_of, line_of, part_of, rows_of
from batches.integrations.code_hosts.pulls import Pulls
from batches.integrations.code_hosts.types import CheckOutcome, Comment, ForgeError, RemoteCheck, Request

VERSION = "2022-11-28"
FAILED = CheckOutcome.FAILED
OUTCOMES = {"success": CheckOutcome.PASSED} | dict.fromkeys(("neutral", "skipped", "cancelled", "stale"), CheckOutcome.NEUTRAL)
STATES = {"success": CheckOutcome.PASSED, "pending": CheckOutcome.PENDING}


class GitHub(Pulls):
    """The repository `path` (owner/name) of GitHub, or of the GitHub Enterprise at `root`."""

    host, taken = "GitHub", 422

    def __init__(self, root: str, path: str, token: str, fork: str = "") -> None:
        host = root.partition("://")[2]
        base = "https://api.github.com" if host in ("github.com", "www.github.com") else f"{root}/api/v3"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}
        self.connection = Connection(base, headers, token)
        self.owner, self.fork = (fork or path).partition("/")[0], fork
        self.repository = f"/repos/{quote(path)}"

    def find(self, head: str, base: str) -> Request | None:
        """The open pull request from `head` into `base`, or None."""
        query = {"state": "open", "head": f"{self.owner}:{head}", "base": base, "per_page": "10"}
        rows = rows_of(self.connection.call("GET", f"{self.repository}/pulls", query=query))
        return next((self.request(row) for row in rows if part_of(row, "head", "ref") == head), None)  # an unknown `head` is no filter

    def checks(self, commit: str) -> list[RemoteCheck]:
        """The checks of a commit: those of GitHub's apps, and the older commit statuses. A token that may not read them sees none."""
        found = []
        for row in self._rows(f"{self.repository}/commits/{commit}/check-runs", "check_runs"):
            outcome = CheckOutcome.PENDING if row.get("status") != "completed" else OUTCOMES.get(str(row.get("conclusion")), FAILED)
            output = part_of(row, "output")
            text = "\n".join(str(part) for name in ("title", "summary", "text") if (part := part_of(output, name)))
            if outcome is FAILED and part_of(output, "annotations_count"):
                text = "\n".join([text, *self._annotations(row)])
            job = str(row.get("id")) if outcome is FAILED and part_of(row, "app", "slug") == "github-actions" else ""
            found.append(RemoteCheck(str(row.get("name", "")), outcome, str(row.get("html_url") or ""), text.strip(), job))
        for row in self._rows(f"{self.repository}/commits/{commit}/status", "statuses"):
            outcome, text = STATES.get(str(row.get("state")), FAILED), str(row.get("description") or "")
            found.append(RemoteCheck(str(row.get("context", "")), outcome, str(row.get("target_url") or ""), text))
        return found

    def log(self, job: str) -> str:
        """The log of a job of GitHub Actions: its number is that of its check."""
        return self.connection.text(f"{self.repository}/actions/jobs/{quote(job, safe='')}/logs")

    def _rows(self, path: str, name: str) -> list[dict[str, Any]]:
        try:
            return rows_of(part_of(self.connection.call("GET", path, query={"per_page": "100"}), name))
        except ForgeError as problem:
            if problem.status in (403, 404) and problem.retry_seconds is None:
                return []
            raise

    def _annotations(self, row: dict[str, Any]) -> list[str]:
        rows = rows_of(self.connection.call("GET", f"{self.repository}/check-runs/{row.get('id')}/annotations", query={"per_page": "20"}))
        return [f"{one.get('path')}:{one.get('start_line')}: {one.get('message')}" for one in rows]

    def comments(self, number: int) -> list[Comment]:
        """Reviews, comments on lines, and comments below the pull request."""
        found = []
        for row in self.connection.pages(f"{self.repository}/pulls/{number}/reviews"):
            if row.get("state") in ("CHANGES_REQUESTED", "COMMENTED"):
                found.append(_comment("review", row))
        found += [_comment("line", row) for row in self.connection.pages(f"{self.repository}/pulls/{number}/comments")]
        found += [_comment("comment", row) for row in self.connection.pages(f"{self.repository}/issues/{number}/comments")]
        return [one for one in found if one.text.strip()]

    def issue(self, number: int) -> IssueText:
        """What an issue says, with its comments."""
        place = f"{self.repository}/issues/{number}"
        row = self.connection.call("GET", place)
        comments = self.connection.pages(f"{place}/comments") if part_of(row, "comments") else []
        return issue_of(row, "number", "body", [(part_of(one, "user", "login"), one.get("body")) for one in comments])


def _comment(kind: str, row: dict[str, Any]) -> Comment:
    line = row.get("line") or row.get("original_line")
    return Comment(
        f"{kind} {row.get('id')}",
        str(part_of(row, "user", "login") or "somebody"),
        str(row.get("body") or ""),
        str(row.get("html_url") or ""),
        str(row.get("path") or ""),
        line_of(line),
        row.get("author_association") in ("OWNER", "MEMBER", "COLLABORATOR"),
    )
