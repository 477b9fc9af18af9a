"""Reaches the running scheduler, wherever it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.scheduler.control import ControlClient


def control_client(settings: Settings, rpc: str | None = None, timeout: float = 30) -> ControlClient:
    """Speaks to the running scheduler of the data path, or to the one at ``rpc``.

    The token of one elsewhere stands in ``rpc`` as user information (``http://:TOKEN@host:23333``) or in the variable
    CRAWLKIT_SCHEDULER_TOKEN. Raises :class:`ServiceUnreachable` when none answers.
    """
    from urllib.parse import urlsplit

    from crawlkit.remote.control import RemoteControl
    from crawlkit.remote.opening import client_of
    from crawlkit.scheduler.control import ControlClient

    if settings.server is not None:
        if rpc is not None:
            raise UsageError("say --server or --scheduler-rpc, not both")
        return cast(ControlClient, RemoteControl(client_of(settings.server)))  # the part of it that commands use
    if rpc is None:
        client = ControlClient.at(settings.data_path, timeout)
    else:
        url, token = address_of(rpc)
        if token:
            client = ControlClient(url, token, timeout)
        else:  # on this machine, by another name: its token is in the data path
            try:
                client = ControlClient.at(settings.data_path, timeout)
            except ServiceUnreachable:
                raise ServiceUnreachable(
                    f"the scheduler at {url} wants a token, and there is none in {settings.data_path}: give it as"
                    f" http://:TOKEN@{urlsplit(url).netloc} or in CRAWLKIT_SCHEDULER_TOKEN; it stands in the file"
                    " scheduler.json of the scheduler's data path"
                ) from None
            client.url = url.rstrip("/")
    client.size()
    return client


def address_of(rpc: str) -> tuple[str, str]:
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(rpc if "://" in rpc else f"http://{rpc}")
    token = parts.password or parts.username or os.environ.get("CRAWLKIT_SCHEDULER_TOKEN", "")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")), token
