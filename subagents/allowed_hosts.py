"""The list of hosts that a project allows: how a line is read, and whether a host and a port are in it. Pure."""

from __future__ import annotations

import re

from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL_PORTS = (443, 80)  # where a line names none
MOST_HOSTS = 200
NAME = re.compile(r"(?=.{1,253}$)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)")
IPV6 = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*")
LINE = re.compile(r"(?P<star>\*\.)?(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


@record
class AllowedHost:
    """A line of the list: `*.name` covers all names below `name` (`below`), not itself. Without `port` it is for the usual ones."""

    name: str
    below: bool = False
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        right = host.endswith(f".{self.name}") if self.below else host == self.name
        return right and port in (USUAL_PORTS if self.port is None else (self.port,))


def allowed_host(line: str) -> AllowedHost:
    """Read a line such as "pypi.org", "*.example.org" or "git.example.org:8443". Raises ValueError with what is wrong."""
    found = LINE.fullmatch(line)
    if found is None:
        raise ValueError("not a host such as pypi.org, *.example.org or git.example.org:8443")
    name = plain_host(found["host"].strip("[]"))
    port = None if found["port"] is None else int(found["port"])
    if not name:
        raise ValueError("not the name of a host: without https:// and without a path")
    if found["star"] and ("." not in name or ":" in name or re.fullmatch(r"[0-9.]+", name)):
        raise ValueError("too wide: *. stands before a name of two parts at least, such as *.example.org")
    if port is not None and not 0 < port < 65536:
        raise ValueError("a port is from 1 to 65535")
    return AllowedHost(name, bool(found["star"]), port)


def fault_of_host(line: str) -> str:
    """What is wrong with a line of the list, "" for nothing."""
    try:
        allowed_host(line)
    except ValueError as fault:
        return str(fault)
    return ""


def plain_host(text: str) -> str:
    """A host in its one notation: lower case, without a dot at its end, other alphabets as IDNA; "" when it is none."""
    text = text.lower().removesuffix(".")
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return text if NAME.fullmatch(text) or IPV6.fullmatch(text) else ""


def is_allowed(host: str, port: int, allowed: Sequence[AllowedHost]) -> bool:
    """Whether a host, as `plain_host` has it, and a port are in the list."""
    return any(entry.covers(host, port) for entry in allowed)
