"""GitLab's REST API, version 4, as much of it as is used. A pull request is called a merge request there.

Source: docs.gitlab.com/api (merge_requests, rest).
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from batches.core.text.issue import IssueText
from batches.integrations.code_hosts.connection import Connection, commit_of, issue_of, line_of, number_of, part_of, rows_of
from batches.integrations.code_hosts.types import CheckOutcome, Comment, ForgeError, RemoteCheck, Request, RequestState

DEVELOPER = 30  # the access level that may push
OUTCOMES = {"success": CheckOutcome.PASSED, "failed": CheckOutcome.FAILED} | dict.fromkeys(
    ("created", "waiting_for_resource", "preparing", "pending", "running", "scheduled"), CheckOutcome.PENDING
)
STATES = {"opened": RequestState.OPEN, "locked": RequestState.OPEN, "merged": RequestState.MERGED, "closed": RequestState.CLOSED}


_below: dict[str, int] = {}  # {address of a project: how many parts of its path are the host's}


class GitLab:
    """The project `path` (group/subgroup/name) of the GitLab at `root`. The first parts of `path` may be those that GitLab is below."""

    def __init__(self, root: str, path: str, token: str, fork: str = "") -> None:
        parts = path.split("/")
        below = _parts_of_host(root, parts)
        root, path = "/".join([root, *parts[:below]]), "/".join(parts[below:])
        self.connection = Connection(f"{root}/api/v4", {"PRIVATE-TOKEN": token, "Accept": "application/json"}, token)
        self.project = f"/projects/{quote(path, safe='')}"
        self.source = f"/projects/{quote('/'.join(fork.split('/')[below:]), safe='')}" if fork else self.project  # with the branch

    def find(self, head: str, base: str) -> Request | None:
        """The open merge request from `head` into `base`, or None."""
        query = {"state": "opened", "source_branch": head, "target_branch": base, "per_page": "10"}
        rows = rows_of(self.connection.call("GET", f"{self.project}/merge_requests", query=query))
        source = part_of(self.connection.call("GET", self.source), "id") if rows and self.source != self.project else None
        for row in rows:
            wanted = source if source is not None else part_of(row, "target_project_id")  # not somebody's fork with such a branch
            if part_of(row, "source_branch") == head and part_of(row, "source_project_id") == wanted:
                return _request(row)
        return None

    def create(self, head: str, base: str, title: str, body: str) -> Request:
        """Open one. When there is one already, it is that one."""
        sent = {"source_branch": head, "target_branch": base, "title": title, "description": body}
        if self.source != self.project:
            sent["target_project_id"] = part_of(self.connection.call("GET", self.project), "id")
        try:
            return _request(self.connection.call("POST", f"{self.source}/merge_requests", body=sent))
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

    def checks(self, commit: str) -> list[RemoteCheck]:
        """The statuses of a commit: jobs of pipelines, and those of other systems. One that may fail says nothing."""
        try:
            rows = self.connection.pages(f"{self.source}/repository/commits/{commit}/statuses")
        except ForgeError as problem:
            if problem.status in (403, 404):
                return []
            raise
        found = []
        for row in rows:
            outcome = OUTCOMES.get(str(row.get("status")), CheckOutcome.NEUTRAL)
            if row.get("allow_failure") and outcome is CheckOutcome.FAILED:
                outcome = CheckOutcome.NEUTRAL
            text, url = str(row.get("description") or ""), str(row.get("target_url") or "")
            job = str(row.get("id")) if outcome is CheckOutcome.FAILED and url.endswith(f"/jobs/{row.get('id')}") else ""
            found.append(RemoteCheck(str(row.get("name", "")), outcome, url, text, job))
        return found

    def log(self, job: str) -> str:
        """The log of a job of a pipeline: its number is that of its status."""
        return self.connection.text(f"{self.source}/jobs/{quote(job, safe='')}/trace")

    def comments(self, number: int) -> list[Comment]:
        """The notes that people wrote; those that are resolved are left out."""
        rows = self.connection.pages(f"{self.project}/merge_requests/{number}/notes", {"sort": "asc", "order_by": "created_at"})
        own = [row for row in rows if not row.get("system") and not row.get("resolved") and str(row.get("body") or "").strip()]
        writers = self._writers() if own else frozenset()
        return [
            Comment(
                f"note {row.get('id')}",
                str(author := part_of(row, "author", "username") or "somebody"),
                str(row["body"]),
                path=str(part_of(row, "position", "new_path") or ""),
                line=line_of(part_of(row, "position", "new_line")),
                trusted=author in writers,
            )
            for row in own
        ]

    def issue(self, number: int) -> IssueText:
        """What an issue says, with the notes that people wrote."""
        place = f"{self.project}/issues/{number}"
        row = self.connection.call("GET", place)
        oldest_first = {"sort": "asc", "order_by": "created_at"}
        rows = self.connection.pages(f"{place}/notes", oldest_first) if part_of(row, "user_notes_count") else []
        said = [(part_of(one, "author", "username"), one.get("body")) for one in rows if not one.get("system")]
        return issue_of(row, "iid", "description", said)

    def _writers(self) -> frozenset[str]:
        """Who may push to the project; nobody where that may not be asked."""
        try:
            rows = self.connection.pages(f"{self.project}/members/all")
        except ForgeError as problem:
            if problem.status in (403, 404):
                return frozenset()
            raise
        levels = ((str(row.get("username")), row.get("access_level")) for row in rows)
        return frozenset(name for name, level in levels if isinstance(level, int) and level >= DEVELOPER)


def _parts_of_host(root: str, parts: Sequence[str]) -> int:
    """How many parts of a project's path GitLab is below: groups nest, so the address does not tell. It is asked, without the token."""
    address = "/".join([root, *parts])
    if len(parts) > 2 and address not in _below:
        for count in range(len(parts) - 1):
            with Connection("/".join([root, *parts[:count], "api/v4"]), {"Accept": "application/json"}, "") as asked:
                status, said = asked.look("/version")
            if part_of(said, "version") or (status == 401 and part_of(said, "message") == "401 Unauthorized"):
                _below[address] = count
                break
    return _below.get(address, 0)


def _request(row: Any) -> Request:
    try:
        state = STATES[row["state"]]
        merged = commit_of(row.get("merge_commit_sha") or row.get("squash_commit_sha") or row.get("sha"))
        commit = merged if state is RequestState.MERGED else ""
        updated = f"{row.get('updated_at') or ''} {row.get('user_notes_count')}"
        return Request(number_of(row["iid"]), str(row["web_url"]), state, str(row.get("sha") or ""), commit, updated)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ForgeError("GitLab's answer is not a merge request.") from None
