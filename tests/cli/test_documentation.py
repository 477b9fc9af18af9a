"""docs/configuration.md says what is: its three files are alike and accepted, its variables are the real ones."""

from __future__ import annotations

import re
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
