"""The worker's end of its socket: frames in and out, and the time it had to wait for the service.

Runs in the worker. Blocks; decides nothing about tasks.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from crawlkit.processor import frames

_ANSWERS = (frames.ANSWER, frames.ANSWER_END, frames.ANSWER_NONE)


class WorkerPipe:
    """Frames over a blocking socket.

    ``on_hold`` is called when the worker has to wait for the service, ``on_go`` when that is over.
    """

    def __init__(self, sock: socket.socket, on_hold: Callable[[], None], on_go: Callable[[], None]) -> None:
        self._sock = sock
        self._on_hold = on_hold
        self._on_go = on_go
        self._reader = frames.FrameReader()
        self._waiting: deque[frames.Frame] = deque()
        self._answers: deque[frames.Frame] = deque()

    def next(self) -> frames.Frame:
        """The next order, in the order sent. Ends the process when the service has hung up."""
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """Writes a frame whole; waits while the service does not read."""
        head = frames.header(kind, number, len(payload))
        try:
            sent = self._sock.sendmsg([head, payload], (), socket.MSG_DONTWAIT)  # one call is the usual case
            if sent == len(head) + len(payload):
                return
        except BlockingIOError:
            sent = 0
        except OSError:
            os._exit(0)
        self._on_hold()
        try:
            self._sock.sendall((head + payload)[sent:])
        except OSError:
            os._exit(0)
        self._on_go()

    def ask(self, what: str, name: str, number: int) -> bytes | None:
        """Asks the service for something that only it can reach; ``None`` when there is no such thing."""
        self.send(frames.ASK, number, msgspec.msgpack.encode((what, name)))
        self._on_hold()
        pieces: list[bytes] = []
        kind = frames.ANSWER
        while kind == frames.ANSWER:
            while not self._answers:
                self._read()
            kind, _, piece = self._answers.popleft()
            pieces.append(piece)
        self._on_go()
        return None if kind == frames.ANSWER_NONE else b"".join(pieces)

    def close(self) -> None:
        """Lets go of the socket."""
        self._sock.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(frames.CHUNK)
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # at once: nothing that a callback left behind may hold it up
        for frame in self._reader.feed(data):
            (self._answers if frame[0] in _ANSWERS else self._waiting).append(frame)


class Nothing:
    """Stands where a forked copy of a worker must have no pipe: using it ends that copy."""

    def __getattr__(self, name: str) -> Any:
        os._exit(1)
