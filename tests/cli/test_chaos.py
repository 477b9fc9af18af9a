"""``crawlkit chaos`` as a user types it: a crawl under kills loses nothing, and the verdict can be a bad one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from crawlkit.cli import chaos, run
from crawlkit.libs.errors import CrawlkitError
from crawlkit.proving import ordeal
from crawlkit.proving.kills import PARTS, schedule
from crawlkit.proving.recovery import Traces
from tests.cli.site import ROOT, crawlkit
from tests.cli.test_bench import untouched

SMALL = ("--minutes", "0.1", "--pages", "500", "--kills", "10", "--seed", "3")


def check(said: str) -> dict[str, Any]:
    """The verdict on ten kills that came when they were due, two of each part."""
    found: dict[str, Any] = json.loads(said)
    assert found["problems"] == found["left"] == found["kept"] == []
    assert found["holds"] is True
    assert found["kills"]["made"] == found["kills"]["planned"] == 10
    assert found["kills"]["by_component"] == dict.fromkeys(PARTS, 2)
    plan = schedule(3, 10, 500)
    assert [one["component"] for one in found["kills"]["at"]] == [kill.part for kill in plan]
    assert all(one["request"] >= kill.request for one, kill in zip(found["kills"]["at"], plan, strict=True))
    assert found["requests"] == 500 + found["refetches"]["count"]
    assert found["recovery"]["all"]["seen"] >= 5
    return found


@pytest.mark.timeout(180)
def test_a_crawl_under_kills_loses_nothing_and_touches_nothing(tmp_path: Path) -> None:
    with untouched(tmp_path):
        done = crawlkit("chaos", "--json", *SMALL, cwd=tmp_path, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    found = check(done.stdout)
    assert found["command"] == "crawlkit chaos --minutes 0.1 --pages 500 --kills 10 --seed 3"
    assert found["seconds"] > 4
    assert "seed 3, 10 kills" in done.stderr


def test_a_crawl_that_loses_everything_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends at once, and nobody has fetched anything."""

    def undergo(running: Any, *_: object) -> ordeal.Course:
        running.wait_ready()
        return ordeal.Course([], Traces([], [], []), 0, 1.0, "the crawl stands still")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ordeal, "undergo", undergo)
    with untouched(tmp_path):
        assert run(["chaos", *SMALL]) == 1
    said = capsys.readouterr()
    assert "it does NOT hold: 1,501 problems\n  the crawl stands still\n  missing: http://127.0.0.1:" in said.out
    assert "and 1,491 more" in said.out


def test_without_a_seed_each_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []

    def remember(self: chaos.Chaos) -> None:
        orders.append(self.order)
        raise CrawlkitError("enough")

    monkeypatch.setattr(chaos.Chaos, "run", remember)
    for _ in range(2):
        assert run(["chaos"]) == 2
    assert run(["chaos", "--seed", "9", "--minutes", "5"]) == 2
    assert orders[0].seed != orders[1].seed
    assert [(one.minutes, one.pages, one.kills) for one in orders[1:]] == [(2.0, 10_000, 60), (5.0, 10_000, 150)]
    assert orders[2].seed == 9


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--pages", "99"], "--pages"),
        (["--minutes", "0"], "--minutes"),
        (["--empty-database", "x"], "there is no server"),
        (["--pages", "100", "--kills", "94"], "--kills: 94 kills need a site of more than 100 pages"),
    ],
)
def test_usage(
    line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with untouched(tmp_path):
        assert run(["chaos", *line]) == 2
    assert words in capsys.readouterr().err


def test_its_page_names_each_option_and_no_other() -> None:
    page = (ROOT / "docs" / "chaos.md").read_text()
    named = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `--"))
    known = {option for param in chaos.chaos.params for option in param.opts} - {"--data-path", "--debug"}
    assert set(re.findall(r"--[a-z-]+", named)) == known
