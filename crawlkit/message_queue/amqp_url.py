"""What an ``amqp://`` URL says. Pure: opens nothing.

``amqp://USER:PASSWORD@HOST:PORT/VHOST?prefix=crawlkit``; ``amqps://`` is the same over TLS. Several hosts of one
cluster are divided by commas. The virtual host ``/`` is written ``%2F``, and is meant by no path at all [R30].
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import masked

PORTS = {"amqp": 5672, "amqps": 5671}
HEARTBEAT = 10  # seconds; a connection without a sign of life for twice that is lost
PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,100}")
OPTIONS = ("prefix", "heartbeat", "queue_type", "cacertfile", "certfile", "keyfile", "verify")


class AmqpAddress(NamedTuple):
    """An ``amqp://`` URL, taken apart."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str
    vhost: str
    tls: bool
    prefix: str  # of the names of the queues
    heartbeat: int  # seconds
    queue_type: str  # "quorum", "classic", "": the best that the server has
    cacertfile: str
    certfile: str
    keyfile: str
    verify: bool  # the server's certificate

    @property
    def shown(self) -> str:
        """For people and logs: without the password."""
        hosts = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts)
        return masked(f"{'amqps' if self.tls else 'amqp'}://{self.user}@{hosts}/{self.vhost.replace('/', '%2F')}")


def read_address(url: str) -> AmqpAddress:
    """Raises :class:`UsageError`; never repeats a password."""
    scheme, _, rest = url.partition("://")
    if scheme not in PORTS:
        raise UsageError(f"message queue {scheme}://: write amqp:// or amqps://")
    parts = urlsplit(f"//{rest}")
    login, at, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    vhost = unquote(parts.path[1:]) or "/"
    options = _options(scheme, parts.query)
    heartbeat = options.get("heartbeat", str(HEARTBEAT))
    if not heartbeat.isdecimal() or not 1 <= int(heartbeat) <= 3600:
        raise UsageError(f"message queue {scheme}://: heartbeat={heartbeat!r} must be 1 to 3600 seconds")
    queue_type = options.get("queue_type", "")
    if queue_type not in {"", "quorum", "classic"}:
        raise UsageError(f"message queue {scheme}://: queue_type={queue_type!r} must be quorum or classic")
    verify = options.get("verify", "verify_peer")
    if verify not in {"verify_peer", "verify_none"}:
        raise UsageError(f"message queue {scheme}://: verify={verify!r} must be verify_peer or verify_none")
    prefix = options.get("prefix", "crawlkit")
    if not PREFIX.fullmatch(prefix):
        raise UsageError(f"message queue {scheme}://: prefix={prefix!r} must be 1 to 100 of A-Z a-z 0-9 _ . -")
    return AmqpAddress(
        hosts=tuple(_host(scheme, place) for place in places.split(",")),
        user=unquote(user) if at else "guest",
        password=unquote(password) if at else "guest",
        vhost=vhost,
        tls=scheme == "amqps",
        prefix=prefix,
        heartbeat=int(heartbeat),
        queue_type=queue_type,
        cacertfile=options.get("cacertfile", ""),
        certfile=options.get("certfile", ""),
        keyfile=options.get("keyfile", ""),
        verify=verify == "verify_peer",
    )


def _options(scheme: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            raise UsageError(f"message queue {scheme}://: no option {name!r}; there are {', '.join(OPTIONS)}")
    return options


def _host(scheme: str, place: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UsageError(f"message queue {scheme}://: write {scheme}://USER:PASSWORD@HOST:{PORTS[scheme]}/VHOST")
    return host, port or PORTS[scheme]
