"""Runs JavaScript in a page: the task's own scripts among the page's, and crawlkit's own where no page can meddle."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from playwright.async_api import CDPSession, Page
from playwright.async_api import Error as PlaywrightError

from crawlkit.browser import scripts
from crawlkit.libs.errors import FetchError


class Gone(Exception):
    """The document went away while something ran in it: look again at the next one."""


class ScriptFailed(Exception):
    """The task's script raised, or cannot be read."""


class World:
    """The main frame of a page as scripts see it. ``note`` takes lines for the task's console."""

    def __init__(self, session: CDPSession, page: Page, most: int, note: Callable[[str], None]) -> None:
        self._session = session
        self._page = page
        self._most = most
        self._note = note
        self._frame: str | None = None
        self._own: int | None = None  # the context of our own world
        self._forms: dict[str, str] = {}
        self._binding = ""
        self.start_value: Any = None

    async def enable(self) -> None:
        """Needed once before a script of the task is compiled."""
        await self._session.send("Runtime.enable")

    async def form_of(self, script: str) -> str:
        """The script as a function. Raises :class:`ScriptFailed` with what is wrong with it."""
        known = self._forms.get(script)
        if known is not None:
            return known
        problems = []
        for form in scripts.forms(script):
            made = await self._session.send(
                "Runtime.compileScript", {"expression": form, "sourceURL": "", "persistScript": False}
            )
            if "exceptionDetails" not in made:
                self._forms[script] = form
                return form
            problems.append(made["exceptionDetails"])
        # the form that was understood furthest is the one that was meant
        meant = max(problems, key=lambda each: (each.get("lineNumber", 0), each.get("columnNumber", 0)))
        raise ScriptFailed(_problem(meant))

    async def run_at_start(self, script: str) -> None:
        """Has the task's script run in every document of the page before its own; the first value counts."""
        self._binding = "_" + uuid4().hex
        source = scripts.at_start(await self.form_of(script), self._most, self._binding)
        self._session.on("Runtime.bindingCalled", self._told)
        await self._session.send("Runtime.addBinding", {"name": self._binding})
        await self._session.send("Page.addScriptToEvaluateOnNewDocument", {"source": source})

    def _told(self, event: dict[str, Any]) -> None:
        if event["name"] != self._binding or len(event["payload"]) > 6 * self._most:
            return
        try:
            made = json.loads(event["payload"])
        except ValueError:
            self._note("js_script: the page garbled its value")
            return
        if "error" in made:
            self._note(f"js_script: {made['error']}")
        elif self.start_value is None:
            self.start_value = self._unpack(made)

    async def run(self, script: str) -> Any:
        """The value of the task's script. Raises :class:`Gone`, :class:`ScriptFailed`."""
        return self._unpack(await self._evaluate(scripts.value_of(await self.form_of(script), self._most)))

    async def is_true(self, script: str) -> bool:
        """Whether the task's script returns something true. Raises as :meth:`run`."""
        return bool(await self._evaluate(scripts.truth_of(await self.form_of(script))))

    def _unpack(self, made: Any) -> Any:
        if isinstance(made, dict) and made.get("over"):
            self._note(f"js_script: its value is over {self._most} characters, and was left behind")
            return None
        return made.get("value") if isinstance(made, dict) else None

    async def own(self, expression: str) -> Any:
        """The value of an expression of ours, which sees the page's document and none of its scripts."""
        if self._own is None:
            self._own = await self._make_world()
        try:
            return await self._evaluate(expression, self._own)
        except Gone:
            self._own = None
            raise

    async def _make_world(self) -> int:
        try:
            if self._frame is None:
                tree = await self._session.send("Page.getFrameTree")
                self._frame = tree["frameTree"]["frame"]["id"]
            made = await self._session.send(
                "Page.createIsolatedWorld", {"frameId": self._frame, "worldName": "crawlkit"}
            )
        except PlaywrightError as error:
            raise _translated(error) from None
        return int(made["executionContextId"])

    async def _evaluate(self, expression: str, context: int | None = None) -> Any:
        where = {} if context is None else {"contextId": context}
        try:
            made = await self._session.send(
                "Runtime.evaluate",
                {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True} | where,
            )
        except PlaywrightError as error:
            raise _translated(error) from None
        if "exceptionDetails" in made:
            raise ScriptFailed(_problem(made["exceptionDetails"]))
        return made["result"].get("value")


def _problem(details: dict[str, Any]) -> str:
    thrown = details.get("exception", {})
    text = thrown.get("description") or thrown.get("value") or details.get("text", "")
    return str(text).partition("\n")[0][:500]


def _translated(error: PlaywrightError) -> Exception:
    """What the protocol says when a document or its page is no more."""
    text = error.message
    if "crashed" in text:
        return FetchError("crashed", "the page's process died")
    if any(word in text for word in ("context", "navigated", "No frame", "destroyed", "collected")) and (
        "has been closed" not in text
    ):
        return Gone(text)
    return error
