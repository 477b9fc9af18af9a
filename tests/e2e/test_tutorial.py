"""The tutorial, followed: its script and its commands do what it says."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import ROOT, RUN, environment, run
from tests.e2e.site import Site

PAGE = (ROOT / "docs" / "tutorial.md").read_text()


@pytest.fixture
def quotes(tmp_path: Path) -> Iterator[Site]:
    served = Site(ROOT / "examples" / "site", tmp_path / "ledger.txt")
    yield served
    served.close()


def at(site: Site, text: str) -> str:
    """The tutorial's addresses, with the port that is free here."""
    return text.replace("http://127.0.0.1:8090/", site.base)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands(word: str) -> list[list[str]]:
    """The tutorial's commands that have a word in them, without `crawlkit`."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.split()[1:] for line in lines if line.startswith("crawlkit ") and word in line.split()]


def test_the_script_crawls_and_goes_on(quotes: Site, tmp_path: Path) -> None:
    (script,) = [block for block in blocks("python") if "class Handler" in block]
    (tmp_path / "first.py").write_text(at(quotes, script))
    env = environment(quotes.base)
    plain, durable = commands("one")[:2]
    done = run(plain, tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 30
    durable[durable.index("--rate") + 1] = "20"  # nobody is cruel here, so nobody has to wait
    for _ in range(2):  # the second time there is little to do
        assert run(durable, tmp_path, env).returncode == 0
        lines = [json.loads(line) for line in (tmp_path / "quotes.jsonl").read_text().splitlines()]
        assert len(lines) == 30
    (audit,) = commands("audit")
    assert run(audit, tmp_path, env).returncode == 0


def test_the_mistake_is_shown(quotes: Site, tmp_path: Path) -> None:
    (script,) = [block for block in blocks("python") if "class Handler" in block]
    script = script.replace("response.doc(", "response.docs(", 1)
    script = script.replace("    def on_start", '    retry_delay = {"": -1}  # nobody waits here\n\n    def on_start')
    (tmp_path / "first.py").write_text(at(quotes, script))
    done = run(["one", "first.py"], tmp_path, environment(quotes.base))
    assert done.returncode == 1
    assert "response.docs(" in done.stderr
    assert "failed for good: 1" in done.stderr


def test_fetch_and_shell_show_what_the_page_has(quotes: Site, tmp_path: Path) -> None:
    (fetch,) = commands("fetch")
    assert "200" in run([at(quotes, word) for word in fetch], tmp_path, environment(quotes.base)).stdout
    (prompt,) = [block for block in blocks("python") if ">>>" in block]
    asked = re.findall(r"^>>> (.*)$", prompt, re.MULTILINE)
    answers = [at(quotes, line) for line in prompt.splitlines() if not line.startswith(">>>")]
    done = subprocess.run(
        [*RUN, "shell", quotes.base],
        input="".join(line + "\n" for line in asked),
        capture_output=True,
        text=True,
        env=environment(quotes.base),
        timeout=60,
        check=False,
    )
    for answer in answers:
        assert answer in done.stdout + done.stderr


def test_the_server_of_the_examples_runs_a_command_and_ends_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = [sys.executable, str(ROOT / "examples" / "serve.py"), "--port", str(taken.getsockname()[1]), "--"]
        look = "import os, urllib.request as u; assert b'Quotations' in u.urlopen(os.environ['START_URL']).read()"
        for code in (0, 3):
            done = subprocess.run([*server, sys.executable, "-c", f"{look}; raise SystemExit({code})"], check=False)
            assert done.returncode == code
