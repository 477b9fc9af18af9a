"""The resultdb in SQL: per task the results of its newest run, in the order in which they became visible.

A set's rows have consecutive numbers, so its row in ``result_runs`` finds them all and no second index is needed.
Results with keys are found by ``result_keys``, across tasks and runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import SEARCH_SECONDS, Key, ResultPage, ResultRow, ResultSearch, ResultSet
from crawlkit.database.carrying import Carrier
from crawlkit.database.rules import whole_set
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.resultkeys import Keys, KeyStatements, Owner, ranges_without, stored_owners
from crawlkit.database.sqlalchemy.resultsearch import find
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.sinkbook import SqlSinkBook
from crawlkit.database.sqlalchemy.statements import Insert, Prepared, distinct, key_is, padded, upsert
from crawlkit.database.sqlalchemy.tables import positions, result_keys, result_marks, result_parts, result_runs, results
from crawlkit.libs.result_key import REPLACE, digest_of

PAGE = 500  # rows per query of a stream
_COLUMNS = ResultRow.__struct_fields__
_QUERY = sa.select(*(results.c[name] for name in _COLUMNS))
# The results of a task: those of its newest run, and those with keys, also of earlier runs.
_visible = sa.and_(results.c.seq >= result_runs.c.first, results.c.seq < result_runs.c.first + result_runs.c.results)
_of_run = _QUERY.join(result_runs, _visible).where(key_is(result_runs, "project", "taskid"))
_of_keys = _QUERY.join(result_keys, results.c.seq == result_keys.c.seq).where(key_is(result_keys, "project", "taskid"))


Run = tuple[int, int, int, int]  # (run, first, how many, how many of them were known)


class _Shown:
    """What one call of save() makes visible, collected before it is written."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.rows: list[tuple[Any, ...]] = []
        self.runs: dict[Key, Run] = {}
        self.replaced: list[tuple[int, int]] = []  # ranges of seq


