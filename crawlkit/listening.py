"""Takes connections, for every server of crawlkit: whoever comes, in whatever number, the rest goes on.

When no descriptor is left, listening rests for a moment: who knocks meanwhile waits, and neither loop nor log spin.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Iterable
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

log = logging.getLogger(__name__)

AT_ONCE = 8  # connections taken before those that came have their turn, so that a burst of guests stays few strangers
TAKE_AGAIN = 1.0  # seconds until the next try when no connection can be taken
TELL_AGAIN = 60.0  # seconds until the same trouble is logged again
GREETING = 10.0  # seconds for a first request that is let in
MAX_STRANGERS = 128  # connections without one; the oldest goes when there are more
OPEN_FILES = 65_536


class Listener:
    """Takes connections from a bound socket that listens, in the running loop, until :meth:`stop`."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, Any], object],
        what: str = "this service cannot take a connection",
    ) -> None:
        """``take`` is given each new connection and the address that it comes from; ``what``: for the log."""
        self.socket = listener
        self._take = take
        self._what = what
        self._told = -TELL_AGAIN
        self._timer: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def stop(self) -> None:
        """Takes no more. The socket stays open."""
        if self._timer is not None:
            self._timer.cancel()
        else:
            asyncio.get_running_loop().remove_reader(self.socket.fileno())

    def _listen(self) -> None:
        self._timer = None
        asyncio.get_running_loop().add_reader(self.socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self.socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # it went before it was taken
                continue
            except OSError as error:  # mostly no descriptor is left; who knocks still does
                self._rest(error)
                return
            self._take(connection, address)

    def _rest(self, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._told >= TELL_AGAIN:
            self._told = loop.time()
            log.error("%s (%s): allow it more open files (ulimit -n)", self._what, error.strerror or error)
        loop.remove_reader(self.socket.fileno())
        self._timer = loop.call_later(TAKE_AGAIN, self._listen)


class SteadyServer(HTTPServer):
    """Tornado's HTTP server, for one event loop, which outlives a lack of descriptors."""

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Takes connections from bound sockets that listen."""
        for listener in sockets:
            number = listener.fileno()
            self._sockets[number] = listener
            self._handlers[number] = Listener(listener, self._come).stop

    def _come(self, connection: socket.socket, address: Any) -> None:
        self._handle_connection(connection, address)


class Doorway(SteadyServer):
    """Those who have not shown that they may be here are few, and wait shortly.

    :meth:`welcome` is told of each connection that brought a good request.
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._strangers: dict[IOStream, asyncio.TimerHandle] = {}  # in the order of coming

    @property
    def strangers(self) -> int:
        """Connections that brought no good request yet."""
        return len(self._strangers)

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
