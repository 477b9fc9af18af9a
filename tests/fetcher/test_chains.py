"""Redirects that come to no end: followed as often as allowed, and the error names the chain (R-26)."""

from __future__ import annotations

import pytest

from crawlkit.fetcher.redirects import SHOWN_URL, chain
from crawlkit.libs.response import Response
from crawlkit.processor.outcome import track_fetch
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, site


@in_loop
async def test_R_26_a_loop_of_two() -> None:
    async with site() as server:
        server.redirect("/a", "/b")
        server.redirect("/b", "/a")
        fetched = await fetch(f"{server.url}/a")
    track = track_fetch(fetched, Response.of(fetched), ok=False)
    a, b = f"{server.url}/a (302)", f"{server.url}/b (302)"
    assert (track.error_kind, track.status_code) == ("redirects", 599)
    assert track.error == "Maximum (5) redirects followed: " + ", ".join([a, b] * 3)
    assert len(server.requests) == 6


@pytest.mark.parametrize("most", [5, 20])
@in_loop
async def test_R_26_a_chain_of_a_thousand(most: int) -> None:
    async with site() as server:
        for number in range(1_000):
            server.redirect(f"/{number}", f"/{number + 1}", 307)
        server.on("/1000", answer(b"the end"))
        async with fetcher(max_redirects=most) as one:
            fetched = await one.fetch(dispatch(f"{server.url}/0"))
        assert fetched.error_kind == "redirects"
        assert f": {server.url}/0 (307), {server.url}/1 (307), " in (fetched.error or "")
        assert (fetched.error or "").endswith(f"{server.url}/{most} (307)")
        assert [url for _, url in fetched.history] == [f"{server.url}/{number}" for number in range(most + 1)]
        assert len(server.requests) == most + 1


@in_loop
async def test_R_26_to_itself_with_a_cookie_each_time() -> None:
    async with site() as server:
        server.redirect("/", "/", 302, "Set-Cookie: seen=1\r\nSet-Cookie: a=b; Path=/x\r\n")
        fetched = await fetch(f"{server.url}/")
    assert fetched.error_kind == "redirects"
    assert [headers.get("cookie") for headers in server.asked("/")] == [None, *["seen=1"] * 5]
    assert (fetched.error or "").count(f"{server.url}/ (302)") == 6


@in_loop
async def test_R_26_what_leads_away_from_the_web_names_its_way_too() -> None:
    async with site() as server:
        server.redirect("/", "/b")
        server.redirect("/b", "file:///etc/passwd")
        fetched = await fetch(f"{server.url}/")
    assert fetched.error_kind == "bad_redirect"
    assert (fetched.error or "").endswith(f": {server.url}/ (302), {server.url}/b (302)")


def test_R_26_a_long_chain_is_named_in_few_words() -> None:
    words = chain([(301, f"http://h/{number}" + "x" * 60_000) for number in range(1_000)])
    assert words.startswith("http://h/0x")
    assert ", 992 more, http://h/996x" in words
    assert len(words) < 8 * (SHOWN_URL + 10) + 20
