"""Tasks as lines, for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from crawlkit.libs.rows import AttemptRow, TaskRow


def task_line(row: TaskRow, form: str, more: Mapping[str, Any] | None = None) -> bytes:
    """One line: the URL alone for ``url``, else JSON; ``more``: fields to add, or to say in another way."""
    if form == "url":
        url = str((more or {}).get("url", row.url))
        return url.encode("utf-8", "surrogatepass") + b"\n"
    return msgspec.json.encode({**task_value(row), **(more or {})}) + b"\n"


def task_value(row: TaskRow) -> dict[str, Any]:
    """A task as JSON can say it."""
    return {
        "taskid": row.taskid,
        "project": row.project,
        "url": row.url,
        "status": row.status.name,
        "run": row.run,
        "retried": row.retried,
        "results": row.results,
        "lastcrawltime": row.lastcrawltime,
        "updatetime": row.updatetime,
        "schedule": row.schedule,
        "fetch": row.fetch,
        "process": row.process,
    }


def failure_of(attempt: AttemptRow) -> dict[str, str]:
    """``reason`` and ``exception``, its last line, of an attempt that failed."""
    return {"reason": attempt.reason, "exception": exception_line(attempt)}


def exception_line(attempt: AttemptRow) -> str:
    """The last line of what went wrong in the callback, else of what went wrong in the fetch."""
    process, fetch = track(attempt.process), track(attempt.fetch)
    text = str(process.get("exception") or fetch.get("error") or "").strip()
    return text.splitlines()[-1] if text else ""


def track(text: str) -> dict[str, Any]:
    """What an attempt remembers of its fetch or its callback; nothing when it got there never."""
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}
