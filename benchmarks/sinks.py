"""What a result costs in each kind of sink: CPU microseconds and bytes, beside those of storing it in the resultdb.

    python -m benchmarks.sinks [--results 100000] [--chars 400]

Prints figures, judges nothing. A result has a URL, a title, a price, a list of tags and a text of ``--chars``.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from crawlkit.database.base import ResultSet
from crawlkit.database.registry import connect_resultdb
from crawlkit.libs.clock import SystemClock
from crawlkit.result.sink_follower import SinkFollower
from crawlkit.result.sink_url import parse_sink
from crawlkit.result.sinks import open_sink

BATCH = 200
KINDS = ("jsonl", "jsonl gzip", "jsonl zstd", "csv", "csv gzip", "csv zstd", "parquet")


def result_set(number: int, chars: int, words: list[str]) -> ResultSet:
    chance = random.Random(number)
    text = " ".join(chance.choices(words, k=chars // 6))[:chars]
    result = {
        "title": f"Item number {number}", "price": round(chance.uniform(1, 500), 2), "stock": chance.randrange(100),
        "tags": chance.choices(words, k=3), "text": text,
    }  # fmt: skip
    url = f"http://127.0.0.1/section/{number % 97}/item-{number}.html"
    return ResultSet("bench", f"t{number}", 1, 1, url, 0, [json.dumps(result)], True, 1.7e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--chars", type=int, default=400)
    options = parser.parse_args()
    count: int = options.results
    words = ["".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz", k=5)) for n in range(2_000)]
    with tempfile.TemporaryDirectory() as folder:
        resultdb = connect_resultdb(f"sqlite:///{folder}/result.db")
        used = 0.0
        for start in range(0, count, BATCH):
            sets = [result_set(n, options.chars, words) for n in range(start, min(count, start + BATCH))]
            before = time.process_time()
            resultdb.save(sets)
            used += time.process_time() - before
        print(f"{'':12} {'CPU us a result':>16} {'bytes a result':>16} {'seconds':>9}")
        size = sum(path.stat().st_size for path in Path(folder).glob("result.db*"))
        print(f"{'resultdb':12} {used / count * 1e6:16.1f} {size / count:16.0f}")
        for kind in KINDS:
            form, _, compression = kind.partition(" ")
            option = f"?compression={compression}" if compression else ""
            url = parse_sink(f"{form}://{folder}/{form}{compression}{option}")
            book = resultdb
            follower = SinkFollower(resultdb, book, open_sink(url), url, node="bench", clock=SystemClock())  # type: ignore[arg-type]
            before, began = time.process_time(), time.perf_counter()
            while follower.look(to_the_end=True) <= 0:
                pass
            used, passed = time.process_time() - before, time.perf_counter() - began
            size = sum(path.stat().st_size for path in Path(url.place).glob("*/*"))
            print(f"{kind:12} {used / count * 1e6:16.1f} {size / count:16.0f} {passed:9.1f}")
        resultdb.close()


if __name__ == "__main__":
    main()
