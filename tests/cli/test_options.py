"""Every option of every command: command line > environment > config file > default, and its names everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from crawlkit import cli as entry
from crawlkit.cli import cli, run
from crawlkit.cli.base import HostLimitsType, Lazy, Opt, Pages, Rate, SinkType
from crawlkit.libs.host_limits import read as read_limits
from crawlkit.settings import Settings

OLD_NAMES = {
    ("", "taskdb"): "TASKDB",
    ("", "projectdb"): "PROJECTDB",
    ("", "resultdb"): "RESULTDB",
    ("", "message_queue"): "AMQP_URL",
    ("", "queue_maxsize"): "QUEUE_MAXSIZE",
    ("", "debug"): "DEBUG",
    ("", "phantomjs_proxy"): "PHANTOMJS_PROXY",
    ("", "puppeteer_proxy"): "PUPPETEER_PROXY",
    ("scheduler", "xmlrpc_port"): "SCHEDULER_XMLRPC_PORT",
    ("fetcher", "xmlrpc_port"): "FETCHER_XMLRPC_PORT",
    ("webui", "host"): "WEBUI_HOST",
    ("webui", "port"): "WEBUI_PORT",
    ("webui", "username"): "WEBUI_USERNAME",
    ("webui", "password"): "WEBUI_PASSWORD",
}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


def cases() -> Iterator[Any]:
    for option in cli.params:
        if isinstance(option, Opt) and option.name != "config":
            yield pytest.param((), cli, option, id=f"global-{option.name}")
    for path, found in commands(cli):
        for option in found.params:
            if isinstance(option, Opt) and option.expose_value:
                yield pytest.param(path, found, option, id="-".join((*path, str(option.name))))


def samples(option: Opt) -> list[tuple[str, Any]]:
    """Four texts and what the command gets for them."""
    kind = option.type
    if isinstance(kind, click.Choice):
        texts = [str(choice) for choice in kind.choices]
        return [(text, text) for text in (texts * 4)[:4]]
    if isinstance(kind, Rate):
        return [("5", 5.0), ("6.5", 6.5), ("unlimited", "unlimited"), ("7", 7.0)]
    if isinstance(kind, Pages):
        return [("5", 5), ("6", 6), ("unlimited", "unlimited"), ("7", 7)]
    if isinstance(kind, click.types.IntParamType):
        least = max(11, int(getattr(kind, "min", None) or 0))
        return [(str(n), n) for n in range(least, least + 4)]
    if isinstance(kind, click.types.FloatParamType):
        return [(str(n), n) for n in (11.5, 12.5, 13.5, 14.5)]
    if isinstance(kind, HostLimitsType):
        texts = [f'{{"a-b.org": {{"rate": {n}}}}}' for n in (1, 2, 3, 4)]
        return [(text, read_limits(json.loads(text))) for text in texts]
    if isinstance(kind, SinkType):
        return [(text, text) for text in ("csv:///a", "jsonl:///b", "csv:///c", "csv:///d")]
    if isinstance(kind, click.Path):
        return [(text, Path(text)) for text in ("a.txt", "b.txt", "c.txt", "d.txt")]
    return [(text, text) for text in ("a", "b", "c", "d")]


def arguments(found: click.Command) -> list[str]:
    """Something for every required argument."""
    texts = []
    for param in found.params:
        if isinstance(param, click.Argument) and param.required:
            texts.append(str(param.type.choices[0]) if isinstance(param.type, click.Choice) else "x")
    return texts


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """call(path, command, extra, config) -> the options the command got."""
    for name in list(entry.os.environ):
        if name.startswith("CRAWLKIT_") or name in OLD_NAMES.values():
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def call(path: tuple[str, ...], found: click.Command, said: list[str], config: Any = None) -> dict[str, Any]:
        got: dict[str, Any] = {}
        before: list[str] = []
        if config is not None:
            (tmp_path / "c.json").write_text(json.dumps(config))
            before = ["-c", "c.json"]
        target = found if path else cli.get_command(click.Context(cli), "all")
        assert target is not None

        @click.pass_context
        def record(ctx: click.Context, /, **options: Any) -> None:
            settings = ctx.find_object(Settings)
            got.update(options if path else vars(settings))

        monkeypatch.setattr(target, "callback", record)
        line = [*before, *said, "all"] if not path else [*before, *path, *arguments(found), *said]
        assert run(line) == 0
        return got

    return call


def nested(path: tuple[str, ...], name: str, value: Any) -> Any:
    config: Any = {name: value}
    for part in reversed(path):
        config = {part: config}
    return config


@pytest.mark.parametrize(("path", "found", "option"), list(cases()))
def test_the_order_holds(
    path: tuple[str, ...], found: click.Command, option: Opt, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(option.name)
    variable = "_".join(("CRAWLKIT", *path, name)).upper()
    if option.is_flag:
        on = option.opts[0]
        default = bool(seen(path, found, [])[name])  # None: not said
        assert seen(path, found, [], nested(path, name.replace("_", "-"), not default))[name] is not default
        monkeypatch.setenv(variable, str(default).lower())
        assert seen(path, found, [], nested(path, name, not default))[name] is default
        monkeypatch.setenv(variable, "false")
        assert seen(path, found, [on])[name] is True
        return

    def wrapped(value: Any) -> Any:
        return (value,) if option.multiple else value

    (first, one), (second, two), (third, three), _ = samples(option)
    config = nested(path, name.replace("_", "-"), [first] if option.multiple else first)
    assert seen(path, found, [], config)[name] == wrapped(one)
    monkeypatch.setenv(variable, second)
    assert seen(path, found, [], config)[name] == wrapped(two)
    long = max(option.opts, key=len)
    assert seen(path, found, [long, third], config)[name] == wrapped(three)
    monkeypatch.setenv(variable, "")  # says nothing
    assert seen(path, found, [], config)[name] == wrapped(one)


@pytest.mark.parametrize(("where", "variable"), OLD_NAMES.items(), ids=OLD_NAMES.values())
def test_names_of_pyspider(where: tuple[str, str], variable: str, seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    command, name = where
    path = (command,) if command else ()
    found = dict(commands(cli))[path] if path else cli
    option = next(param for param in found.params if param.name == name)
    assert isinstance(option, Opt)
    texts = [("1", True), ("0", False)] if option.is_flag else samples(option)
    monkeypatch.setenv(variable, texts[0][0])
    assert seen(path, found, [])[name] == texts[0][1]
    monkeypatch.setenv("_".join(("CRAWLKIT", *path, name)).upper(), texts[1][0])
    assert seen(path, found, [])[name] == texts[1][1]


def test_somebody_elses_debug_is_not_ours(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "express:*")
    assert seen((), cli, [])["debug"] is False


def test_every_env_name_of_pyspider_is_tried() -> None:
    named = {
        (path[0] if path else "", str(option.name)): option.envvar
        for path, found in [((), cli), *commands(cli)]
        for option in found.params
        if isinstance(option, Opt) and option.envvar and option.name != "server"
    }
    assert named == OLD_NAMES


def test_global_options_may_stand_behind_the_command(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    got: dict[str, Any] = {}
    target = cli.get_command(click.Context(cli), "audit")
    assert target is not None

    @click.pass_context
    def record(ctx: click.Context, /, **_: Any) -> None:
        got.update(vars(ctx.find_object(Settings)))

    monkeypatch.setattr(target, "callback", record)
    assert run(["--data-path", "a", "audit", "--data-path", "b", "--debug"]) == 0
    assert got["data_path"] == Path("b")
    assert got["debug"] is True
    assert "data_path" in got["given"]


def test_the_old_amqp_url_key_is_the_message_queue(seen: Any) -> None:
    assert seen((), cli, [], {"amqp-url": "amqp://h/"})["message_queue"] == "amqp://h/"


def test_every_command_has_an_example_and_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    for path, _found in commands(cli):
        assert run([*path, "--help"]) == 0
        said = capsys.readouterr().out
        assert "Example:" in said, path
        assert f"crawlkit {' '.join(path)}" in said.replace("crawlkit --data-path /var/lib/crawlkit ", "crawlkit "), (
            path
        )


def test_underscore_and_dash_are_alike_in_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("send_message", "send-message", "result-worker"):
        assert run([name, "--help"]) == 0
    capsys.readouterr()


def test_commands_are_loaded_when_asked_for() -> None:
    assert isinstance(cli, Lazy)
    for name, place in cli.commands_in.items():
        module, _, attribute = place.partition(":")
        assert module.startswith("crawlkit.cli."), name
        assert attribute


def test_no_command_is_all_with_its_options(seen: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    got: dict[str, Any] = {}
    target = cli.get_command(click.Context(cli), "all")
    assert target is not None
    monkeypatch.setattr(target, "callback", lambda **options: got.update(options) or 1)
    (tmp_path / "c.json").write_text(json.dumps({"all": {"fetcher-num": 3, "processor-num": 4}}))
    monkeypatch.setenv("CRAWLKIT_ALL_PROCESSOR_NUM", "5")
    assert run(["-c", "c.json", "--data-path", "d"]) == 1  # the exit code of all is that of crawlkit
    assert (got["fetcher_num"], got["processor_num"], got["result_worker_num"]) == (3, 5, 1)


def test_one_variable_names_the_server_of_all_commands() -> None:
    named = {option.envvar for _, found in commands(cli) for option in found.params
             if isinstance(option, Opt) and option.name == "server"}  # fmt: skip
    assert named == {"CRAWLKIT_SERVER"}
