"""Who dies with whom, what is started again, and that nothing is left behind (R-50)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.processor.helpers import bench, fetched, script, until

ROOT = Path(__file__).parents[2]
COUNT = "def page(self, response):\n    return {'url': response.url}"


def test_a_killed_zygote_is_started_again_and_nothing_is_lost() -> None:
    async def scene() -> None:
        async with bench() as it:
            body = "def page(self, response):\n    import time\n    time.sleep(0.01)\n    return {'url': response.url}"
            version = it.projects.save("one", script(body))
            messages = [fetched("one", version, url=f"http://example.com/{i}") for i in range(200)]
            await it.put(*messages)
            await until(lambda: len(it.ended) >= 20)
            old = it.service.pids()
            os.kill(old[0], signal.SIGKILL)
            await until(lambda: all(it.outcome(message) for message in messages))
            assert all((it.outcome(message) or [])[-1].ok for message in messages)
            assert len(it.ended) == 200
            assert not set(old) & set(it.service.pids())
            await until(lambda: not any(psutil.pid_exists(pid) for pid in old))

    asyncio.run(scene())


def test_a_killed_worker_costs_one_task() -> None:
    async def scene() -> None:
        async with bench(per_project=1) as it:
            body = "def page(self, response):\n    import time\n    time.sleep(0.02)\n    return {'url': response.url}"
            version = it.projects.save("one", script(body))
            messages = [fetched("one", version, url=f"http://example.com/{i}") for i in range(60)]
            await it.put(*messages)
            await until(lambda: len(it.ended) >= 10)
            os.kill(it.service.pids()[1], signal.SIGKILL)
            await until(lambda: all(it.outcome(message) for message in messages))
            failed = [parts[-1] for parts in it.parts.values() if not parts[-1].ok]
            assert len(failed) <= 1
            for outcome in failed:
                assert outcome.process is not None
                assert outcome.process.reason == "worker_died"
                assert "killed by signal 9 (SIGKILL)" in (outcome.process.exception or "")

    asyncio.run(scene())


LONELY = """
import asyncio, sys
from tests.processor.helpers import bench, fetched, script
BODY = '''
def page(self, response):
    if not os.fork():
        os.setsid()
        while True: pass
    open(response.url[7:], "w").close()
    while True: pass
'''
async def main():
    async with bench() as it:
        version = it.projects.save("one", script(BODY, "import os\\n"))
        await it.put(*[fetched("one", version, url=f"http://{sys.argv[1]}/{i}", time_limit=60) for i in range(2)])
        await asyncio.sleep(60)
asyncio.run(main())
"""


def test_nothing_outlives_a_killed_service(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LONELY, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as service:
        deadline = time.monotonic() + 20
        while not os.listdir(tmp_path):
            assert time.monotonic() < deadline
            assert service.poll() is None
            time.sleep(0.05)
        family = psutil.Process(service.pid).children(recursive=True)
        assert len(family) >= 3  # zygote, worker, the worker's child
        service.kill()
        service.wait()
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive


def test_nothing_is_left_after_many_tasks() -> None:
    others = set(psutil.Process().children(recursive=True))  # which other tests left

    async def scene() -> None:
        async with bench(worker_tasks=20) as it:
            me = psutil.Process()
            bodies = {
                "good": COUNT,
                "dies": "def page(self, response):\n    import os\n    os._exit(1)",
                "leaks": "def page(self, response):\n    import os\n    os.fork()\n    os.dup(0)\n    return {'n': 1}",
                "raises": "def page(self, response):\n    1 / 0",
            }
            versions = {name: it.projects.save(name, script(body)) for name, body in bodies.items()}

            async def batch(first: int) -> None:
                messages = [
                    fetched(name, version, url=f"http://{name}.example/{first + i}")
                    for i in range(25)
                    for name, version in versions.items()
                ]
                await it.run(*messages)

            await batch(0)
            before = me.num_fds()
            await batch(100)
            await batch(200)
            # at most the workers of the moment differ: one socket and no more for each
            await until(lambda: me.num_fds() <= before + 4)
            await until(lambda: len(set(me.children(recursive=True)) - others) <= 5)

    before = psutil.Process().num_fds()
    asyncio.run(scene())
    assert psutil.Process().num_fds() <= before
    assert set(psutil.Process().children()) <= others


def test_workers_know_no_secrets() -> None:
    async def scene() -> None:
        async with bench(environment={"ASKED": "for"}) as it:
            body = """
            def page(self, response):
                import os
                parent = open("/proc/%d/environ" % os.getppid()).read() if os.path.exists("/proc/self") else ""
                return {"mine": dict(os.environ), "parent": parent, "in": os.read(0, 10).decode()}
            """
            version = it.projects.save("one", script(body))
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.ok, outcome.process
            assert "s3cret" not in outcome.results[0]
            assert '"ASKED":"for"' in outcome.results[0]
            assert '"in":""' in outcome.results[0]

    os.environ["CRAWLKIT_TASKDB"] = "postgresql://u:s3cret@h/d"
    try:
        asyncio.run(scene())
    finally:
        del os.environ["CRAWLKIT_TASKDB"]


def test_workers_are_replaced_and_projects_take_turns() -> None:
    async def scene() -> None:
        async with bench(workers=2, per_project=2, worker_tasks=10) as it:
            versions = {f"p{i}": it.projects.save(f"p{i}", script(COUNT)) for i in range(7)}
            messages = [
                fetched(name, version, url=f"http://{name}.example/{i}")
                for i in range(20)
                for name, version in versions.items()
            ]
            outcomes = await it.run(*messages)
            assert all(outcome.ok for outcome in outcomes)
            assert len(it.service.pids()) <= 4

    asyncio.run(scene())


CHAOS = """
def page(self, response):
    import time
    n = int(response.url.rsplit("/", 1)[1])
    if n % 10 == 0:
        time.sleep(0.05)
    if n % 25 == 0:
        for i in range(2200):
            self.crawl("http://example.com/%d/%d" % (n, i), callback=self.page)
    if n % 3 == 0:
        yield {"n": n}
"""


def test_random_kills_end_every_attempt_exactly_once() -> None:
    chance = random.Random(5)

    async def scene() -> None:
        async with bench(out_messages=50, worker_tasks=100) as it:
            projects = [(name, it.projects.save(name, script(CHAOS))) for name in ("a", "b", "c")]
            messages = [
                fetched(name, version, url=f"http://{name}/{n}", content=b"x" * chance.choice([10, 5000, 200_000]))
                for n in range(120)
                for name, version in projects
            ]
            await it.put(*messages)
            kills = 0
            while len(it.ended) < len(messages) - 60:
                await asyncio.sleep(0.05 + chance.random() * 0.2)
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(chance.choice(it.service.pids()), signal.SIGKILL)
                    kills += 1
            await until(lambda: len(it.ended) >= len(messages), within=30)
            assert sorted(url for _, url, _ in it.ended) == sorted(message.url for message in messages)
            for parts in it.parts.values():
                assert [part.part for part in parts] == list(range(len(parts)))
            died = [parts[-1] for parts in it.parts.values() if not parts[-1].ok]
            assert len(died) <= 2 * kills  # a zygote's death takes those that had sent a part already
            assert it.inqueue.size_now().messages == 0

    asyncio.run(scene())
