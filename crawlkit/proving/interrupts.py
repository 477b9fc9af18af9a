"""Ctrl-C and SIGTERM end what runs, and never the taking away of what it made."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While it is entered, the first of :data:`SIGNALS` raises ``KeyboardInterrupt`` in the main thread, once.

    What comes while something is :meth:`held` is raised behind it; what comes after the first is heard by nobody.
    ``on_raise()`` is called before it is raised.
    """

    def __init__(self, on_raise: Callable[[], object] = lambda: None) -> None:
        self._on_raise = on_raise
        self._held = 0
        self._asked = self._raised = False
        self._before: list[Any] = []

    def __enter__(self) -> Interrupts:
        self._before = [signal.signal(number, self._came) for number in SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """For what must come to its end once it has begun; it has time limits of its own."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._raise()

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._raise()

    def _raise(self) -> None:
        if self._asked and not self._raised and not self._held:
            self._raised = True
            self._on_raise()
            raise KeyboardInterrupt
