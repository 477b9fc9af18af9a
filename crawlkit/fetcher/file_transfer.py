"""The requests for one file, until it is whole or there is no getting on, and its bytes on their way to the disk.

Knows one part and one plan. Which files there are and which tasks want them is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from crawlkit.fetcher import download_rules as rules
from crawlkit.fetcher.curl import Answer, Engine
from crawlkit.fetcher.download_rules import Action, Have
from crawlkit.fetcher.limits import Body
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.response_head import Headers
from crawlkit.fetcher.settings import MIB
from crawlkit.files.base import PartFile
from crawlkit.files.book import Entry
from crawlkit.libs.errors import FetchError, StoreUnavailable
from crawlkit.libs.filenames import path_of

SYNC_EVERY = 4 * MIB  # bytes between syncs: what a crash may cost
MAX_UNSYNCED = 8 * MIB  # the transfer waits for the disk then
MAX_RESTARTS = 3  # from the first byte, within one attempt
#: Ours to write: they say which bytes are wanted.
_OURS = frozenset(
    {"accept-encoding", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"}
)

Send = Callable[[Plan], Awaitable[tuple[Answer, str]]]  # the answer, and the URL it came from in the end
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the task says of the file."""

    url: str
    to: str
    sha256: str | None
    size: int | None
    max_size: int

    def fits(self, entry: Entry) -> bool:
        """Whether this finished file is the one that is wanted."""
        return self.sha256 in (None, entry.sha256) and self.size in (None, entry.bytes)


