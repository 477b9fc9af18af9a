"""What a row of pyspider's becomes, and what is counted when something cannot be kept [R20, S20, P07]."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlkit.libs.task import Status
from crawlkit.moving.foreign import (
    Tally,
    attempt_row,
    ended_before,
    needs_compat,
    project_row,
    reason_of,
    result_text,
    task_row,
)
from tests.moving import pyspider_maker as maker


def row_of(**changes: Any) -> tuple[Any, dict[str, Any], Tally]:
    tally = Tally()
    raw = maker.task("p", "http://h/x", changes.pop("status", 2), number=5) | changes
    raw = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in raw.items()}
    found = task_row("p", raw, tally)
    return *(found or (None, {})), tally


def test_every_part_of_a_task_arrives() -> None:
    schedule = {"priority": 7, "retries": 5, "retried": 2, "exetime": 1.5, "age": 60, "itag": "v2",
                "auto_recrawl": True, "force_update": True}  # fmt: skip
    fetch = {"method": "post", "data": "a=1", "headers": {"X": "1"}, "timeout": 20, "etag": True,
             "last_modifed": False, "cookies": {"c": "1"}, "save": {"a": [1]}, "proxy": "h:1", "fetch_type": "js",
             "js_script": "f"}  # fmt: skip
    row, track, tally = row_of(schedule=schedule, fetch=fetch, process={"callback": "cb", "process_time_limit": 9})
    assert tally.words() == []
    assert (row.taskid, row.url, row.host, row.status) == (
        maker.taskid_of("http://h/x"),
        "http://h/x",
        "h",
        Status.SUCCESS,
    )
    assert (row.schedule.priority, row.schedule.retries, row.schedule.age, row.schedule.itag) == (7, 5, 60, "v2")
    assert (row.schedule.exetime, row.schedule.auto_recrawl, row.schedule.force_update) == (1.5, True, True)
    assert row.retried == 2
    assert row.schedule.retried == 0  # counted in the row
    assert (row.fetch.method, row.fetch.data, row.fetch.timeout) == ("POST", b"a=1", 20)
    assert (row.fetch.etag, row.fetch.last_modified, row.fetch.save) == (True, False, {"a": [1]})
    assert (row.fetch.cookies, row.fetch.headers) == ({"c": "1"}, {"X": "1"})
    assert (row.process.callback, row.process.process_time_limit) == ("cb", 9)
    assert (row.etag, row.last_modified) == ('"5"', "Mon, 06 Jul 2020 10:00:00 GMT")
    assert json.loads(row.save) == {"n": 5}
    assert (row.lastcrawltime, row.updatetime) == (maker.NOW + 5, maker.NOW + 5)
    assert needs_compat(row)
    last = attempt_row(row, 1, track)
    assert last is not None
    assert (last.ok, last.ended, last.ended - last.started) == (True, maker.NOW + 5, 0.1875)
    assert json.loads(last.fetch)["status_code"] == 200
    assert json.loads(last.process)["follows"] == 3
    assert json.loads(last.process)["result"] == "{'url': 'h"


def test_bytes_that_were_wrapped_for_json_are_bytes_again() -> None:
    row, _, tally = row_of(fetch={"method": "POST", "data": "[BASE64-DATA]AP8=[/BASE64-DATA]"})
    assert row.fetch.data == b"\x00\xff"
    assert tally.words() == []
    row, _, _ = row_of(fetch={"method": "POST", "data": "[BASE64-DATA]!![/BASE64-DATA]"})
    assert row.fetch.data == b"[BASE64-DATA]!![/BASE64-DATA]"


def test_what_cannot_be_kept_is_counted_with_its_reason() -> None:
    row, _, tally = row_of(fetch={"timeout": "soon", "puppeteer": 1, "headers": {"A": "1"}}, track="no json{",
                           schedule="[1]")  # fmt: skip
    assert row.fetch.headers == {"A": "1"}
    assert row.fetch.timeout is None
    said = "\n".join(tally.words())
    assert "1 times fetch.puppeteer not kept: there is nothing like it here" in said
    assert "1 times fetch.timeout not kept" in said
    assert "1 times track not kept: it is no JSON object" in said
    assert "1 times schedule not kept: it is no JSON object" in said


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": 9}, "a status that pyspider does not have"),
        ({"url": "data:,_on_get_info"}, "pyspider's own errands"),
        ({"url": ""}, "task.url: is empty"),
        ({"url": "x" * 70_000}, "task.url: is longer than 65536 characters"),
        ({"taskid": "t" * 65}, "task.taskid: use 1 to 64 characters"),
    ],
)
def test_tasks_that_are_left_out(changes: dict[str, Any], why: str) -> None:
    row, _, tally = row_of(**changes)
    assert row is None
    assert tally.words() == [f"1 tasks left out: {why}"]


def test_a_row_with_odd_numbers_or_deep_json_is_kept_without_them() -> None:
    deep = "[" * 100_000
    row, _, tally = row_of(fetch='{"timeout":1e400,"headers":5}', schedule='{"a":' * 50_000, track=deep)
    assert (row.fetch.timeout, row.fetch.headers) == (None, None)
    said = "\n".join(tally.words())
    assert "1 times a number in fetch not kept: it is infinite or none" in said
    assert "1 times fetch.headers not kept" in said
    assert "1 times schedule not kept: it is no JSON object" in said
    assert "1 times track not kept: it is no JSON object" in said
    row, _, tally = row_of(fetch='{"save":' + "[" * 500 + "]" * 500 + "}")
    assert row.fetch.save is None
    assert "1 times fetch not kept: it is no JSON object" in tally.words()[0]
    row, _, _ = row_of(fetch='{"save":[NaN,-Infinity,1.5' + ",[]" * 500 + "]}", schedule='{"retried":1e300}')
    assert row.fetch.save[:3] == [None, None, 1.5]
    assert row.retried == 2**31 - 1
    assert row_of(status=float("inf"))[0] is None
    assert result_text(deep + "]" * 100_000) is None
    assert result_text('"\\ud800"' + deep) is None


def test_why_a_task_failed() -> None:
    assert reason_of({"fetch": {"ok": False, "status_code": 404}}) == "http_404"
    assert reason_of({"fetch": {"ok": False, "status_code": 599}}) == "fetch"
    assert reason_of({"fetch": {"ok": True}, "process": {"ok": False}}) == "exception"
    assert reason_of({}) == "unknown"


def test_a_task_that_is_crawled_again_has_an_earlier_run() -> None:
    row, track, _ = row_of(status=1, lastcrawltime=5.0)
    assert not ended_before(row, track, 0)
    assert ended_before(row, track, 1)
    assert ended_before(row, {"process": {"ok": True}}, 0)
    row, track, _ = row_of(status=2)
    assert not ended_before(row, track, 1)
    row, track, _ = row_of(status=3)
    assert ended_before(row, track, 1)


def test_projects_and_results() -> None:
    tally = Tally()
    row = project_row(maker.project("p", "x = 1", status="odd", burst=0.5, group="g" * 70, rate=None), tally)
    assert (row.status, row.burst, row.group, row.rate) == ("STOP", 1, "g" * 64, 0)
    assert len(tally.words()) == 3
    assert result_text(b'{"a": 1}') == '{"a": 1}'
    assert result_text("{'a': 1}") is None
    assert result_text('{"a": NaN}') is None
    assert result_text(None) is None
