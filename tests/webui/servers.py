"""Web UIs for tests: in a thread of the test's process, or as part of a real ``crawlkit all``."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crawlkit import wiring
from crawlkit.settings import Settings
from crawlkit.webui.server import WebServer

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(http://\S+)/\?token=(\S+)")


def until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "the condition") -> Any:
    """Waits for ``condition`` and returns what it said."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.02)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Client:
    """A browser without a screen: keeps the session and sends the CSRF token."""

    url: str
    cookie: str = ""
    csrf: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, raw: bytes | None = None
    ) -> Answer:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        said = {"Accept": "application/json", **self.headers}
        if self.cookie:
            said["Cookie"] = self.cookie
        if self.csrf and method not in ("GET", "HEAD", "OPTIONS"):
            said["X-CSRF-Token"] = self.csrf
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            said["Content-Type"] = "application/json"
        try:
            connection.request(method, parts.path + path, data, {**said, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of an operation of /api/v1; it must be a good one."""
        answer = self.request(method, f"/api/v1{path}", body)
        assert answer.status < 300, (method, path, answer.status, answer.text)
        return answer.json if answer.body else None

    def enter(self, token: str) -> Client:
        """Opens the link that was printed."""
        answer = self.request("GET", f"/?token={token}", headers={"Accept": "text/html"})
        assert answer.status == 303, (answer.status, answer.text)
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        page = self.request("GET", "/", headers={"Accept": "text/html"})
        found = re.search(r'<meta name="csrf" content="([^"]+)"', page.text)
        assert found is not None, page.text[:500]
        self.csrf = found[1]
        return self


@dataclass
class Running:
    """A web UI that answers."""

    url: str
    data_path: Path
    server: WebServer | None = None  # when it runs in this process
    process: subprocess.Popen[str] | None = None

    @property
    def token(self) -> str:
        """Of a new login link: each lets in once."""
        settings = Settings(data_path=self.data_path)
        with wiring.open_stores(settings, ()) as stores:
            accounts = wiring.accounts(settings, stores)
            admins = [row.name for row in accounts.store.users() if row.role == "admin"]
            return accounts.new_link(next(iter(admins), ""))

    @property
    def link(self) -> str:
        return f"{self.url}/?token={self.token}"

    def client(self) -> Client:
        """A client that is signed in."""
        return Client(self.url).enter(self.token)


@contextmanager
def in_thread(data_path: Path, **options: Any) -> Iterator[Running]:
    """A web UI on the stores of a data path, without a scheduler; its objects can be reached."""
    settings = Settings(data_path=data_path)
    started = threading.Event()
    found: dict[str, Any] = {}

    def serve() -> None:
        async def main() -> None:
            try:
                server = found["server"] = wiring.build_webui(stores, settings, **options)
                server.listen()
                found["loop"] = asyncio.get_running_loop()
            finally:
                started.set()
            await server.run()

        asyncio.run(main())

    with wiring.open_stores(settings, create=True) as stores:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert started.wait(20)
        server: WebServer = found["server"]
        try:
            yield Running(server.url, data_path, server)
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), found["loop"]).result(20)
            thread.join(20)


@contextmanager
def everything(data_path: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    """A real ``crawlkit all`` on a data path, web UI included; stopped with all its processes at the end."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
    # its sites are on loopback, and there may be users
    variables |= {"CRAWLKIT_WEBUI_PORT": "0", "CRAWLKIT_FETCHER_ALLOW_PRIVATE": "true", **(env or {})}
    command = [sys.executable, str(ROOT / "run.py"), "--data-path", str(data_path), "all", *options]
    log = data_path.parent / f"{data_path.name}.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            stderr=stream,
            stdout=stream,
            text=True,
            env={**variables, "CRAWLKIT_WEBUI_PORT": "0", **(env or {})},
        )
    try:

        def ready() -> re.Match[str] | None:
            assert process.poll() is None, log.read_text()
            text = log.read_text()
            return LINK.search(text) if "ready:" in text else None

        link = until(ready, 60, "the link of the web UI")
        yield Running(link[1], data_path, process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()
