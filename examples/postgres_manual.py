"""Crawls PostgreSQL's manual as Debian packages it (postgresql-doc-15): title, chapter and links of every page.

Serve it first, or let serve.py do both:

    python examples/serve.py /usr/share/doc/postgresql-doc-15/html -- \\
        crawlkit one examples/postgres_manual.py -o manual.jsonl

POSTGRES_MANUAL_URL names another address of its first page; handlers under `crawlkit one` see the environment.
"""

import os
from urllib.parse import urldefrag, urlsplit

from crawlkit import BaseHandler, config, every

START = os.environ.get("POSTGRES_MANUAL_URL", "http://127.0.0.1:8090/index.html")


class Handler(BaseHandler):
    crawl_config = {"headers": {"Accept": "text/html"}}

    @every(hours=24)
    def on_start(self):
        self.crawl(START, callback=self.page)

    @config(age=12 * 3600)
    def page(self, response):
        host = urlsplit(response.url).netloc
        # Two links to different places of one page are one page; dict keeps the order.
        links = dict.fromkeys(urldefrag(a.attr.href).url for a in response.doc("a[href]").items())
        for link in links:
            if urlsplit(link).netloc == host:
                self.crawl(link, callback=self.page)
        return {
            "title": response.doc("title").text(),
            "chapter": response.doc(".navheader tr:last-child th").text() or None,
            "links": list(links),
        }
