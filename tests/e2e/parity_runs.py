"""Crawls of handler scripts by ``crawlkit one``, and what is left of them: results, tasks and tracks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawlkit import wiring
from crawlkit.settings import Settings
from tests.e2e.commands import environment, run

PAGE_SCRIPT = """
import ast
import os

from crawlkit import BaseHandler, catch_status_code_error


class Handler(BaseHandler):
    crawl_config = {"retries": 0}

    def on_start(self):
        for name, (url, arguments) in ast.literal_eval(os.environ["PARITY_CASES"]).items():
            self.crawl(url, callback=self.page, taskid=name, **arguments)

    @catch_status_code_error
    def page(self, response):
        return {
            "status": response.status_code,
            "ok": response.ok,
            "url": response.url,
            "orig_url": response.orig_url,
            "headers": dict(response.headers),
            "text": response.text,
            "json": response.json,
            "cookies": response.cookies,
            "error": response.error,
            "save": response.save,
            "time": response.time,
            "js_script_result": response.js_script_result,
        }
"""
"""A handler that crawls a table of cases, (url, arguments) by name, and gives back all that a callback sees."""

Cases = Mapping[str, tuple[str, Mapping[str, Any]]]


class Crawled:
    """A crawl that is over, the ``number``-th one on its data path."""

    def __init__(self, folder: Path, done: subprocess.CompletedProcess[str], number: int) -> None:
        self.number = number
        self.folder, self.said, self.code = folder, done.stderr, done.returncode
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]

    def results(self, taskid: str, project: str | None = None) -> list[Any]:
        """The results of one task, in order."""
        return [
            line["result"] for line in self.lines if line["taskid"] == taskid and project in (None, line["project"])
        ]

    def result(self, taskid: str, project: str | None = None) -> Any:
        found = self.results(taskid, project)
        assert len(found) == 1, f"{len(found)} results of {taskid}; it said\n{self.said[-2000:]}"
        return found[0]

    def of(self, project: str) -> list[Any]:
        """All results of a project."""
        return [line["result"] for line in self.lines if line["project"] == project]

    def tracks(self, project: str, taskid: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(fetch, process) of each attempt of this crawl at a task, the oldest first."""
        with wiring.open_stores(Settings(data_path=self.folder / "d"), ("taskdb",)) as stores:
            rows = [row for row in stores.taskdb.attempts(project, taskid) if row.run == self.number]
        return [(json.loads(row.fetch), json.loads(row.process)) for row in reversed(rows)]

    def track(self, project: str, taskid: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """(fetch, process) of the last attempt of this crawl at a task."""
        return self.tracks(project, taskid)[-1]

    def urls(self, project: str) -> set[str]:
        """The URLs of all stored tasks."""
        with wiring.open_stores(Settings(data_path=self.folder / "d"), ("taskdb",)) as stores:
            return {row.url for row in stores.taskdb.select(project)}


def crawl(folder: Path, env: Mapping[str, str], *scripts: str, cases: Cases | None = None, number: int = 1) -> Crawled:
    """Runs ``crawlkit one`` to its end; scripts are names of files in ``folder``."""
    if cases is not None:
        (folder / "pages.py").write_text(PAGE_SCRIPT)
        scripts = ("pages.py", *scripts)
        env = {**env, "PARITY_CASES": repr(dict(cases))}
    done = run(["one", *scripts, "--data-path", "d", "--rate", "unlimited"], folder, environment("", env), timeout=90)
    assert done.returncode in (0, 1), f"it ended with {done.returncode}:\n{done.stderr}"
    return Crawled(folder, done, number)
