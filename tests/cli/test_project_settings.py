"""``crawlkit project set`` and ``project settings``."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from crawlkit import datapath, wiring
from crawlkit.cli import project as project_commands
from crawlkit.cli import run
from crawlkit.libs.errors import UsageError
from crawlkit.libs.secrets import new_key
from crawlkit.settings import Settings
from tests.cli.site import Site, crawlkit, lines

SCRIPT = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n"


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRAWLKIT_SECRET_KEY", raising=False)
    Path("shop.py").write_text(SCRIPT)
    assert run(["project", "put", "shop.py"]) == 0
    capsys.readouterr()


def feed(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))


def opened(settings: Settings | None = None) -> dict[str, str]:
    settings = settings or Settings()
    unseal = wiring.unsealer(settings)
    with wiring.open_stores(settings, ("projectdb",)) as stores:
        return {name: unseal("shop", name, row.sealed) for name, row in stores.projectdb.settings("shop").items()}


def test_set_list_change_remove(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["project", "settings", "shop"]) == 0
    assert "no settings yet; set one with: crawlkit project set shop KEY" in capsys.readouterr().err
    assert run(["project", "set", "shop", "api_key", "hunter2"]) == 0
    assert run(["project", "set", "shop", "user", "ann", "--no-secret"]) == 0
    feed(monkeypatch, "-----\nдва\n\n".encode())
    assert run(["project", "set", "shop", "pem", "-"]) == 0
    said = capsys.readouterr()
    assert "project shop: setting api_key set" in said.err
    assert opened() == {"api_key": "hunter2", "pem": "-----\nдва\n", "user": "ann"}
    assert run(["project", "settings", "shop"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == ["api_key", "pem", "user"]
    assert "hunter2" not in listed
    assert listed.count("(secret)") == 2
    assert listed.rstrip().endswith("ann")
    assert run(["project", "settings", "shop", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["secret"], row["value"]) for row in rows] == [
        ("api_key", True, None), ("pem", True, None), ("user", False, "ann"),
    ]  # fmt: skip
    assert run(["project", "set", "shop", "user", "bob"]) == 0  # what is not said stays: no secret
    assert "setting user changed" in capsys.readouterr().err
    assert run(["project", "settings", "shop"]) == 0
    assert "bob" in capsys.readouterr().out
    assert run(["project", "set", "shop", "user", "--remove"]) == 0
    assert run(["project", "set", "shop", "user", "--remove"]) == 2
    assert "project shop has no setting 'user'" in capsys.readouterr().err
    assert set(opened()) == {"api_key", "pem"}


def test_a_value_that_is_not_given_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: "hunter2-typed")
    assert run(["project", "set", "shop", "api_key"]) == 0
    assert "hunter2" not in "".join(capsys.readouterr())
    assert opened() == {"api_key": "hunter2-typed"}


def test_nothing_of_a_secret_is_on_disk_and_the_key_is_its_owners(tmp_path: Path) -> None:
    assert run(["project", "set", "shop", "api_key", "hunter2-hunter2"]) == 0
    file = tmp_path / "data" / "secret.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith(".secret")] == []
    assert not [path for path in (tmp_path / "data").iterdir() if path.is_file() and b"hunter2" in path.read_bytes()]


def test_another_key_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["project", "set", "shop", "user", "ann", "--no-secret"]) == 0
    first = (tmp_path / "data" / "secret.key").read_text().strip()
    capsys.readouterr()
    for key, words in (
        (new_key(), "setting user of project shop does not open with this secret key"),
        ("short", "the secret key is too easy to guess"),
    ):
        monkeypatch.setenv("CRAWLKIT_SECRET_KEY", key)
        for line in (["project", "settings", "shop"], ["project", "set", "shop", "more", "value"]):
            assert run(line) == 2
            said = capsys.readouterr()
            assert words in said.err
            assert said.err.count("\n") == 1
            assert key not in said.err
    (tmp_path / "data" / "secret.key").unlink()
    monkeypatch.delenv("CRAWLKIT_SECRET_KEY")
    assert run(["project", "set", "shop", "more", "value"]) == 2
    assert "project shop has settings, but there is no secret key here" in capsys.readouterr().err
    assert not (tmp_path / "data" / "secret.key").exists()
    monkeypatch.setenv("CRAWLKIT_SECRET_KEY", first)
    assert run(["project", "settings", "shop"]) == 0
    assert run(["project", "set", "shop", "user", "--remove"]) == 0
    assert "ann" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"\xff\xfe", "setting key: the value is not UTF-8 text"),
        (b"x" * 70_000, "setting key: the value is over the limit of 65,536 bytes"),
        ("ü".encode() * 32_768 + b"\nx", "over the limit"),
    ],
)
def test_values_that_cannot_be(
    value: bytes, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, value)
    assert run(["project", "set", "shop", "key", "-"]) == 2
    assert words in capsys.readouterr().err
    assert run(["project", "set", "shop", "key", value.decode("utf-8", "surrogateescape")]) == 2
    assert words in capsys.readouterr().err
    feed(monkeypatch, b"x" * 65_536 + b"\r\n")
    assert run(["project", "set", "shop", "key", "-"]) == 0
    assert opened() == {"key": "x" * 65_536}


def test_a_project_has_a_hundred_settings_at_most(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_commands, "MAX_SETTINGS", 2)
    for key, code in (("a", 0), ("b", 0), ("c", 2), ("b", 0)):
        assert run(["project", "set", "shop", key, "value"]) == code
    assert "project shop has 2 settings already" in capsys.readouterr().err


CRAWL = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    retry_delay = 0

    def on_start(self):
        self.crawl("{base}/page/1", callback=self.page, user_agent=self.settings["agent"])

    def page(self, response):
        # behind this page: with --pdb and nobody to type, a failure ends the crawl
        self.crawl("{base}/page/2", callback=self.fail, retries=0)
        print("the agent is", self.settings["agent"])
        return {{"names": list(self.settings)}}

    def fail(self, response):
        self.settings["missing"]
"""


