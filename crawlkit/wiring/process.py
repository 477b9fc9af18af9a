"""What a process has from its machine: its clock, its name, its environment, the key that opens settings."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from crawlkit import datapath
from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings
from crawlkit.wiring.stores import open_store

if TYPE_CHECKING:
    from crawlkit.database.base import LogStore
    from crawlkit.database.logwriter import LogWriter
    from crawlkit.libs.clock import Clock
    from crawlkit.libs.journal import Voice
    from crawlkit.libs.secrets import SecretBox

NO_KEY = (
    "there is no secret key here: give the one its settings were set with, by CRAWLKIT_SECRET_KEY or as the file"
    " secret.key in the data path"
)
MIN_TOKEN = 16  # characters
OUR_ENVIRONMENT = (
    "PYTHONPATH",
    "CRAWLKIT_",
    "TASKDB",
    "PROJECTDB",
    "RESULTDB",
    "AMQP_URL",
    "WEBUI_",
    "MYSQL_",
    "RABBITMQ_",
)


def clock() -> Clock:
    """The machine's clock."""
    from crawlkit.libs.clock import SystemClock

    return SystemClock()


def node_name(role: str) -> str:
    """Unique per process, and readable."""
    return f"{socket.gethostname()}-{role}-{os.getpid()}-{secrets.token_hex(4)}"


def node_of(logs: Voice | None, role: str) -> str:
    return (logs.node if logs is not None else "") or node_name(role)


def user_environment() -> dict[str, str]:
    """The environment without crawlkit's own settings: database URLs and passwords are no handler's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_ENVIRONMENT)}


def secret_box(settings: Settings, *, make: bool = False) -> SecretBox | None:
    """What settings of projects are sealed and opened with; ``None`` without a key. ``make``: a key is made then."""
    from crawlkit.libs.secrets import SecretBox

    if make and not settings.secret_key:
        datapath.make_data_path(settings.data_path)
    key = datapath.secret_key(settings.data_path, settings.secret_key, make=make)
    return SecretBox(key) if key is not None else None


def secret_fingerprint(settings: Settings) -> str | None:
    """Of the secret key; ``None`` without one."""
    from crawlkit.libs.secrets import fingerprint

    key = datapath.secret_key(settings.data_path, settings.secret_key)
    return fingerprint(key) if key is not None else None


def token_of(settings: Settings, variable: str, service: str) -> str:
    """The token of a service: that of the environment's ``variable``, else made of the secret key; "" without both."""
    given = os.environ.get(variable, "")
    if given:
        if len(given) < MIN_TOKEN:
            raise UsageError(f"{variable}: use {MIN_TOKEN} characters or more; make it with `openssl rand -hex 24`")
        return given
    secret = datapath.secret_key(settings.data_path, settings.secret_key)
    return hmac.digest(secret.encode(), f"crawlkit {service} token".encode(), hashlib.sha256).hex() if secret else ""


def unsealer(settings: Settings) -> Callable[[str, str, str], str]:
    """Opens settings of projects. The key is looked for when the first one is opened; most runs have none."""
    box: list[SecretBox] = []

    def unseal(project: str, name: str, sealed: str) -> str:
        if not box:
            found = secret_box(settings)
            if found is None:
                raise UsageError(f"setting {name} of project {project} does not open: {NO_KEY}")
            box.append(found)
        return box[0].open(project, name, sealed)

    return unseal


def log_writer(settings: Settings, role: str, node: str = "") -> LogWriter:
    """Stores what a process logs. That of the scheduler, of which there is one, also removes what is old."""
    from crawlkit.database.logwriter import Bounds, LogWriter
    from crawlkit.database.registry import check

    url = check(settings.store_url("logdb"), "logdb")  # what is wrong with it shall be said at once
    prunes = role in ("scheduler", "one") or url.engine == "memory"
    return LogWriter(
        lambda: cast("LogStore", open_store(settings, "logdb")),
        node=node or node_name(role),
        role=role,
        clock=clock(),
        bounds=Bounds(settings.log_days, settings.log_size * 2**20) if prunes else None,
    )
