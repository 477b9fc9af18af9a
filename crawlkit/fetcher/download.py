"""A file over HTTP: goes on where an earlier try ended, is written as it comes, checked, and put into its place whole.

Holds no body in memory. What an answer means is decided in :mod:`download_rules`; where files lie, in the files room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

from crawlkit.fetcher import attachments, browser_client
from crawlkit.fetcher import download_rules as rules
from crawlkit.fetcher.curl import Answer, Engine
from crawlkit.fetcher.download_rules import Action
from crawlkit.fetcher.file_transfer import Send, Wish, Work, file_error
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.response_head import Headers
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.files.base import Area, Lock, PartFile
from crawlkit.files.book import Entry
from crawlkit.files.places import Places
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError, InvalidTask, StoreUnavailable
from crawlkit.libs.filenames import download_args, path_of
from crawlkit.libs.messages import Dispatch

THREADS = 4
NO_TIMEOUT = 7 * 86_400.0  # seconds; a file may take long, what stands still ends by the low-speed limit
UNLIMITED = 2**62

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Finished:
    """A whole file: what the callback learns of it, and where it came from."""

    file: dict[str, Any]  # path, bytes, sha256
    url: str
    headers: Headers


class Downloader:
    """Fetches files for a fetcher. ``engine`` gives the transport of the running loop."""

    def __init__(self, settings: FetcherSettings, clock: Clock, engine: Callable[[], Engine]) -> None:
        self._settings = settings
        self._clock = clock
        self._engine = engine
        self._places = Places(settings.files_path or "", clock.monotonic)
        self._threads: ThreadPoolExecutor | None = None

    def wish(self, task: Dispatch) -> Wish:
        """What a task wants; raises :class:`FetchError` of kind ``bad_request`` when that cannot be."""
        fetch = task.fetch
        if self._settings.files_path is None:
            raise FetchError("bad_request", "download: this fetcher keeps no files; give it --files-path")
        if task.url[:5].lower() == "data:" or fetch.fetch_type == browser_client.SPLASH_TYPE:
            raise FetchError("bad_request", "download: only http and https URLs, and not by Splash")
        if (fetch.method or "GET").upper() == "HEAD":
            raise FetchError("bad_request", "download: HEAD brings no body")
        try:
            args = download_args(fetch.download)
        except InvalidTask as error:
            raise FetchError("bad_request", str(error)) from None
        limit = UNLIMITED if fetch.max_size is None else max(0, fetch.max_size)
        return Wish(task.url, args["to"], args.get("sha256"), args.get("size"), limit)

    async def fetch(self, task: Dispatch, plan: Plan, send: Send, engine: Engine | None = None) -> Finished | Answer:
        """The file, or the answer of a server that has none (a status of 4xx, 5xx, ...).

        ``engine``: by which ``send`` sends; ``None``: the one for all.

        Raises :class:`FetchError`: ``file_broken`` when length or hash are wrong, ``file`` when the disk or the file's
        place is at fault, and what ``send`` raises. What came so far is kept for the next attempt.
        """
        wish = self.wish(task)
        if task.fetch.timeout is None:
            plan = replace(plan, timeout=NO_TIMEOUT)
        with _file_errors():
            area = await self.in_thread(self._places.area, task.project)
            lock = await self._lock(area, wish)
            try:
                return await self._under_lock(task, wish, area, plan, send, engine or self._engine())
            finally:
                await self.in_thread(lock.release)

    async def keep(self, task: Dispatch, url: str, files: list[tuple[str, str, bytes]]) -> dict[str, dict[str, Any]]:
        """Stores what a browser made of a page: (name, extension, content); says path, bytes and sha256 of each name.

        Raises :class:`FetchError` of kind ``file`` when there is no place for it.
        """
        self.check_kept()
        kept = {}
        with _file_errors():
            area = await self.in_thread(self._places.area, task.project)
            for name, extension, content in files:
                path = attachments.path_of(task.taskid, extension)
                lock = await self._lock(area, Wish(attachments.owner_of(task.taskid), path, None, None, UNLIMITED))
                try:
                    kept[name] = await self.in_thread(
                        attachments.put, area, task.taskid, url, path, content, task.run, self._clock.time()
                    )
                finally:
                    await self.in_thread(lock.release)
        return kept

    def check_kept(self) -> None:
        """Raises :class:`FetchError` of kind ``bad_request`` where no files are kept."""
        if self._settings.files_path is None:
            raise FetchError("bad_request", "screenshot, pdf: this fetcher keeps no files; give it --files-path")

    def close(self) -> None:
        """Lets its threads end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Also when cancelled it returns only when the work is done: nothing is closed under its hands."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "crawlkit-files")
        future = asyncio.wrap_future(self._threads.submit(work, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def _lock(self, area: Area, wish: Wish) -> Lock:
        while True:
            lock = await self.in_thread(area.try_lock, wish.url, wish.to)
            if lock is not None:
                return lock
            await asyncio.sleep(area.look)  # its holder may be another process, which tells nobody

    async def _under_lock(
        self, task: Dispatch, wish: Wish, area: Area, plan: Plan, send: Send, engine: Engine
    ) -> Finished | Answer:
        now = self._clock.time()
        guess = path_of(wish.to, rules.url_name(wish.url))
        found = await self.in_thread(area.finished, wish.url, wish.to, guess, task.run, now)
        if found is not None:
            if found.url not in ("", wish.url) and wish.sha256 != found.sha256:
                raise FetchError("file", f"{area.name_of(found.path)}: is the file of another URL, {found.url:.200}")
            if wish.fits(found) and _is_current(found, wish, task.run, now):
                return await self._keep(area, wish, found)
            if not wish.fits(found):
                found = None
        part = await self.in_thread(area.open_part, wish.url, wish.to)
        work = Work(engine, self.in_thread, wish, part, found, plan, lambda path: _taken_over(area, path, guess))
        try:
            answer = await work.bring(send)
            now = self._clock.time()
            if answer is not None and work.action is Action.PAGE:
                return answer
            if work.action is Action.KEEP and work.found is not None:
                work.found.run, work.found.checked = task.run, now
                await self.in_thread(area.book.put, work.found)
                return await self._keep(area, wish, work.found, answer)
            await self._check(area, wish, part)
            await self.in_thread(part.finish)
            return _finished(area, await self.in_thread(area.settle, part, task.run, now), answer)
        finally:
            await work.end()

    async def _keep(self, area: Area, wish: Wish, entry: Entry, answer: Answer | None = None) -> Finished:
        """A file that was taken over belongs to the first URL that asks for it."""
        if not entry.url:
            entry.url, entry.target = wish.url, wish.to
            await self.in_thread(area.book.put, entry)
        return _finished(area, entry, answer)

    async def _check(self, area: Area, wish: Wish, part: PartFile) -> None:
        """Puts a file aside whose length or hash is wrong, and raises."""
        problem = None
        expected = wish.size if wish.size is not None else part.note.total
        if expected is not None and part.size != expected:
            problem = f"has {part.size:,} bytes, {expected:,} were expected"
        elif wish.sha256 is not None and part.digest() != wish.sha256:
            problem = f"has sha256 {part.digest()}, {wish.sha256} was expected"
        if problem is not None:
            raise FetchError("file_broken", f"{await self.in_thread(area.set_apart, part)}: {problem}")


def _is_current(entry: Entry, wish: Wish, run: int, now: float) -> bool:
    """Whether a finished file needs no look at the server.

    So it is when its hash was given, when there is nothing to ask by, and when this very run has just brought it.
    """
    if wish.sha256 is not None or not (entry.etag or entry.last_modified):
        return True
    return entry.run == run and 0 <= now - entry.checked < rules.FRESH


def _taken_over(area: Area, path: str, looked_at: str) -> Entry | None:
    """A file that was taken over and has the server's name. Reads a row in the event loop, seldom."""
    return area.adopted(path) if path != looked_at else None


@contextmanager
def _file_errors() -> Iterator[None]:
    """Says of a fetch what its place for files says."""
    try:
        yield
    except OSError as error:
        raise file_error(error) from None
    except StoreUnavailable as error:
        raise FetchError("file", str(error)) from None


def _finished(area: Area, entry: Entry, answer: Answer | None = None) -> Finished:
    if answer is not None and answer.status != 304:
        headers = answer.headers
    else:
        known = (("Content-Type", entry.content_type), ("ETag", entry.etag), ("Last-Modified", entry.last_modified))
        headers = [(name, value) for name, value in known if value]
    file = {"path": area.name_of(entry.path), "bytes": entry.bytes, "sha256": entry.sha256}
    return Finished(file, entry.final_url or entry.url, headers)
