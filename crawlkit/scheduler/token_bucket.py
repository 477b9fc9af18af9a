"""How fast a project may send: a bucket of tokens that starts full and refills continuously [S07, T02].

Pure: no clock, no I/O. Times are seconds on whatever clock the caller keeps to; one token is one task.
"""

from __future__ import annotations

import math

#: Tokens. Sums of floats fall short of a whole number by less; the shortfall stays as a debt, so it never adds up.
_TOLERANCE = 1e-6
#: Seconds a reading may lie behind the newest one and still count as jitter instead of a clock that was set back.
_JITTER = 1.0
#: Seconds added to a wait, so that ``now + wait`` lies behind the instant even after rounding of Unix times.
_MARGIN = 1e-6


def check_rate(rate: float | None, burst: float) -> None:
    """Raises ``ValueError`` in words when no bucket can have this rate (tokens per second) and burst (tokens)."""
    if rate is not None and not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"rate {rate!r}: use a number of tasks per second, 0 for none, or unlimited")
    if not (math.isfinite(burst) and burst >= 1):
        raise ValueError(f"burst {burst!r}: use a number of at least 1, else no task could ever be sent")


class TokenBucket:
    """At most ``burst + rate * t`` tokens are taken in any ``t`` seconds; what is owed comes on top, and is paid back.

    ``rate`` is in tokens per second: ``None`` is unlimited, 0 gives nothing ever. Raises ``ValueError`` in words for a
    burst under 1 or a rate that is no number of 0 or more. A clock that goes back does no harm: what is in the bucket
    stays, and refilling goes on from the new reading.
    """

    __slots__ = ("_last", "_tokens", "burst", "rate")

    def __init__(self, rate: float | None, burst: float, now: float) -> None:
        check_rate(rate, burst)
        self.rate = rate
        self.burst = float(burst)
        self._tokens = self.burst
        self._last = now

    def available(self, now: float) -> float:
        """Tokens that could be taken now: 0 or more, infinite when unlimited."""
        if self.rate is None:
            return math.inf
        if self.rate == 0:
            return 0.0
        self._refill(now)
        whole = round(self._tokens)
        tokens = whole if abs(self._tokens - whole) <= _TOLERANCE else self._tokens
        return max(0.0, float(tokens))

    def take(self, now: float, n: float = 1) -> bool:
        """Takes ``n`` tokens, or none and returns False."""
        if self.rate is None or n <= 0:
            return True
        if self.rate == 0:
            return False
        self._refill(now)
        if self._tokens + _TOLERANCE < n:
            return False
        self._tokens -= n
        return True

    def wait(self, now: float, n: float = 1) -> float:
        """Seconds until ``n`` tokens can be taken if nobody takes any before: 0 now, infinite never."""
        if self.rate is None or n <= 0:
            return 0.0
        if self.rate == 0 or n > self.burst + _TOLERANCE:
            return math.inf
        self._refill(now)
        missing = n - self._tokens
        if missing <= _TOLERANCE:
            return 0.0
        behind = max(0.0, self._last - now)
        return behind + missing / self.rate + _MARGIN

    def owe(self, now: float, n: float = 1) -> None:
        """Takes ``n`` tokens that may not be there yet, at most a whole bucket ahead: others wait the longer."""
        if self.rate:
            self._refill(now)
            self._tokens = max(self._tokens - n, -self.burst)

    def give_back(self, n: float = 1) -> None:
        """Returns tokens that were taken and not used."""
        self._tokens = min(self.burst, self._tokens + n)

    def change(self, rate: float | None, burst: float, now: float) -> None:
        """Another rate and burst from now on. Keeps the tokens, up to the new burst; raises as the constructor."""
        check_rate(rate, burst)
        self._refill(now)
        self.rate = rate
        self.burst = float(burst)
        self._tokens = min(self.burst, self._tokens)

    def dump(self, now: float, wall: float) -> str:
        """What :meth:`load` needs; ``wall`` is Unix time, which outlives the clock of ``now``."""
        self._refill(now)
        return f"{self._tokens!r} {wall!r}"

    def load(self, text: str, now: float, wall: float) -> None:
        """Goes on with the tokens of :meth:`dump` and what came in since: a restart gives no second burst.

        A text that cannot be read leaves the bucket as it is.
        """
        try:
            tokens, then = (float(part) for part in text.split())
        except ValueError:
            return
        if math.isfinite(tokens) and math.isfinite(then):
            self._tokens = min(self.burst, tokens + (self.rate or 0.0) * max(0.0, wall - then))
            self._last = now

    def _refill(self, now: float) -> None:
        elapsed = now - self._last
        if elapsed > 0:
            if self.rate:
                self._tokens = min(self.burst, self._tokens + elapsed * self.rate)
            self._last = now
        elif elapsed < -_JITTER:
            self._last = now
