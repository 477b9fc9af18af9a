"""``crawlkit all`` on stores and queues that a test has its hand in, a small shop to crawl, and the judge."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crawlkit.proving.serving import serving
from crawlkit.proving.shop import PROJECT, shop_script
from crawlkit.proving.site import Page, write_site
from crawlkit.proving.truth import wrong
from tests.e2e.commands import ROOT, Crawl, environment, is_over, run, until
from tests.plugins import install
from tests.servers import free_port, fresh_amqp, fresh_database, redis_space

LARGE = 3  # of the pages have a body that does not travel in messages
WITHIN = 60.0  # seconds for a crawl, its restarts included
QUEUES = {"redis": redis_space, "amqp": fresh_amqp}
FILES = {"taskdb": "task", "projectdb": "project", "resultdb": "result", "logdb": "log"}


class Shop(NamedTuple):
    """A site that is served."""

    base: str
    truth: dict[str, Page]


class Between(NamedTuple):
    """A module of this package that stands between crawlkit and its backends, as one that is installed."""

    scheme: str  # of its URLs
    module: str
    variable: str  # tells its processes which folder is theirs
    kinds: tuple[str, ...]  # of stores


CUTTING = Between("cut", "cutting", "CUT", ("taskdb", "resultdb", "blobdb"))
LYING = Between("lying", "lying", "LYING", ("taskdb", "projectdb", "accountdb", "resultdb", "blobdb", "logdb"))


class Backends(NamedTuple):
    """Where a crawl keeps its state; URLs as a user would give them."""

    queues: str  # "": a socket of crawlkit's own
    database: str  # "": files


@contextlib.contextmanager
def shop(folder: Path, pages: int) -> Iterator[Shop]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    truth = write_site(folder, pages, base)
    for number in range(1, LARGE + 1):
        with (folder / "p" / f"{number}.html").open("a") as page:
            page.write(f"<!-- {'-' * 1_200_000} -->")
    with serving(folder, port):
        yield Shop(base, truth)


@contextlib.contextmanager
def ring(pair: str, site: Shop, folder: Path, between: Between) -> Iterator[Ring]:
    """One on queues and a database, as ``redis+postgres``, that are its own."""
    queues, database = pair.split("+")
    with contextlib.ExitStack() as stack:
        urls = Backends(
            stack.enter_context(QUEUES[queues]()) if queues in QUEUES else "",
            "" if database == "sqlite" else stack.enter_context(fresh_database(database)),
        )
        made = Ring(folder, site, urls, between)
        stack.callback(made.close)
        yield made


class Ring:
    """A running ``crawlkit all``. Each crawl is a project of its own."""

    def __init__(self, folder: Path, site: Shop, backends: Backends, between: Between) -> None:
        self.folder, self.site = folder, site
        self._crawls = 0
        self.hand = folder / "hand"
        self.hand.mkdir()
        data = folder / "d"
        data.mkdir()
        names = {kind: f"CRAWLKIT_{kind.upper()}" for kind in between.kinds if kind in FILES}
        stores = {kind: backends.database or f"sqlite+{kind}:///{data}/{FILES[kind]}.db" for kind in names}
        self.queues = backends.queues or f"local://{data}"
        plain = environment(site.base, {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"})
        self.env = plain | {names[kind]: _typed(url, kind) for kind, url in stores.items()}
        if backends.database:
            self.env["CRAWLKIT_DATABASE"] = backends.database
        put = {name: f"{between.scheme}+{kind}://{self.env[name]}" for kind, name in names.items()}
        site_packages = plugin(folder / "plugin", between)
        under = {"PYTHONPATH": f"{site_packages}:{ROOT}", between.variable: str(self.hand)}
        self._server = None if backends.queues else _queue_server(data)
        put["CRAWLKIT_MESSAGE_QUEUE"] = f"{between.scheme}://{self.queues}"
        self.crawl = Crawl(["--data-path", "d", "all", "--no-webui"], folder, self.env | put | under)
        until(lambda: "ready:" in self.crawl.said or self.crawl.process.poll() is not None, 60, "everything runs")
        assert self.crawl.process.poll() is None, self.crawl.said

    def close(self) -> None:
        self.crawl.__exit__()
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(10)

    def say(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run(["--data-path", "d", *command], self.folder, self.env)

    def points(self) -> Counter[str]:
        """How often each point is passed in a crawl that nobody cuts."""
        trace = self.hand / "trace"
        trace.touch()
        self.whole()
        found = Counter(trace.read_text().splitlines())
        trace.unlink()
        return found

    def cut(self, point: str, nth: int, *, after: bool) -> bool:
        """Crawls the site with one cut. Whether it came to that point; fails when anything is lost or doubled."""
        done, order = self.hand / "done", self.hand / "order"
        done.unlink(missing_ok=True)
        order.with_suffix(".new").write_text(json.dumps({"point": point, "nth": nth, "after": after}))
        order.with_suffix(".new").replace(order)
        try:
            self.whole()
        except AssertionError as error:
            raise AssertionError(f"cut {'after' if after else 'before'} {point}, {nth}: {error}") from None
        return done.exists()

    def whole(self) -> None:
        """One crawl from its start to its end, and the judge."""
        self._crawls += 1
        name = f"{PROJECT}{self._crawls}"
        script = self.folder / f"{name}.py"
        script.write_text(shop_script(f"{self.site.base}/p/0.html"))
        put = self.say("project", "put", script.name, "--rate", "unlimited", "--status", "RUNNING")
        assert put.returncode == 0, put.stderr
        until(lambda: self.say("project", "run", name).returncode == 0, WITHIN, "the order to start is taken")
        out: dict[str, Any] = {}

        def balanced() -> bool:
            out["audit"] = self.say("audit", name, "--json")
            over = out["audit"].returncode == 0 and is_over(out["audit"].stdout)
            return over and len(self._results(name)) >= len(self.site.truth)

        try:
            until(balanced, WITHIN, "every page has a result and the books balance")
        except AssertionError as error:
            missing = wrong(self._results(name), self.site.truth)
            said = self.crawl.said[-3000:]
            raise AssertionError(
                f"{error}; {missing[:5]}; {out['audit'].stdout}{out['audit'].stderr}\n{said}"
            ) from None
        assert not wrong(self._results(name), self.site.truth)

    def _results(self, name: str) -> list[tuple[str, Mapping[str, Any]]]:
        done = self.say("results", name)
        assert done.returncode == 0, done.stderr
        return [(line["url"], line["result"]) for line in map(json.loads, done.stdout.splitlines())]


def plugin(folder: Path, between: Between) -> Path:
    """Its package, as if it were installed."""
    groups = [("message_queues", "queues"), *((f"{kind}s", kind) for kind in between.kinds)]
    for number, (group, what) in enumerate(groups):
        install(folder, f"{between.module}-{number}", f"crawlkit.{group}", {between.scheme: f"{between.module}:{what}"})
    shutil.copy(Path(__file__).parent / f"{between.module}.py", folder)
    return folder


def _typed(url: str, kind: str) -> str:
    """A URL that says which store it is: it is how the one of large bodies is found from that of tasks."""
    scheme, _, rest = url.partition("://")
    return url if scheme.endswith(kind) else f"{scheme}+{kind}://{rest}"


def _queue_server(folder: Path) -> subprocess.Popen[bytes]:
    """Queues that live on when a component dies, as those of ``crawlkit all`` do."""
    text = (
        "import asyncio, sys\n"
        "from crawlkit.message_queue.server import LocalServer\n"
        "async def serve():\n"
        "    server = LocalServer(sys.argv[1])\n"
        "    await server.start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(serve())\n"
    )
    server = subprocess.Popen([sys.executable, "-c", text, str(folder)], cwd=ROOT, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return server
