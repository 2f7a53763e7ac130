"""A client for the part of Linear's GraphQL API that we use: find a team, create an issue with our own id, find an issue.

Source: linear.app/developers (graphql, rate-limiting). Responses are limited in time and size, redirects are not followed,
and no message contains the token.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batches.core.text.issue import IssueText, Said
from batches.integrations.limited_client import LimitedClient, TooLarge, read_json

if TYPE_CHECKING:
    from httpx import Response

REQUEST_SECONDS = 5.0  # for a whole response
ANSWER_BYTES = 1_000_000
MAX_WAIT_SECONDS = 3600.0  # longest accepted wait for a rate limit
LOOPBACK = ("127.0.0.1", "localhost", "::1")

TEAM = "query Team($key: String!) { teams(filter: {key: {eq: $key}}, first: 1) { nodes { id key } } }"
FIND = "query Issue($id: ID!) { issues(filter: {id: {eq: $id}}, includeArchived: true, first: 1) { nodes { id identifier url } } }"
READ = (
    "query Read($id: String!) { issue(id: $id) { identifier url title description "
    "comments(first: 50) { nodes { body createdAt user { name } } } } }"
)
CREATE = "mutation Create($input: IssueCreateInput!) { issueCreate(input: $input) { success issue { id identifier url } } }"


class LinearError(Exception):
    """An error as a sentence for people. `retry_seconds`: wait at least this long; None: the caller decides."""

    def __init__(self, message: str, *, retry_seconds: float | None = None) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Issue:
    identifier: str
    url: str


def check_address(address: str) -> None:
    """Raises LinearError unless it is https, or http on loopback."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    raise LinearError(f"CE_LINEAR_URL must be an https address, not {parts.scheme or 'nothing'}.")


class Linear:
    """A connection; use as a context manager."""

    def __init__(self, token: str, address: str, *, seconds: float = REQUEST_SECONDS) -> None:
        check_address(address)
        self._token, self._address, self._seconds = token, address, seconds
        local = urlsplit(address).hostname in LOOPBACK
        self._client = LimitedClient(seconds=seconds, most=ANSWER_BYTES, trust_env=not local)

    def __enter__(self) -> "Linear":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def team_id(self, key: str) -> str:
        """The id of the team with this key, such as ENG. Raises LinearError."""
        nodes = self._nodes(self._ask(TEAM, {"key": key}), "teams")
        if not nodes:
            raise LinearError(f"Linear has no team {key!r} that this token can see.")
        return str(nodes[0].get("id", ""))

    def find(self, uid: str) -> Issue | None:
        """The issue with this id, also if archived, or None. Raises LinearError."""
        nodes = self._nodes(self._ask(FIND, {"id": uid}), "issues")
        return self._issue(nodes[0]) if nodes else None

    def read(self, identifier: str) -> IssueText:
        """What the issue with this identifier, such as ENG-12, says. Raises LinearError, also when there is none."""
        found = self._ask(READ, {"id": identifier}).get("issue")
        if not isinstance(found, dict):
            raise LinearError(f"Linear has no issue {identifier} that this token can see.")
        comments = found.get("comments")
        nodes = comments.get("nodes") if isinstance(comments, dict) else None
        rows = [one for one in nodes if isinstance(one, dict)] if isinstance(nodes, list) else []
        rows.sort(key=lambda one: str(one.get("createdAt", "")))
        said = tuple(Said(str((one.get("user") or {}).get("name") or "Somebody"), str(one.get("body") or "")) for one in rows)
        name, text = str(found.get("identifier", "")), str(found.get("description") or "")
        return IssueText(name, str(found.get("title", "")), text, said, str(found.get("url", "")))

    def create(self, *, uid: str, team_id: str, title: str, description: str) -> Issue:
        """Create an issue with the id `uid`. Linear refuses a second one with that id. Raises LinearError."""
        data = self._ask(CREATE, {"input": {"id": uid, "teamId": team_id, "title": title, "description": description}})
        made = data.get("issueCreate")
        if not isinstance(made, dict) or not made.get("success") or not isinstance(made.get("issue"), dict):
            raise LinearError("Linear did not create the issue and gave no reason.")
        return self._issue(made["issue"])

    @staticmethod
    def _nodes(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        found = data.get(name)
        nodes = found.get("nodes") if isinstance(found, dict) else None
        if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
            raise LinearError("Linear's response has an unexpected format.")
        return nodes

    @staticmethod
    def _issue(node: Mapping[str, Any]) -> Issue:
        address = str(node.get("url", ""))
        if urlsplit(address).scheme not in ("https", "http") or len(address) > 500:
            raise LinearError("Linear's response has no address for the issue.")
        return Issue(str(node.get("identifier", ""))[:50], address)

    def _ask(self, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
        import httpx

        headers = {"Authorization": self._token, "Accept": "application/json"}
        try:
            asked = {"query": query, "variables": variables}
            return self._read(*self._client.ask("POST", self._address, json=asked, headers=headers))
        except TooLarge:
            raise LinearError("Linear's response is too large.") from None
        except httpx.TimeoutException:
            raise LinearError(f"Linear did not answer within {self._seconds:g} s.") from None
        except httpx.HTTPError as problem:
            raise LinearError(f"Linear could not be reached ({type(problem).__name__}).") from None

    def _read(self, answer: "Response", body: bytes) -> dict[str, Any]:
        try:
            data = read_json(body)
        except ValueError:
            data = None
        errors = data.get("errors") if isinstance(data, dict) else None
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        extensions = found if isinstance(found := first.get("extensions"), dict) else {}
        if answer.status_code == 429 or str(extensions.get("code", "")).upper() == "RATELIMITED":
            raise LinearError("Linear's rate limit is reached.", retry_seconds=reset_seconds(answer.headers, time.time()))
        if answer.is_redirect:
            raise LinearError("Linear responded with a redirect, which is not followed.")
        if errors:
            said = str(extensions.get("userPresentableMessage") or first.get("message") or "no reason given")
            raise LinearError(f"Linear refused: {said.replace(self._token, '…')[:300]}")
        if answer.status_code != 200:
            raise LinearError(f"Linear answered with status {answer.status_code}.")
        if not isinstance(data, dict) or not isinstance(data.get("data"), dict):
            raise LinearError("Linear's response is not a GraphQL response.")
        return data["data"]  # type: ignore[no-any-return]  # checked above


def reset_seconds(headers: Mapping[str, str], now: float) -> float:
    """How long to wait for a rate limit, from 1 s to MAX_WAIT_SECONDS; 60 s if no header says.

    Retry-After is in seconds. The X-RateLimit-…-Reset headers are in milliseconds since 1970; those with nothing remaining
    take precedence.
    """
    if (seconds := _number(headers.get("Retry-After"))) is not None:
        return _bounded(seconds)
    exhausted: list[float] = []
    others: list[float] = []
    for kind in ("Requests", "Endpoint-Requests", "Complexity"):
        if (reset := _number(headers.get(f"X-RateLimit-{kind}-Reset"))) is not None:
            left = _number(headers.get(f"X-RateLimit-{kind}-Remaining"))
            (exhausted if left is not None and left <= 0 else others).append(reset / 1000 - now)
    if exhausted:
        return _bounded(max(exhausted))
    return _bounded(min(others)) if others else 60.0


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e15 else None


def _bounded(seconds: float) -> float:
    return min(MAX_WAIT_SECONDS, max(1.0, seconds))
