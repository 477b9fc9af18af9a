from __future__ import annotations

import asyncio
import gc
import textwrap
from typing import Any

import msgspec
import pytest

from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import ScriptError
from crawlkit.libs.messages import (
    INFO,
    MAX_OUTCOME_PART,
    NIL,
    TASK,
    Dispatch,
    Fetched,
    Outcome,
    ProjectInfo,
    TrackProcess,
    decode_status,
    encode,
    pack,
)
from crawlkit.libs.task import Fetch, Schedule, Task, taskid_of
from crawlkit.processor.outcome import failure, script_failure
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.runner import Runner, RunnerSettings

URL = "http://a.com/dir/"
HEAD = "from crawlkit import *\nimport asyncio\nclass Handler(BaseHandler):\n"


def runner(body: str, before: str = "", clock: ManualClock | None = None, **settings: Any) -> Runner:
    script = before + HEAD + textwrap.indent(textwrap.dedent(body), "    ")
    project = load_project("shop", script)
    return Runner(project, node="n1", settings=RunnerSettings(**settings), clock=clock or ManualClock())


def fetched(callback: str | None = "page", status: int = 200, content: bytes = b"<h1>x</h1>", **kwargs: Any) -> Fetched:
    dispatch = Dispatch(
        "shop", "t1", 3, 2, URL, "v", callback, 30, kwargs.pop("kind", TASK), Schedule(priority=1),
        Fetch(save=kwargs.pop("fetch_save", None)), kwargs.pop("save", NIL), kwargs.pop("lastcrawltime", 0), "group",
    )  # fmt: skip
    headers = kwargs.pop("headers", [("Content-Type", "text/html")])
    return Fetched(dispatch, status, kwargs.pop("url", URL), URL, headers, {}, 0.5, content=content, **kwargs)


def run(runner: Runner, answer: Fetched | None = None) -> list[Outcome]:
    """Every part, as it looks on the wire."""
    parts: list[bytes] = []
    runner.run(answer or fetched(), lambda part: parts.append(encode(part)))
    outcomes: list[Any] = [decode_status(part) for part in parts]
    assert [outcome.part for outcome in outcomes] == list(range(len(outcomes)))
    assert [outcome.last for outcome in outcomes] == [False] * (len(outcomes) - 1) + [True]
    assert all(
        (o.project, o.taskid, o.run, o.attempt, o.url, o.node) == ("shop", "t1", 3, 2, URL, "n1") for o in outcomes
    )
    return outcomes


def ran(body: str, answer: Fetched | None = None, before: str = "") -> Outcome:
    """The only part of a run."""
    (outcome,) = run(runner(body, before), answer)
    return outcome


@pytest.mark.parametrize(
    "body",
    [
        "def page(self, response):\n    yield self.crawl('/1')\n    yield self.crawl(['/2', '/3'])\n    yield {'a': 1}",
        "def page(self, response):\n    self.crawl('/1')\n    self.on_result({'a': 1})\n"
        "    return [self.crawl('/2'), self.crawl('/3')]",
        "async def page(self, response):\n    self.on_result({'a': 1})\n    return self.crawl(['/1', '/2', '/3'])",
        "async def page(self, response):\n    yield self.crawl(None)\n    yield self.crawl(['/1', '/2', '/3'])\n"
        "    yield {'a': 1}",
        "def on_result(self, result):\n    super().on_result(result)\n"
        "def page(self, response):\n    yield {'a': 1}\n    yield self.crawl(['/1', '/2', '/3'])",
    ],
)
def test_what_crawl_returned_is_no_result(body: str) -> None:
    outcome = ran(body)
    assert outcome.ok
    assert outcome.results == ['{"a":1}']
    assert len(outcome.follows) == 3


def process(outcome: Outcome) -> TrackProcess:
    assert outcome.process is not None
    return outcome.process


def failed(outcome: Outcome, reason: str, words: str) -> None:
    assert not outcome.ok
    assert outcome.results == []
    assert outcome.result_count == 0
    assert outcome.first_result == 0
    track = process(outcome)
    assert (track.ok, track.reason) == (False, reason)
    assert track.exception is not None
    assert words in track.exception
    assert words in (track.logs or "")


