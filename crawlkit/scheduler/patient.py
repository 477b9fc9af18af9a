"""A store that is asked once more when it does not answer: a hiccup in one read shall not cost a whole turn.

A turn, and more so a start, reads many times, and begins anew when one read fails: where one in ten fails it would
never come to its end. Only reads are repeated, and only those that failed quickly: a time-out was long enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import StoreUnavailable

TRIES = 4
QUICK = 0.5  # seconds: a failure that took longer is no hiccup
READS = (
    "get", "get_many", "known", "window", "hosts", "finished", "max_seq", "counts", "leases", "mail", "mail_waiting",
    "whole", "ledger", "state", "state_of", "ticks", "last_ticks", "nodes", "count", "owners", "members",  # taskdb
    "all", "changed_since", "names", "versions", "script", "settings",  # projectdb
)  # fmt: skip

S = TypeVar("S")


def patient(store: S, clock: Clock) -> S:
    """``store``, whose reads are repeated."""
    return cast(S, _Patient(store, clock))


class _Patient:
    def __init__(self, store: Any, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        for name in READS:
            found = getattr(store, name, None)
            if found is not None:
                setattr(self, name, self._repeated(found))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _repeated(self, read: Callable[..., Any]) -> Callable[..., Any]:
        clock = self._clock

        def repeated(*args: Any, **options: Any) -> Any:
            for _ in range(TRIES - 1):
                began = clock.monotonic()
                try:
                    return read(*args, **options)
                except StoreUnavailable:
                    if clock.monotonic() - began > QUICK:
                        raise
            return read(*args, **options)

        return repeated
