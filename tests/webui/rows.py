"""Rows for the tests of tasks, failures and results, put straight into the stores of a running web UI."""

from __future__ import annotations

import json
from typing import Any

from crawlkit.database.base import AttemptRow, ProjectRow, ResultSet, TaskRow, Writes
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
