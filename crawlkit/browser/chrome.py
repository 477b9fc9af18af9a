"""One Chromium with its driver: started, asked whether it still answers, ended so that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crawlkit.browser import chromium, guard
from crawlkit.browser.processes import Home, Tree, kill
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.errors import FetchError

if TYPE_CHECKING:
    from playwright.async_api import Browser, CDPSession, Playwright

log = logging.getLogger("crawlkit.browser")

_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "FONTCONFIG_PATH", "FONTCONFIG_FILE")
_LOG_HEAD = re.compile(r"\A\[[^]]*\] ?")
_SAY = 300  # characters of what a browser says when it does not start


class Chrome:
    """A running browser. ``pages`` and ``running`` are the pool's to count."""

    def __init__(self, driver: Playwright, browser: Browser, line: CDPSession, tree: Tree, home: Path) -> None:
        self.browser = browser
        self.home = home
        self.tree = tree
        self.version = browser.version
        self.gone = asyncio.Event()  # it has ended, or was given up
        self.why = "the browser died"
        self.started = 0.0
        self.pages = 0  # begun so far
        self.running = 0
        self.silent = 0  # pages in a row that ended over their limit without having asked the network for anything
        self.memory = 0  # bytes at the last look
        self._driver = driver
        self._line = line
        browser.on("disconnected", lambda _: self.gone.set())

    @classmethod
    async def start(cls, home: Home, settings: BrowserSettings) -> Chrome:
        """Raises :class:`FetchError` of kind ``no_browser`` in words."""
        from playwright.async_api import Error, async_playwright

        folder = home.browser()
        driver: Playwright | None = None
        started = False
        try:
            async with asyncio.timeout(settings.launch_within):
                with _driver_environment(folder):
                    driver = await async_playwright().start()
                browser = await driver.chromium.launch(
                    executable_path=home.program,
                    headless=True,
                    chromium_sandbox=chromium.sandboxed(settings.sandbox),
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                    downloads_path=str(folder),
                    timeout=settings.launch_within * 1000,
                    args=[*chromium.ARGUMENTS, chromium.RESOLVE_NOTHING],
                    ignore_default_args=[*chromium.NOT_PLAYWRIGHT_S],
                    env={**_environment(folder), guard.HOME: str(folder), guard.SERVICE: str(os.getpid())},
                )
                line = await browser.new_browser_cdp_session()
            tree = await asyncio.to_thread(Tree.of, folder, os.getpid())
            started = True
            return cls(driver, browser, line, tree, folder)
        except TimeoutError:
            words = f"Chromium did not start within {settings.launch_within:g} s"
            raise FetchError("no_browser", words) from None
        except Error as error:
            raise FetchError("no_browser", f"Chromium does not start: {reason_of(str(error))}") from None
        finally:
            if not started:
                await _give_up(driver, folder)

    async def answers(self, within: float) -> bool:
        """Whether the browser, and its driver, answer a question."""
        try:
            async with asyncio.timeout(within):
                await self._line.send("Browser.getVersion")
        except Exception as error:  # Playwright raises errors of its own and, when its driver dies, plain ones
            return not isinstance(error, TimeoutError) and not self.gone.is_set() and self.browser.is_connected()
        return True

    def give_up(self, why: str) -> None:
        """Its pages end as crashed."""
        if not self.gone.is_set():
            self.why = why
            self.gone.set()

    async def close(self, within: float) -> None:
        """In order if that goes within ``within`` seconds; then by force."""
        orderly = not self.gone.is_set()
        self.give_up("the browser was closed")
        driver_pid = await asyncio.to_thread(self.tree.driver)
        if orderly:
            with contextlib.suppress(Exception):  # whatever is wrong with it, it ends below
                async with asyncio.timeout(within):
                    await self.browser.close()
        await asyncio.to_thread(self.tree.kill)
        if driver_pid != os.getpid():
            await _stop(self._driver, driver_pid)


@contextlib.contextmanager
def _driver_environment(folder: Path) -> Iterator[None]:
    """The driver takes this process's environment: its profiles shall go into ``folder``, its words to nobody."""
    tempfile.gettempdir()  # remembered, so that nothing of ours goes there
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def _environment(folder: Path) -> dict[str, str | float | bool]:
    """What Chromium sees: nothing of crawlkit's, no proxy that somebody set for this machine, no display."""
    found = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {"HOME": str(folder), **found, "TMPDIR": str(folder)}


async def _give_up(driver: Playwright | None, folder: Path) -> None:
    """After a start that failed half-way."""
    tree = await asyncio.to_thread(Tree.of, folder, os.getpid())
    await asyncio.to_thread(tree.kill)
    if driver is not None:
        await _stop(driver, None)


async def _stop(driver: Playwright, pid: int | None) -> None:
    with contextlib.suppress(Exception):  # it may be dead or frozen already
        async with asyncio.timeout(1):
            await driver.stop()
    kill(pid)


def reason_of(text: str) -> str:
    """The line that says most in what Playwright says about a browser that did not start."""
    said = [line.partition("[err] ")[2] for line in text.splitlines() if "[err] " in line and "crashpad" not in line]
    telling = [line for line in said if ":FATAL:" in line or "error while loading" in line]
    telling += [line for line in said if ":ERROR:" in line or "sandbox" in line]
    words = _LOG_HEAD.sub("", (telling or [text.strip() or "no reason given"])[0].splitlines()[0])[:_SAY]
    if "sandbox" in words.lower():
        words += "; give it user namespaces, or start the service with --no-sandbox"
    return words
