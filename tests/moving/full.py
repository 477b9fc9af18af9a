"""Stores with something in every table, and what is in them as plain rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crawlkit.database.carrying import carrier_of
from crawlkit.database.sqlalchemy.carrier import tables_of
from crawlkit.libs.metrics import MetricRow
from crawlkit.libs.rows import (
    AttemptRow,
    AuditRow,
    KeptPage,
    Lease,
    Letter,
    LoginLinkRow,
    NodeRow,
    ProjectRow,
    Queue,
    ResultSet,
    SessionRow,
    SettingRow,
    TaskRow,
    TickRow,
    TokenRow,
    UserRow,
    Writes,
)
from crawlkit.libs.task import Fetch, Process, Schedule, Status, taskid_of
from crawlkit.settings import Settings
from crawlkit.wiring.stores import Stores, connect_stores

KINDS = ("taskdb", "resultdb", "projectdb", "accountdb", "blobdb")


def opened(folder: Path) -> Stores:
    return connect_stores(Settings(data_path=folder), KINDS, create=True)


def fill(stores: Stores, tasks: int = 40, projects: tuple[str, ...] = ("news", "shop")) -> None:
    """Tasks of every status, and at least one row in every table but the logs'."""
    seq = 0
    for name in projects:
        stores.projectdb.put(ProjectRow(name, script="a = 1\n", group="g", rate=2.5), author="ann", message="first")
        row = stores.projectdb.put(ProjectRow(name, script="a = 2  # Größe 😀\n", status="RUNNING", rate=None))
        row.pin = row.version
        stores.projectdb.put(row)
        stores.projectdb.put_setting(name, SettingRow("key", "sealed"))
        writes, sets = Writes(), []
        for number in range(tasks):
            seq += 1
            url = f"http://example.com/{name}/{number}?ü"
            status = Status(number % 4 + 1)
            active = status is Status.ACTIVE
            row_ = TaskRow(
                project=name, taskid=taskid_of(url), url=url, host="example.com", status=status,
                queue=(Queue.READY if number % 8 else Queue.TIME) if active else None,
                rank=0.0 if number % 8 else 2e9 + 0.125 * number, seq=seq, run=1 + number % 3,
                attempt=number % 2, schedule=Schedule(priority=number % 5, itag="x"), etag='"e"',
                fetch=Fetch(method="POST", data=b"\x00\xff", save={"n": [number, None, "ß"]}),
                process=Process(callback="page"), save='{"s": 1}', results=2 if status is Status.SUCCESS else 0,
                lastcrawltime=1.7e9 + number / 7, updatetime=1.7e9 + number / 3,
            )  # fmt: skip
            writes.insert.append(row_)
            writes.count(name, "accepted", "follow", row_.run)
            writes.count(name, "done", "", row_.run - 1)
            ending = {Status.SUCCESS: ("done", ""), Status.FAILED: ("failed", "http_500"),
                      Status.BAD: ("cancelled", "by_request")}.get(status)  # fmt: skip
            if ending is not None:
                writes.count(name, *ending)
            if row_.results:
                sets.append(ResultSet(name, row_.taskid, row_.run, 1, url, 0, ['{"a":1}', '"ü"'], True, 5.5))
        waiting = [row for row in writes.insert if row.queue is Queue.READY]
        writes.lease = [Lease(name, waiting[0].taskid, waiting[0].run, 1, "n1", 1.9e9, 1.8e9)]
        writes.attempts = [AttemptRow(name, row.taskid, 1, 1, 1.0, 2.0, False, "n", "v", "http_500", "{}", "{}")
                           for row in writes.insert[:9]]  # fmt: skip
        writes.ticks = [TickRow(name, "on_start", 1.7e9 + n * 60, "t" if n else "", "skipped") for n in range(3)]
        writes.nodes = [NodeRow("n1", "fetcher", "h", 7, "1", 1.0, 2.0)]
        writes.mail = [Letter(n, name, kind, "{}") for n, kind in enumerate(("task", "order", "task"))]
        writes.state = {("", "epoch"): "e", (name, "pause"): "{}"}
        writes.metrics = [MetricRow(name, 60, 1_700_000_040, done=3, codes={"200": 3}, hosts={"example.com": (9, 3)})]
        stores.taskdb.commit(writes)
        stores.resultdb.save(sets)
        stores.resultdb.save([
            ResultSet(name, "keyed", 1, 1, "u", 0, ['{"k":1}', '{"k":2}'], True, 1.0, ["1", "2"], "replace"),
            ResultSet(name, "part", 1, 1, "u", 0, ["1"], False, 1.0, ["p"], "keep_first"),
        ])  # fmt: skip
        stores.resultdb.set_position(f"{name}.jsonl", 7, 4096)
        stores.blobdb.create([b"x" * 300_000, b"y" * 300_000], f"{name}/t/1")
        stores.blobdb.keep_pages([KeptPage(f"{name}1", name, "page", "t", "u", 200, 3.0, 9, 4, b"\x00body")], 5, 10**6)
    accounts = stores.accountdb
    accounts.add_user(UserRow("ann", "admin", "scrypt$x", 1.0, 2.0, 3.0))
    accounts.add_token(TokenRow("id", "d" * 64, "ann", "ci", "viewer", 1.0, None))
    accounts.add_session(SessionRow("s" * 64, "ann", "password", 1.0, 9e9))
    accounts.add_link(LoginLinkRow("l" * 64, "ann", 1.0, 9e9))
    accounts.add_audit(AuditRow(1.0, "ann", "web", "project.save", "news", "detail"))
    for kind in KINDS:
        fill_rest(stores, kind)


def fill_rest(stores: Stores, kind: str) -> None:
    """A row of some values in each table that has none: also in those that came after this was written."""
    carrier = carrier_of(stores.opened[kind], kind)
    carrier.set_note("{}")
    for name, table in tables_of(kind).items():
        if not carrier.page(name, None, 1):
            row = tuple(_value(column) for column in table.columns)
            carrier.put(name, list(table.columns.keys()), [row], "{}")
    carrier.set_note(None)


def _value(column: sa.Column[Any]) -> Any:
    kind = column.type.python_type
    return {int: 3, float: 1.25, bool: True, bytes: b"\x00"}.get(kind, column.name[:16])


def contents(stores: Stores, kinds: tuple[str, ...] = KINDS) -> dict[str, list[Any]]:
    """All rows of all tables, but who wrote last."""
    found = {}
    for kind in kinds:
        carrier = carrier_of(stores.opened[kind], kind)
        for shape in carrier.shapes():
            if shape.name != "writers":
                found[f"{kind}.{shape.name}"] = carrier.page(shape.name, None, 1_000_000)
    return found
