"""A debugger with real processes, a site in a thread, and a projectdb in memory."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crawlkit.database.base import BlobStore, ProjectStore
from crawlkit.database.memory import MemoryBlobStore, MemoryProjectStore
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import UsageError
from crawlkit.processor.settings import MIB, ProcessorSettings
from crawlkit.webui.debug.engine import Debugger
from crawlkit.webui.debug.settings import DebugSettings
from crawlkit.webui.gate import Identity

ME = Identity("me", "editor", "password")
OTHER = Identity("other", "editor", "password")


class Site:
    """Answers by path and remembers what came: (path, headers)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.hold = threading.Event()
        self.hold.set()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.requests.append((self.path, dict(self.headers)))
                if self.path.startswith("/slow"):
                    site.hold.wait(20)
                status, headers, body = site.pages.get(self.path, (404, {}, b"nothing here"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.path.startswith("/halves"):
                    self.wfile.write(body[: len(body) // 2])
                    site.hold.wait(20)
                    body = body[len(body) // 2 :]
                self.wfile.write(body)

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                site.requests.append((self.path, dict(self.headers)))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, path: str, body: str | bytes, status: int = 200, **headers: str) -> str:
        """Serves a page; returns its URL."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if isinstance(body, str) else body
        self.pages[path] = (status, {"Content-Type": "text/html; charset=utf-8", **named}, data)
        return self.url + path

    def count(self, path: str) -> int:
        return sum(1 for one, _ in self.requests if one == path)

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture(scope="session")
def projectdb() -> ProjectStore:
    return MemoryProjectStore()


@pytest.fixture(scope="session")
def blobdb() -> BlobStore:
    return MemoryBlobStore()


def unseal(project: str, name: str, sealed: str) -> str:
    """Opens what is sealed by a prefix."""
    if not sealed.startswith("sealed:"):
        raise UsageError(f"setting {name} of project {project} does not open")
    return sealed.removeprefix("sealed:")


def new_debugger(projectdb: ProjectStore, blobdb: BlobStore, **settings: Any) -> Debugger:
    """A debugger with short limits."""
    fetcher = settings.pop("fetcher", None) or FetcherSettings(timeout=20, connect_timeout=5)
    private = settings.pop("private", None)
    worker = ProcessorSettings(process_time_limit=1.0, kill_after=0.5, memory_limit=256 * MIB, max_processes=16)
    return Debugger(
        projectdb=projectdb,
        blobdb=blobdb,
        fetcher_settings=fetcher,
        clock=SystemClock(),
        settings=DebugSettings(worker=worker, **settings),
        unseal=unseal,
        private=private,
    )


@pytest.fixture(scope="session")
def debugger(projectdb: ProjectStore, blobdb: BlobStore) -> Iterator[Debugger]:
    made = new_debugger(projectdb, blobdb)
    yield made
    made.close()


HEAD = "from crawlkit.libs.base_handler import *\n\n\nclass Handler(BaseHandler):\n"


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
