"""The power cut itself: the shim and what it puts back, tried on files of our own. No crawlkit code."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.power import Power


@pytest.fixture
def power(tmp_path: Path) -> Power:
    (tmp_path / "work").mkdir()
    return Power(tmp_path / "work", tmp_path / "power")


def script(power: Power, text: str) -> None:
    """Runs a script in the watched folder; it ends by SIGKILL."""
    env = {**os.environ, **power.environment()}
    done = subprocess.run(
        [sys.executable, "-c", text + "\nimport os; os.kill(os.getpid(), 9)"], cwd=power.root, env=env
    )
    assert done.returncode == -9


def test_what_was_not_synced_is_lost(power: Power) -> None:
    script(power, "import os\nf = open('a', 'ab', buffering=0)\nf.write(b'kept')\nos.fsync(f)\nf.write(b' lost')")
    assert (power.root / "a").read_bytes() == b"kept lost"
    assert power.cut() == {"a": 5}
    assert (power.root / "a").read_bytes() == b"kept"


def test_a_file_never_synced_is_gone(power: Power) -> None:
    script(power, "open('a', 'wb', buffering=0).write(b'x')")
    assert power.cut() == {"a": 1}
    assert not (power.root / "a").exists()


def test_a_renamed_file_takes_along_what_was_synced(power: Power) -> None:
    script(power, "import os\nf = open('a', 'wb', buffering=0)\nf.write(b'new')\nos.fsync(f)\nos.replace('a', 'b')")
    assert power.cut() == {}
    assert (power.root / "b").read_bytes() == b"new"


@pytest.mark.parametrize(("synchronous", "rows"), [("FULL", 3), ("OFF", 0)])
def test_sqlite_keeps_what_it_synced(power: Power, synchronous: str, rows: int) -> None:
    script(
        power,
        "import sqlite3\n"
        "db = sqlite3.connect('x.db', isolation_level=None)\n"
        f"db.execute('PRAGMA journal_mode=WAL'); db.execute('CREATE TABLE t (n)')\n"
        "db.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n"
        f"db.execute('PRAGMA synchronous={synchronous}')\n"
        "for n in range(3): db.execute('INSERT INTO t VALUES (?)', (n,))",
    )
    power.cut()
    db = sqlite3.connect(power.root / "x.db")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (rows,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
