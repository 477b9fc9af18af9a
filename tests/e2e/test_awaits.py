"""Callbacks that await pages, over real processes: many at once, a kill between two awaits, the rate held."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crawlkit import wiring
from crawlkit.settings import Settings
from tests.e2e import parity_site
from tests.e2e.commands import Crawl, environment, results, run, until


class Server(ThreadingHTTPServer):
    request_queue_size = 1024  # so that a burst of connections does not wait for a second SYN
    daemon_threads = True


class Site:
    """Answers every path with its name, and counts; /held waits until ``gate`` is open."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.times: list[float] = []
        self.gate = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.hits[self.path] += 1
                site.times.append(time.monotonic())
                if self.path == "/held":
                    site.gate.wait(60)
                body = f"<h1>{self.path} {self.headers.get('X-Key')}</h1>".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


MANY = """
import asyncio, os
from crawlkit import BaseHandler

SITE = os.environ["SITE"]

class Handler(BaseHandler):
    def before_request(self, task):
        task["fetch"]["headers"] = {"X-Key": "signed"}

    def on_start(self):
        for n in range(200):
            yield self.crawl(f"{SITE}{n}", callback=self.page)

    async def page(self, response):
        first = await self.fetch(response.url + "/a")
        rest = await asyncio.gather(self.fetch(response.url + "/b"), self.fetch(response.url + "/c"))
        return {"texts": [each.text for each in (response, first, *rest)], "worker": os.getpid()}
"""


