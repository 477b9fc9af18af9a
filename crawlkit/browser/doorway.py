"""Takes connections for the browser service: those who have not shown that they may be here are few, and wait shortly.

When no descriptor is left, listening rests for a moment: who knocks meanwhile waits, and neither loop nor log spin.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Iterable
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

log = logging.getLogger("crawlkit.browser")

AT_ONCE = 8  # connections taken before those that came have their turn, so that a burst of guests stays few strangers
TAKE_AGAIN = 1.0  # seconds until the next try when no connection can be taken
TELL_AGAIN = 60.0  # seconds until the same trouble is logged again
GREETING = 10.0  # seconds for a first request that is let in
MAX_STRANGERS = 128  # connections without one; the oldest goes when there are more
OPEN_FILES = 65_536


class Doorway(HTTPServer):
    """An HTTP server of one event loop. :meth:`welcome` is told of each connection that brought a good request."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._strangers: dict[IOStream, asyncio.TimerHandle] = {}  # in the order of coming
        self._told = -TELL_AGAIN

    @property
    def strangers(self) -> int:
        """Connections that brought no good request yet."""
        return len(self._strangers)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Takes connections from bound sockets that listen."""
        for listener in sockets:
            listener.setblocking(False)
            self._sockets[listener.fileno()] = listener
            self._listen(listener)

    def welcome(self, stream: IOStream) -> None:
        """Who is there may stay as long as connections may."""
        timer = self._strangers.pop(stream, None)
        if timer is not None:
            timer.cancel()

    def on_close(self, server_conn: object) -> None:
        """A connection has ended."""
        super().on_close(server_conn)
        assert isinstance(server_conn, HTTP1ServerConnection)
        self.welcome(server_conn.stream)

    def _listen(self, listener: socket.socket) -> None:
        loop, number = asyncio.get_running_loop(), listener.fileno()
        loop.add_reader(number, self._take, listener)

        def leave() -> None:
            loop.remove_reader(number)

        self._handlers[number] = leave

    def _take(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # it went before it was taken
                continue
            except OSError as error:  # mostly no descriptor is left; who knocks still does
                self._rest(listener, error)
                return
            self._come(connection, address)

    def _rest(self, listener: socket.socket, error: OSError) -> None:
        loop, number = asyncio.get_running_loop(), listener.fileno()
        if loop.time() - self._told >= TELL_AGAIN:
            self._told = loop.time()
            log.error(
                "cannot take a connection (%s): allow this service more open files (ulimit -n)",
                error.strerror or error,
            )
        loop.remove_reader(number)
        timer = loop.call_later(TAKE_AGAIN, self._listen, listener)
        self._handlers[number] = timer.cancel

    def _come(self, connection: socket.socket, address: Any) -> None:
        stream = IOStream(connection, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size)
        loop = asyncio.get_running_loop()
        self._strangers[stream] = loop.call_later(GREETING, stream.close)
        self.handle_stream(stream, address)
        if len(self._strangers) > max_strangers():
            oldest = next(iter(self._strangers))
            self.welcome(oldest)  # out of the list at once: of its end the server hears a little later
            oldest.close()


def max_strangers() -> int:
    """Connections without a good request: a quarter of all descriptors at most."""
    return min(MAX_STRANGERS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)


def allow_open_files(wanted: int = OPEN_FILES) -> None:
    """Raises the process's own limit of open descriptors as far as it may: each page needs dozens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError) as error:  # macOS has a limit below its hard one
            log.debug("open files stay limited to %d: %s", soft, error)
