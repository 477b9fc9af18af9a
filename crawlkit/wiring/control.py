"""Reaches the running scheduler, wherever it is, and says for others where it is.

On one machine by the file ``scheduler.json`` in the data path; from another one by an entry in the taskdb, which has
the address, and a token that both sides make of the secret key they share.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

from crawlkit.libs.errors import ServiceUnreachable, StoreError, UsageError
from crawlkit.settings import Settings
from crawlkit.wiring.process import secret_fingerprint, token_of
from crawlkit.wiring.stores import open_store, open_stores

if TYPE_CHECKING:
    from crawlkit.database.base import TaskStore
    from crawlkit.scheduler.control import ControlClient, ControlServer
    from crawlkit.scheduler.service import SchedulerService

PUBLISH = 0.5  # seconds between looks whether this scheduler is the one that others are to find
ENTRY = ("", "control")  # in the state of the taskdb: JSON of :class:`Place`
TOKEN = "CRAWLKIT_SCHEDULER_TOKEN"
SHARE = f"give the secret key of the scheduler's host (CRAWLKIT_SECRET_KEY), or its token ({TOKEN})"


class Place(NamedTuple):
    """Where a scheduler answers."""

    url: str
    host: str  # the name of its machine


def control_client(settings: Settings, rpc: str | None = None, timeout: float = 30) -> ControlClient:
    """Speaks to the running scheduler: to that of the data path or of the taskdb, or to the one at ``rpc``.

    Its token stands in ``rpc`` as user information (``http://:TOKEN@host:23333``), in the data path, in the variable
    CRAWLKIT_SCHEDULER_TOKEN, or is made of the secret key. Raises :class:`ServiceUnreachable` when none answers.
    """
    from crawlkit.remote.control import RemoteControl
    from crawlkit.remote.opening import client_of
    from crawlkit.scheduler.control import ControlClient

    if settings.server is not None:
        if rpc is not None:
            raise UsageError("say --server or --scheduler-rpc, not both")
        return cast(ControlClient, RemoteControl(client_of(settings.server)))  # the part of it that commands use
    client = _named(settings, rpc, timeout) if rpc is not None else _found(settings, timeout)
    try:
        client.size()
    except ServiceUnreachable:
        other = None if rpc is not None else _found(settings, timeout)
        if other is None or other.url == client.url:
            raise
        client = other  # of several schedulers the one that was asked stands still, and another has its place by now
        client.size()
    return client


def _named(settings: Settings, rpc: str, timeout: float) -> ControlClient:
    from crawlkit.scheduler.control import ControlClient

    url, token = address_of(rpc)
    if token:
        return ControlClient(url, token, timeout)
    with suppress(ServiceUnreachable):  # on this machine, by another name: its token is in the data path
        client = ControlClient.at(settings.data_path, timeout)
        client.url = url.rstrip("/")
        return client
    token = control_token(settings)
    if not token:
        raise ServiceUnreachable(
            f"the scheduler at {url} wants a token, and there is none in {settings.data_path}: give it as"
            f" http://:TOKEN@{urlsplit(url).netloc} or in {TOKEN}; it stands in the file scheduler.json of the"
            " scheduler's data path"
        )
    return ControlClient(url, token, timeout)


def _found(settings: Settings, timeout: float) -> ControlClient:
    from crawlkit.scheduler.control import ControlClient

    if settings.is_here("taskdb"):
        return ControlClient.at(settings.data_path, timeout)
    place, token = where_in_taskdb(settings), control_token(settings)
    with suppress(ServiceUnreachable):
        client = ControlClient.at(settings.data_path, timeout)
        if place is not None and _is_same(client.url, place):  # else it is that of another taskdb
            if token not in ("", client.token):
                client.size()
            return client
    if place is None:
        raise ServiceUnreachable(
            "no scheduler has said in the taskdb where it is: start one with the same database (`crawlkit all`, or"
            " `crawlkit scheduler`), or name it with --scheduler-rpc"
        )
    if _is_loopback(place.url) and place.host != socket.gethostname():
        raise ServiceUnreachable(
            f"the scheduler runs on {place.host} and answers there only, as the taskdb says: start it with an address"
            " that others reach (--xmlrpc-host or CRAWLKIT_SCHEDULER_XMLRPC_HOST; 0.0.0.0: all of its addresses), or"
            " run this command there"
        )
    if not token:
        raise ServiceUnreachable(
            f"the scheduler at {place.url} (on {place.host}, as the taskdb says) wants a token: {SHARE}"
        )
    client = ControlClient(place.url, token, timeout)
    client.start_words = (
        f"the taskdb says that it is there, on {place.host}; start it there, or let the network through"
    )
    return client


def _is_same(url: str, place: Place) -> bool:
    return place.host == socket.gethostname() and urlsplit(url).port == urlsplit(place.url).port


def where_in_taskdb(settings: Settings) -> Place | None:
    """Where the scheduler of the taskdb says that it is; it says so until it is stopped.

    The last one of several leaves its word behind: a further one could have said its own by then.
    """
    from crawlkit.libs.protocol import PARTITIONS, partitions_in

    taskdb: TaskStore = open_store(settings, "taskdb", create=False)
    try:
        said = taskdb.state_of(*ENTRY)
        if said is not None and partitions_in(taskdb.state_of(*PARTITIONS)) > 1 and not taskdb.owners():
            return None
    finally:
        taskdb.close()
    if said is None:
        return None
    try:
        found = json.loads(said)
        return Place(str(found["url"]), str(found["host"]))
    except (ValueError, KeyError, TypeError):
        raise ServiceUnreachable(
            f"the taskdb says in other words than this version's where the scheduler is: {said!r}"
        ) from None


@contextmanager
def published(settings: Settings, taskdb: TaskStore, control: ControlServer, url: str) -> Iterator[None]:
    """While it lasts, commands and the UI find this scheduler: in the data path, and by the taskdb at ``url``."""
    from crawlkit.database.base import Writes
    from crawlkit.libs.protocol import SECRET

    control.publish(settings.data_path)
    said = json.dumps({"url": url, "host": socket.gethostname()})
    taskdb.commit(Writes(state={ENTRY: said, SECRET: secret_fingerprint(settings)}))
    try:
        yield
    finally:
        control.withdraw(settings.data_path)
        with suppress(StoreError):  # it is away: who comes finds nobody at this address
            if taskdb.state_of(*ENTRY) == said:
                taskdb.commit(Writes(state={ENTRY: None}))


async def keep_published(settings: Settings, service: SchedulerService, control: ControlServer, url: str) -> None:
    """For ever: publishes this scheduler while it has the first partition. Others answer where their host asks them."""
    from crawlkit.database.base import Writes
    from crawlkit.libs.protocol import SECRET

    said = json.dumps({"url": url, "host": socket.gethostname()})
    published = False
    taskdb = service.engine.taskdb

    def publish() -> None:
        taskdb.commit(Writes(state={ENTRY: said, SECRET: secret_fingerprint(settings)}))

    try:
        while True:
            if service.is_first() and not published:
                with suppress(StoreError):  # else in a moment
                    await service.between_turns(publish)
                    control.publish(settings.data_path)
                    published = True
            published = published and service.is_first()
            await asyncio.sleep(PUBLISH)
    finally:
        if control.is_published(settings.data_path):
            control.withdraw(settings.data_path)


def control_token(settings: Settings) -> str:
    """The token by the environment, else made of the secret key; "" without both."""
    return token_of(settings, TOKEN, "scheduler")


def advertised(settings: Settings, control: ControlServer, said: str | None) -> str:
    """The URL at which others reach the control channel. ``said``: by the user."""
    from crawlkit.scheduler.control import WILDCARDS, bracketed

    if said:
        return said.rstrip("/")
    host = urlsplit(control.url).hostname or ""
    return f"http://{bracketed(own_address(settings))}:{control.port}" if host in WILDCARDS else control.url


def own_address(settings: Settings) -> str:
    """The address with which this host goes to its database or broker; its name when these are on it. Sends nothing."""
    for url in (settings.store_url("taskdb"), settings.queue_url()):
        with suppress(ValueError, OSError):
            host = urlsplit(url).hostname
            if not host:
                continue
            family, _, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect(address)
                found = str(sock.getsockname()[0]).partition("%")[0]
            if not ipaddress.ip_address(found).is_loopback:
                return found
    return socket.gethostname()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(rpc: str) -> tuple[str, str]:
    """The URL without its token, and the token."""
    parts = urlsplit(rpc if "://" in rpc else f"http://{rpc}")
    token = parts.password or parts.username or os.environ.get(TOKEN, "")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")), token


def names_in(advertise: str | None) -> tuple[str, ...]:
    """The host name in ``--advertise``; raises :class:`UsageError` for what is no ``http://host:port``."""
    if not advertise:
        return ()
    with suppress(ValueError):
        parts = urlsplit(advertise)
        if parts.scheme == "http" and parts.hostname and parts.port and not parts.username and parts.path in ("", "/"):
            return (parts.hostname,)
    raise UsageError(f"--advertise {advertise}: expected http://HOST:PORT, as other hosts reach this scheduler")


def why_from_stores(settings: Settings, project: str | None, url: str) -> list[dict[str, Any]]:
    """What the stores say about a URL where no scheduler runs: the fields of :class:`crawlkit.scheduler.why.Answer`."""
    import msgspec

    from crawlkit.libs.clock import SystemClock
    from crawlkit.scheduler.onlookers import explain

    with open_stores(settings, ("taskdb", "projectdb")) as stores:
        found = explain(stores.taskdb, stores.projectdb, project, url, SystemClock())
    return [msgspec.structs.asdict(one) for one in found]
