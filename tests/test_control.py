"""A scheduler that is found from other hosts: by the taskdb, with a token that both sides make of one secret key."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from crawlkit import wiring
from crawlkit.cli import run
from crawlkit.database.base import TaskStore, Writes
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.libs.protocol import PARTITIONS
from crawlkit.scheduler.control import ControlServer
from crawlkit.settings import Settings
from crawlkit.wiring.control import ENTRY, own_address
from tests.scheduler.rig import Rig, running
from tests.servers import free_port

SECRET = "uIoFyEYSVb2P3ZvuvYFcI0s1EIZyXQnKr9C5Tk0Rr4k="


def host(folder: Path, name: str, secret: str | None = SECRET) -> Settings:
    """The settings of a command on a host of its own, with the taskdb of all."""
    return Settings(data_path=folder / name, taskdb=f"sqlite:///{folder}/shared.db", secret_key=secret)


def with_scheduler(folder: Path, ask: Callable[[Settings], None], listen: str = "127.0.0.1", said: str = "") -> None:
    """Runs ``ask`` on another host while a scheduler runs on its own."""
    settings = host(folder, "scheduler")
    settings.data_path.mkdir()

    async def play() -> None:
        rig = Rig()
        async with running(rig):
            control = ControlServer(rig.service, listen, 0, wiring.control_token(settings), wiring.names_in(said))
            control.start()
            url = wiring.advertised(settings, control, said)
            with wiring.open_stores(settings, ("taskdb",), create=True) as stores:
                with wiring.published(settings, stores.taskdb, control, url):
                    await asyncio.to_thread(ask, host(folder, "elsewhere"))
                assert stores.taskdb.state_of(*ENTRY) is None
            await control.stop()

    asyncio.run(play())
    assert not (settings.data_path / "scheduler.json").exists()


def test_one_secret_key_is_enough_to_reach_it(tmp_path: Path) -> None:
    def ask(settings: Settings) -> None:
        client = wiring.control_client(settings)
        assert client.size() == 0
        assert not settings.data_path.exists()
        assert wiring.control_client(settings, client.url).size() == 0  # by name, with the same token

    with_scheduler(tmp_path, ask)


def test_on_every_address_it_says_one_that_others_reach(tmp_path: Path) -> None:
    def ask(settings: Settings) -> None:
        place = wiring.where_in_taskdb(settings)
        assert place is not None
        assert place.host == socket.gethostname()
        assert f"//{own_address(settings)}:" in place.url
        assert "0.0.0.0" not in place.url

    with_scheduler(tmp_path, ask, "0.0.0.0")


def test_what_is_advertised_is_said_and_answered_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()

    def ask(settings: Settings) -> None:
        place = wiring.where_in_taskdb(settings)
        assert place is not None
        assert place.url == f"http://crawl.example:{port}"

    with_scheduler(tmp_path, ask, said=f"http://crawl.example:{port}/")


@pytest.mark.parametrize(
    "url", ["crawl.example:1", "https://h:1", "http://h", "http://h:x", "http://h:1/x", "http://a@h:1"]
)
def test_other_forms_are_not_advertised(url: str) -> None:
    with pytest.raises(UsageError, match="expected http://HOST:PORT"):
        wiring.names_in(url)


def test_what_the_last_of_several_said_holds_while_somebody_has_a_partition(tmp_path: Path) -> None:
    settings = host(tmp_path, "elsewhere")
    with wiring.open_stores(settings, ("taskdb",), create=True) as stores:
        taskdb = stores.taskdb
        taskdb.commit(Writes(state={ENTRY: json.dumps({"url": "http://h:1", "host": "h"}), PARTITIONS: "4"}))
        assert taskdb.own("h pid 1", 60, partition=2) is None
        place = wiring.where_in_taskdb(settings)
        assert place is not None
        assert place.url == "http://h:1"
        taskdb.disown()
        assert wiring.where_in_taskdb(settings) is None
        with pytest.raises(ServiceUnreachable, match="no scheduler has said"):
            wiring.control_client(host(tmp_path, "elsewhere"))


def test_who_stands_still_is_not_waited_for_twice_and_another_is_found(tmp_path: Path) -> None:
    """Of several schedulers the one that is asked is frozen; meanwhile another takes its place."""
    frozen = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers

    def ask(settings: Settings) -> None:
        place = wiring.where_in_taskdb(settings)
        assert place is not None
        stands_still = json.dumps({"url": f"http://127.0.0.1:{frozen.getsockname()[1]}", "host": socket.gethostname()})
        with wiring.open_stores(settings, ("taskdb",)) as stores:
            stores.taskdb.commit(Writes(state={ENTRY: stands_still}))
            with pytest.raises(ServiceUnreachable, match="timed out"):
                wiring.control_client(settings, timeout=0.2)
            takes = threading.Thread(target=take_over, args=(stores.taskdb, json.dumps(place._asdict())))
            takes.start()
            client = wiring.control_client(settings, timeout=2)
            takes.join()
        assert client.url == place.url

    def take_over(taskdb: TaskStore, said: str) -> None:
        connection, _ = frozen.accept()  # of the first command
        connection, _ = frozen.accept()
        taskdb.commit(Writes(state={ENTRY: said}))
        connection.recv(1)

    with frozen:
        with_scheduler(tmp_path, ask)


def test_without_the_secret_key_the_words_say_what_to_give(tmp_path: Path) -> None:
    def ask(settings: Settings) -> None:
        with pytest.raises(ServiceUnreachable, match=r"as the taskdb says\) wants a token: give the secret key"):
            wiring.control_client(host(tmp_path, "elsewhere", None))
        other = SECRET.replace("u", "v")
        with pytest.raises(ServiceUnreachable, match="refuses the token: give both the same CRAWLKIT_SECRET_KEY"):
            wiring.control_client(host(tmp_path, "elsewhere", other))

    with_scheduler(tmp_path, ask)


def test_a_token_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWLKIT_SCHEDULER_TOKEN", "one-that-both-sides-know")
    with_scheduler(tmp_path, lambda _: wiring.control_client(host(tmp_path, "elsewhere", None)).close())
    monkeypatch.setenv("CRAWLKIT_SCHEDULER_TOKEN", "short")
    with pytest.raises(UsageError, match="16 characters or more"):
        wiring.control_token(Settings())


def say(settings: Settings, text: str | None) -> None:
    with wiring.open_stores(settings, ("taskdb",), create=True) as stores:
        stores.taskdb.commit(Writes(state={ENTRY: text}))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "no scheduler has said in the taskdb where it is: start one with the same database"),
        ({"url": "http://127.0.0.1:23333", "host": "another"}, "runs on another and answers there only.*--xmlrpc-host"),
        ({"url": "http://[::1]:23333", "host": "another"}, "runs on another and answers there only"),
        ({"url": "http://localhost:23333", "host": "another"}, "runs on another and answers there only"),
        (
            {"url": "http://{closed}", "host": socket.gethostname()},
            r"does not answer \(.*the taskdb says that it is there",
        ),
        ({"address": "h"}, "in other words than this version's"),
    ],
)
def test_where_it_was_looked_for_is_said_in_one_line(said: dict[str, str] | None, words: str, tmp_path: Path) -> None:
    settings = host(tmp_path, "elsewhere")
    text = None if said is None else json.dumps(said).replace("{closed}", f"127.0.0.1:{free_port()}")
    say(settings, text)
    with pytest.raises(ServiceUnreachable, match=words) as caught:
        wiring.control_client(settings)
    assert "\n" not in str(caught.value)


def test_a_scheduler_that_was_killed_and_went_to_another_host_is_found_there(tmp_path: Path) -> None:
    """Its old file is still in the data path."""

    def ask(settings: Settings) -> None:
        settings.data_path.mkdir()
        old = {"url": f"http://127.0.0.1:{free_port()}", "token": "old", "pid": 1, "version": "0"}
        (settings.data_path / "scheduler.json").write_text(json.dumps(old))
        assert wiring.control_client(settings).size() == 0

    with_scheduler(tmp_path, ask)


def test_with_databases_in_the_data_path_nothing_is_looked_up(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match=f"no scheduler runs on {tmp_path}"):
        wiring.control_client(Settings(data_path=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_project_is_not_removed_under_a_scheduler_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text("from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n")
    at = ("--taskdb", f"sqlite:///{tmp_path}/shared.db", "--data-path", str(tmp_path / "elsewhere"))
    assert run([*at, "project", "put", "p.py"]) == 0
    say(host(tmp_path, "elsewhere"), json.dumps({"url": "http://127.0.0.1:1", "host": "another"}))
    assert run([*at, "project", "rm", "p", "--yes"]) == 2
    assert "runs on another and answers there only" in capsys.readouterr().err
    say(host(tmp_path, "elsewhere"), None)
    assert run([*at, "project", "rm", "p", "--yes"]) == 0


def test_another_secret_key_is_refused_before_anything_starts(tmp_path: Path) -> None:
    def ask(settings: Settings) -> None:
        for name in ("fetcher", "processor"):
            wiring.check_protocol(settings, name)
            wiring.check_protocol(host(tmp_path, "elsewhere", None), name)  # it opens no setting, and says so
            with pytest.raises(UsageError, match=f"{name}: the secret key here is not that of the scheduler"):
                wiring.check_protocol(host(tmp_path, "elsewhere", SECRET.replace("u", "v")), name)
        wiring.check_secret_key(settings, "project shop")
        for other in (None, SECRET.replace("u", "v")):  # what they sealed nobody would open
            with pytest.raises(UsageError, match="project shop: the secret key here is not that of the scheduler"):
                wiring.check_secret_key(host(tmp_path, "elsewhere", other), "project shop")

    with_scheduler(tmp_path, ask)


def test_the_scheduler_of_another_taskdb_is_not_asked(tmp_path: Path) -> None:
    other = Settings(data_path=tmp_path / "scheduler", taskdb=f"sqlite:///{tmp_path}/other.db", secret_key=SECRET)

    def ask(_: Settings) -> None:
        assert (other.data_path / "scheduler.json").exists()
        with pytest.raises(ServiceUnreachable, match="no scheduler has said in the taskdb where it is"):
            wiring.control_client(other)
        assert wiring.control_client(host(tmp_path, "scheduler")).size() == 0

    with_scheduler(tmp_path, ask)