@pytest.mark.parametrize(
    "signature", ["self", "self, response", "self, response, task", "self, *args", "self, response, task=None", "*args"]
)
def test_arity_is_free(signature: str) -> None:  # H24, T50
    outcome = ran(f"def page({signature}):\n    return {{'n': 1}}")
    assert outcome.ok, process(outcome)
    assert outcome.results == ['{"n":1}']


def test_what_a_callback_sees() -> None:  # H13
    outcome = ran(
        """
        def page(self, response, task):
            assert response is self.response and task is self.task
            return {"task": task, "save": response.save, "name": self.project_name, "debug": self.is_debugger()}
        """,
        fetched(fetch_save=[1, 2], lastcrawltime=5.0),
    )
    assert msgspec.json.decode(outcome.results[0]) == {
        "task": {
            "project": "shop",
            "taskid": "t1",
            "url": URL,
            "group": "group",
            "lastcrawltime": 5.0,
            "schedule": {"priority": 1},
            "fetch": {"save": [1, 2]},
            "process": {"callback": "page"},
            "track": {"fetch": {}, "process": {}, "save": {}},
        },
        "save": [1, 2],
        "name": "shop",
        "debug": False,
    }


def test_the_track_of_a_task_holds_what_its_last_run_saved() -> None:  # H13
    outcome = ran(
        "def page(self, response, task): return [task['track']['save'], task['track']['save'] is self.save]",
        fetched(save=msgspec.Raw(msgspec.msgpack.encode({"n": 1}))),
    )
    assert outcome.results == ['[{"n":1},true]']


def test_what_a_callback_sees_is_gone_afterwards() -> None:
    it = runner("def page(self): pass")
    run(it)
    handler = it.project.handler
    assert handler.response is handler.task is handler.save is None


def test_attributes_of_the_handler_last() -> None:  # H04
    it = runner("n = 0\ndef page(self):\n    self.n += 1\n    return self.n")
    assert [run(it)[0].results for _ in range(3)] == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize(
    ("body", "results"),
    [
        ("def page(self): return {'a': 1}", ['{"a":1}']),
        ("def page(self): return 'text'", ['"text"']),
        ("def page(self): return [1, (2,)]", ["[1,[2]]"]),
        ("def page(self): pass", []),
        ("def page(self): return {}", []),
        ("def page(self):\n    yield {'a': 1}\n    yield None\n    yield {'a': 2}", ['{"a":1}', '{"a":2}']),
        ("def page(self):\n    yield from ()", []),
        ("async def page(self):\n    await asyncio.sleep(0)\n    return {'a': 1}", ['{"a":1}']),
        ("async def page(self): pass", []),
        ("async def page(self):\n    yield 1\n    await asyncio.sleep(0)\n    yield None\n    yield 2", ["1", "2"]),
    ],
)
def test_results(body: str, results: list[str]) -> None:
    outcome = ran(body)
    assert outcome.ok, process(outcome)
    assert outcome.results == results
    assert outcome.result_count == process(outcome).results == len(results)
    assert outcome.first_result == 0


def test_dataclasses_are_results() -> None:
    before = "import dataclasses\n@dataclasses.dataclass\nclass Item:\n    sku: str\n"
    assert ran("def page(self): return Item('x')", before=before).results == ['{"sku":"x"}']


def test_the_event_loop_is_kept_and_closed() -> None:
    it = runner("async def page(self): return str(id(asyncio.get_running_loop()))")
    assert run(it)[0].results == run(it)[0].results
    it.close()
    it.close()


def test_coroutines_also_run_where_a_loop_is_running() -> None:
    it = runner("async def page(self):\n    print('here')\n    await asyncio.sleep(0)\n    return 1")

    async def inside() -> Outcome:
        return run(it)[0]

    outcome = asyncio.run(inside())
    assert (outcome.results, process(outcome).logs) == (["1"], "here\n")


def test_a_debugger_gets_what_was_raised() -> None:
    project = load_project("shop", HEAD + "    def page(self): return 1 / 0\n")
    seen: list[BaseException] = []
    it = Runner(project, node="n1", settings=RunnerSettings(), clock=ManualClock(), on_failure=seen.append)
    failed(run(it)[0], "exception", "division by zero")
    assert isinstance(seen[0], ZeroDivisionError)


