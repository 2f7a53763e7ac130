"""Where `ce` sends its requests: to the installation on this machine, in this process, or to a server over HTTP.

Both answer the same JSON API, so a verb has one text and one JSON shape wherever it runs.
"""

import ipaddress
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

SETTINGS = "ce_web.settings"
POLL_SECONDS = 1.0
ANSWER_SECONDS = 60.0
LOST_SECONDS = 300.0  # how long a wait puts up with a server that does not answer
EXIT_INTERRUPTED = 130  # as in shells: 128 plus the number of the signal
JsonObject = dict[str, Any]


class Refused(Exception):
    """The request was not carried out; the message is a sentence for the person at the terminal."""


class Unreachable(Refused):
    """The server did not answer; it may know of the request all the same."""


class Connection(Protocol):
    def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: JsonObject | bytes | None = None
    ) -> JsonObject:
        """The object that the API answers. `path` begins behind /api/v1/. Raises Refused with the API's sentence."""

    def wait(self, done: Callable[[], bool], interrupted: str) -> None:
        """Until `done`. Ctrl-C prints `interrupted` and exits with 130: what was begun goes on."""


def connect(server: str, token: str) -> Connection:
    """The server's, if one is named here, in CE_SERVER or by `ce login`; else the installation of this machine. Raises Refused."""
    kept = read_kept()
    server = server or os.environ.get("CE_SERVER", "") or kept.get("server", "")
    if not server:
        return Here()
    token = token or os.environ.get("CE_TOKEN", "") or (kept.get("token", "") if kept.get("server") == server else "")
    if not token:
        raise Refused(f"{server} asks for a token: set CE_TOKEN, or run ce login {server}")
    if _is_plain(server) and not (os.environ.get("CE_PLAIN_HTTP") == "1" or kept.get("plain_http") == server):
        raise Refused(
            f"{server} would be sent the token without encryption, for everybody on the way to read: use https://, or, in a network "
            f"that you trust, ce login --plain-http {server} or CE_PLAIN_HTTP=1."
        )
    return Server(server.rstrip("/"), token)


def _is_plain(server: str) -> bool:
    """Whether requests go unencrypted to another machine."""
    parts = urlsplit(server)
    try:
        here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        here = parts.hostname == "localhost"
    return parts.scheme == "http" and not here


def kept_file() -> Path:
    """Where `ce login` keeps server and token."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ce" / "server.json"


def read_kept() -> dict[str, str]:
    """What `ce login` has kept; {} without it. Raises Refused for a file that cannot be read."""
    path = kept_file()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise Refused(f"{path} cannot be read ({fault}). Remove it, and run ce login again.") from fault
    return {name: str(found.get(name, "")) for name in ("server", "token", "plain_http")} if isinstance(found, dict) else {}


def keep(server: str, token: str, *, plain_http: bool = False) -> Path:
    """Keep server and token for this user alone; `plain_http`: it may be asked without encryption."""
    path = kept_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"server": server, "token": token, **({"plain_http": server} if plain_http else {})}, file)
    return path


@dataclass(slots=True)
class Server:
    """An installation on another machine, or the running server of this one."""

    address: str
    token: str

    def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: JsonObject | bytes | None = None
    ) -> JsonObject:
        import httpx  # here: completion and help start without it

        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        try:
            reply = httpx.request(
                method,
                f"{self.address}/api/v1/{path}",
                params=query,
                content=content,
                headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json"},
                timeout=ANSWER_SECONDS,
            )
        except httpx.InvalidURL as fault:
            raise Refused(f"{self.address} is not an address: {fault}.") from fault
        except httpx.UnsupportedProtocol as fault:
            raise Refused(f"{self.address} is not an address of a server; it begins with https:// or http://.") from fault
        except httpx.HTTPError as fault:
            raise Unreachable(f"{self.address} does not answer: {fault or type(fault).__name__}.") from fault
        try:
            found = reply.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(f"{self.address} answers with status {reply.status_code} and no JSON object. Is it CE Web?")
        if reply.status_code >= 400:
            raise Refused(str(found.get("detail") or f"Status {reply.status_code}."))
        return found

    def wait(self, done: Callable[[], bool], interrupted: str) -> None:
        """A server that does not answer for a while is asked again: the work does not depend on this wait."""
        lost_at: float | None = None
        try:
            while True:
                try:
                    if done():
                        return
                    lost_at = None
                except Unreachable as fault:
                    if lost_at is None:
                        lost_at = time.monotonic()
                        sys.stderr.write(f"{fault} Trying again for {LOST_SECONDS / 60:.0f} min; the work goes on there.\n")
                    elif time.monotonic() - lost_at > LOST_SECONDS:
                        raise
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            _interrupted(interrupted)


class Here:
    """The installation on this machine, without a server: its rows and files, as the user at the shell."""

    def __init__(self) -> None:
        set_up()

    def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: JsonObject | bytes | None = None
    ) -> JsonObject:
        from batches.management import local_api

        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        status, found = local_api.answer(method, f"/api/v1/{path}", query or {}, content, cause="ce")
        if status >= 400:
            raise Refused(str(found["detail"]))
        return found

    def wait(self, done: Callable[[], bool], interrupted: str) -> None:
        from django.core.management.base import OutputWrapper

        from batches.management import local_api

        local_api.wait(done, interrupted, OutputWrapper(sys.stderr))


def set_up() -> None:
    """Django, for what runs on this machine's installation. Raises Refused if that cannot be used."""
    from ce_web.file_rights import keep_private

    keep_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connection
    from django.db.utils import DatabaseError

    try:
        django.setup()
        tables = connection.introspection.table_names()
    except (ImproperlyConfigured, DatabaseError) as fault:
        raise Refused(str(fault).strip()) from fault
    if "batches_batch" not in tables:
        raise Refused("There is no installation here yet. Start one with ce run, or name a server: ce login https://ce.example.org")


def _interrupted(words: str) -> NoReturn:
    sys.stderr.write(f"\n{words}\n")
    raise SystemExit(EXIT_INTERRUPTED)
