"""Counts what ends in one project within a minute. Pure, and on the way of every page."""

from __future__ import annotations

from crawlkit.libs.messages import TrackFetch, TrackProcess
from crawlkit.libs.metrics import MINUTE, OTHERS, MetricRow, top_hosts

MAX_HOSTS = 500  # told apart within a minute; whichever come later are counted together


class Tally:
    """One project's numbers of the minute that runs, and the hour they go into."""

    __slots__ = ("codes", "done", "failed", "fetch_time", "hosts", "hour", "minute", "process_time", "reasons",
                 "retried", "size")  # fmt: skip

    def __init__(self) -> None:
        self.minute = -1  # the newest that was written by this scheduler
        self.hour: MetricRow | None = None
        self.clear()

    def clear(self) -> None:
        """A new minute begins."""
        self.done = self.failed = self.retried = self.size = 0
        self.fetch_time = self.process_time = 0.0
        self.codes: dict[int, int] = {}
        self.reasons: dict[str, int] = {}
        self.hosts: dict[str, list[int]] = {}

    def add(self, host: str, reason: str, final: bool, fetch: TrackFetch | None, process: TrackProcess | None) -> None:
        """One try that ended: well when ``reason`` is empty, else for good or not. Called for every page."""
        if not reason:
            self.done += 1
        else:
            if final:
                self.failed += 1
            else:
                self.retried += 1
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if process is not None:
            self.process_time += process.time
        if fetch is None:
            return
        self.fetch_time += fetch.time
        size, code, codes = fetch.size, fetch.status_code, self.codes
        self.size += size
        codes[code] = codes.get(code, 0) + 1
        if not host:
            return  # a data: URL, which reaches no host
        known = self.hosts.get(host)
        if known is None:
            known = self._new_host(host)
        known[0] += size
        known[1] += 1

    def _new_host(self, host: str) -> list[int]:
        if len(self.hosts) >= MAX_HOSTS:
            host = OTHERS
        return self.hosts.setdefault(host, [0, 0])

    def row(self, project: str, minute: int) -> MetricRow:
        """What was counted, as a row."""
        hosts = {host: (size, tries) for host, (size, tries) in self.hosts.items()}
        codes = {str(code): n for code, n in self.codes.items()}
        return MetricRow(
            project, MINUTE, minute * MINUTE, self.done, self.failed, self.retried, round(self.fetch_time, 3),
            round(self.process_time, 3), self.size, codes, self.reasons, top_hosts(hosts),
        )  # fmt: skip

    @property
    def empty(self) -> bool:
        return not (self.done or self.failed or self.retried)
