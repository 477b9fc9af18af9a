"""Queues for a while: under a prefix of their own, removed when they are no longer wanted. For what proves only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import masked
from crawlkit.message_queue.registry import connect_broker

#: Schemes of brokers that know prefixes; the queues of others end with the process that serves them.
_PREFIXED = ("redis", "rediss", "redis+unix", "unix", "amqp", "amqps")
_OURS = ("local", "manager", "memory")


def has_prefix(url: str) -> bool:
    """Whether queues at ``url`` stand under a prefix, in a broker that outlives crawlkit.

    Raises :class:`UsageError` for a broker of another package, of which that is not known.
    """
    scheme = url.partition("://")[0]
    if scheme in _PREFIXED or scheme.startswith("kombu+"):
        return True
    if scheme in _OURS:
        return False
    raise UsageError(f"message queue {masked(url)!r}: nobody knows here how its queues are kept apart from others")


def with_prefix(url: str, prefix: str) -> str:
    """The URL of the same broker with another prefix. Pure."""
    place, _, query = url.partition("?")
    kept = [option for option in query.split("&") if option and option.partition("=")[0] != "prefix"]
    return f"{place}?{'&'.join([*kept, f'prefix={prefix}'])}"


async def remove(url: str, names: Iterable[str], patience: float = 5.0) -> None:
    """Takes away all that stands under the prefix of ``url``: queues, dead letters, the epoch.

    ``names``: of the queues that there may be. Nobody may use them any more. ``patience``: seconds for a broker that is
    away. Raises ``QueueUnavailable`` or :class:`UsageError` in words.
    """
    broker: Any = connect_broker(url, name="remove")
    if has_prefix(url):
        broker.patience = patience
        await broker.remove(list(names))
