"""The units: verified by systemd's own tool, hardened, with commands of crawlkit's."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.deploy.commands import DEPLOY, known_variables, parses, run, variables_of

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/crawlkit/bin/crawlkit"


def test_there_is_one_for_every_kind_of_host() -> None:
    names = {unit.stem for unit in UNITS}
    assert names == {"crawlkit-scheduler", "crawlkit-webui", "crawlkit-node"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it_and_finds_it_hardened(unit: Path, tmp_path: Path) -> None:
    tool = needs.binary("systemd-analyze", "systemd")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, sys.executable))  # it looks whether the program is there
    done = run([tool, "verify", "--man=no", str(copy)])
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr, done.stderr
    done = run([tool, "security", "--offline=true", "--threshold=25", str(copy)])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_command_is_crawlkits_and_it_comes_back(unit: Path) -> None:
    text = unit.read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *words = shlex.split(command)
    assert program == PROGRAM
    assert f"crawlkit-{parses(words)}" == unit.stem
    assert "Restart=always" in text
    assert "StartLimitIntervalSec=0" in text


def test_the_settings_of_the_example_are_known() -> None:
    assert not known_variables(variables_of(DEPLOY / "systemd" / "crawlkit.env.example"))