class Work:
    """The requests for one file, one after the other, until it is whole or there is no getting on."""

    def __init__(
        self, engine: Engine, in_thread: InThread, wish: Wish, part: PartFile, found: Entry | None, plan: Plan,
        taken_over: Callable[[str], Entry | None],
    ) -> None:  # fmt: skip
        self._in_thread = in_thread
        self._engine = engine
        self._part = part
        self._taken_over = taken_over
        self._syncing: asyncio.Task[None] | None = None
        self._asked = 0  # the first byte that the running request asks for
        self._started = False  # the running request's answer has begun
        self._restarts = 0
        self._body: _FileBody | None = None
        self.wish = wish
        self.found = found  # the finished file that is looked at anew, or turned out to be the one
        self.trouble: FetchError | None = None  # of the disk
        self.action: Action | None = None
        self._plan = replace(
            plan,
            headers=[pair for pair in plan.headers if pair[0].lower() not in _OURS],
            sink=self,
        )

    # -- requests ----------------------------------------------------------------------------------------------------

    async def bring(self, send: Send) -> Answer | None:
        """The answer of the last request; all of the file is in the part then, if ``action`` is WRITE.

        ``None``: it was broken off, for it would have brought what we have, or there was nothing to ask for.
        """
        if self._part.size and self._part.size == self._part.note.total:
            self.action = Action.WRITE  # a crash came before it was put into its place
            return None
        misses = 0
        for _ in range(rules.MAX_REQUESTS):
            before = self._part.size
            error = None
            try:
                answer = await self._ask(send)
                if self.action is not Action.WRITE or not self._is_short():
                    return answer
            except FetchError as raised:
                if self.action is Action.KEEP:
                    return None
                error = await self._what_next(raised)
            misses = 0 if self._part.size - before >= rules.MIN_PROGRESS else misses + 1
            if misses > len(rules.PAUSES) or (self.action is not Action.AGAIN and not self._may_go_on()):
                raise error or FetchError("reset", f"the file ended after {self._part.size:,} bytes")
            if self._part.unsynced:
                await self._in_thread(self._part.sync)
            await asyncio.sleep(rules.PAUSES[max(misses - 1, 0)])
        raise FetchError("reset", f"not whole after {rules.MAX_REQUESTS} requests")

    async def _ask(self, send: Send) -> Answer:
        have = self._have()
        known = None
        if self.found is not None:
            known = Have(self.found.bytes, etag=self.found.etag, last_modified=self.found.last_modified)
        self._asked = have.size if have.resumable() else 0
        self._started, self._body, self.action = False, None, None
        headers = self._plan.headers + rules.request_headers(have, known)
        try:
            answer, url = await send(replace(self._plan, headers=headers))
            if not self._started:  # an answer without a body
                self.begin(url, answer.status, answer.headers)
            return answer
        finally:
            await self._synced()

    async def _what_next(self, error: FetchError) -> FetchError:
        """Raises what must not be tried again at once."""
        if self.trouble is not None:
            raise self.trouble
        if error.kind in ("too_large", "file_broken") and self._part.size:
            await self._in_thread(self._part.restart)  # what came is of no use
        if self.action is Action.AGAIN:
            self._restarts += 1
            if self._restarts <= MAX_RESTARTS:
                return error
        if error.kind not in rules.RETRIED:
            raise error
        return error

    def _have(self) -> Have:
        note = self._part.note
        ranges = note.ranges and self._plan.method == "GET"
        return Have(self._part.size, note.total, note.etag, note.last_modified, self.wish.sha256 is not None, ranges)

    def _may_go_on(self) -> bool:
        return self._part.size > 0 and self._have().resumable()

    def _is_short(self) -> bool:
        """Whether a body that ended well was not all of the file: some servers bring a range in pieces."""
        total = self._part.note.total
        return total is not None and self._part.size < total and self._may_go_on()

    # -- answers -----------------------------------------------------------------------------------------------------

    def begin(self, url: str, status: int, headers: Headers) -> Body | None:
        """The head of an answer is here. Called from within the transport, and again when the body had to wait."""
        if self._started:
            return self._body
        self._started = True
        try:
            known = None
            if self.found is not None and not self._asked:
                known = Have(self.found.bytes, etag=self.found.etag, last_modified=self.found.last_modified)
            start = rules.start_of(status, headers, self._asked, self._have(), known)
        except FetchError:
            if self._asked:  # never again by ranges
                self._part.restart()
                self._part.note.ranges = False
            raise
        self.action = start.action
        if start.action is Action.AGAIN:
            self._part.restart()
            raise FetchError("protocol", "the file has changed on the server again and again")
        if start.action is Action.KEEP:
            if status != 304:
                raise FetchError("protocol", "the server sends once more what is there")
            return None
        if start.action is Action.PAGE:
            return None
        self._body = self._write_from(start, url, headers)
        return self._body

    def _write_from(self, start: rules.Start, url: str, headers: Headers) -> _FileBody:
        part = self._part
        name = rules.name_of(headers, url) or rules.url_name(self.wish.url)
        coding = rules.first_of(headers, "content-encoding") or ""
        path = path_of(self.wish.to, name)
        if start.at == 0 and self.found is None:
            self.found = self._taken_over(path)
            if self.found is not None and self.wish.fits(self.found):
                self.action = Action.KEEP
                raise FetchError("protocol", "the file was taken over")
            self.found = None
        raw = start.at > 0 or not coding or rules.is_packed(headers, name)
        total = start.total if raw else None
        self._check_length(total)
        if start.at == 0:
            if part.size:
                part.restart()
            note = part.note
            note.path = path
            note.etag = rules.first_of(headers, "etag")
            note.last_modified = rules.first_of(headers, "last-modified")
            note.final_url = url
            note.content_type = rules.first_of(headers, "content-type") or ""
            note.ranges = note.ranges and raw
        part.note.total = total
        return _FileBody(self, part, raw, self._engine)

    def _check_length(self, total: int | None) -> None:
        """Before a byte is fetched in vain."""
        if total is None:
            return
        if total > self.wish.max_size:
            raise FetchError("too_large", f"file of {total:,} bytes, over {self.wish.max_size:,}")
        if self.wish.size is not None and total != self.wish.size:
            raise FetchError("file_broken", f"the server has {total:,} bytes, {self.wish.size:,} were expected")

    # -- the disk ----------------------------------------------------------------------------------------------------

    def sync_soon(self, body: _FileBody) -> None:
        """Brings to disk what is there, beside the transfer."""
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().create_task(self._sync(body))

    async def _sync(self, body: _FileBody) -> None:
        try:
            await self._in_thread(self._part.sync)
        except OSError as error:
            self.trouble = file_error(error)
        except StoreUnavailable as error:
            self.trouble = FetchError("file", str(error))
        finally:
            self._syncing = None
            body.full = False
            self._engine.room_made()

    async def _synced(self) -> None:
        if self._syncing is not None:
            await asyncio.wait([self._syncing])
        if self.trouble is not None:
            raise self.trouble

    async def end(self) -> None:
        """Keeps for the next attempt what is there."""
        if self._syncing is not None:
            await asyncio.wait([self._syncing])
        await self._in_thread(self._put_down)

    def _put_down(self) -> None:
        part = self._part
        if part.is_open:
            if part.size or not part.note.ranges:
                part.keep()
            else:
                part.discard()


class _FileBody(Body):
    """A body on its way to the disk; nothing of it counts as held in memory."""

    def __init__(self, work: Work, part: PartFile, raw: bool, engine: Engine) -> None:
        super().__init__(work.wish.max_size, engine.inflight)
        self._work = work
        self._part = part
        self.raw = raw

    def write(self, chunk: bytes) -> None:
        part = self._part
        if self._work.trouble is not None:
            raise self._work.trouble
        if part.size + len(chunk) > self.limit:
            raise FetchError("too_large", f"file over {self.limit:,} bytes")
        try:
            part.write(chunk)
        except OSError as error:
            self._work.trouble = file_error(error)
            raise self._work.trouble from None
        if part.unsynced >= max(SYNC_EVERY, part.piece):
            self._work.sync_soon(self)
            self.full = part.unsynced >= max(MAX_UNSYNCED, 2 * part.piece)


def file_error(error: OSError) -> FetchError:
    """What the file system said, as a fetch's error."""
    where = f"{error.filename}: " if error.filename else ""
    return FetchError("file", f"{where}{error.strerror or error}")
