"""A shop of which 70 % of the pages are whole as they come, and the others are filled by a script from a JSON endpoint.

All pages load the same script and go to the same callback: only what is in a page tells whether it is whole.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from typing import Any

SCRIPT = """
from crawlkit import BaseHandler


class Handler(BaseHandler):
    crawl_config = {{"fetch_type": "auto"}}

    def on_start(self):
        self.crawl("{site}list/0", callback=self.list_page, fetch_type="http")

    def list_page(self, response):
        for link in response.css("a.item::attr(href)").getall():
            self.crawl(link, callback=self.item)
        for link in response.css("a.next::attr(href)").getall():
            self.crawl(link, callback=self.list_page, fetch_type="http")

    def item(self, response):
        text = lambda name: response.css("#%s::text" % name).get()
        return {{"number": text("number"), "title": text("title"), "price": text("price"), "rating": text("rating"),
                 "tags": response.css("#tags li::text").getall()}}
"""
PER_LIST = 100
EMPTY = ("", "Loading…", "0.00", "")  # what stands where a script will write


def item(number: int) -> dict[str, Any]:
    """All that is true of an item."""
    random = hashlib.sha256(f"item {number}".encode()).digest()
    return {
        "number": str(number),
        "title": f"Thing number {number}",
        "price": f"{random[0] + 1}.{random[1] % 90 + 10}",
        "rating": f"{random[2] % 50 / 10}" if random[3] % 3 else None,  # a third has none, anywhere
        "tags": [f"tag {byte % 20}" for byte in random[4 : 4 + random[5] % 4]],
    }


def is_static(number: int) -> bool:
    """Seven of ten, without an order."""
    return hashlib.sha256(f"static {number // 10}".encode()).digest()[0] % 10 in {(number + d) % 10 for d in range(7)}


def page(number: int) -> str:
    """The page as it comes."""
    whole = item(number)
    static = is_static(number)
    price = whole["price"] if static else EMPTY[number % len(EMPTY)]
    tags = "".join(f"<li>{tag}</li>" for tag in whole["tags"]) if static else ""
    fill = "" if static else f' data-fill="/api/{number}.json"'
    return f"""<!doctype html><html><head><title>{whole["title"]}</title></head><body{fill}>
        <h1 id="title">{whole["title"]}</h1><p id="number">{number}</p><b id="price">{price}</b>
        <i id="rating">{whole["rating"] or ""}</i><ul id="tags">{tags}</ul>
        <p>{"Some words about this thing, which are the same for all of them. " * 6}</p>
        <script src="/app.js"></script></body></html>"""


APP = """
addEventListener('DOMContentLoaded', async () => {
  const from = document.body.dataset.fill;
  if (!from) return;
  const it = await (await fetch(from)).json();
  document.getElementById('price').textContent = it.price;
  document.getElementById('tags').innerHTML = it.tags.map((tag) => `<li>${tag}</li>`).join('');
});
"""


class MixedSite:
    """Serves ``pages`` items on loopback, and counts who asked for what."""

    def __init__(self, pages: int) -> None:
        site = self
        self.pages = pages
        self.asked: dict[str, list[str]] = {}  # path -> user agents
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with lock:
                    site.asked.setdefault(self.path, []).append(self.headers.get("User-Agent", ""))
                body, kind = site.answer(self.path)
                data = body.encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A browser that closes its idle connections is no error."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[str, str]:
        """Body and content type; no body is a 404."""
        kind, _, rest = path.strip("/").partition("/")
        if path == "/app.js":
            return APP, "text/javascript"
        if kind == "list":
            return self._list(int(rest)), "text/html"
        if kind == "item":
            return page(int(rest)), "text/html; charset=utf-8"
        if kind == "api":
            return json.dumps({"item": rest, **item(int(rest.removesuffix(".json")))}), "application/json"
        return "", "text/plain"

    def _list(self, first: int) -> str:
        last = min(first + PER_LIST, self.pages)
        links = "".join(f'<a class="item" href="/item/{number}">{number}</a> ' for number in range(first, last))
        return links + (f'<a class="next" href="/list/{last}">next</a>' if last < self.pages else "")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
