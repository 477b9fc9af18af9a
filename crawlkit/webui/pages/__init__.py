"""The pages: one module a room, each with a Flask ``blueprint``. A page is a shell that its script fills by the API."""

from __future__ import annotations

from importlib import import_module

from flask import Blueprint

#: Modules of this package. A new one is added here.
ROOMS = (
    "home",
    "operations",
    "access",
    "dashboard",
    "tasks",
    "failures",
    "results",
    "debug",
    "preview",
    "pyspider_routes",
)


def blueprints() -> list[Blueprint]:
    """All blueprints, loaded."""
    return [import_module(f"{__name__}.{name}").blueprint for name in ROOMS]
