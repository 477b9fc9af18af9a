"""Fetches over real proxies of every kind: who is asked, with which credentials, and what a bad one costs."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
import trustme

from crawlkit.fetcher.proxy_turns import FIRST_PAUSE
from crawlkit.libs.clock import SystemClock
from tests.fetcher.helpers import Handler, answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site
from tests.fetcher.proxies import proxy, socks4, socks5


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """For servers on 127.0.0.1, and the file of the authority that vouches for them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "far.example").configure_cert(context)
    return context, str(tmp_path / "ca.pem")


@in_loop
async def test_http_proxy() -> None:  # T36
    async with site() as server, proxy("user:pa ss") as guarded:
        server.on("/x", lambda headers, body: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
        address = f"127.0.0.1:{guarded.port}"
        denied = await fetch(f"{server.url}/x", proxy=address)
        assert (denied.status_code, denied.content) == (407, b"who are you")
        allowed = await fetch(f"{server.url}/x", proxy=f"http://user:pa%20ss@{address}")
        assert (allowed.status_code, allowed.content) == (200, b"x")
        async with fetcher(proxy=f"user:pa ss@{address}") as one:
            assert (await one.fetch(dispatch(f"{server.url}/x"))).content == b"x"
            before = len(guarded.seen)
            assert (await one.fetch(dispatch(f"{server.url}/x", proxy=False))).content == b"x"
            assert len(guarded.seen) == before
        gone = await fetch(f"{server.url}/x", proxy="127.0.0.1:1")
        assert gone.error_kind in {"proxy", "connect"}
        nowhere = await fetch(f"{server.url}/x", proxy="no-such-proxy.invalid:1")
        assert nowhere.error_kind == "proxy"
        assert all("proxy-authorization" not in headers for _, headers, _ in server.requests)


@in_loop
async def test_a_proxy_that_refuses_a_tunnel() -> None:
    async with proxy("user:secret") as guarded:
        fetched = await fetch("https://127.0.0.1:1/", proxy=f"127.0.0.1:{guarded.port}")
    assert (fetched.status_code, fetched.error_kind) == (599, "proxy")
    assert guarded.seen[0] == ("CONNECT", None)


@in_loop
async def test_proxy_of_the_environment_is_not_used() -> None:
    async with site() as server:
        server.on("/", answer(b"x"))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                patch.setenv(name, "http://127.0.0.1:1")
            assert (await fetch(f"{server.url}/")).content == b"x"


@in_loop
async def test_socks_proxy() -> None:
    async with site() as server, raw_server(socks5) as port:
        server.on("/", answer(b"x"))
        assert (await fetch(f"{server.url}/", proxy=f"socks5://u:p@127.0.0.1:{port}")).content == b"x"
        named = await fetch(f"http://far.example:{server.port}/", proxy=f"socks5h://u:p@127.0.0.1:{port}")
        assert named.content == b"x"
        refused = await fetch(f"{server.url}/", proxy=f"socks5://u:wrong@127.0.0.1:{port}")
        assert (refused.status_code, refused.error_kind) == (599, "proxy")


@in_loop
async def test_a_tunnel_to_tls_keeps_its_credentials_to_itself(tls: tuple[ssl.SSLContext, str]) -> None:
    context, authority = tls
    async with site(context) as server, proxy("u:p") as own, fetcher(ca_file=authority) as one:
        server.on("/", answer(b"secret"))
        url = f"https://127.0.0.1:{server.port}/"
        fetched = await one.fetch(dispatch(url, proxy=f"u:p@127.0.0.1:{own.port}", headers={"Authorization": "mine"}))
        assert (fetched.error, fetched.content) == (None, b"secret")
        header = await one.fetch(
            dispatch(url, proxy=f"127.0.0.1:{own.port}", headers={"Proxy-Authorization": basic("u:p")})
        )
        assert header.content == b"secret"
        assert {method for method, _ in own.seen} == {"CONNECT"}
        assert {given for _, given in own.seen} == {basic("u:p")}
        assert [headers.get("authorization") for _, headers, _ in server.requests] == ["mine", None]
        assert all("proxy-authorization" not in headers for _, headers, _ in server.requests)
        assert ("X-Proxy", "yes") not in fetched.headers  # the tunnel's answer is not the page's
        direct = await one.fetch(dispatch(url))
        assert direct.content == b"secret"


@in_loop
async def test_a_proxy_over_tls(tls: tuple[ssl.SSLContext, str]) -> None:
    context, authority = tls
    async with (
        site() as plain,
        site(context) as server,
        proxy("u:p", context) as own,
        fetcher(ca_file=authority) as one,
    ):
        plain.on("/", answer(b"plain"))
        server.on("/", answer(b"secret"))
        address = f"https://u:p@127.0.0.1:{own.port}"
        assert (await one.fetch(dispatch(f"{plain.url}/", proxy=address))).content == b"plain"
        assert (await one.fetch(dispatch(f"https://127.0.0.1:{server.port}/", proxy=address))).content == b"secret"
        assert {given for _, given in own.seen} == {basic("u:p")}
        unknown = await fetch(f"{plain.url}/", proxy=address)  # nobody vouches for this proxy
        assert unknown.error_kind == "tls"
        untrusting = await fetch(f"{plain.url}/", proxy=address, validate_cert=False)
        assert untrusting.error_kind == "tls"  # the switch is about the site, not about the way there


@pytest.mark.parametrize(
    ("server", "address", "fine"),
    [
        (socks4, "socks4://u@127.0.0.1", True),
        (socks4, "socks4a://u@127.0.0.1", True),
        (socks4, "socks4://x@127.0.0.1", False),
        (socks5, "socks5://u:p@127.0.0.1", True),
        (socks5, "socks5h://u:p@127.0.0.1", True),
        (socks5, "socks5://127.0.0.1", False),
    ],
)
@in_loop
async def test_socks_of_every_kind(tls: tuple[ssl.SSLContext, str], server: Handler, address: str, fine: bool) -> None:
    context, authority = tls
    async with site(context) as web, raw_server(server) as port, fetcher(ca_file=authority) as one:
        web.on("/", answer(b"x"))
        named = "far.example" if address.partition(":")[0] in ("socks4a", "socks5h") else "127.0.0.1"
        for _ in range(2):
            fetched = await one.fetch(dispatch(f"https://{named}:{web.port}/", proxy=f"{address}:{port}"))
            assert fetched.content == (b"x" if fine else b""), fetched.error
            assert fetched.error_kind == (None if fine else "proxy")
        assert web.connections == (1 if fine else 0)  # the second time over the same connection


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"\x00\x01\x02 nonsense\r\n\r\n" * 10)


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(answer(b"no", "403 Forbidden"))


