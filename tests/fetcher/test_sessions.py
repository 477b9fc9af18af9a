"""Cookies of named sessions from task to task, and which servers get them. One proxy plays all the hosts."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crawlkit.fetcher import cookie_jar
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.libs.messages import AWAIT, Dispatch, Fetched
from tests.fetcher.helpers import Site, answer, dispatch, fetcher, in_loop, site


class World:
    """Any number of hosts: the site is the fetcher's proxy, so that it sees absolute URLs."""

    def __init__(self, web: Site, one: Fetcher) -> None:
        self.web = web
        self.fetcher = one

    def sets(self, url: str, *cookies: str, redirect: str | None = None) -> None:
        headers = "".join(f"Set-Cookie: {cookie}\r\n" for cookie in cookies)
        if redirect is not None:
            headers += f"Location: {redirect}\r\n"
        self.web.on(url, answer(b"x", "200 OK" if redirect is None else "302 Found", headers))

    async def get(self, url: str, jar: list[str] | None = None, **options: object) -> Fetched:
        task = dispatch(url, **{"session": "s", **options})
        task.jar = jar or []
        return await self.fetcher.fetch(task)

    def sent(self, url: str) -> dict[str, str]:
        """The cookies of the last request for this URL."""
        pairs = self.web.asked(url)[-1].get("cookie", "").split("; ")
        assert len(pairs) == len({pair.partition("=")[0] for pair in pairs}), "a name twice"
        return dict(pair.partition("=")[::2] for pair in pairs if pair)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with site() as web, fetcher(proxy=web.url) as one:
        yield World(web, one)


def names(jar: list[str] | None) -> dict[str, str]:
    return cookie_jar.values(jar or [])


A = "http://www.a.example/"
B = "http://b.example/"


@in_loop
async def test_a_jar_goes_from_task_to_task() -> None:
    async with world() as net:
        net.sets(f"{A}login", "sid=1; Path=/; HttpOnly", "deep=2; Path=/deep", "wide=3; Domain=a.example; Path=/")
        first = await net.get(f"{A}login")
        assert names(first.jar) == first.cookies == {"sid": "1", "deep": "2", "wide": "3"}
        second = await net.get(f"{A}x", first.jar)
        assert net.sent(f"{A}x") == {"sid": "1", "wide": "3"}
        assert second.jar == first.jar  # unchanged, and equal
        await net.get(f"{A}deep/x", second.jar)
        assert net.sent(f"{A}deep/x") == {"sid": "1", "deep": "2", "wide": "3"}
        await net.get("http://other.a.example/", second.jar)
        assert net.sent("http://other.a.example/") == {"wide": "3"}
        elsewhere = await net.get(B, second.jar)
        assert net.sent(B) == {}
        assert elsewhere.jar == first.jar
        assert elsewhere.cookies == {}  # those of this page, not of the whole jar


@in_loop
async def test_without_a_session_there_is_no_jar() -> None:
    async with world() as net:
        net.sets(A, "a=1")
        first = await net.get(A)
        assert first.jar
        plain = await net.get(B, session=None)
        assert plain.jar is None
        task = dispatch(A)
        task.jar = first.jar or []
        assert (await net.fetcher.fetch(task)).jar is None
        assert net.sent(A) == {}


@in_loop
async def test_the_tasks_own_cookies_join_the_jar() -> None:
    async with world() as net:
        net.sets(A, "a=server; Domain=a.example; Path=/", "keep=1; Path=/")
        first = await net.get(A)
        second = await net.get(
            f"{A}x", first.jar, cookies={"a": "mine", "ü": "é"}, headers={"Cookie": "h=2; keep=header"}
        )
        assert net.sent(f"{A}x") == {"a": "mine", "ü".encode().decode("latin-1"): "é".encode().decode("latin-1"), "h": "2", "keep": "header"}  # fmt: skip  # noqa: E501
        assert second.cookies == names(second.jar) == {"a": "mine", "ü": "é", "h": "2", "keep": "header"}
        await net.get(f"{A}y", second.jar)
        assert net.sent(f"{A}y") == net.sent(f"{A}x")


