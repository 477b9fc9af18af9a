"""Callbacks that await self.fetch: parked, run again with what was answered, and what they may not do."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec
import pytest

from crawlkit.libs.clock import ManualClock
from crawlkit.libs.messages import (
    AWAIT,
    NIL,
    RESUME,
    TASK,
    Dispatch,
    Fetched,
    Outcome,
    decode_status,
    encode,
    pack,
)
from crawlkit.libs.task import Fetch, Schedule, Task
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.runner import Runner, RunnerSettings

URL = "http://a.com/dir/"
HEAD = "from crawlkit import *\nimport asyncio\nclass Handler(BaseHandler):\n"
decode_task = msgspec.msgpack.Decoder(Task).decode


class Play:
    """One task whose awaits are answered by ``site(task)``: its status, or ``None`` when nothing comes of it."""

    def __init__(self, body: str, site: Any = None, before: str = "", save: Any = None) -> None:
        project = load_project("shop", before + HEAD + textwrap.indent(textwrap.dedent(body), "    "))
        self.runner = Runner(project, node="n1", settings=RunnerSettings(), clock=ManualClock())
        self.site = site or (lambda task: 200)
        self.recorded: dict[int, Fetched | None] = {}
        self.rounds: list[list[str]] = []
        self.asked: dict[int, Task] = {}
        self.dispatch = Dispatch(
            "shop", "t1", 3, 1, URL, "v", "page", 30, TASK, Schedule(priority=1), Fetch(save="given"),
            NIL if save is None else pack(save), 0, "group",
        )  # fmt: skip
        self.fetched = Fetched(
            self.dispatch,
            200,
            URL,
            URL,
            [("Content-Type", "text/html"), ("ETag", "e1")],
            {},
            0.5,
            content=b"<h1>x</h1>",
        )
        self.parts: list[Outcome] = []

    def step(self) -> Outcome:
        """One run in a worker."""
        parts: list[bytes] = []
        fetched = self.fetched
        if self.recorded:
            task = msgspec.structs.replace(self.dispatch, kind=RESUME, attempt=self.dispatch.attempt + len(self.rounds))
            fetched = Fetched(task, 0, URL, URL, [], {}, 0.0)
        self.runner.run(fetched, lambda part: parts.append(encode(part)), self.recorded, self._keep)
        outcomes: list[Any] = [decode_status(part) for part in parts]
        self.parts += outcomes
        return outcomes[-1]

    def _keep(self) -> str:
        self.recorded[0] = self.fetched
        return "record"

    def run(self) -> Outcome:
        """To the end, with every request answered."""
        for _ in range(50):
            outcome = self.step()
            if not outcome.awaits:
                return outcome
            self.answer(outcome)
        raise AssertionError("it never ends")

    def answer(self, outcome: Outcome) -> None:
        assert (outcome.kind, outcome.results, outcome.follows, outcome.messages) == (TASK, [], [], [])
        assert outcome.process is None
        tasks = [decode_task(one.task) for one in outcome.awaits]
        self.rounds.append([task.url.removeprefix(URL) for task in tasks])
        for one, task in zip(outcome.awaits, tasks, strict=True):
            assert one.number not in self.recorded
            self.asked[one.number] = task
            status = self.site(task)
            child = Dispatch(
                "shop",
                task.taskid,
                1,
                1,
                task.url,
                "v",
                "_on_await",
                0,
                AWAIT,
                Schedule(),
                task.fetch or Fetch(),
                NIL,
                0,
            )
            self.recorded[one.number] = status and Fetched(
                child, status, task.url, task.url, [("Content-Type", "text/plain")], {}, 0.1,
                content=f"answer to {task.url}".encode(),
            )  # fmt: skip


def exception(outcome: Outcome) -> str:
    assert outcome.process is not None
    return outcome.process.exception or ""


def test_one_await() -> None:
    play = Play(
        """
        async def page(self, response):
            print("before")
            self.crawl("/before")
            self.save["runs"] = self.save.get("runs", 0) + 1
            more = await self.fetch("more", headers={"X": "1"}, save={"n": 1})
            print("after", more.save)
            self.crawl("/after")
            return {"text": more.text, "h1": response.css("h1::text").get(), "save": response.save}
        """
    )
    outcome = play.run()
    assert outcome.ok
    assert outcome.kind == TASK
    assert outcome.results == ['{"text":"answer to http://a.com/dir/more","h1":"x","save":"given"}']
    assert [decode_task(follow.task).url for follow in outcome.follows] == ["http://a.com/before", "http://a.com/after"]
    assert outcome.process is not None
    assert outcome.process.logs == "before\nafter {'n': 1}\n"  # once, though it ran twice
    assert msgspec.msgpack.decode(outcome.save) == {"runs": 1}
    assert outcome.etag == "e1"
    (parked, _) = play.parts
    assert (parked.ok, parked.last, parked.record, parked.save) == (True, True, "record", NIL)
    task = play.asked[1]
    assert (task.project, task.url, task.schedule) == ("shop", "http://a.com/dir/more", None)
    assert task.fetch == Fetch(headers={"X": "1"}, save={"n": 1})
    assert parked.awaits[0].where == "shop.py:9"


def test_awaits_one_after_the_other_come_in_order() -> None:
    play = Play(
        """
        async def page(self):
            found = []
            for n in range(4):
                answer = await self.fetch(f"{n}")
                found.append(answer.url[-1])
            return {"found": found}
        """
    )
    outcome = play.run()
    assert outcome.results == ['{"found":["0","1","2","3"]}']
    assert play.rounds == [["0"], ["1"], ["2"], ["3"]]
    assert [part.record for part in play.parts] == ["record", None, None, None, None]
    assert len({task.taskid for task in play.asked.values()}) == 4


SIDE_BY_SIDE = {
    "gather": """
        async def page(self):
            return {"found": [r.url[-1] for r in await asyncio.gather(*(self.fetch(n) for n in "abc"))]}
        """,
    "a task group": """
        async def page(self):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.fetch(n)) for n in "abc"]
            return {"found": [task.result().url[-1] for task in tasks]}
        """,
    "tasks": """
        async def page(self):
            tasks = [asyncio.create_task(self.fetch(n)) for n in "abc"]
            return {"found": [(await task).url[-1] for task in tasks]}
        """,
    "wait_for": """
        async def page(self):
            async def one(n):
                await asyncio.sleep(0)
                return await asyncio.wait_for(self.fetch(n), 0.5)
            return {"found": [r.url[-1] for r in await asyncio.gather(*map(one, "abc"))]}
        """,
    "as_completed": """
        async def page(self):
            found = []
            for each in asyncio.as_completed([self.fetch(n) for n in "abc"]):
                found.append((await each).url[-1])
            return {"found": sorted(found)}
        """,
}


@pytest.mark.parametrize("body", SIDE_BY_SIDE.values(), ids=SIDE_BY_SIDE)
def test_awaits_side_by_side_go_out_together(body: str) -> None:
    play = Play(body)
    outcome = play.run()
    assert exception(outcome) == ""
    assert outcome.results == ['{"found":["a","b","c"]}']
    assert [sorted(one) for one in play.rounds] == [["a", "b", "c"]]


def test_chains_side_by_side_keep_their_turns() -> None:
    """What was answered at once must not let one chain run ahead of the others on the way back."""
    play = Play(
        """
        async def page(self):
            async def chain(name, length):
                found = []
                for n in range(length):
                    found.append((await self.fetch(f"{name}{n}")).url[-2:])
                return found
            a, b, c = await asyncio.gather(chain("a", 3), chain("b", 1), chain("c", 4))
            return {"found": a + b + c}
        """
    )
    outcome = play.run()
    assert outcome.results == ['{"found":["a0","a1","a2","b0","c0","c1","c2","c3"]}']
    assert play.rounds == [["a0", "b0", "c0"], ["a1", "c1"], ["a2", "c2"], ["c3"]]


def test_very_many_at_once_go_out_in_batches() -> None:
    play = Play(
        """
        async def page(self):
            async def two(n):
                return (await self.fetch(f"{n}")).status_code + (await self.fetch(f"{n}/x")).status_code
            return {"sum": sum(await asyncio.gather(*(two(n) for n in range(700))))}
        """
    )
    assert play.run().results == ['{"sum":280000}']
    assert [len(one) for one in play.rounds] == [500, 500, 400]


def test_an_async_generator_awaits_too() -> None:
    play = Play(
        """
        async def page(self):
            yield {"n": 0}
            for n in (1, 2):
                answer = await self.fetch(f"{n}")
                yield {"n": n, "url": answer.url}
                yield self.crawl(f"/follow/{n}")
        """
    )
    outcome = play.run()
    assert len(outcome.results) == 3
    assert outcome.result_count == 3
    assert len(outcome.follows) == 2


def test_answers_that_are_errors_are_responses() -> None:
    play = Play(
        """
        async def page(self):
            first = await self.fetch("gone")
            return {"status": first.status_code, "ok": first.ok}
        """,
        site=lambda task: 404,
    )
    assert play.run().results == ['{"status":404,"ok":false}']


def test_when_nothing_came_the_await_raises_in_words() -> None:
    play = Play("async def page(self):\n    return await self.fetch('lost')", site=lambda task: None)
    outcome = play.run()
    assert not outcome.ok
    assert (
        exception(outcome) == "HTTPError: nothing came of http://a.com/dir/lost: the request was cancelled or refused"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("'other'", "asks for http://a.com/dir/other, but when the callback ran before, it was http://a.com/dir/first"),
        (
            "'first', data='x'",
            "asks for POST http://a.com/dir/first, but when the callback ran before, it was http://a",
        ),
    ],
)
def test_a_callback_that_asks_for_something_else_fails(change: str, words: str) -> None:
    play = Play(
        f"""
        async def page(self):
            self.runs = getattr(self, "runs", 0) + 1
            if self.runs == 1:
                await self.fetch("first")
            try:
                await self.fetch({change})
            except Exception:
                pass
        """
    )
    outcome = play.run()
    assert not outcome.ok
    assert outcome.process is not None
    assert outcome.process.reason == "diverged"
    assert exception(outcome).startswith(f"Diverged: shop.py:10: await number 1 {words}")
    assert outcome.follows == []


def test_what_unwinds_a_parked_callback_says_nothing_twice() -> None:
    play = Play(
        """
        async def page(self):
            try:
                await self.fetch("x")
            except BaseException:
                self.crawl("/cancelled")
                await self.fetch("never")
                raise
            finally:
                self.crawl("/finally")
                self.send_message("other", 1)
        """
    )
    outcome = play.run()
    assert outcome.ok, exception(outcome)
    assert play.rounds == [["x"]]
    assert [decode_task(follow.task).url for follow in outcome.follows] == ["http://a.com/finally"]
    assert len(outcome.messages) == 1


def test_a_callback_that_swallows_its_cancellation_is_parked_all_the_same() -> None:
    play = Play(
        """
        async def page(self):
            try:
                answer = await self.fetch("x")
            except asyncio.CancelledError:
                return {"cancelled": True}
            return {"url": answer.url}
        """
    )
    assert play.run().results == ['{"url":"http://a.com/dir/x"}']


def test_sleep_and_threads_go_on_beside_awaits() -> None:
    play = Play(
        """
        async def page(self):
            first = await self.fetch("x")
            await asyncio.sleep(0.01)
            n = await asyncio.to_thread(len, "four")
            answer = await self.fetch("y")
            return {"n": n, "url": answer.url}
        """
    )
    assert play.run().results == ['{"n":4,"url":"http://a.com/dir/y"}']


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def page(self):\n    self.fetch('x')", "RuntimeError: self.fetch() works only inside an async callback"),
        (
            "def page(self):\n    yield self.fetch('x')",
            "RuntimeError: self.fetch() works only inside an async callback",
        ),
        (
            "async def page(self):\n    await self.fetch('x', callback=1)",
            "TypeError: fetch() got unexpected arguments: c",
        ),
        (
            "async def page(self):\n    await self.fetch('x', taskid='1')",
            "TypeError: fetch() got unexpected arguments: t",
        ),
        ("async def page(self):\n    await self.fetch(['x'])", "TypeError: fetch(): the URL is text, not list"),
        ("async def page(self):\n    await self.fetch('curl a.com b.com')", "TypeError: fetch(): one URL at a time"),
        ("async def page(self):\n    await self.fetch('x', timeout='soon')", "InvalidTask: fetch.timeout"),
    ],
)
def test_wrong_uses_are_told_in_words(body: str, words: str) -> None:
    outcome = Play(body).run()
    assert not outcome.ok
    assert exception(outcome).startswith(words)


def test_a_curl_command_is_awaited_like_a_url() -> None:
    play = Play("async def page(self):\n    return (await self.fetch('curl http://b.com/ -d a=1', priority=7)).url")
    assert play.run().results == ['"http://b.com/"']
    task = play.asked[1]
    assert task.schedule == Schedule(priority=7)
    assert task.fetch is not None
    assert (task.fetch.method, task.fetch.data) == ("POST", b"a=1")


def test_a_lost_record_fails_the_task() -> None:
    play = Play("async def page(self):\n    await self.fetch('x')")
    play.answer(play.step())
    play.recorded[0] = None
    outcome = play.step()
    assert (outcome.ok, outcome.kind) == (False, TASK)
    assert outcome.process is not None
    assert outcome.process.reason == "record_lost"


def test_a_failure_after_an_await_keeps_what_was_asked_for() -> None:
    play = Play(
        """
        async def page(self):
            self.crawl("/1")
            await self.fetch("x")
            self.crawl("/2")
            yield {"a": 1}
            raise ValueError("no")
        """
    )
    outcome = play.run()
    assert not outcome.ok
    assert outcome.results == []
    assert len(outcome.follows) == 2
    assert exception(outcome) == "ValueError: no"


def test_too_many_awaits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.processor.replay.MAX_AWAITS", 2)
    play = Play("async def page(self):\n    for n in 'abc':\n        await self.fetch(n)")
    assert "2 awaits are the most" in exception(play.run())


def test_the_loop_serves_the_next_task_as_if_nothing_was() -> None:
    play = Play(
        """
        async def page(self):
            return {"url": (await self.fetch("x")).url}
        """
    )
    assert play.run().ok
    play.recorded.clear()
    assert play.step().awaits
    play.runner.close()