@pytest.mark.parametrize("more", [[], ["--pdb"]])
def test_a_crawl_uses_them_and_leaves_none_behind(more: list[str], site: Site, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(CRAWL.format(base=site.base))
    assert crawlkit("project", "set", "shop", "agent", "hunter2-agent/1.0", cwd=tmp_path).returncode == 0
    done = crawlkit("--data-path", "data", "one", "shop.py", *more, cwd=tmp_path)
    assert "hunter2-agent/1.0" in site.agents
    assert [line["result"] for line in lines(done.stdout)] == [{"names": ["agent"]}]
    assert done.returncode == 1
    assert "crawlkit project set shop missing" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    shown = crawlkit("tasks", "shop", "--json", cwd=tmp_path)
    assert "hunter2" not in shown.stdout.replace('"user_agent": "hunter2-agent/1.0"', "").replace(
        '"user_agent":"hunter2-agent/1.0"', ""
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["nothing", "key", "value"], "no project 'nothing'; there are shop"),
        (["shop", "a b", "value"], "use 1 to 64 letters, digits, dots, dashes and underscores"),
        (["shop", "key", "value", "--remove"], "--remove takes no VALUE"),
    ],
)
def test_what_is_wrong_is_said(line: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project", "set", *line]) == 2
    assert words in capsys.readouterr().err


def test_the_key_file_is_made_once(tmp_path: Path) -> None:
    assert datapath.secret_key(tmp_path) is None
    made = datapath.secret_key(tmp_path, make=True)
    assert datapath.secret_key(tmp_path, make=True) == datapath.secret_key(tmp_path) == made
    assert datapath.secret_key(tmp_path, "given " * 4) == ("given " * 4).strip()
    (tmp_path / "secret.key").write_text("ключ")
    with pytest.raises(UsageError, match="no secret key"):
        datapath.secret_key(tmp_path)


def test_settings_do_not_show_the_key() -> None:
    assert "hunter2" not in repr(Settings(secret_key="hunter2"))
