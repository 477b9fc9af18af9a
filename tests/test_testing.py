"""crawlkit.testing, as the unit tests of a handler use it."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit import BaseHandler, Response, config
from crawlkit.libs.response import HTTPError
from crawlkit.testing import record, run

PAGE = "<title>Café</title><a href=/next>next</a><form><input name=q value=1></form>"


class Shop(BaseHandler):
    crawl_config = {"headers": {"A": "b"}}

    def on_start(self) -> None:
        self.crawl("http://shop.example/", callback=self.index)

    @config(priority=3)
    def index(self, response: Response) -> Any:
        self.logger.info("at %s", response.url)
        self.crawl(response.css("a::attr(href)").get(), callback=self.index, save={"n": 1})
        self.send_message("other", {"seen": response.url})
        self.save["seen"] = self.save.get("seen", 0) + 1
        return {"title": response.css("title::text").get(), "key": self.settings.get("key"), "save": response.save}

    async def slow(self, response: Response) -> Any:
        first = await self.fetch("/1")
        rest = await asyncio.gather(self.fetch("/2"), self.fetch("/3"))
        yield {"found": [first.text, *(each.text for each in rest)]}

    def broken(self, response: Response) -> Any:
        return 1 / 0

    def again(self, response: Response) -> Any:
        response.retry("captcha")

    def gone(self, response: Response) -> Any:
        self.crawl("/other")
        self.drop("sold out")


def test_a_callback_on_text() -> None:
    ran = run(
        Shop, "index", PAGE, url="http://shop.example/a/", save=[1], task_save={"seen": 4}, settings={"key": "secret"}
    )
    assert ran.results == [{"title": "Café", "key": "secret", "save": [1]}]
    assert ran.urls == ["http://shop.example/next"]
    (follow,) = ran.follows
    assert (follow["schedule"], follow["process"]) == ({"priority": 3}, {"callback": "index"})
    assert follow["fetch"] == {"save": {"n": 1}}
    assert ran.messages == [("other", {"seen": "http://shop.example/a/"})]
    assert ran.save == {"seen": 5}
    assert "at http://shop.example/a/" in ran.logs


def test_pages_from_files_and_bytes(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(b"<meta charset=iso-8859-1>" + PAGE.encode("iso-8859-1"))
    assert run(Shop, Shop.index, file).results[0]["title"] == "Café"
    assert run(Shop, "index", file.read_bytes()).results[0]["title"] == "Café"
    assert run(Shop, "on_start").urls == ["http://shop.example/"]


def test_a_script_by_its_path(tmp_path: Path) -> None:
    script = tmp_path / "my_script.py"
    script.write_text(
        "from pyspider.libs.base_handler import *\nclass Handler(BaseHandler):\n"
        "    def page(self, response):\n        print('printed')\n        yield {'project': self.project_name}\n"
    )
    ran = run(script, "page", PAGE)
    assert (ran.results, ran.logs) == ([{"project": "my_script"}], "printed\n")


def test_awaits_are_answered_from_what_is_given() -> None:
    answers = {f"http://a.com/{n}": f"page {n}" for n in (1, 2, 3)}
    ran = run(Shop, "slow", url="http://a.com/", answers=answers)
    assert ran.results == [{"found": ["page 1", "page 2", "page 3"]}]
    assert ran.awaited == list(answers)
    with pytest.raises(
        LookupError, match=r"test_testing.py:\d+: self.fetch asks for http://a.com/1, and answers= has n"
    ):
        run(Shop, "slow", url="http://a.com/")


def test_how_callbacks_end() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(Shop, "broken")
    assert caught.traceback[-1].name == "broken"
    assert run(Shop, "again").retried == "captcha"
    gone = run(Shop, "gone")
    assert (gone.dropped, gone.retried, gone.urls) == ("sold out", None, ["http://example.com/other"])
    with pytest.raises(HTTPError, match="404"):
        run(Shop, "index", status_code=404)
    with pytest.raises(NotImplementedError, match="nothing"):
        run(Shop, "nothing")


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"<title>{self.headers.get('X-A')} é</title>".encode("iso-8859-1")
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Type", "text/html; charset=iso-8859-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_recorded_page_is_run_as_it_came(site: str, tmp_path: Path) -> None:
    file = record(f"{site}/page", tmp_path / "pages" / "page.html", headers={"X-A": "hello"})
    ran = run(Shop, "index", file)
    assert ran.results[0]["title"] == "hello é"
    assert f"at {site}/page" in ran.logs
    record(f"{site}/gone", file)
    with pytest.raises(HTTPError, match="404"):
        run(Shop, "index", file)


def test_what_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    with pytest.raises(HTTPError, match=r"http://127.0.0.1:1/"):
        record("http://127.0.0.1:1/", tmp_path / "x")
    with pytest.raises(TypeError, match=r"record\(\) got unexpected arguments: colour"):
        record("http://127.0.0.1:1/", tmp_path / "x", colour=1)  # type: ignore[call-arg]
    assert not (tmp_path / "x").exists()
