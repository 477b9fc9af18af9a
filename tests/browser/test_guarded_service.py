"""A whole browser service with the guard on, asked over HTTP, against somebody who owns the pages that are crawled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.netutil import bind_sockets

from crawlkit.browser import dial
from crawlkit.browser.render import render
from crawlkit.browser.service import BrowserService
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.clock import SystemClock
from tests.browser import attacks
from tests.browser.inner import Inner, Outer, inside, outside, reply
from tests.browser.relayed import PUBLIC, names, one_public_address
from tests.fetcher import proxies
from tests.fetcher.helpers import raw_server
from tests.needs import binary

NAMES = {
    "public.example": [PUBLIC],
    "inner.example": ["127.0.0.1"],
    "localhost": ["127.0.0.1"],
    "both.example": ["10.0.0.1", PUBLIC],
}


class Guarded:
    """The service, both sites, and their URLs."""

    inner: Inner
    outer: Outer
    port: int

    def at(self, path: str, host: str = "public.example") -> str:
        return f"http://{host}:{self.outer.port}{path}"

    def inside(self, path: str, host: str = "inner.example") -> str:
        return f"http://{host}:{self.inner.port}{path}"

    async def ask(self, url: str, **job: Any) -> dict[str, Any]:
        """The service's answer to a job; nothing may have come to the server inside."""
        body = json.dumps({"url": url, "timeout": 20, "connect_timeout": 5, **job})
        client = AsyncHTTPClient()
        answer = await client.fetch(
            f"http://127.0.0.1:{self.port}/render", method="POST", body=body, request_timeout=40
        )
        said: dict[str, Any] = json.loads(answer.body)
        assert (self.inner.heard, self.inner.connections) == ([], 0), said
        assert "secret" not in answer.body.decode()
        return said


@asynccontextmanager
async def guarded(**settings: Any) -> AsyncIterator[Guarded]:
    made = Guarded()
    async with inside() as made.inner, outside() as made.outer:
        sockets = bind_sockets(0, "127.0.0.1")
        made.port = sockets[0].getsockname()[1]
        bounds = BrowserSettings(chromium=binary("chromium"), allow_private=False, max_load=8 * 2**20, **settings)
        service = BrowserService(bounds, SystemClock(), sockets, render=render)
        work = asyncio.create_task(service.run())
        try:
            yield made
        finally:
            await service.stop()
            await asyncio.wait_for(work, 20)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[asyncio.Runner, Guarded]]:
    with asyncio.Runner() as runner, one_public_address(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(dial, "resolve", names(NAMES))
        context = guarded()
        yield runner, runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def ask(world: tuple[asyncio.Runner, Guarded]) -> Callable[..., dict[str, Any]]:
    runner, service = world
    service.outer.pages.clear()
    return lambda url, **job: runner.run(asyncio.wait_for(service.ask(url, **job), 60))


@pytest.fixture
def on(world: tuple[asyncio.Runner, Guarded]) -> Guarded:
    return world[1]


Ask = Callable[..., dict[str, Any]]


def test_a_page_that_tries_everything(ask: Ask, on: Guarded) -> None:  # R-36
    attacks.build(on.outer, on.inside(""))
    said = ask(
        on.at("/attack"),
        browser={"wait_for": [{"seconds": 3}], "screenshot": {"of": "page"}, "pdf": {"format": "A4"}, "xhr": ["*"]},
        js_script=f"async () => {{ try {{ return await (await fetch('{on.inside('/script')}')).text() }}"
                  " catch (error) { return error.name } }",
        session=True,
    )  # fmt: skip
    assert said["status_code"] == 200, said
    assert said["js_script_result"] == "TypeError"
    assert said["counts"]["refused"] >= 35
    assert said["attachments"].keys() == {"screenshot", "pdf"}


@pytest.mark.parametrize(
    "host", ["inner.example", "127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "0.0.0.0", "[::ffff:7f00:1]"]
)
def test_a_private_page_is_refused(ask: Ask, on: Guarded, host: str) -> None:  # R-36
    said = ask(on.inside("/", host))
    assert (said["status_code"], said["error_kind"]) == (599, "address"), said


@pytest.mark.parametrize(
    "page",
    [
        reply("", status="302 Found", Location="{}"),
        reply("", status="307 x", Location="{}"),
        reply("", Refresh="0; url={}"),
        reply("<script>location.replace('{}')</script>"),
        reply("<meta http-equiv=refresh content='0; url={}'>"),
        reply("<form action='{}' method=post></form><script>document.forms[0].submit()</script>"),
    ],
    ids=["redirect", "307", "refresh", "script", "meta", "form"],
)
def test_a_page_that_leads_inside(ask: Ask, on: Guarded, page: bytes) -> None:
    where = on.inside("/led").encode()
    head, _, body = page.replace(b"{}", where).partition(b"\r\n\r\n")
    length = f"Content-Length: {len(body)}".encode()
    lines = [length if line.startswith(b"Content-Length") else line for line in head.split(b"\r\n")]
    on.outer.pages["/leads"] = b"\r\n".join(lines) + b"\r\n\r\n" + body
    said = ask(on.at("/leads"), browser={"wait_for": [{"seconds": 1}]})
    assert (said["status_code"], said["error_kind"]) == (599, "address"), said


def test_files_that_are_inside(ask: Ask, on: Guarded) -> None:
    on.outer.pages["/file"] = reply(f"<a id=a href='{on.inside('/file.zip')}' download>x</a>")
    said = ask(on.at("/file"), download=True, browser={"actions": [{"click": "#a"}]}, timeout=8)
    assert said["status_code"] == 599, said
    assert "file" not in said
    on.outer.pages["/moved"] = reply("", status="302 Found", Location=on.inside("/file.zip"))
    said = ask(on.at("/moved"), download=True, timeout=8)
    assert said["error_kind"] == "address", said


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "chrome://version/", "view-source:http://inner.example/", "about:blank", "blob:x",
     "javascript:alert(1)", "filesystem:http://inner.example/x", "devtools://devtools/bundled/inspector.html"],
)  # fmt: skip
def test_what_is_no_page_of_the_web(ask: Ask, url: str) -> None:
    said = ask(url)
    assert (said["status_code"], said["error_kind"]) == (599, "bad_url"), said


