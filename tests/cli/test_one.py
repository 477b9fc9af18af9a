"""``crawlkit one`` as a process on a tiny site."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.site import PAGES, ROOT, Site, crawlkit, environment, lines, script, started, until

FIRST = (
    "job: 1 page a second (burst 3), loopback hosts as fast as they can. "
    "To change it: --rate 5 or --rate unlimited, or a line '# rate: 5' in the script"
)


def test_json_lines_on_stdout_and_words_on_stderr(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    done = crawlkit("one", "job.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    assert len(found) == PAGES + 1
    assert all(list(line) == ["taskid", "project", "url", "result", "updatetime"] for line in found)
    assert {line["url"] for line in found} == {site.base + path for path in site.count()}
    assert set(site.count().values()) == {1}
    said = done.stderr.splitlines()
    assert said[0] == FIRST
    assert said[-1].startswith(f"done {PAGES + 1} pages, failed 0, waiting 0 in 0:00:0")
    assert os.listdir(tmp_path) == ["job.py"]  # nothing is left behind


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_output_files(form: str, site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    done = crawlkit("one", "job.py", "-o", f"out.{form}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    text = (tmp_path / f"out.{form}").read_text()
    if form == "csv":
        titles = {row["title"] for row in csv.DictReader(text.splitlines())}
    else:
        titles = {line["result"]["title"] for line in (lines(text) if form == "jsonl" else json.loads(text))}
    assert titles == {"", *(f"/page/{n}" for n in range(PAGES))}
    assert sorted(os.listdir(tmp_path)) == ["job.py", f"out.{form}"]


def test_failures_are_grouped_shown_and_exit_1(site: Site, tmp_path: Path) -> None:
    script(
        tmp_path,
        f"for n in (403, 404): self.crawl('{site.base}/status/%d' % n, callback=self.page, retries=0)\n"
        f"self.crawl('{site.base}/status/404?again', callback=self.page, retries=0)\n"
        f"self.crawl('{site.base}/page/0', callback=self.broken, retries=0)",
    )
    site.answer = lambda path, plain=site.answer: plain(path.partition("?")[0])  # type: ignore[method-assign]
    done = crawlkit("one", "job.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "failed for good: 2 of job: http_404, for instance " in done.stderr
    assert f"failed for good: 1 of job: http_403, for instance {site.base}/status/403" in done.stderr
    assert f"failed for good: 1 of job: exception, for instance {site.base}/page/0" in done.stderr
    assert "about to fail" in done.stderr
    assert 'File "job.py", line ' in done.stderr
    assert "ValueError: no such thing" in done.stderr


def test_a_try_again_after_a_second_is_waited_for(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/once', callback=self.page)")
    done = crawlkit("one", "job.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line["result"] for line in lines(done.stdout)] == [{"title": "/once"}]
    (first, _), (second, _) = site.requests
    assert 0.9 < second - first < 4


def test_what_is_due_later_is_told_and_kept(site: Site, tmp_path: Path) -> None:
    later = "self.crawl('http://127.0.0.1:1/', callback=self.page, exetime=time.time() + 3600)"
    script(tmp_path, f"{later}\nself.crawl('{site.base}/page/1', callback=self.page)")
    done = crawlkit("one", "job.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "done 1 page, failed 0, waiting 1 in" in done.stderr
    assert "1 wait for later; they are gone" in done.stderr
    kept = crawlkit("one", "job.py", "--data-path", "d", cwd=tmp_path)
    assert "1 wait for later; they are kept in d" in kept.stderr
    left = crawlkit("tasks", "job", "--status", "active", "--format", "url", "--data-path", "d", cwd=tmp_path)
    assert left.stdout == "http://127.0.0.1:1/\n"


def test_limit_leaves_the_rest_for_the_next_run(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    line = ("one", "job.py", "-o", "out.jsonl", "--data-path", "d")
    first = crawlkit(*line, "--limit", "5", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert len(lines((tmp_path / "out.jsonl").read_text())) == 5
    assert len(site.requests) == 5
    second = crawlkit(*line, cwd=tmp_path)
    assert "job: going on where it was interrupted" in second.stderr
    assert len(lines((tmp_path / "out.jsonl").read_text())) == PAGES + 1
    assert set(site.count().values()) == {1}
    audit = crawlkit("audit", "--data-path", "d", cwd=tmp_path)
    assert audit.returncode == 0, audit.stdout
    assert "job: balanced: 14 accepted = 14 ended + 0 waiting + 0 leased" in audit.stdout


def test_a_drained_crawl_starts_anew(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page, age=0)")
    for _ in range(2):
        done = crawlkit("one", "job.py", "--data-path", "d", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "going on" not in done.stderr
    assert site.count()["/"] == 2
    assert site.count()["/page/0"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(number: int, site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    line = ("one", "job.py", "-o", "out.jsonl", "--data-path", "d")
    with started(*line, "--rate", "4", cwd=tmp_path) as crawl:
        until(lambda: len(site.requests) >= 4, "some pages")
        start = time.monotonic()
        os.killpg(crawl.pid, number)  # as Ctrl-C does: to everything of the terminal
        assert crawl.wait(10) == 0
        assert time.monotonic() - start < 5
    done = crawlkit(*line, "--rate", "unlimited", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [line["url"] for line in lines((tmp_path / "out.jsonl").read_text())]
    assert sorted(found) == sorted({site.base + path for path in site.count()})
    assert len(found) == PAGES + 1


def test_a_second_signal_stops_at_once(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/slow', callback=self.page)")
    with started("one", "job.py", cwd=tmp_path) as crawl:
        until(lambda: site.count()["/slow"], "the slow page")
        crawl.send_signal(signal.SIGINT)
        until(lambda: "stopping; once more" in (tmp_path / "said.txt").read_text(), "the first signal")
        start = time.monotonic()
        crawl.send_signal(signal.SIGINT)
        assert crawl.wait(10) == 1
        assert time.monotonic() - start < 1


def test_two_runs_on_one_data_path_refuse_in_words(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/slow', callback=self.page)")
    with started("one", "job.py", "--data-path", "d", cwd=tmp_path) as crawl:
        until(lambda: site.count()["/slow"], "the slow page")
        for command in (("one", "job.py"), ("scheduler",)):
            second = crawlkit(*command, "--data-path", "d", cwd=tmp_path)
            assert second.returncode == 2
            assert f"crawlkit one (pid {crawl.pid}) runs on data path d already" in second.stderr
            assert second.stderr.count("\n") == 1
        reading = crawlkit("project", "list", "--data-path", "d", cwd=tmp_path)
        assert reading.stdout.splitlines()[1].split()[:3] == ["job", "-", "RUNNING"]


def test_a_script_that_does_not_load_is_shown_at_its_line(tmp_path: Path) -> None:
    script(tmp_path, "pass", head="import nothing_like_this\n")
    done = crawlkit("one", "job.py", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("crawlkit: script job does not load: line 1: ModuleNotFoundError")
    assert 'File "job.py", line 1, in <module>' in done.stderr


RATES = [
    (("--rate", "5"), "", "job: 5 pages a second (burst 3). To"),
    ((), "# rate: 5\n# burst: 2\n", "job: 5 pages a second (burst 2). To"),
    (("--rate", "5"), "# rate: 9\n", "job: 5 pages a second (burst 3). To"),
]


@pytest.mark.parametrize(("said", "head", "first"), RATES)
def test_an_explicit_rate_holds_for_loopback_too(
    said: tuple[str, ...], head: str, first: str, site: Site, tmp_path: Path
) -> None:
    script(tmp_path, f"for n in range(8): self.crawl('{site.base}/page/%d' % n, callback=self.page)", head=head)
    done = crawlkit("one", "job.py", *said, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(first)
    times = [when for when, _ in site.requests]
    assert len(times) == 8
    assert times[-1] - times[0] > (8 - 1 - 3) / 5 - 0.05


def test_forever_waits_for_a_signal(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/page/1', callback=self.page)")
    with started("one", "job.py", "--forever", "-o", "out.jsonl", cwd=tmp_path) as crawl:
        until(lambda: (tmp_path / "out.jsonl").exists() and (tmp_path / "out.jsonl").read_text(), "a result")
        with pytest.raises(Exception, match="timed out"):
            crawl.wait(1)
        crawl.terminate()
        assert crawl.wait(10) == 0


def test_several_scripts_share_one_crawl(site: Site, tmp_path: Path) -> None:
    for name in ("a", "b"):
        script(tmp_path, f"self.crawl('{site.base}/page/{name}', callback=self.page)", name)
    done = crawlkit("one", "a.py", "b.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {(line["project"], line["result"]["title"]) for line in lines(done.stdout)} == {
        ("a", "/page/a"),
        ("b", "/page/b"),
    }
    assert done.stderr.startswith("a, b: 1 page a second")


def test_components_options_hold_in_one_as_well(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/page/1', callback=self.page)")
    (tmp_path / "c.toml").write_text('[fetcher]\nuser-agent = "from-config"\n')
    crawlkit("-c", "c.toml", "one", "job.py", cwd=tmp_path)
    crawlkit("-c", "c.toml", "one", "job.py", cwd=tmp_path, env={"CRAWLKIT_FETCHER_USER_AGENT": "from-environment"})
    assert site.agents == {"from-config", "from-environment"}


def test_handlers_see_the_users_environment_but_no_passwords(tmp_path: Path) -> None:
    script(tmp_path, "import os\nreturn sorted(os.environ)", head="")
    env = {"MY_TOKEN": "1", "CRAWLKIT_SCHEDULER_TOKEN": "secret", "RESULTDB": "", "WEBUI_PASSWORD": "secret"}
    done = crawlkit("one", "job.py", cwd=tmp_path, env=env)
    (line,) = lines(done.stdout)
    assert "MY_TOKEN" in line["result"]
    assert not {"CRAWLKIT_SCHEDULER_TOKEN", "WEBUI_PASSWORD"} & set(line["result"])


def full(form: str, *options: str, folder: Path) -> Any:
    """A crawl whose output file is on a disk that is full."""
    code = (
        "import errno, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from crawlkit.result import follower\n"
        "def write(file, data): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "follower._write = write\n"
        "follower.WRITERS = dict.fromkeys(follower.WRITERS, lambda rows, out: write(out, b''))\n"
        "from crawlkit.cli import run\n"
        f"sys.exit(run(['one', 'job.py', '-o', 'out.{form}', *{list(options)!r}]))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_results_that_cannot_be_written_are_counted(form: str, site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    done = full(form, folder=tmp_path)
    words = f"{PAGES + 1} results were not written (output file out.{form}: No space left on device)"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"{words}: lost, for nothing is kept without --data-path"
    done = full(form, "--data-path", "d", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"{words}: kept in the resultdb of d: the same command writes them"
    again = crawlkit("one", "job.py", "-o", f"out.{form}", "--data-path", "d", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / f"out.{form}").read_text().splitlines()) >= PAGES + 1


@pytest.mark.parametrize("options", [[], ["--data-path", "d"]], ids=["memory", "data path"])
def test_a_full_standard_output(options: list[str], site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    with open("/dev/full", "wb") as stream:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "one", "job.py", *options], cwd=tmp_path, env=environment(),
            stdout=stream, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{PAGES + 1} results were not written (standard output: No space left on device): ")
    assert ("kept in the resultdb of d" in last) == bool(options)
    if options:
        again = crawlkit("one", "job.py", *options, cwd=tmp_path)
        assert len(again.stdout.splitlines()) >= PAGES + 1


def test_a_file_that_exists_is_not_replaced(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    for form in ("jsonl", "csv"):
        out = tmp_path / f"out.{form}"
        out.write_text("precious\n")
        for options in ([], ["--data-path", "d"]):
            done = crawlkit("one", "job.py", "-o", out.name, *options, cwd=tmp_path)
            assert done.returncode == 2
            assert done.stderr == (
                f"crawlkit: output file {out.name} exists already, and was not written by this crawl: "
                "name another file, or say --overwrite\n"
            )
            assert out.read_text() == "precious\n"
        for more in (["--overwrite"], []):  # it is the crawl's own now
            done = crawlkit("one", "job.py", "-o", out.name, "--data-path", "d", *more, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert "precious" not in out.read_text()


def test_failed_tasks_say_why(site: Site, tmp_path: Path) -> None:
    script(
        tmp_path,
        f"self.crawl('{site.base}/status/404', callback=self.page, retries=0)\n"
        f"self.crawl('{site.base}/page/0', callback=self.broken, retries=0)",
    )
    assert crawlkit("one", "job.py", "--data-path", "data", cwd=tmp_path).returncode == 1
    failed = lines(crawlkit("tasks", "job", "--status", "failed", cwd=tmp_path).stdout)
    assert {(row["reason"], row["exception"]) for row in failed} >= {("exception", "ValueError: no such thing")}
    assert {row["reason"] for row in failed} == {"http_404", "exception"}
    shown = crawlkit("project", "show", "job", cwd=tmp_path).stdout
    assert f"failed   1: exception, for instance {site.base}/page/0\n         ValueError: no such thing\n" in shown
    assert f"failed   1: http_404, for instance {site.base}/status/404" in shown
    for which in (f"{site.base}/page/0", next(row["taskid"] for row in failed if row["reason"] == "exception")):
        said = crawlkit("task", "job", which, cwd=tmp_path).stdout
        for words in ("status   FAILED", "attempt 1: failed: exception", "Traceback", "job.py", "about to fail"):
            assert words in said
        (found,) = lines(crawlkit("task", "job", which, "--json", cwd=tmp_path).stdout)
        assert found["attempts"][0]["reason"] == "exception"
        assert "Traceback" in found["attempts"][0]["process"]["logs"]
    gone = crawlkit("task", "job", "http://x/", cwd=tmp_path)
    assert (gone.returncode, gone.stderr) == (
        2, "crawlkit: project job has no task http://x/; see crawlkit tasks job\n"
    )  # fmt: skip
    assert "no project 'zzz'; there are job" in crawlkit("task", "zzz", "http://x/", cwd=tmp_path).stderr


def test_the_first_failure_of_a_kind_is_told_with_its_next_try(site: Site, tmp_path: Path) -> None:
    script(
        tmp_path,
        "for n in range(3):\n    self.crawl(f'http://127.0.0.1:1/{n}', callback=self.page, retries=1)\n"
        "self.crawl('http://exa mple/', callback=self.page)\nself.crawl(None, callback=self.page)",
    )
    done = crawlkit("one", "job.py", "--data-path", "d", cwd=tmp_path)
    assert done.returncode == 1
    told = r"job: http://127\.0\.0\.1:1/\d failed \(connect\), tried again in 1 s \(1 of 1\): "
    assert len(re.findall(told, done.stderr)) == 1
    assert "http://exa mple/ failed for good (bad_url): " in done.stderr  # at once: no try can help
    assert "self.crawl(None): there is no URL" in done.stderr
    assert "done 0 pages, failed 4, waiting 0 in 0:00:0" in done.stderr
    for _ in range(2):
        again = crawlkit("one", "job.py", "--data-path", "d", cwd=tmp_path)
        assert "done 0 pages, failed 0, waiting 0 in" in again.stderr  # of this run, not of all


def test_on_finished_is_no_page(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/page/1', callback=self.page, age=0)")
    with (tmp_path / "job.py").open("a") as end:
        end.write("\n    def on_finished(self):\n        print('the end')\n")
    for _ in range(2):
        done = crawlkit("one", "job.py", "--data-path", "d", cwd=tmp_path)
        assert "the end" in done.stderr
        assert "done 1 page, failed 0, waiting 0 in" in done.stderr
