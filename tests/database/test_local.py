"""A folder of scripts as a projectdb [R18]."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crawlkit.database.base import ProjectRow
from crawlkit.database.local import LocalProjectStore, project_of
from crawlkit.database.rules import version_of
from crawlkit.libs.errors import InvalidProject, UsageError


def test_scripts_are_projects(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_bytes("\ufeff# rate: 2.5\n#burst:  7 \nprint('ü')".encode())
    (tmp_path / "two.py").write_text("print(2)")
    (tmp_path / "folder.py").mkdir()
    os.utime(tmp_path / "one.py", (1000.5, 1000.5))
    store = LocalProjectStore([f"{tmp_path}/*.py"])
    assert store.names() == ["one", "two"]
    one = store.get("one")
    assert (one.status, one.rate, one.burst, one.rate_set, one.updatetime) == ("RUNNING", 2.5, 7, True, 1000.5)
    assert one.script.startswith("# rate")
    assert store.script("one", one.version) == one.script
    assert store.script("one", "other") is None
    two = store.get("two")
    assert (two.rate, two.burst, two.rate_set) == (1.0, 3.0, False)
    assert [row.version for row in store.versions("two")] == [version_of("print(2)")]
    assert store.get("three") is None
    assert store.versions("three") == []


def test_a_changed_file_is_a_changed_project(tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text("1")
    os.utime(script, (1000, 1000))
    store = LocalProjectStore([str(tmp_path / "*.py")])
    assert [row.name for row in store.changed_since(999)] == ["a"]
    assert store.changed_since(1000) == []
    script.write_text("2")
    os.utime(script, (2000, 2000))
    assert [row.script for row in store.changed_since(1000)] == ["2"]
    script.unlink()
    assert store.all() == []


def test_the_first_pattern_wins(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(folder)
    store = LocalProjectStore([f"{tmp_path}/y/*.py", f"{tmp_path}/x/*.py"])
    assert [row.script for row in store.all()] == ["y"]


def test_unlimited() -> None:
    row = project_of("a", "# rate: unlimited\n", 1)
    assert (row.rate, row.rate_set) == (None, True)


@pytest.mark.parametrize("script", ["# rate: fast", "# burst: 0", "# rate: nan", "# rate: -1", "# burst: unlimited"])
def test_bad_figures_are_refused_in_words(script: str) -> None:
    with pytest.raises(InvalidProject, match="project a"):
        project_of("a", script, 1)


def test_read_only(tmp_path: Path) -> None:
    store = LocalProjectStore([str(tmp_path)])
    with pytest.raises(UsageError, match="edit the file"):
        store.put(ProjectRow("a"))
    with pytest.raises(UsageError, match="edit the file"):
        store.drop("a")
    store.close()
    with pytest.raises(UsageError, match="patterns"):
        LocalProjectStore([])


def test_a_file_that_breaks_the_rules_stops_its_project_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.py").write_text("# rate: fast\n")
    (tmp_path / "b.py").write_text("1")
    (tmp_path / "not a name.py").write_text("1")
    store = LocalProjectStore([f"{tmp_path}/*.py"])
    rows = {row.name: row for row in store.all()}
    assert {name: row.status for name, row in rows.items()} == {"a": "STOP", "b": "RUNNING"}
    assert "'# rate: fast' is not a number" in rows["a"].comments
    store.all()
    assert sum("# rate: fast" in line for line in caplog.messages) == 1  # not at every look
    assert sum("not a name" in line for line in caplog.messages) == 1
    (tmp_path / "a.py").write_text("# rate: 2\n")
    row = store.get("a")
    assert row is not None
    assert (row.status, row.rate) == ("RUNNING", 2)


def test_an_older_file_put_back_is_a_change(tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text("new")
    os.utime(script, (2000, 2000))
    store = LocalProjectStore([f"{tmp_path}/*.py"])
    assert [row.script for row in store.changed_since(0)] == ["new"]
    script.write_text("old")
    os.utime(script, (1000, 1000))
    assert [row.script for row in store.changed_since(2000)] == ["old"]
