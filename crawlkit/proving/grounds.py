"""Where something is proven: in places of its own on the user's servers, which are gone afterwards.

What the user has is never opened: SQLite and local queues are in a folder that was made for this, on a server there is
a database and a prefix of queues of a name that nobody has.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from crawlkit import wiring
from crawlkit.database import registry, scratch
from crawlkit.libs.errors import CrawlkitError, ServiceUnreachable, UsageError
from crawlkit.libs.messages import QUEUE_NAMES, status_queue_name
from crawlkit.libs.url_masking import hidden, masked
from crawlkit.message_queue import scratch as queues
from crawlkit.proving.machine import sqlite_words
from crawlkit.proving.serving import free_port
from crawlkit.settings import Settings

KINDS = ("taskdb", "projectdb", "resultdb", "logdb")
REACH = 3.0  # seconds that the broker is waited for before anything begins


Afterwards = Callable[[str, str, Callable[[], object]], "_Later"]


@dataclass
class Grounds:
    """``settings`` are those of a ``crawlkit all``; ``database`` and ``queues`` say for people what is used."""

    settings: Settings
    database: str
    queues: str
    database_urls: list[str] = field(default_factory=list)  # of servers, one for each
    queue_url: str = ""  # of a broker
    kept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # what could not be taken away, why, and how it is done by hand


@contextmanager
def grounds(
    settings: Settings,
    folder: Path,
    held: Callable[[], AbstractContextManager[None]],
    *,
    empty_database: str | None = None,
    partitions: int = 1,
    keep: bool = False,
    called: str = "crawlkit_bench",
) -> Iterator[Grounds]:
    """Makes them after the user's ``settings``, with all files in ``folder``, and takes them away at the end.

    ``held()`` is entered while something is taken away. ``empty_database``: the name of one on the user's server to be
    used in place of a new one, which is left empty again. ``keep``: databases and folder stay, and ``kept`` says where.
    ``called``: what the name of all of it begins with.
    Raises :class:`UsageError` with what to do, :class:`ServiceUnreachable`.
    """
    name = f"{called}_{secrets.token_hex(4)}"
    found = Grounds(_own_settings(settings, folder), "", "")
    with ExitStack() as stack:

        def afterwards(what: str, by_hand: str, work: Callable[[], object]) -> _Later:
            later = _Later(what, by_hand, work)
            stack.callback(later.do, found, held)
            return later

        if settings.message_queue is not None and queues.has_prefix(settings.message_queue):
            url = found.settings.message_queue = queues.with_prefix(settings.message_queue, name)
            names = [*QUEUE_NAMES, *map(status_queue_name, range(1, partitions))]
            later = afterwards(f"queues with the prefix {name} at {masked(settings.message_queue)}", "",
                               lambda: asyncio.run(queues.remove(url, names)))  # fmt: skip
            with later.unless_refused():
                _ask(found.settings)
            found.queue_url, found.queues = url, masked(url)
        else:
            found.queues = _own_queues(found.settings, settings.message_queue)
        databases = _databases(found, settings, name, folder, afterwards, empty_database)
        if keep:
            for later in databases:
                later.wanted = False
            found.kept = [f"database {masked(url)}" for url in found.database_urls]
        yield found


def _own_settings(settings: Settings, folder: Path) -> Settings:
    """Those of the user, without a place where data of the user's is or goes to."""
    return dataclasses.replace(
        settings, data_path=folder / "data", database=None, taskdb=None, projectdb=None, resultdb=None, logdb=None,
        message_queue=None, queue_key=None, secret_key=None, sink=(), logging_config=None, config=None, debug=False,
        server=None, phantomjs_proxy=None, puppeteer_proxy=None, given=frozenset({"data_path"}),
    )  # fmt: skip


def _own_queues(settings: Settings, url: str | None) -> str:
    """Queues that ``crawlkit all`` serves itself, in words."""
    if url is not None and url.startswith("memory:"):
        raise UsageError("message queue memory://: crawlkit all is several processes: leave --message-queue out")
    if url is not None and url.startswith("manager:"):
        settings.message_queue = f"manager://:{secrets.token_hex(20)}@127.0.0.1:{free_port()}"
        return "manager://127.0.0.1, served by crawlkit all"
    return "a local socket, served by crawlkit all"