@pytest.mark.parametrize(
    ("server", "address", "url", "kinds"),
    [
        (closes, "", "http://far.example/", {"reset"}),
        (closes, "", "https://far.example/", {"proxy", "reset"}),
        (closes, "socks5://", "http://127.0.0.1:1/", {"proxy"}),
        (closes, "socks5h://", "http://far.example/", {"proxy"}),
        (babbles, "", "http://far.example/", {"protocol"}),
        (babbles, "", "https://far.example/", {"proxy", "protocol"}),
        (babbles, "socks5h://", "http://far.example/", {"proxy"}),
        (babbles, "socks4a://", "http://far.example/", {"proxy"}),
        (is_silent, "", "http://far.example/", {"timeout"}),
        (is_silent, "", "https://far.example/", {"connect_timeout", "timeout"}),
        (is_silent, "socks5h://", "http://far.example/", {"connect_timeout", "timeout"}),
        (refuses, "", "https://far.example/", {"proxy"}),
    ],
)
@in_loop
async def test_bad_proxies(server: Handler, address: str, url: str, kinds: set[str]) -> None:
    async with raw_server(server) as port:
        fetched = await fetch(url, proxy=f"{address}u:secret@127.0.0.1:{port}", timeout=0.8, connect_timeout=0.4)
    assert fetched.status_code == 599
    assert fetched.error_kind in kinds, fetched.error
    assert "secret" not in (fetched.error or "")


