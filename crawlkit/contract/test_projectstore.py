"""The contract of the projectdb, over every backend. T60 is here for projects."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from crawlkit.database.base import ProjectRow, ProjectStore, SettingRow
from crawlkit.database.rules import version_of
from crawlkit.libs.clock import Clock, ManualClock
from crawlkit.libs.errors import InvalidProject

NOW = 1_700_000_000.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(crawlkit_projectdb: Callable[[Clock], ProjectStore], clock: ManualClock) -> ProjectStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_projectdb(clock)


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


class TestSettings:
    def test_they_come_back_in_order_of_their_names(self, store: ProjectStore, clock: ManualClock) -> None:
        store.put(ProjectRow("a"))
        store.put(ProjectRow("b"))
        clock.advance(5)
        store.put_setting("a", SettingRow("user", "sealed-ü", False))
        store.put_setting("a", SettingRow("api_key", "first"))
        clock.advance(5)
        store.put_setting("a", SettingRow("api_key", "second"))
        found = store.settings("a")
        assert list(found) == ["api_key", "user"]
        assert found["api_key"] == SettingRow("api_key", "second", True, NOW + 10)
        assert found["user"] == SettingRow("user", "sealed-ü", False, NOW + 5)
        assert found["user"].secret is False
        assert store.settings("b") == store.settings("none") == {}

    def test_a_change_touches_the_project(self, store: ProjectStore, clock: ManualClock) -> None:
        last = store.put(ProjectRow("a", script="x")).updatetime
        for change in (
            lambda: store.put_setting("a", SettingRow("k", "1")),
            lambda: store.put_setting("a", SettingRow("k", "2")),
            lambda: store.remove_setting("a", "k"),
        ):
            change()
            changed = store.changed_since(last)
            assert [row.name for row in changed] == ["a"]
            assert changed[0].script == "x"
            last = changed[0].updatetime
        assert store.remove_setting("a", "k") is False
        assert store.remove_setting("none", "k") is False
        assert store.changed_since(last) == []
        assert len(store.versions("a")) == 1

    def test_they_stay_with_the_script_and_go_with_the_project(self, store: ProjectStore) -> None:
        store.put(ProjectRow("a"))
        store.put(ProjectRow("b"))
        for name in "ab":
            store.put_setting(name, SettingRow("k", name))
        store.put(ProjectRow("a", script="new"))
        assert store.settings("a")["k"].sealed == "a"
        store.drop("a")
        store.put(ProjectRow("a"))
        assert store.settings("a") == {}
        assert store.settings("b")["k"].sealed == "b"

    def test_no_project_no_setting(self, store: ProjectStore) -> None:
        with pytest.raises(InvalidProject, match="no project 'a'"):
            store.put_setting("a", SettingRow("k", "1"))
        store.put(ProjectRow("a"))
        assert store.settings("a") == {}

    @pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ключ", "a\n", "a=b"])
    def test_a_name_that_breaks_the_rules(self, store: ProjectStore, name: str) -> None:
        store.put(ProjectRow("a"))
        with pytest.raises(InvalidProject, match="use 1 to 64 letters"):
            store.put_setting("a", SettingRow(name, "1"))

    def test_a_caller_cannot_change_what_is_stored(self, store: ProjectStore) -> None:
        store.put(ProjectRow("a"))
        store.put_setting("a", setting := SettingRow("k", "1"))
        setting.sealed = "2"
        store.settings("a")["k"].sealed = "3"
        assert store.settings("a")["k"].sealed == "1"


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


def test_a_pin_is_kept_and_says_what_runs(store: ProjectStore) -> None:
    old = store.put(ProjectRow(name="p", script="1"))
    new = store.put(ProjectRow(name="p", script="2", pin=old.version))
    found = store.get("p")
    assert found is not None
    assert (found.version, found.pin, found.runs) == (new.version, old.version, old.version)
    found.pin = ""
    assert store.put(found).runs == new.version
    found.pin = "newest"
    with pytest.raises(InvalidProject, match="pin 'newest'"):
        store.put(found)


def test_a_page_budget_is_kept(store: ProjectStore) -> None:
    store.put(ProjectRow(name="p", max_pages=2**40))
    found = store.get("p")
    assert found is not None
    assert found.max_pages == 2**40
    found.max_pages = None
    store.put(found)
    again = store.get("p")
    assert again is not None
    assert again.max_pages is None
    with pytest.raises(InvalidProject, match="max_pages -1"):
        store.put(ProjectRow(name="p", max_pages=-1))


def test_limits_are_kept(store: ProjectStore) -> None:
    store.put(ProjectRow(name="p", limits='{"max_depth":5,"exclude":["*/print/*"]}'))
    assert [row.limits for row in store.all()] == ['{"max_depth":5,"exclude":["*/print/*"]}']
    found = store.get("p")
    assert found is not None
    found.limits = None
    store.put(found)
    assert [row.limits for row in store.all()] == [None]
    with pytest.raises(InvalidProject, match="limit 'max_deph'"):
        store.put(ProjectRow(name="p", limits='{"max_deph": 5}'))
