"""The time limit that a callback can see: an exception in its own line, raised by a timer of the process.

Runs in the worker's main thread. The hard limit is the service's: it kills the worker a second later.
"""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import Any

_NOT_THE_HANDLERS = ("/asyncio/", "/crawlkit/processor/", "/crawlkit/libs/")


class TimeLimit(BaseException):
    """The callback has used up its time. Not an ``Exception``, so that ``except Exception`` in it lets this pass."""


class SoftLimit:
    """Raises :class:`TimeLimit` when the running callback's own time is over, but never between the shields."""

    def __init__(self) -> None:
        self.rang = False
        """Whether the time of the last or running callback was over."""
        self._shielded = True
        self._seconds = 0.0
        self._left = 0.0  # seconds to go when the shield is lifted; 0: the timer runs or is not set
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        if self._shielded:
            self._left = 0.001  # rings again when the shield is lifted
            return
        self.rang = True
        raise TimeLimit(f"the callback ran over its limit of {self._seconds:g} s{_awaiting()}")

    def start(self, seconds: float) -> None:
        """From now on ``seconds`` of own time."""
        self._seconds = seconds
        self._left = 0.0
        self.rang = self._shielded = False
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))

    def stop(self) -> None:
        """The callback is over."""
        self._shielded = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._left = 0.0

    def shield(self) -> None:
        """What follows must not be interrupted: half a frame may be written."""
        self._shielded = True

    def pause(self) -> None:
        """Inside the shield: the time from here on is not the callback's."""
        left = signal.setitimer(signal.ITIMER_REAL, 0)[0]
        if left:
            self._left = left

    def lift(self) -> None:
        """The callback goes on, with the time it had left."""
        left, self._left = self._left, 0.0
        self._shielded = False
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


def _awaiting() -> str:
    """Where coroutines wait while the event loop sleeps: no traceback would show that."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return ""
    if asyncio.current_task(loop) is not None:
        return ""
    places = {place for task in asyncio.all_tasks(loop) if (place := _place(task.get_coro()))}
    return f"; it awaited in {', '.join(sorted(places))}" if places else ""


def _place(coroutine: Any) -> str:
    """The innermost line of a suspended coroutine that is neither asyncio's nor the framework's."""
    place = ""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        filename = frame.f_code.co_filename
        if not any(part in filename for part in _NOT_THE_HANDLERS):
            place = f"{filename} line {frame.f_lineno}"
        coroutine = coroutine.cr_await
    return place