class Later(SystemClock):
    """The machine's clock, some time ahead."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@in_loop
async def test_a_list_takes_turns_and_leaves_out_who_failed() -> None:
    url = "http://far.example/"
    async with site() as first, site() as second, fetcher() as one:
        clock = one.clock = Later()
        for web in (first, second):
            web.on(url, answer(b"x"))
        pool = [f"a:1@127.0.0.1:{first.port}", "127.0.0.1:1", f"b:2@127.0.0.1:{second.port}"]

        async def kinds(count: int) -> list[str | None]:
            return [(await one.fetch(dispatch(url, proxy=pool))).error_kind for _ in range(count)]

        assert await kinds(8) == [None, "connect", None, None, None, None, None, None]
        given = [[headers["proxy-authorization"] for headers in web.asked(url)] for web in (first, second)]
        assert given == [[basic("a:1")] * 4, [basic("b:2")] * 3]  # each its own credentials, and no other's
        clock.ahead = FIRST_PAUSE
        assert sorted(await kinds(3), key=str) == [None, None, "connect"]
        clock.ahead += FIRST_PAUSE
        assert await kinds(6) == [None] * 6  # twice as long now
        second.on(url, answer(b"who are you", "407 Proxy Authentication Required"))
        statuses = [(await one.fetch(dispatch(url, proxy=pool))).status_code for _ in range(5)]
        assert sorted(statuses) == [200, 200, 200, 200, 407]
        assert first.connections == second.connections == 1


@in_loop
async def test_a_list_of_nothing_but_dead_ones() -> None:
    async with site() as server, fetcher() as one:
        pool = ["127.0.0.1:1", "127.0.0.1:2"]
        fetches = [await one.fetch(dispatch(f"{server.url}/", proxy=pool)) for _ in range(5)]
        assert {fetched.error_kind for fetched in fetches} == {"connect"}
        assert server.connections == 0  # never without a proxy
        bad = await one.fetch(dispatch(f"{server.url}/", proxy=["127.0.0.1:1", "nonsense://x"]))
        assert bad.error_kind == "bad_request"
        server.on("/", answer(b"x"))
        assert (await one.fetch(dispatch(f"{server.url}/", proxy=[]))).content == b"x"


@in_loop
async def test_all_hops_of_a_fetch_and_its_robots_take_one_turn() -> None:
    async with site() as server, site() as first, site() as second, fetcher() as one:
        for web in (first, second):
            web.redirect("http://far.example/", "http://far.example/x")
            web.on("http://far.example/x", answer(b"x"))
            web.on("http://far.example/robots.txt", answer(b"User-agent: *\nDisallow: /no\n"))
        pool = [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"]
        for _ in range(2):
            assert (await one.fetch(dispatch("http://far.example/", proxy=pool, robots_txt=True))).content == b"x"
        asked = [[line.split()[1].rpartition("/")[2] for line, _, _ in web.requests] for web in (first, second)]
        assert asked == [["robots.txt", "", "x"], ["", "x"]]
        assert server.connections == 0


@in_loop
async def test_a_dead_proxy_of_a_list_does_not_close_the_origin() -> None:
    """That its robots.txt cannot be had over this proxy says nothing about the rules."""
    async with site() as web, fetcher() as one:
        web.on("http://far.example/x", answer(b"x"))
        web.on("http://far.example/robots.txt", answer(b""))
        pool = ["127.0.0.1:1", f"127.0.0.1:{web.port}"]
        kinds = [
            (await one.fetch(dispatch("http://far.example/x", proxy=pool, robots_txt=True))).error_kind
            for _ in range(3)
        ]
        assert kinds == ["connect", None, None]
        alone = await one.fetch(dispatch("http://far.example/x", proxy="127.0.0.1:1", robots_txt=True))
        assert alone.error_kind == "robots"
