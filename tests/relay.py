"""A relay between a client and a server that fails in the middle of what they say: silent, ended, or cut within a word.

Whatever it does not pass on it still reads, so that the systems on both sides confirm every packet: nothing but a
deadline of the client's own tells that nobody is there.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

SILENT, ENDED, HALF = "silent", "ended", "half"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing throws away and says so


class Fault(NamedTuple):
    """What becomes of each new connection: ``after`` so many pieces from the server it fails."""

    after: int
    how: str  # SILENT: nothing passes any more; ENDED: it is closed; HALF: a half of the next piece, and a reset


class Relay:
    """Listens on ``port`` of the loopback for ``server``, (host, port). A context manager."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.fault: Fault | None = None
        self.connections = 0
        self.pieces = 0  # that came from the server on the newest connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # else the thread would go on in accept()
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Ends all connections."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            _end(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.server)
            except OSError:
                return
            with self._lock:
                self._sockets += [client, server]
            self.connections += 1
            self.pieces = 0
            fault, silent = self.fault, threading.Event()
            if fault == Fault(0, ENDED):
                _end(client)
            for pump in (self._up, self._down):
                threading.Thread(target=pump, args=(client, server, fault, silent), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, fault: Fault | None, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if not silent.is_set():
                    server.sendall(data)
        _end(server)

    def _down(self, client: socket.socket, server: socket.socket, fault: Fault | None, silent: threading.Event) -> None:
        passed = 0
        with suppress(OSError):
            while data := server.recv(65536):
                self.pieces += 1
                if fault is not None and passed >= fault.after:
                    if fault.how == HALF:
                        client.sendall(data[: len(data) // 2])
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        client.shutdown(socket.SHUT_RD)  # the other thread lets go of it
                        client.close()
                        return
                    silent.set()
                    continue
                client.sendall(data)
                passed += 1
                if fault == Fault(passed, ENDED):
                    break
        if not silent.is_set():
            _end(client)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
