"""Reads what a task or a setting says about a proxy: ``[scheme://][user:pass@]host:port`` [H48].

Pure: parses and refuses, opens nothing. Credentials are kept apart from the address so that they never get into a URL.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from crawlkit.libs.errors import FetchError

PORTS = {"http": 8080, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_FORM = re.compile(
    r"(?:(?P<scheme>[A-Za-z0-9+.-]+)://)?(?:(?P<user>[^@:/]*)(?::(?P<password>[^/]*))?@)?"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?/?\Z"
)


class Proxy(NamedTuple):
    """``trusted``: named by the operator's settings, so it may have a private address."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None
    trusted: bool = False

    @property
    def address(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://{self.host}:{self.port}"


@lru_cache(maxsize=4096)
def parse(text: str, trusted: bool = False) -> Proxy:
    """Raises :class:`FetchError` of kind ``bad_request``; its text never shows the credentials."""
    form = _FORM.match(text.strip())
    if form is None or any(ord(letter) < 32 for letter in text):
        raise FetchError("bad_request", "proxy: use [scheme://][user:pass@]host:port")
    scheme = (form["scheme"] or "http").lower()
    if scheme not in PORTS:
        raise FetchError("bad_request", f"proxy: unknown scheme {scheme!r}, known are {', '.join(sorted(PORTS))}")
    port = int(form["port"]) if form["port"] else PORTS[scheme]
    if not 0 < port < 65536:
        raise FetchError("bad_request", f"proxy: no such port: {port}")
    user = unquote(form["user"]) if form["user"] is not None else None
    password = unquote(form["password"] or "") if user is not None else None
    if any(ord(letter) < 32 for letter in (user or "") + (password or "")):
        raise FetchError("bad_request", "proxy: control characters in its credentials")
    return Proxy(scheme, form["host"], port, user, password, trusted)