def _ask(settings: Settings) -> None:
    """Whether the broker answers, and lets this user make queues of that name."""

    async def ask() -> None:
        broker = wiring.broker(settings, "bench", patience=REACH)
        try:
            await broker.connect()
            await broker.epoch()
        finally:
            await broker.close()

    try:
        asyncio.run(ask())
    except UsageError:
        raise
    except CrawlkitError as error:
        raise ServiceUnreachable(str(error)) from None


def _databases(
    found: Grounds,
    settings: Settings,
    name: str,
    folder: Path,
    afterwards: Afterwards,
    empty_database: str | None,
) -> list[_Later]:
    """A database on each server that the user named, and SQLite for the rest; returns what takes them away."""
    made: dict[tuple[object, ...], str] = {}  # server -> what it is
    later: list[_Later] = []
    here: list[str] = []
    for kind in KINDS:
        url = settings.store_url(kind)
        server = None if settings.is_here(kind) else scratch.server_of(url)
        if server is None:
            _check_file(url, kind)
            here.append(kind)
            continue
        own = scratch.with_database(url, empty_database or name)
        setattr(found.settings, kind, own)
        key = (server.kind, server.host, server.port, server.user, tuple(sorted(server.options.items())))
        if key not in made:
            begun, label = _begin(own, afterwards, empty_database)
            later.append(begun)
            made[key] = f"{label} at {masked(own)}"
            found.database_urls.append(own)
    words = list(made.values())
    if here:
        words.append(sqlite_words(folder) + (f" for {' and '.join(here)}" if made else ""))
    if empty_database is not None and not made:
        raise UsageError("--empty-database: there is no server: name it with --database")
    found.database = "; ".join(words)
    return later


def _check_file(url: str, kind: str) -> None:
    """Raises :class:`UsageError` where SQLite in a folder is no stand-in."""
    parts = registry.check(url, kind)
    if parts.engine in ("sqlite", "local") and parts.rest.partition("?")[0] not in ("", "/", "/:memory:"):
        return
    if parts.engine in ("sqlite", "memory"):
        raise UsageError(f"{kind} {masked(url)}: crawlkit all is several processes, and a memory is of one alone")
    raise UsageError(f"{kind} {masked(url)}: nobody knows here how to make a database of its own there")


def _begin(url: str, afterwards: Afterwards, empty_database: str | None) -> tuple[_Later, str]:
    """Makes the database, or looks whether it is empty; returns what takes it away, and what the server calls
    itself."""
    if empty_database is None:
        # Before it is made: a signal may come in that very moment.
        name = scratch.database_of(url)
        later = afterwards(f"database {masked(url)}", f"DROP DATABASE {name}", lambda: scratch.drop(url))
        try:
            with later.unless_refused():
                return later, scratch.make(url)
        except ServiceUnreachable:
            raise
        except UsageError as error:
            raise UsageError(f"{error}; or name an empty database with --empty-database NAME") from None
    if tables := scratch.tables(url):
        raise UsageError(
            f"--empty-database {empty_database}: is not empty, there are {', '.join(tables[:5])}"
            + (" and more" if len(tables) > 5 else "")
        )
    later = afterwards(f"tables in {masked(url)}", "DROP TABLE each of them", lambda: scratch.clear(url))
    return later, scratch.make(url)  # makes nothing: it is there


class _Later:
    """Something that is to be taken away at the end."""

    def __init__(self, what: str, by_hand: str, work: Callable[[], object]) -> None:
        self._what, self._by_hand, self._work = what, by_hand, work
        self.wanted = True

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """While it is made: where that is refused nothing is there."""
        try:
            yield
        except CrawlkitError:
            self.wanted = False
            raise

    def do(self, found: Grounds, held: Callable[[], AbstractContextManager[None]]) -> None:
        if not self.wanted:
            return
        with held():
            try:
                self._work()
            except (CrawlkitError, OSError) as error:
                way = f"; by hand: {self._by_hand}" if self._by_hand else ""
                words = hidden(" ".join(str(error).split()), found.settings.queue_url())
                found.left.append(f"{self._what}: {words}{way}")


def remove_folder(folder: Path, left: list[str]) -> None:
    """Takes a folder away; what stays is added to ``left``."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        left.append(f"folder {folder}: {error.strerror}")
