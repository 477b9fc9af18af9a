"""What happens when a submitted task meets what is known of it: one decision table [S30-S40], and the rows it leads to.

Pure: decides and builds rows; stores, queues and counts nothing. ``now`` is Unix time in seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import msgspec

from crawlkit.libs.rows import Queue, TaskRow
from crawlkit.libs.task import NO_FETCH, NO_PROCESS, NO_SCHEDULE, Schedule, Status, Task, host_of


class Verdict(enum.Enum):
    """What to do with a submission."""

    NEW = "new"  # insert it
    IGNORE = "ignore"  # nothing in it makes the known task run again
    UPDATE = "update"  # it waits: overwrite the row and put it again [S33]
    RESTART = "restart"  # a new run of a task that had ended
    POSTPONE = "postpone"  # it is out: decide again when it comes back [S32]
    CANCEL = "cancel"  # its status becomes BAD, and it leaves its queue [S38]
    NOTHING = "nothing"  # cancels what nobody knows


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and the word under which it is counted."""

    verdict: Verdict
    reason: str


class Place(enum.Enum):
    """Where the known task is."""

    UNKNOWN = 1
    LEASED = 2  # handed out
    WAITING = 3  # in a queue, for its first try or for its next run
    RETRYING = 4  # in a queue, after a failed try
    ENDED = 5
    FORGOTTEN = 6  # it ended before its project was begun anew
    LEASED_BEFORE = 7  # it was handed out before that, and is still out


#: (where it is, why it would run again) -> (verdict, verdict with ``cancel``). "" is: no reason. Earlier reasons of
#: REASONS come first; one that has no line for a place does not count there.
TABLE: dict[tuple[Place, str], tuple[Verdict, Verdict]] = {
    (Place.UNKNOWN, ""): (Verdict.NEW, Verdict.NOTHING),  # S30
    (Place.LEASED, ""): (Verdict.IGNORE, Verdict.IGNORE),  # S31
    (Place.LEASED, "force_update"): (Verdict.POSTPONE, Verdict.POSTPONE),  # S32
    (Place.WAITING, ""): (Verdict.IGNORE, Verdict.IGNORE),  # S31
    (Place.WAITING, "force_update"): (Verdict.UPDATE, Verdict.CANCEL),  # S33, S38
    (Place.RETRYING, ""): (Verdict.IGNORE, Verdict.IGNORE),  # S31
    (Place.RETRYING, "itag"): (Verdict.UPDATE, Verdict.CANCEL),  # S39, changed: a new itag need not wait for the retry
    (Place.RETRYING, "force_update"): (Verdict.UPDATE, Verdict.CANCEL),  # S33, S38
    (Place.ENDED, ""): (Verdict.IGNORE, Verdict.IGNORE),  # S37
    (Place.ENDED, "itag"): (Verdict.RESTART, Verdict.CANCEL),  # S34, S38
    (Place.ENDED, "age"): (Verdict.RESTART, Verdict.CANCEL),  # S35, S38
    (Place.ENDED, "force_update"): (Verdict.RESTART, Verdict.CANCEL),  # S36, S38
    (Place.FORGOTTEN, ""): (Verdict.RESTART, Verdict.NOTHING),
    (Place.LEASED_BEFORE, ""): (Verdict.POSTPONE, Verdict.IGNORE),
    (Place.LEASED_BEFORE, "force_update"): (Verdict.POSTPONE, Verdict.POSTPONE),
}
REASONS = ("itag", "age", "force_update")
UNKNOWN = -1  # the seq of an ended row that counts as never seen, whatever the project remembers

_NEW = Decision(Verdict.NEW, "new")
_KNOWN = Decision(Verdict.IGNORE, "known")
_DEFAULT = Schedule()


def decide(task: Task, known: TaskRow | None, leased: bool, now: float, forgotten: int = UNKNOWN) -> Decision:
    """The rule for one submission. ``known`` is the stored row, ``leased`` whether the task is out at the moment.

    An ``itag`` of ``None`` is none; an ``age`` of 0 is always over; one of -1 never. Rows whose seq is ``forgotten`` or
    less are of the time before the project was begun anew: when they have ended they count as never seen.
    """
    schedule = task.schedule or _DEFAULT
    if known is None:
        return Decision(Verdict.NOTHING, "cancel_unknown") if schedule.cancel else _NEW
    place = _place_of(known, leased, forgotten)
    for reason in REASONS:
        verdicts = TABLE.get((place, reason))
        if verdicts is not None and _holds(reason, schedule, known, now):
            if not schedule.cancel:
                return Decision(verdicts[0], reason)
            if place is Place.ENDED and known.status is Status.BAD:
                return Decision(Verdict.IGNORE, "cancelled")
            return Decision(verdicts[1], reason)
    verdict = TABLE[(place, "")][schedule.cancel]
    return _KNOWN if place is Place.ENDED else Decision(verdict, place.name.lower())


def _place_of(known: TaskRow, leased: bool, forgotten: int) -> Place:
    if leased:
        return Place.LEASED_BEFORE if known.seq <= forgotten else Place.LEASED
    if known.queue is None:
        return Place.FORGOTTEN if known.seq <= forgotten else Place.ENDED
    return Place.RETRYING if known.retried > 0 else Place.WAITING


def _holds(reason: str, schedule: Schedule, known: TaskRow, now: float) -> bool:
    if reason == "itag":
        return schedule.itag is not None and schedule.itag != known.schedule.itag
    if reason == "age":
        return schedule.age == 0 or (schedule.age > 0 and known.lastcrawltime + schedule.age < now)
    return schedule.force_update


