"""What callbacks print reaches the user: every text, the same one only a few times, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from crawlkit.cli.echo import Echo, Echoing
from crawlkit.libs.messages import (
    INFO,
    PROCESSOR2RESULT,
    STATUS_QUEUE,
    TASK,
    Heartbeat,
    Outcome,
    TrackProcess,
    encode,
)
from crawlkit.message_queue.memory import MemoryBroker


def outcome(logs: str | None, n: int = 0, reason: str | None = None, kind: int = TASK) -> bytes:
    process = TrackProcess(ok=reason is None, logs=logs, reason=reason)
    url = f"http://x/{n}"
    return encode(
        Outcome("p", f"t{n}", 1, 1, kind, 0, True, [], 0, url, "node", reason is None, [], [], process=process)
    )


BEAT = encode(Heartbeat("n", "processor", "h", 1, "0", 0.0))
SHOWN = [
    ([outcome("hello\n")], ["p http://x/0\nhello"]),
    ([outcome(None)], []),
    ([outcome("timeout", reason="fetch_error")], []),
    ([outcome("Traceback", reason="exception")], ["p http://x/0\nTraceback"]),
    ([outcome("Traceback", kind=INFO, reason="script_error")], ["p\nTraceback"]),
    ([outcome("again", reason="exception")] * 4, ["p http://x/0\nagain"]),
    (
        [outcome("same", n) for n in range(9)],
        ["p http://x/0\nsame", "p http://x/1\nsame", "p http://x/2 (shown no more)\nsame"],
    ),
    ([BEAT, b"", b"\xff\xff"], []),
]


@pytest.mark.parametrize(("bodies", "want"), SHOWN)
def test_what_is_shown(bodies: list[bytes], want: list[str]) -> None:
    said: list[str] = []
    Echo(said.append).look(bodies)
    assert said == want


def test_the_debugger_shows_failures_itself() -> None:
    said: list[str] = []
    Echo(said.append, failures=False).look([outcome("Traceback", reason="exception"), outcome("printed", 1)])
    assert said == ["p http://x/1\nprinted"]


def test_what_is_remembered_is_bounded() -> None:
    said: list[str] = []
    echo = Echo(said.append)
    for n in range(5_000):
        echo.look([outcome(f"text {n}", n)])
    assert len(said) == 5_000
    assert len(echo._seen) <= 1_001


def test_outcomes_pass_unchanged() -> None:
    async def play() -> None:
        said: list[str] = []
        broker = MemoryBroker()
        echoing = Echoing(broker, said.append)
        bodies = [outcome("one"), BEAT]
        for name in (STATUS_QUEUE, PROCESSOR2RESULT, "scheduler2fetcher"):
            queue = echoing.queue(name)
            await queue.put_many(bodies)
            taken = await broker.queue(name).get_many(10)
            assert [delivery.body for delivery in taken] == bodies
            assert (await queue.size()).unacked == 2
            assert queue.room() > 0
            await queue.ack([delivery.id for delivery in taken])
        assert said == ["p http://x/0\none"]
        assert await echoing.epoch() == await broker.epoch()

    asyncio.run(play())
