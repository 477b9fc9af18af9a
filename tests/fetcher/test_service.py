"""The service between real queues: nothing lost, nothing held too long, bounds kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from crawlkit.database.registry import connect_blobdb
from crawlkit.fetcher.service import FetcherService, FetcherSettings
from crawlkit.libs import messages
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.libs.messages import (
    Dispatch,
    Fetched,
    FetchEnded,
    Heartbeat,
    decode,
    decode_status,
    encode,
    status_queue_name,
)
from crawlkit.libs.task import Fetch
from crawlkit.message_queue import gathering
from crawlkit.message_queue.memory import MemoryBroker, MemoryQueue
from crawlkit.message_queue.status_queues import StatusQueues
from tests.fetcher.helpers import answer, dispatch, in_loop, raw_server, read_request, site, wait_for


class Ring:
    """Three queues and the service between them."""

    def __init__(self, **settings: object) -> None:
        maxsize = settings.pop("maxsize", 1000)
        blobs = settings.pop("blobs", None)
        private = settings.pop("private", None)
        self.inqueue = MemoryQueue("scheduler2fetcher", maxsize)  # type: ignore[arg-type]
        self.outqueue = MemoryQueue("fetcher2processor", maxsize)  # type: ignore[arg-type]
        self.broker = MemoryBroker(maxsize)  # type: ignore[arg-type]
        self.status = self.broker.queue("status_queue")
        self.service = FetcherService(
            inqueue=self.inqueue,
            outqueue=self.outqueue,
            status_queues=StatusQueues(self.broker.queue),
            settings=FetcherSettings(**settings),  # type: ignore[arg-type]
            clock=SystemClock(),
            node="fetcher-1",
            blobs=blobs,  # type: ignore[arg-type]
            private=private,  # type: ignore[arg-type]
        )

    async def put(self, *tasks: Dispatch) -> None:
        await self.inqueue.put_many([encode(task) for task in tasks])

    async def fetched(self, count: int, ack: bool = True) -> list[Fetched]:
        found: list[Fetched] = []
        while len(found) < count:
            deliveries = await self.outqueue.get_many(count - len(found), 10)
            assert deliveries, "no answer came"
            found += [decode(delivery.body, Fetched) for delivery in deliveries]
            if ack:
                await self.outqueue.ack([delivery.id for delivery in deliveries])
        return found

    async def told(self, kind: type, where: Callable[[object], bool] = lambda _: True, partition: int = 0) -> object:
        """The next message of this kind on the partition's status queue for which ``where`` holds."""
        queue = self.broker.queue(status_queue_name(partition))
        while True:
            deliveries = await queue.get_many(1, 10)
            assert deliveries, "no message came"
            await queue.ack([delivery.id for delivery in deliveries])
            message = decode_status(deliveries[0].body)
            if isinstance(message, kind) and where(message):
                return message


@asynccontextmanager
async def ring(**settings: object) -> AsyncIterator[Ring]:
    made = Ring(**settings)
    running = asyncio.create_task(made.service.run())
    try:
        yield made
    finally:
        await made.service.stop()
        await running


@in_loop
async def test_once_round() -> None:  # T32
    async with site() as server, ring() as one:
        server.on("/", lambda headers, body: answer(json.dumps([headers["x"], body.decode()]).encode()))
        await one.put(*[dispatch(f"{server.url}/", str(n), headers={"X": str(n)}, data=b"b") for n in range(250)])
        found = await one.fetched(250)
        assert sorted(int(fetched.task.taskid) for fetched in found) == list(range(250))
        for fetched in found:
            assert json.loads(fetched.content) == [fetched.task.taskid, "b"]
            assert fetched.node == "fetcher-1"
        await wait_for(lambda: one.service.inflight() == 0)
        assert (await one.inqueue.size()).messages == 0
        assert one.service.stats["fetched"] == 250


