"""The browser service: jobs come as JSON over HTTP, wait in line, are rendered, and go back as replies [F30, F31].

A job is dangerous, for it fetches anything: every request shows the token, or the service is on loopback and has none.
While a job waits the answer is spaces, from its beginning on line breaks, one each :data:`BEAT` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import re
import socket
from pathlib import Path
from typing import Any

import msgspec
import tornado.web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from crawlkit import __version__
from crawlkit.browser import chromium
from crawlkit.browser.line import Line, LineFull
from crawlkit.browser.pool import Pool, Renders, failure
from crawlkit.browser.processes import own_memory
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import BEAT, BEGUN, SERVER, WAITING, Job, Reply, encode
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError
from crawlkit.listening import Doorway

log = logging.getLogger("crawlkit.browser")

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
RETRY_AFTER = 2  # seconds for who found the line full
PIECE = 256 * 1024  # bytes of a file at a time
SWEEP = 30.0  # seconds between looks for files that nobody came for
BODY_WITHIN = 60.0
IDLE = 300.0
LAST_WORDS = 2.0  # seconds for answers that are on their way when this ends


class BrowserService:
    """Listens on ``sockets``. ``token``: what clients show, "" for none; ``names``: the hosts it is asked by, None:
    any."""

    def __init__(
        self,
        settings: BrowserSettings,
        clock: Clock,
        sockets: list[socket.socket],
        *,
        render: Renders,
        token: str = "",
        rest: float | None = None,
    ) -> None:
        """``rest``: seconds without a job after which :meth:`run` ends; None: never."""
        self.settings = settings
        self.pool = Pool(settings, clock, render)
        self.line = Line(settings.poolsize, settings.max_waiting)
        self.refused = 0
        self._clock = clock
        self._sockets = sockets
        self._rest = rest
        self._stopping = asyncio.Event()
        self._latest = clock.monotonic()
        self.answering: set[asyncio.Future[Any]] = set()  # handlers that have a job
        context = {"service": self, "token": token, "names": None if token else LOOPBACK_NAMES}
        routes = [
            (r"/(?:render)?/?", _Render, context),
            (r"/files/([A-Za-z0-9_-]{8,64})", _File, context),
        ]
        application = tornado.web.Application(routes, log_function=lambda handler: None)
        self.doorway = Doorway(
            application,
            max_header_size=64 * 2**10,
            max_body_size=settings.max_job,
            max_buffer_size=settings.max_job + 2**20,
            body_timeout=BODY_WITHIN,
            idle_connection_timeout=IDLE,
        )

    async def run(self) -> None:
        """Until :meth:`stop`."""
        self.doorway.add_sockets(self._sockets)
        try:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP):
                        await self._stopping.wait()
                await asyncio.to_thread(self._sweep)
                if self._rest is not None and self._rests():
                    log.info("nothing to do: this process ends, and is started again when it is needed")
                    break
        finally:
            self.doorway.stop()
            self._stopping.set()
            await self.pool.close()
            await self._last_words()

    async def stop(self) -> None:
        """Takes nothing more and ends; jobs on their way are answered ``crashed``."""
        self._stopping.set()

    async def _last_words(self) -> None:
        """Until every job has its answer, or nobody takes it: no handler is left to be cut off with the loop."""
        if self.answering:
            await asyncio.wait(self.answering, timeout=LAST_WORDS)
        await self.doorway.close_all_connections()
        if self.answering:
            await asyncio.wait(self.answering, timeout=LAST_WORDS)

    def _rests(self) -> bool:
        busy = self.line.taken or self.line.waiting
        return not busy and self._clock.monotonic() - self._latest > (self._rest or 0.0)

    async def work(self, job: Job, begun: asyncio.Event) -> Reply:
        """The answer to a job. ``begun`` is set when its time begins to run. Raises :class:`LineFull`."""
        job.timeout = min(job.timeout or self.settings.max_timeout, self.settings.max_timeout)
        job.allow_private = job.allow_private and self.settings.allow_private
        await self.line.take()
        try:
            if not chromium.has_extra():
                raise FetchError("no_browser", chromium.NO_EXTRA, 501)
            return await self._by_relay(job, begun)
        except FetchError as error:
            return failure(job, error.kind, str(error), status=error.status_code)
        finally:
            self.line.leave()
            self._latest = self._clock.monotonic()

    async def _by_relay(self, job: Job, begun: asyncio.Event) -> Reply:
        """With a way to the network of its own, on which everything is judged and counted."""
        from crawlkit.browser import relay

        async with relay.of_job(job, self.settings) as door:
            reply = await self.pool.run(job, begun.set, door)
        reply.counts = {"bytes": door.bytes, "refused": door.refusals, **reply.counts}
        return reply

    def state(self) -> dict[str, Any]:
        """What ``GET /`` tells."""
        try:
            found, trouble = chromium.find(self.settings.chromium), None
        except FetchError as error:
            found, trouble = None, str(error)
        return {
            "service": SERVER,
            "crawlkit": __version__,
            "pid": os.getpid(),
            "chromium": found,
            "trouble": trouble,
            "poolsize": self.line.places,
            "running": self.line.taken,
            "waiting": self.line.waiting,
            "refused": self.refused,
            **self.pool.state(),
        }

    def file(self, name: str) -> Path | None:
        """A downloaded file that is there."""
        folder = self.pool.files()
        path = folder / name if folder is not None else None
        return path if path is not None and path.is_file() else None

    def _sweep(self) -> None:
        """Removes files that nobody came for."""
        folder = self.pool.files()
        if folder is None:
            return
        oldest = self._clock.time() - self.settings.keep_files
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


class _Door(tornado.web.RequestHandler):
    """The token, before anything is read of a body."""

    def initialize(self, service: BrowserService, token: str, names: frozenset[str] | None) -> None:
        self.service = service
        self.token = token
        self.names = names

    def set_default_headers(self) -> None:
        self.set_header("Server", f"{SERVER}/{__version__}")

    def prepare(self) -> None:
        host = self.request.host
        host = host if host.endswith("]") else re.sub(r":\d+\Z", "", host)
        given = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.names is not None and host not in self.names:  # a page of somebody's browser may lead here
            self.refuse(403, f"this service is for this machine only: {host[:100]!r} is no name of it")
        elif self.names is not None and self.request.headers.get("Origin"):
            self.refuse(403, "this service is not for web pages")
        elif self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            self.refuse(401, "wrong token: give service and fetchers the same CRAWLKIT_SECRET_KEY, or"
                             " CRAWLKIT_BROWSER_TOKEN")  # fmt: skip
        elif isinstance(self.request.connection, HTTP1Connection):
            self.service.doorway.welcome(self.request.connection.stream)

    def refuse(self, status: int, words: str) -> None:
        self.set_status(status)
        self.say({"error": words})

    def say(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))


@tornado.web.stream_request_body
class _Render(_Door):
    """Jobs. A body is kept only when it is let in: what strangers send goes by piece after piece."""

    def initialize(self, service: BrowserService, token: str, names: frozenset[str] | None) -> None:
        super().initialize(service, token, names)
        self.sent = bytearray()

    def data_received(self, chunk: bytes) -> None:
        self.sent += chunk

    async def get(self) -> None:
        state = self.service.state()
        state["process_memory"] = await asyncio.to_thread(own_memory)
        self.say(state)

    async def post(self) -> None:
        try:
            job = msgspec.json.decode(self.sent, type=Job)
            if job.timeout < 0 or job.timeout != job.timeout:
                raise ValueError("timeout: use a number of seconds")
        except (ValueError, RecursionError) as error:
            return self.refuse(400, f"this is no job: {error}")
        self.sent = bytearray()
        try:
            self.service.line.check()
        except LineFull as error:
            self.service.refused += 1
            self.set_header("Retry-After", str(RETRY_AFTER))
            return self.refuse(503, f"too many jobs: {error}")
        begun = asyncio.Event()
        self.work = asyncio.ensure_future(self.service.work(job, begun))
        self.set_header("Content-Type", "application/json")
        handler = asyncio.current_task()
        assert handler is not None
        self.service.answering.add(handler)
        try:
            await self._beat(begun)
            if self.work.cancelled():  # the client hung up: there is nobody to be answered
                self._auto_finish = False
            else:
                self.finish(encode(self.work.result()))
        except StreamClosedError:
            self.on_connection_close()
        finally:
            self.service.answering.discard(handler)
        return None

    async def _beat(self, begun: asyncio.Event) -> None:
        """Lets the client know that the service lives, and since when its page is worked on."""
        self.write(WAITING)  # at once: should this process be killed now, the client knows that nothing had begun
        await self.flush()
        beginning = asyncio.ensure_future(begun.wait())
        try:
            while not self.work.done():
                waiting = {self.work} if beginning.done() else {self.work, beginning}
                done, _ = await asyncio.wait(waiting, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
                if not self.work.done() and (beginning in done or not done):
                    self.write(BEGUN if beginning.done() else WAITING)
                    await self.flush()
        finally:
            beginning.cancel()

    def on_connection_close(self) -> None:
        """A client that hangs up takes its job away."""
        super().on_connection_close()  # it may do so before its job is here
        work = getattr(self, "work", None)
        if work is not None:
            work.cancel()


class _File(_Door):
    async def get(self, name: str) -> None:
        path = self.service.file(name)
        if path is None:
            return self.refuse(404, "there is no such file, or nobody came for it in time")
        self.set_header("Content-Type", "application/octet-stream")
        with open(path, "rb") as file:  # noqa: ASYNC230 - of a local disk, piece by piece
            self.set_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            try:
                while piece := file.read(PIECE):
                    self.write(piece)
                    await self.flush()
            except StreamClosedError:  # it stays, for who comes again
                return None
        path.unlink(missing_ok=True)
        return None

    async def delete(self, name: str) -> None:
        path = self.service.file(name)
        if path is not None:
            path.unlink(missing_ok=True)
        self.set_status(204)
        self.finish()
