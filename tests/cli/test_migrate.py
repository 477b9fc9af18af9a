"""``crawlkit migrate`` as a process: from one place to another, killed and run again, refused in words [C43]."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from crawlkit import datapath
from crawlkit.database.base import TaskStore
from crawlkit.database.carrying import unfinished
from crawlkit.libs.rows import ProjectRow, Queue, TaskRow, Writes
from crawlkit.libs.secrets import new_key
from crawlkit.settings import Settings
from crawlkit.wiring.stores import connect_stores
from tests.cli.site import Site, crawlkit, lines, script, started, until
from tests.moving.full import contents, fill, opened
from tests.servers import fresh_database


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with closing(opened(tmp_path / "old")) as stores:
        fill(stores, tasks=8)
    return tmp_path / "old"


def test_a_data_path_to_a_data_path_C43(old: Path, tmp_path: Path) -> None:
    (old / datapath.SECRET_KEY).write_text(new_key())
    (old / "files").mkdir()
    done = crawlkit("migrate", "old", "new", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["verified"]
    assert said["tables"]["taskdb.tasks"] == 16
    assert said["projects"] == {"news": True, "shop": True}
    assert "the key that settings of projects are sealed with went along" in done.stderr
    assert f"downloads stay in {Path('old/files')}: move the folder" in done.stderr
    key = tmp_path / "new" / datapath.SECRET_KEY
    assert key.read_text().strip() == (old / datapath.SECRET_KEY).read_text().strip()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with closing(opened(old)) as ours, closing(opened(tmp_path / "new")) as theirs:
        assert contents(theirs) == contents(ours)
        assert not unfinished(theirs.taskdb)
    again = crawlkit("migrate", "old", "new", cwd=tmp_path)
    assert again.returncode == 2
    assert "holds data already" in again.stderr


def test_one_store_to_another_by_their_urls(old: Path, tmp_path: Path) -> None:
    """What a file holds is looked at; what a new one is to hold follows from that."""
    done = crawlkit("migrate", f"sqlite:///{old}/result.db", f"sqlite:///{tmp_path}/r.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rows of resultdb carried and compared" in done.stderr
    places = [f"sqlite+projectdb:///{folder}" for folder in (f"{old}/project.db", f"{tmp_path}/p.db")]
    done = crawlkit("migrate", *places, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rows of projectdb, accountdb carried" in done.stderr


def test_killed_again_and_again_it_ends_with_everything(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "old")) as stores:
        stores.projectdb.put(ProjectRow("p", script="a = 1\n"))
        for start in range(0, 30_000, 10_000):
            writes = Writes()
            for seq in range(start + 1, start + 10_001):
                writes.insert.append(TaskRow("p", f"t{seq:08}", f"http://h/{seq}", "h", queue=Queue.READY, seq=seq))
            writes.count("p", "accepted", "follow", 10_000)
            stores.taskdb.commit(writes)
    target, kills, seen = tmp_path / "new" / "task.db", 0, 0

    def arrived() -> int:
        with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM tasks").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    for _ in range(3):
        with started("migrate", "old", "new", cwd=tmp_path) as process:
            so_far, it = seen, process
            until(lambda: it.poll() is not None or (target.exists() and arrived() > so_far), "more rows", 30)  # noqa: B023
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                seen = arrived()
    assert kills
    assert 0 < seen < 30_000
    script(tmp_path, "pass")
    refused = crawlkit("one", "job.py", "--data-path", "new", cwd=tmp_path)
    assert refused.returncode == 2
    assert "a migration or a restore into this taskdb has not come to its end" in refused.stderr
    done = crawlkit("migrate", "old", "new", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["projects"] == {"p": True}
    with closing(opened(tmp_path / "old")) as ours, closing(opened(tmp_path / "new")) as theirs:
        assert contents(theirs) == contents(ours)


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_to_a_server_and_back_again(old: Path, tmp_path: Path, server: str) -> None:
    (old / datapath.SECRET_KEY).write_text(new_key())
    with fresh_database(server) as url:
        with closing(connect_stores(Settings(database=url), ("taskdb",), create=True)) as stores:
            stores.taskdb.own("elsewhere pid 1 other", 60.0)
            renewing = threading.Event()
            renewer = threading.Thread(target=renew, args=(stores.taskdb, renewing))
            renewer.start()
            try:
                refused = crawlkit("migrate", "old", url, cwd=tmp_path)
            finally:
                renewing.set()
                renewer.join()
            assert refused.returncode == 2
            assert "a scheduler has this taskdb already (on elsewhere, pid 1): stop it first" in refused.stderr
        done = crawlkit("migrate", "old", url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (
            "open only with the key in old/secret.key: give it to all components as CRAWLKIT_SECRET_KEY" in done.stderr
        )
        back = crawlkit("migrate", url, "back", cwd=tmp_path)
        assert back.returncode == 0, back.stderr
    with closing(opened(old)) as ours, closing(opened(tmp_path / "back")) as theirs:
        assert contents(theirs) == contents(ours)


def renew(taskdb: TaskStore, ended: threading.Event) -> None:
    """What a scheduler on another host does."""
    while not ended.wait(0.5):
        taskdb.own("elsewhere pid 1 other", 60.0)


def test_refusals_in_words(old: Path, tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        done = crawlkit("migrate", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    assert "the same taskdb" in refused("old", str(old))
    assert "nothing to carry" in refused("nowhere", "new")
    assert "ends with its process" in refused("memory://", "new")
    assert "--only" in refused("old", "new", "--only", "tasks")
    assert "say which store it is" in refused("old", f"sqlite:///{tmp_path}/x.db")
    assert "takes no resultdb" in refused("old", f"sqlite+taskdb:///{tmp_path}/x.db")
    assert not (tmp_path / "x.db").exists()
    for lock in (datapath.SCHEDULER_LOCK, datapath.RUN_LOCK):
        code = (
            f"from pathlib import Path; from crawlkit import datapath; import sys;"
            f"lock = datapath.Lock(Path('old') / {lock!r}, 'a crawl'); print('held', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert "a crawl (pid" in refused("old", "new")
            assert holder.stdin is not None
            holder.stdin.close()
    (old / datapath.SECRET_KEY).write_text(new_key())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / datapath.SECRET_KEY).write_text(new_key())
    assert "is another key than that of old" in refused("old", "other")


def test_the_crawl_goes_on_at_the_new_place(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    first = crawlkit("one", "job.py", "--data-path", "old", "--limit", "5", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    done = crawlkit("migrate", "old", "new", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    second = crawlkit("one", "job.py", "--data-path", "new", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    asked = [path for _, path in site.requests]
    assert len(asked) == len(set(asked))
    found = crawlkit("results", "job", "--data-path", "new", cwd=tmp_path)
    assert len(lines(found.stdout)) == len(asked)
    assert crawlkit("audit", "--data-path", "new", cwd=tmp_path).returncode == 0
