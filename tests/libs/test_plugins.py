"""Backends of other packages: real ones, broken ones, and what is said when there is none."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

from crawlkit.database import registry as databases
from crawlkit.database.memory import MemoryResultStore
from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.message_queue.registry import connect_broker
from tests.plugins import ROOT, install, install_dirqueue

QUEUES = "crawlkit.message_queues"


def test_a_queue_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install_dirqueue(tmp_path / "site"))
    broker = connect_broker(f"dirq://{tmp_path}/q", max_messages=7, name="me")

    async def scene() -> None:
        await broker.connect()
        queue = broker.queue("q")
        assert queue.room() == 7
        await queue.put_many([b"x"])
        assert [d.body for d in await queue.get_many(1, 5)] == [b"x"]
        await broker.close()

    asyncio.run(scene())


def test_the_entry_point_of_the_example_is_that_of_its_project_file() -> None:
    project = tomllib.loads((ROOT / "examples" / "dirqueue" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {QUEUES: {"dirq": "crawlkit_dirqueue:DirectoryBroker"}}
    assert project["name"] == "crawlkit-dirqueue"


def test_an_unknown_scheme_is_answered_with_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install_dirqueue(tmp_path / "site"))
    with pytest.raises(UsageError, match=r"dirk:// is unknown; there are memory://.*redis.*dirq://"):
        connect_broker("dirk://x")
    with pytest.raises(
        UsageError, match=r"'mongodb://h/x' for the taskdb: mongodb is not supported by crawlkit itself"
    ):
        databases.connect_taskdb("mongodb://h/x")


STORES = """
from crawlkit.database.memory import MemoryProjectStore, MemoryResultStore

class Result(MemoryResultStore):
    def __init__(self, url, read_only):
        super().__init__()
        self.said = (url, read_only)

class Project(MemoryProjectStore):
    def __init__(self, url, read_only, clock):
        super().__init__(clock)

def broken(url, **options):
    raise KeyError("host")

def unreachable(url, **options):
    from crawlkit.libs.errors import QueueUnavailable
    raise QueueUnavailable("nobody at home")

class Half:
    def __init__(self, url, **options): ...
    def queue(self, name): ...
"""


def test_stores_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(
        tmp_path, "other-stores", "crawlkit.resultdbs", {"shelf": "shelf_stores:Result"}, shelf_stores=STORES
    )
    install(tmp_path, "more-stores", "crawlkit.projectdbs", {"shelf": "shelf_stores:Project"})
    monkeypatch.syspath_prepend(site)
    found = databases.connect_resultdb("shelf+resultdb://host/x", read_only=True)
    assert isinstance(found, MemoryResultStore)
    assert found.said == ("shelf+resultdb://host/x", True)  # type: ignore[attr-defined]
    assert databases.connect_projectdb("shelf://host/x").names() == []
    assert databases.check("shelf://host/x", "resultdb").engine == "shelf"
    with pytest.raises(UsageError, match="for the taskdb: unknown engine 'shelf'"):
        databases.connect_taskdb("shelf://host/x")
    with pytest.raises(UsageError, match="for the accountdb: unknown engine 'shelf'"):
        databases.connect_accountdb("shelf://host/x")
    with pytest.raises(UsageError, match=r"unknown engine 'shelv'.*\(or shelf, which other packages bring\)"):
        databases.connect_resultdb("shelv://host/x")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "no_such_module:X",
            "of the package bad-queues 1.0 .*does not load: ModuleNotFoundError.*mend or uninstall it",
        ),
        ("shelf_stores:Nothing", "does not load: AttributeError"),
        ("shelf_stores:broken", "fails on this URL: KeyError: 'host'"),
        ("shelf_stores:Half", "is not whole: it has no connect, epoch, flows, close"),
    ],
)
def test_a_broken_one_is_named_with_its_package(
    value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "bad-queues", QUEUES, {"badq": value}, shelf_stores=STORES))
    with pytest.raises(UsageError, match=words) as caught:
        connect_broker("badq://user:secret@host")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_its_own_errors_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path, "a-queue", QUEUES, {"away": "shelf_stores:unreachable"}, shelf_stores=STORES)
    monkeypatch.syspath_prepend(site)
    with pytest.raises(QueueUnavailable, match="nobody at home"):
        connect_broker("away://")


def test_two_packages_with_one_scheme_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path, "one-queue", QUEUES, {"twice": "shelf_stores:Half"}, shelf_stores=STORES)
    install(tmp_path, "two-queue", QUEUES, {"twice": "shelf_stores:broken"})
    monkeypatch.syspath_prepend(site)
    with pytest.raises(UsageError, match=r"twice:// is brought by one-queue 1.0 and two-queue 1.0.*uninstall one"):
        connect_broker("twice://")
