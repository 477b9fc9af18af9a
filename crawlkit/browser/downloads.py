"""Files that a page makes Chromium download (``<a download>``, ``blob:``): the first is kept, the rest refused.

What is downloaded by going there never comes here: :mod:`crawlkit.browser.traffic` reads that itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.async_api import CDPSession, Download, Page
from playwright.async_api import Error as PlaywrightError

from crawlkit.browser.documents import Document
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.errors import FetchError

Stop = Callable[[Document | FetchError], None]


class Downloads:
    """Listens to one page. ``stop`` gets the file, or why there is none."""

    def __init__(self, page: Page, session: CDPSession, spool: Path, settings: BrowserSettings, stop: Stop) -> None:
        self._spool = spool
        self._settings = settings
        self._stop = stop
        self._first: Download | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        page.on("download", self._began)
        session.on("Page.downloadProgress", self._progress)

    def _began(self, download: Download) -> None:
        if self._first is None:
            self._first = download
            self._do(self._keep(download))
        else:
            self._do(download.cancel())

    def _progress(self, event: dict[str, Any]) -> None:
        if event["receivedBytes"] > self._settings.max_file:
            self._stop(FetchError("too_large", f"body over {self._settings.max_file} bytes"))

    async def _keep(self, download: Download) -> None:
        name = uuid4().hex
        path = self._spool / name
        try:
            await download.save_as(path)
            size = path.stat().st_size
        except PlaywrightError as error:
            self._stop(FetchError("reset", f"the download broke off: {error.message.partition(chr(10))[0][:300]}"))
            return
        except OSError as error:
            self._stop(FetchError("file", f"the browser service cannot keep a download: {error.strerror}"))
            return
        file = {"id": name, "url": download.url[:2000], "name": download.suggested_filename, "bytes": size,
                "content_type": ""}  # fmt: skip
        self._stop(Document(200, download.url, file=file))

    def _do(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
