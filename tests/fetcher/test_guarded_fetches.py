"""The address guard in whole fetches: by every way in, on the address that is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pycurl
import pytest

from crawlkit.fetcher import curl, request
from crawlkit.libs import address_guard
from crawlkit.libs.errors import FetchError
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, site
from tests.fetcher.proxies import proxy

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "127.0.0.1.", "0x7f.1", "0x7f000001", "0X7F.0.0.1",
    "2130706433", "017700000001", "0177.0.0.01", "0", "0.0.0.0", "0x0", "00", "①②⑦.⓪.⓪.①", "127。0。0。1",
    "%31%32%37.0.0.1", "127%2E0.0.1", "localhost", "LOCALHOST", "localhost.", "loca%6Chost",
    "user@localhost", "example.com@127.0.0.1", "a:b@localhost",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1]", "[fc00::1]", "[fd12:3456::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]",
    "[::ffff:10.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b:1::1]",
    "169.254.169.254", "0xA9FEA9FE", "2852039166", "169.254.43518", "0251.0376.0251.0376", "[::ffff:169.254.169.254]",
    "10.0.0.1", "10.255.255.1", "10.1", "167772161", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.257",
    "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PRIVATE = [f"http://{host}:{{port}}/" for host in HOSTS]
PRIVATE += [
    "http:/127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
]


@pytest.fixture
def loopback_is_public() -> Iterator[None]:
    """127.0.0.1 stands for a public server; all else is judged as ever."""
    real, named = address_guard.refusal, address_guard.host_refusal
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(address_guard, "refusal", lambda address: None if address == "127.0.0.1" else real(address))
        patch.setattr(address_guard, "host_refusal", lambda host: None if host == "127.0.0.1" else named(host))
        yield


@pytest.mark.parametrize("url", PRIVATE)
@in_loop
async def test_private_addresses_are_refused(url: str) -> None:
    async with site() as server, fetcher(allow_private=False) as one:
        url = url.format(port=server.port)
        began = asyncio.get_running_loop().time()
        fetched = await one.fetch(dispatch(url, timeout=5.0))
        assert (fetched.status_code, fetched.error_kind) == (599, "address"), fetched.error
        assert asyncio.get_running_loop().time() - began < 1
        robots = await one.fetch(dispatch(url, timeout=5.0, robots_txt=True))
        assert robots.error_kind in {"address", "robots"}
        proxied = await one.fetch(dispatch("http://example.com/", timeout=5.0, proxy=f"127.0.0.1:{server.port}"))
        assert proxied.error_kind == "address"
        assert server.connections == 0


@in_loop
async def test_the_operators_proxy_may_be_private_but_not_its_targets() -> None:
    async with site() as server, proxy() as own, fetcher(allow_private=False, proxy=f"127.0.0.1:{own.port}") as one:
        for host in ("127.0.0.1", "localhost", "x.internal", "0x7f.1"):
            fetched = await one.fetch(dispatch(f"http://{host}:{server.port}/"))
            assert fetched.error_kind == "address"
        assert own.seen == []
        through = await one.fetch(dispatch("http://example.invalid:1/"))
        assert through.error_kind != "address"
        assert len(own.seen) == 1


@in_loop
async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name that resolves to a private address: the check sits in the connection itself, not before it."""
    async with site() as server, fetcher(allow_private=False) as one:
        rebound = f"http://rebound.example:{server.port}/"
        session = one.engine.session()

        def configured(handle: pycurl.Curl, *args: object) -> None:
            original(handle, *args)  # type: ignore[arg-type]
            handle.setopt(pycurl.RESOLVE, [f"rebound.example:{server.port}:127.0.0.1"])

        original = curl.configure
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(curl, "configure", configured)
            with pytest.raises(FetchError) as caught:
                await session.send(request.plan_of(dispatch(rebound), one.settings))
        session.close()
        assert caught.value.kind == "address"
        assert server.connections == 0


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("target", [
    "http://127.0.0.2:{port}/", "http://[::1]:{port}/", "http://0x7f.2:{port}/", "http://[::ffff:127.0.0.2]:{port}/", "http://0:{port}/",
    "http://169.254.169.254/latest/meta-data/", "//10.0.0.1/", "http://user@192.168.1.1/", "https://[fd00::1]/",
])  # fmt: skip
@in_loop
async def test_redirects_into_the_private(target: str) -> None:
    async with site() as server, fetcher(allow_private=False) as one:
        target = target.format(port=server.port)
        server.redirect("/", target)
        server.redirect("/robots.txt", target)
        server.on("/x", answer(b"x"))
        fetched = await one.fetch(dispatch(f"{server.url}/", timeout=5.0))
        assert (fetched.error_kind, len(fetched.history)) == ("address", 1), fetched.error
        rules = await one.fetch(dispatch(f"{server.url}/x", timeout=5.0, robots_txt=True))
        assert rules.error_kind == "robots"
        over = await one.fetch(
            dispatch("http://example.com/", timeout=5.0, proxy=target.rpartition("//")[2].strip("/"))
        )
        assert over.error_kind in {"address", "bad_request"}
        assert [line.split()[1] for line, _, _ in server.requests] == ["/", "/robots.txt"]


@in_loop
async def test_redirects_behind_the_operators_proxy() -> None:
    """What a public page behind the proxy redirects to is not asked for either."""
    async with site() as own, fetcher(allow_private=False, proxy=f"127.0.0.1:{own.port}") as one:
        for number, target in enumerate(["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0x7f.1/"]):
            own.redirect(f"http://a.example/{number}", target)
            fetched = await one.fetch(dispatch(f"http://a.example/{number}"))
            assert (fetched.error_kind, len(fetched.history)) == ("address", 1)
        assert len(own.requests) == 4


@in_loop
async def test_a_task_may_not_name_the_operators_private_proxy() -> None:
    """Not even while a connection to it is open."""
    async with site() as own, fetcher(allow_private=False, proxy=f"127.0.0.1:{own.port}") as one:
        own.on("http://a.example/", answer(b"x"))
        assert (await one.fetch(dispatch("http://a.example/"))).content == b"x"
        for spelling in (f"127.0.0.1:{own.port}", f"localhost:{own.port}", f"socks5://127.0.0.1:{own.port}"):
            assert (await one.fetch(dispatch("http://a.example/", proxy=spelling))).error_kind == "address"
        assert len(own.requests) == 1


@in_loop
async def test_without_the_guard_everything_is_allowed() -> None:
    async with site() as server, fetcher(allow_private=True) as one:
        server.on("/", answer(b"x"))
        for host in ("127.0.0.1", "localhost", "0x7f.1", "2130706433"):
            assert (await one.fetch(dispatch(f"http://{host}:{server.port}/"))).content == b"x"