def test_what_a_coroutine_leaves_behind_is_cancelled() -> None:
    it = runner(
        """
        async def later(self):
            try:
                await asyncio.sleep(60)
            finally:
                print("cancelled")

        async def page(self):
            self.kept = asyncio.ensure_future(self.later())
            await asyncio.sleep(0)
            return 1

        async def left(self):
            return len(asyncio.all_tasks())
        """
    )
    (outcome,) = run(it)
    assert (outcome.results, process(outcome).logs) == (["1"], "cancelled\n")
    assert run(it, fetched("left"))[0].results == ["1"]


def test_follows_and_messages() -> None:  # T50
    outcome = ran(
        """
        def page(self, response):
            self.crawl("x", callback=self.page, save={"a": 1})
            self.send_message("other", {"b": 2})
        """
    )
    (follow,) = outcome.follows
    assert msgspec.msgpack.decode(follow.task, type=Task).url == "http://a.com/dir/x"
    assert follow.taskid == taskid_of("http://a.com/dir/x")
    (message,) = outcome.messages
    assert (message.project, msgspec.msgpack.decode(message.body)) == ("other", {"b": 2})
    assert process(outcome).follows == 1


def test_parts_go_out_in_the_middle_of_a_plain_function() -> None:
    clock = ManualClock()
    it = runner(
        """
        def page(self):
            for n in range(2500):
                self.crawl("http://a.com/%d" % n, callback=self.page)
            return {"done": True}
        """,
        clock=clock,
    )
    parts: list[Outcome] = []

    def emit(part: Outcome) -> None:
        clock.advance(1.0)  # nobody takes it sooner
        parts.append(part)

    it.run(fetched(), emit)
    assert [len(part.follows) for part in parts] == [1000, 1000, 500]
    assert [part.results for part in parts] == [[], [], ['{"done":true}']]
    assert process(parts[-1]).follows == 2500
    assert process(parts[-1]).time == 0.0  # waiting for emit is not the callback's time
    assert it.blocked_seconds == 3.0
    assert it.parts == 3


def test_results_in_parts_are_numbered_on() -> None:
    parts = run(runner("def page(self):\n    for n in range(9): yield str(n) + 'x' * 400_000"))
    assert len(parts) > 2
    expected = 0
    for part in parts:
        assert part.first_result == expected
        assert [text[1] for text in part.results] == [str(n) for n in range(expected, expected + len(part.results))]
        expected += len(part.results)
    assert parts[-1].result_count == expected == 9


def test_a_failed_attempt_ends_without_results_but_with_its_follows() -> None:  # P08
    parts = run(
        runner(
            """
            def page(self):
                for n in range(1001):
                    self.crawl("http://a.com/%d" % n)
                yield {"a": 1}
                self.crawl("http://a.com/last")
                raise ValueError("wrong page")
            """
        )
    )
    assert [len(part.follows) for part in parts] == [1000, 2]
    failed(parts[-1], "exception", "ValueError: wrong page")
    assert process(parts[-1]).follows == 1002
    assert process(parts[-1]).results == 0


def test_a_failure_keeps_what_is_needed_to_look_into_it() -> None:  # P07, T42
    outcome = ran(
        "def page(self, response):\n    print('before')\n    return 1 / 0",
        fetched(
            content=b"<p>" + b"x" * 1000,
            headers=[("Content-Type", "text/html; charset=gbk"), ("X", "y")],
            url=URL + "z",
        ),
    )
    failed(outcome, "exception", "ZeroDivisionError: division by zero")
    assert outcome.fetch is not None
    assert outcome.fetch.content == "<p>" + "x" * 497
    assert outcome.fetch.headers == {"Content-Type": "text/html; charset=gbk", "X": "y"}
    assert (outcome.fetch.ok, outcome.fetch.encoding, outcome.fetch.redirect_url) == (True, "gb18030", URL + "z")
    logs = process(outcome).logs or ""
    assert logs.startswith("before\nTraceback")
    assert 'File "shop.py", line 6, in page\n    return 1 / 0' in logs
    assert "runner.py" not in logs


def test_a_success_keeps_little() -> None:
    headers = [("Content-Type", "text/html"), ("ETag", '"1"'), ("Last-Modified", "Mon"), ("X", "y")]
    outcome = ran("def page(self, response): return {'text': 'x' * 500}", fetched(headers=headers))
    assert outcome.fetch is not None
    assert (outcome.fetch.content, outcome.fetch.headers) == (None, {"etag": '"1"', "last-modified": "Mon"})
    assert (outcome.fetch.status_code, outcome.fetch.time, outcome.fetch.size) == (200, 0.5, 10)
    assert (outcome.etag, outcome.last_modified) == ('"1"', "Mon")
    assert len(process(outcome).result or "") == 100
    assert process(outcome).logs is None


