"""What the SQLite stores do when the machine fails them: killed, no room, no lock, no permission."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlkit.contract.rows import attempt, lease, results, waiting, writes
from crawlkit.database.base import ProjectRow, Queue, TaskStore, Writes
from crawlkit.database.registry import connect_blobdb, connect_projectdb, connect_resultdb, connect_taskdb
from crawlkit.libs.errors import StoreUnavailable
from tests.small_disk import fill_up, mounted

ROWS = 50


def batch(number: int) -> Writes:
    names = [f"t{number:06}-{n:03}" for n in range(ROWS)]
    made = writes(
        insert=[waiting(name, number * ROWS + n + 1) for n, name in enumerate(names)],
        lease=[lease(name) for name in names],
        attempts=[attempt(name, process="x" * 200) for name in names],
    )
    made.count("p", "accepted", n=ROWS)
    return made


WRITER = """
import sys
from crawlkit.database.registry import connect_taskdb
from tests.database.test_faults import batch
store = connect_taskdb(sys.argv[1])
number = int(sys.argv[2])
while True:
    store.commit(batch(number))
    print(number, flush=True)
    number += 1
"""
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_leaves_before_or_after(tmp_path: Path, seed: int) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    chance = random.Random(seed)
    number = 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, url, str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
            assert child.stdout is not None
            seen = [child.stdout.readline() for _ in range(chance.randrange(1, 12))]
            time.sleep(chance.random() * 0.01)  # somewhere within the next commits
            child.send_signal(signal.SIGKILL)
            seen += child.stdout.readlines()
        acknowledged = int(seen[-1]) if seen[-1].endswith("\n") else int(seen[-2])
        store = connect_taskdb(url)
        books = store.books("p")
        assert books.tasks % ROWS == 0
        assert books.tasks // ROWS in (acknowledged + 1, acknowledged + 2)
        assert books.leased == books.tasks
        assert store.ledger("p") == {("p", "accepted", ""): books.tasks}
        assert store.max_seq() == books.tasks
        assert len(store.attempts("p", f"t{books.tasks // ROWS - 1:06}-{ROWS - 1:03}")) == 1
        store.close()
        number = books.tasks // ROWS
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_commits_are_synced() -> None:
    """Durable means: the log is synced at each commit of task, project and result stores."""
    from crawlkit.database.sqlalchemy.sqlite import opener, sqlite_engine

    for durable, level in ((True, 2), (False, 1)):
        engine = sqlite_engine(opener(":memory:", durable=durable))
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
        engine.dispose()
        Path(":memory:").unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 2) as place:
        yield place


def fails_then_works(work: Callable[[], object], words: str, mend: Callable[[], object]) -> None:
    def work_on() -> None:
        for _ in range(2000):
            work()

    with pytest.raises(StoreUnavailable, match=words):
        work_on()
    mend()
    work()


def test_taskdb_on_a_full_disk(small_disk: Path) -> None:
    store = connect_taskdb(f"sqlite:///{small_disk}/t.db")
    store.commit(batch(0))
    ballast = fill_up(small_disk)
    pending = batch(1)
    fails_then_works(lambda: store.commit(pending), r"taskdb .*disk is full: free some space", ballast.unlink)
    assert store.books("p").tasks == 2 * ROWS
    assert store.ledger("p") == {("p", "accepted", ""): 2 * ROWS}
    store.close()
    with sqlite3.connect(small_disk / "t.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_other_stores_on_a_full_disk(small_disk: Path) -> None:
    projects = connect_projectdb(f"sqlite:///{small_disk}/p.db")
    found = connect_resultdb(f"sqlite:///{small_disk}/r.db")
    blobs = connect_blobdb(f"sqlite:///{small_disk}/b.db")
    row = ProjectRow("a", script="x" * 50_000)
    for work in (
        lambda: projects.put(row),
        lambda: found.save([results("a", "1" * 50_000), results("b", "1" * 50_000)]),
        lambda: blobs.create([b"x" * 1_000_000], "k"),
    ):
        ballast = fill_up(small_disk)
        fails_then_works(work, "disk is full", ballast.unlink)
    assert [each.taskid for each in found.since(0, 10)] == ["a", "b"]
    assert projects.names() == ["a"]
    for store in (projects, found, blobs):
        store.close()


def test_a_store_cannot_be_made_on_a_full_disk(small_disk: Path) -> None:
    ballast = fill_up(small_disk)
    with pytest.raises(StoreUnavailable, match="full"):
        connect_taskdb(f"sqlite:///{small_disk}/t.db")
    ballast.unlink()
    connect_taskdb(f"sqlite:///{small_disk}/t.db").close()


def test_a_read_only_file_system(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/t.db"
    store = connect_taskdb(url)
    store.commit(batch(0))
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreUnavailable, match="read-only: make it writable"):
        connect_taskdb(url).commit(batch(1))
    reader = connect_taskdb(url, read_only=True)
    assert reader.books("p").tasks == ROWS
    reader.close()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    store = connect_taskdb(url)
    store.commit(batch(1))
    assert store.books("p").tasks == 2 * ROWS
    store.close()


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """Works without root: the quota of a process instead of a full disk."""
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    store.commit(batch(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    pending = batch(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(path.stat().st_size for path in tmp_path.iterdir()), hard))
    try:
        fails_then_works(
            lambda: store.commit(pending), "quota|full", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.books("p").tasks == 2 * ROWS
    assert store.ledger("p") == {("p", "accepted", ""): 2 * ROWS}
    store.close()


def test_locked_by_another_process(tmp_path: Path) -> None:
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db?timeout=0.05")
    other = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pending = batch(0)
    fails_then_works(lambda: store.commit(pending), "another process holds its lock", lambda: other.execute("COMMIT"))
    assert store.books("p").tasks == ROWS
    other.close()
    store.close()


def test_a_short_lock_is_waited_for(tmp_path: Path) -> None:
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    other = sqlite3.connect(tmp_path / "t.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.1, other.execute, ("COMMIT",)).start()
    store.commit(batch(0))
    other.close()
    store.close()


def as_nobody(work: Callable[[], str]) -> str:
    """Runs ``work`` in a child process that root's rights were taken from; returns what it returned or raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            answer = work()
        except BaseException as error:  # whatever it is, the parent shall see it
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_no_permission() -> None:
    folder = Path(tempfile.mkdtemp())
    url = f"sqlite:///{folder}/t.db"
    try:
        store = connect_taskdb(url)
        store.commit(batch(0))
        store.close()
        folder.chmod(0o555)
        (folder / "t.db").chmod(0o444)
        said = as_nobody(lambda: str(connect_taskdb(url).commit(batch(1))))
        assert said.startswith("StoreUnavailable: taskdb")
        assert "read-only: make it writable" in said
        assert as_nobody(lambda: str(connect_taskdb(url, read_only=True).books("p").tasks)) == str(ROWS)
        (folder / "t.db").chmod(0)
        assert "StoreUnavailable: taskdb" in as_nobody(lambda: str(connect_taskdb(url, read_only=True).max_seq()))
    finally:
        shutil.rmtree(folder)


def test_a_reader_beside_a_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    writer = connect_taskdb(url)
    writer.commit(batch(0))
    reader: TaskStore = connect_taskdb(url, read_only=True)
    assert reader.books("p").tasks == ROWS
    writer.commit(batch(1))
    assert reader.books("p").tasks == 2 * ROWS
    assert len(reader.window("p", Queue.READY, None, 1000)) == 2 * ROWS
    with pytest.raises(StoreUnavailable, match="read-only"):
        reader.commit(batch(2))
    reader.close()
    writer.close()
    left = connect_taskdb(url, read_only=True)
    assert left.books("p").tasks == 2 * ROWS
    left.close()
