"""Which projects a dashboard shows, in which order, and what of each. Pure: what the scheduler says comes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import ACTIVE_STATUSES

SPARK_SECONDS = 10
SPEED_SLOTS = 6  # of the sparkline: the last whole minute


class ActionState(Struct):
    """An order that is being carried out."""

    kind: str
    touched: int  # tasks so far


class ProjectItem(Struct, kw_only=True):
    """A project as it stands. Counts are tasks; the windows are [new, success, retry, failed]."""

    name: str
    group: str
    status: str  # TODO, STOP, CHECKING, DEBUG, RUNNING
    paused: str = "running"  # held: by hand; paused, checking: since it only failed; budget: max_pages is reached
    rate: float | None = None  # pages per second; null: unlimited
    burst: float = 3.0
    rate_set: bool = False  # false: the default, which does not hold for loopback hosts
    max_pages: int | None = None  # fetches it may make; null: no bound
    pages: int = 0  # of these, those made
    updated: float = 0
    waiting: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0
    windows: dict[str, list[int]] = field(default_factory=dict)  # 5m, 1h, 1d; those without anything are left out
    all: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # [waiting or running, done, retried, failed]
    fetch_ms: float | None = None  # means of 5 minutes
    process_ms: float | None = None
    spark: list[int] = field(default_factory=list)  # tasks ended in each of the last 30 times 10 s; empty for none
    speed: float = 0.0  # tasks ended per second in the last minute
    eta: list[float | None] | None = None  # seconds [earliest, latest or null]
    action: ActionState | None = None
    auto: dict[str, int] | None = None  # pages of fetch_type auto: plain, browser, check (compared only); null: none
    refused: dict[str, int] | None = None  # submissions and follow-ups not taken on, by reason; null: none
    limits: str | None = None  # JSON of its limits, as crawlkit project set --limit says them; null: none
    error: str | None = None  # why its script does not load


class Totals(Struct):
    """All projects together."""

    projects: int = 0
    active: int = 0
    waiting: int = 0
    leased: int = 0
    failed_5m: int = 0
    speed: float = 0.0


def item_of(name: str, seen: Mapping[str, Any]) -> ProjectItem:
    """A project as the scheduler sees it."""
    action = seen["action"]
    spark = seen["spark"]
    todo = seen["waiting"] + seen["leased"]
    return ProjectItem(
        name=name,
        group=seen["group"],
        status=seen["status"],
        paused=seen["paused"],
        rate=seen["rate"],
        burst=seen["burst"],
        rate_set=seen["rate_set"],
        max_pages=seen.get("max_pages"),
        pages=seen.get("pages", 0),
        updated=seen["updated"],
        waiting=seen["waiting"],
        leased=seen["leased"],
        done=seen["done"],
        failed=seen["failed"],
        windows=seen["windows"],
        all=[todo, *seen["all"][1:]],
        fetch_ms=seen["fetch_ms"],
        process_ms=seen["process_ms"],
        spark=spark,
        speed=round(sum(spark[-SPEED_SLOTS - 1 : -1]) / (SPEED_SLOTS * SPARK_SECONDS), 2),
        eta=None if seen["eta"] is None else [_about(one) for one in seen["eta"]],
        action=None if action is None else ActionState(action["kind"], action["touched"]),
        error=seen["error"],
        auto=seen.get("auto"),
        refused=seen.get("refused"),
        limits=seen.get("limits"),
    )


def item_of_row(row: ProjectRow) -> ProjectItem:
    """A project of which only the projectdb knows."""
    return ProjectItem(
        name=row.name, group=row.group, status=row.status, rate=row.rate, burst=row.burst, rate_set=row.rate_set,
        updated=row.updatetime, max_pages=row.max_pages, limits=row.limits,
    )  # fmt: skip


def _about(seconds: float | None) -> float | None:
    """Two digits are all that a guess is worth, and change less often."""
    if seconds is None or seconds <= 0:
        return seconds
    return round(seconds, 1 - math.floor(math.log10(seconds)))


#: Name of a sort -> what it goes by. Equal ones go by name.
SORTS: dict[str, Callable[[ProjectItem], Any]] = {
    "group": lambda item: item.group.lower(),
    "name": lambda item: "",
    "status": lambda item: (item.status, item.paused),
    "waiting": lambda item: item.waiting + item.leased,
    "done": lambda item: item.done,
    "failed": lambda item: item.failed,
    "speed": lambda item: item.speed,
    "time": lambda item: (item.fetch_ms or 0) + (item.process_ms or 0),
    "eta": lambda item: math.inf if item.eta is None else item.eta[0],
    "updated": lambda item: item.updated,
}


def chosen(
    items: Iterable[ProjectItem], q: str = "", group: str | None = None, status: str = "", sort: str = "group"
) -> list[ProjectItem]:
    """Those that fit, in order. ``status``: one of the five, or ``active``, ``paused``, ``failing``, ``busy``."""
    words = q.lower().split()
    fitting = [
        item
        for item in items
        if (group is None or item.group == group)
        and all(word in item.name.lower() or word in item.group.lower() for word in words)
        and _has_status(item, status)
    ]
    fitting.sort(key=lambda item: item.name)
    fitting.sort(key=SORTS[sort.removeprefix("-")], reverse=sort.startswith("-"))
    if sort == "-name":
        fitting.reverse()
    return fitting


def _has_status(item: ProjectItem, status: str) -> bool:
    if status in ("", item.status):
        return True
    if status == "active":
        return item.status in ACTIVE_STATUSES
    if status == "paused":
        return item.paused != "running"
    if status == "failing":
        return item.error is not None or bool(item.windows.get("1h", [0, 0, 0, 0])[3])
    return status == "busy" and bool(item.waiting + item.leased)


def totals_of(items: Iterable[ProjectItem]) -> Totals:
    """The sums over all projects."""
    sums = Totals()
    for item in items:
        sums.projects += 1
        sums.active += item.status in ACTIVE_STATUSES
        sums.waiting += item.waiting
        sums.leased += item.leased
        sums.failed_5m += item.windows.get("5m", [0, 0, 0, 0])[3]
        sums.speed += item.speed
    sums.speed = round(sums.speed, 1)
    return sums
