"""A browser service in the loop of a test, a site of bad pages, and a client that notes when what came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from crawlkit.browser.render import render
from crawlkit.browser.service import BrowserService
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import Job, Reply
from crawlkit.libs.clock import SystemClock

PAGES = {
    "ok": "<p id=x></p><script>document.querySelector('#x').textContent = 'made by a script'</script>",
    "spin": "<p>endless</p><script>while (true);</script>",
    "dialog": "<p></p><script>alert('a'); if (confirm('b')) document.write('<i>c' + prompt('d') + '</i>')</script>",
    "crash": "<p>to be crashed</p><script>fetch('/never')</script>",
}


class _Page(RequestHandler):
    def compute_etag(self) -> None:
        return None

    async def get(self, kind: str) -> None:
        if kind in ("hang", "never"):
            self.gone = asyncio.Event()
            await self.gone.wait()
            return
        self.set_header("Content-Type", "text/html")
        self.finish(PAGES.get(kind, PAGES["ok"]))

    def on_connection_close(self) -> None:
        if hasattr(self, "gone"):
            self.gone.set()


@asynccontextmanager
async def bad_site() -> AsyncIterator[str]:
    """Its URL, with ``/ok``, ``/hang`` (says nothing), ``/spin``, ``/dialog`` and ``/crash``."""
    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([(r"/(\w+)", _Page)]))
    server.add_sockets(sockets)
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()


async def crashing(browser: Any, job: Job, **options: Any) -> Reply:
    """Renders, and crashes the renderer of pages that ask for it, by the debugging protocol."""
    work = asyncio.ensure_future(render(browser, job, **options))
    try:
        while "/crash" in job.url and not work.done():
            for page in [page for context in browser.contexts for page in context.pages if page.url == job.url]:
                session = await page.context.new_cdp_session(page)
                asyncio.ensure_future(session.send("Page.crash")).add_done_callback(lambda task: task.exception())
                return await work
            await asyncio.sleep(0.02)
        return await work
    finally:
        work.cancel()


@dataclass
class Heard:
    """What a client heard: status, the reply (or the error's words), seconds from beginning to answer, signs."""

    status: int
    reply: Any
    took: float
    signs: bytes
    headers: str


class Running:
    """A service that runs; ``port``: where."""

    def __init__(self, service: BrowserService, port: int) -> None:
        self.service = service
        self.port = port
        self._others = {one.pid for one in psutil.Process().children(recursive=True)}  # a browser of other tests, say

    async def ask(self, url: str, *, token: str = "", body: bytes | None = None, host: str = "", **job: Any) -> Heard:
        """One job over a connection of its own."""
        data = json.dumps({"url": url, "timeout": 20, **job}).encode() if body is None else body
        return await self.request("POST", "/render", data, token=token, host=host)

    async def request(self, method: str, path: str, data: bytes = b"", *, token: str = "", host: str = "") -> Heard:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            lines = [f"{method} {path} HTTP/1.0", f"Host: {host or '127.0.0.1'}", f"Content-Length: {len(data)}",
                     "Content-Type: application/json", f"Authorization: Bearer {token}", "", ""]  # fmt: skip
            writer.write("\r\n".join(lines).encode() + data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            began, body = loop.time(), b""
            while piece := await reader.read(65536):
                if b"\n" not in body and b"\n" in piece:
                    began = loop.time()
                body += piece
        finally:
            writer.close()
        text = body.lstrip()
        signs = body[: len(body) - len(text)]
        return Heard(int(head.split()[1]), json.loads(text or b"null"), loop.time() - began, signs, head)

    def processes(self) -> list[psutil.Process]:
        """All below this process that are of the service's browsers: driver, guard, Chromium."""
        return [one for one in self.children() if is_ours(one)]

    def children(self) -> list[psutil.Process]:
        """All that were started below this process since the service was, and have not ended."""
        there = psutil.Process().children(recursive=True)
        return [one for one in there if one.pid not in self._others and _lives(one)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def is_ours(process: psutil.Process) -> bool:
    """Whether it is of a browser."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return any(word in line for word in ("chrom", "run-driver", "guard.py"))


@asynccontextmanager
async def serving(*, token: str = "", rendering: Any = crashing, **settings: Any) -> AsyncIterator[Running]:
    """A service on loopback; at the end nothing of its browsers may be left."""
    sockets = bind_sockets(0, "127.0.0.1")
    service = BrowserService(BrowserSettings(**settings), SystemClock(), sockets, render=rendering, token=token)
    running = Running(service, sockets[0].getsockname()[1])
    work = asyncio.create_task(service.run())
    try:
        yield running
    finally:
        await service.stop()
        await asyncio.wait_for(work, 20)
        left = running.processes()
        assert not left, f"left behind: {left}"
