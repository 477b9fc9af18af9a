"""Secrets that travelled to somebody else: over redirects, by proxies, with cookies. Each attack replayed by its id."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from crawlkit.fetcher import request
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.errors import FetchError
from crawlkit.libs.messages import Fetched
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site
from tests.fetcher.proxies import proxy

Seen = dict[str, str]


async def led_away(
    status: int = 302, before: str = "http://a.example/", after: str = "http://b.example/", **task: object
) -> tuple[Seen, bytes, Fetched]:
    """What the second server is told when the first one redirects; one proxy plays all hosts."""
    async with site() as web, fetcher(proxy=web.url) as one:
        web.redirect(before, after, status)
        web.on(after, answer(b"end"))
        fetched = await one.fetch(dispatch(before, **task))
        told = [(headers, body) for line, headers, body in web.requests if line.split(" ")[1] == after]
    return (*told[0], fetched) if told else ({}, b"", fetched)


SECRETS = {"Authorization": "Bearer s3cret", "authorization": "Basic s3cret", "AUTHORIZATION": "s3cret"}


async def authorization_stays(before: str, after: str, status: int = 302) -> None:
    for name, value in SECRETS.items():
        told, _, fetched = await led_away(status, before, after, headers={name: value})
        assert fetched.content == b"end"
        assert told
        assert "s3cret" not in json.dumps(told)


@in_loop
async def test_CVE_2021_41125() -> None:
    """Scrapy, GHSA-jwqp-28gf-p498: HTTP credentials of a spider went to every host, for robots.txt too."""
    async with site() as home, site() as other, fetcher() as one:
        for server in (home, other):
            server.on("/", answer(b"x"))
        login = {"headers": {"Authorization": "Basic s3cret"}, "robots_txt": True}
        await one.fetch(dispatch(f"{home.url}/", **login))
        await one.fetch(dispatch(f"{other.url}/", robots_txt=True))
        assert home.asked("/")[0]["authorization"] == "Basic s3cret"
        assert all("authorization" not in headers for headers in [*home.asked("/robots.txt"), *other.asked("/")])


@in_loop
async def test_CVE_2021_41124() -> None:
    """scrapy-splash, GHSA-823f-cwm9-4g74: the renderer's credentials went to the sites."""
    reply = json.dumps({"status_code": 200, "url": "http://a.example/", "content": "x"}).encode()
    async with site() as service, site() as page:
        service.on("/render", answer(reply))
        page.on("/", answer(b"x"))
        async with fetcher(browser_endpoint=f"{service.url}/render", browser_token="s3cret-token") as one:
            await one.fetch(dispatch(f"{page.url}/", fetch_type="js", robots_txt=True))
            await one.fetch(dispatch(f"{page.url}/"))
        assert any("s3cret-token" in json.dumps(headers) for _, headers, _ in service.requests)
        assert "s3cret-token" not in json.dumps([(line, headers) for line, headers, _ in page.requests])


@in_loop
async def test_CVE_2022_0577() -> None:
    """Scrapy, GHSA-cjvr-mfj7-j4j8: cookies of the user were kept over a redirect to another host."""
    for given in ({"cookies": {"sid": "s3cret"}}, {"headers": {"Cookie": "sid=s3cret"}}):
        told, _, fetched = await led_away(**given)  # type: ignore[arg-type]
        assert fetched.content == b"end"
        assert "cookie" not in told


@in_loop
async def test_GHSA_mfjm_vh54_3f96() -> None:
    """Scrapy: a cookie for a public suffix was taken, so that one site planted cookies for another."""
    for suffix in ("co.uk", "github.io", "com"):
        async with site() as web, fetcher(proxy=web.url) as one:
            web.on(f"http://evil.{suffix}/", answer(b"x", headers=f"Set-Cookie: sid=evil; Domain={suffix}; Path=/\r\n"))
            first = await one.fetch(dispatch(f"http://evil.{suffix}/", session="s"))
            victim = dispatch(f"http://victim.{suffix}/", session="s")
            victim.jar = first.jar or []
            await one.fetch(victim)
            assert "cookie" not in web.asked(f"http://victim.{suffix}/")[0], suffix


