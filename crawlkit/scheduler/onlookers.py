"""What people ask of a running scheduler beside its turns: a cached overview, and counts before an order is given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import msgspec

from crawlkit.database.base import TaskStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.task import JSONDict, Status
from crawlkit.scheduler.actions import AT_ONCE, BULK, DROP
from crawlkit.scheduler.engine import Engine

FRESH = 1.0  # seconds that an overview is good for
MAX_REASONS = 100_000


class OverviewCache:
    """The newest overview as JSON, made once a second however many ask. ``thread``: where the engine may be read."""

    def __init__(self, engine: Engine, clock: Clock, thread: Executor) -> None:
        self._engine, self._clock, self._thread = engine, clock, thread
        self._lock = asyncio.Lock()
        self._made: msgspec.Raw | None = None
        self._at = float("-inf")

    async def get(self) -> msgspec.Raw:
        """See :meth:`Engine.overview`. While the store is away, what was seen last."""
        async with self._lock:
            if self._made is None or self._clock.monotonic() - self._at >= FRESH:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._thread, self._engine.overview, self._clock.time())
                text = msgspec.Raw(msgspec.json.encode(found))
                if not found["loaded"]:
                    return self._made or text
                self._made, self._at = text, self._clock.monotonic()
            return self._made

    def forget(self) -> None:
        """Something was ordered: whoever looks now wants to see it."""
        self._at = float("-inf")


async def count_order(
    taskdb: TaskStore, seen: Mapping[str, Any], project: str, kind: str, reason: str | None = None
) -> JSONDict:
    """How many tasks an order would touch, ``{"tasks": n, "leased": n}``; leased ones are let come to their end.

    ``seen``: the project in the engine's snapshot. Asks the store beside the thread of the turns: it may take a while.
    """
    if kind == "retry_failed" and reason is not None:
        groups = await asyncio.to_thread(taskdb.failures, project, MAX_REASONS)
        tasks = sum(n for why, n, _ in groups if why == reason)
        late = await asyncio.to_thread(taskdb.failure_groups, project, 0, retrying=True)
        tasks += sum(group.tasks for group in late.groups if group.reason == reason)
    elif kind == "retry_failed":
        tasks = await asyncio.to_thread(taskdb.count, project, Status.FAILED)
        tasks += (await asyncio.to_thread(taskdb.failure_groups, project, 0, retrying=True)).counted
    elif kind in ("restart", DROP):
        tasks = await asyncio.to_thread(taskdb.count, project)
    elif kind in ("clear", "pause", "resume"):
        tasks = max(0, seen.get("waiting", 0))
    else:
        raise ValueError(f"action {kind!r}: use one of {', '.join((*BULK, *AT_ONCE, DROP))}")
    return {"tasks": tasks, "leased": seen.get("leased", 0)}
