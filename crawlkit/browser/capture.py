"""What is brought along beside the page: pictures, PDF, answers to its XHRs, lines of its console. All bounded."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from playwright.async_api import CDPSession, ConsoleMessage, Page
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from crawlkit.browser.blocking import matcher
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs import charset
from crawlkit.libs.browser_job import Attachment
from crawlkit.libs.errors import FetchError
from crawlkit.libs.task import MAX_URL

_LINE = 500  # characters kept of a line of the console
_WORD = 200  # likewise of a method, or of a content type
_TEXTS = ("json", "text", "xml", "javascript", "urlencoded", "graphql")
_TYPES = {"png": "image/png", "jpeg": "image/jpeg"}


class Console:
    """The first lines that a page writes or throws; after that it is not listened to any more."""

    def __init__(self, page: Page, most: int) -> None:
        self._page = page
        self._most = most
        self.lines: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", self._threw)

    def note(self, line: str) -> None:
        """A line of crawlkit's own; there is always room for a few."""
        if len(self.lines) < self._most + 10:
            self.lines.append(line[:_LINE])

    def _said(self, message: ConsoleMessage) -> None:
        if "net::ERR_BLOCKED_BY_CLIENT" not in message.text:  # of what the task does not want loaded
            self._add(f"{message.type}: {message.text}")

    def _threw(self, error: PlaywrightError) -> None:
        self._add(f"uncaught {error.message}")

    def _add(self, line: str) -> None:
        if len(self.lines) >= self._most:
            # a page may write a million lines: nobody is to send them here
            self._page.remove_listener("console", self._said)
            self._page.remove_listener("pageerror", self._threw)
            return
        self.lines.append(line[:_LINE])


class XhrCapture:
    """Answers to XHR and fetch whose URL fits one of ``patterns``, as text."""

    def __init__(self, session: CDPSession, patterns: list[str], settings: BrowserSettings) -> None:
        self._session = session
        self._fits = matcher(patterns)
        self._settings = settings
        self._left = settings.max_xhr_total
        self._open: dict[str, dict[str, Any]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self.answers: list[dict[str, Any]] = []

    def requested(self, event: dict[str, Any]) -> None:
        request = event["request"]
        if event.get("type") not in ("XHR", "Fetch") or not self._fits.fullmatch(request["url"]):
            return
        if len(self.answers) >= self._settings.max_xhr:
            return
        url, method = request["url"], request["method"][:_WORD]
        if len(url) > MAX_URL:  # no task could ask for it either
            return
        answer = {"url": url, "method": method, "status": 0, "content_type": "", "body": "", "truncated": False}
        self._open[event["requestId"]] = answer
        self.answers.append(answer)

    def answered(self, event: dict[str, Any]) -> None:
        answer = self._open.get(event["requestId"])
        if answer is not None:
            response = event["response"]
            answer["status"] = response["status"]
            names = {name.lower(): value for name, value in response["headers"].items()}
            answer["content_type"] = (names.get("content-type") or response.get("mimeType", ""))[:_WORD]

    def finished(self, request: str) -> None:
        """Its body is read at once: the browser forgets it with the page."""
        answer = self._open.pop(request, None)
        if answer is not None:
            task = asyncio.create_task(self._read(request, answer))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def settle(self) -> list[dict[str, Any]]:
        """All that was answered."""
        await asyncio.gather(*self._reading)
        return [answer for answer in self.answers if answer["status"]]

    def close(self) -> None:
        for task in self._reading:
            task.cancel()

    async def _read(self, request: str, answer: dict[str, Any]) -> None:
        try:
            got = await self._session.send("Network.getResponseBody", {"requestId": request})
        except PlaywrightError:
            answer["truncated"] = True  # too large for the browser to keep, or gone with its page
            return
        body = _text_of(got, answer["content_type"])
        if body is None:
            return
        most = max(0, min(self._settings.max_xhr_body, self._left))
        answer["truncated"] = len(body) > most
        answer["body"] = body[:most]
        self._left -= len(answer["body"])


def _text_of(got: dict[str, Any], content_type: str) -> str | None:
    if not got["base64Encoded"]:
        return str(got["body"])
    if content_type and not any(word in content_type for word in _TEXTS):
        return None
    content = base64.b64decode(got["body"])
    return charset.decode(content, charset.detect(content, content_type))


async def screenshot(page: Page, session: CDPSession, wish: dict[str, Any], settings: BrowserSettings) -> Attachment:
    """A picture of what the window shows, of the whole page, or of one element. Raises :class:`FetchError`."""
    of, kind = wish.get("of", "page"), wish.get("type", "png")
    options: dict[str, Any] = {"type": kind, "timeout": settings.action_within * 1000}
    if kind == "jpeg" and wish.get("quality"):
        options["quality"] = wish["quality"]
    try:
        if of not in ("page", "full"):
            return await _element(page, of, options, settings)
        if of == "full":
            size = (await session.send("Page.getLayoutMetrics"))["cssContentSize"]
            width, height = max(1, int(size["width"])), max(1, int(size["height"]))
            options["full_page"] = True
            if width * height > settings.max_pixels:  # cut off below, as far as it may go
                width = min(width, settings.max_pixels)
                options["clip"] = {"x": 0, "y": 0, "width": width, "height": max(1, settings.max_pixels // width)}
        picture = await page.screenshot(**options)
    except PlaywrightError as error:
        raise _failed("screenshot", error) from None
    return _attachment(_TYPES[kind], picture, "screenshot", settings)


async def _element(page: Page, selector: str, options: dict[str, Any], settings: BrowserSettings) -> Attachment:
    found = page.locator(selector).first
    try:
        box = await found.bounding_box(timeout=settings.action_within * 1000)
    except PlaywrightTimeout:
        problem = f"screenshot: {selector[:200]!r} did not come within {settings.action_within:g} seconds"
        raise FetchError("timeout", problem) from None
    if box is None:
        raise FetchError("bad_request", f"screenshot: {selector[:200]!r} is not shown")
    if box["width"] * box["height"] > settings.max_pixels:
        raise FetchError("too_large", f"screenshot: {selector[:200]!r} has over {settings.max_pixels} pixels")
    picture = await found.screenshot(**options)
    return _attachment(_TYPES[options["type"]], picture, "screenshot", settings)


async def pdf(page: Page, wish: dict[str, Any], settings: BrowserSettings) -> Attachment:
    """The page as it would be printed. Raises :class:`FetchError`."""
    try:
        printed = await page.pdf(
            format=wish.get("format", "A4"),
            landscape=bool(wish.get("landscape")),
            print_background=bool(wish.get("background", True)),
            page_ranges=f"1-{settings.max_pdf_pages}",
        )
    except PlaywrightError as error:
        raise _failed("pdf", error) from None
    return _attachment("application/pdf", printed, "pdf", settings)


def _attachment(kind: str, content: bytes, what: str, settings: BrowserSettings) -> Attachment:
    if len(content) > settings.max_attachment:
        raise FetchError("too_large", f"{what} over {settings.max_attachment} bytes")
    return Attachment(content_type=kind, content_base64=base64.b64encode(content).decode())


def _failed(what: str, error: PlaywrightError) -> Exception:
    if "crashed" in error.message or "has been closed" in error.message:
        return error
    kind = "timeout" if "Timeout" in error.message else "bad_request"
    return FetchError(kind, f"{what}: {error.message.partition(chr(10))[0][:300]}")
