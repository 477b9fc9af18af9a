"""The verdict on a crawl whose components were killed, for people and for programs. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crawlkit.proving.judge import Evidence, judge, refetches
from crawlkit.proving.kills import PARTS, WORKER, Blow
from crawlkit.proving.machine import Machine
from crawlkit.proving.recovery import Traces, percentile, recoveries

SHOWN = 10  # problems
BACK_WITHIN = 5.0  # seconds, of 95 of 100 kills
NAMES = {"result_worker": "result worker", WORKER: "handler worker"}


@dataclass(frozen=True)
class Order:
    """What was asked for."""

    minutes: float
    pages: int
    kills: int
    seed: int

    @property
    def rate(self) -> float:
        """Pages a second."""
        return self.pages / (self.minutes * 60)

    def command(self) -> str:
        """Which does the same kills again, with the same options before it."""
        words = ["crawlkit", "chaos", "--minutes", f"{self.minutes:g}", "--pages", str(self.pages)]
        return shlex.join([*words, "--kills", str(self.kills), "--seed", str(self.seed)])


@dataclass
class Report:
    """``window``: the most tasks that were under way at once; ``problems``: all that does not hold."""

    machine: Machine
    order: Order
    database: str = ""
    queues: str = ""
    blows: Sequence[Blow] = ()
    back: Sequence[float | None] = ()  # the recovery of each
    window: int = 0
    seconds: float = 0.0
    requests: int = 0
    refetches: int = 0
    problems: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def conclude(self, evidence: Evidence, blows: Sequence[Blow], traces: Traces) -> None:
        """Takes in what the judge says."""
        self.blows, self.back = blows, recoveries(blows, traces)
        self.requests, self.refetches = sum(evidence.asked.values()), refetches(evidence.asked)
        self.problems += judge(evidence)
        if self.refetches > self.bound:
            self.problems.append(
                f"{self.refetches} pages were fetched again, over {len(blows)} kills x {self.window} under way"
            )
        p95 = percentile(self.recoveries(), 0.95)
        if p95 > BACK_WITHIN:
            self.problems.append(f"recovery: p95 is {p95:.1f} s, over {BACK_WITHIN:g} s")

    @property
    def bound(self) -> int:
        """How many refetches the kills explain at most."""
        return len(self.blows) * self.window

    def recoveries(self, part: str | None = None) -> list[float]:
        """Seconds, of one part or of all."""
        pairs = zip(self.blows, self.back, strict=True)
        return [found for blow, found in pairs if found is not None and part in (None, blow.part)]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        counts = Counter(blow.part for blow in self.blows)
        return {
            "machine": self.machine.plain(),
            "database": self.database,
            "queues": self.queues,
            "seed": self.order.seed,
            "command": self.order.command(),
            "minutes": self.order.minutes,
            "pages": self.order.pages,
            "rate": self.order.rate,
            "seconds": self.seconds,
            "holds": not self.problems,
            "problems": self.problems,
            "kills": {
                "planned": self.order.kills,
                "made": len(self.blows),
                "by_component": {part: counts[part] for part in PARTS},
                "at": [{"request": one.request, "component": one.part} for one in self.blows],
            },
            "requests": self.requests,
            "refetches": {"count": self.refetches, "window": self.window, "bound": self.bound},
            "recovery": {"all": _times(self.recoveries())} | {part: _times(self.recoveries(part)) for part in PARTS},
            "kept": self.kept,
            "left": self.left,
        }

    def text(self) -> str:
        """For people."""
        about = [
            self.machine.words(),
            f"database: {self.database}",
            f"queues: {self.queues}",
            f"site: {self.order.pages:,} pages, {self.order.rate:.3g} pages/s at most; the crawl took"
            f" {self.seconds:.0f} s",
        ]
        done = [
            f"refetches: {self.refetches:,}; {len(self.blows)} kills x {self.window} pages under way explain"
            f" {self.bound:,} at most",
            f"seed {self.order.seed}; the same kills again: {self.order.command()}",
        ]
        if len(self.blows) < self.order.kills:
            done.append(f"{self.order.kills - len(self.blows)} of {self.order.kills} kills were not due before the end")
        return "\n\n".join(["\n".join(about), self._table(), "\n".join(done), self._verdict()])

    def _table(self) -> str:
        lines = [f"{'SIGKILL to':16}{'kills':>7}{'at work again after':>30}"]
        lines.append(f"{'':16}{'':7}{'p50 s':>10}{'p95 s':>10}{'most s':>10}")
        for name, part in [*((NAMES.get(part, part), part) for part in PARTS), ("all", None)]:
            found = self.recoveries(part)
            kills = sum(part in (None, blow.part) for blow in self.blows)
            times = [percentile(found, share) for share in (0.5, 0.95, 1.0)]
            shown = "".join(f"{one:10.2f}" for one in times) if found else f"{'-':>10}" * 3
            lines.append(f"{name:16}{kills:7,}{shown}")
        return "\n".join(lines)

    def _verdict(self) -> str:
        if not self.problems:
            return (
                f"it holds: each of {self.order.pages:,} pages was fetched, and has one result, exactly that of the"
                " site;\nno task is left active, none is unknown, and the books balance"
            )
        more = len(self.problems) - SHOWN
        lines = [f"it does NOT hold: {len(self.problems):,} problems", *self.problems[:SHOWN]]
        return "\n  ".join(lines + ([f"and {more:,} more"] if more > 0 else []))


def _times(seconds: Sequence[float]) -> dict[str, Any]:
    if not seconds:
        return {"seen": 0, "p50": None, "p95": None, "max": None}
    return {
        "seen": len(seconds),
        "p50": percentile(seconds, 0.5),
        "p95": percentile(seconds, 0.95),
        "max": max(seconds),
    }
