"""The cookie jar of a named session as it travels in messages: lines in, lines out, bounded.

Pure. Which cookie a server may set and gets back is libcurl's to decide (public suffixes, domains, paths, secure);
here jars are read, checked, joined and cut.

A line has the fields of the Netscape cookie file, parted by tabs: domain (``#HttpOnly_`` before it, a dot when
subdomains match), TRUE or FALSE for subdomains, path, TRUE or FALSE for secure, expiry (Unix time, 0: none), name,
value. Bytes are carried as Latin-1, so whatever a server set comes back unchanged. Lines that begin with :data:`OURS`
are none of cookies: :mod:`browser_jar` writes them, and here they are only kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from crawlkit.fetcher.url import Url

MAX_COOKIES = 200
MAX_LINE = 4096  # bytes
HTTP_ONLY = "#HttpOnly_"
OURS = "#crawlkit-"
_BOOL = {"TRUE": True, "FALSE": False}
_BAD = re.compile(r"[^\x20-\x7e\x80-\xff]")  # controls, and what is not a byte


class Cookie(NamedTuple):
    """``host`` without a dot before it."""

    host: str
    subdomains: bool
    path: str
    secure: bool
    expires: int
    name: str
    value: str
    http_only: bool = False

    def reaches(self, host: str) -> bool:
        """Whether a server of this name (as in a URL) may see it, paths and secrecy aside."""
        host = host.strip("[]").lower()
        mine = self.host.lower()
        return host == mine or (self.subdomains and host.endswith("." + mine))


def read(line: str) -> Cookie | None:
    """``None`` for what is not a cookie's line: libcurl would take some of those for commands."""
    fields = line.split("\t")
    if len(fields) != 7 or len(line) > MAX_LINE or any(map(_BAD.search, fields)):
        return None
    domain, subdomains, path, secure, expires, name, value = fields
    http_only = domain.startswith(HTTP_ONLY)
    host = domain.removeprefix(HTTP_ONLY).removeprefix(".")
    if not host or host[0] == "#" or not path.startswith("/") or not name:
        return None
    if subdomains not in _BOOL or secure not in _BOOL or not (expires.isascii() and expires.isdigit()):
        return None
    return Cookie(host, _BOOL[subdomains], path, _BOOL[secure], int(expires), name, value, http_only)


def write(cookie: Cookie) -> str:
    """The line of a cookie, as libcurl writes it."""
    domain = (HTTP_ONLY if cookie.http_only else "") + ("." if cookie.subdomains else "") + cookie.host
    flags = [str(flag).upper() for flag in (cookie.subdomains, cookie.secure)]
    return "\t".join([domain, flags[0], cookie.path, flags[1], str(cookie.expires), cookie.name, cookie.value])


def clean(lines: Iterable[str], now: float) -> list[str]:
    """The lines that are cookies and not expired at ``now`` (Unix time), the last :data:`MAX_COOKIES`; and ours."""
    lines = list(lines)
    kept = [line for line in lines if (cookie := read(line)) is not None and not 0 < cookie.expires <= now]
    return kept[-MAX_COOKIES:] + ours(lines)


def ours(lines: Iterable[str]) -> list[str]:
    """Those that are none of libcurl's business."""
    return [line for line in lines if line.startswith(OURS)]


def for_curl(lines: Iterable[str]) -> list[str]:
    """Those that are cookies."""
    return [line for line in lines if not line.startswith(OURS)]


def join(lines: list[str], cookies: Mapping[str, str], url: Url) -> tuple[list[str], dict[str, str]]:
    """A jar with these cookies in it, for the host of ``url`` alone, and those that no jar can hold.

    They take the place of all cookies of their name that this host could see.
    """
    host = url.host.strip("[]")
    added, left = [], {}
    for name, value in cookies.items():
        wire_name, wire_value = name.encode().decode("latin-1"), value.encode().decode("latin-1")
        line = write(Cookie(host, False, "/", url.scheme == "https", 0, wire_name, wire_value))
        if read(line) is None:
            left[name] = value
        else:
            added.append((wire_name, line))
    names = {name for name, _ in added}
    kept = [line for line in lines if not _is_replaced(line, names, host)]
    return [*kept, *(line for _, line in added)], left


def _is_replaced(line: str, names: Collection[str], host: str) -> bool:
    cookie = read(line)
    return cookie is not None and cookie.name in names and cookie.reaches(host)


def settle(before: Iterable[str], after: Iterable[str], now: float) -> list[str]:
    """``after`` in a lasting order: what was there ``before`` and is unchanged first, what is new behind it.

    So an unchanged jar stays equal, and where there are too many it is the longest unchanged that go.
    """
    new = dict.fromkeys(after)
    old = [line for line in before if line in new]
    for line in old:
        new.pop(line, None)
    return clean([*old, *new], now)


def values(lines: Iterable[str], hosts: Collection[str] | None = None) -> dict[str, str]:
    """Name and value of all cookies, or of those that one of ``hosts`` could see."""
    found = {}
    for line in lines:
        cookie = read(line)
        if cookie is not None and (hosts is None or any(map(cookie.reaches, hosts))):
            found[_text(cookie.name)] = _text(cookie.value)
    return found


def sent_to(lines: Iterable[str], url: Url) -> dict[str, str]:
    """The cookies that a request for ``url`` carries (RFC 6265, 5.4), for those who send by other ways than libcurl."""
    path = "/" + url.wire.partition("?")[0].split("/", 3)[3]
    found = {}
    for line in lines:
        cookie = read(line)
        if cookie is None or not cookie.reaches(url.host) or (cookie.secure and url.scheme != "https"):
            continue
        below = cookie.path if cookie.path.endswith("/") else cookie.path + "/"
        if path == cookie.path or path.startswith(below):
            found[_text(cookie.name)] = _text(cookie.value)
    return found


def _text(wire: str) -> str:
    return wire.encode("latin-1", "replace").decode("utf-8", "replace")
