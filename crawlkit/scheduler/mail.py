"""Letters between schedulers: what is not this one's is written down for the owner of its partition, who takes it.

A letter is written in the transaction of the turn that it comes of, and removed in the one that does what it says. So
only the owner of a partition ever changes its rows, and nothing is done twice or left out when somebody dies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from crawlkit.libs.rows import TASK_LETTER, Key, Letter, TaskRow
from crawlkit.libs.task import Task
from crawlkit.scheduler.state import State
from crawlkit.scheduler.turn import Order, Submission, Turn

POLL = 0.25  # seconds between two looks for letters
PAGE = 500  # letters that a turn takes
#: Kinds. The store counts those of the first one, for they are work that was accepted and is in no ledger yet.
TASK = TASK_LETTER  # [source, task, who asked for it]
ORDER = "order"  # an :class:`Order`, with the seq up to which it holds
ANSWER = "answer"  # [request, blob]: of a request for a callback of another partition
MOVED = "moved"  # a task whose row has come into this partition

_Task = tuple[str, Task, str]


class Written(msgspec.Struct, omit_defaults=True):
    """An order as it is sent to the others."""

    kind: str  # as in :class:`Order`; drop, and dropped at its end
    limit: int = 0  # it holds for what has no larger seq
    taskid: str = ""
    reason: str | None = None


def send_task(state: State, turn: Turn, submission: Submission, partition: int) -> None:
    """A submission for another partition."""
    task = submission.task
    text = msgspec.json.encode((submission.source, task, submission.asked)).decode()
    turn.writes.mail.append(Letter(partition, task.project, TASK, text))


def send_order(state: State, turn: Turn, project: str, order: Written, partition: int | None = None) -> None:
    """An order, to the owner of one partition or of all that are not here."""
    text = msgspec.json.encode(order).decode()
    for other in range(state.settings.partitions) if partition is None else [partition]:
        if partition is not None or (state.mine is not None and other not in state.mine):
            turn.writes.mail.append(Letter(other, project, ORDER, text))


def send_answer(state: State, turn: Turn, child: Key, blob: str, partition: int) -> None:
    """What came of a request, to the partition of the callback that waits for it."""
    text = msgspec.json.encode((child[1], blob)).decode()
    turn.writes.mail.append(Letter(partition, child[0], ANSWER, text))


def send_moved(state: State, turn: Turn, row: TaskRow) -> None:
    """A waiting row was written with another partition, whose owner may have read beyond its place."""
    text = msgspec.json.encode(row.taskid).decode()
    turn.writes.mail.append(Letter(row.partition, row.project, MOVED, text))


def take(
    state: State,
    turn: Turn,
    limit: int,
    meet: Callable[[str], bool],
    carry_out: Callable[[Letter, Written], bool],
    answered: Callable[[Key, str], None],
) -> bool:
    """Reads ``limit`` letters at most; whether there were none. Tasks join the turn's submissions.

    ``meet`` says whether there is such a project; ``carry_out`` takes an order, or says no to leave it for later.
    """
    if not state.mine or not limit or turn.mono < state.mail_at:
        state.letters = []
        return False
    letters = state.letters = state.taskdb.mail(state.reads, limit)
    state.mail_at = turn.mono + (0.0 if len(letters) == limit else POLL)
    for letter in letters:
        try:
            done = _take_one(state, turn, letter, meet, carry_out, answered)
        except msgspec.MsgspecError:
            turn.writes.count(letter.project, "refused", "malformed")
            done = True
        if done:
            turn.writes.mail_taken.append(letter.id)
    return not letters


def _take_one(
    state: State,
    turn: Turn,
    letter: Letter,
    meet: Callable[[str], bool],
    carry_out: Callable[[Letter, Written], bool],
    answered: Callable[[Key, str], None],
) -> bool:
    """Whether it is done with. It is, unless another action must come to its end first."""
    there = meet(letter.project)
    if letter.kind == ORDER:
        return carry_out(letter, _read(letter.text, Written))
    if letter.kind == TASK:
        if state.dropping(letter.project):
            return True  # it goes with its project
        source, task, asked = _read(letter.text, _Task)
        turn.submissions.append(Submission(task, source, asked=asked, by_mail=True))
    elif letter.kind == ANSWER and there:
        taskid, blob = _read(letter.text, tuple[str, str])
        answered((letter.project, taskid), blob)
    elif letter.kind == MOVED and there:
        _meet_row(state, (letter.project, _read(letter.text, str)))
    return True


def _meet_row(state: State, key: Key) -> None:
    """A row that is written down as this scheduler's: it stands in its queue from now on."""
    if key in state.leases or state.find({}, key) is not None:
        return
    row = state.taskdb.get(*key)
    if row is not None and row.queue is not None and state.has(row.project, row.host):
        state.enqueue(row)


def _read(text: str, kind: Any) -> Any:
    return msgspec.json.decode(text, type=kind)


def as_order(written: Written, project: str) -> Order:
    """What somebody ordered at another scheduler; nobody waits here for its verdict."""
    return Order(project, written.kind, None, written.taskid, written.reason)
