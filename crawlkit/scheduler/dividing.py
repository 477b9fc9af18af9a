"""Into how many partitions a taskdb is divided, and how that is changed while no scheduler runs.

Every waiting row says of which partition it is. They are gone through in chunks, and the number is written last; until
then an entry says that it is not over, and no scheduler starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from crawlkit.database.base import TaskStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import UsageError
from crawlkit.libs.protocol import DIVIDING, PARTITIONS, partitions_in
from crawlkit.libs.rows import Key, Queue, Writes, for_people
from crawlkit.libs.task import MAX_PARTITIONS, home_of
from crawlkit.scheduler.awaits import ASKED
from crawlkit.scheduler.awaits import ENTRY as PARKED
from crawlkit.scheduler.balance import Watch
from crawlkit.scheduler.membership import TTL
from crawlkit.scheduler.ownership import Ownership, process_is_gone
from crawlkit.scheduler.projects import PAGES
from crawlkit.scheduler.state import Parked

CHUNK = 1_000  # rows in one transaction
LOOK = 0.5  # seconds between looks at who says that it runs


def partitions_of(taskdb: TaskStore) -> int:
    """Raises :class:`UsageError` while that is being changed."""
    dividing = taskdb.state_of(*DIVIDING)
    if dividing is not None:
        raise UsageError(
            f"the taskdb is being divided into {dividing} partitions: wait for the end of that command, or run"
            f" 'crawlkit partitions {dividing}' again"
        )
    return partitions_in(taskdb.state_of(*PARTITIONS))


def check_number(partitions: int) -> None:
    """Raises :class:`UsageError` in words."""
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise UsageError(f"{partitions} partitions: use 1 to {MAX_PARTITIONS}")


def begin_with(taskdb: TaskStore, clock: Clock, partitions: int, wait: Callable[[float], object]) -> None:
    """What ``scheduler --partitions`` says: it holds for a taskdb without tasks, and must fit one that has some."""
    check_number(partitions)
    has = partitions_of(taskdb)
    if has == partitions:
        return
    as_it_is = f"the taskdb has {has} partition{'s' if has > 1 else ''}"
    if taskdb.projects():
        raise UsageError(
            f"{as_it_is} and tasks already: leave --partitions away, or stop all schedulers and run"
            f" 'crawlkit partitions {partitions}' first"
        )
    try:
        divide(taskdb, clock, partitions, wait)
    except UsageError as error:
        raise UsageError(f"{as_it_is}, so leave --partitions away; to divide it anew: {error}") from None


def divide(
    taskdb: TaskStore,
    clock: Clock,
    partitions: int,
    wait: Callable[[float], object],
    told: Callable[[int], object] = lambda rows: None,
) -> int:
    """Changes the number of partitions; returns how many waiting tasks belong to another one now.

    Raises :class:`UsageError` while a scheduler runs, or while one has something under way that is another's to do.
    ``wait`` sleeps so many seconds; ``told`` hears how many rows have been gone through. What was interrupted may be
    begun again.
    """
    check_number(partitions)
    with standing_still(taskdb, clock, wait):
        said = taskdb.state_of(*PARTITIONS)
        _check_nothing_under_way(taskdb, partitions_in(said))
        taskdb.commit(Writes(state={DIVIDING: str(partitions)}))
        _check_alone(taskdb, clock, wait)  # who came before that was written
        moved = looked = 0
        for project in taskdb.projects():
            for changed in _chunks(taskdb, project, partitions):
                looked += CHUNK
                moved += changed
                told(looked)
            _keep_pages(taskdb, project)
        found = taskdb.state()
        taskdb.commit(Writes(state=_askers(taskdb, found)))
        gone: dict[Key, str | None] = {
            ("", name): None
            for project, name in found
            if not project and name.startswith(("drained:", "epoch:", "retired_to"))
        }
        gone |= {("", "drained"): None, DIVIDING: None, PARTITIONS: str(partitions) if partitions > 1 else None}
        taskdb.commit(Writes(state=gone))
    return moved


@contextmanager
def standing_still(taskdb: TaskStore, clock: Clock, wait: Callable[[float], object]) -> Iterator[None]:
    """While it lasts no scheduler has the taskdb; raises :class:`UsageError` when one does."""
    _check_alone(taskdb, clock, wait)
    Ownership(taskdb, clock).claim()
    try:
        yield
    finally:
        taskdb.disown()


def _check_alone(taskdb: TaskStore, clock: Clock, wait: Callable[[float], object]) -> None:
    """Who says that it runs is watched for as long as a dead one is believed."""
    watch, since = Watch(TTL, TTL), clock.monotonic()
    first = {entry.holder: entry for entry in taskdb.members()}
    while first:
        alive = watch.alive(taskdb.members(), clock.monotonic(), process_is_gone)
        for entry in taskdb.members():
            if entry.holder in alive and (entry.holder not in first or entry != first[entry.holder]):
                raise UsageError(f"a scheduler runs ({for_people(entry.node)}): stop all of them first")
        if not alive or clock.monotonic() - since > TTL:
            break
        wait(LOOK)
    for entry in taskdb.members():
        taskdb.dismiss(entry.holder)


def _check_nothing_under_way(taskdb: TaskStore, partitions: int) -> None:
    letters = taskdb.mail(range(MAX_PARTITIONS), 1)
    if letters:
        raise UsageError(
            f"letters between schedulers have not been taken: let a scheduler run on the {partitions} partitions"
            " until everything has settled"
        )
    actions = sorted({project for project, name in taskdb.state() if name == "action" or name.startswith("action:")})
    if actions:
        raise UsageError(f"an order for project {actions[0]} is under way: let a scheduler carry it out first")


def _chunks(taskdb: TaskStore, project: str, partitions: int) -> Iterator[int]:
    """Goes through what waits; yields how many rows of a chunk changed."""
    for queue in Queue:
        after: tuple[float, int] | None = None
        while rows := taskdb.window(project, queue, after, CHUNK):
            after = (rows[-1].rank, rows[-1].seq)
            changed = []
            for row in rows:
                partition = home_of(project, partitions, row.host)
                if partition != row.partition:
                    changed.append(msgspec.structs.replace(row, partition=partition))
            if changed:
                taskdb.commit(Writes(replace=changed))
            yield len(changed)


def _askers(taskdb: TaskStore, found: Mapping[Key, str]) -> dict[Key, str | None]:
    """For whom each request of a waiting callback is, as it is kept of two that lie in different partitions."""
    keys = [(project, name.removeprefix(PARKED)) for project, name in found if name.startswith(PARKED)]
    askers: dict[Key, str | None] = {}
    for key, row in taskdb.get_many(keys).items():
        parked = msgspec.json.decode(found[key[0], PARKED + key[1]], type=Parked)
        for number, taskid in parked.children.items():
            if number not in parked.answers:
                askers[key[0], ASKED + taskid] = row.host or key[0]
    return askers


def _keep_pages(taskdb: TaskStore, project: str) -> None:
    """What several schedulers counted of a budget is said as one scheduler reads it, too."""
    sent = taskdb.counts(project, [PAGES]).get(PAGES, 0)
    if sent:
        before = int(taskdb.state_of(project, "pages") or 0)
        taskdb.commit(Writes(state={(project, "pages"): str(before + sent)}, counts={(project, PAGES): -sent}))
