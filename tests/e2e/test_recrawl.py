"""A crawl of a task replaces what its earlier crawls gave, also when it gives nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.commands import environment, run

SCRIPT = """
import json
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        for name in ("shrinks", "empties", "stays"):
            self.crawl(f"data:,{name}", callback=self.page, age=0)

    def page(self, response):
        for item in json.load(open("items.json"))[response.text]:
            yield {"item": item}
"""


def stored(folder: Path, items: dict[str, list[int]]) -> dict[str, list[int]]:
    """What is in the resultdb after one more crawl over ``items``."""
    (folder / "items.json").write_text(json.dumps(items))
    env = environment("http://127.0.0.1/")
    done = run(["one", "job.py", "-o", "out.jsonl", "--data-path", "d"], folder, env)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[int]] = {name: [] for name in items}
    for line in run(["--data-path", "d", "results", "job"], folder, env).stdout.splitlines():
        row = json.loads(line)
        found[row["url"].removeprefix("data:,")].append(row["result"]["item"])
    audit = run(["--data-path", "d", "audit"], folder, env)
    assert audit.returncode == 0, audit.stdout
    return {name: sorted(values) for name, values in found.items()}


def test_each_crawl_replaces_the_results_of_the_one_before(tmp_path: Path) -> None:
    script = SCRIPT.replace('"items.json"', repr(str(tmp_path / "items.json")))
    (tmp_path / "job.py").write_text(script)
    for items in (
        {"shrinks": [1, 2, 3], "empties": [4, 5], "stays": [6]},
        {"shrinks": [2], "empties": [], "stays": [6]},
        {"shrinks": [2, 7], "empties": [8], "stays": [6]},
    ):
        assert stored(tmp_path, items) == items
