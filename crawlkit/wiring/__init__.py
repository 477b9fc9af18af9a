"""The only place that builds clocks, stores, queues and services. Decides nothing else.

Imports a room only when something of it is built, so that a command that reads one store loads one store.
"""

from __future__ import annotations

from crawlkit.wiring.control import (
    address_of,
    advertised,
    control_client,
    control_token,
    names_in,
    published,
    where_in_taskdb,
)
from crawlkit.wiring.limits import limits_of
from crawlkit.wiring.process import (
    NO_KEY,
    OUR_ENVIRONMENT,
    clock,
    log_writer,
    node_name,
    node_of,
    secret_box,
    unsealer,
    user_environment,
)
from crawlkit.wiring.protocol import check_protocol, check_secret_key
from crawlkit.wiring.services import (
    broker,
    build_fetcher,
    build_processor,
    build_result_worker,
    build_scheduler,
    build_sinks,
    fetch_once,
    fetcher_settings,
    file_area,
    files_path,
    memory_broker,
    processor_settings,
    queue_server,
    sink_book,
)
from crawlkit.wiring.stores import (
    DROP_RESULTS,
    KINDS,
    Only,
    Stores,
    connect_stores,
    drop_project,
    memory_settings,
    open_store,
    open_stores,
    remote_store,
)
from crawlkit.wiring.web import accounts, build_debugger, build_webui

__all__ = [
    "DROP_RESULTS",
    "KINDS",
    "NO_KEY",
    "OUR_ENVIRONMENT",
    "Only",
    "Stores",
    "accounts",
    "address_of",
    "advertised",
    "broker",
    "build_debugger",
    "build_fetcher",
    "build_processor",
    "build_result_worker",
    "build_scheduler",
    "build_sinks",
    "build_webui",
    "check_protocol",
    "check_secret_key",
    "clock",
    "connect_stores",
    "control_client",
    "control_token",
    "drop_project",
    "fetch_once",
    "fetcher_settings",
    "file_area",
    "files_path",
    "limits_of",
    "log_writer",
    "memory_broker",
    "memory_settings",
    "names_in",
    "node_name",
    "node_of",
    "open_store",
    "open_stores",
    "processor_settings",
    "published",
    "queue_server",
    "remote_store",
    "secret_box",
    "sink_book",
    "unsealer",
    "user_environment",
    "where_in_taskdb",
]