@in_loop
async def test_CVE_2023_46218() -> None:
    """curl: a public suffix in mixed case got a cookie for all."""
    async with site() as web, fetcher(proxy=web.url) as one:
        cookie = "Set-Cookie: sid=evil; Domain=co.UK; Path=/\r\n"
        web.on("http://curl.co.uk/", answer(b"x", headers=cookie))
        web.on("http://CURL.CO.UK/", answer(b"x", headers=cookie))
        first = await one.fetch(dispatch("http://CURL.CO.UK/", session="s"))
        assert first.content == b"x"
        assert not first.jar


@in_loop
async def test_CVE_2015_2296() -> None:
    """requests: a cookie without a domain went to whatever host came next."""
    async with site() as web, fetcher(proxy=web.url) as one:
        web.redirect("http://a.example/", "http://b.example/", headers="Set-Cookie: sid=s3cret; Path=/\r\n")
        web.on("http://b.example/", answer(b"end"))
        fetched = await one.fetch(dispatch("http://a.example/", session="s"))
        assert fetched.content == b"end"
        assert "cookie" not in web.asked("http://b.example/")[0]


@in_loop
async def test_GHSA_9x8m_2xpf_crp3() -> None:
    """Scrapy: one proxy's credentials were sent to the next proxy."""
    async with site() as server, proxy() as first, proxy() as second, fetcher(poolsize=1) as one:
        server.on("/", answer(b"x"))
        await one.fetch(dispatch(f"{server.url}/", proxy=f"u:s3cret@127.0.0.1:{first.port}"))
        await one.fetch(dispatch(f"{server.url}/", proxy=f"127.0.0.1:{second.port}"))
        assert first.seen[0][1] == "Basic " + base64.b64encode(b"u:s3cret").decode()
        assert second.seen == [("GET", None)]


@in_loop
async def test_tornado_6_5_7() -> None:
    """Tornado: a handle of libcurl was not reset, so that credentials of proxies rode on with the next request."""
    async with site() as server, proxy() as own, fetcher(poolsize=1) as one:
        server.on("/", answer(b"x"))
        with_all = {"proxy": f"u:s3cret@127.0.0.1:{own.port}", "headers": {"Proxy-Authorization": "s3cret"}}
        assert (await one.fetch(dispatch(f"{server.url}/", **with_all))).content == b"x"
        server.requests.clear()
        assert (await one.fetch(dispatch(f"{server.url}/"))).content == b"x"
        assert "s3cret" not in json.dumps(server.requests[0][1])
        assert not [name for name in server.requests[0][1] if name.startswith("proxy-")]


@in_loop
async def test_GHSA_jm3v_qxmh_hxwv() -> None:
    """Scrapy: after a redirect from http to https the proxy of the old scheme was used, or none.

    A task has one proxy for both, and it is used for each hop.
    """
    async with site() as target, proxy() as own, fetcher() as one:
        target.redirect("/", f"https://127.0.0.1:{target.port}/x")
        await one.fetch(dispatch(f"{target.url}/", proxy=f"u:p@127.0.0.1:{own.port}", timeout=0.5))
        assert [method for method, _ in own.seen] == ["GET", "CONNECT"]


@in_loop
async def test_CVE_2024_3574() -> None:
    """Scrapy, GHSA-cw9j-q3vf-hrrv: Authorization was kept on a redirect to another domain."""
    await authorization_stays("http://a.example/", "http://b.example/")


@in_loop
async def test_GHSA_4qqq_9vqf_3h3f() -> None:
    """Scrapy, CVE-2024-1968, PYSEC-2024-258: Authorization was kept when only scheme or port changed."""
    await authorization_stays("http://a.example/", "http://a.example:8080/")
    await authorization_stays("http://a.example:8080/", "http://a.example/")


