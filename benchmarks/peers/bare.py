"""The job without a framework: 64 reused curl handles in a loop, lxml, a set of URLs, rows into SQLite by the hundred.

    python bare.py URL OUT.sqlite

What every crawler is held against. It has no retries, no limits, no log, and loses its queue when it is killed.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import deque
from io import BytesIO
from urllib.parse import urljoin

import lxml.html
import pycurl
from lxml.cssselect import CSSSelector

HANDLES = 64
BATCH = 100
FIELDS = [CSSSelector(selector) for selector in ("title", "h1", "td.price")]
LINKS = CSSSelector("a[href]")
INSERT = "INSERT INTO pages VALUES (?, ?, ?, ?)"


class Crawl:
    """From one page to all that can be reached."""

    def __init__(self, start: str, out: str) -> None:
        self.parser = lxml.html.HTMLParser(encoding="utf-8")
        self.seen, self.queue = {start}, deque([start])
        self.rows: list[tuple[str, ...]] = []
        self.database = sqlite3.connect(out)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.database.execute("CREATE TABLE pages (url TEXT PRIMARY KEY, title TEXT, h1 TEXT, price TEXT)")
        self.multi = pycurl.CurlMulti()
        self.idle = [self.handle() for _ in range(HANDLES)]
        self.under_way: dict[pycurl.Curl, tuple[str, BytesIO]] = {}

    def handle(self) -> pycurl.Curl:
        handle = pycurl.Curl()
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.TIMEOUT, 60)
        handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 0)
        return handle

    def run(self) -> None:
        while self.queue or self.under_way:
            while self.queue and self.idle:
                self.begin(self.idle.pop(), self.queue.popleft())
            self.multi.perform()
            if not self.end_some():
                self.multi.select(1.0)
        self.keep()

    def begin(self, handle: pycurl.Curl, url: str) -> None:
        body = BytesIO()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.WRITEDATA, body)
        self.under_way[handle] = (url, body)
        self.multi.add_handle(handle)

    def end_some(self) -> bool:
        left, done, failed = self.multi.info_read()
        if failed:
            raise SystemExit(f"{self.under_way[failed[0][0]][0]}: {failed[0][2]}")
        for handle in done:
            url, body = self.under_way.pop(handle)
            self.multi.remove_handle(handle)
            self.idle.append(handle)
            if handle.getinfo(pycurl.RESPONSE_CODE) != 200:
                raise SystemExit(f"{url}: no page")
            self.take(url, body.getvalue())
        return bool(done or left)

    def take(self, url: str, body: bytes) -> None:
        page = lxml.html.document_fromstring(body, parser=self.parser)
        self.rows.append((url, *(selector(page)[0].text for selector in FIELDS)))
        if len(self.rows) == BATCH:
            self.keep()
        for link in LINKS(page):
            target = urljoin(url, link.get("href"))
            if target not in self.seen:
                self.seen.add(target)
                self.queue.append(target)

    def keep(self) -> None:
        with self.database:
            self.database.executemany(INSERT, self.rows)
        self.rows.clear()


if __name__ == "__main__":
    Crawl(sys.argv[1], sys.argv[2]).run()
