"""A web site, a proxy and a stand-in for a browser service, in one thread, that remember what was asked of them.

No crawlkit code: what they say of a request is what came over the wire.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine, parse_multipart_form_data
from tornado.netutil import bind_sockets

ETAG, MODIFIED = '"v1"', "Sat, 01 Jan 2022 00:00:00 GMT"
LINKS = "".join(f'<a href="/page/{n}">page {n}</a>' for n in range(9))
INDEX = '<a href="/page/1">one</a><a href="/page/2">two</a><a href="/page/1">again</a><a href="/páge/中">文</a>'
SLOW = 5.0  # seconds that /slow takes

Answer = tuple[int, list[tuple[str, str]], bytes]


def echo(request: HTTPServerRequest) -> bytes:
    """What the server understood of a request, as JSON."""
    said: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "query": parse_qsl(request.query, keep_blank_values=True),
        "headers": {name.lower(): value for name, value in request.headers.get_all()},
        "cookies": {name: morsel.value for name, morsel in request.cookies.items()},
        "body": request.body.decode("utf-8", "backslashreplace"),
    }
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        said["form"] = parse_qsl(request.body.decode())
    if kind.startswith("multipart/form-data"):
        fields: dict[str, list[bytes]] = {}
        files: dict[str, Any] = {}
        boundary = kind.partition("boundary=")[2].strip('"').encode()
        parse_multipart_form_data(boundary, request.body, fields, files)
        said["fields"] = {name: values[0].decode() for name, values in fields.items()}
        said["files"] = {
            name: [found[0]["filename"], base64.b64encode(found[0]["body"]).decode()] for name, found in files.items()
        }
    return json.dumps(said).encode()


class Site:
    """``base`` is the site, ``proxy`` the address of a proxy, ``browser`` the endpoint of the stand-in."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers in lower case
        self.proxied: list[str] = []
        self.jobs: list[dict[str, Any]] = []
        self._replies: set[asyncio.Future[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        ports = [self._listen(answer) for answer in (self._site, self._proxy, self._browser)]
        self.base = f"http://127.0.0.1:{ports[0]}"
        self.proxy = f"127.0.0.1:{ports[1]}"
        self.browser = f"http://127.0.0.1:{ports[2]}/"
        self._ready.set()
        await self._end.wait()

    def _listen(self, answer: Callable[[HTTPServerRequest], Any]) -> int:
        def come_in(request: HTTPServerRequest) -> None:
            work = asyncio.ensure_future(self._reply(request, answer))
            self._replies.add(work)
            work.add_done_callback(self._replies.discard)

        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(come_in)
        server.add_sockets(sockets)
        port: int = sockets[0].getsockname()[1]
        return port

    async def _reply(self, request: HTTPServerRequest, answer: Callable[[HTTPServerRequest], Any]) -> None:
        status, headers, body = await answer(request)
        head = HTTPHeaders()
        for name, value in headers:
            head.add(name, value)
        if status != 304:
            head["Content-Length"] = str(len(body))
        connection = request.connection
        assert connection is not None
        with contextlib.suppress(Exception):  # the client may have gone
            await connection.write_headers(ResponseStartLine("HTTP/1.1", status, "Said"), head, body)
            connection.finish()

    # ---- the site

    async def _site(self, request: HTTPServerRequest) -> Answer:
        path = request.path
        headers = {name.lower(): value for name, value in request.headers.get_all()}
        self.requests.append((request.method or "", path, headers))
        kind, _, rest = path.strip("/").partition("/")
        html = [("Content-Type", "text/html; charset=utf-8")]
        if kind == "echo":
            return 200, [("Content-Type", "application/json")], echo(request)
        if kind == "status":
            return int(rest), [*html, ("X-Kept", "yes")], b"a teapot's words"
        if kind == "hops":
            left = int(rest)
            return 302, [("Location", f"/hops/{left - 1}" if left > 1 else "/echo/landed")], b""
        if kind == "biscuit":
            return 302, [("Location", "/echo/landed"), ("Set-Cookie", "hop=1; Path=/")], b""
        if kind == "set":
            return 200, [*html, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/")], b"set"
        if kind == "slow":
            await asyncio.sleep(SLOW)
        if kind == "robots.txt":
            return 200, [("Content-Type", "text/plain")], b"User-agent: *\nDisallow: /closed/\n"
        if kind == "tagged":
            if headers.get("if-none-match") == ETAG or headers.get("if-modified-since") == MODIFIED:
                return 304, [("Etag", ETAG)], b""
            return 200, [*html, ("Etag", ETAG), ("Last-Modified", MODIFIED)], b"<title>tagged</title>"
        if kind == "links":
            return 200, [*html, ("Etag", ETAG)], LINKS.encode()
        if kind == "index":
            return 200, [*html, ("Etag", ETAG)], INDEX.encode()
        return 200, html, f"<title>{path}</title>".encode()

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    # ---- the proxy: refuses who does not say user:secret

    async def _proxy(self, request: HTTPServerRequest) -> Answer:
        self.proxied.append(request.uri or "")
        wanted = "Basic " + base64.b64encode(b"user:secret").decode()
        if request.headers.get("Proxy-Authorization") != wanted:
            return 403, [("Content-Type", "text/plain")], b"not for you"
        answer = await AsyncHTTPClient().fetch(request.uri or "", raise_error=False)
        return answer.code, [("Content-Type", "text/plain"), ("Via", "1.1 tester")], answer.body

    # ---- the stand-in for a browser: answers as the contract says, runs nothing

    async def _browser(self, request: HTTPServerRequest) -> Answer:
        job = json.loads(request.body)
        self.jobs.append(job)
        reply: dict[str, Any] = {"orig_url": job["url"], "url": job["url"], "headers": {}, "cookies": {}, "time": 0.1}
        if "/hangs" in job["url"]:
            reply |= {"status_code": 599, "error": "Timeout before first response.", "js_script_result": None}
        else:
            reply |= {
                "status_code": 200,
                "content": "<p id=state>done</p>",
                "js_script_result": f"ran {job['js_script']}" if job.get("js_script") else None,
            }
        return 200, [("Content-Type", "application/json")], json.dumps(reply).encode()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)


@contextlib.contextmanager
def nobody_answers() -> Iterator[str]:
    """The address of a listener whose backlog is full: it lets nobody in."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def dead_address() -> Iterator[str]:
    """An address where nobody listens, for as long as it is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"