@pytest.mark.parametrize("pages", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_many_callbacks_that_await_on_two_workers(pages: int, site: Site, tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(MANY.replace("range(200)", f"range({pages})"))
    env = environment("", {"SITE": site.base, "CRAWLKIT_PROCESSOR_WORKERS": "2"})
    done = run(["--data-path", "d", "one", "many.py", "-o", "out.jsonl"], tmp_path, env)
    assert done.returncode == 0, done.stderr[-2000:]
    found = results(tmp_path / "out.jsonl")
    assert len({result.pop("worker") for result in found.values()}) == 2
    assert found == {
        f"{site.base}{n}": {"texts": [f"<h1>/{n}{tail} signed</h1>" for tail in ("", "/a", "/b", "/c")]}
        for n in range(pages)
    }
    assert len(site.hits) == 4 * pages
    assert set(site.hits.values()) == {1}


KILLED = """
import os
from crawlkit import BaseHandler

SITE = os.environ["SITE"]

class Handler(BaseHandler):
    def on_start(self):
        self.crawl(SITE + "page", callback=self.page, taskid="page")

    async def page(self, response):
        print("began")
        self.crawl(SITE + "follow", callback=self.leaf, force_update=True)
        first = await self.fetch(SITE + "first")
        print("has", first.text)
        held = await self.fetch(SITE + "held", timeout=20)
        return {"texts": [response.text, first.text, held.text]}

    def leaf(self, response):
        return {"leaf": response.text}
"""


def test_a_kill_between_two_awaits_goes_on_with_what_is_recorded(site: Site, tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    command = ["--data-path", "d", "one", "killed.py", "-o", "out.jsonl"]
    env = environment("", {"SITE": site.base})
    with Crawl(command, tmp_path, env) as crawl:
        until(lambda: site.hits["/held"], 30, "the second await is asked for")
        crawl.kill()
    site.gate.set()
    done = run(command, tmp_path, env)
    assert done.returncode == 0, done.stderr[-2000:]
    found = results(tmp_path / "out.jsonl")
    assert found[site.base + "page"] == {"texts": [f"<h1>/{name} None</h1>" for name in ("page", "first", "held")]}
    assert found[site.base + "follow"] == {"leaf": "<h1>/follow None</h1>"}
    assert {path: site.hits[path] for path in ("/page", "/first", "/follow")} == {"/page": 1, "/first": 1, "/follow": 1}
    assert site.hits["/held"] <= 2
    with wiring.open_stores(Settings(data_path=tmp_path / "d"), ("taskdb",)) as stores:
        tracks = [json.loads(row.process) for row in stores.taskdb.attempts("killed", "page")]
    assert "".join(track.get("logs") or "" for track in tracks) == "began\nhas <h1>/first None</h1>\n"


EARLY = """
import os
from crawlkit import BaseHandler

SITE = os.environ["SITE"]

class Handler(BaseHandler):
    def on_start(self):
        self.crawl(SITE + "page", callback=self.page, taskid="page")

    async def page(self, response):
        self.logger.info("before")
        yield {"early": response.text}
        self.crawl(SITE + "before", callback=self.leaf)
        yield {"first": (await self.fetch(SITE + "first")).text}
        self.logger.info("between")
        self.crawl(SITE + "between", callback=self.leaf)
        yield {"held": (await self.fetch(SITE + "held", timeout=20)).text}
        self.logger.info("after")
        self.crawl(SITE + "after", callback=self.leaf)

    def leaf(self, response):
        return {"leaf": response.text}
"""


def test_what_came_before_and_between_awaits_is_there_once_after_a_kill(site: Site, tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(EARLY)
    command = ["--data-path", "d", "one", "early.py", "-o", "out.jsonl"]
    env = environment("", {"SITE": site.base, "CRAWLKIT_PROCESSOR_WORKERS": "2"})
    with Crawl(command, tmp_path, env) as crawl:
        until(lambda: site.hits["/held"], 30, "the second await is asked for")
        crawl.kill()
    site.gate.set()
    done = run(command, tmp_path, env)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line)["result"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    named = [{key: f"<h1>/{name} None</h1>"} for key, name in (("early", "page"), ("first", "first"), ("held", "held"))]
    leaves = [{"leaf": f"<h1>/{name} None</h1>"} for name in ("after", "before", "between")]
    assert sorted(found, key=str) == sorted(named + leaves, key=str)
    once = {path: site.hits[path] for path in ("/page", "/first", "/before", "/between", "/after")}
    assert once == dict.fromkeys(once, 1)
    with wiring.open_stores(Settings(data_path=tmp_path / "d"), ("taskdb",)) as stores:
        logs = "".join(json.loads(row.process).get("logs") or "" for row in stores.taskdb.attempts("early", "page"))
    assert [logs.count(word) for word in ("before", "between", "after")] == [1, 1, 1]


RATED = """
import asyncio, os
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        self.crawl(os.environ["SITE"], callback=self.page)

    async def page(self, response):
        await asyncio.gather(*(self.fetch(f"/{n}") for n in range(23)))
        return {"n": 23}
"""


def test_awaits_hold_the_rate(site: Site, tmp_path: Path) -> None:
    (tmp_path / "rated.py").write_text(RATED)
    done = run(["one", "rated.py", "--rate", "10"], tmp_path, environment("", {"SITE": site.base}))
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(site.hits) == 24
    burst = 11  # at most: what a rate of 10 allows at once, and the page itself
    assert site.times[-1] - site.times[0] > (24 - burst) / 10 * 0.9


FENCED = """
import asyncio, os
from crawlkit import BaseHandler

SITE, SHOP = os.environ["SITE"], "http://shop.example/"

class Handler(BaseHandler):
    crawl_config = {"retries": 0}

    def on_start(self):
        self.crawl(SHOP, callback=self.page)
        self.crawl(SITE + "crawled", callback=self.page, taskid="crawled")

    async def page(self, response):
        inside = await asyncio.gather(
            self.fetch(SITE + "secret"),
            self.fetch(SITE + "secret", proxy=False),
            self.fetch("http://localhost:1/secret"),
            self.fetch(SHOP + "secret", proxy=SITE[7:].strip("/").replace("127.0.0.1", "127.1")),
        )
        pages = await asyncio.gather(*(self.fetch(SHOP + str(n)) for n in range(23)))
        return {"kinds": [each.error_kind for each in inside], "pages": [each.status_code for each in pages]}
"""


def test_awaits_hold_rate_proxy_and_guard(site: Site, tmp_path: Path) -> None:
    """The operator's proxy is the one server there is: what it did not see was never asked for."""
    (tmp_path / "fenced.py").write_text(FENCED)
    env = environment(
        "",
        {
            "SITE": site.base,
            "CRAWLKIT_FETCHER_PROXY": f"127.0.0.1:{site.server.server_port}",
            "CRAWLKIT_FETCHER_ALLOW_PRIVATE": "false",
        },
    )
    done = run(["--data-path", "d", "one", "fenced.py", "-o", "out.jsonl", "--rate", "10"], tmp_path, env)
    assert done.returncode == 1, done.stderr[-2000:]  # what was crawled failed; what was awaited was an answer
    assert results(tmp_path / "out.jsonl") == {
        "http://shop.example/": {"kinds": ["address"] * 4, "pages": [200] * 23},
    }
    assert set(site.hits) == {"http://shop.example/", *(f"http://shop.example/{n}" for n in range(23))}
    assert set(site.hits.values()) == {1}
    burst = 11
    assert site.times[-1] - site.times[0] > (24 - burst) / 10 * 0.9
    with wiring.open_stores(Settings(data_path=tmp_path / "d"), ("taskdb",)) as stores:
        tracks = [json.loads(row.fetch) for row in stores.taskdb.attempts("fenced", "crawled")]
    assert [track.get("error_kind") for track in tracks] == ["address"]


PROXIED = """
import os
from crawlkit import BaseHandler

class Handler(BaseHandler):
    crawl_config = {"retries": 0}

    def on_start(self):
        self.crawl(os.environ["SITE"] + "/echo/page", callback=self.page)

    async def page(self, response):
        by_proxy = await self.fetch("/echo/awaited", proxy="user:secret@" + os.environ["PROXY"])
        guarded = await self.fetch("http://127.0.0.1:1/", proxy=False)
        return {"via": by_proxy.headers.get("Via"), "kind": guarded.error_kind}
"""


def test_awaits_go_through_proxies_and_fail_as_fetches_do(tmp_path: Path) -> None:
    with contextlib.closing(parity_site.Site()) as site:
        (tmp_path / "proxied.py").write_text(PROXIED)
        env = environment("", {"SITE": site.base, "PROXY": site.proxy})
        done = run(["one", "proxied.py", "-o", "out.jsonl"], tmp_path, env)
        assert done.returncode == 0, done.stderr[-2000:]  # what failed was an answer: the callback dealt with it
        assert list(results(tmp_path / "out.jsonl").values()) == [{"via": "1.1 tester", "kind": "connect"}]
        assert any(uri.endswith("/echo/awaited") for uri in site.proxied)
