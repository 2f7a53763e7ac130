"""The MCP servers that a project lets Claude use. Pure.

They are written as in `.mcp.json`, so that an entry of a server's documentation can be pasted.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from subagents.environment import why_reserved
from subagents.record import record
from subagents.token_shapes import token_shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_SERVERS, TEXT_CHARACTERS = 10, 20_000
OWN = "ce"  # our own server
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET = re.compile(r"\$\{([^}]*)\}")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@record
class ToolServer:
    """An MCP server: a program with `command`, or an address with `url`. `secrets` are the names that env and headers ask for."""

    name: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    required: bool = True

    @property
    def secrets(self) -> list[str]:
        values = (*self.env.values(), *self.headers.values())
        return list(dict.fromkeys(name for value in values for name in SECRET.findall(value)))

    @property
    def host(self) -> tuple[str, int]:
        """(host, port) of the address; ("", 0) for a program."""
        parts = urlsplit(self.url)
        return (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)) if self.url else ("", 0)

    def to_json(self) -> dict[str, Any]:
        if self.url:
            return {"url": self.url, "headers": self.headers, "required": self.required}
        return {"command": list(self.command), "env": self.env, "required": self.required}


def read_servers(text: str) -> list[ToolServer]:
    """The servers of a project's settings, in order. Raises ValueError with a sentence that names the server and the fault."""
    if not text.strip():
        return []
    if len(text) > TEXT_CHARACTERS:
        raise ValueError(f"These are {len(text):,} characters; at most {TEXT_CHARACTERS:,} are read.")
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as problem:
        raise ValueError(f"This is not JSON: line {problem.lineno}, {problem.msg.lower()}.") from None
    except RecursionError:
        raise ValueError("This is nested too deep.") from None
    if isinstance(found, dict) and isinstance(found.get("mcpServers"), dict) and len(found) == 1:
        found = found["mcpServers"]
    if not isinstance(found, dict):
        raise ValueError('Write an object such as {"tracker": {"url": "https://…"}}.')
    if len(found) > MOST_SERVERS:
        raise ValueError(f"These are {len(found)} servers; at most {MOST_SERVERS} are started.")
    return [server_of(name, given) for name, given in found.items()]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands there twice.")
    return dict(pairs)


def server_of(name: str, given: Any) -> ToolServer:
    if not NAME.fullmatch(name) or "__" in name or name.endswith("_"):
        raise ValueError(f"{name[:60]} is no name of a server: use letters, digits, - and single _.")
    if name == OWN:
        raise ValueError(f"{OWN} is the name of CE Web's own server; choose another.")
    if not isinstance(given, dict):
        raise ValueError(f'{name}: write an object with "command" or "url".')
    kind = given.get("type", "http" if "url" in given else "stdio")
    if kind not in ("stdio", "http"):
        raise ValueError(f"{name}: the type is stdio or http, not {str(kind)[:40]}.")
    known = {"stdio": ("type", "command", "args", "env", "required"), "http": ("type", "url", "headers", "required")}[kind]
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"{name}: {unknown[0][:60]} is not known; a server of this type has {', '.join(known[1:])}.")
    required = given.get("required", True)
    if not isinstance(required, bool):
        raise ValueError(f"{name}: required is true or false.")
    if kind == "http":
        url, headers = given.get("url"), _texts(name, given, "headers")
        _check_url(name, url)
        for header in headers:
            if not HEADER.fullmatch(header):
                raise ValueError(f"{name}: {header[:60]} is no name of a header.")
        return ToolServer(name, url=str(url), headers=headers, required=required)
    command, arguments, env = given.get("command"), given.get("args", []), _texts(name, given, "env")
    if not isinstance(command, str) or not command.strip():
        raise ValueError(f"{name}: the command is missing.")
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        raise ValueError(f"{name}: args is a list of texts.")
    words = (command, *arguments)
    if any(SECRET.search(word) or "\0" in word for word in words):
        raise ValueError(f"{name}: a secret stands in env, not in the command: a command line can be read by other programs.")
    for word in words:
        _no_token(name, "args", word)
    for variable in env:
        if not VARIABLE.fullmatch(variable):
            raise ValueError(f"{name}: {variable[:60]} is no name of a variable.")
        if reason := why_reserved(variable):
            raise ValueError(f"{name}: {variable} {reason}.")
    return ToolServer(name, command=words, env=env, required=required)


def _texts(name: str, given: dict[str, Any], key: str) -> dict[str, str]:
    found = given.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"{name}: {key} is an object of texts.")
    for value in found.values():
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"{name}: {key} has a line break.")
        for secret in SECRET.findall(value):
            if not VARIABLE.fullmatch(secret):
                raise ValueError(f"{name}: ${{{secret[:60]}}} names no secret; write ${{NAME}}.")
        _no_token(name, key, value)
    return found


def _no_token(name: str, key: str, value: str) -> None:
    for what, pattern in token_shapes(value):
        if pattern.search(value):
            said = f"{name}: {key} holds what looks like {what}. Store it as a secret of the project for MCP servers, and write ${{NAME}}."
            raise ValueError(said)


def _check_url(name: str, url: object) -> None:
    if not isinstance(url, str) or SECRET.search(url):
        raise ValueError(f"{name}: the url is a text without a secret; a secret stands in headers.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{name}: the url cannot be read.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise ValueError(f"{name}: the url is one such as https://tracker.example.org/mcp.")
    if parts.username or parts.password or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{name}: the url has a user, a password, a fragment or a character that it cannot have.")
    _no_token(name, "the url", url)