def test_validators_of_a_failed_attempt_are_not_kept() -> None:  # H49
    outcome = ran("def page(self): raise ValueError('x')", fetched(headers=[("ETag", '"1"')]))
    assert (outcome.etag, outcome.last_modified) == (None, None)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_bad_statuses_fail_before_the_callback(status: int) -> None:  # H28, T42
    outcome = ran("def page(self):\n    self.crawl('http://a.com/')\n    return 1", fetched(status=status))
    failed(outcome, "http_status", f"HTTP {status}")
    assert outcome.follows == []
    assert outcome.fetch is not None
    assert (outcome.fetch.ok, outcome.fetch.content) == (False, "<h1>x</h1>")


def test_failed_fetches_fail_before_the_callback() -> None:  # T56
    answer = fetched(status=599, content=b"", error="could not resolve: a.com", error_kind="dns")
    outcome = ran("def page(self): return 1", answer)
    failed(outcome, "fetch_error", "could not resolve: a.com")
    assert outcome.fetch is not None
    assert (outcome.fetch.error, outcome.fetch.error_kind) == ("could not resolve: a.com", "dns")


@pytest.mark.parametrize("status", [304, 403, 418, 500, 599])
def test_catch_status_code_error(status: int) -> None:  # H35, T42, T50
    body = "@catch_status_code_error\ndef page(self, response):\n    self.crawl('x')\n    return response.status_code"
    outcome = ran(body, fetched(status=status))
    assert outcome.ok
    assert outcome.results == [str(status)]
    assert len(outcome.follows) == 1
    assert not outcome.not_modified


def test_not_modified_is_good_and_runs_nothing() -> None:  # H27
    outcome = ran("def page(self): return 1", fetched(status=304, headers=[("ETag", "x")]))
    assert outcome.ok
    assert outcome.not_modified
    assert outcome.results == []
    assert (outcome.etag, outcome.last_modified) == (None, None)


def test_not_send_status() -> None:  # H36, T40
    outcome = ran("@not_send_status\ndef page(self):\n    self.crawl('x')\n    return 1")
    assert not outcome.send_status
    assert len(outcome.follows) == len(outcome.results) == 1


def test_callbacks_that_are_not_there() -> None:  # H26
    failed(ran("pass", fetched("nothing")), "exception", "self.nothing() not implemented!")
    failed(ran("pass", fetched(None)), "exception", "self.__call__() not implemented!")
    failed(ran("nothing = 5", fetched("nothing")), "exception", "self.nothing() not implemented!")
    assert ran("def __call__(self, response): return 7", fetched(None)).results == ["7"]


@pytest.mark.parametrize(
    ("raised", "reason", "words"),
    [
        ("SystemExit(3)", "exit", "SystemExit: 3"),
        ("KeyboardInterrupt", "exit", "KeyboardInterrupt"),
        ("GeneratorExit", "exit", "GeneratorExit"),
        ("MemoryError", "memory_limit", "MemoryError"),
        ("StopIteration", "exception", "StopIteration"),
        ("RecursionError('deep')", "exception", "deep"),
        ("BaseException('base')", "exception", "base"),
        ("Wicked()", "exception", "its __str__ raised"),
        ("ExceptionGroup('group', [ValueError('inner')])", "exception", "group"),
        ("asyncio.CancelledError", "exception", "CancelledError"),
    ],
)
@pytest.mark.parametrize(
    "kind", ["def page(self):\n    ", "async def page(self):\n    ", "def page(self):\n    yield 1\n    "]
)
def test_whatever_is_raised_fails_the_task_and_nothing_else(kind: str, raised: str, reason: str, words: str) -> None:
    before = "class Wicked(Exception):\n    def __str__(self): raise RuntimeError\n    __repr__ = __str__\n"
    if raised == "StopIteration" and ("yield" in kind or "async" in kind):
        words = "StopIteration"
    it = runner(kind + "raise " + raised + "\ndef good(self): return 1", before)
    (outcome,) = run(it)
    assert not outcome.ok
    assert process(outcome).reason == reason
    assert words in (process(outcome).exception or "")
    assert run(it, fetched("good"))[0].results == ["1"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{'a': [1, float('nan')]}", "result.a[1]: is nan"),
        ("{'a': b'x'}", "result.a: is bytes"),
        ("object()", "result: is a object"),
        ("'\\ud800'", "surrogate"),
        ("{'a': {1, 2}}", "result.a: is a set"),
        ("'x' * 5_000_000", "over the limit of 4,194,304"),
    ],
)
def test_results_that_cannot_be_stored_are_named(value: str, words: str) -> None:
    failed(ran(f"def page(self): return {value}"), "result", words)


