"""Statements that wait for nothing: what a commit costs in messages, and what is left when one of them fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from crawlkit.contract.rows import DONE, attempt, lease, progress, waiting, writes
from crawlkit.database.base import TaskStore, Writes
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy.pipeline import pipelined
from tests.relay import Relay

from .stores import url_of


@pytest.fixture
def url(tmp_path: Path) -> str:
    return url_of("postgresql", tmp_path)


@pytest.fixture
def driver(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as made:
        yield made


def turn(number: int, rows: int = 30) -> Writes:
    """What a turn of a scheduler commits: tasks come, others end."""
    ended = [waiting(f"t{number - 1}-{n}", n + 1) for n in range(rows)]
    made = writes(
        insert=[waiting(f"t{number}-{n}", n + 1) for n in range(rows)],
        progress=[progress(row, **DONE) for row in ended],
        unlease=[(row.project, row.taskid) for row in ended],
        lease=[lease(f"t{number}-{n}") for n in range(rows)],
        attempts=[attempt(row.taskid) for row in ended],
    )
    made.count("p", "accepted", "submit", rows)
    made.count("p", "done", "", rows)
    return made


def test_a_commit_is_one_message_and_one_answer(url: str) -> None:
    connect_taskdb(url).close()  # makes the tables
    parts = urlsplit(url)
    with Relay((parts.hostname or "", parts.port or 5432)) as relay:
        account = parts.netloc.rpartition("@")[0]
        store = connect_taskdb(urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{relay.port}")))
        assert store.own("n", 60) is None
        for number in range(1, 10):
            store.commit(turn(number))  # the first ones prepare statements
        before, connections = relay.pieces, relay.connections
        for number in range(10, 15):
            store.commit(turn(number))
        assert relay.connections == connections
        assert relay.pieces - before == 5
        assert store.ledger("p")["p", "done", ""] == 14 * 30
        store.close()


def test_answers_can_be_read_behind_it(driver: psycopg.Connection) -> None:
    with pipelined(driver) as sender:
        answers = [sender.exec_driver_sql("SELECT %s::int + 1", (number,)) for number in range(20)]
    assert [answer.fetchone() for answer in answers] == [(number + 1,) for number in range(20)]
    assert driver.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("behind", [0, 1, 40])
def test_the_first_error_is_told_and_what_came_behind_it_was_not_done(
    driver: psycopg.Connection, behind: int, caplog: pytest.LogCaptureFixture
) -> None:
    driver.execute("CREATE TEMPORARY TABLE seen (n int)")
    caplog.set_level(logging.DEBUG)

    def work() -> None:
        with pipelined(driver) as sender:
            sender.exec_driver_sql("BEGIN")
            sender.exec_driver_sql("INSERT INTO seen VALUES (%s)", (1,))
            sender.exec_driver_sql("SELECT 1 / %s", (0,))
            for number in range(behind):
                sender.exec_driver_sql("SELECT no_such_function(%s)", (number,))
            sender.exec_driver_sql("COMMIT")

    with pytest.raises(psycopg.errors.DivisionByZero):
        work()
    assert driver.info.transaction_status is psycopg.pq.TransactionStatus.INERROR
    driver.rollback()
    assert driver.execute("SELECT * FROM seen").fetchall() == []
    assert caplog.records == []


def test_many_rows_are_all_sent(driver: psycopg.Connection) -> None:
    driver.execute("CREATE TEMPORARY TABLE seen (n int, text text)")
    rows = [(number, "x" * 10_000) for number in range(2_000)]  # more than the sockets hold
    with pipelined(driver) as sender:
        sender.exec_driver_sql("INSERT INTO seen VALUES (%s, %s)", rows)
    assert driver.execute("SELECT count(*), sum(length(text)) FROM seen").fetchone() == (2_000, 20_000_000)


def test_a_commit_that_fails_leaves_nothing_and_the_store_goes_on(url: str) -> None:
    store: TaskStore = connect_taskdb(url)
    store.commit(turn(1))
    wrong = turn(2)
    wrong.insert[7] = waiting("no\0text", 1)
    with pytest.raises(Exception, match="NUL"):
        store.commit(wrong)
    assert store.ledger("p") == {("p", "accepted", "submit"): 30, ("p", "done", ""): 30}
    store.commit(turn(2))
    assert store.ledger("p")["p", "accepted", "submit"] == 60
    store.close()
