"""Says in the log who fails and why, and which projects pause: not a line for each of a thousand failures."""

from __future__ import annotations

import logging

from crawlkit.libs.clock import Clock
from crawlkit.libs.journal import UNSTORED, Journal
from crawlkit.libs.rows import LogLine
from crawlkit.scheduler.turn import Failure, Outbox

log = logging.getLogger("scheduler")

TELL_AGAIN = 60.0  # seconds between two log lines about failures of one kind


class Teller:
    """Knows what it told already. ``journal`` gets every failure."""

    def __init__(self, clock: Clock, journal: Journal | None) -> None:
        self._clock = clock
        self._journal = journal
        self._told: dict[tuple[str, str, bool], tuple[float, int]] = {}

    def tell(self, outbox: Outbox) -> None:
        """Says who fails and why: the first of each kind a minute, with how many there were since."""
        now = self._clock.monotonic()
        if outbox.failures and self._journal is not None:
            self._journal([_line_of(failure, self._clock.time()) for failure in outbox.failures])
        for failure in outbox.failures:
            more = self._untold((failure.project, failure.reason, failure.again is None), now)
            if more is not None:
                log.info("%s: %s %s%s", failure.project, failure.url, _words_of(failure), more, extra=UNSTORED)
        for host, block in outbox.holds:
            more = self._untold((host, "held", False), now)
            if more is not None:
                log.warning("host %s is left alone for %.3g s: %s%s", host, block.seconds, block.text, more)
        if outbox.let_go and (more := self._untold(("", "let_go", False), now)) is not None:
            log.warning("too many hosts ask to be left alone: %d of them are no longer%s", outbox.let_go, more)
        for change in outbox.nodes:
            who = f"{change.role} {change.node} on {change.host}"
            if change.what == "dead":
                log.warning("%s is silent: it counts as dead, its %d tasks come round again", who, change.leases)
            else:
                log.info("%s is back", who)
        for project in outbox.no_browser:
            log.warning(
                "project %s: no browser service: pages of fetch_type auto are taken as plain HTTP gives them",
                project,
                extra={"project": project},
            )
        for project, state in outbox.pauses:
            words = {
                "paused": "paused: its last tasks all failed",
                "checking": "tries a few tasks again",
                "held": "paused by hand",
            }
            log.warning("project %s %s", project, words.get(state, "runs again"), extra={"project": project})

    def _untold(self, kind: tuple[str, str, bool], now: float) -> str | None:
        """What to say of those of this kind that were not told; ``None``: one was told a short time ago."""
        told, more = self._told.get(kind, (float("-inf"), 0))
        if now - told < TELL_AGAIN:
            self._told[kind] = (told, more + 1)
            return None
        if len(self._told) > 1_000:
            self._told.clear()
        self._told[kind] = (now, 0)
        return f"; {more} more like it before" if more else ""


def _words_of(failure: Failure) -> str:
    if failure.again is None:
        said = f"failed for good ({failure.reason})"
    else:
        said = f"failed ({failure.reason}), tried again in {failure.again:g} s"
    return said + (f" ({failure.tries})" if failure.tries else "") + (f": {failure.text}" if failure.text else "")


def _line_of(failure: Failure, now: float) -> LogLine:
    """A failure for the log store."""
    level = logging.ERROR if failure.again is None else logging.WARNING
    return LogLine(
        now, level, _words_of(failure), project=failure.project, taskid=failure.taskid, url=failure.url, logger=log.name
    )