def test_results_that_hold_themselves() -> None:
    failed(ran("def page(self):\n    a = []\n    a.append(a)\n    return a"), "result", "holds itself")


def test_wrong_follow_ups_fail_with_a_reason() -> None:
    failed(ran("def page(self): self.crawl('x', priority='high')"), "follow", "schedule.priority")


def test_no_part_is_over_the_limit() -> None:
    parts = run(
        runner(
            """
            def page(self):
                for n in range(30):
                    self.crawl("http://a.com/%d/" % n + "x" * 65_000)
                    yield "x" * 500_000
                yield "x" * (4 * 2**20 - 2)
            """
        )
    )
    assert parts[-1].ok, process(parts[-1])
    assert all(len(encode(part)) <= MAX_OUTCOME_PART + 200 for part in parts)
    assert sum(len(part.results) for part in parts) == parts[-1].result_count == 31


def test_save_comes_back_only_when_it_changed() -> None:  # H14
    it = runner(
        """
        def page(self): self.save["n"] = self.save.get("n", 0) + 1
        def idle(self): pass
        def drop(self): self.save.clear()
        """
    )
    (first,) = run(it)
    assert msgspec.msgpack.decode(first.save) == {"n": 1}
    (second,) = run(it, fetched(save=pack({"n": 1})))
    assert msgspec.msgpack.decode(second.save) == {"n": 2}
    assert bytes(run(it, fetched("idle", save=pack({"n": 2})))[0].save) == bytes(NIL)
    assert bytes(run(it, fetched("idle"))[0].save) == bytes(NIL)
    assert msgspec.msgpack.decode(run(it, fetched("drop", save=pack({"n": 2})))[0].save) == {}


def test_save_that_cannot_be_kept_is_named() -> None:
    failed(ran("def page(self): self.save['x'] = [object()]"), "save", "save.x[0]")
    failed(ran("def page(self): self.save['x'] = 'x' * 2_000_000"), "save", "over the limit")


def test_a_method_called_save_stays_the_scripts_own() -> None:
    outcome = ran("def save(self, what): return {'saved': what}\ndef page(self): return self.save(1)")
    assert outcome.results == ['{"saved":1}']


def test_save_is_kept_also_when_the_callback_fails() -> None:
    outcome = ran("def page(self):\n    self.save['a'] = 1\n    raise ValueError('x')")
    failed(outcome, "exception", "ValueError: x")
    assert msgspec.msgpack.decode(outcome.save) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "results"),
    [
        ("def on_result(self, result): super().on_result({'wrapped': result})", ['{"wrapped":1}']),
        ("def on_result(self, result): pass", []),
        (
            "def on_result(self, result, response, task): super().on_result([response.url, task['taskid']])",
            [f'["{URL}","t1"]'],
        ),
        ("def on_result(self, *args):\n    super().on_result(1)\n    super().on_result(2)", ["1", "2"]),
    ],
)
def test_on_result_is_honoured(body: str, results: list[str]) -> None:  # H20
    assert ran(body + "\ndef page(self): return 1").results == results


def test_an_on_result_that_raises_fails_the_task() -> None:
    failed(
        ran("def on_result(self, result): raise OSError('no disk')\ndef page(self): yield 1"), "exception", "no disk"
    )


def test_logs_are_bounded_and_belong_to_their_task() -> None:
    it = runner("def page(self):\n    for n in range(10_000): print(n)\ndef quiet(self): pass", max_logs=100)
    logs = process(run(it)[0]).logs or ""
    assert len(logs) == 103
    assert logs.startswith("...")
    assert logs.endswith("9998\n9999\n")
    assert process(run(it, fetched("quiet"))[0]).logs is None


