"""``crawlkit ping`` against a running ``crawlkit all``, and against nothing."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import Crawl, environment, run, until


def ping(folder: Path, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return run(["--data-path", "d", *options, "ping", *words], folder, environment("http://127.0.0.1:1/"))


def test_it_answers_for_each_that_was_asked(tmp_path: Path) -> None:
    env = environment("http://127.0.0.1:1/", {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"})
    arguments = ["--data-path", "d", "all", "--no-webui", "--processor-num", "0", "--fetcher-num", "0"]
    with Crawl(arguments, tmp_path, env) as crawl:
        until(lambda: "ready:" in crawl.said, 30, "everything runs")
        done = ping(tmp_path)
        assert done.returncode == 0, done.stderr
        assert [line.partition(" (")[0] for line in done.stdout.splitlines()] == [
            "database: answers",
            "queues: answers",
            "scheduler: answers",
        ]
        assert ping(tmp_path, "queues").stdout.startswith("queues: answers")
    done = ping(tmp_path, "--timeout", "3")
    assert done.returncode == 2
    assert done.stdout.startswith("database: answers")
    (queues, scheduler) = done.stderr.splitlines()
    assert queues.startswith("queues: no crawlkit serves queues at ")
    assert scheduler.startswith("scheduler: ")


def test_nothing_there_is_one_line_each_and_exit_code_2(tmp_path: Path) -> None:
    done = ping(tmp_path, "database", "scheduler")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "Traceback" not in done.stderr
    assert "there is nothing yet" in done.stderr


@pytest.mark.parametrize("what", ["database", "queues"])
def test_one_that_is_silent_is_given_up(what: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"postgresql+psycopg://x@{address}/x" if what == "database" else f"manager://:{'k' * 40}@{address}"
        options = [f"--{kind}={url}" for kind in ("taskdb", "projectdb", "resultdb")] if what == "database" else [
            f"--message-queue={url}"
        ]  # fmt: skip
        done = ping(tmp_path, what, "--timeout", "1.5", options=tuple(options))
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(f"{what}: ")
    assert len(done.stderr.splitlines()) == 1
