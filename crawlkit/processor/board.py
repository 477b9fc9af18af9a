"""Memory that a worker and the service share: which task runs, since when, how long it was held up, and last words.

Only numbers of eight bytes, each written by one side at a time, and behind them the traceback that a dying worker
leaves. Nobody waits here.
"""

from __future__ import annotations

import mmap
import os
import tempfile

LAST_WORDS = mmap.PAGESIZE  # where the traceback begins
SIZE = 4 * mmap.PAGESIZE
_RUNNING, _DONE, _PROCESSES, _BACK_FROM, _BACK_TO = 0, 1, 2, 16, 17  # places of whole numbers
_STARTED, _HELD_UP, _HELD_SINCE, _BUSY = 4, 5, 6, 7  # places of times and durations (monotonic seconds)


def create_memory() -> int:
    """A file descriptor of zeroed memory without a name. The caller closes it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("crawlkit-board", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, SIZE)
    return fd


class Board:
    """One side's view of the memory behind ``fd``, which may be closed afterwards."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE)
        self._numbers = memoryview(self._map).cast("Q")
        self._times = memoryview(self._map).cast("d")

    # The worker's side.

    def start(self, number: int, now: float) -> None:
        """Task ``number`` runs from ``now`` on."""
        times = self._times
        times[_STARTED] = now
        times[_HELD_UP] = 0.0
        times[_HELD_SINCE] = 0.0
        self._numbers[_PROCESSES] = 0
        self._numbers[_RUNNING] = number

    def end(self, now: float) -> None:
        """Nothing runs; the task's outcome is on its way."""
        times = self._times
        times[_BUSY] += now - times[_STARTED] - times[_HELD_UP]
        self._numbers[_RUNNING] = 0
        self._numbers[_DONE] += 1

    def taken_back(self, number: int) -> bool:
        """Whether the service has taken task ``number`` back. Ask after :meth:`start`."""
        numbers = self._numbers
        return numbers[_BACK_FROM] <= number < numbers[_BACK_TO]

    def drop(self) -> None:
        """The task that was to start does not."""
        self._numbers[_RUNNING] = 0

    def hold(self, now: float) -> None:
        """The callback waits for the service: this time is not its own."""
        self._times[_HELD_SINCE] = now

    def release(self, now: float) -> None:
        """The callback goes on."""
        times = self._times
        times[_HELD_UP] += now - times[_HELD_SINCE]
        times[_HELD_SINCE] = 0.0

    def count_process(self) -> int:
        """One more process was started by the running task or by its descendants; returns how many now."""
        self._numbers[_PROCESSES] += 1
        return self._numbers[_PROCESSES]

    # The service's side.

    def take_back(self, first: int, last: int) -> None:
        """The worker shall not start tasks ``first`` to ``last``. Earlier ones have started or were taken back."""
        self._numbers[_BACK_TO] = last + 1
        self._numbers[_BACK_FROM] = first

    @property
    def running(self) -> int:
        """The task that runs, 0 for none."""
        return self._numbers[_RUNNING]

    @property
    def done(self) -> int:
        """How many tasks have ended."""
        return self._numbers[_DONE]

    @property
    def busy(self) -> float:
        """Seconds that all ended tasks together had for themselves."""
        return self._times[_BUSY]

    def own_time(self, now: float) -> float:
        """Seconds that the running task has had for itself; 0 when none runs."""
        if not self._numbers[_RUNNING]:
            return 0.0
        times = self._times
        started, held_up, held_since = times[_STARTED], times[_HELD_UP], times[_HELD_SINCE]
        return max(0.0, (held_since or now) - started - held_up)

    def last_words(self) -> str:
        """The traceback that faulthandler wrote when the worker crashed or was asked where it is; ``""`` for none."""
        return self._map[LAST_WORDS:].split(b"\0", 1)[0].decode("utf-8", "replace")

    def close(self) -> None:
        """Gives the memory back."""
        self._numbers.release()
        self._times.release()
        self._map.close()
