"""A small world for politeness: servers with limits of their own, and fetchers that ask them through a HostGate.

Simulated: a manual clock, nothing sleeps. What is judged is what the server saw.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from crawlkit.scheduler.autothrottle import Answer
from crawlkit.scheduler.host_gate import HostGate


@dataclass
class Server:
    """Answers 429 above ``rate`` a second; how it counts: ``sliding``, ``fixed`` or ``bucket``."""

    rate: float
    kind: str = "sliding"
    window: float = 1.0  # seconds over which it counts
    latency: float = 0.03
    per_request: float = 0.0  # seconds that each request under way adds to the others
    retry_after: float | None = None
    log: list[tuple[float, int]] = field(default_factory=list)  # (time, status)
    _seen: deque[float] = field(default_factory=deque)
    _fixed: tuple[float, int] = (-1.0, 0)
    _tokens: float = -1.0
    _last: float = 0.0

    def ask(self, now: float) -> int:
        status = 200 if self._welcome(now) else 429
        self.log.append((now, status))
        return status

    def _welcome(self, now: float) -> bool:
        quota = max(1, int(self.rate * self.window))
        if self.kind == "sliding":
            while self._seen and self._seen[0] <= now - self.window:
                self._seen.popleft()
            if len(self._seen) >= quota:
                return False
            self._seen.append(now)
            return True
        if self.kind == "fixed":
            slot = now // self.window
            count = self._fixed[1] if self._fixed[0] == slot else 0
            self._fixed = (slot, count + 1)
            return count < quota
        self._tokens = quota if self._tokens < 0 else min(quota, self._tokens + (now - self._last) * self.rate)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def seen(self, start: float, end: float, status: int | None = None) -> int:
        return sum(start <= when < end and status in (None, code) for when, code in self.log)

    def pace(self, start: float, end: float) -> float:
        """Requests a second that it saw."""
        return self.seen(start, end) / (end - start)


def crawl(
    gate: HostGate,
    servers: dict[str, Server],
    seconds: float,
    *,
    seed: int = 0,
    hop: tuple[float, float] = (0.001, 0.012),
    start: float = 0.0,
    project: str = "p",
    turn: float = 0.004,
) -> None:
    """Endless tasks for each host. ``hop``: seconds a message takes from one to the next, at least and at most."""
    chance = random.Random(seed)
    events: list[tuple[float, int, str, str, float, int]] = []  # time, number, host, what, began, status
    number = 0
    now, end = start, start + seconds
    under_way = dict.fromkeys(servers, 0)
    ready = list(servers)
    while now < end:
        while events and events[0][0] <= now:
            when, _, host, what, began, status = heapq.heappop(events)
            server = servers[host]
            number += 1
            if what == "arrives":
                under_way[host] += 1
                status = server.ask(when)
                took = server.latency * chance.uniform(0.8, 1.3) + server.per_request * under_way[host]
                heapq.heappush(events, (when + took, number, host, "answers", when, status))
            elif what == "answers":
                under_way[host] -= 1
                told = when + chance.uniform(*hop)
                heapq.heappush(events, (told, number, host, "told", when - began, status))
            else:
                answer = Answer.REFUSED if status == 429 else Answer.GOOD
                gate.answered(host, now, answer, began, status, server.retry_after if status == 429 else None)
                gate.ended(host, now)
        ready += gate.freed(now)
        for host in ready:
            while gate.wait(host, now) == 0.0:
                gate.take(host, now, project)
                number += 1
                heapq.heappush(events, (now + chance.uniform(*hop), number, host, "arrives", 0.0, 0))
        ready = []
        due = min(events[0][0] if events else end, now + gate.next(now))
        now = max(now + 1e-6, due + chance.uniform(0, turn))
