"""``crawlkit backup`` in mid-crawl, everything lost, ``crawlkit restore`` elsewhere: the crawl ends exactly."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from crawlkit import datapath
from crawlkit.libs.secrets import new_key
from tests import stored
from tests.cli.site import Site, crawlkit, lines, script, started, until
from tests.moving.full import contents, fill, opened
from tests.servers import fresh_database

PAGES = 200


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[psutil.Process]:
    """``crawlkit all``, killed with all its children at the end, without a word."""
    said = folder / "said.txt"
    said.unlink(missing_ok=True)
    with started(*options, "all", "--no-webui", cwd=folder, env={"PYTHONUNBUFFERED": "1"}) as process:
        top = psutil.Process(process.pid)
        until(lambda: said.exists() and "ready: " in said.read_text(), "readiness", 60)
        try:
            yield top
        finally:
            for one in [top, *top.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("there", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_a_crawl_is_lost_and_comes_back_elsewhere(site: Site, tmp_path: Path, there: str) -> None:
    script(tmp_path, f"for n in range({PAGES}): self.crawl('{site.base}/page/%d' % n, callback=self.page)")
    here = ("--data-path", "here")
    with running(tmp_path, *here):
        assert crawlkit(*here, "project", "put", "job.py", "--rate", "20", cwd=tmp_path).returncode == 0
        assert crawlkit(*here, "project", "run", "job", cwd=tmp_path).returncode == 0
        until(lambda: len(site.requests) > PAGES // 6, "some pages", 60)
        taken = crawlkit(*here, "backup", "backups/", "--json", cwd=tmp_path)
        assert taken.returncode == 0, taken.stderr
        before = len(site.requests)
        assert before < PAGES  # it was in mid-crawl
        until(lambda: len(site.requests) > before + 10, "the crawl, which goes on")
    shutil.rmtree(tmp_path / "here")
    (archive,) = (tmp_path / "backups").iterdir()
    assert json.loads(taken.stdout)["file"] == str(archive.relative_to(tmp_path))
    verified = crawlkit("backup", "--verify", str(archive), cwd=tmp_path)
    assert verified.returncode == 0
    assert "whole: " in verified.stderr

    with contextlib.ExitStack() as stack:
        new: tuple[str, ...] = ("--data-path", "there")
        if there == "postgres":
            new += ("--database", stack.enter_context(fresh_database("postgres")))
        restored = crawlkit(*new, "restore", str(archive), "--json", cwd=tmp_path)
        assert restored.returncode == 0, restored.stderr
        assert json.loads(restored.stdout)["balanced"] == {"job": True}

        def found() -> Counter[str]:
            rows = lines(crawlkit(*new, "results", "job", cwd=tmp_path).stdout)
            return Counter(row["result"]["title"] if "result" in row else row["title"] for row in rows)

        kept = found()
        said = crawlkit(*new, "tasks", "job", "--status", "success", "--format", "url", cwd=tmp_path)
        done = {url.removeprefix(site.base) for url in said.stdout.split()}
        assert len(done) > 20
        assert {path for path in done if path.startswith("/page")} <= kept.keys()  # what is done has its results
        assert 0 < len(kept) < PAGES
        asked = Counter(path for _, path in site.requests)
        assert crawlkit(*new, "project", "put", "job.py", "--rate", "unlimited", cwd=tmp_path).returncode == 0
        with running(tmp_path, *new):
            if there == "sqlite":
                until(lambda: stored.results(tmp_path / "there") == PAGES, "all results", 90)
            until(lambda: len(found()) == PAGES, "all results", 90)
            until(lambda: crawlkit(*new, "audit", cwd=tmp_path).stdout.count(" 0 waiting + 0 leased"), "the end", 30)
        assert found() == Counter({f"/page/{n}": 1 for n in range(PAGES)})  # exact, and nothing twice
        audit = crawlkit(*new, "audit", cwd=tmp_path)
        assert audit.returncode == 0, audit.stdout
        again = {path for path, n in site.count().items() if n > asked[path] and asked[path]}
        assert not again & done  # what was done in the backup is not fetched again


def test_the_secret_key_goes_along_only_when_that_was_said(tmp_path: Path) -> None:
    key = new_key()
    with closing(opened(tmp_path / "old")) as stores:
        fill(stores, tasks=8)
    (tmp_path / "old" / datapath.SECRET_KEY).write_text(key)
    (tmp_path / "old" / "files").mkdir()
    old = ("--data-path", "old")
    done = crawlkit(*old, "backup", "plain.tar.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sealed with a key that is not in the archive: keep old/secret.key elsewhere" in done.stderr
    assert "downloads are not in the archive: they are in old/files" in done.stderr
    assert crawlkit(*old, "backup", "whole.tar.gz", "--with-secret-key", cwd=tmp_path).returncode == 0
    assert "with the secret key" in crawlkit("backup", "--verify", "whole.tar.gz", cwd=tmp_path).stderr

    done = crawlkit("restore", "plain.tar.gz", "--data-path", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "settings of projects open only with the one they were sealed with" in done.stderr
    assert not (tmp_path / "a" / datapath.SECRET_KEY).exists()
    done = crawlkit("restore", "whole.tar.gz", "--data-path", "b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / datapath.SECRET_KEY).read_text().strip() == key
    assert (tmp_path / "b" / datapath.SECRET_KEY).stat().st_mode & 0o777 == 0o600
    with closing(opened(tmp_path / "old")) as ours, closing(opened(tmp_path / "b")) as theirs:
        assert contents(theirs, ("resultdb", "projectdb", "accountdb", "blobdb")) == contents(
            ours, ("resultdb", "projectdb", "accountdb", "blobdb")
        )


def test_refusals_in_words(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "old")) as stores:
        fill(stores, tasks=8)

    def refused(*words: str) -> str:
        done = crawlkit(*words, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        return done.stderr.splitlines()[-1]

    assert "there is nothing yet" in refused("backup", "a.tar.gz", "--data-path", "nowhere")
    assert "--with-secret-key: there is none" in refused(
        "backup", "a.tar.gz", "--with-secret-key", "--data-path", "old"
    )
    assert not (tmp_path / "a.tar.gz").exists()
    assert "No such file" in refused("restore", "a.tar.gz", "--data-path", "new")
    (tmp_path / "odd").write_text("hello")
    assert "is no archive of crawlkit backup" in refused("restore", "odd", "--data-path", "new")
    assert crawlkit("backup", "a.tar.gz", "--data-path", "old", cwd=tmp_path).returncode == 0
    assert "holds data already" in refused("restore", "a.tar.gz", "--data-path", "old")
    assert crawlkit("restore", "a.tar.gz", "--data-path", "old", "--overwrite", cwd=tmp_path).returncode == 0
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[:-50])
    assert "damaged or not whole" in refused("backup", "--verify", "a.tar.gz")
    assert "damaged or not whole" in refused("restore", "a.tar.gz", "--data-path", "old", "--overwrite")
    with closing(opened(tmp_path / "old")) as stores:
        assert stores.taskdb.count("news") == 8  # it was read to its end before anything was touched
    lock = datapath.Lock(tmp_path / "old" / datapath.RUN_LOCK, "crawlkit all")
    try:
        (tmp_path / "a.tar.gz").write_bytes(whole)
        assert "runs on data path" in refused("restore", "a.tar.gz", "--data-path", "old", "--overwrite")
    finally:
        lock.release()
