"""The transport: one request over libcurl, with reused handles and connections, its answer counted as it comes.

Sends one hop at a time and reports what came. It follows nothing, retries nothing and keeps nothing between tasks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

import pycurl

from crawlkit.fetcher import hops
from crawlkit.fetcher.content_coding import Chain, codings_of
from crawlkit.fetcher.curl_errors import fetch_error
from crawlkit.fetcher.curl_loop import MultiLoop
from crawlkit.fetcher.curl_options import configure, default_ca_file
from crawlkit.fetcher.limits import OVERHEAD, Body, Drip, Inflight
from crawlkit.fetcher.redirects import is_redirect
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.response_head import Headers, parse_head
from crawlkit.fetcher.server_lines import Server, ServerLines
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.fetcher.url import Url
from crawlkit.libs import address_guard
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError

REDIRECT_BODY = 256 * 1024  # read of a redirect's body so that its connection can be kept; never stored
MAX_LENGTH_DIGITS = 18
FEW_DIGITS = 6  # of a Content-Length that is read on without being compared with the limit first
CRUMB = 64  # bytes; a body that comes in smaller pieces costs more time than bytes ...
MAX_CRUMBS = 500_000  # ... so it ends there: after a second or so of work
SWEEP = 0.5  # seconds between looks at slow transfers
NO_TIME = (0.5, 0.01)  # seconds, and part of its timeout, that a transfer may wait for its turn without losing them
BARE = object()  # how a handle is dressed that has no options
_DECISIVE = frozenset(map(len, ("content-encoding", "location", "content-length")))


@dataclass(slots=True)
class Answer:
    """One response. ``body`` holds room in the process-wide count until it is dropped."""

    status: int
    reason: str
    headers: Headers
    body: Body

    def header(self, name: str) -> str | None:
        """The first one of this name (lower case)."""
        return next((value for key, value in self.headers if key.lower() == name), None)


Done = Callable[["Answer | FetchError"], None]


class Engine:
    """Handles, connections and limits that all fetches of a process share. Made inside the loop that it serves."""

    def __init__(self, settings: FetcherSettings, clock: Clock, *, guarded: bool = True) -> None:
        self.settings = settings
        self.clock = clock
        self.guarded = guarded and not settings.allow_private
        self.lent = 0  # handles that are out of the pool
        self.inflight = Inflight(settings.max_inflight_bytes, settings.poolsize, settings.max_body)
        self.loop = MultiLoop(2 * settings.poolsize + 8, settings.host_connections)
        self.transfers: set[Transfer] = set()
        self._moved_in = self._moved_out = 0
        self.ca_file = settings.ca_file or default_ca_file()
        self._idle: list[Transfer] = []
        self._paused: list[Transfer] = []
        self._lines: ServerLines[Transfer] = ServerLines(settings.host_connections)
        self._sweeper: asyncio.TimerHandle | None = None
        self._resumer: asyncio.Handle | None = None

    def session(self) -> Session:
        """For one task and all its hops; end it with :meth:`Session.close`."""
        return Session(self, self.take())

    def take(self) -> Transfer:
        """A handle out of the pool; give it back."""
        self.lent += 1
        return self._idle.pop() if self._idle else Transfer(self)

    def give_back(self, transfer: Transfer) -> None:
        """Takes a handle into the pool, with nothing on it that is of one task alone."""
        self.lent -= 1
        if len(self._idle) >= self.settings.poolsize:
            transfer.handle.close()
            return
        transfer.clean()
        self._idle.append(transfer)

    def begin(self, transfer: Transfer) -> None:
        """Sends it, as soon as its server has a connection to spare."""
        self.transfers.add(transfer)
        if self._lines.enter(transfer):
            self.loop.add(transfer.handle, transfer.on_done)
        if self._sweeper is None and (self.settings.low_speed_limit or self._lines.waiting):
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def end(self, transfer: Transfer) -> None:
        """It is over, or broken off."""
        self.transfers.discard(transfer)
        if not transfer.waits:
            self._moved_in += transfer.received()
            self._moved_out += transfer.sent()
        following = self._lines.leave(transfer)
        if following is not None:
            following.called_up()
            self.loop.add(following.handle, following.on_done)
        if self._paused or self.inflight.first is not None:
            self.inflight.leave(transfer)
            self.room_made()

    def moved(self) -> tuple[int, int]:
        """Bytes on the wire so far: received, with those of transfers that go on, and sent."""
        return self._moved_in + sum(one.received() for one in self.transfers), self._moved_out

    def pause(self, transfer: Transfer) -> None:
        """Keeps a transfer that waits for room."""
        self._paused.append(transfer)

    def room_made(self) -> None:
        """To be called when a body is gone: those who wait are asked again, in their order."""
        if self._paused and self._resumer is None:
            self._resumer = asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._resumer = None
        waiting, self._paused = self._paused, []
        for transfer in waiting:
            if transfer in self.transfers:
                transfer.unpause()  # may pause at once again, and is the last in the row then
        self.loop.wake()

    def _sweep(self) -> None:
        """Ends transfers that drip. libcurl's own low-speed limit would also count the wait for the first byte."""
        self._sweeper = None
        now = self.clock.monotonic()
        for transfer in list(self.transfers):
            error = transfer.judge(now)
            if error is not None:
                transfer.fail(error)
        if self.transfers and (self.settings.low_speed_limit or self._lines.waiting):
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def close(self) -> None:
        for waiting in (self._sweeper, self._resumer):
            if waiting is not None:
                waiting.cancel()
        self.loop.close()
        for transfer in self._idle:
            transfer.handle.close()
        self._idle.clear()


