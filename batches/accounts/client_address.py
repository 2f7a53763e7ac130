"""The IP address that a request comes from, behind the proxies that CE_TRUSTED_PROXIES names."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def address_or_none(text: str | None) -> str | None:
    """The IP address without its scope, or None if there is none, as with a Unix socket."""
    try:
        return str(ip_address((text or "").strip().partition("%")[0]))
    except ValueError:
        return None


def address_of(request: HttpRequest | None) -> str | None:
    """The client's IP address: the last one in X-Forwarded-For that no trusted proxy has, read from the proxy's end.

    What stands further to the left was written by the client and proves nothing. Without a trusted proxy the header is not read.
    """
    if request is None:
        return None
    address = address_or_none(request.META.get("REMOTE_ADDR"))
    for part in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not _is_trusted(address):
            break
        found = address_or_none(part)
        if found is None:
            break
        address = found
    return address


def _is_trusted(address: str | None) -> bool:
    if address is None:
        return bool(settings.CE_TRUSTED_PROXIES)  # a Unix socket: whoever may open it is the proxy
    return any(ip_address(address) in network for network in settings.CE_TRUSTED_PROXIES)
