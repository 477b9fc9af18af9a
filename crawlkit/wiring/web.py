"""Builds the web UI, its debugger and its accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crawlkit import datapath
from crawlkit.settings import Settings
from crawlkit.wiring.control import control_client
from crawlkit.wiring.process import clock, node_of, secret_box, unsealer
from crawlkit.wiring.services import broker, fetcher_settings, files_path
from crawlkit.wiring.stores import Stores, open_store

if TYPE_CHECKING:
    from crawlkit.libs.journal import Voice
    from crawlkit.webui.accounts import Accounts
    from crawlkit.webui.debug.engine import Debugger
    from crawlkit.webui.server import WebServer


def build_webui(
    stores: Stores,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rpc: str | None = None,
    access: Mapping[str, Any] | None = None,
    fetcher: Mapping[str, Any] | None = None,
    logs: Voice | None = None,
) -> WebServer:
    """The web UI. ``rpc``: the scheduler's address, when it is not that of the data path; ``access``: those options of
    ``crawlkit webui`` that say who may come in, ``fetcher``: those of ``crawlkit fetcher``, which hold for debug runs.

    Raises :class:`UsageError` when it would be open to others and nobody could log in.
    """
    from crawlkit.files.places import Places
    from crawlkit.webui.entrance import entrance, tls_context
    from crawlkit.webui.queues import QueueWatch
    from crawlkit.webui.scheduler_door import SchedulerDoor
    from crawlkit.webui.server import WebServer
    from crawlkit.webui.services import Services

    found = accounts(settings, stores)
    if "logdb" not in stores.opened:
        stores.opened["logdb"] = open_store(settings, "logdb")
    services = Services(
        taskdb=stores.taskdb,
        projectdb=stores.projectdb,
        resultdb=stores.resultdb,
        blobdb=stores.blobdb,
        logdb=stores.logdb,
        scheduler=SchedulerDoor(lambda: control_client(settings, rpc, timeout=10)),
        clock=clock(),
        data_path=settings.data_path.absolute(),
        extra={"accounts": found},
    )
    options = access or {}
    services.extra["secret_box"] = lambda make: secret_box(settings, make=make)
    services.extra["debugger"] = build_debugger(stores, found, settings, fetcher or {}, options)
    services.extra["files"] = Places(files_path(settings, fetcher or {}), clock().monotonic).area
    services.extra["queues"] = QueueWatch(lambda: broker(settings, "webui"), clock(), node_of(logs, "webui"))
    gatekeeper = entrance(found, host, options)
    services.extra["gatekeeper"] = gatekeeper
    tls = tls_context(options.get("tls_cert"), options.get("tls_key"))
    return WebServer(services, gatekeeper, host=host, port=port, tls=tls)


def build_debugger(
    stores: Stores, found: Accounts, settings: Settings, fetcher: Mapping[str, Any], options: Mapping[str, Any]
) -> Debugger:
    """The debugger of a web UI: its fetches are under the same limits and guards as those of the fetchers."""
    import dataclasses

    from crawlkit.webui.debug.engine import Debugger
    from crawlkit.webui.debug.settings import DebugSettings

    limits = DebugSettings()
    if options.get("process_time_limit"):
        worker = dataclasses.replace(limits.worker, process_time_limit=options["process_time_limit"])
        limits = dataclasses.replace(limits, worker=worker)
    return Debugger(
        projectdb=stores.projectdb,
        blobdb=stores.blobdb,
        fetcher_settings=fetcher_settings({**fetcher, "files_path": None}, settings),
        private=None if fetcher.get("allow_private") is not None else lambda: not found.exist(),
        clock=clock(),
        settings=limits,
        unseal=unsealer(settings),
    )


def accounts(settings: Settings, stores: Stores) -> Accounts:
    """Users, sessions and tokens; their store is opened among ``stores``. A secret key is made when there is none."""
    from crawlkit.webui.accounts import Accounts
    from crawlkit.webui.keys import Keys

    if "accountdb" not in stores.opened:
        stores.opened["accountdb"] = open_store(settings, "accountdb")
    datapath.make_data_path(settings.data_path)
    secret = datapath.secret_key(settings.data_path, settings.secret_key, make=True)
    assert secret is not None
    return Accounts(stores.accountdb, Keys(secret), clock())