class SqlResultStore(SqlSinkBook):
    """A :class:`~crawlkit.database.base.ResultStore` and a :class:`~crawlkit.database.base.SinkBook`."""

    def __init__(self, database: Database) -> None:
        prepare(database)
        super().__init__(database)
        dialect = database.engine.dialect
        self._keys = KeyStatements(dialect)
        self._insert = Insert(results, dialect)
        self._set_run = upsert(result_runs, dialect)
        self._stage = upsert(result_parts, dialect)
        self._mark = upsert(result_marks, dialect)
        self._set_position = upsert(positions, dialect)
        mark = sa.select(result_marks.c.value).where(result_marks.c.name == "seq")
        self._seq = Prepared(lambda: mark.with_for_update(), dialect)
        self._any_staged = Prepared(lambda: sa.select(result_parts.c.first).limit(1), dialect)
        between = results.c.seq.between(sa.bindparam("first"), sa.bindparam("last"))
        self._delete = Prepared(lambda: sa.delete(results).where(between), dialect)
        self._of_task = [Prepared(lambda: _of_run, dialect), Prepared(lambda: _of_keys, dialect)]
        self._unstage = Prepared(
            lambda: sa.delete(result_parts).where(key_is(result_parts, "project", "taskid")), dialect
        )

    def save(self, sets: Sequence[ResultSet]) -> list[int]:
        answers = [0] * len(sets)
        numbered = [(n, part) for n, part in enumerate(sets) if part.results or part.last]
        if not numbered:
            return answers
        with self._database.write() as connection:
            # First of all: whoever holds this row makes the next numbers visible.
            shown = _Shown(self._seq.one(connection) or 0)
            runs = self._runs(connection, {(part.project, part.taskid) for _, part in numbered})
            any_staged = self._any_staged.one(connection) is not None
            keys = Keys(connection, self._keys)
            keyed = [part for _, part in numbered if part.key_policy]
            if keyed or keys.used:
                keys.load(keyed, runs)
            before = shown.seq
            for n, part in numbered:
                key = (part.project, part.taskid)
                known = shown.runs.get(key) or runs.get(key)
                if known is not None and known[0] >= part.run:
                    answers[n] = known[3] if known[0] == part.run and part.last else 0
                    continue
                whole: list[ResultSet] | None = [part]
                if any_staged or not part.last or part.first:
                    any_staged = True
                    whole = self._stage_part(connection, part)
                if whole is None:
                    continue
                if keys.used or part.key_policy:
                    answers[n] = _show_keyed(shown, keys, key, known, part.run, whole)
                else:
                    _show(shown, key, known, part.run, whole)
            self._database.by_key(connection)
            self._write(connection, shown)
            keys.write()
            if shown.seq != before:
                self._mark.many(connection, [("seq", shown.seq)])
        return answers

    def known_keys(self, project: str, taskid: str, run: int, keys: Sequence[str]) -> set[str]:
        digests = {digest_of(key): key for key in keys if key}
        with self._database.read() as connection:
            owners = stored_owners(connection, project, digests)
        return {digests[digest] for digest, owner in owners.items() if owner[:2] != (taskid, run)}

    def _write(self, connection: Connection, shown: _Shown) -> None:
        """Later runs of a task within one call were numbered too; only what is visible at the end is written."""
        if shown.replaced:
            gone = {seq for first, last in shown.replaced for seq in range(first, last + 1)}
            shown.rows = [row for row in shown.rows if row[0] not in gone]
            connection.exec_driver_sql(self._delete.sql, shown.replaced)
        if shown.rows:
            self._insert.many(connection, shown.rows)
        if shown.runs:
            rows = [(project, taskid, *run) for (project, taskid), run in shown.runs.items()]
            self._set_run.many(connection, rows)

    def _runs(self, connection: Connection, keys: set[Key]) -> dict[Key, Run]:
        by_project: defaultdict[str, list[str]] = defaultdict(list)
        for project, taskid in keys:
            by_project[project].append(taskid)
        found = {}
        for project, taskids in by_project.items():
            for row in padded(connection, result_runs, project, taskids):
                found[row[0], row[1]] = (row[2], row[3], row[4], row[5])
        return found

    def _stage_part(self, connection: Connection, part: ResultSet) -> list[ResultSet] | None:
        """Keeps a part; returns all of them, and keeps none, once the set is whole."""
        newest = sa.select(result_parts.c.run, result_parts.c.attempt).where(
            result_parts.c.project == part.project, result_parts.c.taskid == part.taskid
        )
        known = connection.execute(newest.limit(1)).one_or_none()
        mine = (part.run, part.attempt)
        if known is not None and tuple(known) > mine:
            return None
        if known is not None and tuple(known) < mine:
            connection.exec_driver_sql(self._unstage.sql, (part.project, part.taskid))
        texts = msgspec.json.encode(part.results).decode()
        row = (part.project, part.taskid, *mine, part.first, len(part.results), part.last, part.url, texts)
        key_texts = msgspec.json.encode(part.keys).decode() if part.keys else None
        connection.exec_driver_sql(self._stage.sql, (*row, part.updatetime, key_texts, part.key_policy))
        if not self._is_whole(connection, part):
            return None
        whole = whole_set(_staged(connection, part))
        if whole is not None:
            connection.exec_driver_sql(self._unstage.sql, (part.project, part.taskid))
        return whole

    def _is_whole(self, connection: Connection, part: ResultSet) -> bool:
        """Whether all parts are there, without reading them: the last one starts where the others end."""
        table = result_parts
        mine = sa.and_(table.c.project == part.project, table.c.taskid == part.taskid)
        size, end = connection.execute(sa.select(sa.func.sum(table.c.size), sa.func.max(
            sa.case((table.c.last, table.c.first + table.c.size), else_=-1))).where(mine)).one()  # fmt: skip
        return bool(size == end)

    def get(self, project: str, taskid: str) -> list[ResultRow]:
        asked = {"b_project": project, "b_taskid": taskid}
        with self._database.read() as connection:
            rows: dict[int, ResultRow] = {}
            for statement in self._of_task:
                found = statement.send(connection, statement.given(asked)).fetchall()
                rows.update({row.seq: row for row in starmap(ResultRow, found)})
        return [rows[seq] for seq in sorted(rows)]

    def select(self, project: str, offset: int = 0, limit: int | None = None) -> Iterator[ResultRow]:
        """Each page is a query of its own, so that a slow reader holds back no writer and no checkpoint."""
        left, below, skip = limit, None, max(0, offset)
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            query = _QUERY.where(results.c.project == project)
            if below is not None:
                query = query.where(results.c.seq < below)
            page = self._page(query.order_by(results.c.seq.desc()).limit(size).offset(skip))
            yield from page
            if len(page) < size:
                return
            below, skip = page[-1].seq, 0
            left = None if left is None else left - len(page)

    def _page(self, query: sa.Select[Any]) -> list[ResultRow]:
        with self._database.read() as connection:
            return [ResultRow(*row) for row in connection.execute(query).all()]

    def find(
        self, search: ResultSearch, after: int | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> ResultPage:
        return find(self._database, search, after, max(1, limit), budget)

    def since(self, seq: int, limit: int, projects: Sequence[str] | None = None) -> list[ResultRow]:
        query = _QUERY.where(results.c.seq > seq).order_by(results.c.seq).limit(max(0, limit))
        found: list[ResultRow] = []
        # One snapshot for all projects, else a row that becomes visible between two queries would be passed over.
        with self._database.read(snapshot=True) as connection:
            if projects is None:
                return [ResultRow(*row) for row in connection.execute(query).all()]
            for project in set(projects):
                mine = query.where(results.c.project == project)
                found += [ResultRow(*row) for row in connection.execute(mine).all()]
        found.sort(key=lambda row: row.seq)
        return found[: max(0, limit)]

    def count(self, project: str) -> int:
        query = sa.select(sa.func.count()).select_from(results).where(results.c.project == project)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def counts_by_task(self, project: str, taskids: Sequence[str]) -> dict[str, tuple[int, int]]:
        with self._database.read() as connection:
            return {row[1]: (row[2], row[4]) for row in padded(connection, result_runs, project, taskids)}

    def projects(self) -> list[str]:
        with self._database.read() as connection:
            return list(distinct(connection, results.c.project))

    def drop(self, project: str) -> int:
        with self._database.write() as connection:
            self._database.take_time(connection)
            for table in (result_runs, result_parts, result_keys):
                connection.execute(sa.delete(table).where(table.c.project == project))
            return connection.execute(sa.delete(results).where(results.c.project == project)).rowcount

    def drop_some(self, project: str, limit: int) -> int:
        last = sa.select(results.c.seq).where(results.c.project == project).order_by(results.c.seq)
        with self._database.write() as connection:
            boundary = connection.execute(last.limit(1).offset(max(1, limit) - 1)).scalar()
            if boundary is not None:
                mine = sa.and_(results.c.project == project, results.c.seq <= boundary)
                return connection.execute(sa.delete(results).where(mine)).rowcount
            removed = connection.execute(sa.delete(results).where(results.c.project == project)).rowcount
            return removed + sum(_drop_page(connection, table, project, limit) for table in _BY_TASK)

    def position(self, follower: str) -> tuple[int, int]:
        query = sa.select(positions.c.seq, positions.c.offset).where(positions.c.follower == follower)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return (row[0], row[1]) if row is not None else (0, 0)

    def set_position(self, follower: str, seq: int, offset: int) -> None:
        with self._database.write() as connection:
            connection.exec_driver_sql(self._set_position.sql, (follower, seq, offset))

    def carrier(self) -> Carrier:
        """Reads and writes its rows as they are."""
        from crawlkit.database.sqlalchemy.carrier import SqlCarrier

        return SqlCarrier(self._database, "resultdb")

    def close(self) -> None:
        self._database.close()


_BY_TASK = (result_runs, result_parts, result_keys)


def _drop_page(connection: Connection, table: sa.Table, project: str, limit: int) -> int:
    """About ``limit`` rows of a project, of a table whose key goes on with something of each task."""
    second = list(table.primary_key)[1]
    mine: sa.ColumnElement[bool] = table.c.project == project
    last = sa.select(second).where(mine).order_by(second).limit(1).offset(max(1, limit) - 1)
    boundary = connection.execute(last).scalar()
    if boundary is not None:
        mine = sa.and_(mine, second <= boundary)
    return connection.execute(sa.delete(table).where(mine)).rowcount


def _show(shown: _Shown, key: Key, known: Run | None, run: int, whole: list[ResultSet]) -> None:
    if known is not None and known[2]:
        shown.replaced.append((known[1], known[1] + known[2] - 1))
    first, n = shown.seq + 1, 0
    for part in whole:
        for text in part.results:
            shown.seq += 1
            shown.rows.append((shown.seq, *key, run, n, part.url, text, part.updatetime))
            n += 1
    shown.runs[key] = (run, first, n, 0)


def _show_keyed(shown: _Shown, keys: Keys, task: Key, known: Run | None, run: int, whole: list[ResultSet]) -> int:
    """The same where there are keys, in the set or of results that the task has; returns how many were not kept."""
    policy = whole[-1].key_policy
    mine = keys.of(task) if known is not None else {}
    if not policy:
        shown.replaced += ((seq, seq) for seq in mine.values())
        keys.take(task[0], mine)
        _show(shown, task, known, run, whole)
        return 0
    if known is not None:
        shown.replaced += ranges_without(known[1], known[2], set(mine.values()))
    texts = [key for part in whole for key in part.keys or [""] * len(part.results)]
    digests = [digest_of(key) for key in texts]
    owners = keys.owners(task[0], {digest for digest in digests if digest})
    first, n, ignored = shown.seq + 1, 0, 0
    for part in whole:
        for text in part.results:
            shown.seq += 1  # a number is used up also by what is not kept: the run's numbers stay in one piece
            digest = digests[n]
            owner = owners.get(digest)
            if owner is not None and policy != REPLACE:
                ignored += 1
            else:
                if owner is not None:
                    shown.replaced.append((owner.seq, owner.seq))
                if digest:
                    owners[digest] = Owner(task[1], run, shown.seq)
                    keys.give(task[0], digest, owners[digest])
                shown.rows.append((shown.seq, *task, run, n, part.url, text, part.updatetime))
            n += 1
    shown.runs[task] = (run, first, n, ignored)
    return ignored


def _staged(connection: Connection, part: ResultSet) -> Iterator[ResultSet]:
    table = result_parts
    query = sa.select(table).where(table.c.project == part.project, table.c.taskid == part.taskid)
    for row in connection.execute(query.order_by(table.c.first)).all():
        texts = msgspec.json.decode(row.results, type=list[str])
        place = (part.project, part.taskid, row.run, row.attempt, row.url, row.first)
        keys = msgspec.json.decode(row.key_texts, type=list[str]) if row.key_texts else []
        yield ResultSet(*place, texts, row.last, row.updatetime, keys, row.key_policy)
