"""Callbacks that await, over real workers: what they begin with and what is answered goes through the blob store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from crawlkit.database.memory.blobstore import MemoryBlobStore
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.messages import AWAIT, RESUME, TASK, Fetched, Outcome
from crawlkit.libs.task import Fetch, Task
from tests.processor.helpers import Bench, bench, fetched, script, until

TWO = """
async def page(self, response):
    print("began")
    first = await self.fetch("/1")
    others = await asyncio.gather(self.fetch("/2"), self.fetch("/3"))
    return {"found": [len(response.content), first.text] + [other.text for other in others]}
"""


def child_of(version: str, parked: Outcome, number: int, **more: Any) -> Fetched:
    """The fetcher's answer to one await."""
    (request,) = [one for one in parked.awaits if one.number == number]
    task = msgspec.msgpack.decode(request.task, type=Task)
    answer = fetched("p", version, "_on_await", task.url, kind=AWAIT, content=f"answer {number}".encode(), **more)
    answer.task.taskid = task.taskid
    return answer


def resumed(parent: Fetched, attempt: int, recorded: list[tuple[int, str]]) -> Fetched:
    task = msgspec.structs.replace(parent.task, kind=RESUME, attempt=attempt)
    return Fetched(task, 0, parent.url, parent.url, [], {}, 0.0, recorded=recorded)


async def answered(it: Bench, version: str, parked: Outcome, **more: Any) -> list[tuple[int, str]]:
    """The blobs of the answers to everything that a parked callback waits for."""
    children = [child_of(version, parked, one.number, **more) for one in parked.awaits]
    outcomes = await it.run(*children)
    assert all((one.kind, one.ok, one.results) == (AWAIT, True, []) for one in outcomes)
    return [(one.number, child.answer or "") for one, child in zip(parked.awaits, outcomes, strict=True)]


def test_a_callback_waits_twice_and_ends() -> None:
    async def scene() -> None:
        blobs = MemoryBlobStore()
        large = blobs.create([b"x" * 1_500_000], "p/t/1")
        async with bench(blobs, workers=1) as it:
            version = it.projects.save("p", script(TWO, "import asyncio\n"))
            page = fetched("p", version, content=b"", blob=large)
            (parked,) = await it.run(page)
            assert (parked.kind, parked.ok, parked.results, len(parked.awaits)) == (TASK, True, [], 1)
            assert parked.record
            await until(lambda: large not in blobs._blobs)  # the record has the body
            recorded = [(0, parked.record), *await answered(it, version, parked)]
            (parked,) = await it.run(resumed(page, 2, recorded))
            assert (parked.record, [one.number for one in parked.awaits]) == (None, [2, 3])
            recorded += await answered(it, version, parked)
            (done,) = await it.run(resumed(page, 3, recorded))
            assert done.kind == TASK
            assert done.results == ['{"found":[1500000,"answer 1","answer 2","answer 3"]}']
            assert done.process is not None
            assert done.process.logs == "began\n"
            assert it.ways[page.url] == {"status_queue", "processor2result"}

    asyncio.run(scene())


def test_answers_need_no_worker_and_keep_large_bodies_and_cookies() -> None:
    async def scene() -> None:
        blobs = MemoryBlobStore()
        async with bench(blobs, workers=1) as it:
            version = it.projects.save("p", script("def page(self):\n    while True: pass"))
            await it.put(fetched("p", version))  # the only worker is busy
            large = blobs.create([b"x" * 2_000_000], "p/t/1")
            child = fetched("p", version, "_on_await", "http://example.com/1", kind=AWAIT, content=b"", blob=large)
            child.task.fetch = Fetch(session="s")
            child.jar = ["cookie"]
            lost = fetched("p", version, "_on_await", "http://example.com/2", kind=AWAIT, content=b"", blob="gone")
            bad = fetched("p", version, "_on_await", "http://example.com/3", kind=AWAIT, status_code=500)
            good, nothing, error = await it.run(child, lost, bad)
            assert (good.ok, good.session, good.jar) == (True, "s", ["cookie"])
            assert len(b"".join(blobs.read(good.answer or ""))) > 2_000_000
            assert (nothing.ok, nothing.answer) == (False, None)
            assert error.answer
            assert not error.ok
            assert error.fetch is not None
            assert error.fetch.status_code == 500
            await until(lambda: large not in blobs._blobs)

    asyncio.run(scene())


def test_a_lost_answer_fails_the_task_with_its_reason() -> None:
    async def scene() -> None:
        blobs = MemoryBlobStore()
        async with bench(blobs, workers=1) as it:
            version = it.projects.save("p", script(TWO, "import asyncio\n"))
            page = fetched("p", version)
            (parked,) = await it.run(page)
            (outcome,) = await it.run(resumed(page, 2, [(0, parked.record or ""), (1, "gone")]))
            assert not outcome.ok
            assert outcome.process is not None
            assert outcome.process.reason == "record_lost"
            (outcome,) = await it.run(resumed(page, 3, [(0, "gone"), (1, "gone")]))
            assert outcome.process is not None
            assert (outcome.process.reason, outcome.kind) == ("record_lost", TASK)

    asyncio.run(scene())


def test_without_a_blob_store_an_await_fails_in_words() -> None:
    async def scene() -> None:
        async with bench(None, workers=1) as it:
            version = it.projects.save("p", script(TWO, "import asyncio\n"))
            (outcome,) = await it.run(fetched("p", version))
            assert not outcome.ok
            assert outcome.process is not None
            assert "no blob store" in (outcome.process.exception or "")

    asyncio.run(scene())


class AwayAtFirst(MemoryBlobStore):
    """A store that does not answer the first times."""

    left = 1

    def create(self, chunks: Iterable[bytes], key: str) -> str:
        if self.left:
            self.left -= 1
            raise StoreUnavailable("away")
        return super().create(chunks, key)


def test_a_store_that_is_away_is_waited_for() -> None:
    async def scene() -> None:
        async with bench(AwayAtFirst(), workers=1, process_time_limit=0.5) as it:
            version = it.projects.save("p", script(TWO, "import asyncio\n"))
            (parked,) = await it.run(fetched("p", version))
            assert parked.record

    asyncio.run(scene())
