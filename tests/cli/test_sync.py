"""``crawlkit project sync`` between a folder and a real web UI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlkit.cli import run
from tests.cli.site import ROOT
from tests.webui.servers import Client, Running, in_thread, until

HEAD = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n"
Sync = Callable[..., int]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with in_thread(tmp_path / "data") as running:
        yield running


@pytest.fixture
def ui(server: Running) -> Client:
    return server.client()


@pytest.fixture
def token(ui: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    made: str = ui.api("POST", "/account/tokens", {"name": "sync", "role": "editor"})["token"]
    monkeypatch.setenv("CRAWLKIT_TOKEN", made)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "scripts"
    made.mkdir()
    return made


@pytest.fixture
def sync(server: Running, token: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Sync:
    def call(*more: str) -> int:
        capsys.readouterr()
        return run(["project", "sync", str(folder), "--server", server.url, *more])

    return call


def save(ui: Client, name: str, script: str) -> None:
    ui.api("PUT", f"/projects/{name}/script", {"script": script})


def script_of(ui: Client, name: str) -> str:
    found: str = ui.api("GET", f"/projects/{name}/versions/newest")["script"]
    return found


def test_both_ways(sync: Sync, ui: Client, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(ui, "theirs", HEAD)
    (folder / "mine.py").write_text(HEAD + "# mine\n")
    (folder / "helpers.py").write_text("x = 1\n")
    (folder / "not-a-name.py").write_text(HEAD)
    assert sync() == 0
    said = capsys.readouterr().err
    assert "mine: new on the server, TODO" in said
    assert "theirs: written from the server" in said
    assert "helpers.py: no handler class in it" in said
    assert "2 scripts in step" in said
    assert (folder / "theirs.py").read_text() == HEAD
    assert script_of(ui, "mine") == HEAD + "# mine\n"
    until(lambda: [item["name"] for item in ui.api("GET", "/projects")["items"]] == ["mine", "theirs"])

    (folder / "theirs.py").write_text(HEAD + "# changed here\n")
    save(ui, "mine", HEAD + "# changed there\n")
    assert sync() == 0
    assert script_of(ui, "theirs") == HEAD + "# changed here\n"
    assert (folder / "mine.py").read_text() == HEAD + "# changed there\n"
    newest = ui.api("GET", "/projects/theirs/versions")["items"][0]
    assert newest["message"] == "crawlkit project sync"
    assert sync() == 0
    assert "sent" not in capsys.readouterr().err  # nothing is done twice


def test_a_conflict_keeps_both_until_it_is_merged(
    sync: Sync, ui: Client, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_text(HEAD)
    assert sync() == 0
    (folder / "shop.py").write_text(HEAD + "# here\n")
    save(ui, "shop", HEAD + "# there\n")
    assert sync() == 1
    said = capsys.readouterr().err
    assert "shop: CONFLICT" in said
    assert "-# there" in said
    assert "+# here" in said
    assert (folder / "shop.py").read_text() == HEAD + "# here\n"
    assert (folder / "shop.server.py").read_text() == HEAD + "# there\n"
    assert script_of(ui, "shop") == HEAD + "# there\n"
    assert sync() == 1  # as long as theirs lies there
    assert "CONFLICT" not in capsys.readouterr().err

    save(ui, "shop", HEAD + "# there, again\n")  # somebody goes on: theirs is brought up to date
    assert sync() == 1
    assert (folder / "shop.server.py").read_text() == HEAD + "# there, again\n"

    (folder / "shop.py").write_text(HEAD + "# here\n# there, again\n")
    (folder / "shop.server.py").unlink()
    assert sync() == 0
    assert script_of(ui, "shop") == HEAD + "# here\n# there, again\n"


def test_a_merge_that_comes_too_late_is_a_conflict_again(sync: Sync, ui: Client, folder: Path) -> None:
    (folder / "shop.py").write_text(HEAD)
    sync()
    (folder / "shop.py").write_text(HEAD + "# here\n")
    save(ui, "shop", HEAD + "# there\n")
    assert sync() == 1
    (folder / "shop.server.py").write_text(HEAD + "# half merged in the wrong file\n")
    save(ui, "shop", HEAD + "# there 2\n")
    assert sync() == 1
    assert (folder / "shop.server.py").read_text() == HEAD + "# there 2\n"
    (kept,) = folder.glob("shop.server-*.py")
    assert kept.read_text() == HEAD + "# half merged in the wrong file\n"
    (folder / "shop.server.py").unlink()
    save(ui, "shop", HEAD + "# there 3\n")
    assert sync() == 1
    assert (folder / "shop.py").read_text() == HEAD + "# here\n"
    assert (folder / "shop.server.py").read_text() == HEAD + "# there 3\n"
    (folder / "shop.py").write_text(HEAD + "# there 3\n")  # theirs is taken
    assert sync() == 0
    assert not (folder / "shop.server.py").exists()


def test_a_save_in_the_very_moment_is_not_written_over(
    sync: Sync, ui: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the step an editor saves, or somebody saves on the server."""
    from crawlkit.cli.sync import Syncer

    (folder / "shop.py").write_text(HEAD)
    (folder / "other.py").write_text(HEAD)
    assert sync() == 0
    do = Syncer._do
    once = iter([True])

    def slow(self: Syncer, *args: object) -> bool:
        if next(once, False):
            (folder / "other.py").write_text(HEAD + "# saved by an editor\n")
            save(ui, "shop", HEAD + "# saved there\n")
        return do(self, *args)  # type: ignore[arg-type]

    save(ui, "other", HEAD + "# of the server\n")
    (folder / "shop.py").write_text(HEAD + "# of the folder\n")
    monkeypatch.setattr(Syncer, "_do", slow)
    assert sync() == 1
    monkeypatch.undo()
    os.environ["CRAWLKIT_TOKEN"] = ui.api("POST", "/account/tokens", {"name": "again", "role": "editor"})["token"]
    try:
        assert sync() == 1
    finally:
        del os.environ["CRAWLKIT_TOKEN"]
    assert (folder / "other.py").read_text() == HEAD + "# saved by an editor\n"
    assert (folder / "other.server.py").read_text() == HEAD + "# of the server\n"
    assert (folder / "shop.py").read_text() == HEAD + "# of the folder\n"
    assert (folder / "shop.server.py").read_text() == HEAD + "# saved there\n"
    assert script_of(ui, "shop") == HEAD + "# saved there\n"


