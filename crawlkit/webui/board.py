"""What the scheduler says of all projects, asked once a second for everybody who looks."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.webui.project_list import ProjectItem, Totals, item_of, item_of_row, totals_of
from crawlkit.webui.services import Services

FRESH = 0.9  # seconds
FRESH_ROWS = 5.0  # seconds, while only the projectdb can be asked


@dataclass(frozen=True)
class Seen:
    """All projects at one moment."""

    items: list[ProjectItem]
    totals: Totals
    groups: list[str]
    scheduler: bool  # whether one answers; else counts are missing
    until: float  # monotonic: good until then


@dataclass
class Board:
    """The newest look, shared by all threads."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    seen: Seen | None = None

    def look(self, services: Services) -> Seen:
        """How all projects stand, a second old at most."""
        with self.lock:
            now = services.clock.monotonic()
            if self.seen is None or now >= self.seen.until:
                self.seen = _look(services, now)
            return self.seen

    def forget(self) -> None:
        """Something was changed: the next one who looks wants to see it."""
        self.seen = None


def board_of(services: Services) -> Board:
    """The one of this server."""
    found: Board = services.extra.setdefault("board", Board())
    return found


def _look(services: Services, now: float) -> Seen:
    try:
        answer = services.scheduler.call("dashboard")
    except ServiceUnreachable:
        answer = {"loaded": False}
    if not answer["loaded"]:
        items = [item_of_row(row) for row in services.projectdb.all()]
        return _seen(items, False, now + FRESH_ROWS)
    return _seen([item_of(name, one) for name, one in answer["projects"].items()], True, now + FRESH)


def _seen(items: list[ProjectItem], scheduler: bool, until: float) -> Seen:
    return Seen(items, totals_of(items), sorted({item.group for item in items}), scheduler, until)
