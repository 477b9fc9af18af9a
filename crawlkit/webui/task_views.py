"""Tasks and their attempts as the API shows them, without secrets. Pure: rows in, views out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct

from crawlkit.libs.rows import AttemptRow, Lease, Queue, ResultRow, TaskRow
from crawlkit.webui.masks import masked_fetch, masked_track, masked_url


class LastAttempt(Struct):
    """What came of the newest attempt that is remembered."""

    ok: bool
    reason: str
    """Why it failed; empty when it did not."""
    ended: float
    fetch_time: float | None
    """Seconds; null: there was none."""
    process_time: float | None
    """Seconds; null: the callback was not reached."""
    status_code: int | None
    follows: int


class TaskItem(Struct):
    """A task in a list."""

    project: str
    taskid: str
    url: str
    status: str
    """active, success, failed, bad (cancelled)."""
    callback: str
    run: int
    retried: int
    results: int
    lastcrawltime: float
    """Unix time; 0: never."""
    updatetime: float
    due: float | None
    """Unix time before which it does not run; null: it does not wait for a time."""
    last: LastAttempt | None


class AttemptView(Struct):
    """One attempt with everything that is remembered of it."""

    run: int
    attempt: int
    started: float
    ended: float
    ok: bool
    node: str
    script: str
    """Version of the script that ran."""
    reason: str
    fetch: dict[str, Any]
    process: dict[str, Any]


class LeaseView(Struct):
    """Who has the task in hand."""

    node: str
    """Empty until a node has said that it holds it."""
    since: float
    until: float
    attempt: int


class ResultView(Struct):
    """One stored result."""

    seq: int
    run: int
    n: int
    url: str
    result: Any
    updatetime: float


class TaskDetail(Struct):
    """A task with all that is known of it. Secrets are masked."""

    task: TaskItem
    priority: int
    save: Any
    schedule: dict[str, Any]
    fetch: dict[str, Any]
    process: dict[str, Any]
    lease: LeaseView | None
    attempts: list[AttemptView]
    results: list[ResultView]
    results_total: int


def task_item(row: TaskRow, last: AttemptRow | None) -> TaskItem:
    """The row in a list, with its newest attempt."""
    return TaskItem(
        project=row.project,
        taskid=row.taskid,
        url=masked_url(row.url),
        status=row.status.name.lower(),
        callback=row.process.callback or "__call__",
        run=row.run,
        retried=row.retried,
        results=row.results,
        lastcrawltime=row.lastcrawltime,
        updatetime=row.updatetime,
        due=row.rank if row.queue is Queue.TIME else None,
        last=_last(last) if last is not None else None,
    )


def task_detail(
    row: TaskRow, lease: Lease | None, attempts: list[AttemptRow], results: list[ResultRow], shown: int
) -> TaskDetail:
    """Everything about one task; ``shown`` of its results."""
    return TaskDetail(
        task=task_item(row, attempts[0] if attempts else None),
        priority=row.schedule.priority,
        save=_json(row.save) if row.save is not None else None,
        schedule=msgspec.to_builtins(row.schedule),
        fetch=masked_fetch(row.fetch),
        process=msgspec.to_builtins(row.process),
        lease=LeaseView(lease.node, lease.since, lease.until, lease.attempt) if lease is not None else None,
        attempts=[attempt_view(one) for one in attempts],
        results=[result_view(one) for one in results[:shown]],
        results_total=len(results),
    )


def attempt_view(row: AttemptRow) -> AttemptView:
    """An attempt, its tracks as objects."""
    return AttemptView(
        row.run, row.attempt, row.started, row.ended, row.ok, row.node, row.script, row.reason,
        masked_track(_track(row.fetch)), _track(row.process),
    )  # fmt: skip


def result_view(row: ResultRow) -> ResultView:
    """A stored result as JSON; text that is none stays text."""
    return ResultView(row.seq, row.run, row.n, masked_url(row.url), _json(row.result), row.updatetime)


def _last(row: AttemptRow) -> LastAttempt:
    fetch, process = _track(row.fetch), _track(row.process)
    return LastAttempt(
        ok=row.ok,
        reason=row.reason,
        ended=row.ended,
        fetch_time=_number(fetch.get("time")) if fetch else None,
        process_time=_number(process.get("time")) if process else None,
        status_code=int(_number(fetch.get("status_code"))) or None,
        follows=int(_number(process.get("follows"))),
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _track(text: str) -> dict[str, Any]:
    value = _json(text) if text else {}
    return value if isinstance(value, dict) else {}


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)  # NaN is no JSON, and would end up as null
    except (ValueError, RecursionError):
        return text