@in_loop
async def test_the_scheduler_is_told_at_once() -> None:
    async with site() as server, ring(heartbeat=60) as one:
        server.on("/", answer(b"", "429 Too Many", "Retry-After: 7\r\n"))
        first = dispatch(f"{server.url}/")
        first.partition = 5
        await one.put(first, dispatch("http://127.0.0.1:1/", "gone"))
        limited = await one.told(FetchEnded, partition=5)
        assert isinstance(limited, FetchEnded)
        assert (limited.host, limited.status_code, limited.retry_after) == (f"127.0.0.1:{server.port}", 429, 7)
        assert (limited.project, limited.run, limited.attempt, limited.partition) == ("p", 1, 1, 5)
        await one.put(dispatch("http://127.0.0.1:1/", "again"))
        failed = await one.told(FetchEnded, lambda message: message.taskid == "again")  # type: ignore[attr-defined]
        assert isinstance(failed, FetchEnded)
        assert (failed.status_code, failed.error_kind, failed.retry_after) == (599, "connect", None)


@in_loop
async def test_both_whose_work_it_has_hear_of_it() -> None:
    async with site() as server, ring(heartbeat=0.1) as one:
        server.on("/", answer(b""))
        await one.told(Heartbeat)
        assert list(one.broker.sizes()) == ["status_queue"]
        task = dispatch(f"{server.url}/")
        task.partition = 2
        await one.put(task)
        for partition in (2, 0):
            beat = await one.told(Heartbeat, partition=partition)
            assert isinstance(beat, Heartbeat)
            assert beat.node == "fetcher-1"


@in_loop
async def test_the_scheduler_is_told_of_the_host_that_answered_and_of_the_crawl_delay_of_the_first() -> None:
    async with site() as server, ring(heartbeat=60) as one:
        there = f"localhost:{server.port}"
        server.on("/robots.txt", answer(b"User-agent: *\nCrawl-delay: 7\nDisallow: /no\n"))
        server.redirect("/away", f"http://{there}/busy")
        server.on("/busy", answer(b"", "503 Busy"))
        server.on("/plain", answer(b"ok"))
        told = {}
        for url, taskid, robots in (
            (f"{server.url}/away", "away", True),
            (f"{server.url}/no", "no", True),
            (f"{server.url}/plain", "plain", False),
            (f"http://{there}/none", "none", False),
        ):
            await one.put(dispatch(url, taskid, robots_txt=robots))
            ended = await one.told(FetchEnded)
            assert isinstance(ended, FetchEnded)
            told[ended.taskid] = (ended.host, ended.status_code, ended.crawl_delay)
        own = f"127.0.0.1:{server.port}"
        assert told == {
            "away": (there, 503, 7.0),
            "no": (own, 403, 7.0),
            "plain": (own, 200, None),
            "none": (there, 404, None),
        }


@in_loop
async def test_heartbeats_name_what_is_held() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as port, ring(heartbeat=0.05, stop_grace=0.1) as one:
        await one.put(dispatch(f"http://127.0.0.1:{port}/", "held"))
        beat = await one.told(Heartbeat, lambda message: bool(message.held))  # type: ignore[attr-defined]
        assert isinstance(beat, Heartbeat)
        assert (beat.node, beat.role, beat.held) == ("fetcher-1", "fetcher", [("p", "held", 1, 1)])
        assert beat.stats["inflight"] == 1
        assert one.service.inflight() == 1


@in_loop
async def test_stop_gives_back_what_does_not_finish() -> None:
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        if "slow" in line:
            await reader.read()
        await release.wait()
        writer.write(answer(b"done"))

    async with raw_server(serve) as port:
        made = Ring(stop_grace=0.5)
        running = asyncio.create_task(made.service.run())
        await made.put(*[dispatch(f"http://127.0.0.1:{port}/{name}", name) for name in ("a", "slow", "b")])
        await wait_for(lambda: made.service.inflight() == 3)
        stopping = asyncio.create_task(made.service.stop())
        release.set()
        began = asyncio.get_running_loop().time()
        await stopping
        assert asyncio.get_running_loop().time() - began < 3
        await running
        assert {fetched.task.taskid for fetched in await made.fetched(2)} == {"a", "b"}
        size = await made.inqueue.size()
        assert (size.messages, size.unacked) == (1, 0)
        [back] = await made.inqueue.get_many(5)
        assert decode(back.body, Dispatch).taskid == "slow"
        assert made.service.inflight() == 0
        last = [decode_status(delivery.body) for delivery in await made.status.get_many(100)][-1]
        assert isinstance(last, Heartbeat)
        assert last.stopping


