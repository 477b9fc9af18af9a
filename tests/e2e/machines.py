"""crawlkit on several hosts: data on one, the scheduler on the second, the web UI on the third, the rest on workers.

Each component gets two URLs and one secret, by its environment, and nothing else of the others.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.commands import RUN, is_over, results, until
from tests.e2e.hosts import NAMESPACES, Host, Lan
from tests.e2e.services import Service
from tests.e2e.site import Site

WORKERS = ("work1", "work2")
HOSTS = ("data", "control", "ui", *WORKERS, "web")
READY = 40.0  # seconds until a component says that it is ready
SECRET = "a-secret-of-this-test-alone-that-every-host-knows"
SCHEDULER_PORT, UI_PORT = 23333, 5000


class Machines:
    """A whole crawl on six hosts, ``web`` being the internet. A context manager.

    ``database`` and ``queue`` are classes of :mod:`tests.e2e.services`; without a queue the control node serves the
    queues itself (``manager://``).
    """

    def __init__(
        self,
        folder: Path,
        pages: Path,
        database: Callable[[Host], Service],
        queue: Callable[[Host], Service] | None,
        *,
        delay: float = 0,
    ) -> None:
        self.folder, self.pages, self.delay = folder, pages, delay
        self._database, self._queue = database, queue
        self._stack = ExitStack()
        self.lan = Lan(HOSTS)
        self.started: dict[str, list[str]] = {}

    def __enter__(self) -> Machines:
        try:
            self._stack.enter_context(self.lan)
            self.site = Site(self.pages, self.folder / "ledger.txt", self.delay, self.lan["web"], 8080)
            self._stack.callback(self.site.close)
            self.database = self._stack.enter_context(self._database(self.lan["data"]))
            self.queue = self._stack.enter_context(self._queue(self.lan["data"])) if self._queue else None
            control = self.lan["control"].address
            self.queue_url = self.queue.url if self.queue else f"manager://:{SECRET}@{control}:23400"
            self.env = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")} | {
                "CRAWLKIT_DATABASE": self.database.url,
                "CRAWLKIT_MESSAGE_QUEUE": self.queue_url,
                "CRAWLKIT_SECRET_KEY": SECRET,
                # on hosts of their own it finds out by which address others reach it
                "CRAWLKIT_SCHEDULER_XMLRPC_HOST": "0.0.0.0" if self.lan.kind == NAMESPACES else control,
                "CRAWLKIT_SCHEDULER_XMLRPC_PORT": str(SCHEDULER_PORT),
                "CRAWLKIT_WEBUI_HOST": self.lan["ui"].address,
                "CRAWLKIT_WEBUI_PORT": str(UI_PORT),
                "CRAWLKIT_WEBUI_USERNAME": "admin",
                "CRAWLKIT_WEBUI_PASSWORD": "a-password-of-this-test",
                "CRAWLKIT_PROCESSOR_WORKERS": "2",
                "CRAWLKIT_FETCHER_ALLOW_PRIVATE": "true",  # all addresses here are, and the web UI has a user
            }
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_all(self) -> None:
        if self.queue is None:
            nobody = ("--fetcher-num", "0", "--processor-num", "0", "--result-worker-num", "0")
            self.start("control", "all", "--no-webui", *nobody, wait="ready: ")
        else:
            self.start("control", "scheduler")
        self.start("ui", "webui")
        for name in WORKERS:
            self.start(name, "node", wait="ready: ")

    def start(self, host: str, *command: str, wait: str = "is ready") -> None:
        """Starts a component on a host, and waits until it says that it is ready."""
        place = self.folder / host
        place.mkdir(exist_ok=True)
        said = place / f"{command[0]}.txt"
        before = self.said(said).count(wait)
        argv = [*RUN, "--data-path", str(place / "data"), *command]
        program = self.lan[host].start(argv, said=said, env=self.env, cwd=place)
        self.started.setdefault(host, []).append(command[0])

        def ready() -> bool:
            assert program.poll() is None, f"{command[0]} on {host} ended:\n{self.said(said)[-2000:]}"
            return self.said(said).count(wait) > before

        try:
            until(ready, READY, f"{command[0]} on {host} is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; it said\n{self.said(said)[-3000:]}") from None

    @staticmethod
    def said(file: Path) -> str:
        return file.read_text(errors="replace") if file.exists() else ""

    def words(self) -> str:
        """What every component said last, for people who look at a failure."""
        return "\n".join(f"== {file}\n{self.said(file)[-1500:]}" for file in sorted(self.folder.glob("*/*.txt")))

    def say(self, *command: str, host: str = "ui", code: int = 0, timeout: float = 90) -> str:
        """Runs a command on a host, given what its components are given."""
        place = self.folder / host
        place.mkdir(exist_ok=True)
        argv = [*RUN, "--data-path", str(place / "data"), *command]
        done = self.lan[host].run(argv, env=self.env, cwd=place, timeout=timeout)
        assert done.returncode == code, f"{command}: {done.returncode}: {done.stdout}{done.stderr}\n{self.words()}"
        return done.stdout

    def crawl(self, script: Path, old: str, new: str, rate: str = "unlimited") -> str:
        """Puts a script, with the site's address in it, and runs it; returns the project's name."""
        copy = self.folder / script.name
        text = script.read_text()
        assert old in text
        copy.write_text(text.replace(old, new))
        self.say("project", "put", str(copy), "--rate", rate, "--status", "RUNNING")
        self.say("project", "run", script.stem)
        return script.stem

    def books(self, project: str) -> dict[str, int]:
        """The ledger, of which `audit` says that it is right."""
        found = json.loads(self.say("audit", "--json", project))
        books: dict[str, int] = found[0] if isinstance(found, list) else found
        return books

    def wait_done(self, project: str, timeout: float) -> None:
        """Until nothing waits and nothing is under way."""
        deadline = time.monotonic() + timeout
        while True:
            text = self.say("audit", "--json", project)
            if is_over(text):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"not done within {timeout} s:\n{text}\n{self.words()}")
            time.sleep(0.5)

    def results(self, project: str) -> dict[str, object]:
        """url -> result; fails when one is there twice."""
        file = self.folder / "results.jsonl"
        file.write_text(self.say("results", project))
        return results(file)

    def alive(self, gone: Sequence[str] = ()) -> list[str]:
        """What was started and does not run any more, as ``host/component``."""
        return [
            f"{name}/{' '.join(program.args[-1:])}"
            for name, host in self.lan.hosts.items()
            if name not in gone
            for program in host.programs
            if program.poll() is not None
        ]

    def ui_answers(self) -> bool:
        """Whether the web UI answers to somebody on its own host."""
        url = f"http://{self.lan['ui'].address}:{UI_PORT}/health"
        look = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=5).read())"
        return "ok" in self.lan["ui"].run(["python3", "-c", look]).stdout

    def until_new_page(self, timeout: float) -> float:
        """Seconds until the site is asked for one more page."""
        seen = self.site.count()
        return until(lambda: self.site.count() > seen, timeout, f"a new page is asked for\n{self.words()}")
