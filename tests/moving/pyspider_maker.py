"""Makes the databases of a pyspider, in the layouts of [R20] and [R21]: its tables, its JSON, its habits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

STATUSES = (1, 2, 3, 4)  # ACTIVE, SUCCESS, FAILED, BAD
NOW = 1_700_000_000.25

SCRIPT = """#!/usr/bin/env python
# -*- encoding: utf-8 -*-
from pyspider.libs.base_handler import *


class Handler(BaseHandler):
    crawl_config = {{}}

    @every(minutes=24 * 60)
    def on_start(self):
        self.crawl("{base}/", callback=self.index_page)

    @config(age=10 * 24 * 60 * 60)
    def index_page(self, response):
        for each in response.doc("a").items():
            self.crawl(each.attr.href, callback=self.detail_page)
        self.crawl("{base}/form", method="POST", data={{"q": 1}}, callback=self.detail_page)

    @config(priority=2)
    def detail_page(self, response):
        return {{"url": response.url, "title": response.doc("title").text()}}
"""


def taskid_of(url: str) -> str:
    """pyspider's: of the URL alone."""
    return hashlib.md5(url.encode()).hexdigest()


def task(project: str, url: str, status: int, *, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A row as pyspider leaves it behind."""
    ended = status in (2, 3)
    track: dict[str, Any] = {}
    if ended:
        ok = status == 2
        track = {
            "fetch": {"ok": ok, "time": 0.125, "status_code": 200 if ok else 500, "encoding": "utf-8", "error": None,
                      "headers": {"Etag": f'"{number}"', "Last-Modified": "Mon, 06 Jul 2020 10:00:00 GMT"}},
            "process": {"ok": ok, "time": 0.0625, "follows": 3, "result": "{'url': 'h", "logs": "", "exception": None},
            "save": {"n": number},
        }  # fmt: skip
    schedule: dict[str, Any] = {"priority": 2, "age": 864000}
    if status == 3:
        schedule |= {"retried": 3, "exetime": NOW - 50}
    row = {
        "taskid": taskid_of(url), "project": project, "url": url, "status": status, "schedule": schedule,
        "fetch": {"headers": {"Accept-Language": "en"}}, "process": {"callback": "detail_page"}, "track": track,
        "lastcrawltime": NOW + number if ended else None, "updatetime": NOW + number,
    }  # fmt: skip
    return row | changes


def result(url: str, value: Any, updatetime: float = NOW) -> dict[str, Any]:
    return {"taskid": taskid_of(url), "url": url, "result": json.dumps(value), "updatetime": updatetime}


def project(name: str, script: str = "", **changes: Any) -> dict[str, Any]:
    row = {"name": name, "group": None, "status": "RUNNING", "script": script, "comments": "from the old machine",
           "rate": 5000.0, "burst": 500.0, "updatetime": NOW}  # fmt: skip
    return row | changes


Contents = dict[
    str, tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]
]  # name -> project, tasks, results


def thousand(base: str) -> Contents:
    """1,000 tasks of every status in three projects, and the results of those that ended well."""
    sizes = {"job": 600, "second": 300, "third": 100}
    found: Contents = {}
    for name, size in sizes.items():
        tasks = [task(name, f"{base}/page/{name}{n}", STATUSES[n % 4], number=n) for n in range(size - 8)]
        for n in range(6):  # known, and linked from the index
            tasks.append(task(name, f"{base}/page/{n}", STATUSES[1 + n % 3], number=n))
        tasks.append(task(name, f"{base}/", 1, process={"callback": "index_page"}, lastcrawltime=None))
        form = {"method": "POST", "data": "q=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        tasks.append(task(name, f"{base}/form", 2, fetch=form))
        results = [result(t["url"], {"url": t["url"], "n": n}) for n, t in enumerate(tasks) if t["status"] == 2]
        status = {"job": "RUNNING", "second": "STOP", "third": "TODO"}[name]
        found[name] = (project(name, SCRIPT.format(base=base), status=status), tasks, results)
    return found


_JSON = ("schedule", "fetch", "process", "track")


def _dumped(row: dict[str, Any], binary: bool) -> dict[str, Any]:
    texts = {name: row[name] if isinstance(row[name], str) else json.dumps(row[name]) for name in _JSON if name in row}
    if "result" in row:
        texts["result"] = row["result"]
    return row | {name: text.encode() if binary else text for name, text in texts.items()}


def make_folder(folder: Path, contents: Contents) -> Path:
    """task.db, project.db and result.db [R20]."""
    folder.mkdir(parents=True, exist_ok=True)
    _make(sa.create_engine(f"sqlite:///{folder}/task.db"), contents, "taskdb", "taskdb_")
    _make(sa.create_engine(f"sqlite:///{folder}/result.db"), contents, "resultdb", "resultdb_")
    _make(sa.create_engine(f"sqlite:///{folder}/project.db"), contents, "projectdb", "")
    return folder


def make_tables(url: str, kind: str, contents: Contents) -> None:
    """One of the three in a database of a server [R21]."""
    _make(sa.create_engine(url), contents, kind, "")


def _make(engine: sa.Engine, contents: Contents, kind: str, prefix: str) -> None:
    mysql = engine.dialect.name in ("mysql", "mariadb")
    text: Any = sa.LargeBinary if mysql else sa.Text  # BLOBs in MySQL
    time: Any = sa.Numeric(16, 4, asdecimal=False) if mysql else sa.Float(32)
    if engine.dialect.name == "sqlite":
        time = sa.Float
    metadata = sa.MetaData()
    rows: dict[str, list[dict[str, Any]]] = {}
    if kind == "projectdb":
        table = sa.Table(
            "projectdb", metadata, sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("group", sa.String(64)), sa.Column("status", sa.String(16)), sa.Column("script", sa.Text),
            sa.Column("comments", sa.String(1024)),
            sa.Column("rate", sa.Float(11)), sa.Column("burst", sa.Float(11)), sa.Column("updatetime", time),
        )  # fmt: skip
        rows[table.name] = [row for row, _, _ in contents.values()]
    for name, (_, tasks, results) in contents.items():
        if kind == "taskdb":
            table = sa.Table(
                prefix + name, metadata, sa.Column("taskid", sa.String(64), primary_key=True),
                sa.Column("project", sa.String(64)), sa.Column("url", sa.String(1024)),
                sa.Column("status", sa.Integer, index=True), *(sa.Column(part, text) for part in _JSON),
                sa.Column("lastcrawltime", time), sa.Column("updatetime", time),
            )  # fmt: skip
            rows[table.name] = [_dumped(row, mysql) for row in tasks]
        elif kind == "resultdb":
            table = sa.Table(
                prefix + name, metadata, sa.Column("taskid", sa.String(64), primary_key=True),
                sa.Column("url", sa.String(1024)), sa.Column("result", text), sa.Column("updatetime", time),
            )  # fmt: skip
            rows[table.name] = [_dumped(row, mysql) for row in results]
    with engine.begin() as connection:
        metadata.create_all(connection)
        for name, given in rows.items():
            if given:
                connection.execute(metadata.tables[name].insert(), given)
    engine.dispose()
