"""What went over the wire for one fetch: the heads as they were sent, and how long each part of a hop took.

Only for who watches, as the debugger does; an ordinary fetch asks one context variable a hop and notes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import pycurl

MAX_HOPS = 200  # noted of one fetch
MAX_HEAD = 256 * 1024  # bytes of one head
_HEADER_OUT = pycurl.INFOTYPE_HEADER_OUT
_VERSIONS = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    getattr(pycurl, "CURL_HTTP_VERSION_3", 30): "3",
}


@dataclass(slots=True)
class Timing:
    """Seconds. ``wait`` is from the request's last byte to the answer's first."""

    queue: float = 0.0
    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    wait: float = 0.0
    receive: float = 0.0
    total: float = 0.0


@dataclass(slots=True)
class Hop:
    """One request and what is known of its way. ``status`` 0: no answer came."""

    method: str
    url: str
    body: bytes | None = None
    head: bytes = b""  # the request's head as it was sent; the last one, when a proxy got one of its own first
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)  # of the answer
    timing: Timing = field(default_factory=Timing)
    address: str | None = None
    http: str = ""
    received: Callable[[], int] | None = None
    """Bytes that came so far; while it is on its way."""

    def sent(self) -> list[tuple[str, str]]:
        """The header fields that were sent."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        parts = (line.partition(":") for line in lines)
        return [(name.strip(), value.strip()) for name, colon, value in parts if colon and name]


_watched: ContextVar[list[Hop] | None] = ContextVar("crawlkit_hops", default=None)


@contextmanager
def watching() -> Iterator[list[Hop]]:
    """The hops of fetches that begin in this context, in the order in which they began."""
    hops: list[Hop] = []
    token = _watched.set(hops)
    try:
        yield hops
    finally:
        _watched.reset(token)


def watched() -> bool:
    """Whether anybody watches what begins in this context."""
    return _watched.get() is not None


def new_hop(method: str, url: str, body: bytes | None) -> Hop | None:
    """A hop to be filled in; ``None`` when nobody watches."""
    hops = _watched.get()
    if hops is None or len(hops) >= MAX_HOPS:
        return None
    hop = Hop(method, url, body)
    hops.append(hop)
    return hop


def watch(handle: pycurl.Curl, hop: Hop) -> None:
    """Has curl tell what it sends; to be called when the handle is set up."""

    def told(kind: int, data: bytes) -> None:
        if kind == _HEADER_OUT and not data.startswith(b"CONNECT "):
            hop.head = data[:MAX_HEAD]

    handle.setopt(pycurl.VERBOSE, 1)
    handle.setopt(pycurl.DEBUGFUNCTION, told)


def measure(handle: pycurl.Curl, hop: Hop, elapsed: float) -> None:
    """Notes the times of a transfer that is over. ``elapsed``: seconds since it was asked for."""
    info = handle.getinfo
    at = [info(point) for point in (pycurl.NAMELOOKUP_TIME, pycurl.CONNECT_TIME, pycurl.APPCONNECT_TIME,
                                    pycurl.PRETRANSFER_TIME, pycurl.STARTTRANSFER_TIME, pycurl.TOTAL_TIME)]  # fmt: skip
    dns, connect, tls, before, first, total = at
    hop.timing = Timing(
        queue=max(0.0, elapsed - total),
        dns=dns,
        connect=max(0.0, connect - dns),
        tls=max(0.0, tls - connect) if tls else 0.0,
        wait=max(0.0, first - before) if first else 0.0,
        receive=max(0.0, total - first) if first else 0.0,
        total=max(elapsed, total),
    )
    hop.address = info(pycurl.PRIMARY_IP) or None
    hop.http = _VERSIONS.get(info(pycurl.INFO_HTTP_VERSION), "")
