"""Places of its own on the user's servers: made after their settings, gone afterwards, and nothing else is touched."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from crawlkit import wiring
from crawlkit.database import scratch
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.proving.grounds import grounds, remove_folder
from crawlkit.settings import Settings
from tests.e2e.commands import until
from tests.servers import amqp_url, ask_redis, free_port, fresh_database, own_redis, postgres_url, redis_url


def databases(url: str) -> set[str]:
    """Those of the shared server, where other tests' come and go meanwhile."""
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return {name for (name,) in connection.exec_driver_sql("SELECT datname FROM pg_database")}


def name_in(url: str | None) -> str:
    return urlsplit(url or "").path.strip("/")


def test_files_and_a_socket_in_the_folder(tmp_path: Path) -> None:
    settings = Settings(
        data_path=Path("/nowhere/data"), taskdb="sqlite:////nowhere/task.db", projectdb="local+projectdb:///nowhere/*.py",
        sink=("jsonl:///nowhere/out",), secret_key="k" * 40, logging_config=Path("/nowhere/log.ini"), queue_maxsize=7,
        phantomjs_proxy="h:1", message_queue="local:///nowhere",
    )  # fmt: skip
    with grounds(settings, tmp_path, nullcontext) as ground:
        own = ground.settings
        assert own == Settings(data_path=tmp_path / "data", queue_maxsize=7, given=frozenset({"data_path"}))
        assert ground.database.startswith("SQLite")
        assert ground.queues == "a local socket, served by crawlkit all"
        assert (ground.database_urls, ground.queue_url) == ([], "")
    assert ground.left == ground.kept == []
    assert settings.sink


def test_queues_of_a_manager_are_served_on_the_loopback_with_another_key(tmp_path: Path) -> None:
    settings = Settings(message_queue="manager://:the-key-of-the-user@control.example:7700")
    with grounds(settings, tmp_path, nullcontext) as ground:
        assert str(ground.settings.message_queue).partition("@")[2].startswith("127.0.0.1:")
        assert "the-key-of-the-user" not in str(ground.settings.message_queue)
        assert "@" not in ground.queues


def test_a_database_and_a_prefix_that_are_gone_afterwards(tmp_path: Path) -> None:
    postgres, redis = postgres_url(), redis_url()
    settings = Settings(
        database=postgres, resultdb="sqlite:////nowhere/result.db", message_queue=f"{redis}?prefix=mine"
    )
    with grounds(settings, tmp_path, nullcontext) as ground:
        name = name_in(ground.settings.taskdb)
        assert name.startswith("crawlkit_bench_")
        assert {name_in(getattr(ground.settings, kind)) for kind in ("taskdb", "projectdb", "logdb")} == {name}
        assert ground.settings.database is ground.settings.resultdb is None
        assert name in databases(postgres)
        assert ground.queue_url.endswith(f"prefix={name}")
        assert ask_redis(redis, "KEYS", f"{{{name}}}:*")
        assert name in ground.database
        assert "for resultdb" in ground.database
        with wiring.open_stores(ground.settings, ("taskdb", "projectdb"), create=True) as stores:
            assert stores.projectdb.names() == []
    assert name not in databases(postgres)
    assert not ask_redis(redis, "KEYS", f"{{{name}}}:*")
    assert ground.left == []


def test_they_go_also_when_it_fails_and_stay_when_they_are_to_be_kept(tmp_path: Path) -> None:
    postgres = postgres_url()
    with pytest.raises(KeyboardInterrupt), grounds(Settings(database=postgres), tmp_path, nullcontext) as ground:
        raise KeyboardInterrupt
    assert name_in(ground.settings.taskdb) not in databases(postgres)
    with grounds(Settings(database=postgres), tmp_path, nullcontext, keep=True) as ground:
        url = str(ground.settings.taskdb)
    try:
        assert name_in(url) in databases(postgres)
        assert ground.kept == [f"database {url}"]
    finally:
        scratch.drop(url)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_an_empty_database_is_left_empty(kind: str, tmp_path: Path) -> None:
    with fresh_database(kind) as url:
        name = name_in(url)
        elsewhere = Settings(database=scratch.with_database(url, "another"))
        with grounds(elsewhere, tmp_path, nullcontext, empty_database=name) as ground:
            assert ground.settings.taskdb == url
            with wiring.open_stores(ground.settings, ("taskdb", "resultdb"), create=True):
                assert scratch.tables(url)
        assert (ground.left, scratch.tables(url)) == ([], [])


