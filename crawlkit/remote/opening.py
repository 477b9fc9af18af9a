"""A client for a server by its URL, with the token that is kept or typed."""

from __future__ import annotations

import getpass
import os
import sys

from crawlkit.libs.errors import UsageError
from crawlkit.remote import tokens
from crawlkit.remote.client import Client, checked_url

_typed: dict[str, str] = {}  # in this process, so that one command asks once


def client_of(server: str) -> Client:
    """A client with its token. Asks for that on a terminal when there is none.

    Raises :class:`UsageError` for an URL that is none, and when there is nobody to ask.
    """
    url = checked_url(server)
    token = tokens.token_for(url, os.environ) or _typed.get(url)
    if token is None:
        token = _typed[url] = asked_for(url)
    return Client(url, token)


def asked_for(url: str) -> str:
    """The token, typed unseen."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{url} wants an API token: set {tokens.VARIABLE}, or keep one by `crawlkit login {url}`; the web UI's page"
            " of your account makes one"
        )
    return getpass.getpass(f"API token for {url}: ", sys.stderr).strip()
