"""Reads what a task or a setting says about a proxy: ``[scheme://][user:pass@]host:port`` [H48].

Pure: parses and refuses, opens nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from crawlkit.libs.errors import FetchError
from crawlkit.libs.proxy import Proxy, scheme_and_port

_FORM = re.compile(
    r"(?:(?P<scheme>[A-Za-z0-9+.-]+)://)?(?:(?P<user>[^@:/]*)(?::(?P<password>[^/]*))?@)?"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?/?\Z"
)


@lru_cache(maxsize=4096)
def parse(text: str, trusted: bool = False) -> Proxy:
    """Raises :class:`FetchError` of kind ``bad_request``; its text never shows the credentials."""
    form = _FORM.match(text.strip())
    if form is None or any(ord(letter) < 32 for letter in text):
        raise FetchError("bad_request", "proxy: use [scheme://][user:pass@]host:port")
    scheme, port = scheme_and_port(form["scheme"] or "http", int(form["port"]) if form["port"] else None)
    user = unquote(form["user"]) if form["user"] is not None else None
    password = unquote(form["password"] or "") if user is not None else None
    if any(ord(letter) < 32 for letter in (user or "") + (password or "")):
        raise FetchError("bad_request", "proxy: control characters in its credentials")
    return Proxy(scheme, form["host"], port, user, password, trusted)
