"""``crawlkit one --pdb``: callbacks run in this process, one after the other, and stop in the debugger when they raise.

There are no limits here and no isolation: that is what somebody who debugs a script asked for.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import pdb
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crawlkit.cli.base import say
from crawlkit.libs import messages
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.errors import BadMessage, ScriptError
from crawlkit.libs.handler_settings import HandlerSettings
from crawlkit.libs.messages import Fetched, Outcome
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.processor import records
from crawlkit.processor.grants import Unseal, no_key, opened
from crawlkit.processor.masking import Mask
from crawlkit.processor.outcome import answer, script_failure
from crawlkit.processor.project_loader import LoadedProject, load_project
from crawlkit.processor.runner import Runner, RunnerSettings

if TYPE_CHECKING:
    from crawlkit.database.base import BlobStore, ProjectStore
    from crawlkit.libs.clock import Clock
    from crawlkit.message_queue.base import Broker, Delivery


class InlineProcessor:
    """Does the work of a processor without worker processes. ``on_quit``: called when the user leaves by ``q``."""

    def __init__(
        self,
        queues: Broker,
        projectdb: ProjectStore,
        blobs: BlobStore,
        clock: Clock,
        node: str,
        on_quit: Callable[[], None],
        unseal: Unseal = no_key,
    ) -> None:
        self._inqueue = queues.queue(messages.FETCHER2PROCESSOR)
        self._results = queues.queue(messages.PROCESSOR2RESULT)
        self._status = StatusQueues(queues.queue)
        self._projectdb = projectdb
        self._blobs = blobs
        self._clock = clock
        self._node = node
        self._on_quit = on_quit
        self._unseal = unseal
        self._runners: dict[str, Runner] = {}
        self._masks: dict[str, Mask] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def run(self) -> None:
        """Until :meth:`stop`."""
        self._task = asyncio.current_task()
        try:
            while not self._stopping:
                for delivery in await self._inqueue.get_many(1):
                    await self._handle(delivery)
        except asyncio.CancelledError:
            if not self._stopping:
                raise

    async def stop(self) -> None:
        """At once: nothing runs while somebody else has the loop."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            fetched: Fetched = messages.decode(delivery.body, Fetched)
        except BadMessage as error:
            await self._inqueue.reject([delivery.id], str(error))
            return
        if fetched.blob is not None:
            fetched.content = b"".join(self._blobs.read(fetched.blob))

        def keep() -> str:
            body = [fetched.content] if fetched.blob is not None else []
            return self._blobs.create(records.pieces(delivery.body, body), f"{fetched.task.project}/kept")

        for outcome in self._outcomes(fetched, keep):
            queue = self._results if outcome.results else self._status.of(outcome.partition)
            await queue.put_many([messages.encode(outcome)])
        await self._inqueue.ack([delivery.id])
        if fetched.blob is not None:
            self._blobs.remove([fetched.blob])

    def _outcomes(self, fetched: Fetched, keep: Callable[[], str]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if fetched.task.kind == messages.AWAIT:
            return [answer(fetched, keep(), node=self._node, now=self._clock.time())]
        try:
            runner = self._runner(fetched)
        except ScriptError as error:
            return [script_failure(fetched, error, node=self._node)]
        recorded = records.Records(fetched.recorded, self._record)
        runner.run(fetched, outcomes.append, recorded, keep)
        for outcome in outcomes:
            self._masks[outcome.project].outcome(outcome)
        return outcomes

    def _record(self, blob: str) -> bytes | None:
        try:
            return b"".join(self._blobs.read(blob))
        except KeyError:
            return None

    def _runner(self, fetched: Fetched) -> Runner:
        task = fetched.task
        runner = self._runners.get(task.script)
        if runner is None:
            script = self._projectdb.script(task.project, task.script) or ""
            given = opened(task.project, self._projectdb.settings(task.project), self._unseal)
            mask = self._masks[task.project] = Mask(given.values[name] for name in given.secret)
            settings = HandlerSettings(task.project, given.values, given.closed)
            project = load_project(task.project, script, group=task.group, resolver=self._script_of, settings=settings)
            self._watch(project)
            runner = Runner(project, node=self._node, settings=RunnerSettings(), clock=self._clock, mask=mask.text)
            self._runners[task.script] = runner
        return runner

    def _script_of(self, project: str) -> str | None:
        row = self._projectdb.get(project)
        return None if row is None else row.script

    # -- the debugger ------------------------------------------------------------------------------------------------

    def _watch(self, project: LoadedProject) -> None:
        """Puts a watcher round every method that the script itself defines."""
        handler = project.handler
        names: set[str] = set()
        for cls in type(handler).__mro__:
            if cls is BaseHandler:
                break
            names.update(name for name, value in vars(cls).items() if inspect.isfunction(value) and name[0] != "_")
        for name in names:
            setattr(handler, name, self._watched(getattr(handler, name)))

    def _watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                returned = method(*args, **kwargs)
            except Exception as error:
                self._debug(error)
                raise
            return self._watched_items(returned) if inspect.isgenerator(returned) else returned

        return call

    def _watched_items(self, items: Any) -> Any:
        try:
            yield from items
        except Exception as error:
            self._debug(error)
            raise

    def _debug(self, error: Exception) -> None:
        """The user looks at the frame that raised; ``c`` goes on, ``q`` stops the crawl."""
        if getattr(error, "_crawlkit_shown", False):  # it passes through several watched methods
            return
        error._crawlkit_shown = True  # type: ignore[attr-defined]
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # our own frame
        say("".join(traceback.format_exception(error)).rstrip())
        say("c goes on with the crawl, q stops it, w shows where you are")
        debugger = pdb.Pdb(stdin=sys.stdin, stdout=sys.stderr)  # stdout is for results
        debugger.reset()
        debugger.interaction(None, error.__traceback__)
        if debugger.quitting:
            self._stopping = True
            self._on_quit()
