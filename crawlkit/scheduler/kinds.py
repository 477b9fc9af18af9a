"""Which tasks are the scheduler's own, and how they are known. Pure."""

from __future__ import annotations

from crawlkit.libs.messages import AWAIT_CALLBACK
from crawlkit.libs.rows import TaskRow
from crawlkit.libs.task import Process, Schedule, Task

#: Sources of submissions that do not make a project "worked", so on_finished does not follow from them alone [S60].
QUIET_SOURCES = frozenset({"tick", "on_finished"})
INTERNAL_URLS = ("data:,on_", "data:,_on_")
TICK_URL = "data:,_on_cronjob"
TICK_PRIORITY = 2**31 - 1


def is_internal(url: str) -> bool:
    """Whether a task only starts, ends or informs a project: it reaches no host and takes no token."""
    return url.startswith(INTERNAL_URLS)


def is_await(row: TaskRow) -> bool:
    """Whether the task is a request that a callback waits for."""
    return row.process.callback == AWAIT_CALLBACK


def command(project: str, method: str) -> Task:
    """The task that runs ``on_start`` or ``on_finished`` once more [W34]."""
    return Task(
        project=project,
        taskid=method,
        url=f"data:,{method}",
        schedule=Schedule(priority=9, age=0, force_update=True),
        process=Process(callback=method),
    )
