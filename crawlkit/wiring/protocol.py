"""Refuses, before anything starts, to work with a crawlkit that speaks otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crawlkit.libs.errors import StoreUnavailable
from crawlkit.settings import Settings
from crawlkit.wiring.process import clock, secret_fingerprint
from crawlkit.wiring.stores import open_store

if TYPE_CHECKING:
    from crawlkit.database.base import TaskStore


def check_protocol(settings: Settings, name: str) -> None:
    """Raises :class:`UsageError` in one line. ``name``: the component that is about to start.

    A taskdb that is not there says nothing: whoever needs it waits for it, or says so.
    """
    from crawlkit.libs.protocol import PROTOCOL, SECRET, check_component, check_scheduler, check_secret

    if settings.is_here("taskdb") and not (settings.data_path / "task.db").exists():
        return

    def look(taskdb: TaskStore) -> None:
        said = taskdb.state_of(*PROTOCOL)
        if name == "scheduler":
            check_scheduler(said, taskdb.nodes(), clock().time())
        else:
            check_component(said, name)
            check_secret(taskdb.state_of(*SECRET), secret_fingerprint(settings), name)

    _ask(settings, look, create=True)


def check_secret_key(settings: Settings, name: str) -> None:
    """Raises :class:`UsageError` when the secret key here is another than the scheduler's. ``name``: who needs it."""
    from crawlkit.libs.protocol import SECRET, check_secret

    if settings.is_here("taskdb"):
        return  # the key lies beside it
    mine = secret_fingerprint(settings) or ""
    _ask(settings, lambda taskdb: check_secret(taskdb.state_of(*SECRET), mine, name), create=False)


def _ask(settings: Settings, look: Callable[[TaskStore], None], *, create: bool) -> None:
    """Shows the taskdb to ``look``, unless it is away."""
    try:
        taskdb: TaskStore = open_store(settings, "taskdb", create=create)
    except StoreUnavailable:
        return
    try:
        look(taskdb)
    except StoreUnavailable:
        return
    finally:
        taskdb.close()
