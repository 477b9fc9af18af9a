"""docs/configuration.md says what is: its three files are alike and accepted, its variables are the real ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from crawlkit.cli import cli
from crawlkit.cli.base import schema_of
from crawlkit.settings import check_config, read_config
from tests.cli.test_options import OLD_NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


def test_the_three_files_are_alike_and_every_key_is_known(tmp_path: Path) -> None:
    found = []
    for language in ("json", "toml", "yaml"):
        (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
        path = tmp_path / f"c.{language}"
        path.write_text(block)
        found.append(read_config(path))
        check_config(found[-1], schema_of(cli, click.Context(cli)), path)
    assert found[0] == found[1] == found[2]
    assert found[0]["fetcher"]["poolsize"] == 200


def test_the_variables_are_the_real_ones() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `(?:\w+ )?--([a-z-]+)` \|$", PAGE, re.MULTILINE))
    assert rows == {variable: name.replace("_", "-") for (_, name), variable in OLD_NAMES.items()}


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def test_the_table_of_remote_commands_has_each_that_takes_a_server_and_no_other() -> None:
    assert isinstance(cli, click.Group)
    remote = {name for name, one in commands(cli) if any("--server" in option.opts for option in one.params)}
    page = (Path(__file__).parents[2] / "docs" / "remote.md").read_text()
    (table,) = re.findall(r"^\| command \| with `--server` \|\n.*?\n\n", page, re.DOTALL | re.MULTILINE)
    told = set()
    for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE):
        names = re.findall("`([^`]+)`", row)
        group = names[0].rpartition(" ")[0]
        told |= {name if " " in name or not group else f"{group} {name}" for name in names}
    assert told == remote