def test_a_page_that_shows_files_of_this_machine(ask: Ask, on: Guarded) -> None:
    on.outer.pages["/local"] = reply(
        "<iframe src='file:///etc/passwd'></iframe><script>location = 'file:///etc/passwd'</script>"
    )
    on.outer.pages["/to-local"] = reply("", status="302 Found", Location="file:///etc/passwd")
    assert "root:" not in json.dumps(ask(on.at("/local"), browser={"wait_for": [{"seconds": 1}]}))
    said = ask(on.at("/to-local"))
    assert said["status_code"] == 599, said
    assert "root:" not in json.dumps(said)


def test_the_job_may_not_loosen_it(ask: Ask, on: Guarded) -> None:
    assert ask(on.inside("/"), allow_private=True)["error_kind"] == "address"
    own = {"proxy_host": "127.0.0.1", "proxy_port": on.inner.port}
    assert ask(on.at("/"), **own)["error_kind"] == "address"
    assert ask(on.at("/"), proxy_scheme="ftp", **own)["error_kind"] == "bad_request"


def test_why_a_page_did_not_come(ask: Ask, on: Guarded) -> None:
    assert ask("http://missing.example/")["error_kind"] == "dns"
    assert ask(f"http://{PUBLIC}:1/")["error_kind"] in ("connect", "bad_url")
    on.outer.pages["/fine"] = reply("<p>fine")
    assert "fine" in ask(on.at("/fine", "both.example"))["content"]


def test_a_page_that_loads_without_end(ask: Ask, on: Guarded) -> None:
    """Not the page itself but what it loads beside it: the job ends, and the next is unhurt."""
    on.outer.pages["/heavy"] = reply("<p>x<script>for (let n = 0; n < 40; n++) fetch('/big?' + n)</script>")
    on.outer.pages["/big"] = reply(b"x" * 2**20, "application/octet-stream")
    said = ask(on.at("/heavy"), browser={"wait_for": [{"seconds": 15}]})
    assert (said["status_code"], said["error_kind"]) == (599, "too_large"), said
    on.outer.pages["/fine"] = reply("<p>fine")
    assert ask(on.at("/fine"))["status_code"] == 200


SOCKET = """<p id=p></p><script>const s = new WebSocket('ws://public.example:%d/socket');
s.onopen = () => p.textContent = 'open'; s.onerror = () => p.textContent = 'error'</script>"""


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_pages_and_sockets_by_a_proxy(world: tuple[asyncio.Runner, Guarded], scheme: str) -> None:
    """Of the operator: it may be inside itself. Whatever the page asks for goes by it, a WebSocket too."""
    runner, service = world
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A proxy that knows one name, and says what it was asked for."""
        if scheme == "http":
            where = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        else:
            await reader.readexactly(4)
            writer.write(b"\x05\x02")
            await reader.readexactly(5)
            writer.write(b"\x01\x00")
            name = (await reader.readexactly(5))[4]
            where = f"{(await reader.readexactly(name)).decode()}:{int.from_bytes(await reader.readexactly(2), 'big')}"
        asked.append(where)
        far, upstream = await asyncio.open_connection(PUBLIC, int(where.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if scheme == "http" else b"\x05\x00\x00\x01" + bytes(6))
        await proxies.relay(reader, writer, far, upstream)

    async def by_proxy() -> dict[str, Any]:
        sockets = await asyncio.start_server(_socket_server, PUBLIC, 0)
        port = sockets.sockets[0].getsockname()[1]
        service.outer.pages["/page"] = reply(SOCKET % port)
        async with sockets, raw_server(serve) as own:
            said = await service.ask(
                service.at("/page"), proxy_scheme=scheme, proxy_host="127.0.0.1", proxy_port=own,
                proxy_username="u", proxy_password="p", proxy_trusted=True,
                browser={"wait_for": [{"function": "document.querySelector('p').textContent"}]},
            )  # fmt: skip
            assert f"public.example:{port}" in asked
            return said

    said = runner.run(asyncio.wait_for(by_proxy(), 60))
    assert said["status_code"] == 200, said
    assert ">open</p>" in said["content"]
    assert f"public.example:{service.outer.port}" in asked


async def _socket_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await Inner().serve(reader, writer)
