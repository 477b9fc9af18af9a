"""The event loop of async callbacks: runs one to its end, or until it can go no further.

Runs user code: only inside a handler worker. One loop serves all tasks of a project; none sees what another started.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from crawlkit.processor.replay import Parked, Replay


class CallbackLoop:
    """Opened by the first coroutine; :meth:`close` ends it."""

    def __init__(self) -> None:
        self._open: tuple[asyncio.AbstractEventLoop, IdleSelector] | None = None

    def run(self, coroutine: Any, replay: Replay, on_park: Callable[[], None]) -> Any:
        """``coroutine`` to its end; what it started and did not await is cancelled, so no task sees another's.

        Raises :class:`Parked` when it waits for requests that are not answered; ``on_park`` is called before the
        coroutine is unwound.
        """
        if asyncio._get_running_loop() is not None:  # callbacks run inside a service: then in a thread of their own
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(copy_context().run, self._run, coroutine, replay, on_park).result()
        return self._run(coroutine, replay, on_park)

    def close(self) -> None:
        """Ends the loop, if a coroutine needed one."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _run(self, coroutine: Any, replay: Replay, on_park: Callable[[], None]) -> Any:
        if self._open is None:
            selector = IdleSelector()
            self._open = asyncio.SelectorEventLoop(selector), selector
        loop, selector = self._open
        selector.replay = replay
        main = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(main)
        except RuntimeError:  # the loop was stopped
            if not replay.parked or main.done():
                raise
            on_park()
            raise Parked from None
        finally:
            selector.replay = None
            left = asyncio.all_tasks(loop)
            if left:
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())


class IdleSelector(selectors.DefaultSelector):
    """Tells a replay when its loop would begin to wait."""

    replay: Replay | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        replay = self.replay
        if replay is None or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        ready = super().select(0)
        if ready or replay.idle():
            return ready
        return super().select(timeout)