def test_a_database_that_is_not_empty_is_not_touched(tmp_path: Path) -> None:
    with fresh_database("postgres") as url:
        with sa.create_engine(url).begin() as connection:
            connection.exec_driver_sql("CREATE TABLE tasks (a integer)")
        with (
            pytest.raises(UsageError, match="is not empty, there are tasks"),
            grounds(Settings(database=url), tmp_path, nullcontext, empty_database=name_in(url)),
        ):
            pass
        assert scratch.tables(url) == ["tasks"]


def test_an_empty_database_needs_a_server(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no server"), grounds(Settings(), tmp_path, nullcontext,
                                                                        empty_database="x"):  # fmt: skip
        pass


@pytest.fixture(params=["redis", "amqp"])
def away(request: pytest.FixtureRequest) -> str:
    return f"{request.param}://u:s3cret@127.0.0.1:{free_port()}"


def test_queues_that_are_away_leave_nothing_behind(away: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.proving.grounds.REACH", 0.0)
    postgres = postgres_url()
    before = databases(postgres)
    with (
        pytest.raises(ServiceUnreachable) as error,
        grounds(Settings(database=postgres, message_queue=away), tmp_path, nullcontext) as ground,
    ):
        assert ground.left == []
    assert "s3cret" not in str(error.value)

    def more() -> list[str]:
        return [name for name in databases(postgres) - before if name.startswith("crawlkit_bench_")]

    until(lambda: not more(), 60, "no database of a bench is left")  # those of other tests go soon


def test_a_database_that_is_away_leaves_no_queues(tmp_path: Path) -> None:
    amqp = amqp_url()
    away = f"postgresql://u:s3cret@127.0.0.1:{free_port()}/x"
    with (
        pytest.raises(ServiceUnreachable, match="is the server running there") as error,
        grounds(Settings(database=away, message_queue=amqp), tmp_path, nullcontext),
    ):
        pass
    assert "s3cret" not in str(error.value)


def test_what_could_not_be_taken_away_is_named(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        url = server.url.replace("redis://", "redis://:s3cret@")
        server.ask("CONFIG", "SET", "requirepass", "s3cret")
        with grounds(Settings(message_queue=url), tmp_path, nullcontext) as ground:
            name = ground.queue_url.rpartition("=")[2]
            server.stop(9)
    (words,) = ground.left
    assert f"queues with the prefix {name}" in words
    assert "s3cret" not in words


@pytest.mark.parametrize(
    ("settings", "words"),
    [(Settings(taskdb="memory+taskdb://"), "several processes"), (Settings(resultdb="sqlite://"), "several processes"),
     (Settings(message_queue="memory://"), "several processes"), (Settings(taskdb="mongodb://u:s3cret@h/x"), "mongodb"),
     (Settings(message_queue="elsewhere://u:s3cret@h"), "kept apart")],
)  # fmt: skip
def test_what_has_no_place_of_its_own_is_refused(settings: Settings, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as error, grounds(settings, tmp_path, nullcontext):
        pass
    assert "s3cret" not in str(error.value)


def test_a_folder_that_is_gone_already_is_told(tmp_path: Path) -> None:
    folder, left = tmp_path / "folder", list[str]()
    remove_folder(folder, left)
    assert left == [f"folder {folder}: No such file or directory"]
    folder.mkdir()
    (folder / "file").touch()
    remove_folder(folder, left)
    assert len(left) == 1
    assert not folder.exists()
