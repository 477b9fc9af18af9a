"""The requests of one page: the page's own are decided here one by one, of the others the task's wishes are kept.

Speaks the DevTools protocol (Fetch and Network) on a session of its own. Whatever ends the page - its answer is none, a
limit is reached, it crashed - is put into :attr:`Traffic.ended`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.async_api import CDPSession
from playwright.async_api import Error as PlaywrightError

from crawlkit.browser import documents, net_errors
from crawlkit.browser import plan as plans
from crawlkit.browser.documents import Document
from crawlkit.browser.plan import Plan
from crawlkit.browser.readiness import Readiness
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.errors import FetchError
from crawlkit.libs.task import MAX_URL

CHUNK = 1024 * 1024  # bytes read at once from a body

_REFUSAL = re.compile(r"(Unsafe|Invalid) header[^\n]{0,200}")

Event = dict[str, Any]


class Traffic:
    """What one page asks the network for. ``readiness`` hears of it; ``changed`` is set when something happened."""

    def __init__(
        self,
        session: CDPSession,
        plan: Plan,
        settings: BrowserSettings,
        readiness: Readiness,
        now: Callable[[], float],
        spool: Path | None,
        net_error: Callable[[str, str], FetchError] = net_errors.error_of,
    ) -> None:
        self._session = session
        self._plan = plan
        self._settings = settings
        self.readiness = readiness
        self._now = now
        self._spool = spool  # None: no download is wanted
        self._net_error = net_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._frame = ""  # the main one
        self._method = plan.method
        self._body = plan.body
        self._cookies: list[tuple[str, str]] = []  # Set-Cookie headers of the page's own request
        self._loader = ""  # request id of the page's own request
        self._decoded = 0  # bytes of the present document
        self._loaded_bytes = 0  # of everything, after decompression
        self._redirects = self._navigations = 0
        self._acting = False
        self.changed = asyncio.Event()
        self.ended: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        self.document: Document | None = None
        self.url = plan.url
        self.history: list[tuple[int, str]] = []
        self.counts = {"requests": 0, "blocked": 0}
        self.on_finished: Callable[[str], None] | None = None  # told the id of each request that has its answer
        self.on_response: Callable[[Event], None] | None = None
        self.on_request: Callable[[Event], None] | None = None

    async def begin(self, buffered: int) -> None:
        """``buffered``: bytes of answers that the browser keeps for those who ask for them."""
        hear = {
            "Fetch.requestPaused": self._paused,
            "Network.requestWillBeSent": self._sent,
            "Network.responseReceived": self._received,
            "Network.responseReceivedExtraInfo": self._received_extra,
            "Network.dataReceived": self._data,
            "Network.loadingFinished": self._finished,
            "Network.loadingFailed": self._failed,
            "Page.domContentEventFired": lambda _: self._note(self.readiness.dom_ready),
            "Page.loadEventFired": lambda _: self._note(self.readiness.load),
        }
        for name, handler in hear.items():
            self._session.on(name, handler)
        await asyncio.gather(
            self._session.send("Fetch.enable", {"patterns": self._stops()}),
            self._session.send(
                "Network.enable",
                {"maxTotalBufferSize": buffered, "maxResourceBufferSize": buffered, "maxPostDataSize": 0},
            ),
            self._session.send("Page.enable"),
        )

    def acts(self) -> None:
        """From now on it is the task that makes the page go elsewhere."""
        self._acting = True
        self._navigations = 0

    def stop(self, end: Document | FetchError) -> None:
        """The first end counts."""
        if self.ended.done():
            return
        if isinstance(end, FetchError):
            self.ended.set_exception(end)
            self.ended.exception()  # seen: who comes for it gets it raised
        else:
            self.ended.set_result(end)

    async def close(self) -> None:
        """Ends what still runs for this page."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- requests and answers that wait for a word

    def _stops(self) -> list[Event]:
        stops: list[Event] = [
            {"resourceType": "Document", "requestStage": "Request"},
            {"resourceType": "Document", "requestStage": "Response"},
            {"resourceType": "Other", "requestStage": "Request"},  # icons, which no task wants
            *self._plan.blocking.stop_at(),
        ]
        if self._plan.kept:
            stops.append({"urlPattern": f"{self._plan.origin}/*"})
        return stops

    def _paused(self, event: Event) -> None:
        answered = "responseStatusCode" in event
        kind, frame = event["resourceType"], event.get("frameId", "")
        if kind == "Document" and not self._frame:
            self._frame = frame
        request = event["requestId"]
        if "responseErrorReason" in event:
            self._say("Fetch.continueRequest", {"requestId": request})
        elif kind == "Document" and frame == self._frame:
            self._do(self._page_answered(event) if answered else self._page_asked(event))
        elif answered:
            self._do(self._frame_answered(event))
        elif self._unwanted(event, kind):
            if kind == "Other":
                self.counts["requests"] -= 1
                self._say("Fetch.fulfillRequest", {"requestId": request, "responseCode": 204})
            else:
                self.counts["blocked"] += 1
                self._say("Fetch.failRequest", {"requestId": request, "errorReason": "BlockedByClient"})
        else:
            sent = event["request"]
            headers = plans.headers_for(self._plan, sent["url"], sent["headers"], page=False, body=True)
            self._say("Fetch.continueRequest", {"requestId": request} | ({"headers": headers} if headers else {}))

    def _unwanted(self, event: Event, kind: str) -> bool:
        url = event["request"]["url"]
        if kind == "Other":
            accept = event["request"]["headers"].get("Accept", "")
            if accept.startswith("image/") or url.endswith("/favicon.ico"):
                return True
        return self._plan.blocking.forbids(url, kind)

    async def _page_asked(self, event: Event) -> None:
        """The page's own request, a redirect of it, or another document that takes the page's place."""
        request, url = event["requestId"], event["request"]["url"]
        redirected = "redirectedRequestId" in event
        first = self.document is None and not redirected
        if not redirected and not first and not self._goes_on(url):
            return await self._send("Fetch.failRequest", {"requestId": request, "errorReason": "Aborted"})
        if not first and len(url) > MAX_URL:
            return self.stop(FetchError("bad_redirect", f"the page leads to a URL of {len(url):,} characters, over the"
                                                        f" limit of {MAX_URL:,}: {url[:200]}"))  # fmt: skip
        self.url = url
        if self.document is not None and not redirected:  # by script, by meta refresh, by an action: plainly
            answer: Event = {}
            headers = plans.headers_for(self._plan, url, event["request"]["headers"], page=False, body=True)
        else:
            if redirected and self._body and plans.origin_of(url) != self._plan.origin:
                return self.stop(
                    FetchError("bad_redirect", f"the request's body would go to another origin: {url[:500]}")
                )
            answer = self._page_request()
            headers = plans.headers_for(
                self._plan, url, event["request"]["headers"], page=True, body=self._body is not None
            )
        if headers is not None:
            answer["headers"] = headers
        return await self._send("Fetch.continueRequest", {"requestId": request} | answer)

    def _page_request(self) -> Event:
        answer: Event = {}
        if self._method != "GET":
            answer["method"] = self._method
        if self._body is not None:
            answer["postData"] = base64.b64encode(self._body).decode()
        return answer

    def _goes_on(self, url: str) -> bool:
        """Whether a page may go elsewhere by itself."""
        if not self._plan.follow and not self._acting:
            return False
        self._navigations += 1
        if self._navigations > self._settings.max_navigations:
            self.stop(
                FetchError("redirects", f"the page went elsewhere by itself {self._navigations} times: {url[:500]}")
            )
            return False
        if self.document is not None and not self._acting:
            self.history.append((self.document.status, self.document.url))
        return True

    async def _page_answered(self, event: Event) -> None:
        request, status, url = event["requestId"], event["responseStatusCode"], event["request"]["url"]
        headers = [(each["name"], each["value"]) for each in event.get("responseHeaders", [])]
        location = documents.header(headers, "location")
        if location is not None and status in plans.REDIRECTS:
            if not self._plan.follow and self.document is None:
                return self.stop(Document(status, url, headers, b""))
            self.history.append((status, url))
            self._redirects += 1
            if self._redirects > self._plan.max_redirects:
                return self.stop(FetchError("redirects", f"Maximum ({self._plan.max_redirects}) redirects followed"))
            self._method = plans.method_after(status, self._method)
            if self._method == "GET":
                self._body = None
            return await self._send("Fetch.continueResponse", {"requestId": request})
        if self.document is not None and self._spool is None and documents.is_attachment(headers):
            # as a browser does: the file is put aside, and the page stays
            return await self._send("Fetch.failRequest", {"requestId": request, "errorReason": "Aborted"})
        document = Document(status, url, headers)
        method = self._method if self.document is None else "GET"
        wanted = self._spool is not None and not documents.mime(headers).startswith("text/html")
        if not wanted and documents.is_page(status, method, headers):
            return await self._page_comes(request, document)
        if method == "HEAD" or status in (204, 205, 304):
            document.body = b""
            return self.stop(document)
        return await self._take(request, document)

    async def _page_comes(self, request: str, document: Document) -> None:
        said = documents.header(document.headers, "content-length")
        if said is not None and said.isdigit() and int(said) > self._plan.max_body:
            return self.stop(_too_large(self._plan.max_body))
        self.document, self._redirects = document, 0
        return await self._send("Fetch.continueResponse", {"requestId": request})

    async def _frame_answered(self, event: Event) -> None:
        headers = [(each["name"], each["value"]) for each in event.get("responseHeaders", [])]
        if self._spool is not None and documents.is_attachment(headers):
            document = Document(event["responseStatusCode"], event["request"]["url"], headers)
            return await self._take(event["requestId"], document)
        return await self._send("Fetch.continueResponse", {"requestId": event["requestId"]})

    async def _take(self, request: str, document: Document) -> None:
        """What is no page is read here, as it came and within its limit, and never shown by Chromium."""
        try:
            opened = await self._session.send("Fetch.takeResponseBodyAsStream", {"requestId": request})
            if self._spool is not None:
                document.file = await self._to_file(opened["stream"], document, self._spool)
                return self.stop(document)
            body = await self._read(opened["stream"])
        except FetchError as error:
            return self.stop(error)
        except PlaywrightError as error:
            return self.stop(FetchError("reset", f"the answer broke off: {_line(error)}"))
        if not documents.mime(document.headers) and documents.looks_like_page(body):
            return await self._show(request, document, body)
        document.body = body
        return self.stop(document)

    async def _show(self, request: str, document: Document, body: bytes) -> None:
        """A page of which nobody said that it is one."""
        document.headers.append(("Content-Type", "text/html"))
        self.document, self._redirects = document, 0
        await self._send("Fetch.fulfillRequest", {
            "requestId": request,
            "responseCode": document.status,
            "responseHeaders": [{"name": n, "value": v} for n, v in documents.as_decoded(document.headers)],
            "body": base64.b64encode(body).decode(),
        })  # fmt: skip

    async def _read(self, stream: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in self._parts(stream):
            size += len(part)
            if size > self._plan.max_body:
                raise _too_large(self._plan.max_body)
            parts.append(part)
        return b"".join(parts)

    async def _to_file(self, stream: str, document: Document, spool: Path) -> Event:
        name, size = uuid4().hex, 0
        path = spool / name
        try:
            with path.open("xb") as file:
                async for part in self._parts(stream):
                    size += len(part)
                    if size > self._settings.max_file:
                        raise _too_large(self._settings.max_file)
                    file.write(part)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise FetchError(
                "file", f"the browser service cannot keep a download: {os.strerror(error.errno or 0)}"
            ) from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return {
            "id": name,
            "url": document.url,
            "name": documents.file_name(document.headers, document.url),
            "bytes": size,
            "content_type": documents.mime(document.headers),
        }

    async def _parts(self, stream: str) -> Any:
        while True:
            part = await self._session.send("IO.read", {"handle": stream, "size": CHUNK})
            data = part["data"]
            if data:
                yield base64.b64decode(data) if part.get("base64Encoded") else data.encode()
            if part["eof"]:
                break
        await self._send("IO.close", {"handle": stream})

    # ---- what is merely noted

    def _sent(self, event: Event) -> None:
        request, kind = event["requestId"], event.get("type", "Other")
        if "redirectResponse" not in event:
            self.counts["requests"] += 1
        if kind == "Document" and (not self._frame or event.get("frameId") == self._frame):
            self._frame = event.get("frameId", "")
            self._loader, self._decoded = request, 0
            if "redirectResponse" not in event:
                self._cookies = []
            self.readiness.navigates(self._now())
        if kind == "Document" or "." in request:
            self.readiness.started(request, kind, self._now())
        else:  # a worker's own script: its end is told to the worker only
            self.readiness.asked_for(self._now())
        if self.on_request is not None:
            self.on_request(event)
        self.changed.set()

    def _received(self, event: Event) -> None:
        if self.on_response is not None:
            self.on_response(event)

    def _received_extra(self, event: Event) -> None:
        if event["requestId"] != self._loader:
            return
        for name, value in event.get("headers", {}).items():
            if name.lower() == "set-cookie":
                self._cookies += [("Set-Cookie", line) for line in value.split("\n")]

    def _data(self, event: Event) -> None:
        size = event["dataLength"]
        self._loaded_bytes += size
        if event["requestId"] == self._loader:
            self._decoded += size
            if self._decoded > self._plan.max_body:
                self.stop(_too_large(self._plan.max_body))
        if self._loaded_bytes > self._settings.max_load:
            self.stop(FetchError("too_large", f"the page loads over {self._settings.max_load} bytes"))

    def _finished(self, event: Event) -> None:
        if self.on_finished is not None:
            self.on_finished(event["requestId"])
        self._end_of(event["requestId"])

    def _failed(self, event: Event) -> None:
        if event["requestId"] == self._loader and self.document is not None:
            name = net_errors.named(event.get("errorText", ""))
            if event.get("canceled") or name is None or name == "ABORTED":
                self.readiness.load(self._now())  # it did not go elsewhere after all
            else:
                self.stop(self._net_error(name, self.url))
        self._end_of(event["requestId"])

    def _end_of(self, request: str) -> None:
        self.readiness.ended(request, self._now())
        self.changed.set()

    def _note(self, what: Callable[[float], None]) -> None:
        what(self._now())
        self.changed.set()

    def set_cookies(self) -> list[tuple[str, str]]:
        """The ``Set-Cookie`` headers of the page's own answer, and of the redirects before it."""
        return list(self._cookies)

    # ---- words to the browser

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # whatever it is, the page would wait for it for ever
            self.stop(FetchError("internal", f"{type(error).__name__}: {error}"))

    def _say(self, method: str, params: Event) -> None:
        self._do(self._send(method, params))

    async def _send(self, method: str, params: Event) -> None:
        try:
            await self._session.send(method, params)
        except PlaywrightError as error:
            refusal = _REFUSAL.search(error.message)
            if refusal is not None:  # the request still waits, and would for ever
                self.stop(FetchError("bad_request", f"headers: Chromium does not send this one: {refusal[0]}"))
            # else it is gone: its page went elsewhere, crashed or was closed, and each of these is heard of


def _too_large(limit: int) -> FetchError:
    return FetchError("too_large", f"body over {limit} bytes")


def _line(error: PlaywrightError) -> str:
    return error.message.partition("\n")[0][:300]
