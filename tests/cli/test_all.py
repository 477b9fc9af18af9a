"""``crawlkit all`` as processes: one command starts it, kills do it no harm, one signal stops it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crawlkit.cli import together
from crawlkit.settings import Settings
from tests import stored
from tests.cli.site import PAGES, Site, crawlkit, lines, script, started, until


@contextlib.contextmanager
def everything(folder: Path, *options: str, web: bool = True) -> Iterator[psutil.Process]:
    """A running ``crawlkit all`` that is ready. ``web``: with the web UI, which takes as long to start as the rest."""
    said = folder / "said.txt"
    line = (*options, "all", "--data-path", "d", *(() if web else ("--no-webui",)))
    with started(*line, cwd=folder, env={"PYTHONUNBUFFERED": "1"}) as process:
        until(lambda: said.exists() and "ready: " in said.read_text(), "readiness", 30)
        yield psutil.Process(process.pid)


def count(folder: Path) -> int:
    """Results of the project ``job``."""
    return stored.results(folder / "d")


def test_a_crawl_by_all_components(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    with everything(tmp_path) as top:
        said = (tmp_path / "said.txt").read_text()
        assert f"data is in {tmp_path / 'd'}" in said
        assert "ready: result_worker, processor, fetcher, scheduler, webui" in said
        address = tmp_path / "d" / "scheduler.json"
        assert stat.S_IMODE(address.stat().st_mode) == 0o600
        token = json.loads(address.read_text())["token"]
        for child in top.children(recursive=True):  # no secret in a process list
            assert token not in " ".join(child.cmdline())
        again = crawlkit("all", "--data-path", "d", cwd=tmp_path)
        assert again.returncode == 2
        assert f"crawlkit all (pid {top.pid}) runs on data path d already" in again.stderr

        put = crawlkit("project", "put", "job.py", "--status", "RUNNING", "--data-path", "d", cwd=tmp_path)
        assert "no scheduler" not in put.stderr
        assert crawlkit("project", "run", "job", "--data-path", "d", cwd=tmp_path).returncode == 0
        until(lambda: count(tmp_path) == PAGES + 1, "all results")
        (tmp_path / "urls.txt").write_text(f"{site.base}/page/100\nnonsense\n{site.base}/page/0\n")
        submit = crawlkit("submit", "job", "-f", "urls.txt", "--callback", "page", "--data-path", "d", cwd=tmp_path)
        assert submit.returncode == 1
        assert "line 2: nonsense: refused" in submit.stderr
        assert "3 lines: 2 accepted (1 to be crawled, 1 known already), 1 refused" in submit.stderr
        until(lambda: count(tmp_path) == PAGES + 2, "the submitted page")
        unknown = crawlkit("project", "run", "nobody", "--data-path", "d", cwd=tmp_path)
        assert unknown.returncode == 2
        audit = crawlkit("audit", "--data-path", "d", cwd=tmp_path)
        assert audit.returncode == 0, audit.stdout
        assert crawlkit("project", "rm", "job", "--yes", "--data-path", "d", cwd=tmp_path).returncode == 0
        until(lambda: "{" not in crawlkit("results", "job", "--data-path", "d", cwd=tmp_path).stdout, "no results")

        family = top.children(recursive=True)
        start = time.monotonic()
        top.send_signal(signal.SIGTERM)
        assert top.wait(10) == 0
        assert time.monotonic() - start < 10
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
    assert not (tmp_path / "d" / "scheduler.json").exists()


@pytest.mark.slow  # tests/e2e/test_components.py kills each in the default suite, and looks closer
@pytest.mark.timeout(180)
def test_killed_components_come_back_and_nothing_is_lost(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"for n in range(80): self.crawl('{site.base}/page/%d' % n, callback=self.page)")
    with everything(tmp_path, web=False) as top:
        crawlkit("project", "put", "job.py", "--rate", "15", "--status", "RUNNING", "--data-path", "d", cwd=tmp_path)
        crawlkit("project", "run", "job", "--data-path", "d", cwd=tmp_path)
        for number, role in enumerate(("fetcher", "processor", "scheduler", "result_worker")):
            until(lambda number=number: len(site.count()) > 10 * number, "some pages")  # type: ignore[misc]
            victim = next(child for child in top.children() if child.cmdline()[-1] == role)
            victim.kill()
            until(
                lambda role=role, old=victim.pid: any(  # type: ignore[misc]
                    child.pid != old and child.cmdline()[-1:] == [role] for child in top.children()
                ),
                f"another {role}",
                5,
            )
        until(lambda: len(site.count()) == 80, "every page fetched", 40)
        until(lambda: count(tmp_path) == 80, "every result", 40)
        found = lines(crawlkit("results", "job", "--data-path", "d", cwd=tmp_path).stdout)
        assert len({line["url"] for line in found}) == 80
        until(
            lambda: (
                crawlkit("audit", "--data-path", "d", cwd=tmp_path).stdout.rstrip().endswith("0 waiting + 0 leased")
            ),
            "balanced books",
        )


def test_everything_goes_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with everything(tmp_path, web=False) as top:
        family = top.children(recursive=True)
        assert len(family) >= 4
        top.kill()
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive


@pytest.mark.slow
def test_an_idle_system_uses_less_than_one_percent_of_a_core(tmp_path: Path) -> None:
    def used(family: list[psutil.Process]) -> float:
        return sum(process.cpu_times().user + process.cpu_times().system for process in family)

    with everything(tmp_path) as top:
        family = [top, *top.children(recursive=True)]
        before, start = used(family), time.monotonic()
        with pytest.raises(psutil.TimeoutExpired):
            top.wait(20)
        assert (used(family) - before) / (time.monotonic() - start) < 0.01


def test_a_component_that_cannot_start_stops_all_with_2(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"result_worker": {"result-cls": "nowhere.Sink"}}))
    done = crawlkit("-c", "c.json", "all", "--data-path", "d", cwd=tmp_path)
    assert done.returncode == 2
    assert "--result-cls nowhere.Sink: No module named 'nowhere'" in done.stderr


def test_without_a_result_worker_results_are_discarded_and_counted(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    (tmp_path / "c.yaml").write_text("all:\n  result-worker-num: 0\nfetcher:\n  user-agent: from-config\n")
    with everything(tmp_path, "-c", "c.yaml", web=False):
        crawlkit("project", "put", "job.py", "--status", "RUNNING", "--data-path", "d", cwd=tmp_path)
        crawlkit("project", "run", "job", "--data-path", "d", cwd=tmp_path)
        until(lambda: len(site.count()) == PAGES + 1, "every page")
        until(
            lambda: "discarded" in crawlkit("audit", "--data-path", "d", cwd=tmp_path).stdout,
            "the discarded in the books",
        )
        assert count(tmp_path) == 0
        assert site.agents == {"from-config"}  # children read the same config file


def test_children_get_global_options_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        data_path=Path("d"), resultdb="sqlite://user:secret@x/", queue_maxsize=7, debug=True, config=Path("c.json")
    )
    specs = together.children(settings, {"fetcher": 2, "processor": 1, "result_worker": 0})
    assert [spec.name for spec in specs] == ["result_worker", "processor", "fetcher-1", "fetcher-2", "scheduler"]
    assert specs[0].argv[-2:] == ["result_worker", "--discard"]
    for spec in specs:
        assert "secret" not in " ".join(spec.argv)
        assert spec.env["CRAWLKIT_RESULTDB"] == "sqlite://user:secret@x/"
        assert spec.env["CRAWLKIT_DATA_PATH"] == str(tmp_path / "d")
        assert spec.env["CRAWLKIT_CONFIG"] == str(tmp_path / "c.json")
        assert spec.env["CRAWLKIT_MESSAGE_QUEUE"] == f"local://{tmp_path / 'd'}"
        assert (spec.env["CRAWLKIT_QUEUE_MAXSIZE"], spec.env["CRAWLKIT_DEBUG"]) == ("7", "1")
        assert "CRAWLKIT_TASKDB" not in spec.env
        assert str(Path(together.crawlkit.__file__).parents[1]) in spec.env["PYTHONPATH"].split(os.pathsep)


def test_a_saved_file_is_live_within_two_seconds(site: Site, tmp_path: Path) -> None:
    """Scripts in a folder (R18): nothing is told to anybody, the file is just saved."""
    (tmp_path / "scripts").mkdir()

    def save(word: str) -> None:
        call = f"self.crawl('{site.base}/page/1', callback=self.page, age=0, force_update=True)"
        path = script(tmp_path / "scripts", call, head="# rate: unlimited\n")
        path.write_text(path.read_text().replace("response.doc('title').text()", repr(word)))

    def titles() -> list[str]:
        found = crawlkit("results", "job", "--data-path", "d", cwd=tmp_path)
        return [line["result"]["title"] if "result" in line else line["title"] for line in lines(found.stdout)]

    def run() -> None:
        assert crawlkit(*place, "project", "run", "job", "--data-path", "d", cwd=tmp_path).returncode == 0

    place = ("--projectdb", f"local+projectdb://{tmp_path}/scripts/*.py")
    save("first")
    with everything(tmp_path, *place, web=False):
        until(lambda: titles() == ["first"] or run(), "the first result", 60)
        save("second")
        time.sleep(2.0)  # what is promised
        run()
        until(lambda: titles() == ["second"], "the second result", 30)
