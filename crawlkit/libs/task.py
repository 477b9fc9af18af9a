"""What a task is: typed, validated, plain data.

A task never saves, sends or runs itself. Times are Unix seconds, durations seconds, sizes bytes.
"""

from __future__ import annotations

import enum
import hashlib
import re
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from crawlkit.libs.browse import Browse
from crawlkit.libs.errors import InvalidProject, InvalidTask

try:  # the interpreter's own md5: half the price of OpenSSL's for a text as short as a URL
    from _md5 import md5 as _md5  # type: ignore[import-not-found]
except ImportError:
    _md5 = partial(hashlib.md5, usedforsecurity=False)
md5 = _md5


MAX_URL = 65_536
MAX_TASK = 2 * 2**20  # bytes with the body it sends and its save
MAX_TASKID = 64
JSONDict = dict[str, Any]
T = TypeVar("T")


class Status(enum.IntEnum):
    """The state of a task's latest run; pyspider's numbers [S21]."""

    ACTIVE = 1
    SUCCESS = 2
    FAILED = 3
    BAD = 4  # cancelled


class Schedule(Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """When a task runs, and how often it is tried [H54]."""

    priority: int = 0  # higher first
    retries: int = 3  # tries after the first
    retried: int = 0  # tries used up in this run
    exetime: float = 0  # not before this time
    age: float = -1  # seconds a finished run stays fresh; -1: for ever
    itag: str | int | float | None = None  # a changed tag makes a known task run again
    force_update: bool = False
    auto_recrawl: bool = False
    cancel: bool = False
    depth: int = 0  # links from where the crawl began; counted by the scheduler while the project bounds it
    counted: str | None = None  # the host under which the scheduler counted it for max_tasks; None: it did not


class Fetch(Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """How a page is fetched [H42-H52]. ``None`` means: not said, so the project's or the fetcher's default holds."""

    method: str | None = None
    headers: dict[str, str] | None = None
    user_agent: str | None = None
    data: bytes | None = None
    cookies: dict[str, str] | None = None
    timeout: float | None = None
    connect_timeout: float | None = None
    use_gzip: bool | None = None
    validate_cert: bool | None = None
    allow_redirects: bool | None = None
    max_redirects: int | None = None
    robots_txt: bool | None = None
    proxy: str | bool | list[str] | None = None  # False: no proxy, not even the fetcher's own; a list takes turns
    etag: str | bool | None = None
    last_modified: str | bool | None = None
    max_size: int | None = None  # bytes of body, after decompression
    fetch_type: str | None = None
    js_script: str | None = None
    js_run_at: str | None = None
    js_viewport_width: int | None = None
    js_viewport_height: int | None = None
    load_images: bool | None = None
    save: Any = None  # JSON-able; arrives as response.save
    session: str | None = None  # a named cookie jar of the project, kept between tasks
    download: dict[str, Any] | None = None  # the body becomes a file: to, sha256, size
    browser: Browse | None = None  # what only a browser can do


class Process(Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Which callback gets the response."""

    callback: str | None = None  # None: __call__
    process_time_limit: float | None = None


class Task(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A task as submitted. A part that is ``None`` was not given: a restart keeps the stored one [S40]."""

    project: str
    taskid: str
    url: str
    schedule: Schedule | None = None
    fetch: Fetch | None = None
    process: Process | None = None


NO_SCHEDULE = Schedule()
NO_FETCH = Fetch()
NO_PROCESS = Process()

MAX_HOST = 255  # characters
MAX_PARTITIONS = 256  # of a taskdb: each has a queue of its own
# A host in its one spelling: a name whose last label is no number, or four numbers; without a default port.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_is_plain = re.compile(
    rf"https?://((?:(?:[a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*|{_BYTE}(?:\.{_BYTE}){{3}})(?::(?!80\b|443\b)[1-9][0-9]{{0,4}})?)"
    r"(?=[/?#]|\Z)"
).match
_NAME = re.compile(r"\w{1,64}\Z")
PROJECT_STATUSES = ("TODO", "STOP", "CHECKING", "DEBUG", "RUNNING")
ACTIVE_STATUSES = frozenset({"DEBUG", "RUNNING"})


def check_project_name(name: str) -> str:
    """Returns ``name``, or raises :class:`InvalidProject` [S02]."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidProject(f"project name {name!r}: use 1 to 64 letters, digits and underscores")
    return name


def convert(value: Any, kind: type[T], path: str = "task") -> T:
    """``value`` (builtins) as ``kind``; raises :class:`InvalidTask` that names the path of what is wrong."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        problem, _, where = str(error).partition(" - at `$")
        raise InvalidTask((path + where.rstrip("`")).lstrip("."), problem) from None


def task_from_dict(value: JSONDict) -> Task:
    """A checked :class:`Task` from a dict in pyspider's shape; raises :class:`InvalidTask`.

    In ``fetch``, what is for a browser may also be said as the arguments of ``self.crawl`` say it.
    """
    if isinstance(value.get("fetch"), dict):
        value = {**value, "fetch": _nested(value["fetch"])}
    task = convert(value, Task, "task")
    check_task(task)
    check_size(task)
    return task


def _nested(fetch: JSONDict) -> JSONDict:
    from crawlkit.libs.browse_args import NAMES, browse_of

    if NAMES.isdisjoint(fetch):
        return fetch
    others = {name: value for name, value in fetch.items() if name not in NAMES}
    return {**others, "browser": browse_of(fetch, fetch.get("browser"))}


def check_size(task: Task) -> None:
    """Raises :class:`InvalidTask` for a task that no queue would carry: over :data:`MAX_TASK`, a number too large."""
    try:
        size = len(msgspec.msgpack.encode(task))
    except (OverflowError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTask("task", f"cannot be sent: {error}") from None
    if size > MAX_TASK:
        raise InvalidTask("task", f"is {size:,} bytes with its body and save, over the limit of {MAX_TASK:,}")


def check_task(task: Task) -> None:
    """Raises :class:`InvalidTask` for what types alone cannot say."""
    if not task.project or not _NAME.match(task.project):
        raise InvalidTask("task.project", "use 1 to 64 letters, digits and underscores")
    if not task.taskid or len(task.taskid) > MAX_TASKID:
        raise InvalidTask("task.taskid", f"use 1 to {MAX_TASKID} characters")
    if not task.url:
        raise InvalidTask("task.url", "is empty")
    if len(task.url) > MAX_URL:
        raise InvalidTask("task.url", f"is longer than {MAX_URL} characters")
    for name, text in (("taskid", task.taskid), ("url", task.url)):
        if not _is_clean(text):
            raise InvalidTask(f"task.{name}", "holds a NUL or a lone surrogate")
    if task.fetch is not None and task.fetch.browser is not None:
        from crawlkit.libs.browse_args import check  # few tasks need it, every worker would load it

        check(task.fetch.browser)
    schedule = task.schedule
    if schedule is not None:
        if not -(2**31) <= schedule.priority < 2**31:
            raise InvalidTask("task.schedule.priority", "use a whole number of 32 bits")
        if not 0 <= schedule.depth < 2**31:
            raise InvalidTask("task.schedule.depth", "use a whole number of links, 0 or more")
        for field in ("exetime", "age"):
            number = getattr(schedule, field)
            if number != number or abs(number) > 1e12:
                raise InvalidTask(f"task.schedule.{field}", "use a finite number of seconds")


def _is_clean(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def taskid_of(url: str, method: str | None = None, data: bytes | None = None) -> str:
    """The identity of a request: md5 of the URL for a GET without a body, else of (URL, method, body)."""
    if data is None and (method is None or method == "GET"):
        taskid: str = md5(url.encode("utf-8", "surrogatepass")).hexdigest()
        return taskid
    whole = hashlib.md5(usedforsecurity=False)
    for piece in (url.encode("utf-8", "surrogatepass"), (method or "GET").encode(), data or b""):
        whole.update(b"%d:" % len(piece))
        whole.update(piece)
    return whole.hexdigest()


def host_of(url: str) -> str:
    """What politeness counts by: ``host`` or ``host:port``, ``""`` for a URL without one (``data:``).

    One spelling for one server, as the fetcher asks it: in lower case and IDNA, percent-decoded, an address in its
    usual form, without a default port, without a dot at the end. What is no URL keeps the spelling that it has. Cut
    to 255 characters: no longer one is anybody's, and an index must hold it.
    """
    plain = _is_plain(url)
    if plain is None:
        if url.startswith("data:"):
            return ""
        plain = _is_plain(url.lower()) if url.isascii() else None
    return (_spelled(url) if plain is None else plain[1])[:MAX_HOST]


def _spelled(url: str) -> str:
    import ada_url  # few URLs need it, and every command would load it

    try:
        parts = ada_url.URL(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        return _as_it_is(url)
    name = name.removesuffix(".") or name
    return f"{name}:{port}" if port else name


def _as_it_is(url: str) -> str:
    try:
        host = urlsplit(url).netloc
    except ValueError:
        return ""
    return host.rpartition("@")[2].lower()


def partition_of(host: str, partitions: int) -> int:
    """Which scheduler owns the host: a stable number below ``partitions``."""
    if partitions <= 1:
        return 0
    return (
        int.from_bytes(hashlib.blake2b(host.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")
        % partitions
    )


def home_of(project: str, partitions: int, host: str = "") -> int:
    """The partition of a task of that host, or, without one, of what a project has once: its crons, its questions."""
    return partition_of(host or project, partitions)
