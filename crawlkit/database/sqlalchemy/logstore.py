"""Logs in SQL, newest first by number: a look goes from window to window of numbers until its time is up.

Where SQLite has FTS5 an index of trigrams finds parts of texts; elsewhere the lines themselves are looked at. On a
server the largest number given out stands in the row of ``log_nodes`` without a name, and sizes are estimated.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import SEARCH_SECONDS
from crawlkit.database.carrying import Carrier
from crawlkit.database.logrules import FIRST_WINDOW, SKEW, cleaned, fold, like_pattern, next_window, trigram_query
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.statements import Prepared, upsert
from crawlkit.database.sqlalchemy.tables import log_lines, log_nodes
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.rows import LogFilter, LogLine, LogPage

COLUMNS = LogLine.__struct_fields__
FEW = 3_000  # lines of a window that are looked at one by one rather than asked of the index of texts
AT_ONCE = 250  # lines of one statement
PRUNE_BATCH = 1_000  # lines removed in one transaction, so that nobody waits long for the lock
MERGE_PAGES = 500  # pages of the index of texts that are written anew in one transaction
SAMPLE = 500  # lines at either end by which a size is estimated
OVERHEAD = 250  # bytes of a line beside its texts: other columns, a row's head, indexes
FULL_TO = 0.9  # of the allowed size is kept when it is exceeded


class Range(NamedTuple):
    """Numbers to look at, both included."""

    low: int
    high: int


class SqlLogStore:
    """A :class:`~crawlkit.database.base.LogStore`."""

    def __init__(self, database: Database) -> None:
        prepare(database)
        self._database = database
        dialect = database.engine.dialect
        names = [name for name in COLUMNS if name != "n" or not database.is_sqlite]
        self._insert = Prepared(lambda: sa.insert(log_lines).inline(), dialect, names)
        self._seen = upsert(log_nodes, dialect)
        self._lock = threading.Lock()  # one who prunes at a time
        with database.read() as connection:
            self._has_words = database.is_sqlite and _has_words(connection)

    # -- writing -----------------------------------------------------------------------------------------------------

    def append_many(self, lines: Sequence[LogLine]) -> int:
        if not lines:
            return self.last()
        kept = [cleaned(line) for line in lines]
        with self._database.write() as connection:
            if self._database.is_sqlite:
                rows = [tuple(getattr(line, name) for name in self._insert.names) for line in kept]
                for start in range(0, len(rows), AT_ONCE):
                    _insert_at_once(connection, self._insert.names, rows[start : start + AT_ONCE])
                last = _last(connection)
            else:
                first = _last(connection) + 1
                last = first + len(kept) - 1
                numbered = [msgspec.structs.replace(line, n=n) for n, line in enumerate(kept, first)]
                rows = [tuple(getattr(line, name) for name in self._insert.names) for line in numbered]
                connection.exec_driver_sql(self._insert.sql, rows)
                connection.exec_driver_sql(self._seen.sql, ("", "", last))
            self._note_nodes(connection, kept, last - len(kept) + 1)
        return last

    def _note_nodes(self, connection: Connection, lines: Sequence[LogLine], first: int) -> None:
        seen = {line.node: (line.node, line.role, n) for n, line in enumerate(lines, first) if line.node}
        if seen:
            connection.exec_driver_sql(self._seen.sql, list(seen.values()))

    def prune(self, before: float, max_bytes: int) -> int:
        with self._lock:
            with self._database.read() as connection:
                there = _range(connection)
                used = _used(connection, there)
                end = there.low if there is None else _first_since(connection, there, before)
                if used > max_bytes:
                    share = (used - FULL_TO * max_bytes) / used
                    end = max(end, there.low + int((there.high - there.low + 1) * share) + 1)
            end = min(end, there.high + 1)
            for start in range(there.low, end, PRUNE_BATCH):
                self._remove(start, min(start + PRUNE_BATCH, end))
            if end > there.low:
                self._tidy(end)
        return end - there.low

    def _remove(self, start: int, end: int) -> None:
        with self._database.write() as connection:
            connection.execute(sa.delete(log_lines).where(log_lines.c.n >= start, log_lines.c.n < end))

    def _tidy(self, first: int) -> None:
        """Nodes without lines go, and the index of texts gives back the room of what was removed."""
        with self._database.write() as connection:
            connection.execute(sa.delete(log_nodes).where(log_nodes.c.last < first, log_nodes.c.node != ""))
        working = self._has_words
        while working:
            with self._database.write() as connection:
                before = _changes(connection)
                connection.exec_driver_sql(f"INSERT INTO log_words (log_words, rank) VALUES ('merge', -{MERGE_PAGES})")
                working = _changes(connection) - before >= 2

    # -- reading -----------------------------------------------------------------------------------------------------

    def search(
        self, wanted: LogFilter, before: int | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> LogPage:
        with self._database.read(snapshot=True) as connection:
            there = _range(connection)
            span = self._span(connection, wanted, there)
            if before is not None:
                span = Range(span.low, min(span.high, before - 1))
            return self._look(connection, wanted, span, limit, budget, newest_first=True)

    def tail(self, wanted: LogFilter, after: int, limit: int = 1000, budget: float = SEARCH_SECONDS) -> LogPage:
        with self._database.read(snapshot=True) as connection:
            there = _range(connection)
            span = self._span(connection, wanted, there)
            span = Range(max(span.low, after + 1), span.high)
            page = self._look(connection, wanted, span, limit, budget, newest_first=False)
            if page.next is None:
                page.next = max(after, _last(connection))
            return page

    def _span(self, connection: Connection, wanted: LogFilter, there: Range) -> Range:
        """The numbers between which lines of the wanted time are."""
        low, high = there
        if wanted.since is not None:
            low = _first_since(connection, there, wanted.since - SKEW)
        if wanted.until is not None:
            high = _first_since(connection, there, wanted.until + SKEW) - 1
        return Range(low, high)

    def _look(
        self, connection: Connection, wanted: LogFilter, span: Range, limit: int, budget: float, *, newest_first: bool
    ) -> LogPage:
        found: list[LogLine] = []
        began = SystemClock.monotonic()
        deadline = began + budget
        low, high = span
        window = FIRST_WINDOW
        while low <= high:
            part = Range(max(low, high - window + 1), high) if newest_first else Range(low, min(high, low + window - 1))
            rows = self._rows(connection, wanted, part, limit - len(found), newest_first)
            found += [LogLine(**row._mapping) for row in rows]
            if len(found) >= limit:
                return LogPage(found, found[-1].n if span.low < found[-1].n or not newest_first else None)
            now = SystemClock.monotonic()
            low, high = (low, part.low - 1) if newest_first else (part.high + 1, high)
            if now >= deadline and low <= high:
                edge = part.low if newest_first else part.high
                return LogPage(found, edge, _time_of(connection, edge))
            window, began = next_window(window, now - began, budget), now
        return LogPage(found, None)

    def _rows(self, connection: Connection, wanted: LogFilter, part: Range, limit: int, newest_first: bool) -> Any:
        conditions, values = _conditions(wanted)
        values |= {"low": part.low, "high": part.high, "rows": limit}
        place = "log_lines"
        grams = trigram_query(wanted.text) if wanted.text and self._has_words else ""
        if grams and not _are_few(connection, conditions, values):
            # CROSS JOIN: the index of texts first, then the lines it names
            place = "log_words CROSS JOIN log_lines ON log_lines.n = log_words.rowid"
            conditions = ["log_words MATCH :grams", "log_words.rowid BETWEEN :low AND :high", *conditions]
            values["grams"] = grams
            order = "log_words.rowid"
        else:
            conditions = ["log_lines.n BETWEEN :low AND :high", *conditions]
            order = "log_lines.n"
        if wanted.text:
            condition, pattern = _text_is(connection.dialect.name, wanted.text)
            conditions.append(condition)
            values |= pattern
        columns = ", ".join(f"log_lines.{name}" for name in COLUMNS)
        query = (
            f"SELECT {columns} FROM {place} WHERE {' AND '.join(conditions)}"
            f" ORDER BY {order} {'DESC' if newest_first else 'ASC'} LIMIT :rows"
        )
        return connection.execute(sa.text(query), values).all()

    def last(self) -> int:
        with self._database.read() as connection:
            return _last(connection)

    def nodes(self) -> list[tuple[str, str]]:
        with self._database.read() as connection:
            query = sa.select(log_nodes.c.node, log_nodes.c.role).where(log_nodes.c.node != "")
            rows = connection.execute(query.order_by(log_nodes.c.node))
            return [(row.node, row.role) for row in rows]

    def size(self) -> tuple[int, int]:
        with self._database.read() as connection:
            there = _range(connection)
            used = _used(connection, there)
            return there.high - there.low + 1, used

    def carrier(self) -> Carrier:
        """Reads and writes its rows as they are."""
        from crawlkit.database.sqlalchemy.carrier import SqlCarrier

        return SqlCarrier(self._database, "logdb")

    def close(self) -> None:
        self._database.close()


def _insert_at_once(connection: Connection, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """One statement for all rows. With one for each, a busy process would have to wait for the GIL after each."""
    values = ", ".join([f"({', '.join('?' * len(names))})"] * len(rows))
    flat = tuple(value for row in rows for value in row)
    connection.exec_driver_sql(f"INSERT INTO log_lines ({', '.join(names)}) VALUES {values}", flat)


def _text_is(dialect: str, text: str) -> tuple[str, dict[str, str]]:
    """A condition, in whatever case ASCII letters are, and its values."""
    values = {"pattern": like_pattern(text if dialect == "sqlite" else fold(text)), "escape": "\\"}
    if dialect == "sqlite":
        return "log_lines.text LIKE :pattern ESCAPE :escape", values
    if dialect == "postgresql" or text.isascii():
        return "lower(log_lines.text) LIKE :pattern ESCAPE :escape", values
    # MariaDB would fold other letters, too
    letters = (f"[{sign.lower()}{sign.upper()}]" if sign.isascii() and sign.isalpha() else sign for sign in text)
    return "log_lines.text REGEXP :pattern", {"pattern": "".join(map(_escaped_letter, letters))}


def _escaped_letter(sign: str) -> str:
    return sign if len(sign) > 1 or sign.isalnum() else f"\\x{{{ord(sign):x}}}"


def _conditions(wanted: LogFilter) -> tuple[list[str], dict[str, Any]]:
    """All but the text."""
    conditions, values = [], dict[str, Any]()
    for name in ("project", "node", "role", "taskid"):
        if value := getattr(wanted, name):
            conditions.append(f"log_lines.{name} = :{name}")
            values[name] = value
    if wanted.taskid:
        conditions.append("taskid <> ''")  # the condition of its index
    if wanted.role and wanted.role != "processor":
        conditions.append("role <> 'processor'")
    if wanted.level:
        conditions.append("log_lines.level >= :level")
        values["level"] = wanted.level
        if wanted.level >= 30:
            conditions.append("level >= 30")
    for name, sign in (("since", ">="), ("until", "<=")):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(f"log_lines.time {sign} :{name}")
            values[name] = value
    return conditions, values


def _are_few(connection: Connection, conditions: Sequence[str], values: dict[str, Any]) -> bool:
    """Whether an index leads to so few lines of a window that their texts need no index of their own."""
    if not conditions:
        return False
    # Looked at by number, the plan with an index is taken when there is one that fits.
    query = (
        f"SELECT count(*) FROM (SELECT 1 FROM log_lines WHERE log_lines.n BETWEEN :low AND :high"
        f" AND {' AND '.join(conditions)} LIMIT {FEW + 1})"
    )
    return int(connection.execute(sa.text(query), values).scalar_one()) <= FEW


def _has_words(connection: Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = 'log_words_delete'"
    return connection.exec_driver_sql(query).scalar() is not None


def _range(connection: Connection) -> Range:
    """The numbers there are; low > high without any."""
    low, high = (connection.execute(sa.select(end(log_lines.c.n))).scalar() for end in (sa.func.min, sa.func.max))
    return Range(1, 0) if low is None or high is None else Range(low, high)


def _last(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'log_lines'"
        return int(connection.exec_driver_sql(query).scalar() or 0)
    return int(connection.execute(sa.select(log_nodes.c.last).where(log_nodes.c.node == "")).scalar() or 0)


def _time_of(connection: Connection, n: int) -> float | None:
    found = connection.execute(
        sa.select(log_lines.c.time).where(log_lines.c.n >= n).order_by(log_lines.c.n).limit(1)
    ).scalar()
    return None if found is None else float(found)


def _first_since(connection: Connection, there: Range, moment: float) -> int:
    """The first number whose time is at least ``moment``, as if times grew with numbers; ``high + 1`` without any."""
    low, high = there.low, there.high + 1
    while low < high:
        middle = (low + high) // 2
        found = _time_of(connection, middle)
        if found is not None and found < moment:
            low = middle + 1
        else:
            high = middle
    return low


def _used(connection: Connection, there: Range) -> int:
    """Bytes that are in use: of the file, or by an estimate from some lines at both ends."""
    if connection.dialect.name == "sqlite":
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
    each: sa.ColumnElement[int] = sa.literal(OVERHEAD)
    for name in ("text", "url", "logger"):
        each = each + sa.func.octet_length(log_lines.c[name])
    ends = [
        sa.select(each.label("size")).order_by(order).limit(SAMPLE).subquery()
        for order in (log_lines.c.n, log_lines.c.n.desc())
    ]
    both = sa.union_all(*(sa.select(end.c.size) for end in ends)).subquery()
    average = connection.execute(sa.select(sa.func.avg(both.c.size))).scalar() or 0
    return int(float(average) * (there.high - there.low + 1))


def _changes(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())