@in_loop
async def test_redirects_take_and_bring_cookies() -> None:
    async with world() as net:
        net.sets(A, "a=1; Path=/", redirect=B)
        net.sets(B, "b=2; Path=/", "foreign=x; Domain=a.example", redirect=f"{A}end")
        fetched = await net.get(A, cookies={"mine": "m"})
        assert net.sent(B) == {}
        assert net.sent(f"{A}end") == {"mine": "m", "a": "1"}
        assert names(fetched.jar) == fetched.cookies == {"mine": "m", "a": "1", "b": "2"}
        back = await net.get(f"{B}x", fetched.jar)
        assert net.sent(f"{B}x") == {"b": "2"}
        assert back.jar == fetched.jar


@in_loop
async def test_a_failure_keeps_what_came_before_it() -> None:
    async with world() as net:
        net.sets(A, "a=1; Path=/", redirect="ftp://x/")
        fetched = await net.get(A)
        assert fetched.error_kind == "bad_redirect"
        assert names(fetched.jar) == {"a": "1"}
        assert (await net.get("data:,x", fetched.jar)).jar is None  # nothing to say about it


@in_loop
async def test_expiry_and_removal() -> None:
    async with world() as net:
        net.sets(
            A,
            "gone=; Max-Age=0; Path=/",
            "later=1; Max-Age=1000; Path=/",
            "past=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT",
        )
        now = int(time.time())
        jar = [
            f"www.a.example\tFALSE\t/\tFALSE\t{now - 5}\told\t1",
            f"www.a.example\tFALSE\t/\tFALSE\t{now + 500}\tfresh\t1",
            "www.a.example\tFALSE\t/\tFALSE\t0\tgone\t1",
        ]
        fetched = await net.get(A, jar)
        assert net.sent(A) == {"fresh": "1", "gone": "1"}
        assert names(fetched.jar) == {"fresh": "1", "later": "1"}
        kept = {cookie.name: cookie.expires for cookie in map(cookie_jar.read, fetched.jar or []) if cookie}
        assert kept["fresh"] == now + 500
        assert 990 <= kept["later"] - now <= 1010


@pytest.mark.parametrize(
    ("url", "cookie"),
    [
        (A, "x=1; Domain=example"),
        (A, "x=1; Domain=b.example"),
        (A, "x=1; Domain=deeper.www.a.example"),
        ("http://shop.co.uk/", "x=1; Domain=co.uk"),
        ("http://me.github.io/", "x=1; Domain=github.io"),
        ("http://www.shop.com/", "x=1; Domain=com"),
        ("http://10.0.0.1/", "x=1; Domain=0.0.1"),
        (A, "__Host-x=1; Path=/"),
        (A, "__Host-x=1; Path=/; Secure; Domain=a.example"),
        (A, "__Secure-x=1; Path=/"),
        (A, "x=1; Secure"),
        (A, "x=" + "v" * 5000),
        (A, "=nameless"),
        (A, "x=a\x01b"),
    ],
)
@in_loop
async def test_cookies_that_may_not_be_set(url: str, cookie: str) -> None:
    async with world() as net:
        net.sets(url, cookie, "fine=1; Path=/")
        fetched = await net.get(url)
        assert names(fetched.jar) == fetched.cookies == {"fine": "1"}
        plain = await net.get(url, session=None)
        assert plain.cookies == {"fine": "1"}


@in_loop
async def test_a_jar_of_rubbish_does_no_harm() -> None:
    async with world() as net:
        net.sets(A, "a=1")
        rubbish = ["ALL", "FLUSH", "RELOAD", "Set-Cookie: evil=1; Domain=a.example", "", "x", "\t\t\t\t\t\t"]
        rubbish += [
            "www.a.example\tFALSE\t/\tFALSE\t0\tb\tx\r\nInjected: y",
            "www.a.example\tFALSE\t/\tFALSE\t0\tb\t\U0001f600",
        ]
        fetched = await net.get(A, rubbish)
        assert fetched.error is None
        assert net.sent(A) == {}
        assert "injected" not in net.web.asked(A)[0]
        assert names(fetched.jar) == {"a": "1"}


