"""A folder is served by nginx or without it, and nothing of a server is left when whoever wanted it is gone."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.proving import serving as module
from crawlkit.proving.serving import BUNDLED, free_port, serving
from tests.e2e.commands import until
from tests.needs import missing

PATHS = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"


def nginx() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path=PATHS)
    if found is None:
        missing("nginx")
    return found


def get(port: int, path: str, scheme: str = "http") -> bytes:
    trusting = ssl._create_unverified_context() if scheme == "https" else None
    with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}{path}", context=trusting, timeout=10) as response:
        assert response.headers.get_content_type() == "text/html"
        body: bytes = response.read()
        return body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = tmp_path / "a site"
    (site / "p").mkdir(parents=True)
    (site / "p" / "1.html").write_text("hello")
    (tmp_path / "secret.html").write_text("not for you")
    return site


@pytest.fixture(params=["nginx", "without nginx", "an nginx that does not start"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name that is to be said."""
    if request.param == "nginx":
        nginx()
        return "nginx"
    found = None if request.param == "without nginx" else shutil.which("false")
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: found)
    return f"{BUNDLED} (nginx {'is not installed' if found is None else 'does not start'})"


def test_files_of_the_folder_and_no_others(server: str, folder: Path) -> None:
    port = free_port()
    with serving(folder, port) as name:
        assert name == server
        assert get(port, "/p/1.html") == get(port, "/p/1.html") == b"hello"
        for path in ("/p/2.html", "/../secret.html", "/p/../../secret.html"):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
                assert raw.recv(1000).startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_the_bundled_server_answers_what_comes_together_and_hangs_up_on_nonsense(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: None)
    port = free_port()
    with serving(folder, port), socket.create_connection(("127.0.0.1", port), 10) as raw:
        raw.sendall(b"GET /p/1.html HTTP/1.1\r\n\r\nGET /p/1.html?q=1 HTTP/1.1\r\n\r\nnonsense\r\n\r\n")
        answer = b""
        while more := raw.recv(1000):
            answer += more
        assert answer.count(b"\r\n\r\nhello") == 2


def test_over_tls_with_http_2(folder: Path) -> None:
    nginx()
    port = free_port()
    with serving(folder, port, "ssl http2") as name:
        assert name == "nginx"
        assert get(port, "/p/1.html", "https") == b"hello"


def test_tls_without_nginx_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ServiceUnreachable, match="need nginx"), serving(folder, free_port(), "ssl"):
        pass


def test_a_port_that_is_taken(folder: Path) -> None:
    port = free_port()
    with serving(folder, port), pytest.raises(ServiceUnreachable, match="in use"), serving(folder, port):
        pass


@pytest.mark.parametrize("name", ["nginx", "bundled"])
def test_no_server_outlives_whoever_started_it(name: str, folder: Path) -> None:
    if name == "nginx":
        nginx()
    code = f"""
import shutil, time
from pathlib import Path
from crawlkit.proving.serving import serving
if {name == "bundled"}:
    shutil.which = lambda *_, **__: None
with serving(Path({str(folder)!r}), {free_port()}) as name:
    print(name, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert name in process.stdout.readline()
        below = psutil.Process(process.pid).children(recursive=True)
        assert below
        process.send_signal(signal.SIGKILL)
    until(lambda: not any(one.is_running() for one in below), 10, "nothing of the server is left")


def test_a_hang_of_the_server_is_no_hang_of_ours(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(module, "START_WITHIN", 0.2)
    monkeypatch.setattr(module, "_bundled", lambda *_: [sys.executable, "-c", "input()"])
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: None)
    began = time.monotonic()
    with pytest.raises(ServiceUnreachable, match="did not start"), serving(folder, free_port()):
        pass
    assert time.monotonic() - began < 8
