"""The browser service of `all` and `one`: started when a page needs it, again after its death, and missed by nobody."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

import psutil

from crawlkit.libs.extras import HOME
from tests.cli.site import Site, crawlkit, lines, script, started, until
from tests.e2e.parity_runs import crawl
from tests.needs import binary


def test_without_chromium_one_line_says_so_and_everything_else_goes_on(site: Site, tmp_path: Path) -> None:
    cases = {
        "js": (f"{site.base}/page/1", {"fetch_type": "js"}),
        "plain": (f"{site.base}/page/2", {}),
    }
    env = {"CRAWLKIT_BROWSER_CHROMIUM": "/no/such/chromium"}
    done = crawl(tmp_path, env, cases=cases)
    assert done.code == 0, done.said  # catch_status_code_error: the callback took the 501
    assert done.result("plain")["status"] == 200
    missed = done.result("js")
    assert (missed["status"], missed["error"]) == (501, "--chromium /no/such/chromium: there is no such program")
    fetched, _ = done.track("pages", "js")
    assert (fetched["error_kind"], fetched["error"]) == ("no_browser", missed["error"])
    assert done.said.count("there is no such program") == 1, done.said


def test_started_by_hand_it_ends_where_no_page_could_be_rendered(tmp_path: Path) -> None:
    named = crawlkit("browser", "--port", "0", "--chromium", "/nowhere/chromium", cwd=tmp_path)
    assert (named.returncode, named.stdout) == (2, "")
    assert named.stderr.endswith("browser: --chromium /nowhere/chromium: there is no such program\n")
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'playwright' else find(name, package)\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    without = crawlkit("browser", "--port", "0", cwd=tmp_path, env=env)
    assert without.returncode == 2, without.stderr
    assert f"-m pip install -e '{HOME}[browser]'" in without.stderr
    assert "ready" not in without.stderr + named.stderr


def test_a_single_page_has_the_same_options(site: Site, tmp_path: Path) -> None:
    env = {"CRAWLKIT_BROWSER_CHROMIUM": "/no/such/chromium"}
    done = crawlkit("fetch", f"{site.base}/page/1", "--browser", "--json", cwd=tmp_path, env=env)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["error"] == "--chromium /no/such/chromium: there is no such program"


def test_started_by_the_first_page_again_after_its_death_gone_with_the_supervisor(site: Site, tmp_path: Path) -> None:
    binary("chromium")

    def roles(top: psutil.Process) -> dict[str, psutil.Process]:
        return {child.cmdline()[-1]: child for child in top.children()}

    def results() -> list[str]:
        return [line["url"] for line in lines(crawlkit("results", "job", "--data-path", "d", cwd=tmp_path).stdout)]

    def submit(*paths: str) -> list[str]:
        urls = [f"{site.base}{path}" for path in paths]
        tasks = [{"url": url, "callback": "page", "fetch_type": "js", "retries": 0} for url in urls]
        (tmp_path / "urls.txt").write_text("\n".join(map(json.dumps, tasks)))
        done = crawlkit("submit", "job", "-f", "urls.txt", "--data-path", "d", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return urls

    def waiting() -> int:
        shown = {"Authorization": f"Bearer {env['CRAWLKIT_BROWSER_TOKEN']}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{env['CRAWLKIT_BROWSER_PORT']}/", headers=shown)
        with urllib.request.urlopen(asked, timeout=10) as state:
            return int(json.load(state)["waiting"])

    script(tmp_path, "pass")
    said = tmp_path / "said.txt"
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    env = {"PYTHONUNBUFFERED": "1", "CRAWLKIT_BROWSER_POOLSIZE": "1", "CRAWLKIT_BROWSER_TOKEN": "of-this-test-only",
           "CRAWLKIT_BROWSER_PORT": str(port)}  # fmt: skip
    with started("all", "--data-path", "d", "--no-webui", cwd=tmp_path, env=env) as process:
        until(lambda: said.exists() and "ready: " in said.read_text(), "readiness", 60)
        top = psutil.Process(process.pid)
        assert "browser" not in roles(top), "no page needed it yet"
        crawlkit("project", "put", "job.py", "--status", "RUNNING", "--rate", "unlimited", "--data-path", "d",
                 cwd=tmp_path)  # fmt: skip
        submit("/slow")
        until(lambda: site.count()["/slow"], "the first page", 60)
        first = roles(top)["browser"]
        in_line = submit("/page/1", "/page/2")
        until(lambda: waiting() == 2, "the line", 30)
        family = [first, *first.children(recursive=True)]
        assert any("chrom" in " ".join(one.cmdline()) for one in family)
        first.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
        until(lambda: set(in_line) <= set(results()), "the results of those who were in line", 60)
        shown = crawlkit("project", "show", "job", "--data-path", "d", cwd=tmp_path).stdout
        assert "2 done, 1 failed, 0 cancelled" in shown
        assert "failed   1: crashed" in shown, "that the service had begun with"
        assert roles(top)["browser"].pid != first.pid
        logged = crawlkit("logs", "--data-path", "d", "--level", "info", cwd=tmp_path).stdout
        assert "Chromium" in logged
        family = top.children(recursive=True)
        os.kill(top.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
