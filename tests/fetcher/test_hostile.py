"""Servers that misbehave: each costs one error of its own kind, no hang, and no memory that is not given back."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import time
import tracemalloc

import psutil
import pytest
import trustme

from crawlkit.fetcher import curl
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.libs.messages import Fetched, decode, encode
from crawlkit.libs.response import Response
from crawlkit.processor.outcome import track_fetch
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site
from tests.fetcher.hostile import CHUNKED, MIB, OK, Script, coded, codings, framing, heads, repeats, secure, ways
from tests.fetcher.hostile.codings import CODERS, squeezed

FAMILIES = {
    "heads": heads.SCRIPTS,
    "framing": framing.SCRIPTS,
    "codings": codings.SCRIPTS,
    "ways": ways.SCRIPTS,
    "secure": secure.SCRIPTS,
    "slow": [*framing.SLOW, *ways.SLOW, *secure.SLOW],  # they cost time only, and take it together
}
AT_ONCE = {"slow": 100}
LIMIT = 5.0  # seconds, where a script says nothing


async def play(script: Script, one: Fetcher) -> str | None:
    """What is wrong with how a fetch from this server ended, as the task's track tells it."""
    context = secure.context(script.tls) if script.tls else None
    async with raw_server(script.serve, ssl=context) as port:
        task = {"timeout": LIMIT, **script.task}
        if "proxy" in task:
            task["proxy"] = str(task["proxy"]).format(port=port)
        began = time.monotonic()
        fetched = await one.fetch(dispatch(script.at.format(port=port), **task))
        took = time.monotonic() - began
    carried = decode(encode(fetched), Fetched)
    track = track_fetch(carried, Response.of(carried), not script.kind)
    allowed = min(float(str(task[name])) for name in ("timeout", "connect_timeout") if name in task)
    well = (track.error_kind or "") == script.kind and (track.status_code in (599, 403)) == bool(script.kind)
    if well and took < allowed + 1 and (track.error or not script.kind):
        return None
    return f"{script.name}: {fetched.error_kind} {fetched.status_code} {fetched.error} after {took:.1f} s"


@pytest.mark.parametrize("family", FAMILIES)
@in_loop
async def test_hostile(family: str) -> None:
    """Each ends with its own kind of error in the task's track, in time, and all together take little memory."""
    places = asyncio.Semaphore(AT_ONCE.get(family, 8))
    peak = before = psutil.Process().memory_info().rss
    settings = {"max_body": MIB, "low_speed_limit": 100, "low_speed_time": 0.4, "ca_file": secure.authority_file()}
    async with fetcher(**settings) as one:

        async def take(script: Script) -> str | None:
            nonlocal peak
            async with places:
                wrong = await play(script, one)
            peak = max(peak, psutil.Process().memory_info().rss)
            return wrong

        wrong = [words for words in await asyncio.gather(*map(take, FAMILIES[family])) if words]
        await one._robots.close()  # of a silent server it is still being asked for
    assert not wrong
    assert peak - before < 64 * MIB


def test_how_many_scripts_there_are() -> None:
    names = [script.name for scripts in FAMILIES.values() for script in scripts]
    assert len(names) == len(set(names))
    assert sum(bool(script.kind) for scripts in FAMILIES.values() for script in scripts) >= 300


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


BOMBS = [("gzip", MIB), ("br", MIB), ("zstd", MIB), ("gzip, gzip", MIB), ("br, zstd", MIB)]
LARGE = [(coding, 40 * MIB) for coding in ("gzip", "deflate", "raw", "br", "zstd", "gzip, gzip", "zstd, br")]


@pytest.mark.parametrize(("coding", "times"), [*BOMBS, *(pytest.param(*it, marks=pytest.mark.slow) for it in LARGE)])
@in_loop
async def test_bombs(coding: str, times: int) -> None:
    """256 MiB of zeroes, and 10 GiB: what they would open to makes no difference."""
    first, _, second = coding.partition(", ")
    body = await asyncio.to_thread(squeezed, first, 256 * times)
    if second:
        body = CODERS[second](body)
    async with site() as server, fetcher(max_body=8 * MIB) as one:
        server.on("/", coded(coding.replace("raw", "deflate"), body))
        before = psutil.Process().memory_info().rss
        began = time.monotonic()
        fetched = await one.fetch(dispatch(f"{server.url}/"))
        assert time.monotonic() - began < 2
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
async def test_a_body_of_very_many_crumbs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece costs two microseconds, so that 3 MB/s of them would keep the whole fetcher busy."""
    monkeypatch.setattr(curl, "MAX_CRUMBS", 5_000)
    for head in (CHUNKED, OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\na\r\n\x1f\x8b\x08\x08" + bytes(6) + b"\r\n"):  # fmt: skip  # noqa: E501
        async with raw_server(repeats(head, b"1\r\nx\r\n" * 1000)) as port:
            fetched = await fetch(f"http://127.0.0.1:{port}/", timeout=5.0)
        assert fetched.error_kind == "protocol"
        assert "pieces of under 64 bytes" in (fetched.error or "")


@in_loop
async def test_what_says_that_it_is_too_large_is_not_read() -> None:
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await read_request(reader)
        writer.write(OK + b"Content-Length: 99999999\r\n\r\n" + b"x" * 1000)
        await writer.drain()
        seen = len(await reader.read())

    async with raw_server(serve) as port, fetcher(max_body=MIB) as one:
        fetched = await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))
        assert (fetched.error_kind, fetched.error) == ("too_large", "a body of 99999999 bytes, over 1048576")
        assert fetched.time < 1
    assert seen == 0


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
