"""What the stores on PostgreSQL and MariaDB do when the server fails them; each server here is a test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crawlkit.database.base import ResultStore, TaskStore, Writes
from crawlkit.database.registry import connect_blobdb, connect_database, connect_resultdb, connect_taskdb
from crawlkit.database.sqlalchemy import tables
from crawlkit.libs.errors import StoreMismatch, StoreUnavailable
from tests.own_databases import PASSWORD, OwnDatabase, OwnMariaDB, own_mariadb, own_postgres
from tests.servers import free_port

from .stores import results, waiting, writes
from .test_faults import ROWS, batch

BACK = 1.0  # seconds from the server's return to the next commit


@pytest.fixture(scope="module", params=("postgresql", "mariadb"))
def server(request: pytest.FixtureRequest) -> Iterator[OwnDatabase]:
    with own_postgres() if request.param == "postgresql" else own_mariadb() as made:
        yield made


@pytest.fixture
def url(server: OwnDatabase, request: pytest.FixtureRequest) -> str:
    """A database that does not exist yet, and is made."""
    name = request.node.name.partition("[")[0][-50:].lstrip("_")
    return server.url.removesuffix("crawl") + name


@pytest.fixture
def store(url: str) -> Iterator[TaskStore]:
    made = connect_taskdb(url)
    yield made
    made.close()


def admin(url: str) -> sa.Engine:
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def until_kept(store: TaskStore, pending: Writes) -> None:
    """As the scheduler does it."""
    while True:
        try:
            store.commit(pending)
            return
        except StoreUnavailable:
            time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_restart_loses_nothing_and_nobody_has_to_help(server: OwnDatabase, store: TaskStore, how: int) -> None:
    base = 0 if how == signal.SIGINT else 10
    store.commit(batch(base))
    server.stop(how)
    pending = batch(base + 1)
    with pytest.raises(StoreUnavailable) as info:
        store.commit(pending)
    assert "is the server running there?" in str(info.value) or "clos" in str(info.value), info.value
    assert PASSWORD not in str(info.value)
    server.start()
    began = time.monotonic()
    until_kept(store, pending)
    assert time.monotonic() - began < BACK
    assert store.books("p").tasks >= 2 * ROWS
    assert store.ledger("p")["p", "accepted", ""] == store.books("p").tasks


def test_connections_that_ended_meanwhile_are_not_noticed(server: OwnDatabase, url: str) -> None:
    taskdb, resultdb, blobdb = connect_taskdb(url), connect_resultdb(url), connect_blobdb(url)
    taskdb.commit(batch(0))
    resultdb.save([results("a", "1")])
    server.restart()
    assert taskdb.max_seq() == ROWS
    taskdb.commit(batch(1))
    resultdb.save([results("b", "1")])
    assert b"".join(blobdb.read(blobdb.create([b"body"], "p/a/1"))) == b"body"
    assert resultdb.count("p") == 2
    for each in (taskdb, resultdb, blobdb):
        each.close()


@pytest.mark.faults
def test_commits_while_the_server_is_killed_again_and_again(server: OwnDatabase, store: TaskStore) -> None:
    """Each batch whole and once, however its commit ended."""
    ended = threading.Event()

    def trouble() -> None:
        try:
            for _ in range(3):
                time.sleep(0.15)
                server.restart(signal.SIGKILL)
        finally:
            ended.set()

    thread = threading.Thread(target=trouble)
    thread.start()
    number = 0
    while not ended.is_set() or number < 5:
        pending = batch(number)
        until_kept(store, pending)
        number += 1
    thread.join()
    books = store.books("p")
    assert (books.tasks, books.leased) == (number * ROWS, number * ROWS)
    assert store.ledger("p") == {("p", "accepted", ""): number * ROWS}
    assert store.max_seq() == number * ROWS


def test_a_killed_session_is_told_in_words(server: OwnDatabase, store: TaskStore, url: str) -> None:
    store.commit(batch(0))

    def lose_it_within() -> None:
        with store._database.write() as connection, admin(url).connect() as other:  # type: ignore[attr-defined]
            if isinstance(server, OwnMariaDB):
                number = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
                other.exec_driver_sql(f"KILL {number}")
            else:
                number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
                other.exec_driver_sql(f"SELECT pg_terminate_backend({number})")
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(StoreUnavailable):
        lose_it_within()
    store.commit(batch(1))
    assert store.books("p").tasks == 2 * ROWS


def said_by(url: str, *words: str) -> tuple[int, str]:
    """What `crawlkit` says about a taskdb."""
    command = [sys.executable, "-m", "crawlkit", "--taskdb", url, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": "/nowhere"})
    return done.returncode, done.stderr.strip()


def test_one_line_for_each_way_to_be_kept_out(server: OwnDatabase, url: str, tmp_path: Path) -> None:
    """Shows 7: which line says what to do; exit code 2, no traceback, no password."""
    closed = f":{free_port()}/"
    tls = "ssl_ca" if isinstance(server, OwnMariaDB) else "sslmode=verify-full&sslrootcert"
    cases = {
        url.replace(f":{server.port}/", closed): "is the server running there?",
        url.replace("127.0.0.1", "no.such.host.invalid"): "look at the name of the host",
        f"{url}?{tls}=/nowhere.pem": "look at ssl",
    }
    for place, words in cases.items():
        with pytest.raises(StoreUnavailable, match=words) as info:
            connect_taskdb(place)
        assert PASSWORD not in str(info.value)
    code, said = said_by(server.with_password("wr0ng"), "--data-path", str(tmp_path), "scheduler")
    assert code == 2, said
    assert "look at the user and the password in the URL" in said
    assert said.count("\n") == 0, said
    assert "wr0ng" not in said


def test_a_newer_schema_and_foreign_tables_are_refused(url: str, tmp_path: Path) -> None:
    connect_taskdb(url).close()
    engine = admin(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE crawlkit_taskdb_version SET version_num = '0999'")
    with pytest.raises(StoreMismatch, match=r"schema 0999.*newer crawlkit"):
        connect_taskdb(url)
    assert "newer crawlkit" in said_by(url, "--data-path", str(tmp_path), "scheduler")[1]
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE results (customer int)")
        connection.exec_driver_sql("CREATE TABLE customers (name int)")
    with pytest.raises(StoreMismatch, match=r"holds other tables \(results\)"):
        connect_resultdb(url)
    connect_blobdb(url).close()  # beside tables of others, as long as no name is the same


@pytest.mark.parametrize("kind", tables.HEADS)
def test_many_make_a_store_at_once(url: str, kind: str) -> None:
    place = url.replace("://", f"+{kind}://")
    barrier = threading.Barrier(5)
    problems: list[BaseException] = []

    def open_one() -> None:
        barrier.wait()
        try:
            connect_database(place).close()
        except BaseException as error:  # whatever it is, the test shall show it
            problems.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_store_that_was_half_made_is_made_whole(server: OwnDatabase, url: str) -> None:
    """MariaDB makes each table in a transaction of its own: a death in between shall not be the end."""
    connect_taskdb(url).close()
    with admin(url).connect() as connection:
        connection.exec_driver_sql("DROP TABLE nodes")
        connection.exec_driver_sql("UPDATE crawlkit_taskdb_version SET version_num = '0'")
    store = connect_taskdb(url)
    assert store.nodes() == []
    store.close()


def test_results_of_several_workers_get_numbers_in_the_order_of_their_commits(url: str) -> None:
    stores: list[ResultStore] = [connect_resultdb(url) for _ in range(3)]
    problems: list[BaseException] = []
    seen: list[int] = []
    done = threading.Event()

    def save(store: ResultStore, name: str) -> None:
        try:
            for number in range(20):
                store.save([results(f"{name}{number}-{n}", "1") for n in range(5)])
        except BaseException as error:  # whatever it is, the test shall show it
            problems.append(error)

    def follow() -> None:
        store = connect_resultdb(url)
        last = 0
        while True:
            finished = done.is_set()
            for row in store.since(last, 1000):
                seen.append(row.seq)
                last = row.seq
            if finished:
                break
        store.close()

    follower = threading.Thread(target=follow)
    follower.start()
    threads = [threading.Thread(target=save, args=(store, f"w{n}-")) for n, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join()
    assert problems == []
    assert seen == list(range(1, 301))
    for store in stores:
        store.close()


def test_a_row_that_the_server_would_not_take(server: OwnDatabase, store: TaskStore, url: str) -> None:
    if not isinstance(server, OwnMariaDB):
        pytest.skip("PostgreSQL takes rows up to 1 GB")
    large = writes(insert=[waiting("a", 1, save='"' + "x" * 20_000_000 + '"')])
    with pytest.raises(StoreUnavailable, match=r"a row of 20,\d+,\d+ bytes is larger than .* max_allowed_packet"):
        store.commit(large)
    engine = admin(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET GLOBAL max_allowed_packet = 67108864")
    store.commit(large)
    row = store.get("p", "a")
    assert row is not None
    assert row.save is not None
    assert len(row.save) == 20_000_002


STANDING = """
import sys
from crawlkit.database.base import Writes
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy import mariadb, postgresql
from crawlkit.libs.errors import NotOwner, StoreUnavailable
postgresql.ABANDONED = mariadb.ABANDONED = 1
store = connect_taskdb(sys.argv[1])
assert store.own("frozen", 0) is None
writes = Writes(state={("p", "late"): "1"})
try:
    with store._database.write() as connection:
        if sys.argv[2] == "wrote":
            connection.exec_driver_sql("INSERT INTO state (project, name, text) VALUES ('p', 'half', '1')")
        print("in it", flush=True)
        sys.stdin.readline()
        connection.exec_driver_sql("SELECT 1")
