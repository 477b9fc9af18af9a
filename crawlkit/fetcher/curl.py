"""The transport: one request over libcurl, with reused handles and connections, its answer counted as it comes.

Sends one hop at a time and reports what came. It follows nothing, retries nothing and keeps nothing between tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from dataclasses import dataclass

import pycurl

from crawlkit.fetcher import hops
from crawlkit.fetcher.content_coding import Chain, codings_of
from crawlkit.fetcher.curl_errors import fetch_error
from crawlkit.fetcher.curl_loop import MultiLoop
from crawlkit.fetcher.limits import OVERHEAD, Body, Drip, Inflight
from crawlkit.fetcher.redirects import is_redirect
from crawlkit.fetcher.request import Plan, cookie_line, header_lines
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs import address_guard
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError

REDIRECT_BODY = 256 * 1024  # read of a redirect's body so that its connection can be kept; never stored
MAX_LENGTH_DIGITS = 18
SWEEP = 0.5  # seconds between looks at slow transfers
_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS; pycurl has no name for it
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_DECISIVE = frozenset(map(len, ("content-encoding", "location", "content-length")))
Headers = list[tuple[str, str]]


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


class Engine:
    """Handles, connections and limits that all fetches of a process share. Made inside the loop that it serves."""

    def __init__(self, settings: FetcherSettings, clock: Clock, *, guarded: bool = True) -> None:
        self.settings = settings
        self.clock = clock
        self.guarded = guarded and not settings.allow_private
        self.inflight = Inflight(settings.max_inflight_bytes, settings.poolsize, settings.max_body)
        self.loop = MultiLoop(2 * settings.poolsize + 8, settings.host_connections)
        self.transfers: set[Transfer] = set()
        self._moved_in = self._moved_out = 0
        self.ca_file = settings.ca_file or default_ca_file()
        self._idle: list[pycurl.Curl] = []
        self._paused: list[Transfer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._resumer: asyncio.Handle | None = None

    def session(self) -> Session:
        """For one task and all its hops; end it with :meth:`Session.close`."""
        return Session(self, self._idle.pop() if self._idle else pycurl.Curl())

    def give_back(self, handle: pycurl.Curl) -> None:
        """Takes a handle into the pool with nothing left on it: reset() alone would keep the cookies."""
        if len(self._idle) >= self.settings.poolsize:
            handle.close()
            return
        handle.setopt(pycurl.COOKIELIST, "ALL")
        handle.reset()
        self._idle.append(handle)

    def begin(self, transfer: Transfer) -> None:
        self.transfers.add(transfer)
        self.loop.add(transfer.handle, transfer.on_done)
        if self._sweeper is None and self.settings.low_speed_limit:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def end(self, transfer: Transfer) -> None:
        self.transfers.discard(transfer)
        self._moved_in += transfer.received()
        self._moved_out += transfer.sent()
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
        for transfer in [one for one in self.transfers if not one.paused and one.drip.too_slow(now, one.received())]:
            self.loop.remove(transfer.handle)
            transfer.fail(FetchError("too_slow", f"under {self.settings.low_speed_limit:g} bytes per second for "
                                                 f"{self.settings.low_speed_time:g} seconds"))  # fmt: skip
        if self.transfers:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def close(self) -> None:
        for waiting in (self._sweeper, self._resumer):
            if waiting is not None:
                waiting.cancel()
        self.loop.close()
        for handle in self._idle:
            handle.close()
        self._idle.clear()


class Session:
    """A handle in the hands of one task: cookies live on it from hop to hop, and nothing else does."""

    def __init__(self, engine: Engine, handle: pycurl.Curl) -> None:
        self._engine = engine
        self._handle = handle
        self._clean = True  # as it came from the pool
        self._cookies_came = False

    async def send(self, plan: Plan) -> Answer:
        """Raises :class:`FetchError`. When cancelled the transfer is broken off."""
        transfer = Transfer(self._engine, self._handle, plan)
        if not self._clean:
            self._handle.reset()  # only cookies that servers set live through it
        self._clean = False
        configure(self._handle, plan, self._engine)
        transfer.attach()
        hop = hops.new_hop(plan.method, plan.url.full, plan.body)
        if hop is not None:
            hops.watch(self._handle, hop)
            hop.received = transfer.received
        self._engine.begin(transfer)
        try:
            answer = await transfer.future
        finally:
            self._engine.end(transfer)
            self._engine.loop.remove(self._handle)
            transfer.release()
            if hop is not None:
                hop.received = None
                hops.measure(self._handle, hop, transfer.elapsed())
        if hop is not None:
            hop.status, hop.headers = answer.status, answer.headers
        if not self._cookies_came:
            self._cookies_came = any(len(name) == 10 and name.lower() == "set-cookie" for name, _ in answer.headers)
        return answer

    def plant(self, cookies: list[str]) -> None:
        """Puts these cookies (lines of :mod:`cookie_jar`, already checked) on the handle, before the first hop."""
        self._cookies_came = True
        for line in cookies:
            self._handle.setopt(pycurl.COOKIELIST, line.encode("latin-1"))

    def cookies(self) -> list[str]:
        """All cookies that are on the handle: set by servers on this task's way, or planted."""
        if not self._cookies_came:
            return []
        return [line.decode("latin-1") for line in self._handle.getinfo_raw(pycurl.INFO_COOKIELIST)]

    def close(self) -> None:
        self._engine.give_back(self._handle)