@pytest.mark.parametrize("target", ["https://a.example/", "https://a.example:80/", "https://user@a.example/"])
def test_CVE_2018_18074(target: str) -> None:
    """requests: Authorization went from https to http of the same host, and along with a change of the scheme."""
    from crawlkit.fetcher.redirects import next_plan

    plan = request.plan_of(dispatch(target, headers={"Authorization": "s3cret"}), FetcherSettings())
    following = next_plan(plan, 302, "http://a.example/", 0)
    assert following is not None
    assert all("s3cret" not in value for _, value in following.headers)


@in_loop
async def test_CVE_2018_20060() -> None:
    """urllib3: Authorization was not removed when the origin changed."""
    for after in ("http://b.example/", "http://a.example:81/", "http://sub.a.example/", "http://a.example.evil/"):
        await authorization_stays("http://a.example/", after)


@in_loop
async def test_CVE_2018_25091() -> None:
    """urllib3: it was removed only when it was written in one way."""
    told, _, _ = await led_away(headers={"aUtHoRiZaTiOn": "s3cret", "COOKIE": "s3cret=1", "x-API-key": "s3cret"})
    assert told
    assert "s3cret" not in json.dumps(told)


@in_loop
async def test_CVE_2014_1829() -> None:
    """requests: credentials of .netrc went with a redirect. Nothing is read from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETRC", "/dev/stdin")
        patch.setenv("HOME", "/nonexistent")
        told, _, _ = await led_away(headers={"Authorization": "s3cret"})
    assert told
    assert "authorization" not in told


@in_loop
async def test_CVE_2014_1830() -> None:
    """requests: Proxy-Authorization went to the target of a redirect."""
    async with site() as home, site() as away:
        home.redirect("/", f"{away.url}/")
        away.on("/", answer(b"end"))
        fetched = await fetch(f"{home.url}/", headers={"Proxy-Authorization": "Basic s3cret"})
        assert fetched.content == b"end"
        assert "proxy-authorization" not in [*home.requests[0][1], *away.requests[0][1]]


@in_loop
async def test_CVE_2023_32681() -> None:
    """requests: Proxy-Authorization was put into the tunnelled request after a redirect to https."""
    async with site() as target, proxy("u:s3cret") as own, fetcher() as one:
        target.redirect("/", f"https://127.0.0.1:{target.port}/x")
        await one.fetch(dispatch(f"{target.url}/", proxy=f"u:s3cret@127.0.0.1:{own.port}", timeout=0.5))
        assert [method for method, _ in own.seen] == ["GET", "CONNECT"]
        assert all("proxy-authorization" not in headers for _, headers, _ in target.requests)


@in_loop
async def test_CVE_2023_43804() -> None:
    """urllib3: the Cookie header was kept on a redirect to another origin."""
    for after in ("http://b.example/", "http://a.example:81/"):
        told, _, fetched = await led_away(after=after, headers={"Cookie": "sid=s3cret"})
        assert fetched.content == b"end"
        assert "cookie" not in told


@in_loop
async def test_CVE_2023_45803() -> None:
    """urllib3: the body was sent again after a 301, 302 or 303 that makes it a GET."""
    for status in (301, 302, 303):
        told, body, fetched = await led_away(
            status, method="POST", data=b"s3cret", headers={"Content-Type": "text/s3cret"}
        )
        assert fetched.content == b"end"
        assert body == b""
        assert "s3cret" not in json.dumps(told)
        assert "content-length" not in told


@in_loop
async def test_scrapy_2_14_2() -> None:
    """Scrapy: a 301 of a POST crossed origins with its body; nor does a 307 or 308 take it along."""
    told, body, _ = await led_away(301, method="POST", data=b"s3cret")
    assert (body, "s3cret" in json.dumps(told)) == (b"", False)
    for status in (307, 308):
        told, body, fetched = await led_away(status, method="POST", data=b"s3cret")
        assert (told, body, fetched.error_kind) == ({}, b"", "bad_redirect")


@in_loop
async def test_CVE_2026_49853() -> None:
    """Tornado: its simple client kept Authorization, Cookie and credentials of the URL over redirects."""
    told, _, fetched = await led_away(
        before="http://a.example/", headers={"Authorization": "s3cret", "Cookie": "s3cret=1"}
    )
    assert fetched.content == b"end"
    assert "s3cret" not in json.dumps(told)
    async with site() as web, fetcher(proxy=web.url) as one:
        web.redirect("http://a.example/", "http://b.example/")
        web.on("http://b.example/", answer(b"end"))
        await one.fetch(dispatch("http://user:s3cret@a.example/"))
        assert "authorization" in web.asked("http://a.example/")[0]
        assert "authorization" not in web.asked("http://b.example/")[0]


@in_loop
async def test_CVE_2025_14524() -> None:
    """curl: a bearer token went along a redirect to another protocol. There is none to go to."""
    for scheme in ("imap", "ldap", "pop3", "smtp", "ftp"):
        _, _, fetched = await led_away(after=f"{scheme}://b.example/", headers={"Authorization": "Bearer s3cret"})
        assert fetched.error_kind == "bad_redirect"


@in_loop
async def test_GHSA_w235_7p84_xx57() -> None:
    """Tornado: line breaks in headers of its curl client made headers of their own."""
    async with site() as server:
        for headers in ({"X": "a\r\nInjected: 1"}, {"X\r\nInjected: 1": "a"}, {"X": "a\nInjected: 1"}, {"X": "a\rb"}):
            assert (await fetch(f"{server.url}/", headers=headers)).error_kind == "bad_request"
        assert (await fetch(f"{server.url}/", user_agent="a\r\nInjected: 1")).error_kind == "bad_request"
        assert server.connections == 0


@in_loop
async def test_CVE_2019_11236() -> None:
    """urllib3: line breaks in the URL made a second request."""
    async with site() as server:
        for path in ("/a HTTP/1.1\r\nInjected: 1\r\n\r\n", "/?a=\r\nInjected: 1", "/%0d%0aInjected: 1"):
            server.requests.clear()
            await fetch(f"{server.url}{path}", timeout=5.0)
            assert len(server.requests) <= 1
            for line, headers, _ in server.requests:
                assert line.count(" ") == 2
                assert "injected" not in headers


@in_loop
async def test_CVE_2020_26137() -> None:
    """urllib3: line breaks in the method made headers."""
    async with site() as server:
        for method in ("GET / HTTP/1.1\r\nInjected: 1", "GET\r\n", "G T", "GET\0"):
            assert (await fetch(f"{server.url}/", method=method)).error_kind == "bad_request"
        assert server.connections == 0


@in_loop
async def test_CVE_2016_8624() -> None:
    """curl: the host of http://good#@evil/ was read as evil."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, headers, _ = await read_request(reader)
        seen.append(dict(headers)["Host"])
        writer.write(answer(b"x"))
        await writer.drain()

    async with raw_server(serve) as port:
        await fetch(f"http://127.0.0.1:{port}#@evil.example/x.txt")
        await fetch(f"http://127.0.0.1:{port}?@evil.example/x.txt")
        await fetch(f"http://127.0.0.1:{port}\\@evil.example/x.txt")
    assert seen == [f"127.0.0.1:{port}"] * 3


def test_no_secret_is_in_the_words_of_an_error() -> None:
    for wish in ({"proxy": "nonsense://u:s3cret@h"}, {"headers": {"Authorization": "s3cret\n"}}):
        with pytest.raises(FetchError) as caught:
            request.plan_of(dispatch("http://a.example/", **wish), FetcherSettings())
        assert "s3cret" not in str(caught.value)
