"""The figures of some crawls for people, and for programs. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crawlkit.proving.machine import Machine
from crawlkit.proving.processes import QUEUES
from crawlkit.proving.trial import Figures

MB = 2**20
SUPERVISOR = "supervisor"
NAMES = {QUEUES: SUPERVISOR}  # what is called otherwise here
REMARKS = {"processor": "with its workers", SUPERVISOR: "which holds the queues"}
ORDER = ("scheduler", "fetcher", "processor", "result_worker", QUEUES)
BUSY = 0.5  # processes that wanted to run for each core, from which on a machine is called busy
SHOWN = 5  # problems


@dataclass
class Report:
    """``server``: which one the pages came from; ``problems``: of the results; ``served``: queues are in crawlkit."""

    machine: Machine
    database: str
    queues: str
    server: str
    pages: int
    doc: bool
    served: bool
    runs: list[Figures] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {
            "machine": self.machine.plain(),
            "database": self.database,
            "queues": self.queues,
            "site": {
                "pages": self.pages,
                "server": self.server,
                "read_by": "response.doc" if self.doc else "response.css",
            },
            "exact": not self.problems,
            "problems": self.problems,
            "runs": [plain(one, self.pages) for one in self.runs],
            "median": median([plain(one, self.pages) for one in self.runs]) if self.runs else None,
            "missing": self.missing(),
            "kept": self.kept,
            "left": self.left,
        }
        return found

    def missing(self) -> list[str]:
        """Figures that cannot be told here, and why."""
        words = []
        if self.runs and not any(one.pss for one in self.runs):
            words.append("peak memory: this system does not tell it (it takes Linux and /proc/PID/smaps_rollup)")
        for name, cpu in (self.runs[0].servers if self.runs else {}).items():
            if not cpu:
                words.append(f"CPU of the {name} server: it is on another machine, or another user's")
        return words

    def text(self) -> str:
        """For people."""
        about = [
            self.machine.words(),
            f"database: {self.database}",
            f"queues: {self.queues}",
            f"site: {self.pages:,} pages of 10 KB, 20 links each, from {self.server}; read by"
            f" {'response.doc' if self.doc else 'response.css'}",
        ]
        load = self.machine.load
        if load > BUSY * self.machine.cores:
            about.append(f"the machine was busy before (load {load:.1f}): figures of a quiet one are better")
        blocks = ["\n".join(about)]
        if self.runs:
            blocks += [self._table(), self._components()]
        blocks.append("\n".join([self._verdict(), *(f"not told: {words}" for words in self.missing())]))
        return "\n\n".join(blocks)

    def _table(self) -> str:
        rows = [(f"run {number}", plain(one, self.pages)) for number, one in enumerate(self.runs, 1)]
        if len(rows) > 1:
            rows.append(("median", median([one for _, one in rows])))
        lines = [f"{'':8}{'pages/s':>10}{'CPU ms a page':>16}{'peak MB (PSS)':>16}{'start s':>10}{'crawl s':>10}"]
        for name, one in rows:
            size = "-" if one["peak_pss"] is None else f"{one['peak_pss'] / MB:,.0f}"
            lines.append(
                f"{name:8}{one['pages_per_second']:10,.0f}{one['cpu_ms_per_page']:16.3f}{size:>16}"
                f"{one['start_seconds']:10.2f}{one['crawl_seconds']:10.2f}"
            )
        return "\n".join(lines)

    def _components(self) -> str:
        one = median([plain(one, self.pages) for one in self.runs])
        total = one["cpu_ms_per_page"] or 1.0
        lines = ["CPU ms a page by component, without the start:"]
        for part, cpu in one["components"].items():
            remark = REMARKS.get(part, "") if part != SUPERVISOR or self.served else ""
            line = f"  {part.replace('_', ' '):16}{cpu:8.3f}{cpu / total:8.0%}"
            lines.append(f"{line}   {remark}" if remark else line)
        for name, cpu in one["servers"].items():
            if cpu is not None:
                lines.append(f"  {name + ' server':16}{cpu:8.3f}{'':8}   beside, for whomever it works")
        return "\n".join(lines)

    def _verdict(self) -> str:
        if not self.runs and not self.problems:
            return "nothing was measured"
        if not self.problems:
            return f"results are exact: {self.pages:,} pages, each once"
        more = len(self.problems) - SHOWN
        lines = [f"results are NOT exact: {len(self.problems):,} problems", *self.problems[:SHOWN]]
        return "\n  ".join(lines + ([f"and {more:,} more"] if more > 0 else []))


def plain(one: Figures, pages: int) -> dict[str, Any]:
    """The figures of a run, per page. ``None``: it is not told here."""
    parts = {part: one.parts[part] for part in (*ORDER, *sorted(one.parts.keys() - set(ORDER))) if part in one.parts}
    return {
        "pages_per_second": pages / one.crawl,
        "cpu_ms_per_page": sum(parts.values()) * 1000 / pages,
        "components": {NAMES.get(part, part): seconds * 1000 / pages for part, seconds in parts.items()},
        "servers": {name: seconds * 1000 / pages if seconds else None for name, seconds in one.servers.items()},
        "peak_pss": one.pss or None,
        "start_seconds": one.start,
        "crawl_seconds": one.crawl,
    }


def median(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure of some runs."""
    found: dict[str, Any] = {}
    for key, first in runs[0].items():
        values = [one.get(key) for one in runs]
        if isinstance(first, dict):
            found[key] = median([value if isinstance(value, dict) else {} for value in values])
        else:
            told = [value for value in values if value is not None]
            found[key] = statistics.median(told) if told else None
    return found
