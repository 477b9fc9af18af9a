"""``crawlkit user``: accounts of the web UI from the command line."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path

import pytest

from crawlkit import wiring
from crawlkit.cli import run
from crawlkit.libs import passwords
from crawlkit.settings import Settings
from crawlkit.webui import notice
from crawlkit.webui.accounts import LoggedIn


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRAWLKIT_SECRET_KEY", raising=False)
    monkeypatch.setattr(passwords, "COST", (4, 8, 1))
    return tmp_path / "data"


def feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def logs_in(name: str, password: str) -> bool:
    with wiring.open_stores(Settings(), ("accountdb",)) as stores:
        accounts = wiring.accounts(Settings(), stores)
        return isinstance(accounts.log_in(name, password, "127.0.0.1"), LoggedIn)


def test_add_list_passwd_role_rm(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, "correct horse\n")
    assert run(["user", "add", "ada", "--role", "admin"]) == 0
    feed(monkeypatch, "battery staple")
    assert run(["user", "add", "bob"]) == 0
    assert run(["user", "list"]) == 0
    assert capsys.readouterr().out == "ada\tadmin\t0 tokens\nbob\tviewer\t0 tokens\n"
    assert logs_in("ada", "correct horse")
    feed(monkeypatch, "horse correct\n")
    assert run(["user", "passwd", "ada"]) == 0
    assert not logs_in("ada", "correct horse")
    assert logs_in("ada", "horse correct")
    assert run(["user", "role", "bob", "editor"]) == 0
    assert run(["user", "rm", "bob"]) == 0
    capsys.readouterr()
    assert run(["user", "rm", "ada"]) == 2
    assert "ada is the last admin" in capsys.readouterr().err
    assert run(["user", "rm", "ada", "--force"]) == 0
    assert run(["user", "list"]) == 0
    assert "no users" in capsys.readouterr().err
    assert stat.S_IMODE((data / "secret.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "password", "words"),
    [
        (["add", "eve"], "k3y!", "too short"),
        (["add", "eve"], "", "too short"),
        (["add", "eve!"], "long enough", "use 1 to 64 letters"),
        (["add", "local"], "long enough", "meaning of its own"),
        (["add", "ada"], "long enough", "already; change the password: crawlkit user passwd ada"),
        (["passwd", "eve"], "long enough", "no user 'eve'"),
        (["role", "eve", "admin"], "", "no user 'eve'"),
        (["role", "ada", "viewer"], "", "last admin"),
        (["role", "ada", "root"], "", "root"),
        (["token", "eve"], "", "no user 'eve'"),
        (["token", "--rm", "x"], "", "no token 'x'"),
        (["link", "eve"], "", "no user 'eve'"),
    ],
)
def test_refusals(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    password: str,
    words: str,
) -> None:
    feed(monkeypatch, "correct horse")
    assert run(["user", "add", "ada", "--role", "admin"]) == 0
    feed(monkeypatch, password)
    capsys.readouterr()
    assert run(["user", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
    assert not password or password not in said.err


def test_tokens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["user", "token"]) == 0
    local = capsys.readouterr().out.strip()
    for name, role in (("zoe", "admin"), ("ada", "editor")):
        feed(monkeypatch, "correct horse")
        assert run(["user", "add", name, "--role", role]) == 0
    assert capsys.readouterr().err.count("hold no more") == 1
    assert run(["user", "token", "ada", "--for", "deploy", "--days", "30"]) == 0
    made = capsys.readouterr().out.strip()
    for command in ("token", "link"):
        assert run(["user", command]) == 2
        assert "say whose" in (said := capsys.readouterr().err) or "say whom" in said
    assert run(["user", "token", "ada", "--role", "admin"]) == 2
    assert "ada is editor" in capsys.readouterr().err
    with wiring.open_stores(Settings(), ("accountdb",)) as stores:
        accounts = wiring.accounts(Settings(), stores)
        assert accounts.who_bears(made).role == "editor"
        assert accounts.who_bears(local) is None
        assert made.split("_", 2)[2] not in json.dumps([row.digest for row in stores.accountdb.tokens()])
    assert run(["user", "token", "--list"]) == 0
    listed = capsys.readouterr().out
    assert [line.split("\t")[1:] for line in listed.splitlines()] == [
        ["local", "admin", ""],
        ["ada", "editor", "deploy"],
    ]
    assert run(["user", "token", "--rm", listed.splitlines()[1].split("\t")[0]]) == 0
    with wiring.open_stores(Settings(), ("accountdb",)) as stores:
        accounts = wiring.accounts(Settings(), stores)
        assert accounts.who_bears(made) is None


def test_a_link_for_the_running_web_ui(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["user", "link"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("http://127.0.0.1:5000/?token=")
    assert "no web UI runs" in said.err
    notice.publish(data, "http://127.0.0.1:4711/crawl")
    assert run(["user", "link"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("http://127.0.0.1:4711/crawl/?token=")
    assert not said.err
    notice.withdraw(data)
    assert notice.published(data) == ""
    assert run(["user", "link", "--url", "https://crawl.example/"]) == 0
    token = capsys.readouterr().out.strip().removeprefix("https://crawl.example/?token=")
    with wiring.open_stores(Settings(), ("accountdb",)) as stores:
        accounts = wiring.accounts(Settings(), stores)
        assert accounts.follow_link(token, "127.0.0.1").identity.user == "local"
        assert accounts.follow_link(token, "127.0.0.1") is None


def test_users_are_not_kept_in_memory(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--projectdb", "memory+projectdb://", "user", "link"]) == 2
    assert "users in memory would be gone" in capsys.readouterr().err


def test_beside_a_folder_of_scripts_they_are_in_the_data_path(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "correct horse")
    assert run(["--projectdb", "local+projectdb://*.py", "user", "add", "ada", "--role", "admin"]) == 0
    assert (data / "project.db").exists()
    assert logs_in("ada", "correct horse")


def test_no_password_can_be_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--password", "-p"):
        assert run(["user", "add", "ada", option, "correct horse"]) == 2
    assert "correct horse" not in capsys.readouterr().err
