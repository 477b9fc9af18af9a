"""``crawlkit webui``: R-56, closed by default, by the real command."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from crawlkit.cli import run
from tests.webui.servers import ROOT, Client, until


@contextmanager
def webui(folder: Path, *options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The command in a process of its own, and the file of what it says."""
    log = folder / "webui.log"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CRAWLKIT_", "WEBUI_"))}
    command = [sys.executable, str(ROOT / "run.py"), "--data-path", str(folder / "data"), "webui", *options]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, stdout=stream, text=True, env={**env, **variables})
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()


def said(process: subprocess.Popen[str], log: Path, pattern: str) -> re.Match[str]:
    def look() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(pattern, log.read_text())

    found: re.Match[str] = until(look, 60, pattern)
    return found


def test_r56_without_options_it_listens_on_loopback_only(tmp_path: Path) -> None:
    with webui(tmp_path, "--port", "0") as (process, log):
        found = said(process, log, r"open (http://127\.0\.0\.1:(\d+))/\?token=(\S+) \(once")
        listening = {
            one.laddr.ip
            for one in psutil.Process(process.pid).net_connections("inet")
            if one.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        client = Client(found[1]).enter(found[3])
        assert client.api("GET", "/me")["role"] == "admin"
        assert Client(found[1]).get("/api/v1/me").status == 401
        again = Client(found[1]).get(f"/?token={found[3]}", Accept="text/html")
        assert (again.headers["Location"], again.headers["Set-Cookie"]) == ("/login?link=old", None)
    assert not (tmp_path / "data" / "webui.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "lets others in, and there is no user yet: add one with `crawlkit user add NAME`"),
        (["--need-auth"], "nobody could come in"),
    ],
)
def test_r56_it_refuses_others_without_a_user(tmp_path: Path, options: list[str], words: str) -> None:
    with webui(tmp_path, "--port", "0", *options) as (process, log):
        assert process.wait(60) == 2
        assert words in log.read_text()


def test_with_a_user_it_says_where_to_sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    assert run(["user", "add", "ada", "--role", "admin"]) == 0
    with webui(tmp_path, "--port", "0", "--host", "0.0.0.0", CRAWLKIT_WEBUI_TRUSTED_PROXY="10.0.0.0/8 ::1") as (
        process,
        log,
    ):
        found = said(process, log, r"web UI: (http://127\.0\.0\.1:\d+)/ \(sign in with name and password\)")
        assert "token=" not in log.read_text()
        assert Client(found[1]).get("/login", Accept="text/html").status == 200
        assert Client(found[1]).get("/login", Host=socket.gethostname() + ".evil").status == 403


def test_c34_a_user_of_the_process_by_environment(tmp_path: Path) -> None:
    variables = {"WEBUI_USERNAME": "op", "WEBUI_PASSWORD": "only for now"}
    with webui(tmp_path, "--port", "0", "--need-auth", **variables) as (process, log):
        found = said(process, log, r"web UI: (http://127\.0\.0\.1:\d+)/ ")
        answer = Client(found[1]).get("/", Accept="text/html")
        assert (answer.status, answer.headers["WWW-Authenticate"][:12]) == (401, "Basic realm=")
        assert Client(found[1]).get("/", Accept="text/html", Authorization="Basic b3A6b25seSBmb3Igbm93").status == 200
        assert "only for now" not in " ".join(psutil.Process(process.pid).cmdline()) + log.read_text()
