"""Rows that each commit changes: found by their places on PostgreSQL, whoever moved them, however long others look."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crawlkit.contract.rows import waiting, writes
from crawlkit.database.base import TaskStore, Writes
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy.hotrows import Counters
from crawlkit.database.sqlalchemy.ownership import _signed_by_place
from crawlkit.database.sqlalchemy.tables import ledger
from crawlkit.libs.errors import NotOwner, Overspent

from .stores import url_of


@pytest.fixture
def url(tmp_path: Path) -> str:
    return url_of("postgresql", tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[TaskStore]:
    made = connect_taskdb(url)
    assert made.own("n", 60) is None
    yield made
    made.close()


@pytest.fixture
def server(url: str, store: TaskStore) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def counted(*events: str, **more: object) -> Writes:
    made = writes(**more)
    for event in events:
        made.count("p", event)
    return made


def pages_read(connection: psycopg.Connection, *tables: str) -> int:
    """Of these tables and their indices, by everybody so far who has told."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    query = "SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)"
    row = connection.execute(f"{query} FROM pg_statio_user_tables WHERE relname = ANY(%s)", (list(tables),)).fetchone()
    assert row is not None
    return int(row[0])


def told(store: TaskStore) -> None:
    """The session of the store tells the server what it has read."""
    with store._database.read() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")


def test_commits_cost_the_same_while_somebody_holds_a_transaction_open(
    url: str, store: TaskStore, server: psycopg.Connection
) -> None:
    version = server.info.server_version
    if version < 150_000:
        pytest.skip("an older server tells only now and then what was read")
    hot = ("ledger", "counts", "writers")
    numbers = itertools.count()

    def some(commits: int) -> int:
        before = pages_read(server, *hot)
        for _ in range(commits):
            row = waiting(f"t{next(numbers)}", 1)
            store.commit(counted("accepted", "done", insert=[row], counts={("p", "*"): 1}))
        told(store)
        return pages_read(server, *hot) - before

    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM ledger")
        some(100)
        early = some(50)
        some(1_500)
        late = some(50)
        assert late < 2 * early + 50, (early, late)
        other.rollback()
    assert store.ledger("p")["p", "done", ""] == store.counts("p", ["*"])["*"] == 1_700


def test_rows_that_were_moved_are_found_again(store: TaskStore, server: psycopg.Connection) -> None:
    for _ in range(3):
        store.commit(counted("accepted", counts={("p", "*"): 1}))
        server.execute("VACUUM FULL ledger, counts, writers")
    store.commit(counted("accepted", "done", counts={("p", "*"): 1}))
    assert store.ledger("p") == {("p", "accepted", ""): 4, ("p", "done", ""): 1}
    assert store.counts("p", ["*"]) == {"*": 4}


def test_rows_that_others_change_meanwhile_are_found_again(url: str, store: TaskStore) -> None:
    other = connect_taskdb(url)
    for _ in range(5):
        for each in (store, other, other, store):
            each.commit(counted("accepted", "done"))
    assert store.ledger("p") == {("p", "accepted", ""): 20, ("p", "done", ""): 20}
    other.close()


def test_rows_that_were_removed_begin_anew(store: TaskStore) -> None:
    store.commit(counted("accepted"))
    store.drop("p")
    store.commit(counted("accepted", "done"))
    assert store.ledger("p") == {("p", "accepted", ""): 1, ("p", "done", ""): 1}


def test_the_place_of_another_row_is_not_taken_for_ones_own(store: TaskStore, server: psycopg.Connection) -> None:
    """A place that was given up is given to the next row."""
    for project in "pq":
        made = Writes()
        made.count(project, "accepted")
        store.commit(made)
    server.execute("VACUUM FULL ledger")
    swapped = server.execute("WITH gone AS (DELETE FROM ledger RETURNING *) SELECT * FROM gone").fetchall()
    server.execute("VACUUM FULL ledger")
    for row in reversed(swapped):
        server.execute("INSERT INTO ledger VALUES (%s, %s, %s, %s)", row)
    store.commit(counted("accepted"))
    assert store.ledger() == {("p", "accepted", ""): 2, ("q", "accepted", ""): 1}


def test_a_commit_that_was_not_kept_does_not_lose_the_places(store: TaskStore) -> None:
    def spend(most: int) -> Writes:
        return counted("accepted", counts={("p", "*"): 1}, most={("p", "*"): most})

    store.commit(spend(3))
    for _ in range(2):
        with pytest.raises(Overspent):
            store.commit(spend(1))
        store.commit(spend(3))
    assert store.ledger("p") == {("p", "accepted", ""): 3}
    assert store.counts("p", ["*"]) == {"*": 3}


def test_who_lost_the_store_commits_nothing_wherever_the_signature_was(
    url: str, store: TaskStore, server: psycopg.Connection
) -> None:
    store.commit(counted("accepted"))
    server.execute("VACUUM FULL writers")
    store.commit(counted("accepted"))
    other = connect_taskdb(url)
    assert other.own("m", 60, over=store.owners()[0]) is None
    for _ in range(2):
        with pytest.raises(NotOwner, match="the scheduler on m has it now"):
            store.commit(counted("accepted"))
    assert store.ledger("p") == {("p", "accepted", ""): 2}
    other.close()


def test_many_counters_at_once(store: TaskStore) -> None:
    for turns in range(1, 4):
        made = Writes()
        for number in range(3_000):
            made.count(f"p{number}", "accepted", n=number)
        store.commit(made)
        assert store.ledger() == {(f"p{number}", "accepted", ""): number * turns for number in range(3_000)}


def test_a_project_of_any_name_is_counted(store: TaskStore) -> None:
    names = ['"', "a,b", "NULL", "\\", "(0,1)", "", "é€"]
    for _ in range(2):
        made = Writes()
        for name in names:
            made.count(name, "accepted", name)
        store.commit(made)
    assert store.ledger() == {(name, "accepted", name): 2 for name in names}


def test_the_plans_go_by_places(store: TaskStore) -> None:
    """Also those that are kept for any values."""
    store.commit(counted("accepted", "done"))
    with store._database.read() as connection:  # type: ignore[attr-defined]
        counters, signing = Counters(ledger, connection.dialect)._sql, _signed_by_place(frozenset({0}))
        asked = [
            (counters, "'{p}', '{done}', '{\"\"}', '{1}', '{\"(0,1)\"}'", r"TID Cond: \(ctid = new(_1)?\.place\)"),
            (signing, "1, 1, 'w', '(0,1)', 'w', 'w'", r"TID Cond: \(ctid = COALESCE\("),
        ]
        connection.exec_driver_sql("BEGIN")
        store._database.by_key(connection)  # type: ignore[attr-defined]
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        for sql, given, by_place in asked:
            numbers = itertools.count(1)
            numbered = re.sub("%s", lambda _: f"${next(numbers)}", sql)  # noqa: B023
            connection.exec_driver_sql(f"PREPARE asked AS {numbered}")
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN EXECUTE asked({given})"))
            connection.exec_driver_sql("DEALLOCATE asked")
            assert re.search(by_place, plan), plan
            assert "Seq Scan" not in plan, plan
        connection.exec_driver_sql("ROLLBACK")
