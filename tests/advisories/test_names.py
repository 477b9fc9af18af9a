"""What a server names: hosts, schemes, files, functions. It must not choose what runs or is reached. By their ids."""

from __future__ import annotations

import asyncio
import pickle
import re
import sys
from pathlib import Path

import pytest

from crawlkit.fetcher import redirects
from crawlkit.libs import charset
from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import Dispatch, Fetched, NewTasks, Outcome, decode, decode_status
from crawlkit.libs.robots import Rules
from crawlkit.libs.sitemap import entries
from crawlkit.message_queue import wire
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, site

ROOT = Path(__file__).parents[2]
INNER = ["http://127.0.0.1:{port}/", "http://[::1]:{port}/", "http://0x7f.1:{port}/", "http://169.254.169.254/latest/",
         "http://localhost:{port}/", "http://10.0.0.1/"]  # fmt: skip


@in_loop
async def test_GHSA_23j4_mw76_5v7h() -> None:
    """Scrapy: redirects to file://, data:, ftp:// and s3:// were followed."""
    for target in (
        "file:///etc/passwd",
        "data:text/plain,x",
        "ftp://127.0.0.1/x",
        "s3://bucket/key",
        "FILE:/etc/passwd",
    ):
        async with site() as server:
            server.redirect("/", target)
            fetched = await fetch(f"{server.url}/")
        assert (fetched.error_kind, fetched.content) == ("bad_redirect", b""), target


@pytest.mark.parametrize("url", ["file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", " file:///etc/passwd",
                                 "fi\tle:///etc/passwd", "file://localhost/etc/passwd", "view-source:file:///etc/passwd",
                                 "ftp://127.0.0.1/", "gopher://127.0.0.1:70/", "jar:file:///x!/y"])  # fmt: skip
@in_loop
async def test_CVE_2026_26217(url: str) -> None:
    """Crawl4AI: a task could name file:// and read the machine's files; by a plain fetch or by the browser."""
    for how in ({}, {"fetch_type": "js"}):
        async with fetcher(browser_endpoint="http://127.0.0.1:1/render") as one:
            fetched = await one.fetch(dispatch(url, **how))
        assert (fetched.error_kind, fetched.content) == ("bad_url", b"")


@in_loop
async def test_CVE_2026_46497() -> None:
    """crawlee-python, GHSA-3r75-xc34-5f44: a sitemap sent the crawler to inner addresses."""
    async with site() as server, fetcher(allow_private=False) as one:
        for inner in INNER:
            url = inner.format(port=server.port)
            sitemap = f"<urlset><url><loc>{url}</loc></url></urlset>".encode()
            index = f"<sitemapindex><sitemap><loc>{url}</loc></sitemap></sitemapindex>".encode()
            named = [entry.url for body in (sitemap, index) for entry in entries(body)]
            named += Rules.parse(f"Sitemap: {url}\n".encode()).sitemaps
            assert len(named) == 3
            for found in named:
                assert (await one.fetch(dispatch(found, timeout=5.0))).error_kind == "address", found
        assert server.connections == 0


def test_CVE_2026_57571(tmp_path: Path) -> None:
    """Crawl4AI, GHSA-2jq4-q6vv-4cp3: the name that a server gave a download led out of its folder."""
    outside = tmp_path / "files"

    async def download(name: str) -> None:
        async with site() as server, fetcher(files_path=str(outside)) as one:
            server.on("/x", answer(b"x", headers=f'Content-Disposition: attachment; filename="{name}"\r\n'))
            await one.fetch(dispatch(f"{server.url}/x", download={"to": "got/{name}"}))
            server.on("/y", answer(b"y", headers=f"Content-Disposition: attachment; filename*=UTF-8''{name}\r\n"))
            await one.fetch(dispatch(f"{server.url}/y", download={"to": "got/{name}"}))

    for name in ("../../escaped", "/etc/escaped", "..\\..\\escaped", "a/../../escaped", "%2e%2e%2fescaped"):
        asyncio.run(download(name))
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert found
    assert all(outside in path.parents for path in found)
    assert not Path("/etc/escaped").exists()


@in_loop
async def test_GHSA_cwxj_rr6w_m6w7() -> None:
    """Scrapy: the Referrer-Policy of a response was looked up and called as Python. R-44 with it."""
    headers = "Referrer-Policy: os.abort\r\nContent-Type: text/html; charset=antigravity\r\nX-Callback: os.abort\r\n"
    before = set(sys.modules)
    async with site() as server:
        server.redirect("/", "/x", headers=headers)
        server.on("/x", answer(b"x", headers=headers))
        fetched = await fetch(f"{server.url}/")
    assert fetched.content == b"x"
    for label in ("antigravity", "os", "../../x", "encodings.os", "this", "__main__", "tests.e2e.site", "zlib", "idna"):
        assert charset.codec_name(label) is None, label
    loaded = {name for name in set(sys.modules) - before if not name.startswith("encodings")}
    assert not loaded & {"antigravity", "this", "tests.e2e.site"}
    assert {301, 302, 303, 307, 308} == redirects.STATUSES


@in_loop
async def test_scrapy_2_11_2_domains() -> None:
    """Scrapy: allowed domains did not hold for requests of every kind. The guard does, and for robots.txt."""
    async with site() as server, fetcher(allow_private=False) as one:
        for options in (
            {},
            {"robots_txt": True},
            {"method": "POST", "data": b"x"},
            {"method": "HEAD"},
            {"session": "s"},
        ):
            fetched = await one.fetch(dispatch(f"{server.url}/", timeout=5.0, **options))
            assert fetched.error_kind in ("address", "robots")
        assert server.connections == 0


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def test_CVE_2021_23727() -> None:
    """Celery: what the result store said was trusted, and named the class that was made and called. Nothing is here."""
    for data in (pickle.dumps(Exploit()), b"\x01" + pickle.dumps(Exploit()), pickle.dumps({"exc_type": "system"})):
        for kind in (Dispatch, Fetched, Outcome, NewTasks):
            with pytest.raises(BadMessage):
                decode(data, kind)
        with pytest.raises(BadMessage):
            decode_status(data)
        for read in (wire.read_to_server, wire.read_to_client):
            with pytest.raises(BadMessage):
                read(data)
    unpickled = re.compile(r"\b(?:pickle|marshal|shelve|dill)\.(?:loads?|Unpickler)|yaml\.(?:load|unsafe_load)\(")
    for path in (ROOT / "crawlkit").rglob("*.py"):
        assert not unpickled.search(path.read_text()), path
