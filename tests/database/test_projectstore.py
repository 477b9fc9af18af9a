"""The contract of the projectdb, over every backend. T60 is here for projects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.database.base import ProjectRow, ProjectStore
from crawlkit.database.registry import connect_projectdb
from crawlkit.database.rules import version_of
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import InvalidProject

from .stores import BACKENDS, url_of

NOW = 1_700_000_000.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[ProjectStore]:
    made = connect_projectdb(url_of(request.param, tmp_path), clock=clock)
    yield made
    made.close()


class TestProjects:
    def test_a_project_comes_back_whole(self, store: ProjectStore) -> None:
        row = ProjectRow("имя", "grp, lock", "RUNNING", "print('ü😀')\r\n", "note", 0.25, 1.5, True)
        put = store.put(row)
        assert put.version == version_of(row.script)
        assert put.updatetime == NOW
        stored = store.get("имя")
        assert stored == put
        assert stored.rate_set is True
        assert (stored.group, stored.script, stored.rate, stored.burst) == ("grp, lock", row.script, 0.25, 1.5)

    def test_unlimited_is_none(self, store: ProjectStore) -> None:
        store.put(ProjectRow("a", rate=None))
        store.put(ProjectRow("b", rate=0))
        assert store.get("a").rate is None
        assert store.get("b").rate == 0

    def test_what_is_missing(self, store: ProjectStore) -> None:
        assert store.get("none") is None
        assert store.all() == []
        assert store.names() == []
        assert store.versions("none") == []
        assert store.script("none", "x") is None
        assert store.drop("none") is False

    def test_overwrite(self, store: ProjectStore) -> None:
        store.put(ProjectRow("a", status="TODO", rate=5))
        store.put(ProjectRow("a", status="STOP", rate=None))
        assert [(row.status, row.rate) for row in store.all()] == [("STOP", None)]

    def test_all_and_names_in_order(self, store: ProjectStore) -> None:
        for name in ("b", "a", "c"):
            store.put(ProjectRow(name))
        assert store.names() == ["a", "b", "c"]
        assert [row.name for row in store.all()] == ["a", "b", "c"]

    def test_check_update_gives_only_what_is_newer(self, store: ProjectStore, clock: ManualClock) -> None:
        """T60: check_update."""
        first = store.put(ProjectRow("a"))
        clock.advance(10)
        second = store.put(ProjectRow("b"))
        assert [row.name for row in store.changed_since(0)] == ["a", "b"]
        assert [row.name for row in store.changed_since(first.updatetime)] == ["b"]
        assert store.changed_since(second.updatetime) == []

    def test_updatetime_grows_though_the_clock_does_not(self, store: ProjectStore, clock: ManualClock) -> None:
        times = [store.put(ProjectRow(name)).updatetime for name in "abca"]
        clock.advance(-1000)
        times.append(store.put(ProjectRow("d")).updatetime)
        store.drop("d")
        times.append(store.put(ProjectRow("e")).updatetime)
        assert times == sorted(set(times))
        assert times[-1] < NOW + 1

    def test_drop(self, store: ProjectStore) -> None:
        store.put(ProjectRow("a", script="1"))
        assert store.drop("a") is True
        assert store.get("a") is None
        assert store.versions("a") == []
        assert store.drop("a") is False

    def test_a_caller_cannot_change_what_is_stored(self, store: ProjectStore) -> None:
        row = ProjectRow("a", status="TODO")
        store.put(row).status = "X"
        row.status = "Y"
        store.get("a").status = "Z"
        assert store.get("a").status == "TODO"
        assert row.updatetime == 0


class TestVersions:
    def test_every_script_is_kept(self, store: ProjectStore, clock: ManualClock) -> None:
        for script in ("one", "two", "one"):
            store.put(ProjectRow("a", script=script), author="me", message=f"says {script}")
            clock.advance(1)
        versions = store.versions("a")
        assert [row.script for row in versions] == ["one", "two", "one"]
        assert [row.saved for row in versions] == [NOW + 2, NOW + 1, NOW]
        assert (versions[0].author, versions[0].message) == ("me", "says one")
        assert versions[0].version == versions[2].version == version_of("one")
        assert store.script("a", version_of("two")) == "two"
        assert store.script("b", version_of("two")) is None

    def test_the_same_script_again_is_no_new_version(self, store: ProjectStore) -> None:
        store.put(ProjectRow("a", script="one", status="TODO"))
        store.put(ProjectRow("a", script="one", status="RUNNING"))
        assert len(store.versions("a")) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"name": "x" * 65}, "64"),
        ({"name": "a\n"}, "letters, digits"),
        ({"status": "running"}, "RUNNING"),
        ({"status": "PAUSED"}, "use one of"),
        ({"group": "g" * 65}, "group"),
        ({"group": "a\x00"}, "group"),
        ({"rate": -1}, "rate"),
        ({"rate": math.nan}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"burst": 0.5}, "burst"),
        ({"burst": math.nan}, "burst"),
        ({"burst": math.inf}, "burst"),
        ({"script": "\ud800"}, "surrogate"),
    ],
)
def test_what_breaks_the_rules_is_refused_in_words(store: ProjectStore, fields: dict, words: str) -> None:
    with pytest.raises(InvalidProject, match=words):
        store.put(ProjectRow(**({"name": "a"} | fields)))
    assert store.all() == []
