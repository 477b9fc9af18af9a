"""The config file: its three languages, its shape, and what it refuses by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawlkit import settings as config
from crawlkit.libs.errors import UsageError

SHAPE: config.Schema = {
    "taskdb": None,
    "queue_maxsize": None,
    "webui": {"port": None, "need_auth": None},
    "project": {"put": {"rate": None}},
}
VALUE = {"taskdb": "sqlite:///t.db", "queue_maxsize": 7, "webui": {"need_auth": True, "port": 5001}}
TEXTS = {
    "c.json": json.dumps({"taskdb": "sqlite:///t.db", "queue-maxsize": 7, "webui": {"need-auth": True, "port": 5001}}),
    "c.toml": 'taskdb = "sqlite:///t.db"\nqueue-maxsize = 7\n[webui]\nneed_auth = true\nport = 5001\n',
    "c.yaml": "taskdb: sqlite:///t.db\nqueue_maxsize: 7\nwebui:\n  need-auth: true\n  port: 5001\n",
    "c.yml": "taskdb: sqlite:///t.db\nqueue_maxsize: 7\nwebui: {need-auth: true, port: 5001}\n",
    "no-suffix": json.dumps(VALUE),
}


@pytest.mark.parametrize("name", TEXTS)
def test_three_languages_say_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(TEXTS[name])
    assert config.read_config(path) == VALUE
    config.check_config(config.read_config(path), SHAPE, path)


def test_null_says_nothing_and_an_empty_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"taskdb": null, "webui": {"port": null}}')
    assert config.read_config(path) == {"webui": {}}
    path.write_text("")
    assert config.read_config(path) == {}


BROKEN = [
    ("c.json", "{,}", "c.json: Expecting property name"),
    ("c.json", "[1]", "c.json: its top level is not an object"),
    ("c.toml", "a = = 1", "c.toml: Invalid value (at line 1"),
    ("c.yaml", "a: [1", "c.yaml: while parsing a flow sequence"),
    ("c.json", b"\xff\xfe", "c.json: 'utf-8' codec"),
]


@pytest.mark.parametrize(("name", "text", "words"), BROKEN)
def test_a_broken_file_is_named_with_its_place(name: str, text: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        config.read_config(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: No such file"):
        config.read_config(tmp_path / "gone.json")


def test_names_of_hosts_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"scheduler": {"host-limits": {"my-shop.example": {"rate": 2}}, "fail-pause-num": 3}}')
    value = config.read_config(path)
    assert value == {"scheduler": {"host_limits": {"my-shop.example": {"rate": 2}}, "fail_pause_num": 3}}
    config.check_config(value, {"scheduler": {"host_limits": None, "fail_pause_num": None}}, path)


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"taskbd": "x"}, "taskbd: no such option or command; 'taskdb' is near"),
    ({"webui": {"prot": 1}}, "webui.prot: no such option or command; 'port' is near"),
    ({"webui": 5}, "webui: the options of this command go into an object"),
    ({"taskdb": {"a": 1}}, "taskdb: an option takes a value, not an object"),
    ({"project": {"put": {"speed": 1}}}, "project.put.speed: no such option"),
    ({"beanstalk": "h"}, "beanstalk: beanstalk is not a message queue"),
    ({"config": "other.json"}, "config: no such option"),
]


@pytest.mark.parametrize(("value", "words"), UNKNOWN)
def test_an_unknown_key_is_named_with_its_file(value: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.check_config(value, SHAPE, Path("my.json"))
    assert str(caught.value).startswith("config file my.json: ")
    assert words in str(caught.value)


RATES = [("1", 1.0), (" 2.5 ", 2.5), ("0", 0.0), ("unlimited", None), ("Unlimited", None), ("1e3", 1000.0)]


@pytest.mark.parametrize(("text", "rate"), RATES)
def test_rates(text: str, rate: float | None) -> None:
    assert config.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["-1", "fast", "", "nan", "inf", "1/s"])
def test_what_is_no_rate_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match="use pages per second"):
        config.parse_rate(text)


def test_rates_in_words() -> None:
    assert [config.show_rate(rate) for rate in (None, 1, 2.5, 0)] == [
        "unlimited",
        "1 page a second",
        "2.5 pages a second",
        "0 pages a second",
    ]


COMMENTS = [
    ("# rate: 5\n# burst: 10\nimport x\n", {"rate": "5", "burst": "10"}),
    ("#rate:2\r\n#  Group:  news \r\n", {"rate": "2", "group": "news"}),
    ("# rate: 1\n# rate: 2\n", {"rate": "1"}),
    ("x = 1  # rate: 9\n", {}),
    ("# the rate: of things\n", {}),
    ("# rate:\n# burst: 2\n", {"burst": "2"}),
]


@pytest.mark.parametrize(("script", "said"), COMMENTS)
def test_comments_of_a_script(script: str, said: dict[str, str]) -> None:
    assert config.script_comments(script) == said


def test_where_stores_and_queues_are() -> None:
    settings = config.Settings(data_path=Path("/d"), resultdb="sqlite:////r.db")
    assert settings.store_url("taskdb") == "sqlite+taskdb:////d/task.db"
    assert settings.store_url("projectdb") == "sqlite+projectdb:////d/project.db"
    assert settings.store_url("resultdb") == "sqlite:////r.db"
    assert settings.store_url("blobdb") == "sqlite+blobdb:////d/blob.db"
    assert settings.queue_url() == "local:///d"
    named = config.Settings(taskdb="sqlite+taskdb:////x/task.db", message_queue="redis://h/0")
    assert named.store_url("blobdb") == "sqlite+blobdb:////x/blob.db"
    assert named.queue_url() == "redis://h/0"


def test_linked_containers() -> None:
    env = {
        "MYSQL_NAME": "/app/mysql",
        "MYSQL_PORT_3306_TCP_ADDR": "10.0.0.2",
        "MYSQL_PORT_3306_TCP_PORT": "3306",
        "RABBITMQ_NAME": "/app/rabbitmq",
        "RABBITMQ_PORT_5672_TCP_ADDR": "10.0.0.3",
    }
    assert config.docker_links(env) == {
        "taskdb": "sqlalchemy+mysql+taskdb://10.0.0.2:3306/taskdb",
        "projectdb": "sqlalchemy+mysql+projectdb://10.0.0.2:3306/projectdb",
        "resultdb": "sqlalchemy+mysql+resultdb://10.0.0.2:3306/resultdb",
        "message_queue": "amqp://guest:guest@10.0.0.3:5672/%2F",
    }
    assert config.docker_links({}) == {}


ALL_KINDS = ("taskdb", "projectdb", "resultdb", "blobdb", "accountdb", "logdb")
SERVER = "postgresql+psycopg://crawl:pw@db/crawl"


def test_one_database_stands_for_all() -> None:
    settings = config.Settings(database=SERVER)
    assert {settings.store_url(kind) for kind in ALL_KINDS} == {SERVER}
    assert not any(map(settings.is_here, ALL_KINDS))
    assert "pw" not in repr(settings)


def test_single_databases_win_over_it() -> None:
    other = "mysql+pymysql://other/x"
    settings = config.Settings(database=SERVER, taskdb=other, resultdb="sqlite:////r.db", projectdb="local:///s/*.py")
    assert settings.store_url("taskdb") == settings.store_url("blobdb") == other  # bodies lie beside the tasks
    assert settings.store_url("resultdb") == "sqlite:////r.db"
    assert settings.store_url("projectdb") == "local:///s/*.py"
    assert settings.store_url("accountdb") == settings.store_url("logdb") == SERVER


def test_without_it_the_databases_are_files_in_the_data_path(tmp_path: Path) -> None:
    settings = config.Settings(data_path=tmp_path)
    assert settings.store_url("taskdb") == f"sqlite+taskdb:///{tmp_path}/task.db"
    assert settings.store_url("accountdb") == f"sqlite+projectdb:///{tmp_path}/project.db"
    assert all(map(settings.is_here, ALL_KINDS))
    settings.taskdb = "sqlite+taskdb:////x/task.db"
    assert settings.store_url("blobdb") == "sqlite+blobdb:////x/blob.db"
    assert not settings.is_here("blobdb")
    assert settings.is_here("logdb")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////var/x.db", "sqlite cannot stand for every database: name the folder.*--data-path"),
        ("sqlalchemy+sqlite:////var/x.db", "sqlite cannot stand"),
        ("memory://", "memory cannot stand"),
        ("local:///x/*.py", "local cannot stand"),
        ("postgresql+taskdb://crawl:pw@db/crawl", r"leave \+taskdb out, or give it as --taskdb"),
        ("crawl:pw@db", "expected a URL"),
        ("sqlalchemy://crawl:pw@db", "expected a URL"),
    ],
)
def test_what_cannot_stand_for_all_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        config.Settings(database=url).store_url("taskdb")
    assert "pw" not in str(caught.value)
    config.Settings(database=url, taskdb=SERVER).store_url("taskdb")  # it stands for nothing here


def test_containers_yield_to_a_named_database(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from crawlkit.cli import cli

    monkeypatch.setenv("MYSQL_NAME", "/web/mysql")
    found: list[config.Settings] = []

    @click.pass_context
    def record(ctx: click.Context, /, **options: Any) -> None:
        found.append(ctx.obj)

    command = cli.get_command(click.Context(cli), "all")
    assert command is not None
    monkeypatch.setattr(command, "callback", record)
    cli.main(["--database", SERVER, "all"], standalone_mode=False)
    assert found[0].store_url("taskdb") == SERVER
