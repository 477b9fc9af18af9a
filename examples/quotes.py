"""Crawls the little site of quotations in examples/site: one result a quotation, one an author.

python examples/serve.py -- crawlkit one examples/quotes.py
"""

import os

from crawlkit import BaseHandler

START_URL = os.environ.get("START_URL", "http://127.0.0.1:8090/")


class Handler(BaseHandler):
    def on_start(self):
        self.crawl(START_URL, callback=self.list_page)

    def list_page(self, response):
        for quote in response.doc(".quote").items():
            yield {
                "text": quote(".text").text(),
                "author": quote(".author").text(),
                "tags": [tag.text() for tag in quote(".tag").items()],
            }
            # Thirty quotations link to a dozen authors: each page is fetched once.
            self.crawl(quote(".author").attr.href, callback=self.author_page)
        for link in response.doc("a.next").items():
            self.crawl(link.attr.href, callback=self.list_page)

    def author_page(self, response):
        return {
            "author": response.doc("h1").text(),
            "lived": response.doc(".lived").text(),
            "known_for": response.doc(".known-for").text(),
        }
