"""Result workers with sinks are killed again and again while results flow: every file can be read, and every result is
in exactly one of each sink."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from crawlkit.database.registry import connect_resultdb
from crawlkit.files.store import Store
from crawlkit.libs import messages
from crawlkit.libs.messages import Outcome
from crawlkit.message_queue.server import LocalServer
from tests.database.stores import url_of
from tests.files.stores import s3_endpoint, s3_url  # noqa: F401 - fixtures
from tests.result.sink_tools import files_in, rows_of

ROOT = Path(__file__).parents[2]
EACH = 3  # results of an outcome
ROUND = 200  # outcomes between two kills


class Victims:
    """Result workers to be killed."""

    def __init__(self, folder: Path, resultdb: str, sinks: list[str]) -> None:
        self._line = ["--data-path", str(folder), "--message-queue", f"local://{folder}", "--resultdb", resultdb]
        self._line.append("result_worker")
        for sink in sinks:
            self._line += ["--sink", sink]
        self._said = (folder / "said.txt").open("w")
        self._starter = subprocess.Popen(
            [sys.executable, "-m", "tests.result.victims"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip
        self.pids: list[int] = []

    def start(self) -> None:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write(json.dumps(self._line) + "\n")
        self._starter.stdin.flush()
        self.pids.append(int(self._starter.stdout.readline()))

    def end(self, pid: int, how: signal.Signals) -> None:
        process = psutil.Process(pid)
        process.send_signal(how)
        process.wait(20)
        self.pids.remove(pid)

    def close(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._starter.kill()
        self._starter.communicate()
        self._said.close()


class Scene:
    """Queues to feed, and what came out."""

    def __init__(self, server: LocalServer) -> None:
        self._in = server.queue(messages.PROCESSOR2RESULT)
        self._out = server.queue(messages.STATUS_QUEUE)
        self.sent = 0
        self.done: set[str] = set()

    async def feed(self, count: int) -> None:
        bodies = []
        for task in range(self.sent, self.sent + count):
            texts = [json.dumps({"n": task * EACH + at, "text": "x" * 50}) for at in range(EACH)]
            outcome = Outcome(
                project=f"p{task % 3}", taskid=f"t{task}", run=1, attempt=1, kind=0, url=f"http://h/{task}", node="n",
                ok=True, messages=[], result_count=EACH, follows=[], part=0, last=True, first_result=0, results=texts,
            )  # fmt: skip
            bodies.append(messages.encode(outcome))
        self.sent += count
        await self._in.put_many(bodies)

    async def drain(self) -> None:
        while True:
            deliveries = await self._out.get_many(500)
            for delivery in deliveries:
                message = messages.decode_status(delivery.body)
                if isinstance(message, Outcome):
                    self.done.add(message.taskid)
            await self._out.ack([delivery.id for delivery in deliveries])


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    server = LocalServer(folder, max_messages=0)
    await server.start()
    made = Scene(server)
    drain = asyncio.create_task(made.drain())
    try:
        yield made
    finally:
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)
        await server.close()


async def until(condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - it becomes true in another process
            await asyncio.sleep(0.005)


async def play(
    folder: Path,
    sinks: list[str],
    kills: int,
    workers: int,
    seed: int,
    look: Callable[[], None],
    resultdb_url: str = "",
) -> tuple[int, int]:
    """Kills ``kills`` times; returns how many results there are, and how often the first sink changed hands."""
    chance = random.Random(seed)
    url = resultdb_url or f"sqlite:///{folder}/result.db"
    resultdb: Any = connect_resultdb(url)
    victims = Victims(folder, url, sinks)
    try:
        async with scene(folder) as made:
            for _ in range(kills):
                while len(victims.pids) < workers:
                    victims.start()
                base = len(made.done)
                await made.feed(ROUND)
                enough = base + chance.randint(1, made.sent - base)
                await until(lambda enough=enough: len(made.done) >= enough, "some outcomes")  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0, 0.2))
                victims.end(chance.choice(victims.pids), signal.SIGKILL)
                look()
            while len(victims.pids) < workers:
                victims.start()
            await until(lambda: len(made.done) == made.sent, "all outcomes")
            total = made.sent * EACH
            known = [row.sink for row in resultdb.sinks()]
            assert len(known) == len(sinks)
            await until(
                lambda: all(sum(row.results for row in resultdb.sink_progress(sink)) >= total for sink in known),
                "all results in files",
            )
            for pid in list(victims.pids):
                victims.end(pid, signal.SIGTERM)
            assert sum(resultdb.count(project) for project in resultdb.projects()) == total
            assert [row.error for row in resultdb.sinks()] == [""] * len(sinks)
            return total, resultdb.sinks()[0].fence
    finally:
        victims.close()
        resultdb.close()


def check(files: Iterator[tuple[str, bytes]], total: int) -> None:
    found = Counter(int(row["n"]) for name, data in files for row in rows_of(name, data))
    assert set(found) == set(range(total))
    assert set(found.values()) == {1}


@pytest.mark.parametrize(
    ("kills", "workers", "backend"),
    [
        (6, 1, "sqlite"),
        (4, 2, "sqlite"),
        (3, 2, "postgresql"),
        pytest.param(20, 1, "sqlite", marks=pytest.mark.slow),
        pytest.param(4, 2, "mariadb", marks=pytest.mark.slow),
    ],
)
def test_every_file_is_whole_and_every_result_in_one_of_them(
    kills: int, workers: int, backend: str, tmp_path: Path
) -> None:
    """Show 6 of the issue, and R-03: SIGKILL at seeded moments."""
    data = tmp_path / "d"
    data.mkdir()
    places = {form: tmp_path / form.partition("?")[0] for form in ("parquet", "csv", "jsonl?compression=gzip")}
    options = "rows=70&age=0.2"
    sinks = [
        f"{form.partition('?')[0]}://{place}?{options}" + (f"&{form.partition('?')[2]}" if "?" in form else "")
        for form, place in places.items()
    ]
    seen: set[str] = set()

    def look() -> None:
        """What is there after a kill can be read, while nobody has looked after it."""
        for place in places.values():
            for name, content in files_in(place):
                if name not in seen:
                    assert rows_of(name, content)
                    seen.add(name)

    total, fence = asyncio.run(play(data, sinks, kills, workers, 6, look, url_of(backend, data, "result")))
    for place in places.values():
        check(files_in(place), total)
        assert not list(place.glob("*/.*")), "drafts of the dead are gone"
    assert fence > kills / (2 * workers)  # the kills did meet who served the sinks


def test_objects_in_s3_are_whole_and_hold_every_result_once(s3_url: str, tmp_path: Path) -> None:  # noqa: F811
    def files() -> Iterator[tuple[str, bytes]]:
        store = Store(s3_url)
        for folder in ("p0", "p1", "p2"):
            for name in store.names(folder):
                yield name, store.get(f"{folder}/{name}") or b""

    def look() -> None:
        for name, content in files():
            assert rows_of(name, content)

    total, _ = asyncio.run(play(tmp_path, [f"parquet+{s3_url}?rows=200&age=0.2"], 2, 1, 7, look))
    check(files(), total)
