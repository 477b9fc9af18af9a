"""HTTP/2 where a server offers it over TLS: used, used again, and its own ways to misbehave."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from crawlkit.fetcher.fetch import Fetcher
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, raw_server, site

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
OK = b"\x88"  # HPACK: the status 200 of the static table
SET_COOKIE = b"\x0f\x28\x05a=1;x"  # a literal value for the static table's name 55

MANY = b"\x00\x01a\x01b" * 2000  # headers, as HPACK literals
CANCEL = struct.pack("!I", 8)

Reply = Callable[[int], bytes]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def page(body: bytes, headers: bytes = OK) -> Reply:
    return lambda stream: (
        frame(HEADERS, END_HEADERS, stream, headers)
        + b"".join(frame(DATA, 0, stream, body[start : start + 16_000]) for start in range(0, len(body), 16_000))
        + frame(DATA, END_STREAM, stream)
    )


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@asynccontextmanager
async def server(
    context: ssl.SSLContext, reply: Reply, authority: Path
) -> AsyncIterator[tuple[Fetcher, str, list[int]]]:
    """(a fetcher that trusts it, its URL, the streams of each connection that it was asked on)."""
    context.set_alpn_protocols(["h2"])
    streams: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)  # the preface
        writer.write(frame(SETTINGS, 0, 0))
        while True:
            size, kind, flags, stream = struct.unpack("!IBBI", b"\0" + await reader.readexactly(9))
            await reader.readexactly(size)
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0))
            elif kind == HEADERS:
                streams.append(stream)
                writer.write(reply(stream))
                await writer.drain()

    async with (
        raw_server(serve, ssl=context) as port,
        fetcher(ca_file=str(authority / "ca.pem"), max_body=100_000) as one,
    ):
        yield one, f"https://127.0.0.1:{port}/", streams


@in_loop
async def test_pages_over_one_connection(context: ssl.SSLContext, tmp_path: Path) -> None:
    async with server(context, page(b"x" * 50_000, OK + SET_COOKIE), tmp_path) as (one, url, streams):
        for _ in range(3):
            fetched = await one.fetch(dispatch(url))
            assert (fetched.status_code, fetched.error, fetched.size) == (200, None, 50_000)
            assert fetched.headers == [("set-cookie", "a=1;x")]
            assert fetched.cookies == {"a": "1"}
        assert streams == [1, 3, 5]


@in_loop
async def test_a_status_without_a_reason(context: ssl.SSLContext, tmp_path: Path) -> None:
    async with server(context, page(b"gone", b"\x8d"), tmp_path) as (one, url, _):
        fetched = await one.fetch(dispatch(url))
    assert (fetched.status_code, fetched.error, fetched.content) == (404, "HTTP 404: Not Found", b"gone")


@pytest.mark.parametrize(
    ("reply", "kinds"),
    [
        (page(b"x" * 200_000), {"too_large"}),
        (lambda stream: frame(RST_STREAM, 0, stream, CANCEL), {"protocol"}),
        (lambda stream: frame(HEADERS, END_HEADERS, stream, OK) + frame(RST_STREAM, 0, stream, CANCEL), {"protocol"}),
        (lambda stream: frame(GOAWAY, 0, 0, struct.pack("!II", 0, 1)), {"protocol", "reset"}),
        (lambda stream: b"HTTP/1.1 200 OK\r\n\r\nwhat?", {"protocol", "reset"}),
        (lambda stream: frame(DATA, END_STREAM, stream, b"no head"), {"protocol", "reset"}),
        (lambda stream: frame(HEADERS, END_HEADERS, stream, b"\xff\xff\xff\xff\xff\xff\xff"), {"protocol", "reset"}),
        (
            lambda stream: frame(HEADERS, 0, stream, OK) + frame(CONTINUATION, 0, stream, MANY) * 500,
            {"protocol", "reset", "headers_too_big"},
        ),
    ],
    ids=["large", "reset", "reset in the body", "goaway", "not http/2", "no head", "bad hpack", "continuation flood"],
)
@in_loop
async def test_hostile(context: ssl.SSLContext, tmp_path: Path, reply: Reply, kinds: set[str]) -> None:
    async with server(context, reply, tmp_path) as (one, url, _):
        fetched = await one.fetch(dispatch(url, timeout=3.0))
    assert fetched.error_kind in kinds, fetched.error
    assert fetched.time < 2


@in_loop
async def test_not_offered_or_not_wanted(context: ssl.SSLContext, tmp_path: Path) -> None:
    async with site(context) as plain, fetcher(ca_file=str(tmp_path / "ca.pem")) as one:
        plain.on("/", answer(b"x"))
        assert (await one.fetch(dispatch(f"https://127.0.0.1:{plain.port}/"))).content == b"x"
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with site(context) as plain, fetcher(ca_file=str(tmp_path / "ca.pem"), http2=False) as one:
        plain.on("/", answer(b"x"))
        assert (await one.fetch(dispatch(f"https://127.0.0.1:{plain.port}/"))).content == b"x"
