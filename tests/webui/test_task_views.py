"""Tasks and attempts as the API shows them: odd rows end nothing."""

from __future__ import annotations

import pytest

from crawlkit.libs.rows import AttemptRow, Queue, ResultRow, TaskRow
from crawlkit.libs.task import Status
from crawlkit.webui.task_views import attempt_view, result_view, task_detail, task_item


def attempt(fetch: str = "{}", process: str = "{}") -> AttemptRow:
    return AttemptRow("p", "t", 1, 1, 1.0, 2.0, False, "n", "s", "dns", fetch, process)


@pytest.mark.parametrize("text", ["", "null", "[]", "not json", "[" * 100_000, '{"time": "x", "status_code": null}'])
def test_odd_tracks(text: str) -> None:
    item = task_item(TaskRow("p", "t", "http://x/"), attempt(text, text))
    assert item.last is not None
    assert item.last.status_code is None
    assert isinstance(attempt_view(attempt(text, text)).fetch, dict)


def test_what_was_not_reached_has_no_time() -> None:
    last = task_item(TaskRow("p", "t", "http://x/"), attempt('{"time": 0.5, "status_code": 599}', "")).last
    assert last is not None
    assert (last.fetch_time, last.process_time, last.status_code) == (0.5, None, 599)


def test_due_is_for_the_time_queue_only() -> None:
    ready = TaskRow("p", "t", "http://x/", queue=Queue.READY, rank=-9)
    assert task_item(ready, None).due is None
    ready.queue = Queue.TIME
    assert task_item(ready, None).due == -9


@pytest.mark.parametrize(("text", "value"), [("1", 1), ('{"a": NaN}', {"a": "NaN"}), ("{", "{"), ('"x"', "x")])
def test_results_are_json_or_text(text: str, value: object) -> None:
    assert result_view(ResultRow("p", "t", 1, 0, "http://x/", text, 1.0, 1)).result == value


def test_a_plain_task_has_empty_parts() -> None:
    row = TaskRow("p", "t", "http://x/", status=Status.BAD)
    detail = task_detail(row, None, [], [], 10)
    assert (detail.schedule, detail.fetch, detail.process, detail.save, detail.task.status) == ({}, {}, {}, None, "bad")
    row.save = '{"page": 2}'
    assert task_detail(row, None, [], [], 10).save == {"page": 2}
