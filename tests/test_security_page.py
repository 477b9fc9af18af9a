"""docs/security.md says what is so: defaults as the commands have them, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from crawlkit.cli import cli
from tests.test_repository import functions

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = re.findall(r"^\| `(\w+) (--[\w-]+)` \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)


def default_of(command: str, name: str) -> str:
    """As a reader of the command's help sees it."""
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    [option] = [one for one in found.params if isinstance(one, click.Option) and name in one.opts]
    if option.default is None or option.multiple:
        said = re.search(r"\[default: (.*?)\]", option.help or "")
        return said[1] if said else "none"
    return f"`{option.default}`"


@pytest.mark.parametrize(("command", "name", "default"), [row[:3] for row in ROWS], ids=lambda text: text)
def test_a_default_is_the_commands(command: str, name: str, default: str) -> None:
    there = default_of(command, name)
    assert there == default or (name == "--sandbox" and there.startswith("unless this is root"))


def test_every_row_has_a_reason_and_a_test() -> None:
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.MULTILINE)) > 8
    for _, _, _, reason, shown in ROWS:
        assert len(reason) > 20
        assert "tests/" in shown


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", PAGE)
    assert len(named) > 20
    for file, name in named:
        assert name, f"{file}: which test?"
        assert name in functions(ROOT / file), f"{file} has no {name}"
