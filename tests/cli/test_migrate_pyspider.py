"""A pyspider's data is taken over, and its crawl goes on where it was [R20, R21]; show 5 of the several machines."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.cli.site import PAGES, Site, crawlkit, lines, until
from tests.cli.test_all import everything
from tests.moving import pyspider_maker as maker
from tests.moving.full import opened
from tests.servers import fresh_database


def waiting_in(folder: Path) -> str:
    """The URLs of the tasks that have not ended."""
    found = crawlkit("tasks", "job", "--status", "active", "--format", "url", "--data-path", "d", cwd=folder)
    assert found.returncode == 0, found.stderr
    return str(found.stdout)


def test_a_folder_is_migrated_and_the_crawl_goes_on_R20(site: Site, tmp_path: Path) -> None:
    contents = maker.thousand(site.base)
    maker.make_folder(tmp_path / "old", contents)
    done = crawlkit("migrate", "pyspider:old", "d", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["verified"]
    assert sum(said["tasks"].values()) == 1_000
    assert set(said["tasks"]) == {"ACTIVE", "SUCCESS", "FAILED", "BAD"}
    assert said["balanced"] == {"job": True, "second": True, "third": True}
    assert said["left_out"] == said["not_kept"] == []
    assert said["taskid_compat"] == ["job", "second", "third"]
    results = {name: len(found) for name, (_, _, found) in contents.items()}
    assert said["results"] == sum(results.values())
    stores = opened(tmp_path / "d")
    for name, (_, tasks, _) in contents.items():
        assert {row.taskid for row in stores.taskdb.select(name, limit=2_000)} == {row["taskid"] for row in tasks}
    stores.close()

    tasks = contents["job"][1]
    finished = {row["url"].removeprefix(site.base) for row in tasks if row["status"] != 1}
    waiting = {row["url"].removeprefix(site.base) for row in tasks if row["status"] == 1}
    new = {f"/page/{n}" for n in range(6, PAGES)}
    with everything(tmp_path, web=False):
        wanted = results["job"] + len(waiting) - 1 + len(new)  # the index itself gives none
        until(lambda: len(lines(crawlkit("results", "job", "--data-path", "d", cwd=tmp_path).stdout)) == wanted,
              "all results", 60)  # fmt: skip
        until(lambda: not waiting_in(tmp_path), "the end", 30)
    asked = Counter(path for _, path in site.requests)
    assert set(asked) == waiting | new
    assert not finished & set(asked)  # nothing that was finished is fetched again
    assert set(asked.values()) == {1}
    audit = crawlkit("audit", "--data-path", "d", cwd=tmp_path)
    assert audit.returncode == 0, audit.stdout
    stores = opened(tmp_path / "d")
    form = [row.taskid for row in stores.taskdb.select("job", limit=2_000) if row.url.endswith("/form")]
    stores.close()
    assert form == [maker.taskid_of(f"{site.base}/form")]  # the script asked for it once more: it is the same task


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_its_tables_on_a_server_are_read_R21(server: str, tmp_path: Path) -> None:
    contents = maker.thousand("http://example.com")
    with ExitStack() as stack:
        urls = []
        for kind in ("taskdb", "resultdb", "projectdb"):
            url = stack.enter_context(fresh_database(server))
            maker.make_tables(url, kind, contents)
            parts = urlsplit(url)
            engine = {"postgres": "sqlalchemy+postgresql", "mariadb": "mysql"}[server]
            urls.append(urlunsplit(parts._replace(scheme=f"{engine}+{kind}")))
        done = crawlkit("migrate", "pyspider:" + ",".join(urls), "d", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
    assert said["verified"]
    assert sum(said["tasks"].values()) == 1_000
    assert said["results"] == sum(len(results) for _, _, results in contents.values())
    stores = opened(tmp_path / "d")
    row = stores.taskdb.get("job", maker.taskid_of("http://example.com/page/job1"))
    assert row is not None
    assert row.process.callback == "detail_page"
    assert row.etag == '"1"'
    assert json.loads(row.save or "") == {"n": 1}
    assert json.loads(stores.resultdb.get("job", row.taskid)[0].result)["n"] == 1
    stores.close()


def test_refusals_in_words(tmp_path: Path) -> None:
    maker.make_folder(tmp_path / "old", {"p": (maker.project("p"), [], [])})
    for words, expected in (
        (("pyspider:nowhere", "d"), "there is no such folder"),
        (("pyspider:.", "d"), "there is no project.db in it"),
        (("pyspider:mongodb+projectdb://h/", "d"), "read from SQLite, MySQL and PostgreSQL"),
        (("pyspider:sqlite+taskdb:///old/task.db", "d"), "projectdb is missing"),
        (("pyspider:old", f"sqlite+taskdb:///{tmp_path}/t.db"), "goes into a data path"),
        (("old", "d", "--only", "taskdb"), "taken over as a whole"),  # known by its tables
    ):
        done = crawlkit("migrate", *words, cwd=tmp_path)
        assert done.returncode == 2, words
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert crawlkit("migrate", "old", "d", cwd=tmp_path).returncode == 0
    again = crawlkit("migrate", "old", "d", cwd=tmp_path)
    assert again.returncode == 2
    assert "projectdb" in again.stderr
    assert "holds data already" in again.stderr
