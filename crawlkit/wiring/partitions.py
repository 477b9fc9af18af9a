"""How a scheduler comes to its partitions, and how their number is shown and changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crawlkit import datapath
from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings
from crawlkit.wiring.process import clock
from crawlkit.wiring.stores import open_store

if TYPE_CHECKING:
    from crawlkit.database.base import TaskStore
    from crawlkit.scheduler.membership import Membership
    from crawlkit.scheduler.ownership import Ownership

SEVERAL = "several share a divided one: stop the scheduler and run 'crawlkit partitions 8' first"


def take_part(taskdb: TaskStore, *, patient: bool = False) -> tuple[int, Ownership | None, Membership | None]:
    """(partitions, who owns the only one, who takes part with others): the last two, one of them is ``None``.

    Raises :class:`UsageError` when another scheduler has the only partition; ``patient``: waits until it is gone.
    """
    from crawlkit.scheduler.dividing import partitions_of
    from crawlkit.scheduler.membership import Membership
    from crawlkit.scheduler.ownership import Ownership

    partitions = partitions_of(taskdb)
    if partitions > 1:
        membership = Membership(taskdb, clock(), partitions)
        membership.look()  # who divides it anew from here on sees this one; who did so before is seen below
        if partitions_of(taskdb) != partitions:
            raise UsageError("the taskdb has just been divided anew: start this again")
        return partitions, None, membership
    ownership = Ownership(taskdb, clock())
    try:
        ownership.claim(patient=patient)
    except UsageError as error:
        raise UsageError(f"{error}, or give this one another taskdb ({SEVERAL})") from None
    if partitions_of(taskdb) != 1:
        raise UsageError("the taskdb has just been divided: start this again")
    return 1, ownership, None


def begin_with(taskdb: TaskStore, partitions: int, wait: Callable[[float], object]) -> None:
    """What ``scheduler --partitions`` says: see :mod:`crawlkit.scheduler.dividing`."""
    from crawlkit.scheduler import dividing

    dividing.begin_with(taskdb, clock(), partitions, wait)


def divide(settings: Settings, partitions: int, wait: Callable[[float], object]) -> int:
    """Divides the taskdb anew; returns how many waiting tasks changed. Raises :class:`UsageError` while one runs."""
    from crawlkit.scheduler import dividing

    here = settings.is_here("taskdb")
    if here and not settings.data_path.is_dir():
        datapath.make_data_path(settings.data_path)
    taskdb: TaskStore = open_store(settings, "taskdb")
    try:
        return dividing.divide(taskdb, clock(), partitions, wait)
    finally:
        taskdb.close()


def look_at_partitions(settings: Settings) -> dict[str, Any]:
    """``{"partitions": n, "owners": {number: who, for people}}``; of a dead one of this host it says so."""
    from crawlkit.libs.rows import for_people
    from crawlkit.scheduler.dividing import partitions_of
    from crawlkit.scheduler.ownership import process_is_gone

    if settings.is_here("taskdb") and not settings.data_path.is_dir():
        raise UsageError(f"data path {settings.data_path}: there is nothing yet; name it with --data-path")
    taskdb: TaskStore = open_store(settings, "taskdb", create=False)
    try:
        partitions = partitions_of(taskdb)
        owners = {
            str(part): for_people(owner.node) + (" (dead)" if process_is_gone(owner.node) else "")
            for part, owner in taskdb.owners().items()
            if part < partitions  # who died before it was divided into fewer parts is still written there
        }
        return {"partitions": partitions, "owners": owners}
    finally:
        taskdb.close()
