"""Which IP addresses lie in the public network: everything that connects to a host which somebody named asks here."""

from __future__ import annotations

import ipaddress

NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What IANA gives out as global unicast, and special blocks that the Python in use may not know yet: documentation (RFC 9637),
# the IETF's own, and the old anycast of 6to4 relays. Outside of the first lie fec0::/10 and whatever is yet to be given a meaning.
UNICAST = ipaddress.ip_network("2000::/3")
SPECIAL = [ipaddress.ip_network(text) for text in ("3fff::/20", "192.0.0.0/24", "192.88.99.0/24")]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether an address is public, including any IPv4 address embedded in it."""
    inner: list[Address] = []
    if isinstance(address, ipaddress.IPv6Address):
        inner += [one for one in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if one is not None]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if any(address in network for network in SPECIAL) or (address.version == 6 and address not in UNICAST and address not in NAT64):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and all(is_public(one) for one in inner)
