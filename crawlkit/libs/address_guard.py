"""Which addresses may be connected to when private ones are off limits.

Pure decisions about addresses and host names. They are enforced where the socket is made, so that the address that was
checked is the one that is connected to, whatever a resolver says the next time.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa")


@lru_cache(maxsize=4096)
def refusal(address: str) -> str | None:
    """Why this IP address is off limits, or ``None`` when it is a public one. An unreadable one is refused."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address!r} is not an IP address"
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner(ip)
        if inner is not None:
            reason = refusal(str(inner))
            return f"{address} stands for {reason}" if reason else None
        if ip in _SITE_LOCAL or ip in _NAT64_LOCAL:
            return f"{address} is private"
    for word in ("loopback", "unspecified", "link_local", "multicast", "reserved", "private"):
        if getattr(ip, "is_" + word):
            return f"{address} is {word.replace('_', '-')}"
    if not ip.is_global or ip in _SHARED:
        return f"{address} is not public"
    return None


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that this one leads to: mapped, compatible, NAT64, 6to4, Teredo."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    number = int(ip)
    if ip in _NAT64 or (number >> 32 == 0 and number > 0xFFFF):
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return None


def host_refusal(host: str) -> str | None:
    """Why a host as it stands in a URL (WHATWG form) is refused before any look-up, or ``None``.

    Needed where somebody else connects for us, a proxy say; names that only mean something here count as private.
    """
    if host.startswith("["):
        return refusal(host.strip("[]"))
    name = host.rstrip(".").lower()
    if name.replace(".", "").isdigit():
        return refusal(name)
    last = name.rpartition(".")[2]
    if name in _LOCAL_NAMES or last in _LOCAL_NAMES or name.endswith(".home.arpa"):
        return f"{host} is a local name"
    return None
