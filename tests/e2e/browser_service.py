"""A browser service in a thread of its own, for tests whose pages need one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from crawlkit.wiring.browser import own_browser
from tests.needs import binary


@contextlib.contextmanager
def browser_service() -> Iterator[str]:
    """Its endpoint, as ``--browser-endpoint`` takes it, token and all."""
    binary("chromium")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="browser-service", daemon=True)
    thread.start()
    service = own_browser()
    url, token = asyncio.run_coroutine_threadsafe(service.__aenter__(), loop).result(20)
    try:
        yield url.replace("://", f"://:{token}@")
    finally:
        asyncio.run_coroutine_threadsafe(service.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
