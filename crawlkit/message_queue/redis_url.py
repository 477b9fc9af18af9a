"""What a Redis URL says: where, as whom, which database, how TLS is spoken, and under which name the queues stand.

Opens nothing. Passwords never appear in what is said to people.
"""

from __future__ import annotations

import re
import ssl
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from crawlkit.libs.errors import UsageError

SCHEMES = ("redis", "rediss", "redis+unix", "unix")
PORT = 6379
EXAMPLE = "redis://[[USER]:PASSWORD@]HOST:6379/0"
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
OPTIONS = ("prefix", "db", *TLS_OPTIONS)


class RedisURL(NamedTuple):
    """A Redis URL, taken apart."""

    hosts: tuple[tuple[str, int], ...]  # of a cluster several; empty for a Unix socket
    path: str  # of the Unix socket
    db: int
    user: str
    password: str
    prefix: str
    tls: bool
    tls_options: dict[str, str]

    @property
    def where(self) -> str:
        """The place, for people."""
        if self.path:
            return f"{self.path}, database {self.db}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"redis{'s' if self.tls else ''}://{hosts}/{self.db}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """How TLS is spoken; None without it. Raises :class:`UsageError` for a file that is not good."""
        if not self.tls:
            return None
        said = self.tls_options
        try:
            context = ssl.create_default_context(cafile=said.get("ssl_ca_certs"))
            if "ssl_certfile" in said:
                context.load_cert_chain(said["ssl_certfile"], said.get("ssl_keyfile"))
        except OSError as error:  # ssl.SSLError too
            files = ", ".join(f"{name}={said[name]}" for name in TLS_OPTIONS[:3] if name in said)
            raise UsageError(f"message queue {self.where}: {files}: {error.strerror or error}") from None
        if said.get("ssl_check_hostname", "true").lower() in ("false", "no", "0") or self._unchecked:
            context.check_hostname = False
        if self._unchecked:
            context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def _unchecked(self) -> bool:
        return self.tls_options.get("ssl_cert_reqs", "required") == "none"


def parse_redis_url(url: str) -> RedisURL:
    """Takes a Redis URL apart [R30]; raises :class:`UsageError` in words.

    ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]``, ``rediss://`` the same over TLS, ``redis://H1:P1,H2:P2`` nodes of a
    cluster, ``redis+unix:///PATH?db=0`` a socket. Options of the query: see ``OPTIONS``.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        raise UsageError(f"message queue: write {EXAMPLE}")
    rest, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            raise UsageError(f"message queue {scheme}://: option {name!r} is unknown; known are {', '.join(OPTIONS)}")
    login, at, place = rest.rpartition("@")
    user, colon, password = login.partition(":")
    if at and not colon:  # redis://PASSWORD@host, as some write it
        user, password = "", user
    hosts: tuple[tuple[str, int], ...] = ()
    path = ""
    if "unix" in scheme:
        path, database = unquote(place), options.get("db", "0")
        if not path.startswith("/"):
            raise UsageError(f"message queue {scheme}://: write {scheme}:///PATH/OF/redis.sock?db=0")
    else:
        addresses, _, database = place.partition("/")
        database = database.strip("/") or options.get("db", "0")
        hosts = tuple(_address(one, scheme) for one in addresses.split(","))
    if not database.isdigit():
        raise UsageError(f"message queue {scheme}://: the database {database!r} is no number: write {EXAMPLE}")
    prefix = options.get("prefix", "crawlkit")
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", prefix):
        raise UsageError(f"message queue {scheme}://: prefix {prefix!r}: use 1 to 64 of A-Z a-z 0-9 _ . : -")
    tls = scheme == "rediss"
    said = {name: value for name, value in options.items() if name in TLS_OPTIONS}
    if said and not tls:
        raise UsageError(f"message queue {scheme}://: {next(iter(said))} is for TLS: write rediss://")
    if said.get("ssl_cert_reqs", "required") not in ("none", "required"):
        raise UsageError(f"message queue {scheme}://: ssl_cert_reqs is none or required")
    return RedisURL(hosts, path, int(database), unquote(user), unquote(password), prefix, tls, said)


def _address(text: str, scheme: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]*))(?::(\d{1,5}))?", text.strip())
    port = int(match[3] or PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise UsageError(f"message queue {scheme}://: {text!r} is no HOST:PORT: write {EXAMPLE}")
    return match[1] or unquote(match[2]) or "localhost", port
