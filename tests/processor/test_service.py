"""ProcessorService with real worker processes and in-memory queues."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence

import msgspec
import psutil
import pytest

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.libs.messages import (
    INFO,
    FetchedHead,
    Outcome,
    ProjectInfo,
    decode,
    decode_status,
    encode,
    status_queue_name,
)
from crawlkit.message_queue import outbox
from crawlkit.processor.settings import ProcessorSettings
from tests.processor.helpers import Bench, bench, fetched, script, until


def test_a_page_becomes_a_result_and_follow_ups() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save(
                "one",
                script(
                    """
                    def page(self, response):
                        self.crawl("http://example.com/next", callback=self.page)
                        return {"title": response.doc("title").text()}
                    """
                ),
            )
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.ok
            assert outcome.results == ['{"title":"t"}']
            assert len(outcome.follows) == 1
            assert outcome.part == 0
            assert it.ways["http://example.com/"] == {"processor2result"}

    asyncio.run(scene())


def test_outcomes_without_results_go_straight_to_the_scheduler() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("one", script("def page(self, response):\n    pass"))
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.ok
            assert it.ways["http://example.com/"] == {"status_queue"}
            await until(lambda: it.inqueue.size_now().unacked == 0)

    asyncio.run(scene())


def test_parts_of_an_attempt_take_the_same_way_in_order() -> None:
    async def scene() -> None:
        async with bench() as it:
            body = """
            def page(self, response):
                for i in range(3500):
                    self.crawl("http://example.com/%d" % i, callback=self.page)
                    if i == 1500:
                        yield {"i": i}
            """
            version = it.projects.save("one", script(body))
            message = fetched("one", version)
            await it.run(message)
            parts = it.outcome(message)
            assert parts is not None
            assert sum(len(part.follows) for part in parts) == 3500
            assert it.ways["http://example.com/"] == {"processor2result"}
            assert [part.part for part in parts] == list(range(len(parts)))

    asyncio.run(scene())


def test_a_killed_callback_keeps_the_parts_it_sent() -> None:
    async def scene() -> None:
        async with bench() as it:
            body = """
            def page(self, response):
                for i in range(2500):
                    self.crawl("http://example.com/%d" % i, callback=self.page)
                import os
                os._exit(5)
            """
            version = it.projects.save("one", script(body))
            message = fetched("one", version)
            (last,) = await it.run(message)
            parts = it.outcome(message)
            assert parts is not None
            assert [part.part for part in parts] == [0, 1, 2]
            assert sum(len(part.follows) for part in parts) == 2000
            assert last.process is not None
            assert not last.ok
            assert last.process.reason == "worker_died"
            assert "exit code 5" in (last.process.exception or "")

    asyncio.run(scene())


def test_only_the_running_task_is_charged() -> None:
    async def scene() -> None:
        async with bench(per_project=1) as it:
            body = """
            def page(self, response):
                import os
                if response.url.endswith("/7"):
                    os._exit(1)
                return {"url": response.url}
            """
            version = it.projects.save("one", script(body))
            messages = [fetched("one", version, url=f"http://example.com/{i}") for i in range(20)]
            outcomes = await it.run(*messages)
            assert [outcome.ok for outcome in outcomes] == [i != 7 for i in range(20)]
            assert all(len(it.outcome(message) or ()) == 1 for message in messages)

    asyncio.run(scene())


def test_a_changed_script_is_loaded_anew() -> None:
    async def scene() -> None:
        async with bench() as it:
            for i in range(12):
                version = it.projects.save("one", script(f"def page(self, response):\n    return {{'i': {i}}}"))
                (outcome,) = await it.run(fetched("one", version, attempt=i + 1))
                assert outcome.results == [f'{{"i":{i}}}']

    asyncio.run(scene())


def test_a_script_that_does_not_load_says_its_line() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("one", "x = 1\ny = (\n")
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.process is not None
            assert outcome.process.reason == "script_error"
            assert "line 2" in (outcome.process.exception or "")
            (answer,) = await it.run(fetched("one", version, "_on_get_info", "data:,_on_get_info", kind=INFO))
            info = msgspec.msgpack.decode(answer.info, type=ProjectInfo)
            assert "line 2" in (info.error or "")
            # an endless top level is stopped like an endless callback
            version = it.projects.save("two", "while True: pass\n")
            (outcome,) = await it.run(fetched("two", version, time_limit=0.3))
            assert outcome.process is not None
            assert outcome.process.reason == "time_limit"

    asyncio.run(scene())


def test_info_is_asked_of_the_handler() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("one", script("retry_delay = {0: 5}\ndef on_start(self):\n    pass"))
            (answer,) = await it.run(fetched("one", version, "_on_get_info", "data:,_on_get_info", kind=INFO))
            info = msgspec.msgpack.decode(answer.info, type=ProjectInfo)
            assert info.error is None
            assert info.has_on_start
            assert info.retry_delay == {"0": 5}

    asyncio.run(scene())


def test_an_unknown_project_or_version_is_said() -> None:
    async def scene() -> None:
        async with bench() as it:
            it.projects.save("one", script("def page(self, response):\n    pass"))
            outcomes = await it.run(fetched("none", "0" * 32), fetched("one", "1" * 32))
            assert [outcome.process.reason for outcome in outcomes if outcome.process] == ["no_project"] * 2

    asyncio.run(scene())


def test_a_message_nobody_can_read_is_put_aside() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("one", script("def page(self, response):\n    return 1"))
            good = encode(fetched("one", version))
            other = encode(fetched("one", version, url="http://example.com/other"))
            head_only = encode(FetchedHead(decode(other, FetchedHead).task))
            await it.inqueue.put_many([b"", b"\x01rubbish", b"\x63" + good[1:], head_only, good])
            await until(lambda: it.ended and it.inqueue.size_now().messages == 0)
            dead = await it.inqueue.dead()
            assert len(dead) == 4
            assert all(letter.reason for letter in dead)
            assert len(it.ended) == 1

    asyncio.run(scene())


def test_a_script_may_import_another_project() -> None:
    async def scene() -> None:
        async with bench() as it:
            it.projects.save("tools", "def double(x):\n    return 2 * x\n")
            body = "def page(self, response):\n    return {'n': double(21)}"
            version = it.projects.save("one", script(body, "from projects.tools import double\n"))
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.results == ['{"n":42}']
            version = it.projects.save("two", script(body, "from projects.nothing import double\n"))
            (outcome,) = await it.run(fetched("two", version))
            assert outcome.process is not None
            assert outcome.process.reason == "script_error"

    asyncio.run(scene())


class Blobs:
    """A blob store of one dict."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {}

    def read(self, blob: str) -> Iterator[bytes]:
        return iter(self.bodies[blob])

    def remove(self, blobs: Sequence[str]) -> None:
        for blob in blobs:
            self.bodies.pop(blob, None)


