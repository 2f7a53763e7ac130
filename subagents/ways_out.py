"""The proxies through which this machine reaches others, by its environment, and connections through them."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from urllib.parse import unquote, urlsplit

from subagents.http_heads import HEAD_BYTES, NotHttp, read_head

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def proxy_for(scheme: str, host: str) -> str:
    """The proxy for a host by the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), an address with a scheme; "" for none."""
    if not any(name.lower() in (f"{scheme}_proxy", "all_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass  # here: few machines have a proxy

    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all") or ""
    found = found if "://" in found or not found else f"http://{found}"
    return found if found.startswith(("http://", "https://")) and not proxy_bypass(host) else ""  # SOCKS is not spoken here


def way_out_to(scheme: str, host: str) -> str:
    """As `proxy_for`, for what the server itself asks: plain http is for this machine and its network, where no proxy stands."""
    return proxy_for(scheme, host) if scheme == "https" else ""


def authorization(proxy: str) -> list[tuple[str, str]]:
    """The header by which the proxy knows us; none where its address has no user."""
    way = urlsplit(proxy)
    pair = f"{unquote(way.username or '')}:{unquote(way.password or '')}"
    return [("Proxy-Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")] if way.username else []


async def connect_to_proxy(proxy: str) -> Connection:
    """A connection to the proxy itself. Raises OSError."""
    way = urlsplit(proxy)
    encrypted = tls() if way.scheme == "https" else None
    return await asyncio.open_connection(way.hostname, way.port or (443 if encrypted else 80), ssl=encrypted, limit=HEAD_BYTES)


async def tunnel_through(proxy: str, target: str) -> Connection:
    """A connection to HOST:PORT through the proxy. Raises OSError when the proxy refuses it."""
    name = urlsplit(proxy).hostname
    reader, writer = await connect_to_proxy(proxy)
    try:
        lines = [f"CONNECT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in [("Host", target), *authorization(proxy)]), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        status_line, _ = read_head(await reader.readuntil(b"\r\n\r\n"))
        if status_line.split()[1] != "200":
            raise ConnectionRefusedError(f"the proxy {name} answered {' '.join(status_line.split()[1:])}")
    except (NotHttp, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.close()
        raise ConnectionRefusedError(f"the proxy {name} did not answer like one: {error}") from None
    except BaseException:
        writer.close()
        raise
    return reader, writer


def tls() -> ssl.SSLContext:
    """The machine's certificates and, if certifi is installed, its list: a container may have no certificates."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context