class Session:
    """A handle in the hands of one task: cookies live on it from hop to hop, and nothing else does."""

    def __init__(self, engine: Engine, transfer: Transfer) -> None:
        self._engine = engine
        self._transfer = transfer

    async def send(self, plan: Plan) -> Answer:
        """Raises :class:`FetchError`. When cancelled the transfer is broken off."""
        transfer = self._transfer
        future: asyncio.Future[Answer | FetchError] = asyncio.get_running_loop().create_future()
        transfer.start(plan, plan.url, lambda end: None if future.done() else future.set_result(end))
        hop = hops.new_hop(plan.method, plan.url.full, plan.body)
        if hop is not None:
            hops.watch(transfer.handle, hop)
            hop.received = transfer.received
        try:
            end = await future
        finally:
            transfer.cancel()
            if hop is not None:
                hop.received = None
                hops.measure(transfer.handle, hop, transfer.elapsed())
        if not isinstance(end, Answer):
            raise end
        if hop is not None:
            hop.status, hop.headers = end.status, end.headers
        return end

    def plant(self, cookies: list[str]) -> None:
        """Puts these cookies (lines of :mod:`cookie_jar`, already checked) on the handle, before the first hop."""
        self._transfer.plant(cookies)

    def cookies(self) -> list[str]:
        """All cookies that are on the handle: set by servers on this task's way, or planted."""
        return self._transfer.cookies()

    def close(self) -> None:
        self._engine.give_back(self._transfer)


