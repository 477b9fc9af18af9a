"""Waiting for a page: until it is ready by itself, and for what the task names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from crawlkit.browser import scripts
from crawlkit.browser.readiness import Readiness
from crawlkit.browser.settings import BrowserSettings
from crawlkit.browser.world import Gone, ScriptFailed, World
from crawlkit.libs.errors import FetchError

POLL = 0.1  # seconds between two looks at a function


class Waiter:
    """``changed`` is set whenever ``readiness`` heard of something."""

    def __init__(
        self,
        page: Page,
        world: World,
        readiness: Readiness,
        changed: asyncio.Event,
        settings: BrowserSettings,
        now: Callable[[], float],
    ) -> None:
        self._page = page
        self._world = world
        self._readiness = readiness
        self._changed = changed
        self._settings = settings
        self._now = now
        self.doing = ""  # what is waited for, in words, for who ends it

    async def ready(self, quiet: float | None = None) -> None:
        """Until the page has loaded and asks for nothing; ``quiet``: for how long, by default what it looks like."""
        looked = quiet is not None
        while (left := self._readiness.due(self._now(), quiet)) > 0:
            if not looked and self._readiness.loaded and not self._readiness.asked and left <= self._settings.calm:
                looked = True
                if await self._is_still():
                    return
                continue
            await self._change(left)

    async def _is_still(self) -> bool:
        """Whether nothing in the page could change it any more."""
        try:
            return bool(await self._world.own(scripts.IS_STILL))
        except Gone:
            return False

    async def _change(self, left: float) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0.001)):
                await self._changed.wait()

    def touched(self) -> None:
        """Something was done to the page."""
        self._readiness.touched(self._now())

    async def document(self) -> None:
        """Until the page's markup is there, to its end."""
        while not self._readiness.dom:
            await self._change(self._settings.stall)

    async def each(self, conditions: list[dict[str, Any]]) -> None:
        """The conditions of ``wait_for`` in turn. Raises :class:`FetchError` of kind ``timeout``, ``bad_request``."""
        for number, condition in enumerate(conditions):
            await self.one(condition, f"wait_for[{number}]" if len(conditions) > 1 else "wait_for")

    async def one(self, condition: dict[str, Any], path: str) -> None:
        kind = next((kind for kind in _WAITS if kind in condition), None)
        if kind is None:
            raise FetchError("bad_request", f"{path}: there is no such condition; known are {', '.join(_WAITS)}")
        what = f"{kind} {str(condition[kind])[:200]!r}"
        self.doing = f"{path}: {what}"
        async with self._within(path, what, self._limit(kind, condition)):
            await _WAITS[kind](self, condition)
        self.doing = ""

    def _limit(self, kind: str, condition: dict[str, Any]) -> float:
        asked = float(condition[kind]) if kind in ("seconds", "network_idle") else 0.0
        return asked + self._settings.wait_within

    @contextlib.asynccontextmanager
    async def _within(self, path: str, what: str, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except (TimeoutError, PlaywrightTimeout):
            raise FetchError("timeout", f"{path}: {what} did not come within {seconds:g} seconds") from None
        except ScriptFailed as error:
            raise FetchError("bad_request", f"{path}: {what}: {error}") from None
        except PlaywrightError as error:
            if "crashed" in error.message or "has been closed" in error.message:
                raise
            raise FetchError("bad_request", f"{path}: {what}: {error.message.partition(chr(10))[0][:300]}") from None

    async def _selector(self, condition: dict[str, Any]) -> None:
        found = self._page.locator(condition["selector"]).first
        await found.wait_for(state=condition.get("state", "visible"), timeout=0)

    async def _function(self, condition: dict[str, Any]) -> None:
        script = condition["function"]
        while True:
            with contextlib.suppress(Gone):
                if await self._is_true(script):
                    return
            await asyncio.sleep(POLL)

    async def _is_true(self, script: str) -> bool:
        """One that raises is not true yet: ``() => window.app.ready``, while there is no app."""
        await self._world.form_of(script)
        try:
            return await self._world.is_true(script)
        except ScriptFailed:
            return False

    async def _seconds(self, condition: dict[str, Any]) -> None:
        await self._load({"load": "load"})
        await asyncio.sleep(condition["seconds"])

    async def _network_idle(self, condition: dict[str, Any]) -> None:
        while (left := self._readiness.idle(self._now(), condition["network_idle"])) > 0:
            await self._change(left)

    async def _load(self, condition: dict[str, Any]) -> None:
        await self.document()
        if condition["load"] == "load":
            while not self._readiness.loaded and (left := self._readiness.due(self._now())) > 0:
                await self._change(left)


_WAITS = {
    "selector": Waiter._selector,
    "network_idle": Waiter._network_idle,
    "function": Waiter._function,
    "seconds": Waiter._seconds,
    "load": Waiter._load,
}
