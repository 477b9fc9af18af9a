"""The examples of docs/sinks.md run as they stand there."""

from __future__ import annotations

import http.server
import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit.database.registry import connect_resultdb
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import UsageError
from crawlkit.result.sink_url import Limits, parse_sink
from crawlkit.result.sinks import check_sink, limits_of, open_sink
from crawlkit.result.worker import load_result_worker
from tests.result.sink_tools import follower, save, to_the_end

PAGE = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()


def block(language: str, part: str) -> str:
    """The block that has this part."""
    (found,) = (
        text for text in re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if part in text
    )
    return str(found)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with the page's sink, as pip would leave it."""
    (tmp_path / "mymodule.py").write_text(block("python", "class Webhook") + block("python", "class Priced"))
    groups = tomllib.loads(block("toml", "entry-points"))["project"]["entry-points"]
    info = tmp_path / "mysinks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mysinks\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in rows.items())
        for group, rows in groups.items()
    ]
    lines.append("broken = mymodule:Missing\nodd = mymodule:json\n")
    (info / "entry_points.txt").write_text("".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("mymodule", None)


class Hook(http.server.BaseHTTPRequestHandler):
    got: dict[str, Any] = {}
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.status == 200:
            self.got[self.headers["Idempotency-Key"]] = json.loads(body)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_sink_of_ones_own(installed: Path) -> None:
    """C33: ten lines, an entry point, and the same promise."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    store = connect_resultdb("memory://")
    clock = ManualClock(100.0)
    url = f"webhook+http://127.0.0.1:{server.server_port}/in?rows=2&age=5"
    try:
        check_sink(parse_sink(url))
        one = follower(store, url, clock)
        save(store, 1, 2, 3)
        Hook.status = 503
        one.look()
        assert "HTTPError: HTTP Error 503" in store.sinks()[0].error
        Hook.status = 200
        clock.now += 10
        to_the_end(one)
    finally:
        server.shutdown()
        server.server_close()
    assert [[found["result"]["n"] for found in batch] for batch in Hook.got.values()] == [[1, 2], [3]]
    assert next(iter(Hook.got.values()))[0] == {
        "project": "p", "taskid": "t1", "url": "http://x/1", "run": 1, "result": {"n": 1}, "updatetime": 100.0
    }  # fmt: skip
    assert store.sinks()[0].error == ""


def test_limits_are_the_sinks_own_unless_said(installed: Path) -> None:
    url = parse_sink("webhook+http://h/x?rows=7")
    sink: Any = open_sink(url)
    assert limits_of(sink, url) == Limits(rows=7)
    sink.limits = Limits(rows=500, age=5)
    assert limits_of(sink, url) == Limits(rows=7, age=5)


def test_what_is_no_sink_is_said_in_words(installed: Path) -> None:
    for name, words in (("broken", "has no attribute 'Missing'"), ("odd", "'module' object is not callable")):
        with pytest.raises(UsageError, match=words):
            open_sink(parse_sink(f"{name}://x"))
    with pytest.raises(UsageError, match="there are jsonl, csv, parquet, broken, odd, webhook"):
        check_sink(parse_sink("other://x"))


def test_a_class_for_results_instead(installed: Path) -> None:
    """C33."""
    worker = load_result_worker("mymodule.Priced", None)
    worker.on_result({"taskid": "t"}, {"price": 5})
    worker.on_result({"taskid": "t"}, {"price": None})
    assert worker.take_kept() == [{"price": 5, "currency": "EUR"}]


def test_the_urls_of_the_page_are_understood() -> None:
    found = re.findall(r"(?<![\w/])((?:jsonl|csv|parquet)(?:\+\w+)?://[\w/.@?=&-]+)", PAGE)
    assert len(found) > 6
    for url in found:
        parse_sink(url)
