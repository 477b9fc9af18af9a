"""How a fetcher waits for a browser service: with patience in its line, with none for one that is stuck."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from crawlkit.fetcher import browser_line
from crawlkit.libs.browser_job import BEGUN, WAITING
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, raw_server, read_request

HEAD = b"HTTP/1.1 200 OK\r\nServer: crawlkit-browser/9\r\nConnection: close\r\n\r\n"
PAGE = json.dumps({"status_code": 200, "url": "http://x/", "content": "rendered", "time": 0.5}).encode()
Say = Callable[[asyncio.StreamWriter], Any]


async def ask(*scenes: Say | bytes, timeout: float = 1.0, **settings: Any) -> Any:
    """What a fetcher makes of a service that plays one scene for each request."""
    left = list(scenes)
    heads: list[dict[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, headers, _ = await read_request(reader)
        heads.append({name.lower(): value for name, value in headers})
        scene = left.pop(0)
        if isinstance(scene, bytes):
            writer.write(scene)
        else:
            await scene(writer)
        await writer.drain()

    async with raw_server(serve) as port, fetcher(browser_endpoint=f"http://127.0.0.1:{port}/", **settings) as one:
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js", timeout=timeout))
    return fetched, heads


async def beats(writer: asyncio.StreamWriter, sign: bytes, seconds: float) -> None:
    for _ in range(int(seconds / 0.1)):
        writer.write(sign)
        await writer.drain()
        await asyncio.sleep(0.1)


@in_loop
async def test_the_time_of_a_page_does_not_run_while_it_waits() -> None:
    async def scene(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await beats(writer, WAITING, 1.5)
        await beats(writer, BEGUN, 0.5)
        writer.write(PAGE)

    fetched, _ = await ask(scene, timeout=0.8)
    assert (fetched.error, fetched.content, fetched.size) == (None, b"rendered", 8)


@in_loop
async def test_a_page_that_began_has_its_time_and_a_little_more() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_line, "GRACE", 0.5)

        async def scene(writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD)
            await beats(writer, BEGUN, 20)

        fetched, _ = await ask(scene, timeout=0.5)
    assert (fetched.status_code, fetched.error_kind) == (599, "timeout")
    assert fetched.time < 3
    assert fetched.error == "Operation timed out after 0.5 seconds"


@pytest.mark.parametrize("sign", [b"", WAITING, BEGUN])
@in_loop
async def test_a_service_that_says_nothing_is_stuck(sign: bytes) -> None:
    async def scene(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + (sign or WAITING))
        await asyncio.sleep(20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_line, "SILENCE", 0.5)
        fetched, _ = await ask(scene, timeout=10.0)
    assert (fetched.status_code, fetched.error_kind) == (599, "no_browser")
    assert "is stuck: it said nothing for" in fetched.error
    assert fetched.time < 5


@in_loop
async def test_one_that_was_alive_and_takes_connections_only_is_stuck_too() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    scenes = [HEAD + PAGE, silent]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        scene = scenes.pop(0)
        if isinstance(scene, bytes):
            writer.write(scene)
        else:
            await scene(writer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_line, "FIRST_SIGN", 0.5)
        async with raw_server(serve) as port, fetcher(browser_endpoint=f"127.0.0.1:{port}") as one:
            good = await one.fetch(dispatch("http://x.example/", fetch_type="js"))
            stuck = await one.fetch(dispatch("http://x.example/", fetch_type="js"))
    assert good.content == b"rendered"
    assert stuck.error_kind == "no_browser"
    assert "is stuck" in stuck.error


@in_loop
async def test_a_full_line_is_tried_again_until_patience_ends() -> None:
    full = answer(b'{"error": "too many jobs"}', "503 Full", "Server: crawlkit-browser/9\r\nRetry-After: 0\r\n")
    fetched, heads = await ask(full, full, HEAD + PAGE)
    assert (fetched.content, len(heads)) == (b"rendered", 3)
    fetched, heads = await ask(*[full] * 9, browser_patience=0.3)
    assert fetched.error_kind == "no_browser"
    assert "had no room for 0.3 s: too many jobs" in fetched.error
    assert 1 < len(heads) < 9


@in_loop
async def test_a_job_that_waits_too_long_in_line() -> None:
    async def scene(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await beats(writer, WAITING, 20)

    fetched, _ = await ask(scene, browser_patience=1.0)
    assert fetched.error_kind == "no_browser"
    assert "waited 1 s in the line" in fetched.error


@in_loop
async def test_a_service_that_ends_while_it_has_the_page() -> None:
    async def scene(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.replace(b"Connection: close", b"Content-Length: 999") + BEGUN)

    fetched, _ = await ask(scene)
    assert fetched.error_kind == "crashed"
    assert "ended while it had the page" in fetched.error


@in_loop
async def test_a_service_that_ends_before_it_began_with_the_page_is_asked_again() -> None:
    cut = HEAD.replace(b"Connection: close", b"Content-Length: 999")
    fetched, heads = await ask(cut + WAITING, b"", HEAD + PAGE)  # the second dies without a word
    assert (fetched.error, fetched.content, len(heads)) == (None, b"rendered", 3)
    fetched, heads = await ask(cut + WAITING, cut + WAITING + BEGUN)
    assert (fetched.error_kind, len(heads)) == ("crashed", 2), "what has begun is not asked for twice"


@in_loop
async def test_a_service_that_always_ends_is_not_asked_for_ever() -> None:
    cut = HEAD.replace(b"Connection: close", b"Content-Length: 999")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_line, "RETRY", (0.01, 0.05))
        fetched, heads = await ask(*[cut + WAITING] * 9)
    assert (fetched.error_kind, len(heads)) == ("no_browser", 1 + browser_line.AGAIN)
    assert "ended again and again before it began with the page" in fetched.error


@in_loop
async def test_another_kind_of_service_that_ends_is_not_asked_twice() -> None:
    fetched, heads = await ask(b"", HEAD + PAGE)
    assert (fetched.error_kind, len(heads)) == ("crashed", 1)


@pytest.mark.parametrize(("status", "kind"), [("400 Bad", "bad_request"), ("401 No", "no_browser"),
                                              ("500 Oh", "no_browser")])  # fmt: skip
@in_loop
async def test_a_refusal_is_told_in_its_words(status: str, kind: str) -> None:
    said = answer(b'{"error": "the words"}', status, "Server: crawlkit-browser/9\r\n")
    fetched, _ = await ask(said)
    assert fetched.error_kind == kind
    assert fetched.error.endswith("says " + status.split()[0] + ": the words")


@in_loop
async def test_the_token_is_shown_to_browser_services_only() -> None:
    fetched, heads = await ask(HEAD + PAGE, browser_token="t0ken")
    assert fetched.content == b"rendered"
    assert heads[0]["authorization"] == "Bearer t0ken"
    fetched, heads = await ask(HEAD + PAGE)
    assert "authorization" not in heads[0]


@in_loop
async def test_another_kind_of_service_has_the_pages_time_for_everything() -> None:
    async def scene(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_line, "GRACE", 0.3)
        fetched, _ = await ask(scene, timeout=0.5)
    assert fetched.error_kind == "timeout"
    assert fetched.time < 3


@in_loop
async def test_large_answers_come_whole() -> None:
    page = json.dumps({"status_code": 200, "url": "http://x/", "content": "ü" * 900_000}).encode()

    async def scene(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + WAITING + BEGUN)
        for start in range(0, len(page), 100_000):
            writer.write(page[start : start + 100_000])
            await writer.drain()

    fetched, _ = await ask(scene, timeout=20.0)
    assert fetched.size == 1_800_000
    assert fetched.error is None
