"""What a server could make a crawler pay: memory and time, by sizes, codings and expressions. Replayed by their ids."""

from __future__ import annotations

import asyncio
import contextlib
import time

import psutil

from crawlkit.fetcher.content_coding import STEP, Chain
from crawlkit.libs.errors import FetchError
from crawlkit.libs.response import Response
from crawlkit.libs.sitemap import entries
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, site
from tests.fetcher.hostile import MIB, OK, coded, repeats
from tests.fetcher.hostile.codings import squeezed


@in_loop
async def test_CVE_2017_14158() -> None:
    """Scrapy, GHSA-h7wm-ph43-c39p, PYSEC-2017-83: any number of large files were in memory at once."""
    async with site() as server, fetcher(max_body=3 * MIB, max_inflight_bytes=12 * MIB, poolsize=30) as one:
        server.on("/", answer(bytes(2 * MIB)))
        found = await asyncio.gather(*[one.fetch(dispatch(f"{server.url}/")) for _ in range(30)])
        assert {fetched.size for fetched in found} == {2 * MIB}
        assert one.engine.inflight.peak <= 12 * MIB


async def bomb_stops(coding: str, size: int = 128 * MIB) -> None:
    async with site() as server, fetcher(max_body=MIB) as one:
        server.on("/", coded(coding, squeezed(coding, size)))
        before, began = psutil.Process().memory_info().rss, time.monotonic()
        fetched = await one.fetch(dispatch(f"{server.url}/"))
        assert fetched.error_kind == "too_large"
        assert time.monotonic() - began < 2
        assert psutil.Process().memory_info().rss - before < 32 * MIB


@in_loop
async def test_CVE_2024_3572() -> None:
    """Scrapy, GHSA-7j7m-v7m3-jqm7: the limit of a body counted the compressed bytes only."""
    await bomb_stops("gzip")


def largest_piece(coding: str) -> int:
    """Bytes that come out at once when a whole bomb goes in at once."""
    pieces: list[int] = []

    def take(piece: bytes) -> None:
        pieces.append(len(piece))
        if sum(pieces) > 4 * MIB:
            raise FetchError("too_large", "enough")

    chain = Chain([coding], take, 2**30)
    try:
        chain.write(squeezed(coding, 64 * MIB))
    except FetchError as error:
        assert str(error) == "enough"  # noqa: PT017
    return max(pieces)


def test_CVE_2025_6176() -> None:
    """Scrapy, GHSA-2qfp-q593-8484: a chunk of br or deflate was opened far past the limit before it was looked at."""
    for coding in ("br", "deflate", "gzip", "zstd"):
        assert largest_piece(coding) <= 4 * STEP, coding


@in_loop
async def test_CVE_2026_9375() -> None:
    """urllib3: the limit did not hold for brotli."""
    await bomb_stops("br")
    assert largest_piece("br") <= 4 * STEP


@in_loop
async def test_CVE_2026_49855() -> None:
    """Tornado: the size of what was opened had no limit."""
    await bomb_stops("deflate")
    await bomb_stops("zstd")


def test_GHSA_cc65_xxvf_f7r9() -> None:
    """Scrapy, CVE-2024-1892: XML iteration and open_in_browser took time by the square or worse."""
    attacks = [b"<?xml version='1.0'?>" + b"<urlset " * 20_000, b"<!" * 50_000, b"<head " * 50_000, b"<!--" * 50_000,
               b"<urlset xmlns" + b" " * 100_000, b"<base " * 20_000 + b"<head"]  # fmt: skip
    for attack in attacks:
        began = time.process_time()
        with contextlib.suppress(ValueError):
            list(entries(attack))
        page = Response("http://a.example/", content=attack, headers={"Content-Type": "text/html"})
        page.links()
        assert page.base_url
        assert time.process_time() - began < 1, attack[:20]


@in_loop
async def test_CVE_2023_38039() -> None:
    """curl: headers without end filled the memory."""
    async with raw_server(repeats(OK, b"X: " + b"y" * 60_000 + b"\r\n")) as port:
        before = psutil.Process().memory_info().rss
        assert (await fetch(f"http://127.0.0.1:{port}/", timeout=5.0)).error_kind == "headers_too_big"
        assert psutil.Process().memory_info().rss - before < 16 * MIB


def test_scrapy_2_11_2_entities() -> None:
    """Scrapy: entities of XML were resolved. No file is read, nothing expands, no host is asked."""
    bomb = b"<!ENTITY l0 'aaaaaaaaaa'>"
    bomb += b"".join(b"<!ENTITY l%d '%s'>" % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
    for inside in (b"<!ENTITY x SYSTEM 'file:///etc/passwd'>", bomb + b"<!ENTITY x '&l11;'>",
                   b"<!ENTITY % p SYSTEM 'http://127.0.0.1:1/'>%p;<!ENTITY x 'y'>"):  # fmt: skip
        began = time.process_time()
        content = b"<!DOCTYPE a [" + inside + b"]><urlset><url><loc>http://a.example/&x;</loc></url></urlset>"
        page = Response("http://a.example/", content=content, headers={"Content-Type": "text/xml"})
        texts = "".join(page.xpath("//text()").getall()) + page.doc("loc").text()
        with contextlib.suppress(ValueError):
            texts += "".join(entry.url for entry in entries(content))
        assert "root:" not in texts
        assert len(texts) < 1000
        assert time.process_time() - began < 1
