"""Which component is killed at which request: a schedule that a seed makes, and what became of it. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

WORKER = "worker"  # a process that runs handlers
PARTS = ("scheduler", "fetcher", "processor", "result_worker", WORKER)
FIRST, LAST = 0.02, 0.95  # of the pages: before that little is under way, behind it little is left to come back for


class Kill(NamedTuple):
    """A SIGKILL that is to come."""

    request: int  # the number of the request to the site at which it is due
    part: str  # of PARTS
    which: int  # of several processes of that part, modulo how many there are


@dataclass
class Blow:
    """A SIGKILL that was sent. Times are monotonic."""

    part: str
    request: int  # the number of the request at which it came: later than it was due when nobody was there
    pid: int
    at: float
    before: frozenset[int]  # pids of that part, the dead one included
    returned: float | None = None  # when a process of that part was seen that was not there before


def schedule(seed: int, kills: int, pages: int) -> list[Kill]:
    """In order of requests, each part as often as the others. The same for the same arguments.

    Raises :class:`ValueError` when there are more kills than places for them.
    """
    first = max(2, int(FIRST * pages))
    last = max(first, int(LAST * pages))
    if kills > last - first:
        raise ValueError(f"{kills} kills need a site of more than {pages} pages")
    chance = random.Random(seed)
    parts = [PARTS[number % len(PARTS)] for number in range(kills)]
    chance.shuffle(parts)
    requests = sorted(chance.sample(range(first, last), kills))
    return [Kill(request, part, chance.randrange(1 << 16)) for request, part in zip(requests, parts, strict=True)]
