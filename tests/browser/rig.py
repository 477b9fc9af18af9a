"""A real Chromium and a site of made pages, both in a thread of their own; tests ask them from outside."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Playwright, async_playwright
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from crawlkit.browser import chromium
from crawlkit.browser.relay import Door
from crawlkit.browser.render import render
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import Job, Reply

Answer = Callable[["Asked"], Awaitable[None] | None]


class Asked(RequestHandler):
    """One request to the site."""

    def initialize(self, site: Site) -> None:
        self.site = site

    def compute_etag(self) -> None:
        return None

    def log_exception(self, *_: Any) -> None:
        """A browser that goes away in the middle is the point of many tests."""

    async def prepare(self) -> None:
        self.set_status(404)
        self.site.asked.append(self)
        page = self.site.pages.get(self.request.path)
        if page is not None:
            self.set_status(200)
            done = page(self)
            if done is not None:
                await done
        if not self._finished:
            await self.finish()


@dataclass
class Site:
    """Pages by path; ``asked``: every request that came."""

    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def page(self, path: str, body: str | bytes, status: int = 200, **headers: str) -> str:
        """A page that is always the same; its URL."""

        def answer(asked: Asked) -> None:
            asked.set_status(status)
            for name, value in headers.items():
                asked.set_header(name.replace("_", "-"), value)
            asked.write(body)

        self.pages[path] = answer
        return self.url(path)

    def on(self, path: str, answer: Answer) -> str:
        self.pages[path] = answer
        return self.url(path)

    def paths(self) -> list[str]:
        return [asked.request.path for asked in self.asked]

    def headers(self, path: str) -> list[dict[str, str]]:
        """The headers of each request for ``path``."""
        return [dict(asked.request.headers) for asked in self.asked if asked.request.path == path]


class Rig:
    """``settings`` are those of every render, unless a test says otherwise."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.site = Site()
        self.settings = BrowserSettings()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chromium", daemon=True)
        self._thread.start()
        self.run(self._start())

    async def _start(self) -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        self.site.port = sockets[0].getsockname()[1]
        self._server = HTTPServer(Application([("/.*", Asked, {"site": self.site})]), max_body_size=2**30)
        self._server.add_sockets(sockets)
        self._playwright: Playwright = await async_playwright().start()
        self.browser: Browser = await self.launch()

    async def launch(self) -> Browser:
        arguments = [*chromium.ARGUMENTS, *([] if chromium.sandboxed(None) else ["--no-sandbox"])]
        return await self._playwright.chromium.launch(
            executable_path=chromium.find(), args=arguments, ignore_default_args=[*chromium.NOT_PLAYWRIGHT_S]
        )

    def run(self, work: Coroutine[Any, Any, Any], within: float = 60) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def render(
        self, url: str, *, settings: dict[str, Any] | None = None, relay: Door | None = None, **job: Any
    ) -> Reply:
        return self.run(self.arender(url, settings=settings, relay=relay, **job))

    async def arender(
        self, url: str, *, settings: dict[str, Any] | None = None, relay: Door | None = None, **job: Any
    ) -> Reply:
        bounds = replace(self.settings, **(settings or {}))
        wanted = Job(url=url, **{"timeout": 20, **job})
        return await render(self.browser, wanted, settings=bounds, relay=relay, spool=self.spool, now=time.monotonic)

    def contexts(self) -> int:
        return len(self.browser.contexts)

    def close(self) -> None:
        async def end() -> None:
            self._server.stop()
            await self.browser.close()
            await self._playwright.stop()

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        shutil.rmtree(self.spool, ignore_errors=True)
