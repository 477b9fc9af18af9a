"""What is said of a machine is true."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import psutil
import pytest

from crawlkit import __version__
from crawlkit.proving import machine
from crawlkit.proving.machine import sqlite_words, this_machine


def test_this_machine() -> None:
    found = this_machine()
    assert found.crawlkit == __version__
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory == psutil.virtual_memory().total
    assert found.plain()["python"] in found.words()
    assert f"{found.cores} core" in found.words()


def test_where_the_system_does_not_tell_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "nothing")
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm")
    assert this_machine().model == ""
    assert "()" not in this_machine().words()


def test_the_file_system_of_sqlite(tmp_path: Path) -> None:
    kinds = {part.fstype for part in psutil.disk_partitions(all=True)}
    words = sqlite_words(tmp_path)
    assert words.startswith(f"SQLite {sqlite3.sqlite_version}")
    assert words.partition(" on ")[2] in {"", *kinds}
