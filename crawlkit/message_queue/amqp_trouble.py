"""What went wrong with an AMQP broker, in one line that says what to do.

Looks at pika's errors, which wrap each other; opens nothing.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from pika import exceptions

from crawlkit.message_queue.amqp_url import AmqpAddress

FAILED = 541  # AMQP's reply: something in the server crashed


class Trouble(NamedTuple):
    """``lasting``: trying again does not help before somebody has mended something."""

    words: str
    lasting: bool = False
    code: int = 0  # AMQP's reply code


class LostError(Exception):
    """The channel or the connection went away before the answer came: ask again. Never leaves this package."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.words)
        self.trouble = trouble


def trouble_of(error: BaseException, address: AmqpAddress | None = None) -> Trouble:
    """Of an error of pika or of the operating system. ``address``: where."""
    where = address.shown if address is not None else "the broker"
    chain = list(_chain(error))
    for one in chain:
        code, text = getattr(one, "reply_code", 0), getattr(one, "reply_text", "")
        if isinstance(one, exceptions.ChannelClosed):
            return Trouble(f"{where} closed a channel ({text})", code in {403, 405, 406}, code)
        if isinstance(one, exceptions.ConnectionClosedByBroker):
            if code == 530 and "is down" not in text:  # it is while the server starts
                return Trouble(_vhost(where, address, text), True, code)
            why = ": its own log says why; a queue without a leader, perhaps (docs/queues.md)" if code == FAILED else ""
            return Trouble(f"{where} closed the connection ({text or code}){why}", False, code)
    words = " ".join(f"{type(one).__name__} {one}" for one in chain)
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return Trouble(
                f"{where} shows a certificate that is not trusted here ({one.verify_message}): "
                "name its authority by ?cacertfile=FILE",
                True,
            )
        if isinstance(one, ssl.SSLError):
            reason = one.reason or str(one)
            return Trouble(
                f"{where} does not speak TLS as amqps:// wants it ({reason}): is that its TLS port, usually 5671?", True
            )
        if isinstance(one, FileNotFoundError) and address is not None and address.tls:
            return Trouble(f"{where}: a file of ?cacertfile=, ?certfile= or ?keyfile= is missing", True)
        if isinstance(one, socket.gaierror):
            return Trouble(f"{where}: the host name is not known ({one.strerror})")
    if "ProbableAuthenticationError" in words or "ACCESS_REFUSED" in words:
        return Trouble(f"{where} refuses user {_user(address)!r} with this password: check the URL", True, 403)
    if "ProbableAccessDenied" in words or "530" in words:
        return Trouble(_vhost(where, address, ""), True, 530)
    if "IncompatibleProtocol" in words:
        return Trouble(f"{where} does not speak AMQP 0-9-1: is it the right port, and is it amqps:// perhaps?", True)
    if "Heartbeat" in words:
        return Trouble(f"lost {where} (no sign of life)")
    for one in chain:
        if isinstance(one, OSError) and one.strerror:
            return Trouble(f"no connection to {where} ({one.strerror}): is RabbitMQ running there?")
    if "Timeout" in words:
        return Trouble(f"no connection to {where} (it does not answer): is RabbitMQ running there?")
    return Trouble(f"lost {where} ({chain[-1] or type(chain[-1]).__name__})")


def _user(address: AmqpAddress | None) -> str:
    return address.user if address is not None else ""


def _vhost(where: str, address: AmqpAddress | None, text: str) -> str:
    vhost = address.vhost if address is not None else ""
    user = _user(address)
    said = f" ({text})" if text else ""
    return (
        f"{where}: user {user!r} may not use the virtual host {vhost!r}, or there is none{said}: "
        f"`rabbitmqctl add_vhost {vhost}`, `rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps, outermost first."""
    todo, seen = [error], set()
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [*getattr(one, "exceptions", ()), getattr(one, "exception", None), *one.args]
        inner += [one.__cause__, one.__context__]
        todo += [each for each in inner if isinstance(each, BaseException)]
