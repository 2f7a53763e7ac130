"""Requests to a code host, under the rules for addresses that people enter (webhook.py).

https only, unless CE_FORGE_PRIVATE is set. The host's name is looked up once, every address of it must be public, and the
connection goes to the checked one. Redirects are not followed. An answer is limited in time and size, and no message has the token.
"""

import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from django.conf import settings

from batches.core.text.issue import IssueText, Said
from batches.integrations.code_hosts.types import ForgeError
from batches.integrations.limited_client import LimitedClient, TooLarge, read_json
from batches.integrations.webhook import WebhookError, check_url, resolve
from subagents.redaction import MASK

if TYPE_CHECKING:
    from httpx import Response

REQUEST_SECONDS = 8.0  # for a whole answer
ANSWER_BYTES = 4_000_000
MAX_WAIT_SECONDS = 3600.0  # the longest accepted wait for a rate limit
SAID_CHARACTERS = 300
PAGE, PAGES = 50, 6
LAST_NUMBER, LAST_LINE = 2**63 - 1, 2**31 - 1  # the largest that a database keeps
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
WHAT, SETTING = "The address of a code host", "CE_FORGE_PRIVATE"


@dataclass(frozen=True, slots=True)
class Place:
    """A host that was checked: `address` is the part of the URL up to the host, `ip` where to connect."""

    address: str
    host: str
    port: int
    ip: str
    secure: bool


def checked_place(address: str, *, private: bool | None = None) -> Place:
    """The host of an address that a person entered; `private` None: as CE_FORGE_PRIVATE says. Raises ForgeError."""
    private = settings.CE_FORGE_PRIVATE if private is None else private
    try:
        host, port, _, secure = check_url(address, private=private, what=WHAT)
        ip = resolve(host, port, private=private, setting=SETTING)
    except WebhookError as problem:
        raise ForgeError(str(problem)) from None
    return Place(f"{urlsplit(address).scheme}://{urlsplit(address).netloc}", host, port, ip, secure)


class Connection:
    """Requests to one host with a person's token; use as a context manager. `base` is where the API begins."""

    def __init__(
        self, base: str, headers: Mapping[str, str], token: str, *, seconds: float = REQUEST_SECONDS, private: bool | None = None
    ) -> None:
        self.place = checked_place(base, private=private)
        self._path, self._token, self._seconds = urlsplit(base).path.rstrip("/"), token, seconds
        self._headers = {**headers, "Host": urlsplit(base).netloc, "User-Agent": "CE-Web"}
        verify = ssl.create_default_context() if self.place.secure else False
        self._client = LimitedClient(seconds=seconds, most=ANSWER_BYTES, trust_env=False, verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None) -> Any:
        """What the host answers as JSON (None for an empty answer). Raises ForgeError."""
        return self._read(*self._ask(method, path, query, body))

    def look(self, path: str) -> tuple[int, Any]:
        """The status of an answer, and what it says as JSON (None for anything else). Raises ForgeError if there is none."""
        answer, data = self._ask("GET", path, None, None)
        return answer.status_code, _json(data)

    def text(self, path: str) -> str:
        """A text, such as a log. Where it lies elsewhere, it is asked for there, without the token: at the same address, or a public
        one. A code host of one's own must not lead into the network around it. Raises ForgeError."""
        answer, data = self._ask("GET", path, None, None)
        if answer.is_redirect and (where := answer.headers.get("Location", "")).startswith(("https://", "http://")):
            own = where.startswith(f"{self.place.address}/")
            place = checked_place(where, private=None if own else False)
            with Connection(place.address, {}, self._token, seconds=self._seconds, private=None if own else False) as other:
                answer, data = other._ask("GET", where.removeprefix(place.address), None, None)
        if answer.status_code != 200:
            self._read(answer, data)
            raise ForgeError(f"{self.place.host} has no text there.", status=answer.status_code)
        return data.decode("utf-8", "replace")

    def _ask(self, method: str, path: str, query: Mapping[str, str] | None, body: object) -> "tuple[Response, bytes]":
        import httpx

        place = self.place
        ip = f"[{place.ip}]" if ":" in place.ip else place.ip
        url = f"{'https' if place.secure else 'http'}://{ip}:{place.port}{self._path}{path}"
        more = {"extensions": {"sni_hostname": place.host}} if place.secure else {}
        try:
            return self._client.ask(method, url, params=query, json=body, headers=self._headers, **more)
        except TooLarge:
            raise ForgeError(f"The answer of {place.host} is too large.") from None
        except httpx.TimeoutException:
            raise ForgeError(f"{place.host} did not answer within {self._seconds:g} s.") from None
        except httpx.HTTPError as problem:
            if "certificate" in str(problem).lower():
                raise ForgeError(f"{place.host} cannot be trusted: its certificate is not valid.") from None
            raise ForgeError(f"{place.host} cannot be reached ({type(problem).__name__}).") from None

    def pages(self, path: str, query: Mapping[str, str] | None = None, *, size: str = "per_page") -> list[dict[str, Any]]:
        """All rows of a list, at most PAGES pages of it. Raises ForgeError."""
        found: list[dict[str, Any]] = []
        for page in range(1, PAGES + 1):
            rows = rows_of(self.call("GET", path, query={**(query or {}), size: str(PAGE), "page": str(page)}))
            found += rows
            if len(rows) < PAGE:
                break
        return found

    def _read(self, answer: "Response", data: bytes) -> Any:
        found, status, host = _json(data), answer.status_code, self.place.host
        if 200 <= status < 300:
            if data and found is None and data.strip() != b"null":
                raise ForgeError(f"{host} answered with something that is no JSON.", status=status)
            return found
        if is_limited(status, answer.headers):
            seconds = reset_seconds(answer.headers, time.time())
            raise ForgeError(f"The rate limit of {host} is reached.", status=status, retry_seconds=seconds)
        said = self.plain(told(found))
        because = f": {said}" if said else "."
        if answer.is_redirect:
            moved = f"{host} responded with a redirect ({status}): the repository has moved. Enter its new address."
            raise ForgeError(moved, status=status)
        if status == 401:
            raise ForgeError(f"{host} refused the token (401). Enter a new one in the project's settings.", status=status)
        if status == 403:
            raise ForgeError(f"The token may not do this at {host} (403){because}", status=status)
        if status == 404:
            raise ForgeError(f"{host} has nothing there that this token can see (404). Check the address and the token.", status=status)
        if status >= 500:
            raise ForgeError(f"{host} has trouble of its own (status {status}).", status=status)
        raise ForgeError(f"{host} refused this ({status}){because}", status=status)

    def plain(self, text: str) -> str:
        """Text of the host's that may be shown and kept: printable, short, without the token."""
        text = text.replace(self._token, MASK) if self._token else text
        return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:SAID_CHARACTERS]


