"""How long a pump rests after a batch, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.message_queue import gathering
from crawlkit.message_queue.gathering import EACH, ENOUGH, LONGEST, Rest, rest_after
from crawlkit.message_queue.memory import MemoryQueue
from crawlkit.message_queue.outbox import Outbox
from tests.processor.helpers import until


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(0, 0.0), (1, EACH), (2, 2 * EACH), (ENOUGH - 1, LONGEST), (ENOUGH, 0.0), (1000, 0.0)],
)
def test_the_rest_after_a_batch(count: int, seconds: float) -> None:
    assert rest_after(count) == seconds


@given(st.integers(0, 10_000))
def test_no_rest_is_long(count: int) -> None:
    assert 0 <= rest_after(count) <= min(LONGEST, EACH * count)


def test_a_rest_ends_by_itself_and_by_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        rest = Rest()
        rest.end()  # there is none
        await rest.after(1)
        await rest.after(0)
        monkeypatch.setattr(gathering, "EACH", 60.0)
        monkeypatch.setattr(gathering, "LONGEST", 60.0)
        resting = asyncio.create_task(rest.after(1))
        await asyncio.sleep(0)
        assert not resting.done()
        rest.end()
        rest.end()
        await asyncio.wait_for(resting, 10)
        resting = asyncio.create_task(rest.after(1))
        await asyncio.sleep(0)
        resting.cancel()
        await asyncio.wait([resting])
        rest.end()
        resting = asyncio.create_task(rest.take(60.0))  # however many the last batch had
        await asyncio.sleep(0)
        rest.end()
        await asyncio.wait_for(resting, 10)

    asyncio.run(scene())


class Counting(MemoryQueue):
    """Knows how many came by each put."""

    def __init__(self) -> None:
        super().__init__("q")
        self.puts: list[int] = []

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        self.puts.append(len(bodies))
        await super().put_many(bodies, timeout)


def test_the_first_goes_at_once_and_the_next_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "EACH", 60.0)
    monkeypatch.setattr(gathering, "LONGEST", 60.0)

    async def scene() -> None:
        queue = Counting()
        ended: list[int] = []
        box: Outbox[int] = Outbox(queue, 1000, 10**6, ended.extend)
        running = asyncio.create_task(box.run())
        box.add(b"x", 0)
        await until(lambda: ended == [0])
        for n in range(1, ENOUGH):
            box.add(b"x", n)
            await asyncio.sleep(0)
        assert (queue.puts, len(box)) == ([1], ENOUGH - 1)
        box.add(b"x", ENOUGH)
        await until(lambda: box.empty)
        assert queue.puts == [1, ENOUGH]
        assert ended == list(range(ENOUGH + 1))
        running.cancel()

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_a_full_box_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "EACH", 60.0)
    monkeypatch.setattr(gathering, "LONGEST", 60.0)

    async def scene() -> None:
        queue = Counting()
        box: Outbox[None] = Outbox(queue, 3, 10**6, lambda _: None)
        running = asyncio.create_task(box.run())
        box.add(b"x", None)
        await until(lambda: box.empty)
        for _ in range(3):
            box.add(b"x", None)
        await until(lambda: box.empty)
        assert queue.puts == [1, 3]
        running.cancel()

    asyncio.run(asyncio.wait_for(scene(), 30))
