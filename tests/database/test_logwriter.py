"""Who logs never waits and never fails; what is lost is counted and said."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from crawlkit.database import logwriter
from crawlkit.database.base import LogFilter, LogLine
from crawlkit.database.logwriter import Bounds, LogWriter, StoreHandler
from crawlkit.database.memory import MemoryLogStore
from crawlkit.libs.clock import ManualClock, SystemClock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.journal import UNSTORED


class Broken(MemoryLogStore):
    """Answers when ``error`` is None; waits for ``gate`` then."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.tries = 0

    def append_many(self, lines: Sequence[LogLine]) -> int:
        self.tries += 1
        self.gate.wait(20)
        if self.error is not None:
            raise self.error
        return super().append_many(lines)

    def texts(self) -> list[str]:
        return [line.text for line in self.tail(LogFilter(), 0, limit=100_000).lines]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Broken:
    for name in ("RETRY", "GATHER"):
        monkeypatch.setattr(logwriter, name, 0.01)
    return Broken()


@pytest.fixture
def make(store: Broken) -> Iterator[Callable[..., LogWriter]]:
    made: list[LogWriter] = []

    def start(**options: object) -> LogWriter:
        options.setdefault("clock", SystemClock())
        writer = LogWriter(lambda: store, node="n", role="r", **options)  # type: ignore[arg-type]
        writer.start()
        made.append(writer)
        return writer

    yield start
    store.gate.set()
    for writer in made:
        writer.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def line(text: str) -> LogLine:
    return LogLine(1.0, 20, text)


def test_lines_come_in_order_with_the_name_of_the_process(store: Broken, make: Callable[..., LogWriter]) -> None:
    writer = make()
    for number in range(1_200):
        writer.put([line(str(number))])
    writer.close()
    assert store.texts() == [str(number) for number in range(1_200)]
    assert store.nodes() == [("n", "r")]


def test_who_logs_does_not_wait_for_a_store_that_hangs(store: Broken, make: Callable[..., LogWriter]) -> None:
    store.gate.clear()
    writer = make(max_lines=100)
    began = time.monotonic()
    for number in range(10_000):
        writer.put([line(str(number))])
    assert time.monotonic() - began < 2
    assert writer.dropped >= 9_400  # up to five batches may have been on their way
    store.gate.set()
    until(lambda: len(store.texts()) > 100)
    (said,) = [text for text in store.texts() if not text.isdigit()]
    assert said.endswith(" log lines were dropped: more came than could be stored")
    assert 0 < int(said.split()[0]) <= writer.dropped  # the rest is told a minute later
    assert [text for text in store.texts() if text.isdigit()][:100] == [str(number) for number in range(100)]


def test_large_texts_are_bounded_by_their_bytes(store: Broken, make: Callable[..., LogWriter]) -> None:
    store.gate.clear()
    writer = make(max_bytes=20_000)
    for _ in range(10):
        writer.put([line("x" * 100_000)])
    assert writer.dropped == 8


def test_a_store_that_is_away_gets_the_lines_later(
    store: Broken, make: Callable[..., LogWriter], caplog: pytest.LogCaptureFixture
) -> None:
    store.error = StoreUnavailable("the disk is full")
    writer = make()
    writer.put([line("a")])
    until(lambda: store.tries > 2)
    writer.put([line("b")])
    store.error = None
    until(lambda: store.texts() == ["a", "b"])
    until(lambda: "answers again" in caplog.text)
    assert caplog.text.count("the disk is full") == 1


def test_a_fault_of_ours_costs_its_lines_only(store: Broken, make: Callable[..., LogWriter]) -> None:
    store.error = KeyError("ours")
    writer = make()
    writer.put([line("a")])
    until(lambda: writer.dropped == 1)
    store.error = None
    writer.put([line("b")])
    until(lambda: "b" in store.texts())
    assert "a" not in store.texts()


def test_one_writer_prunes(store: Broken, make: Callable[..., LogWriter]) -> None:
    clock = ManualClock()
    store.append_many([LogLine(clock.time() - 8 * 86_400, 20, "old"), LogLine(clock.time() - 6 * 86_400, 20, "new")])
    make(clock=clock, bounds=Bounds())
    until(lambda: store.texts() == ["new"])


def test_what_a_process_logs_goes_to_the_store(store: Broken, make: Callable[..., LogWriter]) -> None:
    writer = make()
    logger = logging.Logger("crawlkit.test")
    logger.addHandler(StoreHandler(writer))
    logger.info("hello %s", "world")
    logger.warning("paused", extra={"project": "p", "taskid": "t"})
    logger.info("a link with a token", extra=UNSTORED)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed")
    writer.close()
    hello, paused, failed = store.tail(LogFilter(), 0).lines
    assert (hello.text, hello.level, hello.logger, hello.node, hello.role) == (
        "hello world",
        20,
        "crawlkit.test",
        "n",
        "r",
    )
    assert (paused.project, paused.taskid, paused.level) == ("p", "t", 30)
    assert failed.text.startswith("it failed\nTraceback")
    assert failed.text.endswith("ValueError: broken")


def test_a_record_that_cannot_be_formatted_is_loggings_own_matter(
    store: Broken, make: Callable[..., LogWriter], capsys: pytest.CaptureFixture[str]
) -> None:
    writer = make()
    logger = logging.Logger("x")
    logger.addHandler(StoreHandler(writer))
    logger.info("%d", "no number")
    assert "Logging error" in capsys.readouterr().err
