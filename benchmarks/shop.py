"""The benchmark's job for crawlkit: follow every link once; title, h1 and price of each page."""

import os

from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.crawl(os.environ["SHOP_URL"], callback=self.item)

    def item(self, response):
        for href in response.css("a::attr(href)").getall():
            self.crawl(response.urljoin(href), callback=self.item)
        return {
            "title": response.css("title::text").get(),
            "h1": response.css("h1::text").get(),
            "price": response.css("td.price::text").get(),
        }
