"""Sends a message to an address that a person entered, without giving access to this server's own network (SSRF).

https only. We resolve the name, require every address to be public, and connect to the checked address, so that a second DNS
answer changes nothing. Redirects are not followed. A total time limit covers everything from DNS to the response.
"""

import hmac
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from subagents.public_addresses import is_public

SEND_SECONDS = 8.0


class WebhookError(Exception):
    """Why sending failed, as a sentence for people. It never contains the address, which may hold a secret."""


def check_url(url: str, *, private: bool, what: str = "A webhook address") -> tuple[str, int, str, bool]:
    """Split an allowed address into (host, port, path with query, TLS); `what` it is, in words. Raises WebhookError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookError("Not a valid web address.") from None
    if parts.scheme not in ("https", *(["http"] if private else [])) or not parts.hostname:
        raise WebhookError(f"{what} must begin with https://.")
    if parts.username is not None or parts.password is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise WebhookError(f"{what} must be plain ASCII, without user name and password.")
    secure = parts.scheme == "https"
    return parts.hostname, port or (443 if secure else 80), f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", secure


def signature(secret: str, at: int, body: bytes) -> str:
    """The signature of a message: HMAC-SHA256, in hexadecimal, over the second of sending, a full stop and the body."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()


def send(
    url: str, payload: Mapping[str, object], *, private: bool = False, seconds: float = SEND_SECONDS, secret: str = "", delivery: str = ""
) -> None:
    """Post `payload` as JSON; `private` allows addresses that are not public, and http. Raises WebhookError.

    With `secret` it is signed. `delivery` names the message, the same each time it is sent.
    """
    host, port, path, secure = check_url(url, private=private)
    body = json.dumps(payload, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "CE-Web", "Connection": "close"}
    if delivery:
        headers["X-CE-Delivery"] = delivery
    if secret:
        at = int(time.time())
        headers["X-CE-Signature"] = f"t={at},v1={signature(secret, at, body)}"
    sock, late = None, threading.Event()

    def cut() -> None:
        late.set()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        sock = socket.create_connection((resolve(host, port, private=private), port), timeout=seconds)
        connection = HTTPConnection(host, port, timeout=seconds)
        connection.sock = sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host) if secure else sock
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    except TimeoutError:
        raise WebhookError(f"{host} did not answer within {seconds:g} s.") from None
    except ssl.SSLError as error:
        raise WebhookError(f"{host} cannot be trusted: {error.reason or 'its certificate is not valid'}.") from None
    except (OSError, HTTPException, ValueError) as error:
        if late.is_set():
            raise WebhookError(f"{host} did not answer within {seconds:g} s.") from None
        raise WebhookError(f"{host} cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}.") from None
    finally:
        timer.cancel()
        if sock is not None:
            sock.close()
    if 300 <= status < 400:
        raise WebhookError(f"{host} responded with a redirect ({status}); enter the final address.")
    if not 200 <= status < 300:
        raise WebhookError(f"{host} refused the message ({status}).")


def resolve(host: str, port: int, *, private: bool, setting: str = "CE_WEBHOOK_PRIVATE") -> str:
    """One IP address of `host`, after a look at each; `setting` allows private ones. Raises WebhookError."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise WebhookError(f"No IP address found for {host}.") from None
    if not private and not all(is_public(ipaddress.ip_address(one)) for one in found):
        raise WebhookError(f"{host} is not in the public network (setting {setting}).")
    return sorted(found, key=lambda one: (":" in one, one))[0]
