"""``crawlkit logs``: what real processes said, found again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from crawlkit.cli.logs import moment_of
from crawlkit.libs.errors import UsageError
from tests.cli.site import Site, crawlkit, lines, started, until
from tests.cli.test_all import everything

SCRIPT = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        print("starting on", "PLACE")
        self.crawl("PLACE/page/1", callback=self.say)
        self.crawl("PLACE/status/404", callback=self.say, retries=0)

    def say(self, response):
        import logging
        self.logger.warning("no price on %s", response.url)
        logging.error("half of it is missing")
        print("the password is", self.settings["password"])
        return {"url": response.url}
"""


@pytest.mark.timeout(120)
def test_what_components_and_callbacks_say_arrives(site: Site, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SCRIPT.replace("PLACE", site.base))
    here = ["--data-path", "d"]

    def logs(*words: str) -> list[dict[str, object]]:
        done = crawlkit("logs", *words, "--json", *here, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return lines(done.stdout)

    with everything(tmp_path, "--log-days", "3") as top:
        for words in (
            ("put", "job.py"), ("set", "job", "password", "correct-horse"), ("status", "job", "RUNNING"),
        ):  # fmt: skip
            done = crawlkit("project", *words, *here, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        (tmp_path / "tail").mkdir()
        tail = tmp_path / "tail" / "said.txt"
        follow = ("logs", "job", "--follow", "--level", "warning", "--data-path", "../d")
        with started(*follow, cwd=tmp_path / "tail", env={"PYTHONUNBUFFERED": "1"}) as process:
            assert crawlkit("project", "run", "job", *here, cwd=tmp_path).returncode == 0
            until(lambda: "failed for good (http_404)" in tail.read_text() and "no price" in tail.read_text(), "it", 60)
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(10) in (0, 1)

        until(lambda: any("password" in str(one["text"]) for one in logs("job")), "what was printed", 30)
        found = logs("job")
        said = {(one["callback"], one["level"], one["logger"], one["text"]) for one in found}
        assert ("on_start", 20, "print", f"starting on {site.base}") in said
        assert ("say", 20, "print", "the password is ***") in said
        price = next(one for one in found if str(one["text"]).startswith("no price"))
        assert (price["level"], price["role"], price["callback"]) == (30, "processor", "say")
        assert price["url"] == f"{site.base}/page/1"
        assert abs(float(str(price["time"])) - time.time()) < 120
        assert next(one for one in found if one["text"] == "half of it is missing")["level"] == 40
        failed = next(one for one in found if "http_404" in str(one["text"]))
        assert (failed["level"], failed["role"]) == (40, "scheduler")
        assert [one["text"] for one in logs("job", "--task", f"{site.base}/status/404", "--role", "scheduler")] == [
            failed["text"]
        ]

        roles = {"supervisor", "scheduler", "fetcher", "processor", "result_worker", "webui"}
        until(lambda: {one["role"] for one in logs("--limit", "500")} == roles, "a word of every process", 30)
        assert not any("token=" in str(one["text"]) for one in logs("--limit", "500"))  # links let in who reads them
        child = next(child for child in top.children() if "fetcher" in child.cmdline())
        child.kill()
        until(lambda: logs("--role", "supervisor", "--text", "fetcher (pid"), "the supervisor's word", 30)
    assert crawlkit("logs", *here, cwd=tmp_path).stdout  # also when nothing runs


def test_one_keeps_its_logs_with_its_data(site: Site, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SCRIPT.replace("PLACE", site.base).replace('self.settings["password"]', "'none'"))
    done = crawlkit("one", "job.py", "--data-path", "d", "-o", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 1  # a page was not there
    found = lines(crawlkit("logs", "--json", "--data-path", "d", cwd=tmp_path).stdout)
    texts = [one["text"] for one in found]
    assert "half of it is missing" in texts
    assert sum("failed for good (http_404)" in text for text in texts) == 1
    assert {one["role"] for one in found} == {"one"}
    crawlkit("one", "job.py", cwd=tmp_path)  # without a data path nothing is kept
    assert not (tmp_path / "data").exists()


def test_bad_questions(tmp_path: Path) -> None:
    for words, said in (
        (["--since", "soon"], "time 'soon': use 90s, 30m, 2h, 1d or a date"),
        (["--level", "loud"], "loud"),
        ([], "there is nothing yet"),
    ):
        done = crawlkit("logs", *words, "--data-path", "none", cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
    done = crawlkit("--logdb", "sqlite+taskdb:///x.db", "--data-path", "none", "fetcher", cwd=tmp_path)
    assert done.returncode == 2
    assert "is for a taskdb, but stands where the logdb goes" in done.stderr


@pytest.mark.parametrize(
    ("text", "moment"), [("90s", 910.0), ("2 h", -6200.0), ("1.5m ago", 910.0), ("1970-01-01 00:10+00:00", 600.0)]
)
def test_moments(text: str, moment: float) -> None:
    assert moment_of(text, 1000.0) == moment


@pytest.mark.parametrize("text", ["", "5", "5 years", "1999-99-99", "-5m"])
def test_no_moments(text: str) -> None:
    with pytest.raises(UsageError, match="use 90s"):
        moment_of(text, 1000.0)
