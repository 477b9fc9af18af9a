"""Who works on what in a store that has no locks: an object that its holder writes anew every few seconds.

Taken over from a holder who has not been heard of for a while, by the clock of who waits. A holder that was only slow
does no harm: pieces and notes of two writers never mix (see :mod:`crawlkit.files.store_part`). It saves traffic.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable

import msgspec
from msgspec import Struct

from crawlkit.files.store import Store
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.holders import has_ended, own_process
from crawlkit.libs.holders import machine as _machine

log = logging.getLogger("crawlkit.files")

BEAT = 5.0  # seconds between two signs of life
STALE = 20.0  # seconds without one after which a holder counts as dead


class _Sign(Struct):
    """What the object says. ``machine``, ``pid`` and ``began``: by which a waiter on the same machine sees a death."""

    holder: str
    machine: str
    pid: int
    began: float
    beat: int = 0


class StoreLock:
    """A lock that is held."""

    def __init__(self, locks: StoreLocks, name: str, sign: _Sign) -> None:
        self._locks = locks
        self.name = name
        self.sign = sign

    def release(self) -> None:
        """Raises nothing: a lock that cannot be removed now grows stale."""
        self._locks.let_go(self)


class StoreLocks:
    """The locks of this process in one store; a thread keeps them fresh while there are any."""

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._now = monotonic
        self._held: dict[str, StoreLock] = {}
        self._taking: set[str] = set()
        self._seen: dict[str, tuple[bytes, float]] = {}  # of others: what it said, and since when
        self._guard = threading.Lock()
        self._woken = threading.Event()
        self._keeper: threading.Thread | None = None

    def try_lock(self, name: str) -> StoreLock | None:
        """The lock; ``None`` while another has it. Raises :class:`StoreUnavailable`."""
        with self._guard:
            if name in self._held or name in self._taking:
                return None
            self._taking.add(name)
        try:
            sign = _Sign(uuid.uuid4().hex, *_whoami())
            if not self._store.create(name, msgspec.json.encode(sign)) and not self._take_over(name, sign):
                return None
            lock = StoreLock(self, name, sign)
            with self._guard:
                self._seen.pop(name, None)
                self._held[name] = lock
                self._keep_fresh()
            return lock
        finally:
            with self._guard:
                self._taking.discard(name)

    def _take_over(self, name: str, sign: _Sign) -> bool:
        said = self._store.get(name)
        if said is None:
            return self._store.create(name, msgspec.json.encode(sign))
        with self._guard:
            known = self._seen.get(name)
            if known is None or known[0] != said:
                known = self._seen[name] = (said, self._now())
        if not _has_died(said) and self._now() - known[1] < STALE:
            return False
        self._store.put(name, msgspec.json.encode(sign))
        return _holder_of(self._store.get(name)) == sign.holder

    def let_go(self, lock: StoreLock) -> None:
        """Removes the object, if it is still ours."""
        with self._guard:
            self._held.pop(lock.name, None)
        with contextlib.suppress(StoreUnavailable):
            if _holder_of(self._store.get(lock.name)) == lock.sign.holder:
                self._store.remove(lock.name)

    def _keep_fresh(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._work, name="crawlkit-file-locks", daemon=True)
            self._keeper.start()

    def _work(self) -> None:
        while not self._woken.wait(BEAT):
            with self._guard:
                locks = list(self._held.values())
                if not locks:
                    self._keeper = None
                    return
            for lock in locks:
                self._refresh(lock)

    def _refresh(self, lock: StoreLock) -> None:
        try:
            if _holder_of(self._store.get(lock.name)) != lock.sign.holder:
                log.warning("%s: another fetcher has taken this file over", self._store.url_of(lock.name))
                return
            with self._guard:
                if self._held.get(lock.name) is not lock:
                    return
            lock.sign.beat += 1
            self._store.put(lock.name, msgspec.json.encode(lock.sign))
        except StoreUnavailable as error:
            log.warning("%s; a lock there may be taken over", error)


def _whoami() -> tuple[str, int, float]:
    return _machine(), *own_process()


def _has_died(said: bytes) -> bool:
    try:
        sign = msgspec.json.decode(said, type=_Sign)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not sign.machine or sign.machine != _machine():
        return False
    return has_ended(sign.pid, sign.began)


def _holder_of(said: bytes | None) -> str | None:
    try:
        return None if said is None else msgspec.json.decode(said, type=_Sign).holder
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
