"""``crawlkit all`` that serves its queues to other hosts, and ``crawlkit node`` as one of these."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crawlkit.cli.reach import reach
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.settings import Settings
from tests import stored
from tests.cli.site import PAGES, Site, crawlkit, lines, script, started, until
from tests.cli.test_nodes import HoldsFirst
from tests.servers import free_port, own_redis

KEY = "a-key-that-nobody-guesses"
QUIET = {"PYTHONUNBUFFERED": "1", "CRAWLKIT_SECRET_KEY": "uIoFyEYSVb2P3ZvuvYFcI0s1EIZyXQnKr9C5Tk0Rr4k="}


@contextlib.contextmanager
def running(folder: Path, *line: str, **env: str) -> Iterator[psutil.Process]:
    """A command that is ready; its words are in said.txt of its folder."""
    folder.mkdir(exist_ok=True)
    said = folder / "said.txt"
    said.unlink(missing_ok=True)
    with started(*line, cwd=folder, env={**QUIET, **env}) as process:
        until(lambda: "ready: " in said.read_text() or process.poll() is not None, "readiness", 40)
        assert process.poll() is None, said.read_text()
        yield psutil.Process(process.pid)


def test_a_node_works_for_a_control_node_that_has_no_workers(site: Site, tmp_path: Path) -> None:
    """Both on one disk here, and the key in the URL of one and in a variable of the other."""
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    port = free_port()
    data = str(tmp_path / "d")
    control = ("--message-queue", f"manager://:{KEY}@127.0.0.1:{port}", "--data-path", data, "all", "--no-webui")
    none = ("--fetcher-num", "0", "--processor-num", "0", "--result-worker-num", "0")
    with running(tmp_path / "control", *control, *none) as top:
        assert "ready: scheduler\n" in (tmp_path / "control" / "said.txt").read_text()
        for child in [top, *top.children(recursive=True)][1:]:
            assert KEY not in " ".join(child.cmdline())
        at = ("--message-queue", f"manager://127.0.0.1:{port}", "--data-path", data)
        with running(tmp_path / "node", *at, "node", CRAWLKIT_QUEUE_KEY=KEY) as node:
            assert "ready: result_worker, processor, fetcher\n" in (tmp_path / "node" / "said.txt").read_text()
            put = ("project", "put", "job.py", "--status", "RUNNING", "--data-path", data)
            assert crawlkit(*put, cwd=tmp_path).returncode == 0
            assert crawlkit("project", "run", "job", "--data-path", data, cwd=tmp_path).returncode == 0
            until(lambda: stored.results(Path(data)) == PAGES + 1, "all results")
            until(lambda: crawlkit("audit", "--data-path", data, cwd=tmp_path).returncode == 0, "balanced books")
            family = [node, *node.children(recursive=True)]
            node.send_signal(signal.SIGTERM)
            assert node.wait(10) == 0
            _, alive = psutil.wait_procs(family, timeout=5)
            assert not alive
    words = (tmp_path / "control" / "said.txt").read_text() + (tmp_path / "node" / "said.txt").read_text()
    assert KEY not in words


def test_a_node_outlives_its_control_node(site: Site, tmp_path: Path) -> None:
    """Killed with everything that was in the queues; the key is made of the secret key that both have."""
    script(tmp_path, f"for n in range(60): self.crawl('{site.base}/page/%d' % n, callback=self.page)")
    data = str(tmp_path / "d")
    at = ("--message-queue", f"manager://127.0.0.1:{free_port()}", "--data-path", data)
    control = (*at, "all", "--no-webui", "--fetcher-num", "0", "--processor-num", "0", "--result-worker-num", "0")
    with contextlib.ExitStack() as stack:
        first = contextlib.ExitStack()
        top = first.enter_context(running(tmp_path / "control", *control))
        stack.enter_context(first)
        node = stack.enter_context(running(tmp_path / "node", *at, "node"))
        workers = {child.pid for child in node.children()}
        put = ("project", "put", "job.py", "--rate", "15", "--status", "RUNNING", "--data-path", data)
        assert crawlkit(*put, cwd=tmp_path).returncode == 0
        assert crawlkit("project", "run", "job", "--data-path", data, cwd=tmp_path).returncode == 0
        until(lambda: len(site.count()) > 15, "some pages")
        top.kill()
        first.close()
        stack.enter_context(running(tmp_path / "control", *control))
        until(lambda: len(site.count()) == 60, "every page", 40)
        until(lambda: stored.results(Path(data)) == 60, "every result")
        until(lambda: crawlkit("audit", "--data-path", data, cwd=tmp_path).returncode == 0, "balanced books")
        assert {child.pid for child in node.children()} == workers
    assert "connected to the queue server" in (tmp_path / "node" / "said.txt").read_text()


def test_a_wrong_key_ends_a_node_with_2_in_one_line(tmp_path: Path) -> None:
    port = free_port()
    control = ("--message-queue", f"manager://:{KEY}@127.0.0.1:{port}", "all", "--no-webui", "--fetcher-num", "0")
    with running(tmp_path / "control", "--data-path", "../d", *control, "--processor-num", "0"):
        env = {"CRAWLKIT_MESSAGE_QUEUE": f"manager://127.0.0.1:{port}", "CRAWLKIT_QUEUE_KEY": f"{KEY}x"}
        for command in ("node", "processor"):
            done = crawlkit("--data-path", "d", command, cwd=tmp_path, env=env)
            assert done.returncode == 2, done.stderr
            last = done.stderr.splitlines()[-1]
            assert f"manager://127.0.0.1:{port}: the key is wrong: give every process the same one" in last
            assert "Traceback" not in done.stderr
            assert KEY not in done.stderr
        done = crawlkit("--data-path", "d", "node", cwd=tmp_path, env={**env, "CRAWLKIT_QUEUE_KEY": "short"})
        assert done.returncode == 2
        assert "its key is too short: it has 5 characters" in done.stderr.splitlines()[-1]
    assert KEY not in (tmp_path / "control" / "said.txt").read_text()


def test_without_a_control_node_a_node_waits_a_while_and_says_so(tmp_path: Path) -> None:
    async def scene() -> None:
        url = f"manager://:{KEY}@127.0.0.1:{free_port()}"
        with pytest.raises(ServiceUnreachable, match="no crawlkit serves queues at manager:"):
            await reach(Settings(message_queue=url), [], queues=True, within=0.7)

    asyncio.run(scene())


def test_a_wrong_password_is_said_at_once(tmp_path: Path) -> None:
    with own_redis(tmp_path, {"requirepass": "right"}) as server:
        url = f"redis://:wrong@127.0.0.1:{server.port}/0"

        async def scene() -> None:
            with pytest.raises(UsageError, match="refuses the password") as caught:
                await reach(Settings(message_queue=url), [], queues=True, within=300)
            assert "wrong" not in str(caught.value)

        asyncio.run(asyncio.wait_for(scene(), 30))


def test_a_node_without_a_database_to_work_with_is_refused(tmp_path: Path) -> None:
    done = crawlkit("--message-queue", f"manager://:{KEY}@127.0.0.1:1", "node", cwd=tmp_path)
    assert done.returncode == 2
    assert "crawlkit: crawlkit node: there is no blobdb in the data path data" in done.stderr
    assert "--database" in done.stderr
    assert not (tmp_path / "data").exists()
    nothing = ("node", "--fetcher-num", "0", "--processor-num", "0", "--result-worker-num", "0")
    done = crawlkit(*nothing, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is nothing to start" in done.stderr


def test_an_address_of_another_host_is_not_served(tmp_path: Path) -> None:
    done = crawlkit("--message-queue", f"manager://:{KEY}@192.0.2.7:7700", "all", cwd=tmp_path)
    assert done.returncode == 2
    assert "the address is of another host: run `crawlkit node` here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(120)
def test_until_done_nodes_end_with_0_when_everything_has_drained(site: Site, tmp_path: Path) -> None:
    """A page that fails for good and a cron do not keep them; a page that is tried again does."""
    script(
        tmp_path,
        f"for n in range(40): self.crawl('{site.base}/page/%d' % n, callback=self.page)\n"
        f"self.crawl('{site.base}/status/404', callback=self.page, retries=0)\n"
        f"self.crawl('{site.base}/once', callback=self.page, retries=3)",
        head="# rate: unlimited\n",
    )
    text = (tmp_path / "job.py").read_text()
    text = text.replace("import time\n", "from crawlkit import every\nimport time\n").replace(
        "    def broken(", "    @every(minutes=24 * 60)\n    def daily(self):\n        pass\n\n    def broken("
    )
    text = text.replace("class Handler(BaseHandler):\n", "class Handler(BaseHandler):\n    retry_delay = {'': 3}\n\n")
    (tmp_path / "job.py").write_text(text)
    data = str(tmp_path / "d")
    at = ("--message-queue", f"manager://127.0.0.1:{free_port()}", "--data-path", data)
    control = (*at, "all", "--no-webui", "--fetcher-num", "0", "--processor-num", "0", "--result-worker-num", "0")
    with running(tmp_path / "control", *control):
        for words in (("put", "job.py", "--status", "RUNNING"), ("run", "job")):
            assert crawlkit("project", *words, "--data-path", data, cwd=tmp_path).returncode == 0
        with contextlib.ExitStack() as stack:
            nodes = []
            for name in ("a", "b"):
                (tmp_path / name).mkdir()
                line = (*at, "node", "--until-done", "--result-worker-num", "1" if name == "a" else "0")
                nodes.append(stack.enter_context(started(*line, cwd=tmp_path / name, env=QUIET)))
            for node in nodes:
                assert node.wait(60) == 0
        done = crawlkit("results", "job", "--data-path", data, cwd=tmp_path)
        assert len(lines(done.stdout)) == 41
        assert site.count()["/once"] == 2
        assert crawlkit("audit", "--data-path", data, cwd=tmp_path).returncode == 0
        for name in ("a", "b"):
            assert "everything has drained: stopping" in (tmp_path / name / "said.txt").read_text()


@pytest.mark.timeout(150)
def test_a_node_killed_as_a_whole_is_dead_within_15_s_and_its_tasks_come_round_again(tmp_path: Path) -> None:
    site = HoldsFirst()
    script(
        tmp_path, f"for n in range(12): self.crawl('{site.base}/page/%d' % n, callback=self.page)",
        head="# rate: unlimited\n",
    )  # fmt: skip
    data = str(tmp_path / "d")
    at = ("--message-queue", f"manager://127.0.0.1:{free_port()}", "--data-path", data)
    none = ("--fetcher-num", "0", "--processor-num", "0", "--result-worker-num", "0")

    def states() -> dict[int, str]:
        found = crawlkit("nodes", "--all", "--json", "--data-path", data, cwd=tmp_path).stdout
        return {one["pid"]: one["state"] for one in lines(found) if one["role"] != "scheduler"}

    with contextlib.ExitStack() as stack:
        stack.callback(site.close)
        stack.enter_context(running(tmp_path / "control", *at, "all", "--no-webui", *none))
        node = stack.enter_context(running(tmp_path / "a", *at, "node"))
        for words in (("put", "job.py", "--status", "RUNNING"), ("run", "job")):
            assert crawlkit("project", *words, "--data-path", data, cwd=tmp_path).returncode == 0
        until(lambda: stored.results(Path(data)) == 11, "all but the page that hangs", 40)
        until(lambda: list(states().values()) == ["alive"] * 3, "three of the node")
        family = [node, *node.children(recursive=True)]
        stack.enter_context(running(tmp_path / "b", *at, "node"))
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        killed = time.monotonic()
        pids = {one.pid for one in family}
        until(lambda: sum(not row.alive for row in stored.nodes(Path(data)) if row.pid in pids) == 3, "their death", 15)
        assert time.monotonic() - killed < 15
        assert [state for pid, state in states().items() if pid in pids] == ["dead"] * 3
        until(lambda: stored.results(Path(data)) == 12, "the page by the other node", 15)
        assert site.count()["/page/7"] == 2
        assert crawlkit("audit", "--data-path", data, cwd=tmp_path).returncode == 0
