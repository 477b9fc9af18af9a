"""A generated shop on loopback: lists of products, products, and a few pages that fail; it counts who asks for what."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PER_LIST = 12
KINDS = ("Lamp", "Kettle", "Basket", "Chair", "Blanket", "Mirror", "Shelf", "Clock", "Vase", "Stool")
LOOKS = ("amber", "cedar", "hazel", "indigo", "walnut", "marble", "linen", "copper", "olive", "slate")

STYLE = """
body{font:16px/1.5 Georgia,serif;margin:0;color:#2b2320;background:#faf7f2}
header{background:#3c5a4c;color:#fff;padding:14px 32px;display:flex;gap:24px;align-items:baseline}
header b{font-size:22px}header a{color:#d8e6de}main{max-width:960px;margin:24px auto;padding:0 24px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:20px}
.card{background:#fff;border:1px solid #e7dfd3;border-radius:10px;padding:16px}
.card .swatch,.product .swatch{height:110px;border-radius:6px;margin-bottom:10px}
.card h2{font-size:17px;margin:0 0 4px}.price{color:#8a3b12;font-weight:bold}
.product{display:grid;grid-template-columns:320px 1fr;gap:32px}.product .swatch{height:260px}
table{border-collapse:collapse}th,td{text-align:left;padding:4px 16px 4px 0;border-bottom:1px solid #e7dfd3}
.pager{margin:24px 0;display:flex;gap:16px}.stock{color:#2c7a4b}.gone{color:#999}
"""


class Product(NamedTuple):
    """What a crawler should find on a product's page."""

    number: int
    name: str
    price: str
    sku: str
    stock: str
    rating: str


def product(number: int) -> Product:
    """The same for the same number, always."""
    chance = random.Random(number)
    name = f"{chance.choice(LOOKS).title()} {chance.choice(KINDS)} {number}"
    stock = "In stock" if chance.random() < 0.8 else "Sold out"
    return Product(
        number, name, f"{chance.randrange(5, 400)}.{chance.randrange(100):02}", f"SKU-{number:05}", stock,
        f"{chance.randrange(20, 50) / 10:.1f}",
    )  # fmt: skip


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} - Corner Shop</title>'
        f"<style>{STYLE}</style></head><body><header><b>Corner Shop</b><a href='/'>All products</a></header>"
        f"<main>{body}</main></body></html>"
    )


def _swatch(number: int) -> str:
    return f'<div class="swatch" style="background:hsl({number * 47 % 360} 38% 72%)"></div>'


def _list(page: int, pages: int) -> str:
    cards = []
    for number in range((page - 1) * PER_LIST + 1, page * PER_LIST + 1):
        one = product(number)
        cards.append(
            f'<article class="card">{_swatch(number)}<h2><a class="product-link" href="/product/{number}">{one.name}'
            f'</a></h2><span class="price">{one.price}</span></article>'
        )
    following = f'<a class="next" rel="next" href="/list/{page + 1}">Next page</a>' if page < pages else ""
    return _page(
        f"Products, page {page}",
        f'<h1>Products</h1><div class="cards">{"".join(cards)}</div><nav class="pager">{following}</nav>',
    )


def _product(number: int) -> str:
    one = product(number)
    kind = "stock" if one.stock == "In stock" else "gone"
    return _page(
        one.name,
        f'<div class="product">{_swatch(number)}<div><h1 class="name">{one.name}</h1>'
        f'<p class="price" itemprop="price">{one.price}</p><p class="{kind}" itemprop="availability">{one.stock}</p>'
        f'<table class="facts"><tr><th>Number</th><td class="sku">{one.sku}</td></tr>'
        f'<tr><th>Rating</th><td class="rating">{one.rating}</td></tr></table></div></div>',
    )


class Shop:
    """The running shop. ``failing``: paths that answer 500; ``delay``: seconds before each answer."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.asked: Counter[str] = Counter()
        self.failing: set[str] = set()
        self.delay = 0.0
        self.url = ""

    @property
    def products(self) -> int:
        return self.pages * PER_LIST

    def answer(self, path: str) -> tuple[int, str]:
        self.asked[path] += 1
        if self.delay:
            time.sleep(self.delay)
        kind, _, number = path.strip("/").partition("/")
        if path in self.failing:
            return 500, _page("Sorry", "<h1>Something broke</h1>")
        if path == "/":
            return 200, _list(1, self.pages)
        if number.isdigit() and kind == "list" and 1 <= int(number) <= self.pages:
            return 200, _list(int(number), self.pages)
        if number.isdigit() and kind == "product" and 1 <= int(number) <= self.products:
            return 200, _product(int(number))
        return 404, _page("Not found", "<h1>Not found</h1>")


@contextmanager
def shop(pages: int = 5) -> Iterator[Shop]:
    """A shop with ``pages`` lists of twelve products."""
    found = Shop(pages)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, text = found.answer(self.path.partition("?")[0])
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


SCRIPT = """from crawlkit import BaseHandler, every


class Handler(BaseHandler):
    @every(minutes=24 * 60)
    def on_start(self):
        self.crawl("{url}/", callback=self.list_page)

    def list_page(self, response):
        for href in response.css("a.product-link::attr(href)").getall():
            self.crawl(response.urljoin(href), callback=self.product_page)
        for href in response.css("a.next::attr(href)").getall():
            self.crawl(response.urljoin(href), callback=self.list_page)

    def product_page(self, response):
        return {{
            "name": response.css("h1.name::text").get(),
            "price": float(response.css("[itemprop=price]::text").get()),
            "stock": response.css("[itemprop=availability]::text").get(),
            "sku": response.css("td.sku::text").get(),
            "rating": response.css("td.rating::text").get(),
        }}
"""
