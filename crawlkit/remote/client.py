"""Speaks to the JSON API of a web UI: one kept connection, a token, and refusals as crawlkit's own errors.

Synchronous; not for several threads.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from crawlkit import __version__
from crawlkit.libs.errors import CrawlkitError, ServiceUnreachable, UsageError

API = "/api/v1"
PIECE = 64 * 1024  # bytes
PAGE = 500  # the most that a list gives at once
MAX_ANSWER = 64 * 2**20
IDLE = 30.0  # seconds after which a kept connection is not used again: servers and proxies close them then


class Refused(CrawlkitError):
    """The server said no. ``problem``: the members of its answer (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        said = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        super().__init__(said)


class Client:
    """``url``: the web UI's address, with its path behind a proxy. Raises :class:`UsageError` for another kind of URL.

    Every call raises :class:`ServiceUnreachable` when nothing answers as a crawlkit, and :class:`Refused` for what the
    server refuses; a token that it refuses is :class:`ServiceUnreachable`, for another would do.
    """

    def __init__(self, url: str, token: str, timeout: float = 60.0) -> None:
        self.url = checked_url(url)
        parts = urlsplit(self.url)
        self._secure = parts.scheme == "https"
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._token = token
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def get(self, path: str, **query: Any) -> Any:
        """The answer of a GET; ``None`` in ``query`` is left out."""
        return self._json("GET", path, query, None)

    def find(self, path: str, **query: Any) -> Any:
        """The same; ``None`` for what is not there."""
        try:
            return self.get(path, **query)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of another method."""
        return self._json(method, path, {}, body)

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """The items of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=PAGE, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """A file, piece by piece. One that ends too early raises :class:`ServiceUnreachable`."""
        response = self._ask("GET", path, query, None)
        if response.status != 200:
            raise self._refusal(response, self._whole(response))
        try:
            while piece := response.read1(PIECE):
                yield piece
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServiceUnreachable(f"{self.url}: the answer broke off ({error})") from None

    def close(self) -> None:
        """Closes the connection; the next call opens one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _json(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        response = self._ask(method, path, query, body)
        data = self._whole(response)
        if response.status >= 300:
            raise self._refusal(response, data)
        if not data:
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise self._stranger() from None

    def _ask(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> http.client.HTTPResponse:
        said = {name: value for name, value in query.items() if value is not None}
        target = self._path + API + quote(path, safe="/{}:.,~") + (f"?{urlencode(said, doseq=True)}" if said else "")
        headers = {"Accept": "application/json", "User-Agent": f"crawlkit/{__version__}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        if time.monotonic() - self._used > IDLE:
            self.close()
        for last_try in (False, True):
            fresh = self._connection is None
            connection = self._connection = self._connection or self._connect()
            try:
                connection.request(method, target, data, headers)
                response = connection.getresponse()
                self._used = time.monotonic()
                return response
            except (ConnectionError, http.client.BadStatusLine) as error:
                self.close()
                if fresh or last_try or method == "POST":  # a kept connection may have been closed meanwhile
                    raise ServiceUnreachable(f"{self.url} does not answer ({error or type(error).__name__})") from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise ServiceUnreachable(f"{self.url} does not answer ({error or type(error).__name__})") from None
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _whole(self, response: http.client.HTTPResponse) -> bytes:
        try:
            data = response.read(MAX_ANSWER + 1)
            if response.length and len(data) <= MAX_ANSWER:  # a read of so many bytes does not tell
                raise http.client.IncompleteRead(data, response.length)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServiceUnreachable(f"{self.url}: the answer broke off ({error})") from None
        if len(data) > MAX_ANSWER:
            self.close()
            raise ServiceUnreachable(f"{self.url}: the answer is over {MAX_ANSWER:,} bytes")
        return data

    def _refusal(self, response: http.client.HTTPResponse, data: bytes) -> CrawlkitError:
        status = response.status
        if 300 <= status < 400:  # not followed: the token goes nowhere but where it was meant to go
            place = str(response.getheader("Location"))[:200]
            return ServiceUnreachable(f"{self.url}: leads to {place}; if that is it, give that address")
        try:
            problem = json.loads(data)
        except ValueError:
            return self._stranger(status)
        if not isinstance(problem, dict) or "title" not in problem:
            return self._stranger(status)
        if status == 401:
            return ServiceUnreachable(f"{self.url}: {problem.get('detail') or problem['title']}")
        return Refused(status, problem)

    def _stranger(self, status: int = 200) -> ServiceUnreachable:
        return ServiceUnreachable(f"{self.url}: what answers there is no web UI of crawlkit (HTTP {status})")


def checked_url(url: str) -> str:
    """The URL without a slash at its end; raises :class:`UsageError`."""
    try:
        parts = urlsplit(url.strip())
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(f"server {url!r:.200}: use the address of a web UI, like http://127.0.0.1:5000")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError("server: give the address alone; a token belongs in CRAWLKIT_TOKEN, or to `crawlkit login`")
    return parts.geturl().rstrip("/")
