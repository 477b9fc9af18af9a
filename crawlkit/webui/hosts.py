"""Under which names this server may be asked, and whose word about that counts. Pure.

The check of the Host header is what stops DNS rebinding: a foreign name that resolves to this machine is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from crawlkit.libs.errors import UsageError
from crawlkit.webui.gate import Facts

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
EVERYWHERE = frozenset({"", "0.0.0.0", "::", "[::]"})
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def is_loopback(host: str) -> bool:
    """Whether who listens on ``host`` is reached from this machine only."""
    if host.lower() == "localhost":
        return True
    address = _address(host.strip("[]"))
    return address is not None and address.is_loopback


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """``10.0.0.0/8`` or one address; raises :class:`UsageError` for what is neither."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise UsageError(f"trusted proxy {text!r}: expected an address or a network like 10.0.0.0/8") from None
    return tuple(found)


def parse_names(texts: Iterable[str]) -> frozenset[str]:
    """Host names to be served; raises :class:`UsageError` for what is none."""
    found = set()
    for text in texts:
        name = text.strip().lower()
        address = _address(name.strip("[]"))
        if address is not None:
            found.add(_written(address))
        elif _NAME.fullmatch(name):
            found.add(name)
        else:
            raise UsageError(f"host name {text!r}: expected a name like crawl.example.org, without scheme and port")
    return frozenset(found)


def parse_prefix(text: str) -> str:
    """``/crawl`` from ``crawl/``, ``""`` from ``/``; raises :class:`UsageError` for what is no path."""
    path = "/" + text.strip().strip("/")
    if path == "/":
        return ""
    if not _PREFIX.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise UsageError(f"URL prefix {text!r}: expected a path like /crawl")
    return path


@dataclass(frozen=True)
class Hosts:
    """The names of this server. ``anywhere``: addresses count too, for it listens on more than loopback.

    A page of another site can never have a bare address as its host, so an address cannot be rebound.
    """

    names: frozenset[str]
    anywhere: bool = False

    def serves(self, host: str) -> bool:
        """Whether a Host header, whatever its port, means this server."""
        name = name_of(host)
        return name in self.names or (self.anywhere and _address(name.strip("[]")) is not None)


def hosts_for(listening: str, named: frozenset[str] = frozenset()) -> Hosts:
    """What a server listening on ``listening`` is called; ``named``: further names."""
    own = frozenset() if listening in EVERYWHERE else parse_names([listening])
    return Hosts(LOOPBACK_NAMES | own | named, not is_loopback(listening))


def name_of(host: str) -> str:
    """The name in a Host header in lower case, without its port; ``""`` when it is not one."""
    match = _HOST.fullmatch(host.lower())
    return match["name"] if match else ""


def seen_through(facts: Facts, proxies: Sequence[Network]) -> Facts:
    """The request as the client sent it, by the ``X-Forwarded-*`` headers, if it comes from a trusted proxy.

    From anybody else those headers mean nothing. Of several addresses the last that is not a trusted proxy counts:
    what stands before it was said by the client.
    """
    if not trusted(facts.address, proxies):
        return facts
    hops = [hop.strip() for hop in facts.header("x-forwarded-for").split(",") if hop.strip()]
    address = facts.address
    for hop in reversed(hops):
        if _address(hop.strip("[]")) is None:
            break
        address = hop.strip("[]")
        if not trusted(address, proxies):
            break
    scheme = facts.header("x-forwarded-proto").split(",")[-1].strip().lower()
    host = facts.header("x-forwarded-host").split(",")[-1].strip()
    return replace(
        facts,
        address=address,
        scheme=scheme if scheme in ("http", "https") else facts.scheme,
        host=host or facts.host,
    )


def forwarded_prefix(address: str, said: str, proxies: Sequence[Network]) -> str:
    """The path under which a trusted proxy shows this server, of its ``X-Forwarded-Prefix``; else ``""``."""
    path = "/" + said.strip().strip("/")
    fine = _PREFIX.fullmatch(path) and not any(part in (".", "..") for part in path.split("/"))
    return path if fine and trusted(address, proxies) else ""


def trusted(address: str, proxies: Sequence[Network]) -> bool:
    """Whether a peer is one of the proxies."""
    found = _address(address)
    return found is not None and any(found in network for network in proxies)


def neighbourhood(address: str) -> str:
    """What counts as one address for limits: an IPv4 address, or the /64 that an IPv6 customer has."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found) if found is not None else ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)
