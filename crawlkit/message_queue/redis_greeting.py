"""The first words with a Redis server: who we are, whether it will do, and the scripts it shall know.

What waiting may mend is an ``OSError``; what it does not (a password, a version) is a ``UsageError`` with what to do.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Sequence

from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.message_queue.redis_connection import LostError, RedisConnection, ReplyError, Script
from crawlkit.message_queue.redis_url import RedisURL

log = logging.getLogger(__name__)

OLDEST = (6, 2)  # XAUTOCLAIM's, and of XPENDING with an open start
MOVES = 3  # nodes that a cluster may send us on to
PATIENCE = 3.0  # seconds for a connection and for its first words


class _MovedError(Exception):
    """The keys are on another node of the cluster."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.place = (host, port)


async def open_connection(
    url: RedisURL, tls: ssl.SSLContext | None, name: str, scripts: Sequence[Script]
) -> RedisConnection:
    """A connection on which scripts can be called.

    Raises ``OSError``; ``UsageError`` for what waiting does not mend, and ``QueueUnavailable`` for a replica.
    """
    trouble: Exception = OSError("no address")
    places = list(url.hosts or ((url.path, 0),))
    for host, port in places:
        try:
            return await _open(url, host, port, tls, name, scripts)
        except _MovedError as moved:
            trouble = OSError(f"{host}:{port} says that {moved.place[0]}:{moved.place[1]} has the keys")
            if len(places) < len(url.hosts) + MOVES:
                places.append(moved.place)
        except socket.gaierror as error:
            trouble = OSError(f"the name {host} does not resolve: {error.strerror}")
        except OSError as error:
            trouble = error
    raise trouble


async def _open(
    url: RedisURL, host: str, port: int, tls: ssl.SSLContext | None, name: str, scripts: Sequence[Script]
) -> RedisConnection:
    loop = asyncio.get_running_loop()
    lost: list[str] = []
    connection = RedisConnection(lambda _: None, lost.append)
    try:
        async with asyncio.timeout(PATIENCE):
            if url.path:
                await loop.create_unix_connection(lambda: connection, url.path)
            else:
                await loop.create_connection(lambda: connection, host, port, ssl=tls)
            await _introduce(connection, url, name)
            for loaded in [connection.ask("SCRIPT", "LOAD", script.text) for script in scripts]:
                await loaded
    except TimeoutError:
        connection.abort("too slow")
        hint = "; a port without TLS wants redis://" if tls else ""
        raise OSError(f"it does not answer within {PATIENCE:g} s{hint}") from None
    except LostError as error:
        raise OSError(_hang_up(url, str(error) or (lost[0] if lost else ""))) from None
    except ReplyError as error:
        connection.abort("refused")
        if moved := re.match(r"MOVED \d+ (.*):(\d+)$", str(error)):
            raise _MovedError(moved[1] or host, int(moved[2])) from None
        raise meaning(url, str(error)) from None
    except ssl.SSLError as error:
        raise _tls_trouble(url, error) from None
    except BaseException:
        connection.abort("given up")
        raise
    return connection


async def _introduce(connection: RedisConnection, url: RedisURL, name: str) -> None:
    login = ("AUTH", url.user or "default", url.password) if url.password else ()
    await connection.ask("HELLO", 3, *login)
    if url.db:
        await connection.ask("SELECT", url.db)
    await connection.ask("CLIENT", "SETNAME", re.sub(r"[^!-~]", "-", name))
    said = (await connection.ask("INFO")).decode(errors="replace")
    info = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    version = info.get("redis_version", "0.0")
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise UsageError(f"Redis at {url.where} is version {version}: crawlkit needs 6.2 or newer")
    if info.get("loading") == "1":
        raise OSError("it is loading its data")
    if info.get("cluster_enabled") == "1":
        await connection.ask("EXISTS", f"{{{url.prefix}}}:epoch")  # raises MOVED where it is not
    if info.get("role") == "slave":
        raise QueueUnavailable(f"Redis at {url.where} is a read-only replica: name its primary in --message-queue")
    if info.get("maxmemory", "0") != "0" and info.get("maxmemory_policy", "").startswith("allkeys"):
        log.warning(
            "Redis at %s throws keys away when memory is short (maxmemory-policy %s), queues among them: "
            "set it to noeviction",
            url.where,
            info["maxmemory_policy"],
        )


def meaning(url: RedisURL, error: str) -> Exception:
    """What an error of the first words stands for."""
    if error.startswith(("WRONGPASS", "ERR AUTH", "ERR invalid password")):
        return UsageError(f"Redis at {url.where} refuses the password: mend it in --message-queue")
    if error.startswith("NOAUTH"):
        return UsageError(
            f"Redis at {url.where} wants a password: write it as redis://:PASSWORD@HOST:PORT/DB in --message-queue"
        )
    if error.startswith("NOPERM"):
        return UsageError(f"Redis at {url.where} does not let this user work: {error}; see docs/queues.md")
    if "DB index is out of range" in error or "invalid DB index" in error or "SELECT is not allowed" in error:
        return UsageError(f"Redis at {url.where} has no database {url.db}: use /0, or raise its databases")
    if "unknown command" in error:
        return UsageError(f"Redis at {url.where} is too old ({error}): crawlkit needs 6.2 or newer")
    return OSError(error)


def _tls_trouble(url: RedisURL, error: ssl.SSLError) -> Exception:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UsageError(
            f"Redis at {url.where} shows a certificate that is not trusted ({error.verify_message}): name its"
            " authority with ?ssl_ca_certs=FILE in --message-queue"
        )
    words = (error.reason or str(error)).replace("_", " ").lower()
    return UsageError(
        f"no TLS with Redis at {url.where} ({words}): use redis:// for a port without TLS, and ssl_certfile,"
        " ssl_keyfile where the server asks for a certificate"
    )


def _hang_up(url: RedisURL, reason: str) -> str:
    return reason if url.tls or url.path else f"{reason}; a port with TLS wants rediss://"
