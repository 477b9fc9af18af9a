"""The examples of docs/handlers-settings.md do what the page says."""

from __future__ import annotations

import io
import re
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from crawlkit.cli import run
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.handler_settings import HandlerSettings
from crawlkit.libs.messages import Outcome
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.runner import Runner, RunnerSettings
from tests.processor.helpers import fetched

PAGE = (Path(__file__).parents[2] / "docs" / "handlers-settings.md").read_text()
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in block.split("\n")
]
NEWS = b'<table><tr class=news id=n1>One</tr><tr class=news id=n2>Two</tr></table><a class=next href="/2">more</a>'


def ran(script: str, callback: str) -> Outcome:
    head = "from crawlkit import BaseHandler\n"
    text = script if script.startswith("class") else "class Handler(BaseHandler):\n" + script
    more = textwrap.indent("def items(self, response): pass\n", "    ")
    project = load_project("quotes", head + text + more, settings=HandlerSettings("quotes", {"api_key": "hunter2"}))
    outcomes: list[Outcome] = []
    runner = Runner(project, node="n", settings=RunnerSettings(), clock=ManualClock())
    runner.run(fetched("quotes", "v", callback, content=NEWS), outcomes.append)
    return outcomes[-1]


def test_the_scripts_run() -> None:
    first, second, third = SCRIPTS
    outcome = ran(first, "on_start")
    assert outcome.ok, outcome.process
    assert b"Bearer hunter2" in bytes(outcome.follows[0].task)
    assert load_project("quotes", "from crawlkit import *\n" + second).result_key is not None
    outcome = ran(third, "news")
    assert outcome.ok, outcome.process
    assert (outcome.keys, outcome.key_places, outcome.key_policy) == (['["n1"]', '["n2"]'], [0, 0], "stop")
    assert len(outcome.follows) == 1


def test_the_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRAWLKIT_SECRET_KEY", raising=False)
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: "typed")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"from a file\n")))
    Path("quotes.py").write_text("from crawlkit import BaseHandler\nclass Handler(BaseHandler): pass\n")
    assert run(["project", "put", "quotes.py"]) == 0
    for line in filter(None, COMMANDS):
        words = line.partition(" <")[0].split()
        assert words.pop(0) == "crawlkit"
        assert run(words) == 0, capsys.readouterr().err
    listed = capsys.readouterr().out
    assert listed.count("(secret)") == 1
    assert "ann" in listed
