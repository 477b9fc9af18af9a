"""The benchmark's job for Scrapy, the same as shop.py. Its own interpreter runs it: it imports nothing of ours."""

import os

from scrapy import Request, Spider


class ShopSpider(Spider):
    name = "shop"

    async def start(self):
        yield Request(os.environ["SHOP_URL"], callback=self.parse_item)

    def parse_item(self, response):
        for href in response.css("a::attr(href)").getall():
            yield response.follow(href, callback=self.parse_item)
        yield {
            "url": response.url,
            "title": response.css("title::text").get(),
            "h1": response.css("h1::text").get(),
            "price": response.css("td.price::text").get(),
        }
