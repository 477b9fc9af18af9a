"""How fast a host may be asked when nobody knows: found out by what it answers and how fast it does.

Pure. Times are seconds on a clock that never goes back. Three rules: it grows only while it is made use of and every
answer is good; a refusal is remembered as a rate that is too fast, and half of it is where the search goes on; and the
host's own time to answer caps it, so that not more than ``target`` requests are under way on average.
"""

from __future__ import annotations

import enum
import math

START = 1.0  # requests per second before anything is known
LEAST, MOST = 1 / 60, 1_000.0  # requests per second
STEP_TIME = 2.0  # seconds at one rate before it counts as proven, while nothing was refused yet
CLOSE_TIME = (4.0, 60.0)  # ... and once something was; longer for a server that counts over a longer time
STEP_ANSWERS = 3  # good answers before it counts as proven
CLOSE = 1.16  # proven and refused rates this near to each other end the search
BELOW = 0.91  # of the refused rate is where it stays; what a server counts is never as even as what was sent
USED = 0.6  # of the rate must have been made use of, else its being good says nothing
AGAIN = (180.0, 3_600.0)  # seconds until a refused rate is tried again: at first, and at most
WELCOME = 20.0  # ... until the next one, while these go well
SMOOTH = 0.15  # weight of a new answer in the mean of the times


class Answer(enum.Enum):
    """What an answer says about the host."""

    GOOD = 1
    REFUSED = 2  # 429, 503: too much
    TROUBLE = 3  # it could not be reached, or not in time
    OTHER = 4  # says nothing, and a fast error is no reason to go faster


class Throttle:
    """The rate of one host. ``target``: requests under way to aim at."""

    __slots__ = ("_again", "_asked", "_good_answers", "_patience", "_proven", "_refused", "_since", "_step", "_trying",
                 "latency", "rate", "target")  # fmt: skip

    def __init__(self, mono: float, target: float = 1.0, rate: float = START) -> None:
        self.target = target
        self.rate = rate  # requests per second
        self.latency = 0.0  # seconds, smoothed; 0: nothing came yet
        self._since = mono  # when this rate began
        self._asked = 0  # requests sent since
        self._good_answers = 0  # ... and answers to them
        self._proven = 0.0  # the highest rate that went well
        self._refused = math.inf  # the lowest that did not
        self._again = AGAIN[0]
        self._trying, self._step = False, CLOSE  # a refused rate is tried again, and by how much it was raised
        self._patience = CLOSE_TIME[0]

    @property
    def refused(self) -> float:
        """The lowest rate that was too much, infinite when none was."""
        return self._refused

    @property
    def cap(self) -> float:
        """What the host's time to answer allows."""
        return self.target / self.latency if self.latency else math.inf

    def sent(self) -> None:
        """A request went out."""
        self._asked += 1

    def held(self, until: float) -> None:
        """Nothing will be sent before then, so nothing is learned from that time."""
        if until > self._since:
            self._since, self._asked, self._good_answers = until, 0, 0

    def ended(self, answer: Answer, mono: float, seconds: float) -> bool:
        """A request ended that took ``seconds``. Whether the rate is another one now."""
        began = mono - max(0.0, seconds)
        before = self.rate
        if answer is Answer.GOOD:
            self.latency += (max(seconds, 1e-3) - self.latency) * (SMOOTH if self.latency else 1.0)
            if began >= self._since:
                self._good_answers += 1
                self._maybe_grow(mono)
            if self.rate > self.cap:
                self._set(self.cap, mono, proven=True)
        elif began >= self._since and answer is Answer.REFUSED:
            if self._good_answers:  # else it had not recovered yet, which says nothing about this rate
                self._note_refusal(mono)
        elif began >= self._since and answer is Answer.TROUBLE:
            self._set(self.rate / 2, mono)
        return self.rate != before

    def _maybe_grow(self, mono: float) -> None:
        spent = mono - self._since
        close = self._refused < math.inf
        wanted = self._patience if close else STEP_TIME
        if self._good_answers < STEP_ANSWERS or spent < max(wanted, STEP_ANSWERS / self.rate):
            return
        used = self._asked / spent
        if used < USED * self.rate:
            self._since, self._asked, self._good_answers = mono, 0, 0  # look again at the next stretch
            return
        self._proven = max(self._proven, min(self.rate, used))
        if not close:
            self._set(min(self.rate * 2, self.cap), mono)
        elif self._refused / self.rate > CLOSE:
            self._set(min(math.sqrt(self.rate * self._refused), self.cap), mono)
        elif self.rate > self._refused * BELOW * 1.001:
            self._set(self._refused * BELOW, mono)
        elif spent >= (WELCOME if self._trying else self._again):
            self._step = min(self._step**2, 4.0) if self._trying else CLOSE
            self._trying = True
            self._refused *= self._step  # what was too much some time ago may be welcome now
            self._set(min(self.rate * 1.05, self.cap), mono)

    def _note_refusal(self, mono: float) -> None:
        if self._trying:
            self._trying = False
            self._again = min(self._again * 2, AGAIN[1])
        used = self._asked / max(mono - self._since, 1.0 / self.rate)
        too_fast = self.rate if used > USED * self.rate else max(used, LEAST)
        self._refused = min(self._refused, too_fast)
        if self._proven >= self._refused * 0.98:
            self._proven = self._refused / 2
            self._patience = min(self._patience * 2, CLOSE_TIME[1])
        self._set(max(min(self._proven, self._refused * BELOW), self._refused / 2), mono)

    def _set(self, rate: float, mono: float, proven: bool = False) -> None:
        rate = min(max(rate, LEAST), MOST)
        if proven and rate > 0.9 * self.rate:
            self.rate = rate  # a small turn of the wheel: what is being proven goes on
            return
        if rate != self.rate:
            self.rate = rate
            self._since, self._asked, self._good_answers = mono, 0, 0
