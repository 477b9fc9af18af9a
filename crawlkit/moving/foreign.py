"""What a row of pyspider's is here: tasks, what is remembered of their last try, projects [R20, R21, S20, P07].

Pure. What cannot be kept is counted in a :class:`Tally`, with its reason.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from typing import Any, TypeVar

import msgspec

from crawlkit.libs.crawl_args import FETCH_FIELDS, PROCESS_FIELDS, SCHEDULE_FIELDS, normalised
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import TrackFetch, TrackProcess
from crawlkit.libs.rows import AttemptRow, ProjectRow, TaskRow
from crawlkit.libs.task import PROJECT_STATUSES, Fetch, Process, Schedule, Status, Task, check_task, convert, host_of

NODE = "pyspider"
MAX_DEPTH = 200  # of lists and dicts in a part of a task
OWN_URLS = ("data:,_on_get_info", "data:,_on_cronjob")  # pyspider's own errands: crawlkit runs these itself
_PARTS: dict[str, tuple[frozenset[str], type]] = {
    "schedule": (SCHEDULE_FIELDS, Schedule),
    "fetch": (FETCH_FIELDS, Fetch),
    "process": (PROCESS_FIELDS, Process),
}
_SPENT = {"schedule": {"retried"}, "fetch": {"last_modifed"}}  # known, and taken from there
_BASE64 = re.compile(r"\[BASE64-DATA\](.*?)\[/BASE64-DATA\]", re.DOTALL)
T = TypeVar("T")


class Tally:
    """What was not kept: (what, why) -> how often."""

    def __init__(self) -> None:
        self.left: Counter[tuple[str, str]] = Counter()  # rows that did not come along
        self.lost: Counter[tuple[str, str]] = Counter()  # parts of rows that did

    def words(self) -> list[str]:
        """Lines for people."""
        return [
            *(f"{n:,} {what} left out: {why}" for (what, why), n in sorted(self.left.items())),
            *(f"{n:,} times {what} not kept: {why}" for (what, why), n in sorted(self.lost.items())),
        ]


def text_of(value: Any) -> str:
    """A column's text; what is not UTF-8 in it is replaced."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else str(value)


def object_of(value: Any, endless: list[str] | None = None) -> dict[str, Any] | None:
    """A column of JSON as a dict; ``None`` when it holds something else, or is nested deeper than any task is.

    A number that is infinite or none is ``None`` in it, and gets into ``endless``.
    """
    text = text_of(value)
    if not text.strip():
        return {}
    try:
        strange = [] if endless is None else endless
        found = json.loads(text, parse_float=lambda n: _finite(n, strange), parse_constant=strange.append)
    except (ValueError, RecursionError):
        return None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(found) > MAX_DEPTH:
        return None
    return {} if found is None else found if isinstance(found, dict) else None


def _finite(text: str, endless: list[str]) -> float | None:
    number = float(text)
    if math.isfinite(number):
        return number
    endless.append(text)
    return None


