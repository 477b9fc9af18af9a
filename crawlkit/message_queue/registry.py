"""From a URL to a broker. The only place that knows which backends there are; each is imported when asked for."""

from __future__ import annotations

from typing import Any, cast

from crawlkit.libs import plugins
from crawlkit.libs.errors import UsageError
from crawlkit.libs.extras import install_command
from crawlkit.libs.url_masking import hidden, masked
from crawlkit.message_queue.base import Broker
from crawlkit.message_queue.memory import MAX_BYTES, MAX_MESSAGES

KNOWN = (
    "memory://, local://PATH, manager://:KEY@host:port, redis://host:port/db, amqp://USER:PASSWORD@host:port/VHOST, "
    "kombu+TRANSPORT://..."
)
PLUGINS = "crawlkit.message_queues"  # entry points of other packages


def connect_broker(
    url: str, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES, name: str = "", key: str = ""
) -> Broker:
    """The broker of ``url``, not yet connected; raises :class:`UsageError` [R30].

    ``max_messages`` and ``max_bytes`` bound each queue; a server of ``local://`` or ``manager://`` has bounds of its
    own. ``name`` is what the server calls this client in its log.
    ``key``: that of ``manager://``, where the URL has none.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise UsageError(f"message queue {masked(url)!r}: write a URL such as {KNOWN}")
    try:
        return _broker(url, scheme, max_messages=max_messages, max_bytes=max_bytes, name=name, key=key)
    except UsageError as error:
        raise UsageError(hidden(str(error), url)) from None
    except ValueError as error:  # of a parser of URLs
        raise UsageError(f"message queue {masked(url)!r} is not understood: {hidden(str(error), url)}") from None


def _broker(url: str, scheme: str, *, max_messages: int, max_bytes: int, name: str, key: str) -> Broker:
    if url.rstrip("/") == "memory:":
        from crawlkit.message_queue.memory import MemoryBroker

        return MemoryBroker(max_messages, max_bytes)
    if scheme == "local":
        from crawlkit.message_queue.local import LocalBroker

        return LocalBroker(url, name=name)
    if scheme == "manager":
        from crawlkit.message_queue.manager import ManagerBroker

        return ManagerBroker(url, key=key, name=name)
    if scheme in ("redis", "rediss", "redis+unix", "unix"):
        from crawlkit.message_queue.redis import RedisBroker

        return RedisBroker(url, max_messages=max_messages, max_bytes=max_bytes, name=name)
    if scheme in {"amqp", "amqps"}:
        try:
            from crawlkit.message_queue.amqp import AmqpBroker
        except ImportError as error:
            raise _extra(scheme, "amqp", error) from None
        return AmqpBroker(url, max_messages=max_messages, max_bytes=max_bytes, name=name)
    if scheme.startswith("kombu+"):
        try:
            from crawlkit.message_queue.kombu import KombuBroker
        except ImportError as error:
            raise _extra(scheme, "kombu", error) from None
        return KombuBroker(url, max_messages=max_messages, max_bytes=max_bytes, name=name)
    return _brought(scheme, url, max_messages=max_messages, max_bytes=max_bytes, name=name)


def _brought(scheme: str, url: str, **options: Any) -> Broker:
    """A backend of another package."""
    found = plugins.connect(PLUGINS, scheme, url, **options)
    if found is None:
        brought = "".join(f", {name}://" for name in plugins.names(PLUGINS))
        raise UsageError(f"message queue {scheme}:// is unknown; there are {KNOWN}{brought}")
    plugins.check(found, ("queue", "connect", "epoch", "flows", "close"), PLUGINS, scheme)
    return cast(Broker, found)


def _extra(scheme: str, extra: str, error: ImportError) -> UsageError:
    return UsageError(
        f"message queue {scheme}:// needs a package that is not installed ({error.name}): " + install_command(extra)
    )