@in_loop
async def test_stop_gives_back_what_waits_behind_a_redirect_and_for_its_turn() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as port, site() as server:
        server.redirect("/", f"http://127.0.0.1:{port}/")
        made = Ring(stop_grace=0.2, host_connections=1)
        running = asyncio.create_task(made.service.run())
        await made.put(*[dispatch(f"{server.url}/", str(n)) for n in range(3)])
        await made.put(*[dispatch(f"http://127.0.0.1:{port}/", f"line{n}") for n in range(3)])
        await wait_for(lambda: made.service.inflight() == 6 and len(server.requests) == 3)
        await made.service.stop()
        await running
        size = await made.inqueue.size()
        assert (size.messages, size.unacked, (await made.outqueue.size()).messages) == (6, 0, 0)


@in_loop
async def test_no_more_than_the_pool_at_once() -> None:
    running = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        while True:
            await read_request(reader)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1
            writer.write(answer(b"x"))

    async with raw_server(serve) as port, ring(poolsize=5) as one:
        await one.put(*[dispatch(f"http://127.0.0.1:{port}/", str(n)) for n in range(40)])
        await one.fetched(40)
        assert most == 5


@in_loop
async def test_answers_go_together_when_many_come_and_the_first_at_once() -> None:
    let_go = [asyncio.Event() for _ in range(7)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await read_request(reader)
            await let_go[int(str(asked).split("/")[1].split()[0])].wait()
            writer.write(answer(b"x"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "EACH", 60.0)
        patch.setattr(gathering, "LONGEST", 60.0)
        async with raw_server(serve) as port, ring(poolsize=8) as one:
            await one.put(*[dispatch(f"http://127.0.0.1:{port}/{n}", str(n)) for n in range(7)])
            let_go[0].set()
            assert len(await one.fetched(1)) == 1
            for first in (1, 3, 5):
                let_go[first].set()
                await wait_for(lambda: len(one.service._out) == 1)
                assert (await one.outqueue.size()).messages == 0
                let_go[first + 1].set()
                assert {fetched.task.taskid for fetched in await one.fetched(2)} == {str(first), str(first + 1)}
            await one.put(dispatch(f"http://127.0.0.1:{port}/0", "again"))  # the take does not rest any more
            await wait_for(lambda: len(one.service._out) == 1)


@in_loop
async def test_a_full_outqueue_stops_the_taking() -> None:
    async with site() as server, ring(poolsize=5, maxsize=100) as one:
        one.outqueue.max_messages = one.outqueue._limit = 10
        server.on("/", answer(b"x"))
        await one.put(*[dispatch(f"{server.url}/", str(n)) for n in range(100)])
        await wait_for(lambda: one.outqueue.room() == 0 and not one.service._running)
        await asyncio.sleep(0.1)
        taken = len(server.requests)
        assert 10 <= taken <= 25  # the queue, and at most a pool being put and a pool that is done
        assert {fetched.task.taskid for fetched in await one.fetched(100)} == {str(n) for n in range(100)}


@in_loop
async def test_unreadable_messages_are_put_aside() -> None:
    async with site() as server, ring() as one:
        server.on("/", answer(b"x"))
        await one.inqueue.put_many([b"", b"\xffrubbish", b"\x01\x90", encode(dispatch(f"{server.url}/", "good"))])
        assert (await one.fetched(1))[0].task.taskid == "good"
        await one.put(dispatch(f"{server.url}/", "next"))
        await one.fetched(1)
        dead = await one.inqueue.dead()
        assert {letter.body for letter in dead} == {b"", b"\xffrubbish", b"\x01\x90"}
        assert all(letter.reason for letter in dead)


@in_loop
async def test_a_scheduler_of_another_version_ends_the_fetcher_in_words() -> None:
    one = Ring()
    foreign = [b"\x63" + bytes([n]) for n in range(12)]
    await one.inqueue.put_many(foreign)
    with pytest.raises(UsageError, match="10 messages in a row: message version 99, this is version 1"):
        await asyncio.wait_for(one.service.run(), 20)
    dead = await one.inqueue.dead()
    assert {letter.body for letter in dead} >= set(foreign[:10])
    assert all("message version 99" in letter.reason for letter in dead)


@pytest.mark.parametrize("where", ["begin", "fetch", "later"])
@in_loop
async def test_what_goes_wrong_inside_is_an_answer_too(where: str) -> None:
    made = Ring()
    async with site() as server:
        server.redirect("/", "/")
        await goes_wrong(made, where, f"{server.url}/")


async def goes_wrong(made: Ring, where: str, url: str) -> None:
    def broken(*args: object) -> Fetched:
        raise RuntimeError("a bug")

    fetcher = made.service._fetcher
    setattr(fetcher, "_follow" if where == "later" else where, broken)
    if where == "fetch":
        fetcher.begin = lambda *args: None  # type: ignore[method-assign]
    running = asyncio.create_task(made.service.run())
    await made.put(dispatch(url))
    [fetched] = await made.fetched(1)
    assert (fetched.status_code, fetched.error_kind, fetched.error) == (599, "internal", "RuntimeError: a bug")
    await made.service.stop()
    await running


@in_loop
async def test_a_body_that_fits_no_message_is_too_large() -> None:
    async with site() as server, ring() as one:
        server.on("/", answer(b"x" * (messages.MAX_MESSAGE + 1)))
        await one.put(dispatch(f"{server.url}/"))
        [fetched] = await one.fetched(1)
        assert fetched.error_kind == "too_large"


@in_loop
async def test_a_request_that_fills_a_message_has_an_answer() -> None:
    async with ring() as one:
        task = dispatch("data:,x")
        task.fetch = Fetch(data=b"x" * (messages.MAX_MESSAGE - len(encode(task)) - 20))
        await one.put(task)
        [fetched] = await one.fetched(1)
        assert (fetched.task.taskid, fetched.error_kind) == (task.taskid, "too_large")
        await wait_for(lambda: one.service.inflight() == 0)


@in_loop
async def test_a_broker_that_goes_away_for_a_while() -> None:
    async with site() as server:
        server.on("/", answer(b"x"))
        made = Ring()
        fails = {"get": 2, "put": 2, "ack": 0, "status": 2}

        def flaky(name: str, real: Callable[..., object]) -> Callable[..., object]:
            async def call(*args: object) -> object:
                if fails[name]:
                    fails[name] -= 1
                    raise QueueUnavailable("gone")
                return await real(*args)  # type: ignore[misc]

            return call

        made.inqueue.get_many = flaky("get", made.inqueue.get_many)  # type: ignore[method-assign, assignment]
        made.outqueue.put_many = flaky("put", made.outqueue.put_many)  # type: ignore[method-assign, assignment]
        made.status.put_many = flaky("status", made.status.put_many)  # type: ignore[method-assign, assignment]
        running = asyncio.create_task(made.service.run())
        await made.put(*[dispatch(f"{server.url}/", str(n)) for n in range(5)])
        assert len(await made.fetched(5)) == 5
        await made.told(FetchEnded)
        await made.service.stop()
        await running
        assert not any(fails.values())


@in_loop
async def test_an_idle_service_sleeps() -> None:
    async with ring(heartbeat=60) as one:
        await one.told(Heartbeat)
        loop = asyncio.get_running_loop()
        turns = 0
        real = loop.call_soon

        def counted(*args: object, **kwargs: object) -> object:
            nonlocal turns
            turns += 1
            return real(*args, **kwargs)  # type: ignore[arg-type]

        loop.call_soon = counted  # type: ignore[method-assign, assignment]
        await asyncio.sleep(0.5)
        assert turns < 20


@in_loop
async def test_a_slow_large_download_is_held_and_handed_on_once() -> None:
    size, piece = 30 * 2**20, 60_000
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for start in range(0, size, piece):
            if start > size // 2:
                await release.wait()
            writer.write(b"d" * min(piece, size - start))
            await writer.drain()

    blobs = connect_blobdb("memory://")
    async with raw_server(slow) as port, site() as server, ring(heartbeat=0.05, blobs=blobs) as one:
        server.on("/", answer(b"x"))
        await one.put(dispatch(f"http://127.0.0.1:{port}/", "large"))
        for _ in range(3):  # the lease is renewed while it comes in
            await one.told(Heartbeat, lambda beat: beat.held == [("p", "large", 1, 1)])  # type: ignore[attr-defined]
        await one.put(*[dispatch(f"{server.url}/", str(number)) for number in range(200)])
        assert {fetched.content for fetched in await one.fetched(200)} == {b"x"}  # and nobody waits for it
        release.set()
        [fetched] = await one.fetched(1)
        assert (fetched.task.taskid, fetched.size, fetched.content) == ("large", size, b"")
        assert sum(map(len, blobs.read(fetched.blob or ""))) == size
        await wait_for(lambda: one.service.inflight() == 0)
        assert (await one.inqueue.size()).messages == 0


@in_loop
async def test_sessions_and_awaits_cross_the_queues() -> None:
    async with site() as server, ring() as one:
        server.on("/", answer(b"x", headers="Set-Cookie: a=1; Path=/\r\n"))
        task = dispatch(f"{server.url}/", session="login", cookies={"b": "2"})
        task.kind = messages.AWAIT
        await one.put(task)
        [fetched] = await one.fetched(1)
        assert fetched.task.kind == messages.AWAIT
        assert fetched.jar is not None
        again = dispatch(f"{server.url}/", session="login")
        again.jar = fetched.jar
        await one.put(again, dispatch(f"{server.url}/"))
        both = await one.fetched(2)
        assert {tuple(sorted(each.cookies)) for each in both} == {("a", "b"), ("a",)}
        assert [each.jar for each in both if each.task.fetch.session is None] == [None]


@in_loop
async def test_who_waits_in_the_line_of_a_browser_service_holds_nobody_up() -> None:
    """A pool of two waits with eight more for the browser, not with twelve; a plain task passes them."""
    asked = 0
    go_on = asyncio.Event()
    page = json.dumps({"status_code": 200, "url": "http://x/", "content": "rendered"}).encode()

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await read_request(reader)
        asked += 1
        writer.write(b"HTTP/1.1 200 OK\r\nServer: crawlkit-browser/1\r\nConnection: close\r\n\r\n")
        while not go_on.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(b"\n" + page)
        await writer.drain()

    async with raw_server(line) as port, site() as served:
        served.on("/plain", answer(b"plain"))
        endpoint = f"http://127.0.0.1:{port}/"
        async with ring(poolsize=2, browser_endpoint=endpoint) as here:
            await here.put(*(dispatch("http://x.example/", f"js{n}", fetch_type="js") for n in range(9)))
            await wait_for(lambda: asked == 9)
            await here.put(dispatch(f"{served.url}/plain", "plain"))
            [fetched] = await here.fetched(1)
            assert (fetched.task.taskid, fetched.content) == ("plain", b"plain")
            await here.put(*(dispatch("http://x.example/", f"more{n}", fetch_type="js") for n in range(3)))
            await wait_for(lambda: asked == 10)
            assert here.service.inflight() == 10
            go_on.set()
            assert {one.content for one in await here.fetched(12)} == {b"rendered"}
