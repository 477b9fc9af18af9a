"""What people look for in the stores, and what one look finds: plain data, as the rows are."""

from __future__ import annotations

from msgspec import Struct

from crawlkit.libs.rows import ResultRow, TaskRow
from crawlkit.libs.task import Status


class TaskSearch(Struct, frozen=True):
    """Which tasks somebody looks for. ``None``: any."""

    project: str | None = None
    status: Status | None = None
    url: str | None = None  # a part of it, or a pattern with *; case counts
    callback: str | None = None
    reason: str | None = None  # why the last attempt failed: an error kind, or NO_REASON of the stores' rules
    since: float | None = None  # updated at or after this Unix time
    before: float | None = None  # updated before it
    by_url: bool = False  # False: the one updated last comes first


Place = tuple[float | str, str, str]  # (updatetime, or URL when sorted by it; project; taskid)


class TaskPage(Struct):
    """What one look found."""

    rows: list[TaskRow]
    next: Place | None  # where to go on; None: there is no more
    looked_back_to: float | None = None  # every task updated since then was looked at, no other; None: all were


class FailureGroup(Struct):
    """The tasks of a project that failed for one reason."""

    project: str
    reason: str
    tasks: int
    first: float  # when the earliest of them failed
    last: float
    examples: list[tuple[str, str]]  # (taskid, URL) of the newest


class FailurePage(Struct):
    """Failed tasks by project and reason, the most frequent first."""

    groups: list[FailureGroup]
    failed: int  # tasks that failed, counted or not
    counted: int  # fewer than ``failed`` when there were too many to look at


class ResultSearch(Struct, frozen=True):
    """Which results of a project somebody looks for. Case does not count."""

    project: str
    text: str | None = None  # somewhere in the result or its URL
    field: str | None = None  # a key of the result, or "url"
    value: str | None = None  # what the field is, as text; a pattern with *
    oldest_first: bool = False


class ResultPage(Struct):
    """What one look found."""

    rows: list[ResultRow]
    next: int | None  # the seq to go on behind; None: there is no more
    looked: int  # rows looked at
