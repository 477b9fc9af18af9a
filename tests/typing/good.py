"""A handler that uses most of the API; `mypy --strict` has nothing to say."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from crawlkit import BaseHandler, Response, catch_status_code_error, config, every, not_send_status


@dataclass
class Item:
    url: str
    title: str | None
    price: float


class Shop(BaseHandler):
    crawl_config = {"headers": {"User-Agent": "shop/1"}, "proxy": ["10.0.0.1:3128", "10.0.0.2:3128"], "timeout": 30}
    retry_delay = {0: 30, "": 600}
    result_key = ("url",)

    @every(hours=24)
    def on_start(self) -> Iterator[Any]:
        yield self.crawl("http://shop.example/", callback=self.index, age=3600, itag="v2", priority=2)
        yield self.crawl(["http://shop.example/a", "http://shop.example/b"], callback=self.index, session="visitor")
        self.crawl("curl 'http://shop.example/api' -H 'Accept: application/json'", callback="api", save={"page": 1})
        self.crawl_sitemap(
            "http://shop.example/sitemap.xml", callback=self.item, follow=r"/item/\d+", since="2024-01-01"
        )
        self.download("http://shop.example/list.pdf", to="lists/{name}")

    @every(cron="0 8 * * 1-5", tz="Europe/Paris")
    def login(self) -> None:
        self.crawl("http://shop.example/login", callback=self.log_in, force_update=True, session="member")

    def log_in(self, response: Response) -> None:
        form = response.form("#login").fill(user="me", password=self.settings["password"])
        self.crawl(form, callback=self.index, session="member", cookies={"a": "b"}, params={"q": 1})

    @config(priority=5, age=10 * 24 * 60 * 60)
    def index(self, response: Response) -> None:
        for url in response.links("a.item"):
            self.crawl(url, callback=self.item, validate_cert=False, retries=5)
        for link in response.doc("a[rel=next]").items():
            self.crawl(link.attr.href, callback=self.index)
        self.send_message("statistics", {"url": response.url, "links": len(response.links())})

    @catch_status_code_error
    async def item(self, response: Response) -> AsyncIterator[Item]:
        if response.status_code == 410:
            self.drop("sold out")
        if re.search("captcha", response.text):
            response.retry("captcha")
        stock, price = await asyncio.gather(self.fetch("stock.json"), self.fetch("price.json", timeout=5))
        self.save["seen"] = stock.json["left"] or self.response.headers.get("ETag")
        title = response.css("h1::text").get()
        self.logger.info("%s in %.1f s", title, response.time)
        yield Item(response.urljoin("?ref=me"), title, float(price.json["price"]))

    @not_send_status
    def api(self, response: Response) -> dict[str, Any]:
        return {"n": response.save["page"], "cookies": response.cookies, "hops": [url for _, url in response.history]}

    def before_request(self, task: dict[str, Any]) -> None:
        task["fetch"].setdefault("headers", {})["X-Key"] = self.settings.get("key", "")

    def after_response(self, response: Response) -> Response | None:
        return None if response.ok else Response(response.url, content="", save=response.save)
