"""What the service says over HTTP: its signs of life, its line, who is let in, and what it tells of itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crawlkit.browser.line import Line, LineFull
from crawlkit.libs.browser_job import Job, Reply
from tests.browser.serving import Running, serving
from tests.fetcher.helpers import in_loop, wait_for


class Pages:
    """Stands where pages are rendered, when a test is about who waits for whom; holds each until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def run(self, job: Job, begun: Any, door: Any = None) -> Reply:
        self.begun.append(job.url)
        begun()
        gate = self.gates.setdefault(job.url, asyncio.Event())
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(job.url)
            raise
        return Reply(status_code=200, url=job.url, content="rendered")

    def let(self, url: str) -> None:
        self.gates.setdefault(url, asyncio.Event()).set()


def held(running: Running, monkeypatch: pytest.MonkeyPatch) -> Pages:
    pages = Pages()
    monkeypatch.setattr(running.service.pool, "run", pages.run)
    return pages


@in_loop
async def test_first_in_first_out_with_signs_of_life() -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with serving(poolsize=1) as running:
            pages = held(running, patch)
            first = asyncio.create_task(running.ask("http://x/1"))
            await wait_for(lambda: pages.begun == ["http://x/1"])
            others = []
            for n in (2, 3):
                others.append(asyncio.create_task(running.ask(f"http://x/{n}")))
                await wait_for(lambda n=n: running.service.line.waiting == n - 1)
            await asyncio.sleep(1.2)  # a sign is sent each second: the time of this test is what it shows
            for n in (1, 2, 3):
                pages.let(f"http://x/{n}")
            heard = [await first, *[await one for one in others]]
    assert pages.begun == ["http://x/1", "http://x/2", "http://x/3"]
    assert [one.reply["content"] for one in heard] == ["rendered"] * 3
    assert heard[0].signs.startswith(b" \n")
    assert heard[1].signs.startswith(b" ")
    assert "Server: crawlkit-browser/" in heard[0].headers


@in_loop
async def test_a_full_line_sends_away_and_who_hangs_up_takes_the_job_along() -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with serving(poolsize=1, max_waiting=1) as running:
            pages = held(running, patch)
            line = running.service.line
            runs = asyncio.create_task(running.ask("http://x/runs"))
            await wait_for(lambda: line.taken == 1)
            waits = asyncio.create_task(running.ask("http://x/waits"))
            await wait_for(lambda: line.waiting == 1)
            away = await running.ask("http://x/away")
            assert away.status == 503
            assert "Retry-After: " in away.headers
            assert "1 pages run and 1 wait" in away.reply["error"]
            waits.cancel()
            await wait_for(lambda: line.waiting == 0)
            runs.cancel()
            await wait_for(lambda: line.taken == 0)
            assert pages.cancelled == ["http://x/runs"]
            assert pages.begun == ["http://x/runs"]
            pages.let("http://x/next")
            assert (await running.ask("http://x/next")).reply["content"] == "rendered"


