"""Joins libcurl's multi interface to the asyncio loop.

Knows sockets, timers and handles that are done; nothing of HTTP, tasks or limits. One object belongs to one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import selectors
from collections.abc import Callable
from typing import Any

import pycurl

Done = Callable[[int, str], None]  # libcurl's code (0: fine) and its text


class _Epoll:
    """curl's own set of sockets: the loop watches this one descriptor and curl's changes cost one system call.

    A connection that rests between two requests stays in the set, for it is wanted again soon; it leaves when it has
    something to say to nobody, and by itself when it is closed.
    """

    def __init__(self) -> None:
        come, go = select.EPOLLIN, select.EPOLLOUT
        self._in = come
        self._masks = {
            pycurl.POLL_NONE: 0, pycurl.POLL_IN: come, pycurl.POLL_OUT: go, pycurl.POLL_INOUT: come | go
        }  # fmt: skip
        self._epoll = select.epoll()
        self._known: set[int] = set()
        self._resting: set[int] = set()

    def fileno(self) -> int:
        return self._epoll.fileno()

    def watch(self, descriptor: int, what: int) -> None:
        mask = self._masks[what]
        if descriptor in self._known:
            self._resting.discard(descriptor)
            try:
                self._epoll.modify(descriptor, mask)
                return
            except FileNotFoundError:  # closed and opened again under the same number
                pass
        self._known.add(descriptor)
        self._epoll.register(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        if descriptor in self._known:
            self._resting.add(descriptor)

    def _drop(self, descriptor: int) -> None:
        self._known.discard(descriptor)
        self._resting.discard(descriptor)
        with contextlib.suppress(OSError):  # curl may have closed it already
            self._epoll.unregister(descriptor)

    def ready(self) -> list[tuple[int, int]]:
        found = []
        for descriptor, mask in self._epoll.poll(0):
            if descriptor in self._resting:
                self._drop(descriptor)
            elif mask == self._in:  # nearly all of them
                found.append((descriptor, pycurl.CSELECT_IN))
            else:
                action = 0
                if mask & ~select.EPOLLOUT:
                    action |= pycurl.CSELECT_IN
                if mask & ~select.EPOLLIN:
                    action |= pycurl.CSELECT_OUT
                if mask & select.EPOLLERR:
                    action |= pycurl.CSELECT_ERR
                found.append((descriptor, action))
        return found

    def close(self) -> None:
        self._epoll.close()


class _Kqueue:
    """The same where there is no epoll (macOS, BSD)."""

    def __init__(self) -> None:
        self._selector: Any = selectors.DefaultSelector()

    def fileno(self) -> int:
        number: int = self._selector.fileno()
        return number

    def watch(self, descriptor: int, what: int) -> None:
        mask = (selectors.EVENT_READ if what & pycurl.POLL_IN else 0) | (
            selectors.EVENT_WRITE if what & pycurl.POLL_OUT else 0
        )
        self.forget(descriptor)
        self._selector.register(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError, OSError):
            self._selector.unregister(descriptor)

    def ready(self) -> list[tuple[int, int]]:
        return [
            (
                key.fd,
                (pycurl.CSELECT_IN if mask & selectors.EVENT_READ else 0)
                | (pycurl.CSELECT_OUT if mask & selectors.EVENT_WRITE else 0),
            )
            for key, mask in self._selector.select(0)
        ]

    def close(self) -> None:
        self._selector.close()


class MultiLoop:
    """Runs handles until they are done. All methods are called from the loop's own thread."""

    def __init__(self, connections: int, per_host: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._poll = _Epoll() if hasattr(select, "epoll") else _Kqueue()
        self._running: dict[pycurl.Curl, Done] = {}
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._closed = False
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer_change)
        self.multi.setopt(pycurl.M_MAXCONNECTS, connections)
        if per_host:
            self.multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, per_host)
        self._loop.add_reader(self._poll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return len(self._running)

    def add(self, handle: pycurl.Curl, done: Done) -> None:
        """Starts a transfer; ``done`` is called once, never from within this call."""
        self._running[handle] = done
        self.multi.add_handle(handle)

    def remove(self, handle: pycurl.Curl) -> None:
        """Breaks a transfer off; its ``done`` is not called. Harmless for one that has ended."""
        if self._running.pop(handle, None) is not None:
            self.multi.remove_handle(handle)

    def wake(self) -> None:
        """Lets curl look at its transfers again, after one was unpaused."""
        if self._soon is None and not self._closed:
            self._soon = self._loop.call_soon(self._on_soon)

    def close(self) -> None:
        """Breaks everything off and closes all connections."""
        if self._closed:
            return
        self._closed = True
        for handle in list(self._running):
            self.remove(handle)
        for waiting in (self._timer, self._soon):
            if waiting is not None:
                waiting.cancel()
        self._loop.remove_reader(self._poll.fileno())
        self.multi.close()
        self._poll.close()

    def _on_socket(self, what: int, descriptor: int, multi: object, data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._poll.forget(descriptor)
        else:
            self._poll.watch(descriptor, what)

    def _on_timer_change(self, milliseconds: int) -> None:
        """A timer is only ever moved forward; one that comes too early looks at ``_due`` and goes back to sleep."""
        if milliseconds < 0:
            self._due = None
        elif milliseconds == 0:
            self._due = None
            if self._soon is None:
                self._soon = self._loop.call_soon(self._on_soon)
        else:
            self._due = due = self._loop.time() + milliseconds / 1000
            if self._timer is None or self._timer.when() > due:
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = self._loop.call_at(due, self._on_timer)

    def _on_soon(self) -> None:
        self._soon = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._reap()

    def _on_timer(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due - 0.0005:
            self._timer = self._loop.call_at(self._due, self._on_timer)
            return
        self._due = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._reap()

    def _on_ready(self) -> None:
        for descriptor, action in self._poll.ready():
            self._act(descriptor, action)
        self._reap()

    def _act(self, descriptor: int, action: int) -> None:
        while True:
            code, _ = self.multi.socket_action(descriptor, action)
            if code != pycurl.E_CALL_MULTI_PERFORM:
                return

    def _reap(self) -> None:
        left = 1
        while left:
            left, fine, failed = self.multi.info_read()
            for handle in fine:
                self._end(handle, 0, "")
            for handle, code, text in failed:
                self._end(handle, code, text)

    def _end(self, handle: pycurl.Curl, code: int, text: str) -> None:
        done = self._running.pop(handle, None)
        if done is not None:
            self.multi.remove_handle(handle)
            done(code, text)
