"""The lines before servers: so many ask one of them at once, the others wait for their turn. Pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

Server = tuple[str, int]  # host and port


class Waiting(Protocol):
    """``server``: whose line it is; ``None``: it needs none. ``waits``: whether it stands there, which is said here."""

    @property
    def server(self) -> Server | None: ...

    waits: bool


T = TypeVar("T", bound=Waiting)


class ServerLines(Generic[T]):
    """Who waits until a server has a connection to spare, first come first served; at most ``most`` ask one at once.

    libcurl would hold them too, and look at all of them whenever one ends.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._asking: dict[Server, int] = {}
        self._lines: dict[Server, deque[T]] = {}

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._lines)

    def enter(self, transfer: T) -> bool:
        """Whether it may ask now; else :meth:`leave` of another one names it."""
        server = transfer.server
        if server is None or not self._most:
            return True
        asking = self._asking.get(server, 0)
        if asking < self._most:
            self._asking[server] = asking + 1
            return True
        self._lines.setdefault(server, deque()).append(transfer)
        transfer.waits = True
        return False

    def leave(self, transfer: T) -> T | None:
        """Its place is free; whose it is now."""
        server = transfer.server
        if server is None or not self._most:
            return None
        line = self._lines.get(server)
        if line is None:
            asking = self._asking[server] - 1
            if asking:
                self._asking[server] = asking
            else:
                del self._asking[server]
            return None
        if transfer.waits:
            transfer.waits = False
            line.remove(transfer)
            following = None
        else:
            following = line.popleft()
            following.waits = False
        if not line:
            del self._lines[server]
        return following
