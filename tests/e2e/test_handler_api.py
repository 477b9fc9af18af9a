"""A shop behind a login, crawled by most of what handlers may use: form, session, sitemap, retry, drop, files."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from crawlkit import wiring
from crawlkit.libs.task import taskid_of
from crawlkit.settings import Settings
from tests.e2e.commands import environment, results, run

LOGIN = """<form id=login method=post action=/in><input type=hidden name=token value=t7><input name=user>
<input name=pw></form>"""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024  # so that a burst of connections does not wait for a second SYN
    daemon_threads = True


class Shop:
    """The shop: /item pages are listed in a sitemap and shown to members only."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.uploads: list[bytes] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                shop.hits[self.path] += 1
                member = "member=yes" in (self.headers.get("Cookie") or "")
                body: bytes | str = f"<h1>{self.path}</h1>" if member else "captcha"
                if self.path == "/login":
                    body = LOGIN
                elif self.path == "/robots.txt":
                    body = f"User-agent: *\nSitemap: {shop.base}index.xml\n"
                elif self.path == "/index.xml":
                    body = f"<sitemapindex><sitemap><loc>{shop.base}s.xml.gz</loc></sitemap></sitemapindex>"
                elif self.path == "/s.xml.gz":
                    urls = "".join(f"<url><loc>{shop.base}item/{n}</loc></url>" for n in range(4))
                    body = gzip.compress(f"<urlset>{urls}<url><loc>{shop.base}other</loc></url></urlset>".encode())
                elif self.path == "/item/3":
                    body = "sold out"
                elif self.path == "/item/2" and shop.hits[self.path] < 3:
                    body = "captcha"
                self.answer(200, body)

            def do_POST(self) -> None:
                shop.hits[self.path] += 1
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/upload":
                    shop.uploads.append(data)
                    self.answer(200, "thanks")
                elif dict(parse_qsl(data.decode())) == {"token": "t7", "user": "me", "pw": "é&"}:
                    self.answer(302, "", ("Set-Cookie", "member=yes; Path=/"), ("Location", "/orders"))
                else:
                    self.answer(403, "no")

            def answer(self, status: int, body: bytes | str, *headers: tuple[str, str]) -> None:
                content = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in (*headers, ("Content-Length", str(len(content)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def shop() -> Iterator[Shop]:
    served = Shop()
    yield served
    served.close()


SCRIPT = """
import os
from dataclasses import dataclass
from crawlkit import BaseHandler

@dataclass
class Item:
    name: str
    status: int

class Handler(BaseHandler):
    retry_delay = 0
    crawl_config = {"session": "member"}

    def on_start(self):
        self.crawl(os.environ["SITE"] + "login", callback=self.login)

    def login(self, response):
        yield self.crawl(response.form("#login").fill(user="me", pw="é&"), callback=self.orders)

    def orders(self, response):
        yield {"orders": response.css("h1::text").get(), "hops": len(response.history)}
        yield self.crawl_sitemap("/robots.txt", callback=self.item, follow="/item/")
        yield self.crawl("/upload", files={"f": ("all.bin", bytes(range(256)))}, callback=self.thanks)

    def after_response(self, response):
        if response.text == "captcha":
            response.retry("captcha")

    def item(self, response):
        if response.text == "sold out":
            self.drop("sold out")
        return Item(response.css("h1::text").get(), response.status_code)

    def thanks(self, response):
        pass
"""


def test_a_shop_behind_a_login(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SCRIPT)
    done = run(
        ["--data-path", "d", "one", "shop.py", "-o", "out.jsonl"], tmp_path, environment("", {"SITE": shop.base})
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert results(tmp_path / "out.jsonl") == {
        shop.base + "in": {"orders": "/orders", "hops": 1},
        **{f"{shop.base}item/{n}": {"name": f"/item/{n}", "status": 200} for n in range(3)},
    }
    assert shop.hits["/item/2"] == 3
    assert shop.hits["/other"] == 0
    assert len(shop.uploads) == 1
    assert bytes(range(256)) in shop.uploads[0]
    with wiring.open_stores(Settings(data_path=tmp_path / "d"), ("taskdb",)) as stores:
        ledger = stores.taskdb.ledger("shop")
        rows = stores.taskdb.attempts("shop", taskid_of(shop.base + "item/2"))
    assert ledger["shop", "dropped", "sold out"] == 1
    assert [json.loads(row.process).get("exception") for row in rows].count("retry: captcha") == 2
