"""Renders one job in one fresh context of a browser, and says what came of it.

The door to :mod:`crawlkit.browser.rendering`, which needs Playwright; this module can be imported without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import Job, Reply

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from crawlkit.browser.relay import Door


async def render(
    browser: Browser,
    job: Job,
    *,
    settings: BrowserSettings,
    relay: Door | None,
    spool: Path,
    now: Callable[[], float],
) -> Reply:
    """What came of the job, within its time and at most a moment more. Never raises but :class:`BrowserGone`.

    ``relay``: the way out for everything that the page loads; ``spool``: folder for a downloaded file, which is the
    caller's from then on; ``now``: a monotonic clock, seconds.
    """
    from crawlkit.browser.rendering import Rendering

    return await Rendering(browser, job, settings, relay, spool, now).reply()
