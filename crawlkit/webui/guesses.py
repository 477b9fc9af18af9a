"""How often passwords may be guessed. Pure: ``now`` is an argument; holds its counts in memory, bounded.

Three bounds at once: the longer an account or an address fails, the longer it waits; and of all tries together no more
than :data:`A_MINUTE` are looked at in any minute. A browser that logged in before has a bound of its own
("device cookies" of OWASP), so that guessing by others does not lock out those who know their password.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

A_MINUTE = 20  # tries looked at, by whomever
WINDOW = 60.0  # seconds
FREE = 3  # failures before the first wait
LONGEST = 300.0  # seconds
FORGET = 3600.0  # seconds without a failure
REMEMBERED = 10_000  # accounts and addresses


@dataclass
class _Failures:
    count: int = 0
    last: float = 0.0


class GuessLimits:
    """Call :meth:`take` before a password is looked at, and :meth:`right` when it was right."""

    def __init__(self, a_minute: int = A_MINUTE, remembered: int = REMEMBERED) -> None:
        self._a_minute = a_minute
        self._remembered = remembered
        self._tries: deque[float] = deque()
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def take(self, now: float, account: str, address: str, device: str = "") -> float:
        """0 when the password may be looked at now, and then this counts as a failure until it is right; else the
        seconds to wait. ``device``: a browser that logged in to this account before, ``""`` for a strange one."""
        keys = _keys(account, address, device)
        wait = max(self._wait(now, key) for key in keys)
        if not device:
            wait = max(wait, self._wait_for_all(now))
        if wait > 0:
            return wait
        if not device:
            self._tries.append(now)
        for key in keys:
            failures = self._failures.setdefault(key, _Failures())
            failures.count += 1
            failures.last = now
            self._failures.move_to_end(key)
        while len(self._failures) > self._remembered:
            self._failures.popitem(last=False)
        return 0.0

    def right(self, account: str, address: str, device: str = "") -> None:
        """The try that was taken last was right: it was no guess."""
        for key in _keys(account, address, device):
            self._failures.pop(key, None)
        if not device and self._tries:
            self._tries.pop()

    def _wait(self, now: float, key: str) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        if now - failures.last > FORGET:
            del self._failures[key]
            return 0.0
        if failures.count < FREE:
            return 0.0
        delay = min(LONGEST, 2.0 ** (failures.count - FREE))
        return max(0.0, failures.last + delay - now)

    def _wait_for_all(self, now: float) -> float:
        while self._tries and now - self._tries[0] >= WINDOW:
            self._tries.popleft()
        return max(0.0, self._tries[0] + WINDOW - now) if len(self._tries) >= self._a_minute else 0.0


def _keys(account: str, address: str, device: str) -> tuple[str, ...]:
    if device:
        return (f"device {device}",)
    return f"account {account.lower()}", f"address {address}"
