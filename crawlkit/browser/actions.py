"""What a task does in a page before it is read: clicks, text, keys, scrolling; each within its limits."""

from __future__ import annotations

import contextlib
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from crawlkit.browser import scripts
from crawlkit.browser.settings import BrowserSettings
from crawlkit.browser.waits import Waiter
from crawlkit.browser.world import Gone, World
from crawlkit.libs.errors import FetchError

_MOST_CHOICES = 20


class Actor:
    """Acts on one page; ``waiter`` says when what an action set off has come."""

    def __init__(self, page: Page, world: World, waiter: Waiter, settings: BrowserSettings) -> None:
        self._page = page
        self._world = world
        self._waiter = waiter
        self._settings = settings

    async def each(self, actions: list[dict[str, Any]]) -> None:
        """Raises :class:`FetchError`: ``timeout`` for what does not come, ``bad_request`` for what cannot be done."""
        if len(actions) > self._settings.max_actions:
            raise FetchError("bad_request", f"js_actions: over the limit of {self._settings.max_actions} actions")
        for number, action in enumerate(actions):
            await self._one(action, f"js_actions[{number}]")

    async def _one(self, action: dict[str, Any], path: str) -> None:
        if "wait_for" in action:
            return await self._waiter.one(action["wait_for"], f"{path}.wait_for")
        kind = next((kind for kind in _ACTIONS if kind in action), None)
        if kind is None:
            raise FetchError(
                "bad_request", f"{path}: there is no such action; known are {', '.join(_ACTIONS)}, wait_for"
            )
        what = f"{path}: {kind} {str(action[kind])[:200]!r}"
        self._waiter.doing = what
        try:
            await _ACTIONS[kind](self, action)
            self._waiter.doing = ""
        except PlaywrightTimeout:
            raise FetchError(
                "timeout", f"{what} could not be done within {self._settings.action_within:g} seconds"
            ) from None
        except PlaywrightError as error:
            if "crashed" in error.message or "has been closed" in error.message:
                raise
            raise FetchError("bad_request", f"{what}: {error.message.partition(chr(10))[0][:300]}") from None
        return None

    def _at(self, selector: str) -> Locator:
        return self._page.locator(selector).first

    @property
    def _within(self) -> float:
        return self._settings.action_within * 1000

    async def _click(self, action: dict[str, Any]) -> None:
        await self._at(action["click"]).click(timeout=self._within, no_wait_after=True)
        await self._settled()

    async def _fill(self, action: dict[str, Any]) -> None:
        await self._at(action["fill"]).fill(action["text"], timeout=self._within)

    async def _press(self, action: dict[str, Any]) -> None:
        if action.get("on"):
            await self._at(action["on"]).press(action["press"], timeout=self._within, no_wait_after=True)
        else:
            await self._page.keyboard.press(action["press"])
        await self._settled()

    async def _select(self, action: dict[str, Any]) -> None:
        at = self._at(action["select"])
        try:
            await at.select_option(action["value"], timeout=self._within)
        except PlaywrightTimeout:
            choices = await _choices(at)
            if choices is None or any(action["value"] in choice for choice in choices):
                raise
            known = ", ".join(repr(value) for value, _ in choices) or "none"
            problem = f"{self._waiter.doing} has no choice {action['value'][:200]!r}; there are: {known:.300}"
            raise FetchError("bad_request", problem) from None
        await self._settled()

    async def _hover(self, action: dict[str, Any]) -> None:
        await self._at(action["hover"]).hover(timeout=self._within)
        await self._settled()

    async def _settled(self) -> None:
        self._waiter.touched()
        await self._waiter.ready(self._settings.calm)

    async def _scroll(self, action: dict[str, Any]) -> None:
        """To the end, until nothing comes any more or it was done ``times``; or by pixels, so often."""
        times = min(action.get("times") or 1, self._settings.max_scrolls)
        if action["scroll"] == "end":
            return await self._to_the_end(times)
        for _ in range(times):
            with contextlib.suppress(Gone):  # it goes elsewhere: the next document is another one
                await self._world.own(_scroll_to(f"window.scrollY + {int(action['scroll'])}"))
            await self._settled()
        return None

    async def _to_the_end(self, times: int) -> None:
        before, left = None, self._settings.max_steps
        for _ in range(times):
            height = None
            with contextlib.suppress(Gone):
                height = await self._world.own(scripts.SIZE_OF_SCROLL)
                if before is not None and height == before:
                    return
                left = await self._down(height, left)
                await self._world.own(_scroll_to(str(height)))
            before = height
            self._waiter.touched()
            await self._waiter.ready(self._settings.quiet)

    async def _down(self, end: float, left: int) -> int:
        """Down to ``end`` by the height of the window, ``left`` times at most; how often it may be done again."""
        if await self._world.own("window.scrollY + window.innerHeight") >= end:
            return left
        while left > 0:
            left -= 1
            moved, edge = await self._world.own(scripts.STEP_DOWN)
            if not moved or edge >= end:
                break
        return left

    async def through(self) -> None:
        """Down the page once and back to where it was, so that what is loaded only when it is seen is there."""
        try:
            was, edge, end = await self._world.own(
                f"[window.scrollY, window.scrollY + window.innerHeight, {scripts.SIZE_OF_SCROLL}]"
            )
            if edge >= end:
                return
            await self._down(end, self._settings.max_steps)
            await self._world.own(_scroll_to(str(was)))
        except Gone:
            pass  # it went elsewhere: the next document is another one
        await self._settled()


async def _choices(at: Locator) -> list[list[str]] | None:
    """Value and label of what a ``select`` offers; ``None``: it is not there."""
    told = f"all => all.slice(0, {_MOST_CHOICES}).map(one => [one.value.slice(0, 80), one.label.slice(0, 80)])"
    try:
        choices: list[list[str]] = await at.locator("option").evaluate_all(told)
        return choices if await at.count() else None
    except PlaywrightError:
        return None


def _scroll_to(top: str) -> str:
    return f"window.scrollTo({{top: {top}, behavior: 'instant'}})"


_ACTIONS = {
    "click": Actor._click,
    "fill": Actor._fill,
    "press": Actor._press,
    "select": Actor._select,
    "hover": Actor._hover,
    "scroll": Actor._scroll,
}
