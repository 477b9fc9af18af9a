"""Runs one callback for one fetched task and tells what came of it.

Runs user code: only inside a handler worker. Sends nothing itself: each part of the outcome goes to ``emit``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from crawlkit.libs import document, selector
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.clock import Clock
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawler import Crawler, TaskDict, is_asked
from crawlkit.libs.errors import DropTask, EndOfCallback
from crawlkit.libs.jsonable import NotJSON, jsonable
from crawlkit.libs.messages import (
    INFO,
    NIL,
    PREPARE,
    RESUME,
    Fetched,
    Follow,
    Message,
    Outcome,
    ProjectInfo,
    TrackProcess,
    pack,
)
from crawlkit.libs.response import HTTPError, Response
from crawlkit.libs.result_key import STOP
from crawlkit.processor import outcome as outcomes
from crawlkit.processor.auto_trial import Trial, by
from crawlkit.processor.callback_loop import CallbackLoop
from crawlkit.processor.capture import Capture, capturing, described, formatted
from crawlkit.processor.endings import end_in, reason_of
from crawlkit.processor.orders import MAX_LOGS
from crawlkit.processor.preparing import prepare
from crawlkit.processor.project_loader import LoadedProject
from crawlkit.processor.records import RecordLost
from crawlkit.processor.replay import Parked, Replay
from crawlkit.processor.shown import filed_under, task_dict

PRELOADED = (document, selector)  # what callbacks will want, loaded before workers are forked

_NO_RESPONSE = ("data:,on_", "data:,_on_")  # of the scheduler's own tasks
_MSGPACK_NIL = b"\xc0"
_decode = msgspec.msgpack.Decoder().decode

Emit = Callable[[Outcome], None]


class RunnerSettings(Struct, frozen=True):
    """Limits of what is kept of a run."""

    max_logs: int = MAX_LOGS  # characters, the last ones
    max_save: int = 2**20  # bytes of self.save


class _Signature:
    """What a callback wants and how it was decorated; looked up once per callback."""

    __slots__ = ("arguments", "catches", "function", "silent")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.arguments = _wanted(function)
        self.catches = bool(getattr(function, "_catch_status_code_error", False))
        self.silent = bool(getattr(function, "_not_send_status", False))


class Runner:
    """Runs the tasks of one loaded project, one at a time."""

    def __init__(
        self,
        project: LoadedProject,
        *,
        node: str,
        settings: RunnerSettings,
        clock: Clock,
        on_failure: Callable[[BaseException], None] | None = None,
        mask: Callable[[str], str] | None = None,
    ) -> None:
        """``mask`` changes every text that is logged, before it is cut; it hides the values of secrets.

        ``on_failure`` is called with what a callback raised, before its frames are gone; for debuggers."""
        self.project = project
        self._on_failure = on_failure
        self._mask = mask
        self.blocked_seconds = 0.0
        """Of the last or running task: seconds that ``emit`` kept the callback waiting; not the callback's time."""
        self.parts = 0
        """Parts of the last or running task that went out, for who must end it from outside."""
        self.capture: Capture | None = None
        """What the callback of the last task wrote."""
        self._handler: BaseHandler = project.handler
        self._crawler = Crawler(project.handler)
        self._node = node
        self._settings = settings
        self._clock = clock
        self._signatures: dict[str | None, _Signature] = {}
        self._loop = CallbackLoop()
        self._looks_first = type(self._handler).after_response is not BaseHandler.after_response
        on_result = type(self._handler).on_result
        self._own_on_result = on_result is not BaseHandler.on_result
        self._on_result_wants = _wanted(self._handler.on_result)

    def run(
        self,
        fetched: Fetched,
        emit: Emit,
        recorded: Mapping[int, Fetched | None] | None = None,
        keep: Callable[[], str] | None = None,
    ) -> None:
        """Runs the callback of one task; the last part that ``emit`` gets has ``last`` set. User code cannot raise.

        ``recorded``: what a callback that waits begins again with, the page under 0 and the answers under the numbers
        of their awaits. ``keep`` stores ``fetched`` for that and returns the blob.
        """
        self.blocked_seconds = 0.0
        self.parts = 0
        self.capture = None
        if fetched.task.kind == INFO:
            self._emit(emit, self._info(fetched))
            return
        if fetched.task.kind == PREPARE:
            self._emit(emit, self._prepare(fetched))
            return
        if fetched.task.kind == RESUME:
            gone = "the page that the callback began with is not recorded"
            try:
                page = recorded.get(0) if recorded is not None else None
            except RecordLost as error:
                page, gone = None, str(error)
            if page is None:
                self._emit(emit, outcomes.failure(fetched, node=self._node, reason="record_lost", exception=gone))
                return
            fetched = msgspec.structs.replace(page, task=fetched.task, jar=None)
        run = _Run(self, fetched, emit, recorded or {}, keep)
        self.capture = run.capture
        with capturing(run.capture):
            run.execute()
        outcome = run.outcome()
        run.collector.let_go()
        self._emit(emit, outcome)

    def close(self) -> None:
        """Ends the private event loop, if a callback needed one."""
        self._loop.close()

    def _emit(self, emit: Emit, outcome: Outcome) -> None:
        began = self._clock.monotonic()
        outcome.part = self.parts
        emit(outcome)
        self.parts += 1
        self.blocked_seconds += self._clock.monotonic() - began

    def _signature(self, name: str | None) -> _Signature:
        known = self._signatures.get(name)
        if known is None:
            function = getattr(self._handler, name or "__call__", None)
            if not callable(function):
                raise NotImplementedError(f"self.{name or '__call__'}() not implemented!")
            known = _Signature(function)
            if len(self._signatures) < 1000:
                self._signatures[name] = known
        return known

    def _run_async(self, coroutine: Any, run: _Run) -> Any:
        """``coroutine`` to its end; raises :class:`Parked` when it can go no further."""
        self._crawler.fetches = run.replay
        try:
            return self._loop.run(coroutine, run.replay, self._mute)
        finally:
            self._crawler.fetches = None
            if run.replay.broken is not None:  # a script may have caught it
                raise run.replay.broken

    def _mute(self) -> None:
        """A parked callback is unwound: what it still says has been said, or will be said again."""
        self._crawler.collector = Collector()

    def _prepare(self, fetched: Fetched) -> Outcome:
        handler, shown = self._handler, task_dict(fetched.task)
        capture = Capture(self._settings.max_logs, self._mask)
        handler.task = shown
        try:
            return prepare(fetched, shown, handler.before_request, capture, self._node)
        finally:
            handler.task = None  # type: ignore[assignment]

    def _info(self, fetched: Fetched) -> Outcome:
        capture = Capture(self._settings.max_logs)
        exception = None
        with capturing(capture):
            try:
                info = BaseHandler.project_info(self._handler)  # a script may have a method of that name
            except BaseException as error:  # user attributes: a property may do anything
                exception = described(error)
                info = ProjectInfo(error=exception)
        logs = (self.project.logs + capture.text())[-self._settings.max_logs :] or None
        outcome = outcomes.failure(fetched, node=self._node, reason="exception", exception=exception or "", logs=logs)
        if exception is None:
            outcome.ok = True
            outcome.process = TrackProcess(ok=True, logs=logs)
        outcome.info = pack(info)
        return outcome