@pytest.mark.parametrize("ends", ["clients", "service"])
def test_jobs_that_are_broken_off_end_quietly(ends: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main(patch: pytest.MonkeyPatch) -> None:
        async with serving(poolsize=2) as running:
            held(running, patch)
            line = running.service.line
            asks = [asyncio.create_task(running.ask(f"http://x/{n}")) for n in range(5)]
            await wait_for(lambda: (line.taken, line.waiting) == (2, 3))
            if ends == "clients":
                for one in asks:
                    one.cancel()
                await wait_for(lambda: (line.taken, line.waiting) == (0, 0))
        assert not running.service.answering
        await asyncio.gather(*asks, return_exceptions=True)

    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(main(patch))  # what is left in the loop is cut off at its end
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@in_loop
async def test_who_is_let_in() -> None:
    async with serving(token="the right one") as running:
        for token in ("", "the wrong one"):
            refused = await running.ask("http://x/", token=token)
            assert refused.status == 401
            assert "CRAWLKIT_BROWSER_TOKEN" in refused.reply["error"]
        assert (await running.request("GET", "/")).status == 401
        assert (await running.request("GET", "/", token="the right one")).reply["service"] == "crawlkit-browser"
        assert (await running.request("GET", "/files/abcdefghij")).status == 401


@in_loop
async def test_who_is_not_let_in_is_told_before_a_body_is_read() -> None:
    async with serving(token="the right one") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /render HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        writer.close()
        assert b" 401 " in head
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /render HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the right one\r\n")
        writer.write(b"Content-Length: 9\r\n\r\nhalf")
        writer.close()  # before all of its job has come: it leaves no trace
        assert (await running.ask("", token="the right one", body=b"{}")).status == 400
        assert running.service.line.taken == 0


@in_loop
async def test_without_a_token_it_is_for_this_machine() -> None:
    async with serving() as running:
        assert (await running.request("GET", "/", host="localhost:22222")).status == 200
        for name in ("evil.example", "127.0.0.1.evil.example:22222"):
            assert (await running.request("GET", "/", host=name)).status == 403


@in_loop
async def test_halves_of_characters_keep_no_reply_back() -> None:
    half = "a\ud800b"
    whole = Reply(status_code=200, js_script_result={half: [half, 1, None]}, console=[half], error=half,
                  history=[(301, half)], session_origins=[{"origin": half}], cookies={half: half})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        async with serving() as running:

            async def run(*_: Any) -> Reply:
                return whole

            patch.setattr(running.service.pool, "run", run)
            reply = (await running.ask("http://x/")).reply
    fixed = "a\ufffdb"
    assert reply["js_script_result"] == {fixed: [fixed, 1, None]}
    assert reply["console"] == [fixed]
    assert reply["error"] == fixed
    assert reply["history"] == [[301, fixed]]
    assert reply["session_origins"] == [{"origin": fixed}]
    assert reply["cookies"] == {fixed: fixed}


DEEP = b'{"url": "http://x/", "save": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("body", [DEEP, b"", b"{}", b"[]", b"{", b'{"url": 1}', b'{"url": "http://x/", "timeout": -1}'])
@in_loop
async def test_what_is_no_job(body: bytes) -> None:
    async with serving() as running:
        answer = await running.ask("", body=body)
    assert answer.status == 400
    assert answer.reply["error"].startswith("this is no job: ")


@in_loop
async def test_without_chromium_every_job_is_told_how_to_get_one() -> None:
    async with serving(chromium="/no/such/chromium") as running:
        heard = await running.ask("http://x/", save={"n": 1})
        state = (await running.request("GET", "/")).reply
    assert heard.status == 200
    assert (heard.reply["status_code"], heard.reply["error_kind"]) == (501, "no_browser")
    assert heard.reply["error"] == state["trouble"] == "--chromium /no/such/chromium: there is no such program"
    assert heard.reply["save"] == {"n": 1}


def test_a_file_goes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "abcdefgh12").write_bytes(b'{"n": 1}')
    (tmp_path / "dropped-12").write_bytes(b"x")

    @in_loop
    async def play() -> None:
        async with serving() as running:
            monkeypatch.setattr(running.service.pool, "files", lambda: tmp_path)
            assert (await running.request("GET", "/files/abcdefgh12")).reply == {"n": 1}
            assert (await running.request("GET", "/files/abcdefgh12")).status == 404
            assert (await running.request("GET", "/files/another-one")).status == 404
            assert (await running.request("DELETE", "/files/dropped-12")).status == 204

    play()
    assert not list(tmp_path.iterdir())


@in_loop
async def test_places_in_a_line() -> None:
    line = Line(1, 2)
    await line.take()
    waits = [asyncio.create_task(line.take()) for _ in range(2)]
    await wait_for(lambda: line.waiting == 2)
    with pytest.raises(LineFull):
        await line.take()
    waits[0].cancel()
    line.leave()  # in the same moment: the place goes to the second
    await asyncio.gather(*waits, return_exceptions=True)
    assert waits[1].done()
    assert (line.taken, line.waiting) == (1, 0)
    line.leave()
    called = asyncio.create_task(line.take())
    await called
    late = asyncio.create_task(line.take())
    await wait_for(lambda: line.waiting == 1)
    line.leave()
    late.cancel()  # it was called already, and gives the place back
    await asyncio.gather(late, return_exceptions=True)
    assert (line.taken, line.waiting) == (0, 0)
