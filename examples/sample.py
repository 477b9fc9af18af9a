"""The classic first script: a list page once a day, every page it links to at most every ten days.

    crawlkit one examples/sample.py

START_URL names the site; the default is the little one that examples/serve.py serves.
"""

import os

from crawlkit import BaseHandler, config, every

START_URL = os.environ.get("START_URL", "http://127.0.0.1:8090/")


class Handler(BaseHandler):
    crawl_config = {}

    @every(minutes=24 * 60)
    def on_start(self):
        self.crawl(START_URL, callback=self.index_page)

    @config(age=10 * 24 * 60 * 60)
    def index_page(self, response):
        for each in response.doc('a[href^="http"]').items():
            self.crawl(each.attr.href, callback=self.detail_page)

    @config(priority=2)
    def detail_page(self, response):
        return {
            "url": response.url,
            "title": response.doc("title").text(),
        }