class _Run:
    """One task on its way through its callback."""

    def __init__(
        self,
        runner: Runner,
        fetched: Fetched,
        emit: Emit,
        recorded: Mapping[int, Fetched | None],
        keep: Callable[[], str] | None,
    ) -> None:
        self.runner = runner
        self.replay = Replay(fetched.task, recorded)
        self.keep = keep
        self.drop: str | None = None
        self.fetched = fetched
        self.emit = emit
        self.response = Response.of(fetched)
        order = fetched.task.auto
        self.trial = Trial(order, fetched) if order is not None else None
        self.collector = Collector(self._part, runner.project.result_key)
        self.capture = Capture(runner._settings.max_logs, runner._mask)
        self.ok = False
        self.not_modified = False
        self.send_status = True
        self.exception: str | None = None
        self.ending = ""
        """How the callback ended, as far as that casts doubt on a page on trial; a token."""
        self.reason: str | None = None
        self.seconds = 0.0
        self.save: msgspec.Raw = NIL
        self.shown: TaskDict = {}
        self.url = filed_under(fetched.task)

    def execute(self) -> None:
        runner = self.runner
        began = runner._clock.monotonic()
        try:
            self._call()
            if self.trial is not None and not self.replay.parked:
                self._count(self.trial)
            self.ok = True
        except Parked:
            self.ok = True
        except EndOfCallback as end:
            self._ended_itself(end)
        except BaseException as error:  # user code: SystemExit and KeyboardInterrupt fail the task, not the worker
            self._failed(error)
        finally:
            runner._crawler.end()
        self.seconds = max(0.0, runner._clock.monotonic() - began - runner.blocked_seconds)

    def _call(self) -> None:
        runner, dispatch = self.runner, self.fetched.task
        before = bytes(dispatch.save) or _MSGPACK_NIL
        save = {} if before == _MSGPACK_NIL else _decode(before)
        if not isinstance(save, dict):
            save = {}
        self.shown = {**task_dict(dispatch), "track": {"fetch": {}, "process": {}, "save": save}}
        handler = runner._handler
        runner._crawler.begin(self.collector, self.response, self.shown, save)
        try:
            signature = runner._signature(dispatch.callback)
            self.send_status = not signature.silent
            if runner._looks_first and not dispatch.url.startswith(_NO_RESPONSE):
                self._look_first()
            if not signature.catches:
                if self.response.status_code == 304:
                    self.not_modified = True
                    return
                self.response.raise_for_status()
            self._results(signature.function(*self._arguments(signature.arguments)))
        finally:
            if runner._crawler.has_save and not self.replay.parked:
                self._keep_save(handler.save, before)

    def _look_first(self) -> None:
        runner = self.runner
        changed = runner._handler.after_response(self.response)
        if changed is None:
            return
        if not isinstance(changed, Response):
            raise TypeError(f"after_response() returns a Response or None, not {type(changed).__name__}")
        self.response = runner._crawler.response = runner._handler.response = changed

    def _arguments(self, wanted: int, *first: Any) -> tuple[Any, ...]:
        return (*first, self.response, self.shown)[:wanted]

    def _results(self, returned: Any) -> None:
        if returned is None or isinstance(returned, dict | str | list | int | float):
            self._result(returned)
        elif inspect.isgenerator(returned):
            for item in returned:
                if item is not None:
                    self._result(item)
        elif inspect.iscoroutine(returned):
            self._result(self.runner._run_async(returned, self))
        elif inspect.isasyncgen(returned):
            self.runner._run_async(self._drain(returned), self)
        else:
            self._result(returned)

    async def _drain(self, items: Any) -> None:
        async for item in items:
            if item is not None:
                self._result(item)

    def _result(self, value: Any) -> None:
        runner = self.runner
        if is_asked(value, runner.project.name):
            return  # what self.crawl returned is collected already
        if runner._own_on_result:
            if self.trial is not None and self.trial.hold(value):
                return
            runner._handler.on_result(*self._arguments(runner._on_result_wants, value))
        elif value:
            self.collector.result(value)

    def _keep_save(self, save: Any, before: bytes) -> None:
        if before == _MSGPACK_NIL and not save:
            return
        after = pack(jsonable(save, "save"))
        if len(after_bytes := bytes(after)) > self.runner._settings.max_save:
            raise NotJSON(
                "save", f"is {len(after_bytes):,} bytes, over the limit of {self.runner._settings.max_save:,}"
            )
        if after_bytes != before:
            self.save = after

    def _ended_itself(self, end: EndOfCallback) -> None:
        """The callback called ``self.drop()`` or ``response.retry()``."""
        if isinstance(end, DropTask):
            self.ok, self.drop, self.ending = True, end.reason, "!drop="
            return
        self.ending = "!retry="
        self.ok, self.reason, self.exception = False, "retry", f"retry: {end.reason}" if end.reason else "retry"
        self.capture.write(self.exception + "\n", logging.WARNING)

    def _failed(self, error: BaseException) -> None:
        end = end_in(error) if isinstance(error, BaseExceptionGroup) else None
        if end is not None:
            self._ended_itself(end)
            return
        self.ok = False
        self.exception = described(error)
        self.reason = reason_of(error, self.response)
        if isinstance(error, HTTPError) and error.response is self.response:
            self.ending = f"!http={self.response.status_code}"
        elif isinstance(error, Exception) and self.reason != "memory_limit":
            self.ending = f"!error={type(error).__name__[:60]}"
        if self.runner._on_failure is not None:
            self.runner._on_failure(error)
        self.capture.write(formatted(error), logging.ERROR)

    def _part(
        self,
        results: list[str],
        first_result: int,
        follows: list[Follow],
        messages: list[Message],
        keys: list[str],
        places: list[int],
    ) -> None:
        """A full part, in the middle of the callback."""
        if self.trial is not None and not self._counts(self.trial, results, follows, messages):
            return
        outcome = self._outcome(False, results, first_result, follows, messages)
        self.runner._emit(self.emit, self._keyed(outcome, keys, places))

    def _counts(self, trial: Trial, results: list[str], follows: list[Follow], messages: list[Message]) -> bool:
        """Whether a full part of a page on trial goes out: the first says so for all."""
        trial.part(results, follows, len(messages))
        if trial.holds:
            trial.judge("")
        return not trial.asks

    def _count(self, trial: Trial) -> None:
        """The callback ended well: is what it gave enough? If so a handler's own ``on_result`` gets its results."""
        self._weigh(trial, "")
        if not trial.asks:
            for value in trial.values:
                self.runner._handler.on_result(*self._arguments(self.runner._on_result_wants, value))
            trial.values = []

    def _weigh(self, trial: Trial, ending: str) -> None:
        if trial.said is None:
            trial.part(self.collector.results, self.collector.follows, len(self.collector.messages))
            trial.judge(ending)

    def _keyed(self, outcome: Outcome, keys: list[str], places: list[int]) -> Outcome:
        """``outcome`` with the keys of its results, when the handler says a ``result_key``."""
        key = self.runner.project.result_key
        if key is not None:
            outcome.key_policy, outcome.keys = key.policy, keys
            outcome.key_places = places if key.policy == STOP else []
        return outcome

    def _outcome(
        self, last: bool, results: list[str], first_result: int, follows: list[Follow], messages: list[Message]
    ) -> Outcome:
        task = self.fetched.task
        return Outcome(
            task.project,
            task.taskid,
            task.run,
            task.attempt,
            outcomes.kind_of(task.kind),
            0,  # numbered when it goes out
            last,
            results,
            first_result,
            self.url,
            self.runner._node,
            self.ok or not last,
            follows,
            messages,
            self.not_modified,
            self.send_status,
            partition=task.partition,
        )

    def outcome(self) -> Outcome:
        """The last part."""
        collector, fetched, trial = self.collector, self.fetched, self.trial
        if trial is not None and trial.said is None and not self.replay.parked:
            self._weigh(trial, self.ending)
        if trial is not None and trial.asks:
            outcome = outcomes.ended(fetched, node=self.runner._node)
            outcome.auto = trial.said
            return outcome
        if self.replay.parked:
            return self._parked()
        kept = self.ok and self.drop is None
        results = collector.results if kept else []
        first = collector.result_count - len(results) if kept else 0
        outcome = self._outcome(True, results, first, collector.follows, collector.messages)
        self._keyed(outcome, *((collector.keys, collector.places) if kept else ([], [])))
        outcome.fetch = outcomes.track_fetch(fetched, self.response, self.ok)
        outcome.process = TrackProcess(
            ok=self.ok,
            time=self.seconds,
            follows=collector.follow_count + len(collector.follows),
            results=collector.result_count if kept else 0,
            result=collector.result_head,
            logs=self.capture.text() or None,
            exception=self.exception,
            reason=self.reason,
        )
        outcome.save = self.save
        outcome.lastcrawltime = self.runner._clock.time()
        outcomes.keep_jar(outcome, fetched)
        if self.drop is not None:
            outcome.drop = self.drop
        elif self.ok:
            outcome.result_count = collector.result_count
            if not self.not_modified and (trial is None or not trial.rendered):
                outcome.etag, outcome.last_modified = outcomes.validators(fetched)
        if trial is not None and trial.said is not None:
            outcome.auto = trial.said
            outcome.fetch.by = by(trial.order, trial.said)
        return outcome

    def _parked(self) -> Outcome:
        """The callback waits. It will run again from its top, and what it collects goes out then, once."""
        collector = self.collector
        outcome = self._outcome(True, [], 0, [], [])
        outcome.ok = collector.result_count == len(collector.results)  # else what was handed on is to be given again
        outcome.awaits = self.replay.awaits
        if self.fetched.task.kind != RESUME and self.keep is not None:
            outcome.record = self.keep()
        outcomes.keep_jar(outcome, self.fetched)
        return outcome


def _wanted(function: Callable[..., Any]) -> int:
    """How many positional arguments a bound method takes, at most [H24]."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 9
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 9
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
