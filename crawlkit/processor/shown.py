"""A task as its script sees it, and the URL that its results are filed under.

Pure: a Dispatch in, dicts and text out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlkit.libs.crawl_args import shown_body
from crawlkit.libs.messages import Dispatch
from crawlkit.libs.task import Fetch

if TYPE_CHECKING:
    from crawlkit.libs.crawler import TaskDict


def filed_under(task: Dispatch) -> str:
    """The URL of the task's results: its own, or the one that a message came with [H18]."""
    save = task.fetch.save
    if task.callback == "_on_message" and isinstance(save, list) and len(save) > 2 and isinstance(save[2], str):
        return save[2]
    return task.url


def task_dict(dispatch: Dispatch) -> TaskDict:
    """``self.task`` in pyspider's shape."""
    return {
        "project": dispatch.project,
        "taskid": dispatch.taskid,
        "url": dispatch.url,
        "group": dispatch.group,
        "lastcrawltime": dispatch.lastcrawltime or None,
        "schedule": msgspec.to_builtins(dispatch.schedule),
        "fetch": _fetch_dict(dispatch.fetch),
        "process": {} if dispatch.callback is None else {"callback": dispatch.callback},
    }


def _fetch_dict(fetch: Fetch) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(fetch, builtin_types=(bytes,))
    if fetch.data is not None:
        said["data"] = shown_body(fetch.data)
    if fetch.save is not None:
        said["save"] = fetch.save
    return said