def place(schedule: Schedule, now: float, due: float | None = None) -> tuple[Queue, float]:
    """The queue and rank of a task that is due at ``due``, or else at its ``exetime`` [S22]."""
    when = schedule.exetime if due is None else due
    if when > now:
        return Queue.TIME, float(when)
    return Queue.READY, float(-schedule.priority)


def new_row(task: Task, *, now: float, seq: int, host: str, partition: int) -> TaskRow:
    """The row of a task seen for the first time [S30]."""
    schedule = _fresh(task.schedule or NO_SCHEDULE)
    queue, rank = place(schedule, now)
    return TaskRow(
        project=task.project,
        taskid=task.taskid,
        url=task.url,
        host=host,
        partition=partition,
        queue=queue,
        rank=rank,
        seq=seq,
        schedule=schedule,
        fetch=task.fetch or NO_FETCH,
        process=task.process or NO_PROCESS,
        updatetime=now,
    )


def restart_row(
    known: TaskRow, task: Task, *, now: float, seq: int, host: str | None = None, partition: int | None = None
) -> TaskRow:
    """The row of a known task that begins a new run, with no try used up.

    Only the parts that the submission gives replace the stored ones [S40]. ``host`` and ``partition`` are of the
    submitted URL; without them the host is worked out and the partition kept.
    """
    schedule = _schedule(known, task)
    queue, rank = place(schedule, now)
    return _with_parts(
        known,
        task,
        host,
        partition,
        status=Status.ACTIVE,
        queue=queue,
        rank=rank,
        seq=seq,
        run=known.run + 1,
        attempt=0,
        retried=0,
        lost=0,
        schedule=schedule,
        updatetime=now,
    )


def update_row(
    known: TaskRow, task: Task, *, now: float, seq: int, host: str | None = None, partition: int | None = None
) -> TaskRow:
    """The row of a waiting task that is overwritten and put again [S33, S23]: it can only advance.

    Its priority is the higher of both and its time the earlier one. Run and attempt stay, the tries begin anew, and a
    place among the ready that does not change is kept: ``seq`` is used when rank or queue change.
    """
    schedule = _schedule(known, task)
    schedule = msgspec.structs.replace(schedule, priority=max(schedule.priority, known.schedule.priority))
    due = known.rank if known.queue is Queue.TIME else 0.0
    queue, rank = place(schedule, now, min(due, schedule.exetime))
    kept = (queue, rank) == (known.queue, known.rank)
    return _with_parts(
        known,
        task,
        host,
        partition,
        status=Status.ACTIVE,
        queue=queue,
        rank=rank,
        seq=known.seq if kept else seq,
        retried=0,
        lost=0,
        schedule=schedule,
        updatetime=now,
    )


def again_row(known: TaskRow, *, now: float, seq: int) -> TaskRow:
    """The row of an ended task that is crawled once more, at once, with no try used up."""
    queue, rank = place(known.schedule, now, 0.0)
    return msgspec.structs.replace(
        known,
        host=host_of(known.url),
        status=Status.ACTIVE,
        queue=queue,
        rank=rank,
        seq=seq,
        run=known.run + 1,
        attempt=0,
        retried=0,
        lost=0,
        etag=None,  # somebody wants it crawled, not only looked whether it has changed
        last_modified=None,
        updatetime=now,
    )


def at_once_row(known: TaskRow, *, now: float, seq: int) -> TaskRow:
    """The row of a waiting task that need not wait for its time any more; its tries begin anew."""
    queue, rank = place(known.schedule, now, 0.0)
    return msgspec.structs.replace(known, queue=queue, rank=rank, seq=seq, retried=0, lost=0, updatetime=now)


def cleared_row(known: TaskRow, *, now: float) -> TaskRow:
    """The row of a task whose run was given up while it waited. One that never came to an end counts as never seen.

    It keeps its number of runs: the results of a run that was under way may be stored already.
    """
    seq = known.seq if known.lastcrawltime else UNKNOWN
    return msgspec.structs.replace(known, status=Status.BAD, queue=None, seq=seq, updatetime=now)


def cancel_row(known: TaskRow, *, now: float) -> TaskRow:
    """The row of a cancelled task: in no queue, status BAD [S38]."""
    return msgspec.structs.replace(known, status=Status.BAD, queue=None, updatetime=now)


def _schedule(known: TaskRow, task: Task) -> Schedule:
    """That of the submission if it gives one; the depth is that of the shortest way there, and a mark stays."""
    if task.schedule is None:
        return known.schedule
    schedule = _fresh(task.schedule)
    depth, counted = min(known.schedule.depth, schedule.depth), known.schedule.counted
    if depth == schedule.depth and counted is None:
        return schedule
    return msgspec.structs.replace(schedule, depth=depth, counted=counted)


def _fresh(schedule: Schedule) -> Schedule:
    """``schedule`` without what somebody copied into it from another: its tries, and that it was counted."""
    if not schedule.retried and schedule.counted is None:
        return schedule
    return msgspec.structs.replace(schedule, retried=0, counted=None)


def _with_parts(known: TaskRow, task: Task, host: str | None, partition: int | None, **changes: object) -> TaskRow:
    if task.fetch is not None:
        changes["fetch"] = task.fetch
    if task.process is not None:
        changes["process"] = task.process
    changes["host"] = host_of(task.url) if host is None else host  # the stored one may have an older spelling
    if task.url != known.url:
        # the validators are of another page now: sent along they could make it look unchanged
        changes.update(url=task.url, etag=None, last_modified=None)
        if partition is not None:
            changes["partition"] = partition
    return msgspec.structs.replace(known, **changes)
