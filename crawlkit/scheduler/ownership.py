"""One scheduler a taskdb, whichever hosts they run on: it takes the taskdb, renews that, and stops when another has it.

What makes it safe is not here: a commit of who lost the taskdb fails in the database, in its own transaction.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from pathlib import Path

from crawlkit.database.base import Owner, TaskStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import NotOwner, StoreUnavailable, UsageError
from crawlkit.libs.rows import for_people

log = logging.getLogger("scheduler")

TTL = 9.0  # seconds for which a taskdb stays that of a scheduler that says nothing
RENEW = 3.0  # seconds between two times of saying so
LOOK = 0.5  # seconds between two looks at somebody else's time


class Ownership:
    """Holds a taskdb for this process."""

    def __init__(self, store: TaskStore, clock: Clock, *, ttl: float = TTL, renew: float = RENEW) -> None:
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._renew = renew
        self._node = name_of_process()
        self._released = threading.Event()

    def claim(self, *, patient: bool = False) -> None:
        """Takes the taskdb. From one who is dead: at once on the same host, else when its time is over.

        From one who lives it is not taken: raises :class:`UsageError` as soon as that one renews its time; or, when
        ``patient``, waits until it is gone. Blocks.
        """
        seen: Owner | None = None
        since = self._clock.monotonic()
        told = False
        while True:
            over = seen if seen is not None and self._is_dead(seen, since) else None
            owner = self._store.own(self._node, self._ttl, over)
            if owner is None:
                return
            if owner != seen:
                if seen is not None and owner.holder == seen.holder and not patient:
                    raise UsageError(f"a scheduler has this taskdb already ({for_people(owner.node)}): stop it first")
                seen, since = owner, self._clock.monotonic()
                if process_is_gone(owner.node):
                    continue
            if patient and not told:
                told = True
                log.info("waiting: the scheduler %s has the taskdb", for_people(owner.node))
            self._released.wait(LOOK)

    def _is_dead(self, owner: Owner, since: float) -> bool:
        return process_is_gone(owner.node) or self._clock.monotonic() - since > self._ttl

    async def keep(self) -> None:
        """Renews for ever; raises :class:`NotOwner` when another scheduler has the taskdb."""
        while True:
            await asyncio.sleep(self._renew)
            try:
                owner = await asyncio.to_thread(self._store.own, self._node, self._ttl)
            except StoreUnavailable as error:
                log.debug("%s", error)  # who commits says so; a commit is refused if need be
                continue
            if owner is not None:
                raise NotOwner(
                    f"the scheduler {for_people(owner.node)} has the taskdb now;"
                    " this one stops and leaves everything to it"
                )


def name_of_process() -> str:
    """Host and pid, and which system it is that counts them: of the same system a pid that is gone stays gone."""
    return f"{socket.gethostname()[:64]} pid {os.getpid()} {_system()}"


def process_is_gone(name: str) -> bool:
    """Whether it ran on this system, and runs no more. Of another one nothing is known."""
    host, _, rest = name.partition(" pid ")
    pid, _, system = rest.partition(" ")
    if system != _system() or host != socket.gethostname()[:64] or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return False  # another store of this very process
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _system() -> str:
    """The boot and the namespace of pids; two containers differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "?"  # not Linux: a host's name tells enough
