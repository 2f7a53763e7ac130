"""Settings from environment variables. A wrong value stops the start with the variable's name and the expected format.

An empty variable counts as not set.
"""

import ipaddress
import os
import re
import secrets
import zoneinfo
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def env_str(name: str, default: str, *, choices: Sequence[str] = ()) -> str:
    """The variable as stripped text. Raises ImproperlyConfigured if it is not one of `choices` (if given)."""
    value = os.environ.get(name, "").strip() or default
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r}: expected one of {', '.join(choices)}")
    return value


def env_bool(name: str, default: bool) -> bool:
    """The variable as a boolean. Raises ImproperlyConfigured for other words."""
    word = os.environ.get(name, "").strip().lower()
    if not word:
        return default
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name}={os.environ[name]!r}: expected 1 or 0")


def env_int(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """The variable as a whole number within [minimum, maximum]. Raises ImproperlyConfigured otherwise."""
    return int(_number(name, default, int, minimum, maximum))


def env_seconds(name: str, default: float, *, minimum: float = 0.01, maximum: float = 7 * 86400) -> float:
    """The variable as seconds within [minimum, maximum]. Raises ImproperlyConfigured otherwise."""
    return float(_number(name, default, float, minimum, maximum))


def env_list(name: str, default: str) -> list[str]:
    """The variable split at commas, without empty items."""
    return [item for item in (part.strip() for part in env_str(name, default).split(",")) if item]


def env_name(name: str, default: str) -> str:
    """The variable as a host name, safe in file and queue names. Raises ImproperlyConfigured."""
    value = env_str(name, default)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", value):
        raise ImproperlyConfigured(f"{name}={value!r}: expected 1 to 60 letters, digits, dots, hyphens and underscores")
    return value


def env_networks(name: str, default: str) -> list[IPv4Network | IPv6Network]:
    """The variable as IP addresses and networks, separated by commas. Raises ImproperlyConfigured."""
    found: list[IPv4Network | IPv6Network] = []
    for part in env_list(name, default):
        try:
            found.append(ip_network(part))
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}={part!r}: expected addresses or networks such as 127.0.0.1,10.0.0.0/8") from error
    return found


def env_pairs(name: str, values: Sequence[str]) -> dict[str, str]:
    """The variable as {word: one of `values`}, from word=value separated by commas. Raises ImproperlyConfigured."""
    found = {}
    for part in env_list(name, ""):
        word, _, value = part.rpartition("=")
        if not word.strip() or value.strip() not in values:
            raise ImproperlyConfigured(f"{name}={part!r}: expected GROUP=ROLE, separated by commas; roles: {', '.join(values)}")
        found[word.strip()] = value.strip()
    return found


def env_time_zone(name: str, default: str) -> str:
    """The variable as a time zone. Raises ImproperlyConfigured if this machine does not know it."""
    value = env_str(name, default)
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"{name}={value!r}: expected a time zone such as Europe/Berlin") from error
    return value


def env_url(name: str, default: str, *, near: bool = False) -> str:
    """The variable as a service's URL without a trailing slash. http is allowed on this machine only, because keys are sent.

    With `near` http is also allowed to private addresses, such as 192.168.1.5: who set it accepts that keys are sent in clear there.

    "" if it is not set and has no default. Raises ImproperlyConfigured.
    """
    value = env_str(name, default).rstrip("/")
    if not value:
        return ""
    parts = urlsplit(value)
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1") or (near and _is_private(parts.hostname or ""))
    if not parts.hostname or parts.scheme not in ("https", *(["http"] if loopback else [])) or parts.username or parts.query:
        way_out = "" if near or parts.scheme != "http" else "; CE_API_HTTP=1 allows it to private addresses, such as http://192.168.1.5"
        way_out = way_out if name == "ANTHROPIC_BASE_URL" else ""
        raise ImproperlyConfigured(f"{name}: expected https://HOST, or http:// on this machine only{way_out}")
    return value


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:  # a name: it may lead anywhere
        return False


def env_mail(name: str, default: str) -> tuple[str, int, str, str, bool, bool]:
    """The variable as a mail server: (host, port, user, password, TLS from the start, STARTTLS); host "" for none.

    Raises ImproperlyConfigured.
    """
    value = env_str(name, default)
    if not value:
        return "", 25, "", "", False, False
    expected = f"{name}: expected smtp://, smtp+tls:// or smtps://[USER:PASSWORD@]HOST[:PORT]"  # the value may hold a password
    try:
        parts = urlsplit(value)
        port = parts.port or {"smtp": 25, "smtp+tls": 587, "smtps": 465}[parts.scheme]
    except (ValueError, KeyError) as error:
        raise ImproperlyConfigured(expected) from error
    if not parts.hostname or parts.path.strip("/") or parts.query:
        raise ImproperlyConfigured(expected)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return parts.hostname, port, user, password, parts.scheme == "smtps", parts.scheme == "smtp+tls"


def env_database(name: str, default: str) -> dict[str, Any]:
    """The variable as an entry of Django's DATABASES. Raises ImproperlyConfigured."""
    value = env_str(name, default)
    expected = f"{name}: expected sqlite:///PATH or postgresql://USER@HOST:PORT/NAME"  # the value may hold a password
    try:
        found: dict[str, Any] = {**dj_database_url.parse(value)}
    except ValueError as error:
        raise ImproperlyConfigured(expected) from error
    if found["ENGINE"] not in ("django.db.backends.sqlite3", "django.db.backends.postgresql") or not found["NAME"]:
        raise ImproperlyConfigured(expected)
    return found


def _number(name: str, default: float, kind: type, minimum: float, maximum: float) -> float:
    raw = os.environ.get(name, "")
    if not raw.strip():
        return default
    try:
        value: float = kind(raw.strip())
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={raw!r}: expected a number from {minimum} to {maximum}") from error
    if not minimum <= value <= maximum:
        raise ImproperlyConfigured(f"{name}={raw!r}: expected a number from {minimum} to {maximum}")
    return value


def secret_key(path: Path) -> str:
    """The secret key: SECRET_KEY, else from the file at `path`, which is created with mode 0600.

    Two processes that start together get the same key: link(2) publishes the file of only one of them.
    Raises ImproperlyConfigured if the key has fewer than 32 characters or other users may read the file.
    """
    from_environment = os.environ.get("SECRET_KEY", "").strip()
    if from_environment:
        return _strong(from_environment, "SECRET_KEY")
    try:
        return _key_of_file(path)
    except OSError as error:
        raise ImproperlyConfigured(f"CE_DATA_DIR={str(path.parent)!r}: expected a directory of this user's ({error.strerror})") from error


def _key_of_file(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first; use its key
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise ImproperlyConfigured(f"{path} may be read by others: chmod 600 {path}")
    return _strong(path.read_text().strip(), str(path))


def _strong(key: str, source: str) -> str:
    if len(key) < 32:
        raise ImproperlyConfigured(f"{source}: a secret key has at least 32 characters")
    return key
