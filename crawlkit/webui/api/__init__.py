"""The JSON API under ``/api/v1``: one module a resource, each with a :class:`Room` named ``room``."""

from __future__ import annotations

from importlib import import_module

from crawlkit.webui.api.registry import Room

#: Modules of this package. A new one is added here.
ROOMS = (
    "server",
    "logs",
    "nodes",
    "queues",
    "sinks",
    "account",
    "users",
    "audit",
    "projects",
    "project_details",
    "script",
    "stored_task",
    "tasks",
    "task_lines",
    "failures",
    "results",
    "debug",
    "selector",
    "versions",
)


def rooms() -> list[Room]:
    """All rooms, loaded."""
    return [import_module(f"{__name__}.{name}").room for name in ROOMS]
