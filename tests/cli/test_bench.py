"""``crawlkit bench`` as a user types it: exact results, figures, and not a trace of it, however it ends."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import psutil
import pytest
import sqlalchemy as sa

from crawlkit.cli import apart, bench, cli, run
from crawlkit.libs.errors import CrawlkitError
from crawlkit.proving import trial
from crawlkit.settings import Settings
from tests.cli.site import ROOT, crawlkit, started, until
from tests.servers import amqp_url, ask_redis, free_port, postgres_url, redis_url

NAME = re.compile(r"crawlkit_bench_\w+")


@contextlib.contextmanager
def untouched(folder: Path) -> Iterator[Path]:
    """A folder with a data path, in which afterwards there is what was there before."""
    data = folder / "data"
    data.mkdir()
    (data / "task.db").write_bytes(b"of the user")
    before = sorted(folder.rglob("*"))
    yield folder
    (folder / "said.txt").unlink(missing_ok=True)
    assert sorted(folder.rglob("*")) == before
    assert (data / "task.db").read_bytes() == b"of the user"


def databases() -> set[str]:
    """Those of the shared server, where other tests' come and go meanwhile."""
    with sa.create_engine(postgres_url(), poolclass=sa.NullPool).connect() as connection:
        return {name for (name,) in connection.exec_driver_sql("SELECT datname FROM pg_database")}


def check(said: str) -> dict[str, Any]:
    """The figures of an exact crawl of 200 pages."""
    found: dict[str, Any] = json.loads(said)
    assert found["exact"] is True
    assert found["problems"] == found["left"] == found["kept"] == []
    one = found["median"]
    assert one["pages_per_second"] > 1
    assert 0 < one["cpu_ms_per_page"] == pytest.approx(sum(one["components"].values()))
    parts = ["scheduler", "fetcher", "processor", "result_worker", "supervisor"]
    assert list(one["components"])[:5] == parts
    assert one["start_seconds"] > 0
    assert one["crawl_seconds"] > 0
    if Path("/proc/self/smaps_rollup").exists():
        assert 50 * 2**20 < one["peak_pss"] < 2**30
    return found


def test_C38_on_a_message_broker_with_settings_that_are_not_for_it(tmp_path: Path) -> None:
    """SQLite, and queues in RabbitMQ. What the user set for the sites of others is not heard."""
    url = amqp_url()
    (tmp_path / "c.json").write_text(json.dumps({
        "message_queue": url, "sink": [f"jsonl://{tmp_path}/out"], "scheduler": {"host_limits": {"rate": 0.1}},
        "fetcher": {"proxy": "http://127.0.0.1:9", "allow_private": False, "poolsize": 50}, "bench": {"pages": 200},
    }))  # fmt: skip
    with untouched(tmp_path):
        done = crawlkit("-c", "c.json", "bench", "--json", "--doc", cwd=tmp_path, env={"RESULTDB": "sqlite:///r.db"})
    assert done.returncode == 0, done.stderr
    found = check(done.stdout)
    assert found["queues"].startswith("amqp://guest:***@")
    assert found["site"] | {"server": ""} == {"pages": 200, "server": "", "read_by": "response.doc"}
    assert NAME.search(found["queues"])


