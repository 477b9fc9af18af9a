"""What is to be done about a running callback, by the time it has had for itself.

Pure: a look at a worker in, orders out; the pool carries them out.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from crawlkit.processor.settings import ProcessorSettings

TAKE_BACK_AFTER = 0.2  # seconds a callback runs before what waits behind it is given to others
STUCK_AFTER = 20.0  # seconds in which a worker with tasks starts none and ends none


class Look(NamedTuple):
    """A worker that has tasks, as it is now."""

    spent: float  # own seconds of the running callback; 0: none runs
    time_limit: float  # of the running task; 0: the processor's
    tasks: int  # the running one included
    still: float  # seconds since it was given its first task or ended one
    nice: bool  # it was made nicer already
    reading: bool  # its outcomes are read: it is not kept waiting


class Order(enum.Flag):
    """What to do; several at once."""

    NOTHING = 0
    MAKE_NICER = enum.auto()
    ASK_WHERE = enum.auto()  # it will be killed soon: it shall leave its traceback
    KILL = enum.auto()  # over its time limit, and the exception did not stop it
    KILL_STUCK = enum.auto()  # something it inherited or was left behind holds it up; no task is to blame
    TAKE_BACK = enum.auto()  # what waits behind the callback goes to others


def judge(look: Look, settings: ProcessorSettings) -> Order:
    """The orders for one worker."""
    spent = look.spent
    if not spent:
        return Order.KILL_STUCK if look.reading and look.still > STUCK_AFTER else Order.NOTHING
    orders = Order.NOTHING
    if spent > settings.nice_after and not look.nice:
        orders |= Order.MAKE_NICER
    limit = look.time_limit or settings.process_time_limit
    if spent > limit + settings.kill_after / 2:
        orders |= Order.ASK_WHERE
    if spent > limit + settings.kill_after:
        orders |= Order.KILL
    elif spent > TAKE_BACK_AFTER and look.tasks > 1:
        orders |= Order.TAKE_BACK
    return orders
