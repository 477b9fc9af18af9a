"""Every kind of failure, each by a server (or a wish) that really causes it. A kind nobody can cause is not one."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from crawlkit.libs.errors import FETCH_ERROR_KINDS
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, raw_server, read_request

BODY = b"x" * 2_000_000
REPLIES: dict[str, bytes] = {
    "reset": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    "too_large": answer(BODY),
    "overload": answer(BODY),
    "headers_too_big": answer(headers="X: y\r\n" * 100_000),
    "decode": answer(gzip.compress(b"x")[:-4], headers="Content-Encoding: gzip\r\n"),
    "redirects": answer(b"", "302 Found", "Location: /\r\n"),
    "bad_redirect": answer(b"", "302 Found", "Location: file:///etc/passwd\r\n"),
    "protocol": b"HTTP/1.1 hello\r\n\r\n",
    "robots": answer(b"User-agent: *\nDisallow: /\n"),
    "address": answer(b"x"),
    "proxy": answer(b"no", "502 Bad Gateway"),
    "file": answer(b"x"),
    "file_broken": answer(b"x"),
}
TASKS: dict[str, dict[str, object]] = {
    "timeout": {"timeout": 0.3},
    "connect_timeout": {"connect_timeout": 0.3},
    "robots": {"robots_txt": True},
    "bad_request": {"method": "no method"},
    "no_browser": {"fetch_type": "js"},
    "file": {"download": {"to": "x"}},
    "file_broken": {"download": {"to": "x", "size": 2}},
}
SETTINGS: dict[str, dict[str, object]] = {
    "too_large": {"max_body": 1_000_000},
    "overload": {"max_inflight_bytes": 1_000_000},
    "too_slow": {"low_speed_limit": 1000, "low_speed_time": 0.2},
    "address": {"allow_private": False},
    "file": {"files_path": "/dev/null"},
}
URLS = {"dns": "http://no-such-host.invalid/", "connect": "http://127.0.0.1:1/", "bad_url": "ftp://127.0.0.1/"}


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """A port at which nobody accepts: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        held = [socket.socket() for _ in range(8)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            for one in held:
                one.close()


@asynccontextmanager
async def misbehaving(kind: str) -> AsyncIterator[str]:
    """The URL at which a fetch ends with this kind of error."""
    if kind in URLS:
        yield URLS[kind]
        return
    if kind == "connect_timeout":
        async with deaf() as url:
            yield url
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(REPLIES.get(kind, b"HTTP/1.1 200 OK\r\n" if kind == "too_slow" else b""))
        await writer.drain()
        if kind in ("timeout", "too_slow"):
            await reader.read()

    context = None
    if kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with raw_server(serve, ssl=context) as port:
        yield f"{'https' if kind == 'tls' else 'http'}://127.0.0.1:{port}/"


@pytest.mark.parametrize("kind", sorted(FETCH_ERROR_KINDS - {"internal", "crashed"}))
@in_loop
async def test_every_kind(kind: str, tmp_path: Path) -> None:
    options = dict(TASKS.get(kind, {}))
    settings: dict[str, object] = {"files_path": str(tmp_path), **SETTINGS.get(kind, {})}
    async with misbehaving(kind) as url, fetcher(**settings) as one:
        if kind == "proxy":
            options["proxy"], url = url, "https://a.example/"
        fetched = await one.fetch(dispatch(url, save={"a": 1}, **options))
    assert fetched.error_kind == kind, fetched.error
    assert fetched.status_code == {"robots": 403, "no_browser": 501}.get(kind, 599)
    assert fetched.error  # F20: and what came with the task stays with it
    assert (fetched.content, fetched.headers, fetched.cookies) == (b"", [], {})
    assert fetched.orig_url == (url if kind != "proxy" else "https://a.example/")
    assert fetched.task.fetch.save == {"a": 1}


@in_loop
async def test_internal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own bug inside a callback of libcurl, which would swallow it."""

    def broken(*_: object) -> bool:
        raise ZeroDivisionError("a bug")

    async with misbehaving("address") as url, fetcher() as one:
        monkeypatch.setattr(type(one.engine.inflight), "must_wait", broken)
        fetched = await one.fetch(dispatch(url))
    assert (fetched.status_code, fetched.error_kind) == (599, "internal")
    assert fetched.error == "ZeroDivisionError: a bug"
