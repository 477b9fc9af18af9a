"""Servers that misbehave: each costs one error of its own kind, no hang, and no memory that is not given back."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from functools import lru_cache

import brotli
import psutil
import pytest
import trustme
import zstandard

from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site

MIB = 2**20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def says(reply: bytes, hold: bool = False) -> Serve:
    """A server with one answer; ``hold``: it keeps the connection open after it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()
        if hold:
            await reader.read()

    return serve


def repeats(head: bytes, piece: bytes, pause: float = 0) -> Serve:
    """A server that never ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return serve


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = b"Content-Encoding: gzip\r\n\r\n"
ZSTD = b"Content-Encoding: zstd\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
MANY = [b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(10_000)]
CASES: list[tuple[str, Serve, set[str]]] = [
    ("closes at once", says(b""), {"reset"}),
    ("not http", says(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"), {"protocol"}),
    ("http 0.9", says(b"<html>hello</html>"), {"protocol"}),
    ("http 9.9", says(b"HTTP/9.9 200 OK\r\n\r\nx"), {"protocol"}),
    ("no status", says(b"HTTP/1.1 OK\r\n\r\nx"), {"protocol"}),
    ("status of four digits", says(b"HTTP/1.1 2000 OK\r\n\r\nx"), {"protocol"}),
    ("NUL in a header", says(OK + b"X: a\0b\r\n\r\n"), {"protocol"}),
    ("bare CR in a header", says(OK + b"X: a\rContent-Length: 0\r\nContent-Length: 1\r\n\r\nx"), {"", "protocol"}),
    ("folded header", says(OK + b"X: a\r\n b: c\r\nContent-Length: 1\r\n\r\nx"), {"", "protocol"}),
    ("header of spaces", says(OK + b" : x\r\nContent-Length: 1\r\n\r\nx"), {"", "protocol"}),
    ("header without a colon", says(OK + b"nothing\r\nContent-Length: 1\r\n\r\nx"), {"protocol", ""}),
    ("negative length", says(OK + b"Content-Length: -5\r\n\r\nx"), {"protocol"}),
    ("length of letters", says(OK + b"Content-Length: five\r\n\r\nx"), {"protocol"}),
    ("two lengths", says(OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n1234567"), {"protocol"}),
    ("length of 30 digits", says(OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nx"), {"protocol", "too_large"}),
    ("length over the limit", says(OK + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 100), {"reset", "too_large"}),
    ("too short", says(OK + b"Content-Length: 50\r\n\r\nx"), {"reset"}),
    ("chunk garbage", says(CHUNKED + b"zz\r\nabc\r\n"), {"protocol"}),
    ("chunk size of 17 digits", says(CHUNKED + b"10000000000000000\r\nabc\r\n"), {"protocol"}),
    ("no last chunk", says(CHUNKED + b"3\r\nabc\r\n"), {"reset"}),
    ("chunk without an end", says(CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"), {"protocol"}),
    ("length and chunks", says(OK + b"Content-Length: 3\r\n" + CHUNKED[len(OK) :] + b"0\r\n\r\n"), {"", "protocol"}),
    ("unknown transfer coding", says(OK + b"Transfer-Encoding: nonsense\r\n\r\nx"), {"", "protocol", "decode"}),
    ("broken gzip", says(answer(b"\x1f\x8bnonsense", headers="Content-Encoding: gzip\r\n")), {"decode"}),
    ("cut gzip", says(answer(gzip.compress(b"x" * 9999)[:-9], headers="Content-Encoding: gzip\r\n")), {"decode"}),
    ("five codings", says(answer(b"x", headers="Content-Encoding: gzip,gzip,gzip,gzip,gzip\r\n")), {"decode"}),
    ("10 MB of headers", says(OK + b"".join(MANY) + b"\r\n"), {"headers_too_big"}),
    ("one header of 2 MB", says(OK + b"X: " + b"y" * 2_000_000 + b"\r\n\r\n"), {"headers_too_big"}),
    ("100,000 header lines", says(OK + b"a:b\r\n" * 100_000 + b"\r\n"), {"headers_too_big"}),
    ("a reason of 1 MB", says(b"HTTP/1.1 200 " + b"r" * MIB + b"\r\n\r\n"), {"headers_too_big"}),
    ("endless headers", repeats(OK, b"X: " + b"y" * 1000 + b"\r\n"), {"headers_too_big"}),
    ("endless interim answers", repeats(b"", EARLY), {"headers_too_big", "protocol"}),
    ("endless chunks", repeats(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), {"too_large"}),
    ("endless body", repeats(OK + b"\r\n", b"x" * 65_536), {"too_large"}),
    ("endless empty gzip", repeats(OK + GZIP, gzip.compress(b"") * 500), {"decode"}),
    ("endless padding", repeats(OK + GZIP + gzip.compress(b"x"), bytes(65_536)), {"too_large"}),
    ("endless empty zstd", repeats(OK + ZSTD, zstandard.ZstdCompressor().compress(b"") * 5000), {"too_large"}),
    ("endless trailers", repeats(CHUNKED + b"0\r\n", b"X: " + b"y" * 1000 + b"\r\n"), {"headers_too_big", "protocol"}),
    ("endless chunk extension", repeats(CHUNKED + b"1;", b"x" * 65_536), {"too_slow"}),
    ("endless reason", repeats(b"HTTP/1.1 200 ", b"r" * 65_536), {"headers_too_big"}),
    ("never a line end", repeats(b"", b"H" * 65_536), {"headers_too_big", "protocol"}),
    ("slow header", repeats(OK, b"X", 0.1), {"too_slow"}),
    ("slow body", repeats(OK + b"Content-Length: 900\r\n\r\n", b"x", 0.1), {"too_slow"}),
    ("slow gzip", repeats(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x")[:10], b"", 0.1), {"too_slow"}),
    ("silence", says(b"", hold=True), {"timeout"}),
]  # fmt: skip


@pytest.mark.parametrize(("serve", "kinds"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@in_loop
async def test_hostile(serve: Serve, kinds: set[str]) -> None:
    settings = {"max_body": 4 * MIB, "low_speed_limit": 100, "low_speed_time": 0.4}
    async with raw_server(serve) as port, fetcher(**settings) as one:
        began = time.monotonic()
        fetched = await one.fetch(dispatch(f"http://127.0.0.1:{port}/", timeout=2.5))
        took = time.monotonic() - began
    assert (fetched.error_kind or "") in kinds, fetched.error
    if fetched.error_kind:
        assert fetched.status_code == 599
        assert fetched.error
    assert took < 4


@in_loop
async def test_reset_at_every_place() -> None:
    whole = OK + b"Content-Length: 40\r\nX: y\r\n\r\n" + b"b" * 40

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        writer.write(whole[: int(line.split()[1][1:])])
        await writer.drain()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with raw_server(serve) as port, fetcher() as one:
        fetches = [one.fetch(dispatch(f"http://127.0.0.1:{port}/{cut}")) for cut in range(len(whole))]
        kinds = {fetched.error_kind for fetched in await asyncio.gather(*fetches)}
        assert kinds <= {"reset", "connect", "protocol"}
        assert "reset" in kinds


@in_loop
async def test_nobody_there() -> None:
    refused = await fetch("http://127.0.0.1:1/")
    assert (refused.status_code, refused.error_kind) == (599, "connect")


@in_loop
async def test_a_name_that_does_not_resolve() -> None:  # T35
    fetched = await fetch("http://no-such-host.invalid/", connect_timeout=5.0)
    assert (fetched.status_code, fetched.error_kind) == (599, "dns")
    assert "resolve" in (fetched.error or "").lower()


@in_loop
async def test_nobody_answers_the_connection() -> None:
    """A listener whose backlog is full lets nobody in."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        held = [socket.socket() for _ in range(8)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            fetched = await fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/", connect_timeout=0.5, timeout=5.0)
        finally:
            for one in held:
                one.close()
    assert fetched.error_kind == "connect_timeout"
    assert fetched.time < 3


