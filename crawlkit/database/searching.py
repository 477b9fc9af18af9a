"""What a search means, for every backend: which rows fit, in what order, and how failures are grouped.

Pure: rows in, verdicts out. The doors ask it, so that a backend can only differ in how it finds the rows to try.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from crawlkit.database.rules import NO_REASON, url_matcher
from crawlkit.libs.result_values import fields_of, text_of
from crawlkit.libs.rows import Queue, ResultRow, TaskRow
from crawlkit.libs.searches import FailureGroup, FailurePage, Place, ResultSearch, TaskSearch
from crawlkit.libs.task import Status

WHOLE_CALLBACK = "__call__"  # what a task without a callback runs
_JSON_SIGNS = frozenset('"\\/[]{},:')


def task_fits(search: TaskSearch) -> Callable[[TaskRow], bool]:
    """A test of everything but the reason, which stands in another row."""
    matches = url_matcher(search.url) if search.url is not None else None

    def fits(row: TaskRow) -> bool:
        return (
            (search.project is None or row.project == search.project)
            and (search.status is None or row.status == search.status)
            and (search.since is None or row.updatetime >= search.since)
            and (search.before is None or row.updatetime < search.before)
            and (search.callback is None or (row.process.callback or WHOLE_CALLBACK) == search.callback)
            and (matches is None or matches(row.url))
        )

    return fits


def reason_of(status: Status, last: str | None) -> str:
    """Why a task's last attempt failed; ``""`` when it did not. ``last``: the attempt's own word, None: not kept."""
    return last or (NO_REASON if status is Status.FAILED else "")


def place_of(search: TaskSearch) -> Callable[[TaskRow], Place]:
    """Where a row stands in the order of ``search``: see :func:`sort_key` for the order itself."""
    return attrgetter("url" if search.by_url else "updatetime", "project", "taskid")


def sort_key(place: Place) -> tuple[Any, str, str]:
    """Smaller comes first: by URL from A on, by time from the newest back."""
    first, project, taskid = place
    return (first if isinstance(first, str) else -first, project, taskid)


def waits_for_another_try(row: TaskRow) -> bool:
    """Whether a try of the run that is under way failed, and the next one is not due yet."""
    return row.queue is Queue.TIME and row.retried > 0


class FailureCount:
    """Groups failed tasks by (project, reason); holds a few examples each, the newest."""

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self._groups: dict[tuple[str, str], FailureGroup] = {}
        self._newest: dict[tuple[str, str], list[tuple[float, str, str]]] = {}  # heaps
        self.counted = 0

    def add(self, project: str, reason: str, taskid: str, url: str, updatetime: float) -> None:
        self.counted += 1
        key = (project, reason)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = FailureGroup(project, reason, 0, updatetime, updatetime, [])
            self._newest[key] = []
        group.tasks += 1
        group.first = min(group.first, updatetime)
        group.last = max(group.last, updatetime)
        newest = self._newest[key]
        if len(newest) < self._examples:
            heapq.heappush(newest, (updatetime, taskid, url))
        elif newest and newest[0][0] < updatetime:
            heapq.heapreplace(newest, (updatetime, taskid, url))

    def page(self, failed: int) -> FailurePage:
        """The groups, the largest first."""
        for key, group in self._groups.items():
            group.examples = [(taskid, url) for _, taskid, url in sorted(self._newest[key], reverse=True)]
        groups = sorted(self._groups.values(), key=lambda group: (-group.tasks, group.project, group.reason))
        return FailurePage(groups, max(failed, self.counted), self.counted)


def result_fits(search: ResultSearch) -> Callable[[ResultRow], bool] | None:
    """A test of rows; None when every row fits."""
    if search.text is None and search.field is None:
        return None
    needle = search.text.lower() if search.text is not None else None
    equals = _value_matcher(search.value) if search.field is not None else None

    def fits(row: ResultRow) -> bool:
        fields = fields_of(row)
        if needle is not None and not any(needle in text_of(value).lower() for value in fields.values()):
            return False
        if equals is None:
            return True
        return search.field in fields and equals(text_of(fields[search.field]).lower())

    return fits


def _value_matcher(value: str | None) -> Callable[[str], bool]:
    if value is None:
        return lambda text: True  # the field is there
    wanted = value.lower()
    return url_matcher(wanted) if "*" in wanted else lambda text: text == wanted


def stored_part(text: str) -> str | None:
    """What stands word for word in the JSON of a result with ``text`` in it, in lower case; None: cannot be told.

    For a first sieve in SQL: only ASCII, without what JSON may write otherwise, such as the blanks between its values.
    """
    longest = max(text.split("*"), key=len)
    plain = longest.isascii() and longest.isprintable() and _JSON_SIGNS.isdisjoint(longest)
    return longest.lower() if longest and plain else None
