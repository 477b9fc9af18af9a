"""Builds the browser service, and says where fetchers find it and what they show there."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from crawlkit.libs.errors import FetchError, UsageError
from crawlkit.settings import Settings
from crawlkit.wiring.process import clock, token_of

if TYPE_CHECKING:
    from crawlkit.browser.service import BrowserService
    from crawlkit.browser.settings import BrowserSettings

TOKEN = "CRAWLKIT_BROWSER_TOKEN"
REST = 600.0  # seconds without a job after which a service that is started on demand ends
MIB = 2**20


def browser_token(settings: Settings) -> str:
    """The token by the environment, else made of the secret key; "" without both."""
    return token_of(settings, TOKEN, "browser")


def browser_endpoint(settings: Settings, options: Mapping[str, Any]) -> tuple[str | None, str]:
    """Where a fetcher finds the browser service, and the token; pyspider's names for it are the older ones [C11, C12].

    ``options``: those of ``crawlkit fetcher``. A token in the URL (``http://:TOKEN@host:22222``) goes before others.
    """
    said = (
        options.get("browser_endpoint")
        or options.get("puppeteer_endpoint")
        or options.get("phantomjs_endpoint")
        or settings.puppeteer_proxy
        or settings.phantomjs_proxy
    )
    if not said:
        return None, ""
    parts = urlsplit(said if "://" in said else f"http://{said}")
    token = parts.password or parts.username
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))
    return url, token or browser_token(settings)


def browser_settings(options: Mapping[str, Any]) -> BrowserSettings:
    """The settings that the options of ``crawlkit browser`` stand for."""
    from crawlkit.browser.pool import default_poolsize
    from crawlkit.browser.settings import BrowserSettings

    names = ("chromium", "sandbox", "max_waiting", "recycle_pages", "recycle_age", "idle", "allow_private")
    values = {name: options[name] for name in names if options.get(name) is not None}
    for name in ("recycle_memory", "page_memory", "max_load"):
        if options.get(name) is not None:
            values[name] = options[name] * MIB
    return BrowserSettings(poolsize=options.get("poolsize") or default_poolsize(), **values)


def check_door(host: str, token: str) -> None:
    """Raises :class:`UsageError` for a service that would let anybody on the network fetch anything."""
    if not token and not _is_loopback(host):
        raise UsageError(
            f"browser --host {host}: others could make it fetch anything: give it the secret key of the fetchers"
            f" (CRAWLKIT_SECRET_KEY), or a token ({TOKEN}) that they have too"
        )


def check_chromium(options: Mapping[str, Any]) -> None:
    """Raises :class:`UsageError` where no page could be rendered: no Playwright, or no Chromium."""
    from crawlkit.browser import chromium

    try:
        chromium.find(options.get("chromium"))
    except FetchError as error:
        raise UsageError(f"browser: {error}") from None


def listen(host: str, port: int, *, any_port: bool = False) -> list[socket.socket]:
    """Sockets that listen. ``any_port``: nobody asked for this one, so another will do when it is taken.

    Raises :class:`UsageError`.
    """
    import tornado.netutil

    try:
        return tornado.netutil.bind_sockets(port, host)
    except OSError as error:
        if any_port:
            return listen(host, 0)
        raise UsageError(
            f"browser: cannot listen on {host}:{port}: {error.strerror}; say another --port (0: any free one)"
        ) from None


def build_browser(
    options: Mapping[str, Any], sockets: Sequence[socket.socket], *, token: str, on_demand: bool = False
) -> BrowserService:
    """The browser service, with more files allowed to this process. ``options``: those of ``crawlkit browser``."""
    from crawlkit.browser.render import render
    from crawlkit.browser.service import BrowserService
    from crawlkit.listening import allow_open_files

    allow_open_files()
    return BrowserService(
        browser_settings(options), clock(), list(sockets), render=render, token=token, rest=REST if on_demand else None
    )


@contextlib.asynccontextmanager
async def own_browser(options: Mapping[str, Any] | None = None) -> AsyncIterator[tuple[str, str]]:
    """A browser service in this process for a single page or a few: its endpoint and token.

    ``options``: those of ``crawlkit browser``, of which the pool's size does not hold.
    """
    token = secrets.token_hex(24)
    [door] = listen("127.0.0.1", 0)
    service = build_browser({**(options or {}), "poolsize": 1}, [door], token=token)
    running = asyncio.create_task(service.run())
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}/", token
    finally:
        await service.stop()
        await running


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
