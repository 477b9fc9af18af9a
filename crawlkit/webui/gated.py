"""The base of everything that answers: nobody gets past it whom the gatekeeper did not let in."""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from typing import TYPE_CHECKING, Any

import msgspec
import tornado.iostream
import tornado.web
from tornado.httputil import HTTPServerRequest

from crawlkit.libs.errors import CrawlkitError
from crawlkit.webui.api.registry import PREFIX
from crawlkit.webui.gate import Allowed, Facts, Refused
from crawlkit.webui.problem import MEDIA_TYPE, Problem, problem_of
from crawlkit.webui.security import security_headers

if TYPE_CHECKING:
    from crawlkit.webui.server import WebServer

log = logging.getLogger("webui")

MAX_BODY = 16 * 2**20
MAX_STRANGERS_BODY = 64 * 2**10  # of who has not signed in: name and password

PREFIXES: weakref.WeakKeyDictionary[HTTPServerRequest, str] = weakref.WeakKeyDictionary()


def facts_of(request: HTTPServerRequest) -> Facts:
    """What the gate wants to know of a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    hosts = request.headers.get_list("Host")
    return Facts(
        method=request.method or "",
        path=request.path,
        query=request.query or "",
        host=hosts[0] if len(hosts) == 1 else "",
        scheme=request.protocol,
        address=request.remote_ip or "",
        headers=headers,
        prefix=PREFIXES.get(request, ""),
    )


def given(request: HTTPServerRequest) -> dict[str, list[str]]:
    return {name: [one.decode("utf-8", "replace") for one in said] for name, said in request.query_arguments.items()}


@tornado.web.stream_request_body  # the gate comes before the body: a stranger's is not even read
class Gated(tornado.web.RequestHandler):
    """Nobody gets past :meth:`prepare` whom the gatekeeper did not let in. Base of every handler here."""

    allowed: Allowed
    max_body = MAX_BODY
    nonce = ""
    _chunks: list[bytes] | None = None  # None: the body is dropped

    def initialize(self, server: WebServer) -> None:
        self.server = server

    def check_xsrf_cookie(self) -> None:
        """The gatekeeper has checked."""

    def set_default_headers(self) -> None:
        self.nonce = self.nonce or secrets.token_urlsafe(12)
        self.clear_header("Server")
        for name, value in security_headers(self.nonce).items():
            self.set_header(name, value)

    @property
    def prefix(self) -> str:
        """The path under which the client sees this server."""
        return PREFIXES.get(self.request, "")

    async def prepare(self) -> None:
        verdict = await self.in_thread(self.server.gatekeeper.check, facts_of(self.request))
        for cookie in verdict.cookies:
            self.add_header("Set-Cookie", cookie)
        identity = None if isinstance(verdict, Refused) else verdict.identity
        limit = self.max_body if identity is None or identity.role else MAX_STRANGERS_BODY
        length = self.request.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) > limit:
            self.set_header("Connection", "close")
            self.refuse(Problem(413, "Too large", f"a request may have {limit:,} bytes here"))
            return
        connection: Any = self.request.connection
        connection.set_max_body_size(limit)
        if isinstance(verdict, Refused):
            self._turn_away_behind_the_body(verdict)
        else:
            self.allowed, self._chunks = verdict, []

    def _turn_away_behind_the_body(self, verdict: Refused) -> None:
        """The body is read and dropped first: a browser that is still sending may miss an answer that comes earlier,
        and the connection would have to be closed."""

        async def turn_away(*args: str, **kwargs: str) -> None:
            self._turn_away(verdict)

        setattr(self, (self.request.method or "").lower(), turn_away)

    def _turn_away(self, verdict: Refused) -> None:
        for name, value in verdict.headers.items():
            self.set_header(name, value)
        self.set_status(verdict.status)
        if verdict.location:
            self.set_header("Location", self.prefix + verdict.location)
            self.finish()
            return
        self.refuse(Problem(verdict.status, verdict.title, verdict.detail))

    def refuse(self, problem: Problem) -> None:
        """Ends with a problem: JSON for programs, one plain line for people."""
        self.set_status(problem.status)
        if PREFIX in self.request.path or "text/html" not in self.request.headers.get("Accept", ""):
            self.set_header("Content-Type", MEDIA_TYPE)
            self.finish(msgspec.json.encode(problem.body()))
        else:
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{problem.title}: {problem.detail}\n")

    async def in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.server.threads, function, *args)

    def log_exception(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Without the query, which may hold a login link's token."""
        if isinstance(error, CrawlkitError):
            log.warning("%s %s: %s", self.request.method, self.request.path, error)
        elif not isinstance(error, tornado.web.HTTPError | tornado.iostream.StreamClosedError):
            place = f"{self.request.method} {self.request.path}"
            log.error("error while answering %s", place, exc_info=(kind, error, trace))  # type: ignore[arg-type]

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body."""
        if self._chunks is not None:
            self._chunks.append(chunk)

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._chunks or ())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, CrawlkitError):  # a database that does not answer, above all
            return self.refuse(problem_of(error))
        return self.refuse(Problem(status_code, self._reason, "the log of the web UI says more"))
