"""A tiny web site in a thread, which remembers what was asked of it; and the command line as a process."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests import forked

ROOT = Path(__file__).parents[2]
PAGES = 12


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # a fetcher that comes back opens all its connections at once

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed resets its connections: nothing to tell."""


class Site:
    """``/`` links to ``/page/0`` ... ``/page/11``; ``/status/N`` answers N, ``/once`` fails once, ``/slow`` waits."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, str]] = []
        self.agents: set[str] = set()
        self.release = threading.Event()  # ends /slow
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.agents.add(self.headers.get("User-Agent", ""))
                status, body = site.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.requests.append((time.monotonic(), path))
        if path.startswith("/status/"):
            return int(path.rpartition("/")[2]), b"no"
        if path == "/once" and self.count()["/once"] == 1:
            return 500, b"not yet"
        if path == "/slow":
            self.release.wait(30)
        if path == "/":
            return 200, "".join(f'<a href="/page/{n}">{n}</a>' for n in range(PAGES)).encode()
        return 200, f"<title>{path}</title>".encode()

    def count(self) -> Counter[str]:
        return Counter(path for _, path in self.requests)

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
    return {**kept, **(extra or {})}


def crawlkit(*line: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60) -> Any:
    """A command that ends by itself."""
    said = environment(env)
    if forked.fits(line, said):
        return forked.run(line, cwd, said, timeout)
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *line], cwd=cwd, env=said, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


@contextlib.contextmanager
def started(*line: str, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile; its output is in said.txt."""
    with (cwd / "said.txt").open("a") as said:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *line], cwd=cwd, env=environment(env), stdin=subprocess.DEVNULL,
            stdout=said, stderr=said, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def until(condition: Callable[[], Any], what: str, timeout: float = 20) -> None:
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def script(folder: Path, body: str, name: str = "job", head: str = "") -> Path:
    """A handler script whose on_start is ``body``; its page callback returns the title and follows links."""
    path = folder / f"{name}.py"
    path.write_text(
        f"{head}from crawlkit import BaseHandler\nimport time\n\n\nclass Handler(BaseHandler):\n"
        "    def on_start(self):\n" + "".join(f"        {line}\n" for line in body.splitlines()) + "\n"
        "    def page(self, response):\n"
        "        for link in response.doc('a').items():\n"
        "            self.crawl(link.attr.href, callback=self.page)\n"
        "        return {'title': response.doc('title').text()}\n\n"
        "    def broken(self, response):\n"
        "        print('about to fail')\n"
        "        raise ValueError('no such thing')\n"
    )
    return path
