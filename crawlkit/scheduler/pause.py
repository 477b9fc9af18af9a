"""When a project that only fails stops sending, and how it is tried again [S08, T20].

Pure: a transition table and the counting that drives it. Times are seconds on whatever clock the caller keeps to.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

StateName = Literal["running", "paused", "checking", "held"]
_Event = Literal["failures", "time", "success", "check_failed"]

#: The whole machine. A pair that is missing changes nothing: results that come in while paused are of tasks that were
#: sent before, and say nothing new.
TRANSITIONS: Final[dict[tuple[StateName, _Event], StateName]] = {
    ("running", "failures"): "paused",  # fail_pause_num failures in a row
    ("paused", "time"): "checking",  # pause_time later
    ("checking", "check_failed"): "paused",  # unpause_check_num failures, no success
    ("checking", "success"): "running",
}


class _Kept(msgspec.Struct):
    state: StateName = "running"
    since: float = 0.0
    failures: int = 0
    held: bool = False


class PauseState:
    """Whether one project may send.

    One that somebody paused is ``held`` until somebody resumes it; what it does by itself goes on below that.

    ``fail_pause_num`` failures in a row pause it (0: never), ``pause_time`` seconds later ``unpause_check_num`` tasks
    may go out; if all of them fail it pauses again, the first success lets it run.
    """

    __slots__ = ("_failures", "_since", "_state", "fail_pause_num", "held", "pause_time", "unpause_check_num")

    def __init__(self, fail_pause_num: int = 10, pause_time: float = 300.0, unpause_check_num: int = 3) -> None:
        self.fail_pause_num = fail_pause_num
        self.pause_time = pause_time
        self.unpause_check_num = max(1, unpause_check_num)
        self.held = False
        self.clear()

    def clear(self) -> None:
        """Forgets all failures, for a new version of the script. What is held stays so."""
        self._state: StateName = "running"
        self._since = 0.0
        self._failures = 0  # in a row, in this state

    def hold(self) -> None:
        """Somebody pauses it."""
        self.held = True

    def resume(self) -> None:
        """Somebody lets it run, whatever it was paused for."""
        self.held = False
        self.clear()

    def record(self, ok: bool, now: float) -> None:
        """Takes the result of a processed task. Tasks that are only sent are no results."""
        if self.fail_pause_num <= 0:
            return
        state = self._own(now)
        if ok:
            self._failures = 0
            self._go("success", now)
        elif state != "paused":
            self._failures += 1
            if state == "running" and self._failures >= self.fail_pause_num:
                self._go("failures", now)
            elif state == "checking" and self._failures >= self.unpause_check_num:
                self._go("check_failed", now)

    def state(self, now: float) -> StateName:
        """The state at ``now``."""
        return "held" if self.held else self._own(now)

    def _own(self, now: float) -> StateName:
        if self.fail_pause_num <= 0:
            return "running"
        if self._state == "paused":
            if now < self._since:
                self._since = now  # the clock was set back: a pause is never longer than pause_time from here
            if now >= self._since + self.pause_time:
                self._go("time", now)
        return self._state

    def wake_at(self, now: float) -> float | None:
        """When a paused project is to be asked again; ``None`` when time alone changes nothing."""
        return self._since + self.pause_time if self.state(now) == "paused" else None

    def allowance(self, now: float, out: int) -> float:
        """How many tasks may be sent while ``out`` others have no result yet: infinite, none, or a few to check."""
        state = self.state(now)
        if state == "running":
            return math.inf
        if state in ("paused", "held"):
            return 0
        return max(0, self.unpause_check_num - self._failures - out)

    def to_json(self) -> str:
        """All that :meth:`from_json` needs, as JSON text."""
        return msgspec.json.encode(_Kept(self._state, self._since, self._failures, self.held)).decode()

    @classmethod
    def from_json(
        cls, text: str, fail_pause_num: int = 10, pause_time: float = 300.0, unpause_check_num: int = 3
    ) -> PauseState:
        """The state that :meth:`to_json` wrote, under these limits; a running one if the text cannot be read."""
        self = cls(fail_pause_num, pause_time, unpause_check_num)
        try:
            kept = msgspec.json.decode(text, type=_Kept)
        except msgspec.MsgspecError:
            return self
        self._state, self._since, self._failures = kept.state, kept.since, max(0, kept.failures)
        self.held = kept.held
        return self

    def _go(self, event: _Event, now: float) -> None:
        following = TRANSITIONS.get((self._state, event))
        if following is not None:
            self._state, self._since, self._failures = following, now, 0
