"""What callbacks say reaches the journal line by line, from real workers."""

from __future__ import annotations

import asyncio
import logging

from crawlkit.libs.messages import INFO
from crawlkit.libs.rows import LogLine
from tests.processor.helpers import bench, fetched, script, until

CALLBACKS = """
    def page(self, response):
        print("printed", 1)
        self.logger.warning("logged %d", 2)
        import logging
        logging.error("by the module")
        return {"n": 1}

    def quiet(self, response):
        return {"n": 2}

    def broken(self, response):
        print("so far")
        raise ValueError("no price")

    def talkative(self, response):
        print("x" * 30_000)
        print("the end")

    def hangs(self, response):
        print("never told")
        import time
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""


def test_lines_with_their_level_and_task() -> None:
    said: list[LogLine] = []

    async def scene() -> None:
        async with bench(journal=said.extend) as it:
            version = it.projects.save("one", script(CALLBACKS))
            (outcome,) = await it.run(fetched("one", version, url="http://example.com/1"))
            assert [(line.text, line.level, line.logger.partition(":")[0]) for line in said] == [
                ("printed 1", 20, "print"), ("logged 2", 30, "one"), ("by the module", 40, "root"),
            ]  # fmt: skip
            assert outcome.process is not None
            assert outcome.process.logs is not None
            assert "logged 2" in outcome.process.logs  # the track keeps them as well
            about = {(line.project, line.taskid, line.callback, line.url) for line in said}
            assert about == {("one", outcome.taskid, "page", "http://example.com/1")}
            assert said[0].time <= said[1].time <= said[2].time
            said.clear()
            await it.run(fetched("one", version, "quiet", "http://example.com/2"))
            assert not said

    asyncio.run(scene())


def test_what_failed_says_why() -> None:
    said: list[LogLine] = []

    async def scene() -> None:
        async with bench(journal=said.extend) as it:
            version = it.projects.save("one", script(CALLBACKS))
            await it.run(fetched("one", version, "broken"))
            first, last = said
            assert (first.text, first.level) == ("so far", 20)
            assert last.level == logging.ERROR
            assert last.text.startswith("Traceback")
            assert last.text.endswith("ValueError: no price")
            said.clear()
            await it.run(fetched("two", it.projects.save("two", "this is no Python"), None, kind=INFO))
            assert [line.level for line in said] == [logging.ERROR]
            assert "SyntaxError" in said[0].text

    asyncio.run(scene())


def test_of_a_long_log_the_end_is_kept() -> None:
    said: list[LogLine] = []

    async def scene() -> None:
        async with bench(journal=said.extend) as it:
            version = it.projects.save("one", script(CALLBACKS))
            await it.run(fetched("one", version, "talkative"))
            assert said[0].text == "... (its beginning is gone)"
            assert said[-1].text == "the end"
            assert sum(len(line.text) for line in said) < 11_000

    asyncio.run(scene())


def test_a_worker_that_is_killed_leaves_where_it_was() -> None:
    said: list[LogLine] = []

    async def scene() -> None:
        async with bench(journal=said.extend, process_time_limit=0.5) as it:
            version = it.projects.save("one", script(CALLBACKS))
            await it.run(fetched("one", version, "hangs"))
            await until(lambda: bool(said))
            assert said[-1].level == logging.ERROR
            assert "hangs" in said[-1].text

    asyncio.run(scene())


def test_without_a_journal_nothing_is_sent() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("one", script(CALLBACKS))
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.process is not None
            assert outcome.process.logs

    asyncio.run(scene())
