"""``local://PATH``: the queues that ``crawlkit all`` serves on a Unix socket under its data path.

The client is here; the server is in :mod:`crawlkit.message_queue.server`.
"""

from __future__ import annotations

import socket

from crawlkit.message_queue.address import data_path_of, socket_path
from crawlkit.message_queue.client import QueueClient
from crawlkit.message_queue.server import LocalServer

__all__ = ["LocalBroker", "LocalServer"]


class LocalBroker(QueueClient):
    """A client of the :class:`LocalServer` with the same path.

    ``name`` is shown in the server's log; ``patience``: seconds that :meth:`connect` goes on trying.
    """

    def __init__(self, url: str, *, name: str = "", patience: float = 5.0) -> None:
        path = data_path_of(url)
        self._socket_path = str(socket_path(path))
        super().__init__(str(path), self._open, name=name, patience=patience)

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(5)
            sock.connect(self._socket_path)
        except OSError:
            sock.close()
            raise
        return sock
