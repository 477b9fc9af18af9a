"""How a connection is asked of a proxy that stands before us: HTTP's CONNECT, SOCKS 4, 4a and 5, with credentials.

Pure: each handshake is a conversation that is fed with what comes and tells what to send; it opens nothing.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Generator
from typing import NamedTuple

from crawlkit.libs.browser_job import Job
from crawlkit.libs.proxy import Proxy, scheme_and_port

NAMES_HERE = frozenset({"socks4", "socks5"})  # schemes by which names are looked up on this side, as libcurl does
MAX_HEAD = 64 * 1024  # bytes of a proxy's answer to CONNECT
_SOCKS5_WORDS = {
    1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address kind not supported",
}  # fmt: skip


class ProxyRefused(Exception):
    """The proxy said no, or nothing that can be understood. The text never shows credentials."""


def of_job(job: Job) -> Proxy | None:
    """The proxy that a job asks for. Raises :class:`FetchError` of kind ``bad_request``."""
    if not job.proxy_host:
        return None
    scheme, port = scheme_and_port(job.proxy_scheme, job.proxy_port)
    return Proxy(scheme, job.proxy_host, port, job.proxy_username, job.proxy_password, job.proxy_trusted)


class Send(NamedTuple):
    """To be sent."""

    data: bytes


class Take(NamedTuple):
    """So many bytes are waited for."""

    size: int


class TakeUntil(NamedTuple):
    """Waits for everything up to and including this mark."""

    mark: bytes
    limit: int


_Talk = Generator[Send | Take | TakeUntil, bytes, None]


class Handshake:
    """One conversation with a proxy. ``done`` when the way is open; ``rest`` is then what came after it."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        """``host``: a name or an IP address without brackets; an IP address for the schemes in ``NAMES_HERE``."""
        self.done = False
        self.rest = b""
        self._talk = _talk(proxy, host, port)
        self._wish: Take | TakeUntil | None = None

    def feed(self, data: bytes = b"") -> bytes:
        """What to send now. To be called once with nothing, to begin. Raises :class:`ProxyRefused`."""
        self.rest += data
        out = b""
        try:
            step: Send | Take | TakeUntil = self._wish if self._wish is not None else next(self._talk)
            while True:
                if isinstance(step, Send):
                    out += step.data
                    step = self._talk.send(b"")
                    continue
                size = _ready(step, self.rest)
                if size is None:
                    self._wish = step
                    return out
                taken, self.rest = self.rest[:size], self.rest[size:]
                step = self._talk.send(taken)
        except StopIteration:
            self.done = True
            self._wish = None
            return out


def _ready(wish: Take | TakeUntil, data: bytes) -> int | None:
    """How many of these bytes the wish takes, once they are all there."""
    if isinstance(wish, Take):
        return wish.size if len(data) >= wish.size else None
    end = data.find(wish.mark)
    if end < 0 and len(data) > wish.limit:
        raise ProxyRefused(f"its answer has a head of over {wish.limit} bytes")
    return end + len(wish.mark) if end >= 0 else None


def _talk(proxy: Proxy, host: str, port: int) -> _Talk:
    if proxy.scheme in ("http", "https"):
        return _connect(proxy, host, port)
    return _socks5(proxy, host, port) if proxy.scheme in ("socks5", "socks5h") else _socks4(proxy, host, port)


def _connect(proxy: Proxy, host: str, port: int) -> _Talk:
    """RFC 9110, 9.3.6."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.username is not None:
        pair = f"{proxy.username}:{proxy.password or ''}".encode()
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(pair).decode())
    yield Send(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    while True:
        head = yield TakeUntil(b"\r\n\r\n", MAX_HEAD)
        parts = head.split(b"\r\n", 1)[0].split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or len(parts[1]) != 3 or not parts[1].isdigit():
            raise ProxyRefused("its answer to CONNECT is not HTTP")
        status = int(parts[1])
        if status >= 200:  # those below are on the way
            break
    if status >= 300:
        raise ProxyRefused(f"the proxy answered {status} to CONNECT")


def _socks5(proxy: Proxy, host: str, port: int) -> _Talk:
    """RFC 1928 and 1929."""
    yield Send(b"\x05\x02\x00\x02" if proxy.username is not None else b"\x05\x01\x00")
    version, method = yield Take(2)
    if version != 5:
        raise ProxyRefused("it does not speak SOCKS5")
    if method == 2 and proxy.username is not None:
        yield Send(b"\x01" + _counted(proxy.username) + _counted(proxy.password or ""))
        _, verdict = yield Take(2)
        if verdict:
            raise ProxyRefused("the proxy does not take this user and password")
    elif method != 0:
        raise ProxyRefused("the proxy wants a user and password" if proxy.username is None else "no way to log in")
    yield Send(b"\x05\x01\x00" + _socks5_address(host) + port.to_bytes(2, "big"))
    version, code, _, kind = yield Take(4)
    if version != 5 or code:
        raise ProxyRefused(f"the proxy cannot connect: {_SOCKS5_WORDS.get(code, f'code {code}')}")
    if kind == 3:
        [size] = yield Take(1)
    elif kind in (1, 4):
        size = 4 if kind == 1 else 16
    else:
        raise ProxyRefused("its answer is not SOCKS5")
    yield Take(size + 2)


def _socks5_address(host: str) -> bytes:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return b"\x03" + _counted(host)
    return (b"\x01" if ip.version == 4 else b"\x04") + ip.packed


def _socks4(proxy: Proxy, host: str, port: int) -> _Talk:
    """SOCKS 4, and 4a for names: an impossible address, then the name."""
    name = b""
    try:
        address = ipaddress.IPv4Address(host).packed
    except ValueError:
        if ":" in host:
            raise ProxyRefused("SOCKS 4 knows no IPv6") from None
        address, name = b"\x00\x00\x00\x01", host.encode("ascii") + b"\0"
    user = (proxy.username or "").encode()
    if b"\0" in user:
        raise ProxyRefused("a user with a NUL in it")
    yield Send(b"\x04\x01" + port.to_bytes(2, "big") + address + user + b"\0" + name)
    answer = yield Take(8)
    if answer[1] != 0x5A:
        raise ProxyRefused(f"the proxy cannot connect: code {answer[1]}")


def _counted(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 255:
        raise ProxyRefused("SOCKS5 takes names, users and passwords of 255 bytes at most")
    return bytes([len(raw)]) + raw
