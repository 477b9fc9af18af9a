"""The scheduler as the web UI sees it: a control client per thread, made when it is first needed.

Raises :class:`ServiceUnreachable` when no scheduler answers; nothing of the web UI may depend on one being there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.scheduler.control import ControlClient


class SchedulerDoor:
    """Calls methods of the control channel from any thread. ``connect`` makes a client or raises."""

    def __init__(self, connect: Callable[[], ControlClient]) -> None:
        self._connect = connect
        self._threads = threading.local()

    @property
    def client(self) -> ControlClient:
        """This thread's client; for several calls in a row, or the methods with checked arguments."""
        known: ControlClient | None = getattr(self._threads, "client", None)
        if known is None:
            known = self._threads.client = self._connect()
        return known

    def call(self, method: str, **args: Any) -> Any:
        """One call. A scheduler that was started anew has another address: it is looked up again, once."""
        client = self.client
        try:
            return client.call(method, **args)
        except ServiceUnreachable:
            self.forget()
            fresh = self.client
            if (fresh.url, fresh.token) == (client.url, client.token):
                raise
            return fresh.call(method, **args)

    def forget(self) -> None:
        """Closes this thread's connection."""
        known: ControlClient | None = getattr(self._threads, "client", None)
        if known is not None:
            known.close()
            self._threads.client = None
