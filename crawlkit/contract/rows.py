"""Rows to put into stores."""

from __future__ import annotations

from typing import Any

from crawlkit.database.base import AttemptRow, Lease, Progress, Queue, ResultSet, TaskRow, TickRow, Writes
from crawlkit.libs.task import Status


def task(taskid: str, project: str = "p", **fields: Any) -> TaskRow:
    fields.setdefault("url", f"http://example.com/{taskid}")
    return TaskRow(project=project, taskid=taskid, **fields)


def waiting(taskid: str, seq: int, rank: float = 0, queue: Queue = Queue.READY, **fields: Any) -> TaskRow:
    return task(taskid, seq=seq, rank=rank, queue=queue, **fields)


def progress(row: TaskRow, **fields: Any) -> Progress:
    values = {name: getattr(row, name) for name in Progress.__struct_fields__}
    return Progress(**(values | fields))


def attempt(taskid: str, run: int = 1, number: int = 1, project: str = "p", **fields: Any) -> AttemptRow:
    values: dict[str, Any] = {
        "started": 1.0, "ended": 2.0, "ok": True, "node": "n", "script": "s", "reason": "", "fetch": "{}",
        "process": "{}",
    } | fields  # fmt: skip
    return AttemptRow(project=project, taskid=taskid, run=run, attempt=number, **values)


def lease(taskid: str, project: str = "p", **fields: Any) -> Lease:
    values: dict[str, Any] = {"run": 1, "attempt": 1, "node": "", "until": 9.0} | fields
    return Lease(project=project, taskid=taskid, **values)


def tick(method: str, instant: float, project: str = "p", taskid: str = "t", reason: str = "") -> TickRow:
    return TickRow(project, method, instant, taskid, reason)


def writes(**lists: Any) -> Writes:
    return Writes(**lists)


def results(
    taskid: str,
    *texts: str,
    project: str = "p",
    run: int = 1,
    attempt: int = 1,
    first: int = 0,
    last: bool = True,
    updatetime: float = 1.0,
    keys: str = "",
    policy: str = "",
) -> ResultSet:
    """``keys``: the keys of the results, blank-separated, ``-`` for none; or those are the texts when only a policy is
    given."""
    key_texts = [key.replace("-", "") for key in keys.split()] if keys else list(texts) if policy else []
    place = (project, taskid, run, attempt, f"http://x/{taskid}", first)
    return ResultSet(*place, list(texts), last, updatetime, key_texts, policy)


DONE = {"status": Status.SUCCESS, "queue": None}