THIEF = """
    import gc
    from crawlkit.processor.worker_process import Worker
    worker = next(found for found in gc.get_objects() if isinstance(found, Worker))
    return [worker._ask(what, "theirs") for what in ("blob", "record")]
"""


def test_a_callback_reads_and_removes_no_body_of_another_task(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        blobs = Blobs()
        blobs.bodies.update(mine=[b"mine"], theirs=[b"secret"])
        async with bench(blobs) as it:
            version = it.projects.save("p", script("def page(self, response):" + THIEF))
            for own in (None, "mine"):
                (outcome,) = await it.run(fetched("p", version, content=b"", blob=own))
                assert outcome.ok, outcome.process
                assert outcome.results == ["[null,null]"]
            await until(lambda: "mine" not in blobs.bodies)
            assert blobs.bodies["theirs"] == [b"secret"]

    asyncio.run(scene())
    assert "project p: a callback asked for the body of another task" in caplog.text


def test_a_large_body_comes_from_the_blob_store_and_goes_with_the_task() -> None:
    async def scene() -> None:
        blobs = Blobs()
        blobs.bodies["b1"] = [b"x" * 2**20] * 20 + [b"y"]
        async with bench(blobs=blobs) as it:
            version = it.projects.save("one", script("def page(self, response):\n    return len(response.content)"))
            (outcome,) = await it.run(fetched("one", version, blob="b1", content=b""))
            assert outcome.results == [str(20 * 2**20 + 1)]
            await until(lambda: not blobs.bodies)
            (outcome,) = await it.run(fetched("one", version, blob="b2", content=b"", attempt=2))
            assert outcome.process is not None
            assert outcome.process.reason == "body_lost"

    asyncio.run(scene())


def test_what_comes_again_while_it_is_acknowledged_is_acknowledged_too() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("one", script("def page(self, response):\n    return 1"))
            ack, going, go = it.inqueue.ack, asyncio.Event(), asyncio.Event()

            async def slow(ids: Sequence[int]) -> None:
                going.set()
                await go.wait()
                await ack(ids)

            it.inqueue.ack = slow  # type: ignore[method-assign]
            message = fetched("one", version)
            await it.put(message)
            await going.wait()
            await it.put(message)
            await until(lambda: len(it.ended) == 2)
            go.set()
            await until(lambda: not it.inqueue.size_now().messages)

    asyncio.run(scene())


def test_a_body_stays_as_long_as_its_message_may_come_again() -> None:
    async def scene() -> None:
        blobs = Blobs()
        blobs.bodies["b1"] = [b"x" * 100]
        async with bench(blobs=blobs) as it:
            version = it.projects.save("one", script("def page(self, response):\n    return len(response.content)"))
            ack, refusals = it.inqueue.ack, [1]

            async def refuses(ids: Sequence[int]) -> None:
                if refusals:
                    refusals.pop()
                    await it.inqueue.nack(ids)
                    raise QueueUnavailable("away")
                await ack(ids)

            it.inqueue.ack = refuses  # type: ignore[method-assign]
            await it.put(fetched("one", version, blob="b1", content=b""))
            await until(lambda: len(it.ended) == 2)
            (parts,) = it.parts.values()
            assert [part.results for part in parts] == [["100"], ["100"]]
            await until(lambda: not blobs.bodies)

    asyncio.run(scene())


def test_a_slow_callback_runs_once_and_is_in_every_heartbeat() -> None:
    async def scene() -> None:
        async with bench(heartbeat=0.1) as it:
            body = "def page(self, response):\n    import time\n    time.sleep(1.5)\n    return {'n': 1}"
            version = it.projects.save("one", script(body))
            message = fetched("one", version)
            await it.put(message)
            await until(lambda: any(beat.held for beat in it.heartbeats))
            await it.put(message)  # the queue delivers it again, as after a lost connection
            await until(lambda: it.outcome(message))
            seen = [beat for beat in it.heartbeats if beat.held]
            assert len(seen) > 8
            assert seen[0].held == [("one", message.task.taskid, 1, 1)]
            assert seen[0].role == "processor"
            await until(lambda: it.heartbeats[-1].held == [] and it.inqueue.size_now().unacked == 0)
            assert len(it.ended) == 1

    asyncio.run(scene())


def test_a_stop_gives_back_what_does_not_run() -> None:
    async def scene() -> None:
        async with bench(per_project=1) as it:
            body = "def page(self, response):\n    import time\n    time.sleep(0.5)\n    return {'n': 1}"
            version = it.projects.save("one", script(body))
            messages = [fetched("one", version, url=f"http://example.com/{i}") for i in range(10)]
            await it.put(*messages)
            await until(lambda: it.ended)
            began = time.monotonic()
            await it.service.stop()
            assert time.monotonic() - began < 2
            await until(lambda: it.heartbeats and it.heartbeats[-1].stopping)
            size = it.inqueue.size_now()
            assert size.unacked == 0
            assert size.messages + len(it.ended) == 10
            assert 1 <= len(it.ended) <= 3  # the second one may not have begun
            assert not psutil.Process().children()

    asyncio.run(scene())


def test_full_queues_ahead_stop_callbacks_and_their_clock() -> None:
    async def scene() -> None:
        async with bench(read=False, out_messages=5, out_bytes=2**20, process_time_limit=1.2) as it:
            body = """
            def page(self, response):
                for i in range(30000):
                    self.crawl("http://example.com/%d?%s" % (i, "x" * 100), callback=self.page)
            """
            version = it.projects.save("one", script(body))
            message = fetched("one", version)
            await it.put(message)
            worker = await _blocked_worker(it)
            await asyncio.sleep(1.5)  # longer than the callback may run: blocked time is not its own
            assert psutil.pid_exists(worker)
            it.read()
            await until(lambda: it.outcome(message))
            parts = it.outcome(message)
            assert parts is not None
            assert parts[-1].ok, parts[-1].process
            assert sum(len(part.follows) for part in parts) == 30000

    asyncio.run(scene())


async def _blocked_worker(it: Bench) -> int:
    """The only worker's pid, once it sleeps in its emit."""
    await until(lambda: len(it.service.pids()) == 2)
    worker = it.service.pids()[1]
    process = psutil.Process(worker)
    before = -1.0
    while (now := sum(process.cpu_times()[:2])) != before or not now:
        before = now
        await asyncio.sleep(0.3)
    return worker


def test_tasks_behind_a_slow_callback_go_to_another_worker() -> None:
    async def scene() -> None:
        async with bench(per_project=2) as it:
            body = """
            def page(self, response):
                import time
                if response.url.endswith("/300"):
                    time.sleep(3)
                return {"url": response.url}
            """
            version = it.projects.save("one", script(body))
            messages = [fetched("one", version, url=f"http://example.com/{i}") for i in range(500)]
            began = time.monotonic()
            await it.put(*messages)
            await until(lambda: len(it.ended) == 499)
            assert time.monotonic() - began < 2.5
            await until(lambda: len(it.ended) == 500)
            assert all(len(parts) == 1 for parts in it.parts.values())  # none ran twice
            assert it.inqueue.size_now().messages == 0

    asyncio.run(scene())


def test_an_imported_project_that_changes_is_loaded_anew() -> None:
    async def scene() -> None:
        async with bench(heartbeat=0.1) as it:
            it.projects.save("tools", "N = 1\n")
            body = "def page(self, response):\n    return {'n': tools.N}"
            version = it.projects.save("one", script(body, "from projects import tools\n"))
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.results == ['{"n":1}'], outcome.process
            it.projects.save("tools", "N = 2\n")
            worker = it.service.pids()[1]
            await until(lambda: worker not in it.service.pids())
            (outcome,) = await it.run(fetched("one", version, attempt=2))
            assert outcome.results == ['{"n":2}']

    asyncio.run(scene())


def test_a_thread_left_by_every_task_charges_none() -> None:
    async def scene() -> None:
        async with bench(per_project=1) as it:
            body = """
            def page(self, response):
                if int(response.url[19:]) > 20:
                    threading.Thread(target=time.sleep, args=(60,)).start()
                return {"url": response.url}
            """
            version = it.projects.save("one", script(body, "import threading, time\n"))
            outcomes = await it.run(*[fetched("one", version, url=f"http://example.com/{i}") for i in range(60)])
            assert all(outcome.ok for outcome in outcomes)

    asyncio.run(scene())


def test_a_killed_callback_says_where_it_was() -> None:
    async def scene() -> None:
        async with bench(process_time_limit=0.3, kill_after=0.4) as it:
            body = """
            def page(self, response):
                sum(range(10 ** 15))
            def crash(self, response):
                import ctypes
                ctypes.string_at(0)
            """
            version = it.projects.save("one", script(body))
            looped, crashed = await it.run(fetched("one", version), fetched("one", version, "crash", "http://e.com/2"))
            assert looped.process is not None
            assert 'File "one.py", line 7 in page' in (looped.process.logs or "")
            assert crashed.process is not None
            assert 'File "one.py", line 10 in crash' in (crashed.process.logs or "")
            assert "crawlkit" not in (crashed.process.logs or "")

    asyncio.run(scene())


def test_a_slow_callback_is_made_nicer_and_only_it() -> None:
    async def scene() -> None:
        async with bench(nice_after=0.3, per_project=1) as it:
            body = """
            def page(self, response):
                import os, time
                before = os.nice(0)
                time.sleep(1 if response.url.endswith("/slow") else 0)
                return [before, os.nice(0), os.getpid()]
            """
            version = it.projects.save("one", script(body))
            messages = [fetched("one", version, url=f"http://example.com/{name}") for name in ("a", "slow", "b")]
            results = [(await it.run(message))[0].results[0] for message in messages]
            (before, after, pid), (quick, _, same) = (msgspec.json.decode(result) for result in results[1:])
            assert (before, after, quick) == (0, 10, 0)
            assert pid == same or os.geteuid()  # who may not undo it gets a new worker

    asyncio.run(scene())


GOOD = script("def page(self, response):\n    return {'n': 1}")
SCRIPTS = {
    "a NUL": (GOOD + "\0", "script_error"),
    "a lone surrogate": (GOOD + "# \ud800", "script_error"),
    "tabs": (GOOD.replace("    ", "\t"), None),
    "mixed tabs": (GOOD + "\tdef b(self):\n        pass\n", "script_error"),
    "one megabyte": (GOOD + "# " + "x" * 2**20, None),
    "ten megabytes": (GOOD + "# " + "x" * (10 * 2**20), "script_error"),
    "no handler": ("x = 1\n", "script_error"),
    "an exit": ("raise SystemExit(3)\n", "script_error"),
    "an unknown module": ("import no_such_module\n", "script_error"),
}


def test_odd_scripts_load_or_say_why() -> None:
    async def scene() -> None:
        async with bench() as it:
            messages = [
                fetched(f"p{i}", it.projects.save(f"p{i}", text)) for i, (text, _) in enumerate(SCRIPTS.values())
            ]
            messages.append(fetched("json", it.projects.save("json", "import json\njson.dumps(1)\n" + GOOD)))
            reasons = [outcome.process.reason for outcome in await it.run(*messages) if outcome.process]
            assert dict(zip(SCRIPTS, reasons[:-1], strict=True)) == {name: why for name, (_, why) in SCRIPTS.items()}
            assert reasons[-1] is None

    asyncio.run(scene())


def test_what_a_script_sets_at_its_top_level_stays_for_its_project() -> None:
    async def scene() -> None:
        async with bench(per_project=1) as it:
            before = (
                "import os, socket, threading, time\nsocket.setdefaulttimeout(9)\nos.environ['MINE'] = '1'\n"
                "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
            )
            body = "def page(self, response):\n    return [os.getpid(), os.environ['MINE'], socket.getdefaulttimeout()]"
            version = it.projects.save("one", script(body, before))
            other = it.projects.save(
                "two", script("def page(self, response):\n    import os\n    return dict(os.environ)")
            )
            found = set()
            for i in range(5):
                (outcome,) = await it.run(fetched("one", version, attempt=i + 1))
                found.add(outcome.results[0])
            assert len(found) == 1, found  # one worker did them all
            (outcome,) = await it.run(fetched("two", other))
            assert "MINE" not in outcome.results[0]

    asyncio.run(scene())


def test_a_stop_before_the_start_is_no_trap() -> None:
    async def scene() -> None:
        it = Bench(ProcessorSettings())
        await asyncio.wait_for(it.service.stop(), 1)
        await asyncio.wait_for(it.service.run(), 20)
        assert not psutil.Process().children()

    asyncio.run(scene())


def test_a_partition_that_nobody_reads_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "STUCK", 0.2)

    async def scene() -> None:
        async with bench(out_messages=5, out_bytes=2_000, workers=1, heartbeat=60) as it:
            version = it.projects.save("one", script("def page(self, response):\n    pass\n"))
            unread = [fetched("one", version, url=f"http://b.com/{n}", partition=7) for n in range(60)]
            await it.put(*unread[:30])
            await until(lambda: it.service._to_status.blocked(7))
            await it.put(*unread[30:])
            read = [fetched("one", version, url=f"http://a.com/{n}") for n in range(30)]
            outcomes = await it.run(*read)
            assert {outcome.partition for outcome in outcomes} == {0}
            assert it.service._set_aside[7]
            queue = it.broker.queue(status_queue_name(7))
            urls: list[str] = []
            while len(urls) < 60:
                for delivery in await queue.get_many(10, 10):
                    message = decode_status(delivery.body)
                    await queue.ack([delivery.id])
                    if isinstance(message, Outcome):
                        assert message.partition == 7
                        urls.append(message.url)
            assert sorted(urls) == sorted(message.task.url for message in unread)
            await until(lambda: not it.service._held)
            assert it.inqueue.size_now().messages == 0

    asyncio.run(scene())