def _depth(value: Any) -> int:
    """How deep lists and dicts are nested; stops where it is too deep."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        each = [part for part in level if isinstance(part, dict | list)]
        level = [child for part in each for child in (part.values() if isinstance(part, dict) else part)]
        depth += bool(each)
    return depth


def number_of(value: Any) -> float:
    """A column's number; 0 for none."""
    try:
        number = float(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def task_row(project: str, raw: dict[str, Any], tally: Tally) -> tuple[TaskRow, dict[str, Any]] | None:
    """The row of a task, in no queue yet, and its track; ``None`` when it cannot be kept."""
    url, taskid = text_of(raw["url"]), text_of(raw["taskid"])
    try:
        status = Status(int(raw["status"]))
    except (TypeError, ValueError, OverflowError):
        tally.left["tasks", "a status that pyspider does not have"] += 1
        return None
    if url.startswith(OWN_URLS):
        tally.left["tasks", "pyspider's own errands"] += 1
        return None
    try:
        check_task(Task(project, taskid, url))
    except InvalidTask as error:
        tally.left["tasks", str(error)] += 1
        return None
    parts: dict[str, Any] = {}
    retried = 0
    for name in _PARTS:
        given = _object(raw, name, tally)
        if name == "schedule":
            retried = min(max(0, int(number_of(given.get("retried")))), 2**31 - 1)
        parts[name] = _part(name, given, tally)
    track = _object(raw, "track", tally)
    row = TaskRow(
        project=project,
        taskid=taskid,
        url=url,
        host=host_of(url),
        status=status,
        retried=retried,
        lastcrawltime=number_of(raw["lastcrawltime"]),
        updatetime=number_of(raw["updatetime"]),
        **parts,
    )
    fetched = _dict(track.get("fetch"))
    headers = {str(name).lower(): str(value) for name, value in _dict(fetched.get("headers")).items()}
    if fetched.get("ok"):
        row.etag, row.last_modified = headers.get("etag"), headers.get("last-modified")
    if track.get("save"):
        row.save = json.dumps(track["save"], ensure_ascii=False)
    return row, track


def _object(raw: dict[str, Any], name: str, tally: Tally) -> dict[str, Any]:
    endless: list[str] = []
    found = object_of(raw[name], endless)
    if found is None:
        tally.lost[name, "it is no JSON object"] += 1
        return {}
    if endless:
        tally.lost[f"a number in {name}", "it is infinite or none"] += len(endless)
    return found


def _part(name: str, given: dict[str, Any], tally: Tally) -> Any:
    """One part of a task; fields that nothing here knows, or whose values are wrong, are left out."""
    fields, kind = _PARTS[name]
    known = {field: value for field, value in given.items() if field in fields or field == "last_modifed"}
    for field in given.keys() - known.keys() - _SPENT.get(name, set()):
        tally.lost[f"{name}.{field}", "there is nothing like it here"] += 1
    if isinstance(known.get("data"), str):
        known["data"] = _body(known["data"])
    while True:
        try:
            return convert({n: v for n, v in normalised(known).items() if n in fields}, kind, name)
        except (InvalidTask, ValueError) as error:
            field = (
                error.path.split(".")[1].split("[")[0] if isinstance(error, InvalidTask) and "." in error.path else ""
            )
            if field not in known:
                tally.lost[name, str(error)] += 1
                return kind()
            tally.lost[f"{name}.{field}", str(error).partition(": ")[2] or str(error)] += 1
            del known[field]


def _body(text: str) -> str | bytes:
    """Bytes that pyspider wrapped up to have them in JSON."""
    found = _BASE64.fullmatch(text)
    if found is None:
        return text
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return text


def attempt_row(row: TaskRow, run: int, track: dict[str, Any]) -> AttemptRow | None:
    """What is remembered of the last try; ``None``: nothing."""
    fetch, process = _dict(track.get("fetch")), _dict(track.get("process"))
    if not fetch and not process:
        return None
    kept_fetch = _kept(fetch, TrackFetch)
    kept_process = _kept({name: value for name, value in process.items() if name != "result"}, TrackProcess)
    if process.get("result") is not None:
        kept_process.result = str(process["result"])[:100]
    ok = bool(fetch.get("ok")) and bool(process.get("ok"))
    ended = row.lastcrawltime or row.updatetime
    return AttemptRow(
        project=row.project,
        taskid=row.taskid,
        run=run,
        attempt=1,
        started=max(0.0, ended - kept_fetch.time - kept_process.time),
        ended=ended,
        ok=ok,
        node=NODE,
        script="",
        reason="" if ok else reason_of(track),
        fetch=msgspec.json.encode(kept_fetch).decode(),
        process=msgspec.json.encode(kept_process).decode(),
    )


def _kept(given: dict[str, Any], kind: type[T]) -> T:
    """The fields that can be kept."""
    found = kind()
    for name, value in given.items():
        if name in kind.__struct_fields__ and value is not None:  # type: ignore[attr-defined]
            try:
                setattr(found, name, getattr(msgspec.convert({name: value}, kind, strict=False), name))
            except (msgspec.ValidationError, OverflowError):
                continue
    return found


def reason_of(track: dict[str, Any]) -> str:
    """Why the last try failed, in the words of the ledger."""
    fetch, process = _dict(track.get("fetch")), _dict(track.get("process"))
    code = fetch.get("status_code")
    if fetch and not fetch.get("ok"):
        return f"http_{code}" if isinstance(code, int) and code not in (0, 599) else "fetch"
    if process and not process.get("ok"):
        return "exception"
    return "unknown"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def ended_before(row: TaskRow, track: dict[str, Any], results: int) -> bool:
    """Whether an earlier run of this task came to its end: it is crawled again now, or was in vain."""
    if row.status is Status.ACTIVE:
        return results > 0 or (row.lastcrawltime > 0 and bool(_dict(track.get("process")).get("ok")))
    return row.status is not Status.SUCCESS and results > 0


def project_row(raw: dict[str, Any], tally: Tally) -> ProjectRow:
    """A project."""
    status = text_of(raw["status"]).upper()
    if status not in PROJECT_STATUSES:
        tally.lost["a project's status", f"{status!r}: it is STOP now"] += 1
        status = "STOP"
    group = "".join(letter for letter in text_of(raw["group"]) if letter.isprintable())
    if len(group) > 64:
        tally.lost["a project's group", "only its first 64 characters"] += 1
    rate, burst = max(0.0, number_of(raw["rate"])), number_of(raw["burst"])
    if burst < 1:
        tally.lost["a project's burst", f"{burst:g}: it is 1 now"] += 1
    return ProjectRow(
        name=text_of(raw["name"]),
        group=group[:64],
        status=status,
        script=text_of(raw["script"]).replace("\0", ""),
        comments=text_of(raw["comments"]),
        rate=rate,
        burst=max(1.0, burst),
        rate_set=True,
    )


def result_text(value: Any) -> str | None:
    """A result as JSON text; ``None`` when it is none."""
    text = text_of(value)
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return None
    except msgspec.DecodeError:
        try:
            return json.dumps(json.loads(text), ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError):
            return None
    return text


def needs_compat(row: TaskRow) -> bool:
    """Whether the task's id would be another one here: pyspider looked only at the URL [H16]."""
    return row.fetch.data is not None or (row.fetch.method or "GET") != "GET"
