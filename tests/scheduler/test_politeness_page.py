"""docs/politeness.md says what is: its examples are accepted, and the values it names are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from crawlkit.cli import cli
from crawlkit.cli.base import schema_of
from crawlkit.libs import host_limits
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.host_limits import Limits
from crawlkit.scheduler import host_gate, politeness
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.settings import check_config, read_config

PAGE = (Path(__file__).parents[2] / "docs" / "politeness.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_handlers_are_accepted_and_mean_what_is_said() -> None:
    whole, short = blocks("python")
    scope: dict[str, type[BaseHandler]] = {}
    exec(whole, scope)
    said = host_limits.read(scope["Handler"]().project_info().crawl_config["host_limits"])
    assert said.of("other.net") == Limits(rate=2, concurrency=4)
    assert said.of("www.example.org") == Limits(rate=0.5, concurrency=4)
    assert said.of("example.org") == Limits(rate=2, concurrency=4)
    assert said.of("api.example.org") == Limits(rate=10, burst=20, concurrency=float("inf"))
    exec(f"class Short(BaseHandler):\n    {short}", scope | {"BaseHandler": BaseHandler}, scope)
    said = host_limits.read(scope["Short"]().project_info().crawl_config["host_limits"])
    assert said.of("other.net") == Limits(crawl_delay=20)


def test_the_config_file_is_accepted(tmp_path: Path) -> None:
    (block,) = blocks("json")
    path = tmp_path / "c.json"
    path.write_text(block)
    config = read_config(path)
    check_config(config, schema_of(cli, click.Context(cli)), path)
    said = host_limits.read(config["scheduler"]["host_limits"])
    assert said.of("www.example.org") == Limits(rate=5, concurrency=8, autothrottle=1)
    defaults = EngineSettings()
    assert (config["scheduler"]["hold_first"], config["scheduler"]["hold_max"]) == (
        defaults.hold_first,
        defaults.hold_max,
    )


def test_every_limit_and_every_reason_is_there() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(host_limits.NAMES)
    reasons = set(re.findall(r'Block\("(\w+)"', Path(host_gate.__file__).read_text()))
    said = PAGE[PAGE.index("The reasons are") :]
    assert set(re.findall(r"`(\w+)`", said)) == reasons


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("| 16; unlimited", host_gate.CONCURRENCY == 16),
        ("up to 60 s", host_limits.MAX_DELAY == 60),
        ("until a minute after", host_gate.LINGER == 60),
        ("for ten minutes", host_gate.REST == 600),
        ("up to 10,000 of them", politeness.MOST_KEPT == 10_000),
    ],
)
def test_the_numbers_are_those_of_the_code(words: str, value: bool) -> None:
    assert words in PAGE
    assert value


def test_the_form_is_the_same_as_json() -> None:
    said = {"rate": 5, "my-shop.example": {"concurrency": "unlimited"}}
    assert host_limits.read(json.loads(json.dumps(said))) == host_limits.read(said)