@in_loop
async def test_a_jar_is_bounded() -> None:
    async with world() as net:
        jar: list[str] = []
        for start in range(0, 400, 40):
            url = f"http://h{start}.example/"
            net.sets(url, *[f"c{number}=1; Path=/" for number in range(start, start + 40)])
            jar = (await net.get(url, jar)).jar or []
        assert set(names(jar)) == {f"c{number}" for number in range(200, 400)}


@in_loop
async def test_tasks_at_the_same_time_have_jars_of_their_own() -> None:
    async with world() as net:
        for number in range(6):
            net.sets(f"{A}{number}", f"c{number}=1; Path=/")
            fetched = await net.get(f"{A}{number}", session=f"s{number}")
            assert names(fetched.jar) == {f"c{number}": "1"}  # nothing rides on with the handle


@in_loop
async def test_an_await_is_fetched_like_a_task() -> None:
    async with world() as net:
        net.sets(A, "a=1; Path=/")
        task: Dispatch = dispatch(A, session="s")
        task.kind = AWAIT
        fetched = await net.fetcher.fetch(task)
        assert (fetched.status_code, fetched.content, fetched.task.kind) == (200, b"x", AWAIT)
        assert names(fetched.jar) == {"a": "1"}


@in_loop
async def test_a_browser_gets_and_brings_cookies_with_all_they_have_and_storage() -> None:
    cookie = {"name": "a", "value": "2", "domain": ".a.example", "path": "/", "expires": 4e9, "httpOnly": True,
              "secure": True, "sameSite": "None"}  # fmt: skip
    stored = {"origin": "http://www.a.example", "localStorage": [{"name": "k", "value": "ü\t"}]}
    page = {"status_code": 200, "url": f"{A}end", "content": "x", "cookies": {"a": "2"}, "session_cookies": [cookie],
            "session_origins": [stored]}  # fmt: skip
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/render") as one:
        service.on("/render", answer(json.dumps(page).encode()))
        service.on("/plain", answer(b"x"))
        task = dispatch(A, session="s", fetch_type="js", cookies={"mine": "m"})
        task.jar = ["www.a.example\tFALSE\t/\tFALSE\t0\ta\t1"]
        first = await one.fetch(task)
        assert first.jar is not None
        plain = dispatch(f"{service.url}/plain", session="s")
        plain.jar = first.jar
        between = await one.fetch(plain)  # a fetch without a browser leaves alone what only browsers have
        assert between.jar is not None
        assert sorted(between.jar) == sorted(first.jar)
        again = dispatch(A, session="s", fetch_type="js")
        again.jar = between.jar
        await one.fetch(again)
        jobs = [json.loads(request[2]) for request in service.requests if request[0].startswith("POST")]
    assert "Cookie" not in jobs[0]["headers"]
    assert {each["name"]: each["value"] for each in jobs[0]["cookies"]} == {"a": "1", "mine": "m"}
    assert (jobs[0]["session"], jobs[0]["origins"]) == (True, [])
    assert (jobs[1]["cookies"], jobs[1]["origins"]) == ([{**cookie, "expires": 4_000_000_000}], [stored])
    assert names(first.jar) == {"a": "2"}


@in_loop
async def test_splash_gets_and_brings_the_cookies() -> None:
    page = {"status_code": 200, "url": f"{A}end", "content": "x", "cookies": {"a": "1", "new": "2"}}
    async with site() as service, fetcher(splash_endpoint=f"{service.url}/render") as one:
        service.on("/render", answer(json.dumps(page).encode()))
        task = dispatch(A, session="s", fetch_type="splash", cookies={"mine": "m"})
        task.jar = [
            "www.a.example\tFALSE\t/\tFALSE\t0\ta\t1",
            "b.example\tFALSE\t/\tFALSE\t0\tb\t1",
        ]
        fetched = await one.fetch(task)
        job = json.loads(service.requests[0][2])
        assert sorted(job["headers"]["Cookie"].split("; ")) == ["a=1", "mine=m"]
        assert names(fetched.jar) == {"a": "1", "b": "1", "mine": "m", "new": "2"}
