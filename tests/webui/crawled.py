"""A site whose pages a test writes, and the debugger's pages fetched from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.webui.servers import Client

SCRIPT = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def page(self, response):
        return {"length": len(response.content)}
"""


class Site:
    """Answers by path; remembers what it was asked, and with which cookies."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def put(self, path: str, body: str | bytes, content_type: str = "text/html; charset=utf-8") -> str:
        """Has a page at ``path``; returns its URL."""
        self.pages[path] = (content_type, body.encode() if isinstance(body, str) else body)
        return self.url + path


@contextmanager
def site() -> Iterator[Site]:
    """A site on loopback."""
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers.get("Cookie", "")))
            content_type, body = made.pages.get(self.path, ("text/plain", b"nothing here"))
            self.send_response(200 if self.path in made.pages else 404)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetch(client: Client, url: str, project: str = "shop") -> str:
    """Fetches a page by a step of the debugger; returns its id."""
    step = {"script": SCRIPT, "task": {"url": url, "process": {"callback": "page"}}, "wait": 20}
    state = client.api("POST", f"/projects/{project}/debug", step)
    assert state["state"] == "done", state
    assert state["answer"]["ok"], state["answer"]
    page: str = state["answer"]["page"]
    return page