class Transfer:
    """A handle, and one hop after the other on its way: curl's callbacks, and who is told the end.

    ``dress``: what decided its options. Tasks that differ in nothing but their URL have the same one, and then only the
    URL is set. Whatever else a task may leave on a handle, cookies above all, makes it be reset wholly.
    """

    __slots__ = ("_body", "_chain", "_crumbs", "_done", "_dress", "_drip", "_failure", "_lines", "_parsed", "_plan",
                 "_raw", "_refused", "_skipping", "_soiled", "_started", "_stopped", "_url", "engine", "handle",
                 "paused", "server", "waits")  # fmt: skip

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.handle = pycurl.Curl()
        self._dress: object = BARE
        self._soiled = False  # cookies may be on the handle
        self._lines: list[bytes] = []
        self._done: Done | None = None  # while it is on its way
        self.server: Server | None = None  # in whose line it stands or stood
        self.waits = False
        self.paused = False
        self._raw = 0

    def release(self) -> None:
        """Back into the pool that it came from."""
        self.engine.give_back(self)

    def start(self, plan: Plan, url: Url, done: Done, dress: object = None) -> None:
        """Sends ``plan`` to ``url``; ``done`` is told the end, once, and never from within this call.

        ``dress``: ``None``, or what is the same for all plans that differ in nothing. Raises :class:`FetchError`.
        """
        self._plan = plan
        self._url = url
        if dress is not None and dress is self._dress:
            self.handle.setopt(pycurl.URL, url.wire)
        else:
            self._put_on(plan, url)
            self._dress = dress
        self._lines.clear()
        self._parsed: tuple[int, str, Headers] | None = None
        self._body = Body(plan.max_body, self.engine.inflight)
        self._chain: Chain | None = None
        self._failure: FetchError | None = None
        self._refused: str | None = None
        self._skipping = False  # a redirect's body
        self._stopped = False  # on purpose, and the answer is good
        self._raw = 0
        self._crumbs = 0
        self._drip: Drip | None = None
        self._started = self.engine.clock.monotonic()
        # http alone: over TLS one connection may serve many at once
        self.server = (url.host, url.port) if url.scheme == "http" and plan.proxy is None else None
        self._done = done
        self.engine.begin(self)

    def _put_on(self, plan: Plan, url: Url) -> None:
        handle = self.handle
        if self._dress is not BARE:
            handle.reset()  # only cookies that servers set live through it
        self._dress = None
        configure(handle, plan, url, self.engine)
        handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        handle.setopt(pycurl.WRITEFUNCTION, self._on_write)
        proxy = plan.proxy
        if self.engine.guarded:
            if proxy is not None:
                reason = address_guard.host_refusal(url.host)
                if reason is None and not proxy.trusted:  # the name too: a connection to it may be open already
                    reason = address_guard.host_refusal(proxy.host)
                if reason is not None:
                    raise FetchError("address", reason)
            if proxy is None or not proxy.trusted:
                handle.setopt(pycurl.OPENSOCKETFUNCTION, self._on_open_socket)

    def clean(self) -> None:
        """Leaves nothing on the handle that is of one task alone: reset() alone would keep the cookies."""
        if self._dress is None or self._soiled:
            self.handle.setopt(pycurl.COOKIELIST, "ALL")
            self.handle.reset()
            self._dress = BARE
            self._soiled = False

    def plant(self, cookies: list[str]) -> None:
        """Puts cookies on the handle."""
        self._soiled = True
        for line in cookies:
            self.handle.setopt(pycurl.COOKIELIST, line.encode("latin-1"))

    def cookies(self) -> list[str]:
        """Those on the handle."""
        if not self._soiled:
            return []
        return [line.decode("latin-1") for line in self.handle.getinfo_raw(pycurl.INFO_COOKIELIST)]

    def received(self) -> int:
        """Bytes that came so far, as on the wire."""
        return self._raw or sum(map(len, self._lines))

    def sent(self) -> int:
        """Bytes of the request that were sent, when it is over."""
        sent: int = self.handle.getinfo(pycurl.REQUEST_SIZE)
        return sent if self._plan.body is None else sent + int(self.handle.getinfo(pycurl.SIZE_UPLOAD_T))

    def elapsed(self) -> float:
        """Seconds since it was asked for."""
        return self.engine.clock.monotonic() - self._started

    def called_up(self) -> None:
        """Its server has a connection for it: the time that is left runs on."""
        waited = self.elapsed()
        if waited > min(NO_TIME[0], NO_TIME[1] * self._plan.timeout):
            self.handle.setopt(pycurl.TIMEOUT_MS, max(1, int((self._plan.timeout - waited) * 1000)))
            self._dress = None

    def judge(self, now: float) -> FetchError | None:
        """Why it cannot go on: it waited too long for its turn, or drips."""
        if self.waits:
            late = now - self._started >= self._plan.timeout
            return FetchError("timeout", f"waited {self._plan.timeout:g} seconds for others") if late else None
        limit, time = self.engine.settings.low_speed_limit, self.engine.settings.low_speed_time
        if self.paused or not limit:
            return None
        if self._drip is None:
            self._drip = Drip(limit, time)
        if self._drip.too_slow(now, self.received()):
            return FetchError("too_slow", f"under {limit:g} bytes per second for {time:g} seconds")
        return None

    def unpause(self) -> None:
        """Goes on after a pause. curl may call back from within."""
        self.paused = False
        self._drip = None
        self.handle.pause(pycurl.PAUSE_CONT)

    def fail(self, error: FetchError) -> None:
        """Breaks it off, with ``error`` for its end."""
        done = self._done
        self.cancel()
        if done is not None:
            done(error)

    def cancel(self) -> None:
        """Breaks it off; nobody is told. Harmless when it is over."""
        if self._done is None:
            return
        self._done = None
        self.engine.loop.remove(self.handle)
        self._give_up()
        self.engine.end(self)

    def _give_up(self) -> None:
        """There is no answer: its room is free, and nobody knows what is left on the handle."""
        self._body.drop()
        self._soiled = True

    def _on_open_socket(self, purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
        family, kind, protocol, where = address
        reason = address_guard.refusal(where[0]) if family in (socket.AF_INET, socket.AF_INET6) else "not an IP address"
        if reason is not None:
            self._refused = reason
            bad: int = pycurl.SOCKET_BAD
            return bad
        return socket.socket(family, kind, protocol)

    def _on_write(self, chunk: bytes) -> int | None:
        """An exception must not leave through curl, which would print and forget it."""
        try:
            if self._parsed is None:
                self._begin_body()
            if self._body.full or self.engine.inflight.must_wait(self, self._body.size, len(chunk)):
                self.paused = True
                self.engine.pause(self)
                pause: int = pycurl.WRITEFUNC_PAUSE  # curl keeps the chunk and brings it again
                return pause
            self._raw += len(chunk)
            if len(chunk) < CRUMB:
                self._count_crumb()
            if self._skipping:
                self._stopped = self._raw > REDIRECT_BODY
                return 0 if self._stopped else None
            if self._chain is None:
                self._body.write(chunk)
            else:
                self._chain.write(chunk)
        except FetchError as error:
            self._stopped = self._plan.cut and error.kind == "too_large"
            self._failure = error
            return 0
        except Exception as error:  # whatever it is, it must become this task's error
            self._failure = FetchError("internal", f"{type(error).__name__}: {error}")
            return 0
        return None

    def _count_crumb(self) -> None:
        self._crumbs += 1
        if self._crumbs > MAX_CRUMBS:
            raise FetchError("protocol", f"a body in more than {MAX_CRUMBS} pieces of under {CRUMB} bytes")

    def _begin_body(self) -> None:
        """The head is whole: says what becomes of the body."""
        status, _, headers = self._head()
        location = None
        length = 0
        codings = []
        for name, value in headers:
            if len(name) in _DECISIVE:  # of few lengths only, and most headers are none of them
                lower = name.lower()
                if lower == "content-encoding":
                    codings.append(value)
                elif lower == "location":
                    location = value
                elif lower == "content-length" and len(value) > FEW_DIGITS:
                    length = _length(value)
        if self._plan.follow and is_redirect(status, location):
            self._skipping = True
            return
        if length > self._body.limit and not self._plan.cut and self._plan.sink is None:
            self._refuse(length, codings)
        if self._plan.sink is not None:
            self._body = self._plan.sink.begin(self._url.full, status, headers) or self._body
        if codings and not self._body.raw:
            names = codings_of(codings)
            if names:
                self._chain = Chain(names, self._body.write, self._body.limit + OVERHEAD)

    def _refuse(self, length: int, codings: list[str]) -> None:
        """Not a byte is read of what says itself that it is too large. What is packed may be a little larger."""
        if length > self._body.limit + (OVERHEAD if codings else 0):
            raise FetchError("too_large", f"a body of {length} bytes, over {self._body.limit}")

    def _head(self) -> tuple[int, str, Headers]:
        if self._parsed is None:
            head = b"".join(self._lines)
            if len(head) > self.engine.settings.max_headers:
                raise FetchError("headers_too_big", f"{len(head)} bytes of headers")
            self._parsed = parse_head(head)
        return self._parsed

    def on_done(self, code: int, text: str) -> None:
        """libcurl has finished with this handle."""
        done = self._done
        if done is None:
            return
        self._done = None
        end: Answer | FetchError
        try:
            if code and not self._stopped:
                raise self._failure or self._curl_error(code, text)
            status, reason, headers = self._head()
            if self._chain is not None and not self._stopped:
                self._chain.finish()
            end = Answer(status, reason, headers, self._body)
            # also those of interim answers and trailers, which are no headers of the answer
            self._soiled = self._soiled or self._stopped or b"set-cookie" in b"".join(self._lines).lower()
        except FetchError as error:
            end = error
            self._give_up()
        except Exception as error:  # a bug here must not leave the task without an answer
            end = FetchError("internal", f"{type(error).__name__}: {error}")
            self._give_up()
        self.engine.end(self)
        done(end)

    def _curl_error(self, code: int, text: str) -> FetchError:
        if self.paused and code == pycurl.E_OPERATION_TIMEDOUT:
            return FetchError("overload", "timed out while it waited for room for its body")
        if self._refused is not None and code == pycurl.E_COULDNT_CONNECT:
            return FetchError("address", self._refused)
        return fetch_error(
            code,
            text,
            elapsed=self.engine.clock.monotonic() - self._started,
            timeout=self._plan.timeout,
            connect_code=self.handle.getinfo(pycurl.HTTP_CONNECTCODE),
            answered=bool(self._lines),
        )


def _length(value: str) -> int:
    """A Content-Length; curl takes only what begins with a number."""
    digits = value.partition(",")[0].strip()
    if len(digits) > MAX_LENGTH_DIGITS:
        raise FetchError("protocol", "a Content-Length beyond all measure")  # curl would read on for ever
    return int(digits) if digits.isdecimal() else 0
