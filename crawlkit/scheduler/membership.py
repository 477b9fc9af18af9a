"""Several schedulers on one taskdb: each says that it is there, and takes its share of the partitions.

What makes it safe is not here: a commit of one who lost a partition fails in the database. One that stood still finds
that out, reads anew what it still has, and takes part again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from crawlkit.database.base import Owner, TaskStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.rows import for_people
from crawlkit.scheduler.balance import Move, Watch, balance
from crawlkit.scheduler.ownership import name_of_process, process_is_gone

log = logging.getLogger("scheduler")

TTL = 6.0  # seconds after which one that says nothing is dead
BEAT = 1.0  # seconds between two times of saying so, and of looking at the others


CarryOut = Callable[[], frozenset[int]]  # returns which partitions are this scheduler's then


@dataclass
class Look:
    """What stands in the database about all of them."""

    me: Owner
    lost: set[int]  # that were this one's, and are another's
    members: list[Owner]
    owners: dict[int, Owner] = field(default_factory=dict)


class Membership:
    """Of this process. ``partitions``: into how many the taskdb is divided, the same for all."""

    def __init__(
        self, store: TaskStore, clock: Clock, partitions: int, *, ttl: float = TTL, beat: float = BEAT, node: str = ""
    ) -> None:
        self.partitions = partitions
        self.mine: frozenset[int] = frozenset()
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._beat = beat
        self._node = node or name_of_process()
        self._watch = Watch(ttl, max(ttl / 2, 2 * beat))
        self._sure = float("-inf")  # monotonic; when it was known last that mine are mine
        self._now = asyncio.Event()
        self._confirmed = asyncio.Event()

    # -- one step, blocking ------------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Says that this one is there, and reads what the others said. Blocks."""
        asked = self._clock.monotonic()
        me = self._store.announce(self._node, self._ttl)
        lost = set(self._store.renew(self._node, self._ttl)) if self.mine else set()
        look = Look(me, lost, self._store.members(), self._store.owners())
        # also what a store gave back or took that did not answer any more
        lost |= {part for part in self.mine if part not in look.owners or look.owners[part].holder != me.holder}
        self._sure = asked
        return look

    def decide(self, look: Look) -> Move:
        """What to take and to give back, by what was seen."""
        me, mono = look.me.holder, self._clock.monotonic()
        there = {entry.holder: entry for entry in look.members}
        # who took a partition and is no member is watched by that
        others = {owner.holder: owner for owner in look.owners.values() if owner.holder not in there}
        alive = self._watch.alive([*there.values(), *others.values()], mono, process_is_gone) | {me}
        holders = {part: owner.holder for part, owner in look.owners.items()}
        # taken, or meant to be given back, and the answer did not come
        unheard = [part for part, holder in holders.items() if holder == me and part not in self.mine]
        for part in unheard:
            del holders[part]
        for holder, entry in there.items():
            if holder not in alive and holder not in holders.values():
                log.warning("the scheduler %s is gone", for_people(entry.node))
                self._store.dismiss(holder)  # only now: others judge by it
        members = (alive & set(there)) | {me}
        blocked = {part: holder for part, holder in holders.items() if holder in alive and holder not in there}
        move = balance(me, self.partitions, holders, members)
        take = [part for part in move.take if part not in blocked]
        return Move(take, [*move.give, *(part for part in unheard if part not in take)])

    def carry_out(self, look: Look, move: Move) -> frozenset[int]:
        """Gives back and takes; returns which are this one's now. Blocks, and only between two commits of its own.

        When the store does not answer ``mine`` holds those that are this one's for sure: who works on others does it
        without a check.
        """
        self.mine -= {*look.lost, *move.give}
        for part in {*look.lost, *move.give}:
            self._store.disown(part)
        for part in move.take:
            if self._store.own(self._node, self._ttl, look.owners.get(part), part) is None:
                self.mine |= {part}
        return self.mine

    # -- for ever ----------------------------------------------------------------------------------------------------

    async def keep(self, change: Callable[[CarryOut, set[int]], Awaitable[None]]) -> None:
        """Takes part for ever.

        ``change`` is given what makes the change and returns what is this one's then, to be called between two turns,
        and the partitions that were lost to others before that.
        """
        told: frozenset[int] = frozenset()
        while True:
            self._now.clear()
            try:
                look, move = await asyncio.to_thread(self._look_and_decide)
                if look.lost or move.take or move.give or told != self.mine:
                    await change(partial(self.carry_out, look, move), look.lost)
                    told = self.mine
                self._confirmed.set()
            except StoreUnavailable as error:
                log.debug("%s", error)  # who commits says so; a commit is refused if need be
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat):
                    await self._now.wait()

    def _look_and_decide(self) -> tuple[Look, Move]:
        look = self.look()
        return look, self.decide(look)

    async def look_now(self) -> None:
        """Something was refused: returns when it is known again what is this one's."""
        self._confirmed.clear()
        self._now.set()
        await self._confirmed.wait()

    async def sure(self) -> None:
        """Returns at once, unless this process stood still so long that others may have its partitions."""
        if self._clock.monotonic() - self._sure > self._ttl:
            await self.look_now()

    def leave(self) -> None:
        """The end: others take over at once. Blocks."""
        self._store.disown()
        self._store.dismiss(self._store.announce(self._node, 0).holder)
        self.mine = frozenset()
