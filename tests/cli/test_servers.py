"""Commands with ``--server URL``: the same words and lines as on the data path, by the JSON API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlkit.cli import run
from crawlkit.cli.read import _as_here
from tests.cli.site import Site
from tests.webui.servers import Client, Running, everything, in_thread, until

Words = Callable[..., str]
SCRIPT = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.crawl('{base}/page/1', callback=self.page)
        self.crawl('{base}/status/404', callback=self.page, retries=0)

    def page(self, response):
        self.logger.warning('a page <b> \\\\u003c')
        return {{'html': '<b>\\\\u003c</b>', 'url': response.url}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def give_token(client: Client, monkeypatch: pytest.MonkeyPatch, role: str = "editor") -> None:
    made = client.api("POST", "/account/tokens", {"name": f"for {role}", "role": role})
    monkeypatch.setenv("CRAWLKIT_TOKEN", made["token"])


@pytest.fixture
def all_running(folder: Path) -> Iterator[Running]:
    with everything(folder / "data") as running:
        yield running


def said_by(capsys: pytest.CaptureFixture[str]) -> Words:
    def call(*line: str, code: int = 0, err: bool = False) -> str:
        capsys.readouterr()
        assert run(line) == code, capsys.readouterr()
        out = capsys.readouterr()
        return out.err if err else out.out

    return call


def test_a_project_from_its_put_to_its_end(
    all_running: Running, site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    give_token(all_running.client(), monkeypatch)
    monkeypatch.setenv("CRAWLKIT_SERVER", all_running.url)  # instead of --server each time
    (folder / "shop.py").write_text(SCRIPT.format(base=site.base))
    words = said_by(capsys)
    here = ("--data-path", str(folder / "data"))

    def both(*line: str) -> tuple[str, str]:
        there = words(*line)
        with monkeypatch.context() as patch:
            patch.delenv("CRAWLKIT_SERVER")
            return there, words(*here, *line)

    said = words("project", "put", "shop.py", "--rate", "50", "--burst", "9", "--group", "g", err=True)
    assert "project shop: new, RUNNING, rate 50 pages a second, burst 9" in said
    assert "start it with: crawlkit project run shop" in said
    until(lambda: len(set(both("project", "list"))) == 1, 10)  # a server's list may be a second old
    (there, local) = both("project", "list", "--json")
    assert json.loads(there) == json.loads(local)
    (there, local) = both("project", "show", "shop", "--script")
    assert there == local == (folder / "shop.py").read_text()
    (there, local) = both("project", "show", "shop", "--json")
    assert json.loads(there) == json.loads(local)

    assert "on_start is on its way" in words("project", "run", "shop", err=True)
    until(
        lambda: '"failed":1' in words("project", "show", "shop") or "1 failed" in words("project", "show", "shop"), 30
    )
    until(lambda: words("results", "shop") != "", 20)
    for line in (
        ("results", "shop"),
        ("results", "shop", "--format", "json"),
        ("results", "shop", "--format", "csv"),
        ("tasks", "shop"),
        ("tasks", "shop", "--status", "failed"),
        ("tasks", "shop", "--url", "*page*", "--format", "url"),
        ("task", "shop", f"{site.base}/page/1"),
        ("logs", "shop", "--level", "warning"),
        ("logs", "shop", "--json", "--text", "a page"),
    ):
        until(lambda line=line: len(set(both(*line))) == 1, 10, f"{line}: {both(*line)}")  # type: ignore[misc]
        assert words(*line) != "", line
    (result,) = (json.loads(one) for one in words("results", "shop").splitlines())
    assert result["result"]["html"] == "<b>\\u003c</b>"
    shown, local = both("project", "show", "shop")
    assert shown.splitlines()[-1].split()[:2] == local.splitlines()[-1].split()[:2]
    assert "http_404" in shown

    script = folder / "shop.py"
    script.write_text(script.read_text() + "# second\n")
    assert "project shop: updated, RUNNING" in words("project", "put", "shop.py", err=True)
    first = both("project", "versions", "shop")[0].splitlines()[1].split()[0]
    for line in (("versions", "shop"), ("versions", "shop", "--show", first), ("versions", "shop", "--diff", first)):
        there, local = both("project", *line)
        assert there == local != ""
    assert "+# second" in words("project", "versions", "shop", "--diff", first)
    assert f"pinned to {first}" in words("project", "pin", "shop", first, err=True)
    there, local = both("project", "versions", "shop")
    assert there == local
    assert there.splitlines()[1].startswith(f"* {first}")
    assert "follows the newest" in words("project", "pin", "shop", "newest", err=True)

    assert "project shop: STOP" in words("project", "status", "shop", "stop", err=True)
    until(lambda: words("project", "list").splitlines()[1].split()[:3] == ["shop", "g", "STOP"], 10)
    words("project", "status", "shop", "running")
    assert "paused" in words("project", "pause", "shop", err=True)
    assert "runs again" in words("project", "resume", "shop", err=True)
    assert "1 failed tasks run again" in words("project", "retry", "shop", err=True)
    assert "begins anew" in words("project", "restart", "shop", "--yes", err=True)
    assert "leave" in words("project", "clear", "shop", "--yes", err=True)
    assert "removed" in words("project", "rm", "shop", "--yes", err=True)
    assert "no project 'shop'" in words("project", "show", "shop", code=2, err=True)


def test_nodes_and_page_budgets_of_a_server(
    all_running: Running, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_token(all_running.client(), monkeypatch)
    words = said_by(capsys)
    there, here = ("--server", all_running.url), ("--data-path", str(folder / "data"))

    def names(*line: str) -> list[tuple[str, str, str]]:
        found = [json.loads(one) for one in words("nodes", "--json", "--sort", "-name", *line).splitlines()]
        return [(one["node"], one["role"], one["state"]) for one in found]

    until(lambda: len(names(*there)) == 5 and names(*there) == names(*here), 40)
    assert {role for _, role, _ in names(*there)} == {"scheduler", "fetcher", "processor", "result_worker", "webui"}
    assert names("--state", "dead", *there) == []
    ((_, role, state),) = names("--role", "fetcher", *there)
    assert (role, state) == ("fetcher", "alive")
    assert words("nodes", *there).splitlines()[0].split()[:3] == ["NAME", "HOST", "ROLE"]
    (folder / "shop.py").write_text("# max_pages: 7\n" + SCRIPT.format(base="http://127.0.0.1:9"))
    words("project", "put", "shop.py", *there)
    assert json.loads(words("project", "show", "shop", "--json", *there))["max_pages"] == 7
    assert "page budget 1,234" in words("project", "set", "shop", "--max-pages", "1234", *there, err=True)
    assert json.loads(words("project", "show", "shop", "--json", *here))["max_pages"] == 1234
    assert "no page budget" in words("project", "set", "shop", "--max-pages", "unlimited", *there, err=True)
    assert json.loads(words("project", "show", "shop", "--json", *here))["max_pages"] is None
    assert "set them there, without --server" in words("project", "set", "shop", "key", "v", *there, code=2, err=True)


def test_without_a_scheduler_nothing_here_is_touched(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done there is not done on the data path that happens to be here."""
    words = said_by(capsys)
    (folder / "shop.py").write_text("from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n")
    words("project", "put", "shop.py")
    before = words("project", "list")
    with in_thread(folder / "other") as server:
        give_token(server.client(), monkeypatch)
        there = ("--server", server.url)
        assert "project shop: new" in words("project", "put", "shop.py", *there, err=True)
        assert "no scheduler runs there now" in words("project", "put", "shop.py", *there, err=True)
        assert "no scheduler" in words("project", "rm", "shop", "--yes", *there, code=2, err=True)
        assert "no scheduler" in words("project", "run", "shop", *there, code=2, err=True)
        assert "no scheduler runs there now" in words("project", "status", "shop", "STOP", *there, err=True)
        assert "say --server or --scheduler-rpc" in words(
            "project", "run", "shop", "--scheduler-rpc", "http://:x@h:1", *there, code=2, err=True
        )
        assert "there is no project 'zzz'" in words("results", "zzz", *there, code=2, err=True)
        assert "there is no project 'zzz'" in words("tasks", "zzz", *there, code=2, err=True)
        assert "no project 'zzz'; there are shop" in words("task", "zzz", "http://x/", *there, code=2, err=True)
        assert "--follow needs the databases" in words("results", "shop", "--follow", *there, code=2, err=True)
        assert "no such option" in words("audit", "shop", *there, code=2, err=True).lower()
        give_token(server.client(), monkeypatch, "viewer")
        assert words("project", "list", *there).count("shop") == 1
        assert "this needs the role editor" in words("project", "status", "shop", "RUNNING", *there, code=2, err=True)
    assert words("project", "list") == before


