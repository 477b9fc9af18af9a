"""The benchmark's job for crawlee, the same as shop.py; its storage is on disk. Its own interpreter runs it."""

import asyncio
import logging
import os

from crawlee import ConcurrencySettings
from crawlee.crawlers import ParselCrawler

AT_ONCE = int(os.environ.get("SHOP_AT_ONCE", "64"))


async def main():
    crawler = ParselCrawler(
        concurrency_settings=ConcurrencySettings(
            min_concurrency=AT_ONCE, desired_concurrency=AT_ONCE, max_concurrency=AT_ONCE
        )
    )
    logging.getLogger("crawlee").setLevel(logging.WARNING)

    @crawler.router.default_handler
    async def item(context):
        page = context.selector
        await context.push_data(
            {
                "url": context.request.url,
                "title": page.css("title::text").get(),
                "h1": page.css("h1::text").get(),
                "price": page.css("td.price::text").get(),
            }
        )
        await context.enqueue_links()

    await crawler.run([os.environ["SHOP_URL"]])


asyncio.run(main())