def test_what_is_gone_on_one_side_stays_on_the_other(
    sync: Sync, server: Running, ui: Client, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        (folder / f"{name}.py").write_text(HEAD)
    assert sync() == 0
    assert server.server is not None
    for name in ("a", "b"):
        server.server.services.projectdb.drop(name)
    (folder / "b.py").write_text(HEAD + "# my work\n")
    (folder / "c.py").unlink()
    assert sync() == 1
    said = capsys.readouterr().err
    assert "a: removed on the server; the file is a.py.removed now" in said
    assert "b: removed on the server, and changed here; to make it anew: crawlkit project put" in said
    assert "c: c.py is gone; the project stays on the server" in said
    assert (folder / "a.py.removed").read_text() == HEAD
    assert (folder / "b.py").read_text() == HEAD + "# my work\n"
    assert script_of(ui, "c") == HEAD
    sync()
    assert not (folder / "c.py").exists()
    save(ui, "c", HEAD + "# changed there\n")
    sync()
    assert (folder / "c.py").read_text() == HEAD + "# changed there\n"


def test_line_ends_and_what_is_no_text(
    sync: Sync, ui: Client, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_bytes(HEAD.replace("\n", "\r\n").encode())
    assert sync() == 0
    assert script_of(ui, "shop") == HEAD
    assert sync() == 0
    save(ui, "shop", HEAD + "# ü\n")
    assert sync() == 0
    assert (folder / "shop.py").read_bytes() == (HEAD + "# ü\n").replace("\n", "\r\n").encode()
    (folder / "latin.py").write_bytes(b"# \xfc\n" + HEAD.encode())
    assert sync() == 0
    assert "latin.py: not UTF-8 text, at byte 2" in capsys.readouterr().err
    (folder / "shop.py").write_bytes(b"# \xfc\n")
    assert sync() == 2  # never taken for one that is gone
    assert script_of(ui, "shop") == HEAD + "# ü\n"


def test_a_script_that_is_no_python_is_kept_and_told(
    sync: Sync, ui: Client, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_text(HEAD + "x = (\n")
    assert sync() == 0
    assert "shop.py, line 6" in capsys.readouterr().err
    assert script_of(ui, "shop").endswith("x = (\n")


def test_a_running_project_waits_unless_it_shall_go_on(
    sync: Sync, ui: Client, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_text(HEAD)
    sync()
    for more, status in (((), "CHECKING"), (("--keep-status",), "RUNNING")):
        ui.api("PATCH", "/projects/shop", {"status": "RUNNING"})
        (folder / "shop.py").write_text(HEAD + f"# {status}\n")
        assert sync(*more) == 0
        assert ui.api("GET", "/projects/shop")["status"] == status
        assert ("CHECKING" in capsys.readouterr().err) is (status == "CHECKING")


def test_refusals_are_told_by_project(
    server: Running,
    ui: Client,
    folder: Path,
    sync: Sync,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(ui, "theirs", HEAD)
    viewer = ui.api("POST", "/account/tokens", {"name": "look", "role": "viewer"})["token"]
    monkeypatch.setenv("CRAWLKIT_TOKEN", viewer)
    (folder / "mine.py").write_text(HEAD)
    assert sync() == 1
    said = capsys.readouterr().err
    assert "mine: this needs the role editor" in said
    assert (folder / "theirs.py").exists()
    assert (folder / "mine.py").exists()


def test_wrong_uses(
    server: Running, token: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def words(*line: str) -> str:
        capsys.readouterr()
        assert run(["project", "sync", *line]) == 2
        return capsys.readouterr().err

    assert "--server URL" in words(str(folder))
    assert "use the address of a web UI" in words(str(folder), "--server", "ftp://x")
    assert "does not answer" in words(str(folder), "--server", "http://127.0.0.1:1")
    (tmp_path / "file").write_text("")
    assert "is a file" in words(str(tmp_path / "file"), "--server", server.url)
    assert run(["project", "sync", str(folder), "--server", server.url]) == 0
    assert "belongs to the server" in words(str(folder), "--server", server.url + "/elsewhere")
    monkeypatch.setenv("CRAWLKIT_TOKEN", "crawlkit_wrong")
    assert "this token is unknown" in words(str(folder), "--server", server.url)
    monkeypatch.delenv("CRAWLKIT_TOKEN")
    assert "wants an API token: set CRAWLKIT_TOKEN" in words(str(folder), "--server", server.url)


def test_login_keeps_the_token_for_oneself(
    server: Running, token: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = tmp_path / "config/crawlkit/tokens.json"
    assert run(["login", server.url + "/"]) == 0
    assert f"{server.url}: local, editor; the token is kept in {file}" in capsys.readouterr().err
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("CRAWLKIT_TOKEN")
    assert run(["project", "sync", str(folder), "--server", server.url]) == 0
    file.chmod(0o644)
    capsys.readouterr()
    assert run(["project", "sync", str(folder), "--server", server.url]) == 2
    assert f"chmod 600 {file}" in capsys.readouterr().err
    file.chmod(0o600)
    assert run(["logout", server.url]) == 0
    assert token not in file.read_text()
    assert run(["logout", server.url]) == 2
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "login", server.url], input=f"{token}\n", text=True, capture_output=True,
        env={**os.environ},
    )  # fmt: skip
    assert (done.returncode, token in done.stderr) == (0, False), done.stderr
    assert token in file.read_text()
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "login", server.url], input="wrong\n", text=True, capture_output=True
    )
    assert done.returncode == 2
    assert "this token is unknown" in done.stderr


def test_watching(server: Running, ui: Client, token: str, folder: Path) -> None:
    command = [sys.executable, str(ROOT / "run.py"), "project", "sync", str(folder), "--server", server.url,
               "--watch", "--every", "0.1"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        (folder / "shop.py").write_text(HEAD)
        until(lambda: ui.request("GET", "/api/v1/projects/shop/versions/newest").status == 200, 20)
        for n in range(3):
            (folder / "shop.py").write_text(HEAD + f"# here {n}\n")
            until(lambda n=n: script_of(ui, "shop") == HEAD + f"# here {n}\n", 20)  # type: ignore[misc]
            save(ui, "shop", HEAD + f"# there {n}\n")
            until(lambda n=n: (folder / "shop.py").read_text() == HEAD + f"# there {n}\n", 20)  # type: ignore[misc]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert second.returncode == 2
        assert "another crawlkit project sync works there" in second.stderr
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 0, said
    assert "CONFLICT" not in said
    assert token not in said
