"""Results that can be told apart, sinks to look into, and what lies in the files of one."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from crawlkit.database.base import ResultSet, ResultStore
from crawlkit.libs.clock import Clock, SystemClock
from crawlkit.result.sink_follower import SinkFollower
from crawlkit.result.sink_url import parse_sink
from crawlkit.result.sinks import Batch, open_sink


def save(
    resultdb: ResultStore, *numbers: int, project: str = "p", run: int = 1, at: float = 100.0, **fields: Any
) -> None:
    """Results ``{"n": number, ...}`` of tasks ``t<number>``."""
    texts = [json.dumps({"n": n, **fields}) for n in numbers]
    resultdb.save(
        [
            ResultSet(project, f"t{n}", run, 1, f"http://x/{n}", 0, [text], True, at)
            for n, text in zip(numbers, texts, strict=True)
        ]
    )


def follower(resultdb: Any, url: str, clock: Clock | None = None, sink: Any = None) -> SinkFollower:
    parsed = parse_sink(url)
    return SinkFollower(
        resultdb, resultdb, sink or open_sink(parsed), parsed, node="test", clock=clock or SystemClock()
    )


def to_the_end(one: SinkFollower) -> None:
    while one.look(to_the_end=True) <= 0:
        pass


class Kept:
    """A sink that keeps what it gets: the last of each name counts."""

    def __init__(self) -> None:
        self.batches: dict[str, list[int]] = {}
        self.calls = 0
        self.error: Exception | None = None

    def write(self, batch: Batch) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.batches[batch.name] = [found["result"]["n"] for found in batch.results()]

    def numbers(self) -> list[int]:
        return sorted(n for batch in self.batches.values() for n in batch)


def plain(data: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if name.endswith(".zst"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def rows_of(name: str, data: bytes) -> list[dict[str, Any]]:
    """The rows of a finished file; raises when it cannot be read to its end."""
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        found: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
        return found
    text = plain(data, name).decode()
    assert text.endswith("\n")
    if ".jsonl" in name:
        return [json.loads(line)["result"] for line in text.splitlines()]
    table = list(csv.reader(io.StringIO(text, newline="")))
    assert all(len(row) == len(table[0]) for row in table)
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def files_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Finished files: those that a glob sees."""
    for path in sorted(folder.glob("*/*")):
        if not path.name.startswith("."):
            yield path.name, path.read_bytes()


def counted(folder: Path) -> Counter[int]:
    """How often each number stands in the files."""
    return Counter(int(row["n"]) for name, data in files_in(folder) for row in rows_of(name, data))
