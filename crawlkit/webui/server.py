"""The HTTP server: the gate first, then Tornado's own handlers for what is pushed or streamed, and Flask for the rest.

Flask runs in threads, so that a slow request of one user never keeps another waiting.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tornado.netutil
import tornado.web
import tornado.wsgi
from tornado.httputil import HTTPServerRequest

from crawlkit.libs.errors import UsageError
from crawlkit.listening import SteadyServer
from crawlkit.webui.api import rooms
from crawlkit.webui.api.registry import PREFIX, pattern_of
from crawlkit.webui.app import create_app
from crawlkit.webui.dav_door import DavDoor
from crawlkit.webui.flask_door import FlaskDoor
from crawlkit.webui.gated import MAX_BODY, PREFIXES, Gated
from crawlkit.webui.gatekeeper import Gatekeeper
from crawlkit.webui.hosts import EVERYWHERE
from crawlkit.webui.live import LiveHub
from crawlkit.webui.live_door import LiveDoor
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services
from crawlkit.webui.static_door import StaticDoor
from crawlkit.webui.stream_door import StreamDoor

MAX_HEADERS = 64 * 2**10
BODY_WITHIN = 30.0  # seconds
IDLE = 75.0  # seconds until a kept connection is closed
THREADS = 24
LOOKS = 8  # states of live views that are taken at once
STREAMS = 24  # downloads and previews at once
NEXT_PORTS = 20  # ports tried behind the usual one


class WebServer:
    """Serves the web UI. ``tls``: it speaks HTTPS itself."""

    def __init__(
        self,
        services: Services,
        gatekeeper: Gatekeeper,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.services = services
        self.gatekeeper = gatekeeper
        self.host = host
        self.port = port
        self.scheme = "http" if tls is None else "https"
        self.threads = ThreadPoolExecutor(THREADS, "webui")
        self.stream_threads = ThreadPoolExecutor(STREAMS, "stream")
        self.live_threads = ThreadPoolExecutor(LOOKS, "live")  # of their own: others are answered meanwhile
        self.hub = LiveHub(services, self.live_threads)
        self.watching: Counter[str] = Counter()  # user -> live views that are open
        self.wsgi = tornado.wsgi.WSGIContainer(create_app(services), self.threads)
        self._server = SteadyServer(
            _Application(self, self._routes()),
            ssl_options=tls,
            max_body_size=MAX_BODY,
            max_header_size=MAX_HEADERS,
            body_timeout=BODY_WITHIN,
            idle_connection_timeout=IDLE,
        )
        self.stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    def _routes(self) -> list[Any]:
        shared = {"server": self}
        routes: list[Any] = [(r"/static/(.*)", StaticDoor, shared)]
        for room in rooms():
            routes += [(rf"{PREFIX}/live/{live.topic}", LiveDoor, {**shared, "live": live}) for live in room.lives]
            routes += [
                (rf"{PREFIX}{pattern_of(one.path).pattern}", StreamDoor, {**shared, "endpoint": one})
                for one in room.streams
            ]
        return [*routes, (r"/dav(?:/.*)?", DavDoor, shared), (r"/.*", FlaskDoor, shared), (r".*", _Elsewhere, shared)]

    def listen(self, *, any_port: bool = False) -> None:
        """Binds. ``any_port``: nobody asked for this one, so one of the next will do when it is taken."""
        candidates = [*range(self.port, self.port + NEXT_PORTS), 0] if any_port and self.port else [self.port]
        for port in candidates:
            try:
                sockets = tornado.netutil.bind_sockets(port, self.host)
            except OSError as error:
                problem = error
                continue
            self.port = sockets[0].getsockname()[1]
            self._server.add_sockets(sockets)
            return
        raise UsageError(f"web UI: cannot listen on {self.host}:{self.port}: {problem.strerror}; say another --port")

    @property
    def url(self) -> str:
        name = "127.0.0.1" if self.host in EVERYWHERE else self.host
        name = f"[{name}]" if ":" in name else name
        return f"{self.scheme}://{name}:{self.port}{self.gatekeeper.prefix}"

    async def run(self) -> None:
        """Until :meth:`stop`."""
        queues = self.services.extra.get("queues")
        if queues is not None:
            queues.start()
        await self._stopped.wait()

    async def stop(self) -> None:
        """Ends live views and connections."""
        self.stopping.set()
        self._server.stop()
        await self._server.close_all_connections()
        debugger = self.services.extra.get("debugger")
        if debugger is not None:
            await asyncio.to_thread(debugger.close)
        queues = self.services.extra.get("queues")
        if queues is not None:
            await asyncio.to_thread(queues.close)
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.live_threads.shutdown(wait=False, cancel_futures=True)
        self.stream_threads.shutdown(wait=False, cancel_futures=True)
        self._stopped.set()


def _no_log(handler: tornado.web.RequestHandler) -> None:
    return None


class _Application(tornado.web.Application):
    """Takes the prefix under which clients see this server off the paths of requests, before they are routed."""

    def __init__(self, server: WebServer, routes: list[Any]) -> None:
        super().__init__(routes, log_function=_no_log)
        self._server = server

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        said = request.headers.get("X-Forwarded-Prefix", "")
        prefix = self._server.gatekeeper.prefix_for(request.remote_ip or "", said)
        if prefix and (request.path == prefix or request.path.startswith(f"{prefix}/")):
            request.path = request.path.removeprefix(prefix) or "/"
        elif prefix and not said:  # a proxy that takes the prefix off says what it was
            request.path = ""
        PREFIXES[request] = prefix
        return super().find_handler(request, **kwargs)


class _Elsewhere(Gated):
    """Outside of the prefix there is nothing."""

    async def prepare(self) -> None:
        self.refuse(Problem(404, "Not found", f"the web UI is at {self.prefix}/"))
