"""``crawlkit login`` keeps an API token for ``--server URL``, ``crawlkit logout`` forgets it."""

from __future__ import annotations

import os
import sys

import click

from crawlkit.cli.base import command, say
from crawlkit.libs.errors import CrawlkitError, UsageError
from crawlkit.remote import tokens
from crawlkit.remote.client import Client, checked_url
from crawlkit.remote.opening import asked_for


@command(
    name="login",
    example="crawlkit login https://crawl.example\ncrawlkit login https://crawl.example < token.txt",
)
@click.argument("url")
def login(url: str) -> None:
    """Keep an API token for a server, in a file that only you can read.

    The token comes from CRAWLKIT_TOKEN, from the keyboard, or from the first line of what is piped in. The web UI makes
    one on your account's page, and so does crawlkit user token.
    """
    address = checked_url(url)
    token = os.environ.get(tokens.VARIABLE) or (
        asked_for(address) if sys.stdin.isatty() else sys.stdin.readline(10_000).strip()
    )
    if not token:
        raise UsageError("no token was given: nothing is kept")
    me = Client(address, token).get("/me")
    file = tokens.place(os.environ)
    tokens.keep(file, address, token)
    say(f"{address}: {me['user']}, {me['role']}; the token is kept in {file}")


@command(name="logout", example="crawlkit logout https://crawl.example")
@click.argument("url")
def logout(url: str) -> None:
    """Forget the kept API token of a server. It stays good: to end it, remove it on your account's page."""
    address = checked_url(url)
    file = tokens.place(os.environ)
    if address not in tokens.read(file):
        raise CrawlkitError(f"no token of {address} is kept in {file}")
    tokens.keep(file, address, None)
    say(f"{address}: forgotten")
