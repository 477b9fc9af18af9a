"""Rows for the tests of tasks, failures and results, put straight into the stores of a running web UI."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from crawlkit.database.base import AttemptRow, ProjectRow, ResultSet, TaskRow, Writes
from crawlkit.fetcher import attachments
from crawlkit.libs.browse import Browse
from crawlkit.libs.task import Fetch, Process, Schedule, Status
from tests.webui.servers import Running

NOW = 1_700_000_000.0


def services(running: Running) -> Any:
    assert running.server is not None
    return running.server.services


def empty(running: Running) -> None:
    """Takes everything out of the stores that tests of this kind put into them."""
    found = services(running)
    for name in {*found.taskdb.projects(), *found.resultdb.projects(), *found.projectdb.names()}:
        found.taskdb.drop(name)
        found.resultdb.drop(name)
        found.projectdb.drop(name)


def put_project(running: Running, name: str = "shop", group: str = "") -> None:
    services(running).projectdb.put(ProjectRow(name, group=group, status="RUNNING", script="# nothing\n"))


def task(number: int, project: str = "shop", **fields: Any) -> TaskRow:
    values: dict[str, Any] = {
        "url": f"http://shop.test/page/{number}",
        "status": Status.SUCCESS,
        "process": Process(callback="detail_page"),
        "updatetime": NOW + number,
        "lastcrawltime": NOW + number,
        "attempt": 1,
    } | fields
    return TaskRow(project, f"t{number:03}", **values)


def attempt(number: int, project: str = "shop", **fields: Any) -> AttemptRow:
    fetch = {"ok": True, "time": 0.25, "status_code": 200, "size": 1234, "headers": {"Content-Type": "text/html"}}
    process = {"ok": True, "time": 0.5, "follows": 3, "results": 1, "logs": "[I] fetched\n"}
    values: dict[str, Any] = {
        "run": 1, "attempt": 1, "started": NOW + number - 1, "ended": NOW + number, "ok": True, "node": "fetcher-1",
        "script": "0" * 32, "reason": "", "fetch": json.dumps(fetch | fields.pop("track", {})),
        "process": json.dumps(process | fields.pop("callback", {})),
    } | fields  # fmt: skip
    return AttemptRow(project=project, taskid=f"t{number:03}", **values)


def failed(number: int, reason: str, project: str = "shop", **fields: Any) -> tuple[TaskRow, AttemptRow]:
    track = {"ok": False, "error": f"it was {reason}", "error_kind": reason}
    row = task(number, project, status=Status.FAILED, **fields)
    return row, attempt(number, project, ok=False, reason=reason, track=track, process="{}")


def put_tasks(running: Running, *rows: TaskRow | AttemptRow) -> None:
    tasks = [row for row in rows if isinstance(row, TaskRow)]
    attempts = [row for row in rows if isinstance(row, AttemptRow)]
    services(running).taskdb.commit(Writes(insert=tasks, attempts=attempts))


def put_results(running: Running, *values: Any, project: str = "shop", first: int = 0) -> None:
    sets = [
        ResultSet(project, f"t{n:03}", 1, 1, f"http://shop.test/page/{n}", 0,
                  [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)], True, NOW + n)
        for n, value in enumerate(values, first)
    ]  # fmt: skip
    services(running).resultdb.save(sets)


SECRETS = ("s3cr3t-token", "c00kie-value", "pr0xy-pass", "b0dy-pass", "us3r-pass", "s3t-cookie", "k3y-value")


def secret_task() -> tuple[TaskRow, AttemptRow]:
    """A task that is full of secrets."""
    fetch = Fetch(
        method="POST",
        headers={"Authorization": f"Bearer {SECRETS[0]}", "X-Api-Key": SECRETS[6], "Accept": "text/html"},
        cookies={"session": SECRETS[1]},
        proxy=f"http://joe:{SECRETS[2]}@proxy.test:3128",
        data=f"user=joe&password={SECRETS[3]}&page=2".encode(),
    )
    row = task(900, url=f"http://joe:{SECRETS[4]}@shop.test/private", fetch=fetch, schedule=Schedule(priority=3))
    headers = {"Set-Cookie": f"id={SECRETS[5]}; Path=/", "Content-Type": "text/html"}
    return row, attempt(900, track={"headers": headers, "redirect_url": f"http://joe:{SECRETS[4]}@shop.test/x"})


def rendered_task(running: Running, number: int, page: bytes = b"%PDF-1.4 of it") -> tuple[TaskRow, AttemptRow]:
    """A task whose page a browser has rendered, with its files in their places."""
    area, name = services(running).extra["files"]("shop"), f"t{number:03}"
    files = {
        "screenshot": attachments.put(area, name, "http://x/", attachments.path_of(name, "png"), picture(), 1, NOW),
        "pdf": attachments.put(area, name, "http://x/", attachments.path_of(name, "pdf"), page, 1, NOW),
    }
    asked = [
        {"url": "http://shop.test/api/things?page=1&token=s3cr3t", "method": "GET", "status": 200, "size": 4210,
         "content_type": "application/json", "truncated": False},
        {"url": "javascript:alert(1)", "method": "POST", "status": 500, "size": 0, "content_type": "<b>",
         "truncated": True},
    ]  # fmt: skip
    track = {
        **files,
        "xhr": asked,
        "xhr_count": 7,
        "counts": {"requests": 37, "blocked": 12, "refused": 1, "bytes": 655_360},
        "console": ["warning: <img src=x onerror=alert(1)>", "error: Uncaught TypeError: x is undefined"],
    }
    fetch = Fetch(fetch_type="browser", browser=Browse(actions=[{"fill": "#pass", "text": "f1lled-in"}]))
    return task(number, fetch=fetch), attempt(number, track={"rendered": track})


def picture(width: int = 900, height: int = 1400) -> bytes:
    """A PNG with some colours in it."""
    rows = [
        b"\0" + b"".join(bytes([x * 255 // width, y * 255 // height, 160]) for x in range(width)) for y in range(height)
    ]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
