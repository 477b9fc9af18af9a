"""Downloads by whole commands whose fetchers are killed in the middle of a file: it goes on, and comes once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.commands import Crawl, environment, run, until
from tests.fetcher.file_server import FileServer, digest, file_server
from tests.files.stores import s3_environment

SIZE = 30 * 2**20
SCRIPT = """
from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.download("{url}", "big/{{name}}", self.saved, sha256="{sha256}")

    def saved(self, response):
        return {{**response.file, "content": len(response.content), "status": response.status_code}}
"""


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A slow one, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = file_server(SIZE)
    made = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
    made.delay = 0.004
    yield made
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def write_script(server: FileServer, folder: Path) -> str:
    sha256 = digest(SIZE)
    (folder / "files.py").write_text(SCRIPT.format(url=server.url, sha256=sha256))
    return sha256


def check(result: dict[str, Any], place: Path, sha256: str, server: FileServer, kills: int) -> None:
    assert result == {"path": str(place), "bytes": SIZE, "sha256": sha256, "content": 0, "status": 200}
    assert place.stat().st_size == SIZE
    assert server.left == kills
    assert server.sent <= SIZE + kills * 16 * 2**20  # what was on its way, and what was not synced yet
    assert server.ranges_asked()[-1] is not None


@pytest.mark.timeout(120)
def test_one_killed_and_started_again(server: FileServer, tmp_path: Path) -> None:
    sha256 = write_script(server, tmp_path)
    command = ["one", "files.py", "--data-path", "d", "-o", "out.jsonl"]
    for share in (0.3, 0.6):
        crawl = Crawl(command, tmp_path, environment(""))
        until(lambda share=share: server.sent > share * SIZE, 30, "the file is under way")
        crawl.kill()
    with Crawl(command, tmp_path, environment("")) as crawl:
        assert crawl.wait(60) == 0, crawl.said
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    check(json.loads(line)["result"], tmp_path / "d/files/files/big/big file.bin", sha256, server, 2)
    said = run(["--data-path", "d", "files", "check", "files"], tmp_path, environment(""))
    assert (said.returncode, said.stderr) == (0, "1 as they were, 0 not\n")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_partial_file_survives_its_node(server: FileServer, tmp_path: Path, request: Any, kind: str) -> None:
    """One node is killed; another, which shares nothing with it but the store, goes on."""
    sha256 = write_script(server, tmp_path)
    env, url = environment(""), f"file://{tmp_path}/shared"
    if kind == "s3":
        url = request.getfixturevalue("s3_url")
        env.update(s3_environment(request.getfixturevalue("s3_endpoint")))
    command = ["one", "files.py", "-o", "out.jsonl", "--files-path", url, "--data-path"]
    with Crawl([*command, "first"], tmp_path, env) as crawl:
        until(lambda: server.sent > 0.6 * SIZE, 40, "the file is under way")
        crawl.kill()
    (tmp_path / "out.jsonl").unlink(missing_ok=True)
    with Crawl([*command, "second"], tmp_path, env) as crawl:
        assert crawl.wait(60) == 0, crawl.said
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["result"] == {
        "path": f"{url}/files/big/big file.bin", "bytes": SIZE, "sha256": sha256, "content": 0, "status": 200,
    }  # fmt: skip
    assert server.sent <= SIZE + 24 * 2**20  # two pieces that were in memory, and what was on its way
    assert server.ranges_asked()[-1] is not None
    said = run(["files", "check", "files", "--files-path", url], tmp_path, env)
    assert (said.returncode, said.stderr) == (0, "1 as they were, 0 not\n")


def fetcher_of(crawl: Crawl) -> psutil.Process | None:
    for process in psutil.Process(crawl.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[-1:] == ["fetcher"]:
                return process
    return None


@pytest.mark.timeout(120)
def test_all_with_its_fetcher_killed(server: FileServer, tmp_path: Path) -> None:
    sha256 = write_script(server, tmp_path)
    env = environment("", {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0", "CRAWLKIT_FETCHER_FILES_PATH": str(tmp_path / "f")})

    def say(*words: str) -> str:
        done = run(["--data-path", "d", *words], tmp_path, env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with Crawl(["--data-path", "d", "all", "--no-webui"], tmp_path, env) as crawl:
        until(lambda: "ready:" in crawl.said, 30, "everything runs")
        say("project", "put", "files.py")
        say("project", "run", "files")
        for share in (0.3, 0.6):
            until(lambda share=share: server.sent > share * SIZE, 30, "the file is under way")
            victim = fetcher_of(crawl)
            assert victim is not None
            victim.kill()
            until(lambda old=victim.pid: (new := fetcher_of(crawl)) and new.pid != old, 10, "the fetcher is back")
        until(lambda: bool(say("results", "files")), 60, "the file is there")
        check(json.loads(say("results", "files"))["result"], tmp_path / "f/files/big/big file.bin", sha256, server, 2)
        assert '"waiting": 0' in say("audit", "--json", "files")