def test_a_script_that_was_saved_meanwhile_is_not_written_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from crawlkit.remote.projects import RemoteProjects

    words = said_by(capsys)
    head = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n"
    with in_thread(folder / "other") as server:
        client = server.client()
        give_token(client, monkeypatch)
        (folder / "shop.py").write_text(head)
        words("project", "put", "shop.py", "--server", server.url)
        get, looks = RemoteProjects.get, iter([False, True])

        def slow(self: RemoteProjects, name: str) -> object:
            found = get(self, name)
            if next(looks, False):  # between the look and the save
                client.api("PUT", "/projects/shop/script", {"script": head + "# somebody else's\n"})
            return found

        monkeypatch.setattr(RemoteProjects, "get", slow)
        (folder / "shop.py").write_text(head + "# mine\n")
        assert "was saved by local since you began" in words(
            "project", "put", "shop.py", "--server", server.url, code=2, err=True
        )
        assert client.api("GET", "/projects/shop/versions/newest")["script"].endswith("# somebody else's\n")


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (rb'{"a":"\u003cb>"}', b'{"a":"<b>"}'),
        (rb'{"a":"\\u003cb>"}', rb'{"a":"\\u003cb>"}'),
        (rb'{"a":"\\\u003cb>\""}', rb'{"a":"\\<b>\""}'),
        (b"", b""),
    ],
)
def test_what_was_escaped_for_pages_is_as_it_was(there: bytes, here: bytes) -> None:
    assert _as_here(there) == here
    if there:
        assert json.loads(there) == json.loads(here)
