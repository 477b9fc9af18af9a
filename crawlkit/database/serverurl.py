"""Takes the URL of a database server apart: ``postgresql://user:password@host:port/database?option=value``.

Pure. A password is never part of what is said to people: see :func:`~crawlkit.libs.url_masking.masked`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import hidden, masked

DATABASE = "crawlkit"  # when the URL names none
POSTGRESQL, MARIADB = "postgresql", "mariadb"
_NAME = re.compile(r"[^\x00-\x1f/\\.`\"]{1,63}")

#: engine of a URL -> (kind of server, its name for people, its port)
SERVERS = {
    "postgresql": (POSTGRESQL, "PostgreSQL", 5432),
    "postgres": (POSTGRESQL, "PostgreSQL", 5432),
    "mysql": (MARIADB, "MySQL", 3306),
    "mariadb": (MARIADB, "MariaDB", 3306),
}
#: Drivers that URLs may name. Ours are psycopg and PyMySQL; others stand in URLs that worked with pyspider.
_DRIVERS = {
    POSTGRESQL: {"", "psycopg", "psycopg2", "pg8000", "asyncpg"},
    MARIADB: {"", "pymysql", "mysqlconnector", "mysqldb", "mariadbconnector"},
}
_TLS = {
    POSTGRESQL: ("sslmode", "sslrootcert", "sslcert", "sslkey"),
    MARIADB: ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity"),
}
_OPTIONS = {
    POSTGRESQL: ("host", "timeout", "connect_timeout", "read_timeout", *_TLS[POSTGRESQL]),
    MARIADB: ("unix_socket", "timeout", "connect_timeout", "read_timeout", "charset", *_TLS[MARIADB]),
}
_SECONDS = ("timeout", "connect_timeout", "read_timeout")


class ServerURL(NamedTuple):
    """Where a database is. Without ``user`` and ``password`` the driver's own ways hold (a peer's name, ~/.pgpass)."""

    kind: str  # POSTGRESQL or MARIADB
    label: str  # PostgreSQL, MySQL or MariaDB, for people
    user: str
    password: str
    host: str
    port: int
    database: str
    options: Mapping[str, str]

    @property
    def where(self) -> str:
        """For people."""
        host = self.options.get("host") or self.options.get("unix_socket") or self.host
        place = host if host.startswith("/") else f"{f'[{host}]' if ':' in host else host}:{self.port}"
        return f"{self.label} {place}/{self.database}"

    def seconds(self, option: str, default: float) -> float:
        """The value of an option that is a time."""
        return float(self.options.get(option, default))


def parse_server(engine: str, driver: str, rest: str, url: str) -> ServerURL:
    """Takes apart what follows ``://``; raises :class:`UsageError` in words. ``url``: all of it, to be shown."""
    said = f"database URL {masked(url)!r}"
    try:
        return _parsed(engine, driver, rest, said)
    except UsageError as error:
        raise UsageError(said + hidden(str(error).removeprefix(said), url)) from None


def _parsed(engine: str, driver: str, rest: str, said: str) -> ServerURL:
    kind, label, port = SERVERS[engine]
    if driver not in _DRIVERS[kind]:
        ours = "psycopg" if kind == POSTGRESQL else "pymysql"
        raise UsageError(f"{said}: unknown driver {driver!r}: write {engine}+{ours}://")
    place, _, query = rest.partition("?")
    account, at, address = place.rpartition("@")
    address, _, database = address.partition("/")
    user, _, password = account.partition(":") if at else ("", "", "")
    database = unquote(database).strip("/") or DATABASE
    if not _NAME.fullmatch(database):
        raise UsageError(f"{said}: the name of the database: use up to 63 letters, digits and underscores")
    host, number = _address(address, port, said)
    return ServerURL(kind, label, unquote(user), unquote(password), host, number, database, _options(kind, query, said))


def _address(address: str, port: int, said: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]*)(?::(\d*))?", address)
    if found is None:
        raise UsageError(f"{said}: expected host:port, not {address!r} (an IPv6 address stands in [brackets])")
    number = int(found[2] or port)
    if not 0 < number < 65536:
        raise UsageError(f"{said}: port {number}: use one between 1 and 65535")
    return unquote(found[1].strip("[]")) or "localhost", number


def _options(kind: str, query: str, said: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS[kind]:
            raise UsageError(f"{said}: unknown option {name!r}: there are {', '.join(_OPTIONS[kind])}")
        if name in _SECONDS:
            try:
                good = 0 <= float(value) <= 3600
            except ValueError:
                good = False
            if not good:
                raise UsageError(f"{said}: {name}={value}: use a number of seconds, up to 3600")
    return options