def test_info() -> None:  # S06, T52
    outcome = ran(
        """
        print("loading")
        crawl_config = {"timeout": 3}
        retry_delay = 5
        @every(minutes=1)
        def tick(self): pass
        def on_start(self): pass
        def project_info(self, response): pass  # a callback of the script's own
        """,
        fetched("_on_get_info", kind=INFO),
    )
    assert (outcome.ok, outcome.kind, process(outcome).logs) == (True, INFO, "loading\n")
    info = msgspec.msgpack.decode(outcome.info, type=ProjectInfo)
    assert (info.crawl_config, info.retry_delay, info.has_on_start, info.error) == ({"timeout": 3}, {"": 5}, True, None)
    assert info.crons[0].method == "tick"


def test_info_that_is_wrong_says_so() -> None:
    body = """
    asked = []

    @property
    def crawl_config(self):
        self.asked.append(1)
        return {"timeout": "x" if len(self.asked) > 1 else 1}  # in order as long as it is loaded
    """
    outcome = ran(body, fetched("_on_get_info", kind=INFO))
    assert not outcome.ok
    assert "fetch.timeout" in (msgspec.msgpack.decode(outcome.info, type=ProjectInfo).error or "")
    assert "fetch.timeout" in (process(outcome).exception or "")


def test_a_script_with_wrong_settings_does_not_load() -> None:
    with pytest.raises(ScriptError, match=r"fetch\.timeout"):
        ran("crawl_config = {'timeout': 'x'}", fetched("_on_get_info", kind=INFO))
    with pytest.raises(ScriptError, match=r"crawl_config\.bounds\.maxdepth"):
        ran("crawl_config = {'bounds': {'maxdepth': 3}}", fetched("_on_get_info", kind=INFO))


def test_messages_from_others() -> None:  # H19
    body = "def on_message(self, project, msg): return [project, msg]"
    assert ran(body, fetched("_on_message", fetch_save=["other", {"a": 1}])).results == ['["other",{"a":1}]']


def test_results_of_a_message_are_filed_under_the_url_it_came_with() -> None:  # H18
    it = runner("def on_message(self, project, msg): return msg")
    parts: list[Outcome] = []
    it.run(fetched("_on_message", fetch_save=["other", {"a": 1}, "http://a.com/#1"]), parts.append)
    assert (parts[0].url, parts[0].results) == ("http://a.com/#1", ['{"a":1}'])


def test_a_script_that_does_not_load_fails_each_of_its_tasks() -> None:  # T54
    with pytest.raises(ScriptError) as caught:
        load_project("shop", "x = 1\n1/0\n")
    outcome = script_failure(fetched(), caught.value, node="n1")
    failed(outcome, "script_error", "ZeroDivisionError: division by zero")
    assert (process(outcome).exception or "").startswith("line 2: ")
    info = script_failure(fetched(kind=INFO), caught.value, node="n1")
    assert "line 2" in (msgspec.msgpack.decode(info.info, type=ProjectInfo).error or "")


def test_a_failure_from_outside() -> None:
    outcome = failure(fetched(), node="n1", reason="worker_died", exception="killed", seconds=2.5, part=3)
    assert (outcome.part, outcome.last, outcome.ok) == (3, True, False)
    assert (process(outcome).reason, process(outcome).time) == ("worker_died", 2.5)
    assert decode_status(encode(outcome)) == outcome


def test_a_broken_body_does_not_break_the_track() -> None:
    headers = [("Content-Type", "text/html; charset=hz"), ("X-Odd", "\udcff")]
    outcome = failure(fetched(content=b"\xff\0~{" * 500, headers=headers[:1]), node="n", reason="x", exception="y")
    encode(outcome)


def test_a_page_is_gone_when_its_callback_is_over_without_a_look_for_cycles() -> None:
    of_two = runner(
        """
        def page(self, response):
            response.css("h1").getall(), response.doc("h1").text(), self.crawl("/1")
            before, self.before = getattr(self, "before", None), weakref.ref(response)
            yield {"alive": before is not None and before() is not None}
        """,
        "import weakref\n",
    )
    gc.disable()
    try:
        outcomes = [run(of_two)[0] for _ in range(2)]
    finally:
        gc.enable()
    assert [outcome.results for outcome in outcomes] == [['{"alive":false}']] * 2