class Transfer:
    """One hop on its way: curl's callbacks, and the future that they fulfil."""

    __slots__ = ("_body", "_chain", "_engine", "_failure", "_lines", "_parsed", "_plan", "_raw", "_refused",
                 "_skipping", "_started", "_stopped", "drip", "future", "handle", "paused")  # fmt: skip

    def __init__(self, engine: Engine, handle: pycurl.Curl, plan: Plan) -> None:
        settings = engine.settings
        self._engine = engine
        self._plan = plan
        self._lines: list[bytes] = []
        self._parsed: tuple[int, str, Headers] | None = None
        self._body = Body(plan.max_body, engine.inflight)
        self._chain: Chain | None = None
        self._failure: FetchError | None = None
        self._refused: str | None = None
        self._skipping = False  # a redirect's body
        self._stopped = False  # on purpose, and the answer is good
        self._raw = 0
        self.paused = False
        self._started = engine.clock.monotonic()
        self.handle = handle
        self.drip = Drip(settings.low_speed_limit, settings.low_speed_time)
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def attach(self) -> None:
        """Hangs the callbacks on the handle."""
        self.handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self.handle.setopt(pycurl.WRITEFUNCTION, self._on_write)
        proxy = self._plan.proxy
        if self._engine.guarded:
            if proxy is not None:
                reason = address_guard.host_refusal(self._plan.url.host)
                if reason is None and not proxy.trusted:  # the name too: a connection to it may be open already
                    reason = address_guard.host_refusal(proxy.host)
                if reason is not None:
                    raise FetchError("address", reason)
            if proxy is None or not proxy.trusted:
                self.handle.setopt(pycurl.OPENSOCKETFUNCTION, self._on_open_socket)

    def received(self) -> int:
        """Bytes that came so far, as on the wire."""
        return self._raw or sum(map(len, self._lines))

    def sent(self) -> int:
        """Bytes of the request that were sent, when it is over."""
        return int(self.handle.getinfo(pycurl.REQUEST_SIZE) + self.handle.getinfo(pycurl.SIZE_UPLOAD_T))

    def elapsed(self) -> float:
        """Seconds since it was asked for."""
        return self._engine.clock.monotonic() - self._started

    def release(self) -> None:
        """Gives back what a transfer without an answer still holds."""
        future = self.future
        if not future.done() or future.cancelled() or future.exception() is not None:
            self._body.drop()

    def unpause(self) -> None:
        """Goes on after a pause. curl may call back from within."""
        self.paused = False
        self.drip = Drip(self._engine.settings.low_speed_limit, self._engine.settings.low_speed_time)
        self.handle.pause(pycurl.PAUSE_CONT)

    def fail(self, error: FetchError) -> None:
        if not self.future.done():
            self.future.set_exception(error)

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
            if not self._raw:
                self._begin_body()
            if self._body.full or self._engine.inflight.must_wait(self, self._body.size, len(chunk)):
                self.paused = True
                self._engine.pause(self)
                pause: int = pycurl.WRITEFUNC_PAUSE  # curl keeps the chunk and brings it again
                return pause
            self._raw += len(chunk)
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

    def _begin_body(self) -> None:
        """The head is whole: says what becomes of the body."""
        status, _, headers = self._head()
        location = None
        codings = []
        for name, value in headers:
            if len(name) in _DECISIVE:  # of few lengths only, and most headers are none of them
                lower = name.lower()
                if lower == "content-encoding":
                    codings.append(value)
                elif lower == "location":
                    location = value
                elif lower == "content-length" and len(value) > MAX_LENGTH_DIGITS:
                    raise FetchError("protocol", "a Content-Length beyond all measure")  # curl would read on for ever
        if self._plan.follow and is_redirect(status, location):
            self._skipping = True
            return
        if self._plan.sink is not None:
            self._body = self._plan.sink.begin(self._plan.url.full, status, headers) or self._body
        if codings and not self._body.raw:
            names = codings_of(codings)
            if names:
                self._chain = Chain(names, self._body.write, self._body.limit + OVERHEAD)

    def _head(self) -> tuple[int, str, Headers]:
        if self._parsed is None:
            size = sum(map(len, self._lines))
            if size > self._engine.settings.max_headers:
                raise FetchError("headers_too_big", f"{size} bytes of headers")
            self._parsed = parse_head(self._lines)
        return self._parsed

    def on_done(self, code: int, text: str) -> None:
        """libcurl has finished with this handle."""
        if self.future.done():
            return
        try:
            if code and not self._stopped:
                raise self._failure or self._curl_error(code, text)
            status, reason, headers = self._head()
            if self._chain is not None and not self._stopped:
                self._chain.finish()
            self.future.set_result(Answer(status, reason, headers, self._body))
        except FetchError as error:
            self.future.set_exception(error)
        except Exception as error:  # a bug here must not leave the task without an answer
            self.future.set_exception(FetchError("internal", f"{type(error).__name__}: {error}"))

    def _curl_error(self, code: int, text: str) -> FetchError:
        if self.paused and code == pycurl.E_OPERATION_TIMEDOUT:
            return FetchError("overload", "timed out while it waited for room for its body")
        if self._refused is not None and code == pycurl.E_COULDNT_CONNECT:
            return FetchError("address", self._refused)
        return fetch_error(
            code,
            text,
            elapsed=self._engine.clock.monotonic() - self._started,
            timeout=self._plan.timeout,
            connect_code=self.handle.getinfo(pycurl.HTTP_CONNECTCODE),
            answered=bool(self._lines),
        )