def test_C38_on_postgresql_and_redis(tmp_path: Path) -> None:
    with untouched(tmp_path):
        servers = ("--database", postgres_url(), "--message-queue", redis_url())
        done = crawlkit(*servers, "bench", "--pages", "200", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = check(done.stdout)
    assert found["database"].startswith("PostgreSQL ")
    (name,) = set(NAME.findall(done.stderr))
    assert name in found["database"]
    assert name not in databases()
    assert ask_redis(redis_url(), "KEYS", f"*{name}*") == []


def crawling(folder: Path) -> psutil.Process:
    """The ``crawlkit all`` of a bench that has begun to crawl."""
    said = folder / "said.txt"

    def all_of_it() -> list[psutil.Process]:
        here = [one for one in psutil.process_iter(["cmdline", "cwd"]) if one.info["cmdline"] and one.info["cwd"]]
        here = [one for one in here if one.info["cwd"].startswith(str(folder))]
        return [one for one in here if "all" in one.info["cmdline"] and "fork-server" not in one.info["cmdline"]]

    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = all_of_it()
        return len(found) == 1

    until(lambda: "starting crawlkit all" in said.read_text() and there(), "crawlkit all", 30)
    (process,) = found
    log = Path(process.cwd()) / "said.txt"
    until(lambda: "ready:" in log.read_text(), "it is ready", 30)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_leaves_nothing_behind(number: int, tmp_path: Path) -> None:
    line = ("--database", postgres_url(), "--message-queue", redis_url(), "bench", "--pages", "3000")
    with untouched(tmp_path), started(*line, cwd=tmp_path) as process:
        family = [crawling(tmp_path), *psutil.Process(process.pid).children(recursive=True)]
        (name,) = set(NAME.findall((tmp_path / "said.txt").read_text()))
        assert name in databases()
        process.send_signal(number)
        until(lambda: "interrupted: taking away" in (tmp_path / "said.txt").read_text(), "the first is heard")
        process.send_signal(number)  # of somebody who cannot wait
        assert process.wait(40) == 1
        assert (tmp_path / "said.txt").read_text().endswith("crawlkit: interrupted\n")
        until(lambda: not any(one.is_running() for one in family), "no process is left")
    assert name not in databases()
    assert ask_redis(redis_url(), "KEYS", f"*{name}*") == []


def test_a_crawl_that_dies_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with untouched(tmp_path), started("bench", "--pages", "3000", "--json", cwd=tmp_path) as process:
        running = crawling(tmp_path)
        children = running.children(recursive=True)
        running.kill()
        assert process.wait(40) == 1
        said = (tmp_path / "said.txt").read_text()
        until(lambda: not any(one.is_running() for one in children), "no process is left")
    found = json.loads(said.splitlines()[-1])
    assert found["exact"] is False
    assert found["runs"] == []
    assert "ended with code -9" in found["problems"][0] or "does not answer" in found["problems"][0]


def test_nothing_is_made_where_a_service_is_not_there(tmp_path: Path) -> None:
    before = databases()
    with untouched(tmp_path):
        away = f"redis://:s3cret@127.0.0.1:{free_port()}/0"
        done = crawlkit("--database", postgres_url(), "--message-queue", away, "bench", "--pages", "30", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no Redis answers" in done.stderr
    assert "s3cret" not in done.stderr
    assert "could not take away" not in done.stderr
    # those of other tests go soon
    until(lambda: not any(map(NAME.fullmatch, databases() - before)), "no database of a bench is left", 60)


def quickly(monkeypatch: pytest.MonkeyPatch, folder: Path, figures: trial.Figures | CrawlkitError) -> None:
    """A crawl that ends at once, without results."""

    def crawl(running: object, began: float, settings: Settings, *_: object) -> trial.Figures:
        settings.data_path.mkdir(exist_ok=True)
        if isinstance(figures, CrawlkitError):
            raise figures
        return figures

    monkeypatch.chdir(folder)
    monkeypatch.setattr(trial, "crawl", crawl)


def test_results_that_are_not_exact_are_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quickly(monkeypatch, tmp_path, trial.Figures(1.0, 2.0, {"fetcher": 1.0}, {}, 0))
    with untouched(tmp_path):
        assert run(["bench", "--pages", "30", "--runs", "3"]) == 1
    said = capsys.readouterr()
    assert "results are NOT exact: 30 problems\n  missing: http://127.0.0.1:" in said.out
    assert "not told: peak memory" in said.out
    assert "run 2" not in said.err


def test_kept_is_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quickly(monkeypatch, tmp_path, CrawlkitError("it stands still"))
    assert run(["bench", "--pages", "30", "--keep"]) == 1
    said = capsys.readouterr()
    (folder,) = tmp_path.glob("crawlkit_bench_*")
    assert f"kept: folder {folder}" in said.err
    assert len(list((folder / "site" / "p").iterdir())) == 30
    assert "it stands still" in said.out


@pytest.mark.parametrize(
    ("line", "words"),
    [(["--pages", "20"], "--pages"), (["--empty-database", "x"], "there is no server"), (["--runs", "0"], "--runs")],
)
def test_usage(
    line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with untouched(tmp_path):
        assert run(["bench", *line]) == 2
    assert words in capsys.readouterr().err


def test_options_that_say_how_to_work_are_taken_over_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    said: Mapping[str, str] = {
        "ALL_FETCHER_NUM": "2", "ALL_RESULT_WORKER_NUM": "0", "FETCHER_POOLSIZE": "7", "FETCHER_PROXY": "http://h:1",
        "FETCHER_FILES_PATH": "/nowhere", "PROCESSOR_WORKERS": "3", "SCHEDULER_HOST_LIMITS": '{"rate": 1}',
        "SCHEDULER_WINDOW": "5000", "RESULT_WORKER_RESULT_CLS": "mine.Sink", "SCHEDULER_XMLRPC_PORT": "1",
    }  # fmt: skip
    for name, value in said.items():
        monkeypatch.setenv(f"CRAWLKIT_{name}", value)
    with cli.make_context("crawlkit", ["bench"]) as context, click.Context(bench.bench, parent=context) as inner:
        found = apart.config_of(inner, {"fetcher_num": None, "processor_num": 4, "result_worker_num": None})
    assert found == {
        "all": {"fetcher_num": 2, "processor_num": 4, "result_worker_num": 1},
        "scheduler": {"window": 5000}, "fetcher": {"poolsize": 7}, "processor": {"workers": 3},
    }  # fmt: skip


def test_its_page_names_each_option_and_no_other() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text().partition("## Beside other crawlers")[0]
    named = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `--"))
    known = {option for param in bench.bench.params for option in param.opts} - {"--total", "--data-path", "--debug"}
    assert set(re.findall(r"--[a-z-]+", named)) == known
