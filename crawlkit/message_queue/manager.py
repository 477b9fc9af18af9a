"""``manager://:KEY@host:port``: the queues that ``crawlkit all`` of one host serves to others over TCP, with no broker.

Client and server have a shared key, of which only proofs go over the wire; what follows is not encrypted. The key is in
no message and in no repr.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from crawlkit.libs.errors import UsageError
from crawlkit.message_queue.client import QueueClient
from crawlkit.message_queue.memory import MAX_BYTES, MAX_MESSAGES, MemoryBroker
from crawlkit.message_queue.server import QueueServer

SCHEME = "manager://"
MIN_KEY = 16  # characters: who listens on the wire can try keys at home
CONNECT = 2.0  # seconds for an address; a lost first packet is sent again after one
PATIENCE = 15.0  # seconds that a client waits for its server at the start
EXPECTED = "expected manager://:KEY@host:port"
MAKE_ONE = "make one with `openssl rand -hex 24`"
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where to serve on every address -> where this host finds it


@dataclass(frozen=True)
class Address:
    """A URL, taken apart."""

    host: str
    port: int
    key: bytes = field(repr=False)

    @property
    def where(self) -> str:
        """For people: without the key."""
        return f"{SCHEME}[{self.host}]:{self.port}" if ":" in self.host else f"{SCHEME}{self.host}:{self.port}"


def address_of(url: str, key: str = "") -> Address:
    """``url`` taken apart; ``key`` holds where it has none. Raises :class:`UsageError`, which never shows a key."""
    try:
        parts = urlsplit(url)
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError as error:
        words = "its port is not a number from 1 to 65535" if "ort" in str(error) else "its host is not understood"
        raise UsageError(f"message queue manager://: {words}; {EXPECTED}") from None
    if not url.startswith(SCHEME) or not host or not port or parts.path.strip("/") or parts.query:
        raise UsageError(f"message queue manager://: {EXPECTED}, and nothing after the port")
    if parts.username:
        raise UsageError(f"message queue manager://: the key stands behind a colon and there is no name; {EXPECTED}")
    said = unquote(parts.password or "") or key
    address = Address(host, port, said.encode())
    if not said:
        raise UsageError(
            f"message queue {address.where}: there is no key: write it into the URL (manager://:KEY@...), or give"
            f" CRAWLKIT_QUEUE_KEY or CRAWLKIT_SECRET_KEY, the same on every host; {MAKE_ONE}"
        )
    if len(said) < MIN_KEY:
        raise UsageError(
            f"message queue {address.where}: its key is too short: it has {len(said)} characters, and fewer than"
            f" {MIN_KEY} can be guessed; {MAKE_ONE}"
        )
    return address


def derived_key(secret: str) -> str:
    """The key of the queues for those who share a secret key and nothing else."""
    return hmac.digest(secret.strip().encode(), b"crawlkit queue key", hashlib.sha256).hex()


class ManagerBroker(QueueClient):
    """A client of the :class:`ManagerServer` at ``url``.

    ``key`` holds where the URL has none; ``name`` is shown in the server's log; ``patience``: seconds that
    :meth:`connect` goes on trying.
    """

    def __init__(self, url: str, *, key: str = "", name: str = "", patience: float = PATIENCE) -> None:
        address = address_of(url, key)
        self._address = (ANYWHERE.get(address.host, address.host), address.port)
        super().__init__(address.where, self._open, name=name, key=address.key, patience=patience)

    def _open(self) -> socket.socket:
        return socket.create_connection(self._address, CONNECT)


class ManagerServer(QueueServer):
    """Serves on the host and port of ``url``, to who has its key; on every address where the host is 0.0.0.0 or ::."""

    def __init__(
        self,
        url: str,
        broker: MemoryBroker | None = None,
        *,
        key: str = "",
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.address = address_of(url, key)
        super().__init__(broker or MemoryBroker(max_messages, max_bytes), self.address.key)

    async def start(self) -> None:
        """Begins to serve; raises :class:`UsageError` when that is not possible here."""
        where = self.address.where
        try:
            found = socket.getaddrinfo(
                self.address.host, self.address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise UsageError(f"message queue {where}: {self.address.host}: {error.strerror or error}") from None
        try:
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                self.listen(_bound(family, address))
        except OSError as error:
            await self.close()
            raise UsageError(f"message queue {where} cannot be served here: {_why(error)}") from None


def _bound(family: int, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)  # type: ignore[index]
        sock.bind(address)  # type: ignore[arg-type]
    except OSError:
        sock.close()
        raise
    return sock


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return "the address is of another host: run `crawlkit node` here, and `crawlkit all` there"
    if error.errno == errno.EADDRINUSE:
        return "something listens there already: another crawlkit? Stop it, or use another port"
    return error.strerror or str(error)
