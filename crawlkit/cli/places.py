"""What stands for a set of stores on a command line: a data path, the URL of one store, or of a server for all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawlkit import datapath
from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings

KINDS = ("taskdb", "resultdb", "projectdb", "accountdb", "blobdb", "logdb")
FILES = {"accountdb": "project.db", **{f"{name}db": f"{name}.db" for name in ("task", "result", "project", "blob",
                                                                            "log")}}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Some stores."""

    said: str
    urls: dict[str, str]  # kind -> URL
    folder: Path | None = None  # the data path, when it is one

    def open(self, kind: str, *, read_only: bool) -> Any:
        """The store of that kind."""
        from crawlkit.database import registry

        connect = getattr(registry, f"connect_{kind}")
        if not read_only and self.folder is not None:
            datapath.make_data_path(self.folder)
        return connect(self.urls[kind], read_only=read_only)

    def has(self, kind: str) -> bool:
        """Whether there is anything to read."""
        if kind not in self.urls:
            return False
        return self.folder is None or (self.folder / FILES[kind]).exists()


def place_of(said: str, *, like: Place | None = None) -> Place:
    """A place in words. ``like``: the other side, which says what a file is that does not exist yet."""
    from crawlkit.database.registry import parse
    from crawlkit.libs.url_masking import masked

    if "://" not in said:
        return data_path_place(said, Path(said))
    url = parse(said)
    if url.engine == "memory":
        raise UsageError(
            f"{masked(said)}: what is in memory ends with its process: nothing can be carried from or to it"
        )
    if url.type:
        return _one(said, url.type)
    if url.engine == "sqlite":
        if like is not None and like.folder is None and len(like.urls) <= 2:
            return _one(said, next(iter(like.urls)))
        return _one(said, _kind_of(said, url.rest))
    return server_place(said)


def data_path_place(said: str, folder: Path) -> Place:
    """The stores in a data path."""
    datapath_settings = Settings(data_path=folder)
    return Place(said, {kind: datapath_settings.store_url(kind) for kind in KINDS}, folder)


def server_place(url: str) -> Place:
    """All stores in one database of a server."""
    from crawlkit.libs.url_masking import masked

    settings = Settings(taskdb=url, projectdb=url, resultdb=url, logdb=url)
    return Place(masked(url), {kind: settings.store_url(kind) for kind in KINDS})


def _one(said: str, kind: str) -> Place:
    from crawlkit.libs.url_masking import masked

    kinds = ("projectdb", "accountdb") if kind == "projectdb" and not said.startswith("local") else (kind,)
    return Place(masked(said), dict.fromkeys(kinds, said))


def _kind_of(said: str, rest: str) -> str:
    """What an SQLite file holds."""
    path = rest.partition("?")[0][1:]
    found = []
    if Path(path).is_file():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c,
        ):
            names = c.execute("SELECT name FROM sqlite_master WHERE name LIKE 'crawlkit!_%!_version' ESCAPE '!'")
            found = [name.removeprefix("crawlkit_").removesuffix("_version") for (name,) in names]
    if len(found) != 1:
        raise UsageError(f"{said}: say which store it is: sqlite+taskdb://, +resultdb, +projectdb, +blobdb or +logdb")
    return str(found[0])


PYSPIDER = "pyspider:"


def pyspider_in(said: str) -> list[str] | Path | None:
    """Where a pyspider's databases are, if ``said`` means one: a folder, or URLs with commas between them.

    Without the word in front of it, a folder or file is known by its tables.
    """
    if said.startswith(PYSPIDER):
        rest = said.removeprefix(PYSPIDER)
        return [url.strip() for url in rest.split(",")] if "://" in rest else Path(rest)
    if "://" not in said:
        return Path(said) if _is_pyspiders(Path(said) / FILES["projectdb"]) else None
    file = said.partition("?")[0].partition(":///")[2]
    return [said] if said.startswith("sqlite") and _is_pyspiders(Path(file)) else None


def _is_pyspiders(file: Path) -> bool:
    names: set[str] = set()
    if file.is_file():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection,
        ):
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    ours = any(name.startswith("crawlkit_") for name in names)
    return not ours and any(name == "projectdb" or name.startswith(("taskdb_", "resultdb_")) for name in names)


@contextlib.contextmanager
def standing_still(places: list[Place], name: str) -> Iterator[None]:
    """Holds the locks of those data paths; raises :class:`UsageError` when a crawl runs on one."""
    with contextlib.ExitStack() as stack:
        for folder in dict.fromkeys(folder for place in places for folder in _folders(place)):
            if folder.is_dir() and datapath.is_writable(folder):
                for lock in (datapath.RUN_LOCK, datapath.SCHEDULER_LOCK):
                    stack.callback(datapath.Lock(folder / lock, name).release)
        yield


def _folders(place: Place) -> list[Path]:
    """Data paths whose locks are to be held; beside a file with a lock there was a scheduler once."""
    if place.folder is not None:
        return [place.folder.absolute()]
    beside = [Path(url.partition("?")[0].partition(":///")[2]).absolute().parent
              for url in place.urls.values() if url.startswith("sqlite")]  # fmt: skip
    return [folder for folder in beside if (folder / datapath.SCHEDULER_LOCK).exists()]


def check_idle(place: Place) -> None:
    """Raises :class:`UsageError` when a scheduler has the taskdb, wherever it runs. For a dead one it waits seconds."""
    from crawlkit import wiring
    from crawlkit.scheduler.ownership import Ownership

    taskdb = place.open("taskdb", read_only=False)
    try:
        Ownership(taskdb, wiring.clock()).claim()
    finally:
        taskdb.close()