def configure(handle: pycurl.Curl, plan: Plan, engine: Engine) -> None:
    """Sets a handle up for one hop; it must be new or have been reset."""
    option = handle.setopt
    option(pycurl.URL, plan.url.wire)
    option(pycurl.HTTPHEADER, header_lines(plan))
    option(pycurl.COOKIEFILE, "")
    option(pycurl.NOSIGNAL, 1)
    option(pycurl.PATH_AS_IS, 1)
    option(pycurl.HTTP_CONTENT_DECODING, 0)
    option(pycurl.PROTOCOLS, _PROTOCOLS)
    option(pycurl.TIMEOUT_MS, max(1, int(plan.timeout * 1000)))
    option(pycurl.CONNECTTIMEOUT_MS, max(1, int(plan.connect_timeout * 1000)))
    cookies = cookie_line(plan)
    if cookies is not None:
        option(pycurl.COOKIE, cookies.encode())
    if plan.url.scheme == "https":
        _configure_tls(handle, plan, engine)
    _configure_proxy(handle, plan, engine)
    if plan.method == "HEAD":
        option(pycurl.NOBODY, 1)
    elif plan.body is not None:
        option(pycurl.POST, 1)
        option(pycurl.POSTFIELDS, plan.body)
        if plan.method != "POST":
            option(pycurl.CUSTOMREQUEST, plan.method)
    elif plan.method != "GET":
        option(pycurl.CUSTOMREQUEST, plan.method)


def _configure_tls(handle: pycurl.Curl, plan: Plan, engine: Engine) -> None:
    version = pycurl.CURL_HTTP_VERSION_2TLS if engine.settings.http2 else pycurl.CURL_HTTP_VERSION_1_1
    handle.setopt(pycurl.HTTP_VERSION, version)
    if engine.ca_file is not None:
        handle.setopt(pycurl.CAINFO, engine.ca_file)
    if not plan.validate_cert:
        handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 0)


def _configure_proxy(handle: pycurl.Curl, plan: Plan, engine: Engine) -> None:
    """Also without a proxy: libcurl would look for one in the environment."""
    proxy = plan.proxy
    if proxy is None:
        handle.setopt(pycurl.PROXY, "")
        return
    handle.setopt(pycurl.PROXY, proxy.address)
    handle.setopt(pycurl.NOPROXY, "")
    handle.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
    if proxy.username is not None:
        handle.setopt(pycurl.PROXYUSERNAME, proxy.username.encode())
        handle.setopt(pycurl.PROXYPASSWORD, (proxy.password or "").encode())
    if proxy.scheme == "https" and engine.ca_file is not None:
        handle.setopt(pycurl.PROXY_CAINFO, engine.ca_file)
    if proxy.scheme in ("http", "https"):
        handle.setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)
        if plan.proxy_authorization is not None:
            handle.setopt(pycurl.PROXYHEADER, [b"Proxy-Authorization: " + plan.proxy_authorization.encode()])


def parse_head(lines: list[bytes]) -> tuple[int, str, Headers]:
    """(status, reason, headers) of the last header block; earlier ones are 1xx answers, later lines are trailers."""
    if not lines:
        raise FetchError("protocol", "an answer without a header")
    texts = b"".join(lines).decode("latin-1").split("\n")
    start = 0
    for number, text in enumerate(texts):
        if text.startswith("HTTP/"):
            start = number
    parts = texts[start].split(None, 2)
    if len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
        raise FetchError("protocol", "an answer without a status of three digits")
    headers = []
    for text in texts[start + 1 :]:
        name, colon, value = text.partition(":")
        if colon:
            headers.append((name.strip(), value.strip()))
        elif not text.strip():
            break
    return int(parts[1]), parts[2].strip() if len(parts) > 2 else "", headers


def default_ca_file() -> str | None:
    """The machine's certificates; the wheel's OpenSSL would look where its builder kept them."""
    paths = [*_CA_FILES, ssl.get_default_verify_paths().cafile or ""]
    for path in paths:
        with contextlib.suppress(OSError):
            if path and os.path.getsize(path):
                return path
    return None