@lru_cache
def squeezed(coding: str, size: int) -> bytes:
    block = bytes(MIB)
    if coding == "br":
        coder = brotli.Compressor(quality=5, lgwin=22)
        return b"".join([coder.process(block) for _ in range(size // MIB)]) + coder.finish()
    if coding == "zstd":
        zstd = zstandard.ZstdCompressor().compressobj()
        return b"".join([zstd.compress(block) for _ in range(size // MIB)]) + zstd.flush()
    deflate = zlib.compressobj(1, wbits={"gzip": 31, "deflate": 15, "raw": -15}[coding])
    return b"".join([deflate.compress(block) for _ in range(size // MIB)]) + deflate.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br", "zstd", "gzip, gzip", "br, zstd", "zstd, br"])
@in_loop
async def test_bombs(coding: str) -> None:
    first, _, second = coding.partition(", ")
    body = squeezed(first, 256 * MIB)
    if second:
        body = {"gzip": gzip, "br": brotli, "zstd": zstandard.ZstdCompressor()}[second].compress(body)
    async with site() as server, fetcher(max_body=8 * MIB) as one:
        server.on("/", answer(body, headers=f"Content-Encoding: {coding.replace('raw', 'deflate')}\r\n"))
        before = psutil.Process().memory_info().rss
        began = time.monotonic()
        fetched = await one.fetch(dispatch(f"{server.url}/"))
        assert time.monotonic() - began < 3
        assert fetched.error_kind == "too_large"
        assert one.engine.inflight.peak <= 8 * MIB
        assert psutil.Process().memory_info().rss - before < 40 * MIB


@pytest.mark.parametrize(("size", "kind"), [(MIB, None), (MIB + 1, "too_large")])
@in_loop
async def test_the_cap_is_exact(size: int, kind: str | None) -> None:
    async with site() as server, fetcher(max_body=MIB) as one:
        server.on("/plain", answer(b"x" * size))
        server.on("/packed", answer(gzip.compress(b"x" * size), headers="Content-Encoding: gzip\r\n"))
        for path in ("plain", "packed"):
            fetched = await one.fetch(dispatch(f"{server.url}/{path}"))
            assert fetched.error_kind == kind
        assert (await one.fetch(dispatch(f"{server.url}/plain", max_size=10))).error_kind == "too_large"


@in_loop
async def test_a_redirect_with_an_endless_body_is_followed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        if line.startswith("GET /end"):
            writer.write(answer(b"end"))
            return
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with raw_server(serve) as port:
        fetched = await fetch(f"http://127.0.0.1:{port}/")
    assert fetched.content == b"end"


@in_loop
async def test_many_large_bodies_at_once_stay_under_the_cap() -> None:
    settings = {"max_body": 3 * MIB, "max_inflight_bytes": 12 * MIB, "poolsize": 40}
    async with site() as server, fetcher(**settings) as one:
        server.on("/", answer(b"x" * 2 * MIB))
        fetches = await asyncio.gather(*[one.fetch(dispatch(f"{server.url}/")) for _ in range(40)])
        assert {(fetched.error_kind, fetched.size) for fetched in fetches} == {(None, 2 * MIB)}
        assert 4 * MIB < one.engine.inflight.peak <= 12 * MIB


@in_loop
async def test_a_body_of_crumbs_costs_no_more_than_its_bytes() -> None:
    count = 60_000
    crumbs = b"".join(b"2\r\n%02d\r\n" % (number % 100) for number in range(1000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(count // 1000):
            writer.write(crumbs)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with raw_server(serve) as port, fetcher() as one:
        tracemalloc.start()
        try:
            fetched = await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert fetched.size == 2 * count
    assert peak < 8 * fetched.size  # as objects of their own they would take over 40 times as much


@in_loop
async def test_headers_cost_no_memory() -> None:
    async with raw_server(repeats(OK, b"X: " + b"y" * 100_000 + b"\r\n")) as port, fetcher() as one:
        await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))
        before = psutil.Process().memory_info().rss
        for _ in range(20):
            assert (await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))).error_kind == "headers_too_big"
        assert psutil.Process().memory_info().rss - before < 4 * MIB


@in_loop
async def test_bodies_that_have_no_room_together() -> None:
    """A process that was given less room than one body may take: none goes over it, and each says why it ended."""
    async with (
        raw_server(repeats(OK + b"\r\n", b"x" * 65_536, 0.01)) as port,
        fetcher(max_body=64 * MIB, max_inflight_bytes=4 * MIB, poolsize=2) as one,
    ):
        url = f"http://127.0.0.1:{port}/"
        fetches = await asyncio.gather(*[one.fetch(dispatch(url, timeout=2.0)) for _ in range(2)])
        assert {fetched.error_kind for fetched in fetches} == {"overload"}
        assert one.engine.inflight.peak <= 4 * MIB


def tls_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@in_loop
async def test_certificates(tmp_path) -> None:  # type: ignore[no-untyped-def] # R-38
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with (
        site(tls_context(authority, "127.0.0.1")) as good,
        site(tls_context(authority, "other.example")) as wrong,
    ):
        for server in (good, wrong):
            server.on("/", answer(b"secret"))
        async with fetcher(ca_file=str(tmp_path / "ca.pem")) as one:
            fine = await one.fetch(dispatch(f"https://127.0.0.1:{good.port}/"))
            assert (fine.error, fine.content) == (None, b"secret")
            refused = await one.fetch(dispatch(f"https://127.0.0.1:{wrong.port}/"))
            assert (refused.status_code, refused.error_kind) == (599, "tls")
            trusting = await one.fetch(dispatch(f"https://127.0.0.1:{wrong.port}/", validate_cert=False))
            assert trusting.content == b"secret"
            again = await one.fetch(dispatch(f"https://127.0.0.1:{wrong.port}/"))
            assert again.error_kind == "tls"  # not by the connection that did not check
        unknown = await fetch(f"https://127.0.0.1:{good.port}/")
        assert unknown.error_kind == "tls"
        async with fetcher(validate_cert=False) as one:
            assert (await one.fetch(dispatch(f"https://127.0.0.1:{good.port}/"))).content == b"secret"


@in_loop
async def test_tls_with_a_server_that_does_not_speak_it() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(b"speak plainly", "400 Bad Request"))

    async with raw_server(plain) as port:
        fetched = await fetch(f"https://127.0.0.1:{port}/", timeout=5.0)
    assert fetched.error_kind == "tls"
