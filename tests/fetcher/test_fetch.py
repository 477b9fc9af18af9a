"""Whole fetches against real servers: PARITY T30-T38 and the order of things."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib

import brotli
import pytest
import zstandard

from crawlkit.database.registry import connect_blobdb
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.messages import MAX_INLINE_BODY
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site


def echo(headers: dict[str, str], body: bytes) -> bytes:
    return answer(json.dumps({"headers": headers, "body": body.decode("latin-1")}).encode())


@in_loop
async def test_get_with_cookies_from_both_places() -> None:  # T30
    async with site() as server:
        server.on("/get", echo)
        fetched = await fetch(
            f"{server.url}/get",
            headers={"Cookie": "a=1; b=2", "X-Own": "ü"},
            cookies={"c": "3", "b": "4"},
            save={"k": [1]},
        )
    assert fetched.status_code == 200
    assert (fetched.error, fetched.error_kind) == (None, None)
    assert fetched.orig_url == fetched.url == f"{server.url}/get"
    assert fetched.task.fetch.save == {"k": [1]}
    assert fetched.node == "node"
    sent = json.loads(fetched.content)["headers"]
    assert sent["cookie"] == "a=1; c=3; b=4" or sorted(sent["cookie"].split("; ")) == ["a=1", "b=4", "c=3"]
    assert sent["x-own"].encode("latin-1").decode() == "ü"
    assert sent["user-agent"].startswith("crawlkit/")
    assert sent["accept-encoding"] == "gzip, deflate, br, zstd"
    assert fetched.cookies == {"a": "1", "b": "4", "c": "3"}


@pytest.mark.parametrize(
    ("options", "line", "body", "content_type"),
    [
        ({}, "GET", b"", None),
        ({"data": b"a=1"}, "POST", b"a=1", "application/x-www-form-urlencoded"),
        ({"data": b"\x00\xff\r\n", "headers": {"content-type": "x/y"}}, "POST", b"\x00\xff\r\n", "x/y"),
        ({"method": "POST"}, "POST", b"", None),
        ({"method": "put"}, "PUT", b"", None),
        ({"method": "PUT", "data": b"x"}, "PUT", b"x", None),
        ({"method": "PATCH", "data": b"x"}, "PATCH", b"x", None),
        ({"method": "DELETE"}, "DELETE", b"", None),
        ({"method": "DELETE", "data": b"x"}, "DELETE", b"x", None),
        ({"method": "OPTIONS"}, "OPTIONS", b"", None),
        ({"method": "GET", "data": b"x"}, "GET", b"x", None),
        ({"method": "POST", "data": b"x" * 3_000_000}, "POST", b"x" * 3_000_000, "application/x-www-form-urlencoded"),
    ],
)
@in_loop
async def test_methods_and_bodies(options: dict[str, object], line: str, body: bytes, content_type: str | None) -> None:
    async with site() as server:
        server.on("/x", answer(b"fine"))
        fetched = await fetch(f"{server.url}/x", **options)
        assert fetched.content == b"fine"
        [(got, headers, sent)] = server.requests
        assert got == f"{line} /x HTTP/1.1"
        assert sent == body
        assert headers.get("content-type") == content_type
        if line in ("POST", "PUT", "PATCH"):
            assert headers["content-length"] == str(len(body))
        assert "expect" not in headers


@in_loop
async def test_head_has_headers_and_no_body() -> None:
    async with raw_server(lambda r, w: _reply(r, w, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX: y\r\n\r\n")) as port:
        fetched = await fetch(f"http://127.0.0.1:{port}/", method="HEAD")
    assert (fetched.status_code, fetched.content) == (200, b"")
    assert ("X", "y") in fetched.headers


async def _reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: bytes) -> None:
    await read_request(reader)
    writer.write(reply)
    await writer.drain()


@in_loop
async def test_headers_stay_apart_and_in_order() -> None:
    reply = answer(
        b"", headers="Set-Cookie: a=1\r\nX-B: 1\r\nSet-Cookie: b=2\r\nX-b:  two \r\nEmpty:\r\n\xe9: \xe9\r\n"
    )
    async with site() as server:
        server.on("/", reply)
        fetched = await fetch(f"{server.url}/")
    assert fetched.headers[1:] == [
        ("Set-Cookie", "a=1"),
        ("X-B", "1"),
        ("Set-Cookie", "b=2"),
        ("X-b", "two"),
        ("Empty", ""),
        ("é", "é"),
    ]
    assert fetched.cookies == {"a": "1", "b": "2"}


@in_loop
async def test_interim_answers_and_trailers_are_not_the_headers() -> None:
    reply = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
        b"3\r\nabc\r\n0\r\nTrailing: t\r\n\r\n"
    )
    async with site() as server:
        server.on("/", reply)
        fetched = await fetch(f"{server.url}/")
    assert fetched.content == b"abc"
    assert fetched.headers == [("Transfer-Encoding", "chunked"), ("X", "y")]


@in_loop
async def test_data_url_needs_no_network() -> None:  # T31
    fetched = await fetch("data:text/plain;charset=utf-8,h%C3%A9,x", save=3)
    assert (fetched.status_code, fetched.content, fetched.size) == (200, "hé,x".encode(), 5)
    assert fetched.headers == [("Content-Type", "text/plain;charset=utf-8")]
    broken = await fetch("data:nothing")
    assert (broken.status_code, broken.error_kind) == (599, "bad_url")


@in_loop
async def test_timeout_ends_a_slow_page() -> None:  # T33
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()  # until the client gives up

    async with raw_server(slow) as port:
        began = time.monotonic()
        fetched = await fetch(f"http://127.0.0.1:{port}/x", timeout=0.6, save="s")
    assert 0.5 <= time.monotonic() - began < 2
    assert (fetched.status_code, fetched.error_kind) == (599, "timeout")
    assert fetched.orig_url == f"http://127.0.0.1:{port}/x"
    assert fetched.task.fetch.save == "s"
    assert 0.5 < fetched.time < 2


@in_loop
async def test_timeout_holds_over_all_redirects() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await asyncio.sleep(0.25)
            writer.write(answer(b"", "302 Found", "Location: /again\r\n"))

    async with raw_server(slow) as port:
        began = time.monotonic()
        fetched = await fetch(f"http://127.0.0.1:{port}/x", timeout=0.9, max_redirects=50)
    assert time.monotonic() - began < 2
    assert fetched.error_kind == "timeout"
    assert 2 <= len(fetched.history) <= 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("418 I'm a teapot", "HTTP 418: I'm a teapot"),
        ("404", "HTTP 404: Not Found"),
        ("799 ", "HTTP 799: Unknown"),
        ("304 Not Modified", "HTTP 304: Not Modified"),
    ],
)
@in_loop
async def test_a_status_is_an_error_but_not_a_failure(status: str, error: str) -> None:  # T34, F05
    async with site() as server:
        server.on("/", f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        fetched = await fetch(f"{server.url}/")
    assert fetched.status_code == int(status[:3])
    assert (fetched.error, fetched.error_kind) == (error, None)


@in_loop
async def test_the_body_of_an_error_page() -> None:  # T34
    async with site() as server:
        fetched = await fetch(f"{server.url}/gone")
    assert (fetched.status_code, fetched.content) == (404, b"nothing here")


CODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize(
    "coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, br", "BR,zstd", "identity", "utf-8", "none, gzip"]
)
@in_loop
async def test_codings(coding: str) -> None:
    page = b"<p>hello</p>" * 20_000
    body = page
    if coding not in ("utf-8", "none, gzip"):
        for name in coding.lower().split(","):
            body = CODERS.get(name.strip(), bytes)(body)
    async with site() as server:
        server.on("/", answer(body, headers=f"Content-Encoding: {coding}\r\n"))
        fetched = await fetch(f"{server.url}/")
    assert fetched.error is None
    assert fetched.content == page
    assert fetched.size == len(page)


@in_loop
async def test_use_gzip_off_asks_for_nothing() -> None:
    async with site() as server:
        server.on("/", answer(b"x"))
        await fetch(f"{server.url}/", use_gzip=False)
        assert "accept-encoding" not in server.requests[0][1]


@in_loop
async def test_redirects_and_their_history() -> None:  # T37
    async with site() as server:
        for number in range(10):
            server.redirect(f"/{number}", f"{number + 1}" if number % 2 else f"{server.url}/{number + 1}#f{number}")
        server.on("/10", answer(b"there"))
        async with fetcher() as one:
            failed = await one.fetch(dispatch(f"{server.url}/0"))
            assert (failed.status_code, failed.error_kind) == (599, "redirects")
            assert (failed.error or "").startswith(f"Maximum (5) redirects followed: {server.url}/0 (302), ")
            assert [url.rpartition("/")[2][0] for _, url in failed.history] == list("012345")
            passed = await one.fetch(dispatch(f"{server.url}/0", max_redirects=10))
            assert (passed.status_code, passed.content) == (200, b"there")
            assert passed.url == f"{server.url}/10#f8"
            assert passed.orig_url == f"{server.url}/0"
            assert len(passed.history) == 10
            assert passed.history[0] == (302, f"{server.url}/0")
            stayed = await one.fetch(dispatch(f"{server.url}/0", allow_redirects=False))
            assert (stayed.status_code, stayed.content, stayed.history) == (302, b"moved", [])
            assert stayed.error == "HTTP 302: Moved"
            none = await one.fetch(dispatch(f"{server.url}/0", max_redirects=0))
            assert none.error_kind == "redirects"
        assert server.connections == 1


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "gopher://x/", "http://", "javascript:1"]
)
@in_loop
async def test_redirects_that_are_not_followed(target: str) -> None:
    async with site() as server:
        server.redirect("/", target)
        fetched = await fetch(f"{server.url}/")
    assert (fetched.status_code, fetched.error_kind) == (599, "bad_redirect")
    assert fetched.history == [(302, f"{server.url}/")]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "x", "http://a b/", "dict://127.0.0.1/"]
)
@in_loop
async def test_only_http_is_fetched(url: str) -> None:
    fetched = await fetch(url)
    assert (fetched.status_code, fetched.error_kind, fetched.url) == (599, "bad_url", url)


@in_loop
async def test_cookies_set_on_the_way_arrive() -> None:  # T37
    async with site() as server:
        server.redirect(
            "/start",
            "/in/next",
            headers="Set-Cookie: hop=1; Path=/\r\nSet-Cookie: mine=new; Path=/\r\n"
            "Set-Cookie: deep=1; Path=/elsewhere\r\n",
        )
        server.redirect(
            "/in/next", "/end", 303, "Set-Cookie: gone=; Path=/; Max-Age=0\r\nSet-Cookie: second=2; Path=/\r\n"
        )
        server.on("/end", answer(b"x", headers="Set-Cookie: third=3\r\n"))
        fetched = await fetch(f"{server.url}/start", cookies={"mine": "old", "gone": "x", "kept": "k"})
        sent = [sorted(headers["cookie"].split("; ")) for _, headers, _ in server.requests]
    assert sent == [
        ["gone=x", "kept=k", "mine=old"],
        ["gone=x", "hop=1", "kept=k", "mine=new"],
        ["hop=1", "kept=k", "mine=new", "second=2"],
    ]
    assert fetched.cookies == {"kept": "k", "mine": "new", "hop": "1", "deep": "1", "second": "2", "third": "3"}


@in_loop
async def test_nothing_secret_reaches_another_origin() -> None:
    async with site() as home, site() as away:
        home.redirect("/", f"{away.url}/x", headers="Set-Cookie: jar=1; Path=/\r\n")
        away.redirect("/x", f"{home.url}/back")
        home.on("/back", answer(b"home"))
        secrets = {
            "Authorization": "Bearer s",
            "Cookie": "s=1",
            "X-Api-Key": "s",
            "Proxy-Authorization": "s",
            "Referer": f"{home.url}/s?s",
        }
        fetched = await fetch(f"{home.url}/", headers=secrets, cookies={"c": "s"}, user_agent="me")
        assert fetched.content == b"home"
        assert home.requests[0][1]["authorization"] == "Bearer s"
        assert "proxy-authorization" not in home.requests[0][1]
        [outside] = away.asked("/x")
        [back] = home.asked("/back")
    for headers in (outside, back):
        assert set(headers) == {"host", "accept", "user-agent", "accept-encoding", "referer", "cookie"}
        assert headers["cookie"] == "jar=1"  # cookies know hosts, not ports (RFC 6265, 8.5): the server's own choice
        assert headers["referer"] == f"{home.url}/"
    assert outside["host"] == f"127.0.0.1:{away.port}"


@in_loop
async def test_credentials_in_the_url() -> None:
    async with site() as server:
        server.on("/x", answer(b"x"))
        async with fetcher() as one:
            fetched = await one.fetch(dispatch(f"http://user:pa%3Ass@127.0.0.1:{server.port}/x"))
            assert fetched.url == f"{server.url}/x"
            await one.fetch(dispatch(f"http://127.0.0.1:{server.port}/x"))
        first, second = server.asked("/x")
        assert first["authorization"] == "Basic dXNlcjpwYTpzcw=="
        assert "authorization" not in second


SAVED = {"saved_etag": '"old"', "saved_last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("options", "etag", "modified"),
    [
        ({}, None, None),
        (SAVED, '"old"', "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({**SAVED, "etag": True, "last_modified": True}, '"old"', "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({**SAVED, "etag": False, "last_modified": False}, None, None),
        ({**SAVED, "etag": '"mine"', "last_modified": False}, '"mine"', None),
        ({"etag": '"mine"', "last_modified": "now"}, '"mine"', "now"),
        ({**SAVED, "headers": {"if-none-match": '"h"', "IF-MODIFIED-SINCE": "h"}}, '"h"', "h"),
    ],
)
@in_loop
async def test_conditional_get(options: dict[str, object], etag: str | None, modified: str | None) -> None:  # H49
    async with site() as server:
        server.on(
            "/", lambda headers, _: answer(b"", "304 Not Modified") if "if-none-match" in headers else answer(b"new")
        )
        fetched = await fetch(f"{server.url}/", **options)
        headers = server.requests[0][1]
    assert headers.get("if-none-match") == etag
    assert headers.get("if-modified-since") == modified
    assert fetched.status_code == (304 if etag else 200)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X\r\nY": "b"}},
        {"headers": {"X": "a\0"}},
        {"headers": {"": "x"}},
        {"headers": {"X Y": "b"}},
        {"headers": {"X:": "b"}},
        {"user_agent": "a\nb"},
        {"cookies": {"a": "b\r\nX: y"}},
        {"cookies": {"a\nb": "c"}},
        {"method": "GET / HTTP/1.1\r\nX: y"},
        {"method": ""},
        {"method": "CONNECT"},
        {"etag": "a\r\nb"},
        {"last_modified": "a\nb"},
        {"proxy": "p:1\r\nX: y"},
        {"headers": {"Cookie": "a\nb"}},
        {"headers": {"X": "\ud800"}},
        {"timeout": float("nan")},
        {"timeout": -1.0},
        {"connect_timeout": float("inf")},
        {"proxy": "nonsense://x"},
        {"headers": {"Proxy-Authorization": "a\r\nb"}, "proxy": "127.0.0.1:1"},
        {"saved_etag": "a\r\nb"},
    ],
)
@in_loop
async def test_what_cannot_be_sent_is_refused_before_the_wire(options: dict[str, object]) -> None:
    async with site() as server:
        fetched = await fetch(f"{server.url}/", **options)
        assert server.connections == 0
    assert (fetched.status_code, fetched.error_kind) == (599, "bad_request")


@in_loop
async def test_robots() -> None:  # T38
    async with site() as server:
        server.redirect("/robots.txt", "/rules")
        server.on("/rules", answer(b"User-agent: crawlkit\nDisallow: /no\n"))
        server.on("/yes", answer(b"yes"))
        server.on("/no", answer(b"no"))
        server.redirect("/trap", "/no")
        async with fetcher() as one:
            fetches = [
                one.fetch(dispatch(f"{server.url}/{path}", robots_txt=True)) for path in ("no", "yes", "trap", "no")
            ]
            no, yes, trap, _ = await asyncio.gather(*fetches)
            assert (no.status_code, no.error_kind) == (403, "robots")
            assert no.error == "Disallowed by robots.txt, line 2: Disallow: /no"
            assert (yes.status_code, yes.content) == (200, b"yes")
            assert (trap.status_code, trap.error_kind, len(trap.history)) == (403, "robots", 1)
            free = await one.fetch(dispatch(f"{server.url}/no"))
            assert free.content == b"no"
            secret = await one.fetch(dispatch(f"{server.url}/yes", robots_txt=True, headers={"Authorization": "s"}))
            assert secret.status_code == 200
        assert len(server.asked("/robots.txt")) == 1
        assert "authorization" not in server.asked("/robots.txt")[0]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (answer(b"", "404 Not Found"), 200),
        (answer(b"", "403 Forbidden"), 200),
        (answer(b"", "503 Busy"), 403),
        (b"", 403),
        (answer(b"", "302 Found", "Location: /robots.txt\r\n"), 200),
    ],
)
@in_loop
async def test_robots_that_are_not_there(reply: bytes, status: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        writer.write(reply if "robots" in line else answer(b"page"))
        await writer.drain()

    async with raw_server(serve) as port:
        fetched = await fetch(f"http://127.0.0.1:{port}/page", robots_txt=True)
    assert fetched.status_code == status
    assert fetched.error_kind == (None if status == 200 else "robots")


@in_loop
async def test_a_silent_robots_takes_no_more_than_the_time_of_the_task() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        line, _, _ = await read_request(reader)
        asked += 1
        assert "robots" in line
        await reader.read()

    async with raw_server(serve) as port:
        one = Fetcher(FetcherSettings(), SystemClock(), "node")
        tasks = [dispatch(f"http://127.0.0.1:{port}/", robots_txt=True, timeout=time) for time in (0.3, 0.5)]
        found = await asyncio.gather(*[one.fetch(task) for task in tasks])
        assert [fetched.error_kind for fetched in found] == ["timeout", "timeout"]
        assert all(fetched.time < 2 for fetched in found)
        assert asked == 1
        await one.close()  # and what still waits for it


@in_loop
async def test_robots_of_half_a_gigabyte_is_cut() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        if "robots" not in line:
            writer.write(answer(b"page"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\nUser-agent: *\nDisallow: /no\n")
        while True:
            writer.write(b"# filler\n" * 1000)
            await writer.drain()

    async with raw_server(serve) as port, fetcher() as one:
        assert (await one.fetch(dispatch(f"http://127.0.0.1:{port}/no", robots_txt=True))).status_code == 403
        assert (await one.fetch(dispatch(f"http://127.0.0.1:{port}/yes", robots_txt=True))).status_code == 200


@in_loop
async def test_a_large_body_goes_to_the_blobs() -> None:
    small, large = b"s" * MAX_INLINE_BODY, bytes(range(256)) * 20_000
    blobs = connect_blobdb("memory://")
    async with site() as server, fetcher(blobs=blobs) as one:
        server.on("/small", answer(small))
        server.on("/large", answer(large))
        fetched = await one.fetch(dispatch(f"{server.url}/small"))
        assert (fetched.blob, fetched.content) == (None, small)
        fetched = await one.fetch(dispatch(f"{server.url}/large"))
        assert fetched.content == b""
        assert fetched.size == len(large)
        assert fetched.blob is not None
        assert b"".join(blobs.read(fetched.blob)) == large


@in_loop
async def test_a_blob_store_that_is_down_is_waited_for() -> None:
    class Flaky:
        tries = 0

        def create(self, chunks: list[bytes], key: str) -> str:
            self.tries += 1
            if self.tries < 3:
                raise StoreUnavailable("disk full")
            return f"{key}:{sum(map(len, chunks))}"

    async with site() as server, fetcher(blobs=Flaky()) as one:
        server.on("/", answer(b"x" * 2_000_000))
        assert (await one.fetch(dispatch(f"{server.url}/"))).blob == "p/t/1:2000000"


@in_loop
async def test_a_slow_large_download_is_one_fetch() -> None:
    size, piece = 30 * 2**20, 40_000

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for start in range(0, size, piece):
            writer.write(b"d" * min(piece, size - start))
            await writer.drain()
            if start % (100 * piece) == 0:
                await asyncio.sleep(0.1)

    blobs = connect_blobdb("memory://")
    async with raw_server(slow) as port, fetcher(blobs=blobs) as one:
        fetched = await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))
        assert (fetched.error, fetched.size) == (None, size)
        assert sum(map(len, blobs.read(fetched.blob or ""))) == size
