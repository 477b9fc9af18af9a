"""``crawlkit project versions|pin``, and what other commands do with a pin."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crawlkit import wiring
from crawlkit.cli import cli
from crawlkit.cli.one import put_project
from crawlkit.libs.errors import UsageError
from crawlkit.libs.rows import ProjectRow
from crawlkit.settings import Settings

HEAD = "from crawlkit.libs.base_handler import *\n\n\nclass Handler(BaseHandler):\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two saved versions of a project ``shop``."""
    for n in (1, 2):
        assert put(tmp_path / "data", n).exit_code == 0
    return tmp_path / "data"


def put(data: Path, n: int) -> Result:
    script = data.parent / "shop.py"
    script.write_text(HEAD + f"    def on_start(self):\n        return {n}\n")
    return run(data, "put", str(script))


def run(data: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--data-path", str(data), "project", *words])


def row_of(data: Path) -> ProjectRow:
    with wiring.open_stores(Settings(data_path=data), ("projectdb",)) as stores:
        row = stores.projectdb.get("shop")
    assert row is not None
    return row


def saved(data: Path) -> list[str]:
    with wiring.open_stores(Settings(data_path=data), ("projectdb",)) as stores:
        return [one.version for one in stores.projectdb.versions("shop")]


def test_versions_are_listed_shown_and_compared(data: Path) -> None:
    two, one = saved(data)
    lines = run(data, "versions", "shop").output.splitlines()
    assert lines[0].startswith(f"* {two[:12]}")
    assert lines[1].startswith(f"  {one[:12]}")
    assert lines[0].endswith("cli        crawlkit project put shop.py")
    assert run(data, "versions", "shop", "--show", one[:6]).output.endswith("return 1\n")
    diff = run(data, "versions", "shop", "--diff", one[:6]).output
    assert f"--- {one[:12]}\n+++ {two[:12]}\n" in diff
    assert "-        return 1\n+        return 2\n" in diff


def test_a_pin_is_set_said_and_lifted(data: Path) -> None:
    two, one = saved(data)
    assert f"pinned to {one[:12]}" in run(data, "pin", "shop", one[:8].upper()).output
    assert (row_of(data).runs, row_of(data).version) == (one, two)
    assert f"pinned to {one}" in run(data, "show", "shop").output
    said = put(data, 3).output
    assert f"pinned to {one[:8]}, which it goes on running" in said
    assert row_of(data).runs == one
    assert run(data, "versions", "shop").output.splitlines()[-1].startswith("* ")
    assert "follows the newest" in run(data, "pin", "shop", "newest").output
    assert row_of(data).pin == ""


@pytest.mark.parametrize("wanted", ["zz", "", "0" * 40])
def test_a_version_that_is_not_there_is_refused_in_words(data: Path, wanted: str) -> None:
    refused = run(data, "pin", "shop", wanted).exception
    assert isinstance(refused, UsageError)
    assert "is none that was saved; see: crawlkit project versions shop" in str(refused)


def test_one_runs_the_script_it_is_given_whatever_is_pinned(data: Path) -> None:
    _, one = saved(data)
    run(data, "pin", "shop", one)
    with wiring.open_stores(Settings(data_path=data), ("projectdb",)) as stores:
        row = put_project(stores.projectdb, "shop", row_of(data).script, None)
    assert (row.pin, row.runs) == ("", row.version)
