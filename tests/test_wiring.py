"""What wiring builds: stores by their URLs, settings from options, locks of a data path, the scheduler's address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crawlkit import datapath, wiring
from crawlkit.database import memory
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.libs.rows import ProjectRow
from crawlkit.settings import Settings


def test_stores_are_made_when_asked_for_and_only_those(tmp_path: Path) -> None:
    settings = Settings(data_path=tmp_path / "d")
    with wiring.open_stores(settings, ("taskdb",), create=True) as stores:
        assert stores.taskdb.projects() == []
        assert list(stores.opened) == ["taskdb"]
    assert {path.name.partition("-")[0] for path in (tmp_path / "d").iterdir()} == {"task.db"}


def test_reading_makes_no_data_path(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="there is nothing yet"),
        wiring.open_stores(Settings(data_path=tmp_path / "d")),
    ):
        pass
    assert not (tmp_path / "d").exists()


def test_memory_stores_keep_what_somebody_named(tmp_path: Path) -> None:
    settings = wiring.memory_settings(Settings(data_path=tmp_path, resultdb=f"sqlite+resultdb:///{tmp_path}/r.db"))
    with wiring.open_stores(settings, create=True) as stores:
        assert isinstance(stores.taskdb, memory.MemoryTaskStore)
        assert isinstance(stores.projectdb, memory.MemoryProjectStore)
        assert isinstance(stores.blobdb, memory.MemoryBlobStore)
        assert not isinstance(stores.resultdb, memory.MemoryResultStore)


def test_a_store_that_does_not_open_closes_the_others(tmp_path: Path) -> None:
    settings = Settings(data_path=tmp_path, resultdb="nonsense")
    with pytest.raises(UsageError, match="nonsense"):
        wiring.connect_stores(settings, create=True)


def test_only_the_projects_of_one_are_seen() -> None:
    store = memory.MemoryProjectStore()
    for name in ("mine", "theirs"):
        store.put(ProjectRow(name=name, script=f"# {name}", status="RUNNING"))
    only = wiring.Only(store, ["mine"])
    assert only.names() == ["mine"]
    assert [row.name for row in only.all()] == ["mine"]
    assert [row.name for row in only.changed_since(0)] == ["mine"]
    assert only.get("theirs") is None
    theirs = store.get("theirs")
    assert theirs is not None
    assert only.script("theirs", theirs.version) == "# theirs"  # scripts may import each other


def test_fetcher_options_become_its_settings() -> None:
    said = {
        "poolsize": 7,
        "proxy": None,
        "user_agent": "x",
        "timeout": 9.0,
        "puppeteer_endpoint": "http://b/",
        "allow_private": False,
    }
    settings = wiring.fetcher_settings({**said, "xmlrpc_port": 5})
    assert (settings.poolsize, settings.proxy, settings.user_agent, settings.timeout) == (7, None, "x", 9.0)
    assert (settings.browser_endpoint, settings.allow_private) == ("http://b/", False)


def test_processor_options_become_its_settings() -> None:
    settings = wiring.processor_settings({"process_time_limit": 5.0, "memory_limit": 64, "workers": 3}, {"A": "b"})
    assert (settings.process_time_limit, settings.memory_limit, settings.workers) == (5.0, 64 * 2**20, 3)
    assert settings.environment == {"A": "b"}


def test_handlers_get_no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CRAWLKIT_TASKDB", "RESULTDB", "AMQP_URL", "WEBUI_PASSWORD", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("MY_KEY", "1")
    seen = wiring.user_environment()
    assert seen["MY_KEY"] == "1"
    assert "secret" not in seen.values()


def test_node_names_are_unique() -> None:
    assert len({wiring.node_name("fetcher") for _ in range(50)}) == 50


ADDRESSES = [
    ("http://:t@h:1/", ("http://h:1/", "t")),
    ("http://t@h:1", ("http://h:1", "t")),
    ("h:1", ("http://h:1", "")),
]


@pytest.mark.parametrize(("rpc", "want"), ADDRESSES)
def test_addresses_of_a_scheduler(rpc: str, want: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWLKIT_SCHEDULER_TOKEN", raising=False)
    assert wiring.address_of(rpc) == want


def test_no_scheduler_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match="start one with"):
        wiring.control_client(Settings(data_path=tmp_path))
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        wiring.control_client(Settings(data_path=tmp_path), "http://:t@127.0.0.1:1")
    with pytest.raises(ServiceUnreachable, match=r"wants a token.*http://:TOKEN@h:1 or in CRAWLKIT_SCHEDULER_TOKEN"):
        wiring.control_client(Settings(data_path=tmp_path), "http://h:1")


HOLD = """
import sys
from pathlib import Path
from crawlkit.datapath import Lock
Lock(Path(sys.argv[1]), "a test")
print(1, flush=True)
input()
"""


def test_a_lock_says_who_holds_it_and_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UsageError, match=rf"a test \(pid {holder.pid}\) runs on data path .* already"):
            datapath.Lock(path, "another")
        holder.kill()
        holder.wait()
        lock = datapath.Lock(path, "another")
        assert path.read_text().startswith("another (pid ")
        lock.release()
        lock.release()


def test_a_data_path_that_cannot_be_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"data path .*/file/d: Not a directory"):
        datapath.make_data_path(tmp_path / "file" / "d")