except StoreUnavailable as error:
    print("unavailable:", error, flush=True)
try:
    store.commit(writes)
except NotOwner as error:
    print("not owner:", error, flush=True)
"""


@pytest.mark.parametrize("did", ["locked", "wrote"])
def test_one_that_stands_still_in_a_transaction_holds_nobody_up(store: TaskStore, url: str, did: str) -> None:
    words = [sys.executable, "-c", STANDING, url, did]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "in it\n"
            child.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            assert store.own("next", 60) is None
            assert time.monotonic() - began < 4
            child.send_signal(signal.SIGCONT)
            said = child.communicate("\n", 30)[0].splitlines()
        finally:
            child.kill()
    assert [line.partition(":")[0] for line in said] == ["unavailable", "not owner"], said
    assert "next has it now" in said[1]
    assert store.state() == {}


def test_a_snapshot_may_stand_as_long_as_its_reader_likes(server: OwnDatabase, store: TaskStore) -> None:
    database = store._database  # type: ignore[attr-defined]
    asked = "SELECT current_setting('idle_in_transaction_session_timeout')"
    if isinstance(server, OwnMariaDB):
        asked = "SELECT @@idle_transaction_timeout"
    for _ in range(2):
        with database.read() as connection:
            assert connection.exec_driver_sql(asked).scalar() in (10, "10s")
        with database.read(snapshot=True) as connection:
            assert connection.exec_driver_sql(asked).scalar() in (0, "0")
