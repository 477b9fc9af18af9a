"""SOCKS5 as its server hears and answers it (RFC 1928): a greeting, then one request to connect.

Pure: bytes in, values out. Asks for no credentials, for Chromium knows none in SOCKS5; who may connect is told by other
means.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

WELCOME = b"\x05\x00"  # go on, without credentials
NO_WAY_IN = b"\x05\xff"  # none of the methods that were offered
GRANTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
# One code for every reason: a page is not to learn which addresses are there and refused, and which are not there.
UNREACHABLE = b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"
MAX_REQUEST = 4 + 1 + 255 + 2  # bytes


class BadSocks(ValueError):
    """What came is not SOCKS5, or asks for something else than a connection."""


class Request(NamedTuple):
    """Where to; ``host`` is a name, or an IP address without brackets. ``length``: bytes that the request took."""

    host: str
    port: int
    length: int


def greeting_length(data: bytes) -> int | None:
    """Bytes of the greeting that ``data`` begins with; ``None`` when more must come.

    Raises :class:`BadSocks`, also when the client insists on credentials.
    """
    if data[:1] not in (b"", b"\x05"):
        raise BadSocks("not SOCKS5")
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    if 0 not in data[2 : 2 + data[1]]:
        raise BadSocks("no way to log in that is known here")
    return 2 + data[1]


def read_request(data: bytes) -> Request | None:
    """The request that ``data`` begins with; ``None`` when more must come. Raises :class:`BadSocks`."""
    if data[:1] not in (b"", b"\x05"):
        raise BadSocks("not SOCKS5")
    if len(data) < 5:
        return None
    _, command, _, kind, first = data[:5]
    if command != 1:
        raise BadSocks(f"command {command} is not known here, only CONNECT")
    start, size = {1: (4, 4), 3: (5, first), 4: (4, 16)}.get(kind, (0, 0))
    if not size:
        raise BadSocks(f"no address of kind {kind} and length {first}")
    end = start + size
    if len(data) < end + 2:
        return None
    raw = data[start:end]
    host = _name(raw) if kind == 3 else str(ipaddress.ip_address(raw))
    port = int.from_bytes(data[end : end + 2], "big")
    if not port:
        raise BadSocks("port 0")
    return Request(host, port, end + 2)


def _name(raw: bytes) -> str:
    """Chromium sends names as they go into DNS, and IP addresses as text."""
    try:
        name = raw.decode("ascii").lower()
    except UnicodeDecodeError:
        raise BadSocks("a name that is not ASCII") from None
    if not name.isprintable() or any(letter in " /\\@[]" for letter in name):
        raise BadSocks("not the name of a host")
    return name