def _json(data: bytes) -> Any:
    try:
        return read_json(data) if data else None
    except ValueError:
        return None


def rows_of(found: object) -> list[dict[str, Any]]:
    """An answer that has to be a list of objects. Raises ForgeError."""
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ForgeError("The code host's answer has an unexpected format.")
    return found


def part_of(row: object, *names: str) -> Any:
    """A value inside an object of an answer, None where it is not there."""
    for name in names:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def number_of(found: object) -> int:
    """The number of an issue or pull request in an answer. Raises ValueError for what is none."""
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= LAST_NUMBER:
        raise ValueError("not a number of an issue or pull request")
    return found


def line_of(found: object) -> int | None:
    """The number of a line in an answer; None for what is none."""
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found <= LAST_LINE else None


def commit_of(found: object) -> str:
    """The id of a commit in an answer; "" for what is none."""
    return found if isinstance(found, str) and COMMIT.fullmatch(found) else ""


def issue_of(row: object, number: str, body: str, comments: Sequence[tuple[object, object]]) -> IssueText:
    """An issue of an answer, whose number and text have these names. Raises ForgeError."""
    if not isinstance(row, dict) or not isinstance(row.get(number), int) or not isinstance(row.get("title"), str):
        raise ForgeError("The code host's answer is not an issue.")
    said = tuple(Said(str(author or "somebody"), str(text or "")) for author, text in comments)
    return IssueText(f"#{row[number]}", row["title"], str(row.get(body) or ""), said, str(row.get("html_url") or row.get("web_url") or ""))


def told(found: object) -> str:
    """What an answer says about an error: GitHub's, GitLab's and Gitea's forms."""
    if not isinstance(found, dict):
        return ""
    parts = [found.get("message"), found.get("error"), *(found["errors"] if isinstance(found.get("errors"), list) else [])]
    texts = []
    for part in parts:
        if isinstance(part, dict):
            part = part.get("message") or " ".join(str(one) for one in part.values())
        elif isinstance(part, list):
            part = " ".join(map(str, part))
        if part:
            texts.append(str(part))
    return "; ".join(dict.fromkeys(texts))


def is_limited(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer means that there were too many requests: GitHub says so with 403, too."""
    exhausted = headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in headers
    return status == 429 or (status == 403 and exhausted)


def reset_seconds(headers: Mapping[str, str], now: float) -> float:
    """How long to wait for a rate limit, from 1 s to MAX_WAIT_SECONDS; 60 s if no header says.

    Retry-After is in seconds; X-RateLimit-Reset (GitHub) and RateLimit-Reset (GitLab) are in seconds since 1970.
    """
    for name, since in (("Retry-After", 0.0), ("X-RateLimit-Reset", now), ("RateLimit-Reset", now)):
        try:
            seconds = float(headers[name]) - since
        except (KeyError, ValueError):
            continue
        if abs(seconds) < 1e12:
            return min(MAX_WAIT_SECONDS, max(1.0, seconds))
    return 60.0
