"""A made site, plain and as a browser shows it, crawled with ``fetch_type="auto"`` under a manual clock.

The engine, the runner and the callback are the real ones; only the network is played.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterable

from crawlkit.libs.auto import BROWSER
from crawlkit.libs.messages import Dispatch, Fetched, Outcome, ProjectInfo, decode_status, encode
from crawlkit.libs.task import Fetch, Process, Task
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.runner import Runner, RunnerSettings
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play

SCRIPT = """
from crawlkit import *
class Handler(BaseHandler):
    def page(self, response):
        return {name: response.css(f"#{name}::text").get() for name in ("title", "price", "rating", "stock")}
"""


class Page:
    """What is where: fields in the plain page, fields in the browser's."""

    def __init__(self, plain: dict[str, str], rendered: dict[str, str], scripts: Iterable[str] = ("/app.js",)) -> None:
        self.plain, self.rendered = plain, rendered
        self.scripts = "".join(f'<script src="{name}"></script>' for name in scripts)

    def html(self, rendered: bool) -> bytes:
        fields = self.rendered if rendered else self.plain
        body = "".join(f'<p id="{name}">{value}</p>' for name, value in fields.items())
        return f"<html><body>{self.scripts}<main>{body}{'text ' * 60}</main></body></html>".encode()


class World(Play):
    """Sites by their pages. ``plain`` and ``browser`` are seconds a fetch takes; ``slots`` pages render at once."""

    def __init__(self, plain: float = 0.05, browser: float = 2.0, slots: int = 4, script: str = SCRIPT) -> None:
        super().__init__(EngineSettings(lease=1e6), info=ProjectInfo())
        self.pages: dict[str, Callable[[], Page]] = {}
        self.seconds = plain, browser
        self.slots = slots
        self.runner = Runner(load_project("p", script), node="n", settings=RunnerSettings(), clock=self.clock)
        self.results: dict[str, dict[str, str]] = {}
        self.by: dict[str, str] = {}
        self.fetches = {"plain": 0, "browser": 0}
        self.final: list[Outcome] = []
        self.browser_answer: Callable[[Dispatch], Fetched | None] = lambda dispatch: None
        self._coming: list[tuple[float, int, Dispatch]] = []
        self._number = itertools.count()
        self._free = [0.0] * slots
        self.project()

    def submit_all(self, pages: dict[str, Callable[[], Page]], **fetch: object) -> None:
        """All of these, as tasks of ``fetch_type="auto"``."""
        self.pages |= pages
        wanted = Fetch(fetch_type="auto", **fetch)  # type: ignore[arg-type]
        self.turn(
            submissions=[
                Submission(Task("p", url[-60:], url, fetch=wanted, process=Process(callback="page"))) for url in pages
            ]
        )

    def play(self, limit: int = 100_000) -> None:
        """Until nothing is out and nothing is due."""
        for _ in range(limit):
            for dispatch in self.out:
                self._begin(dispatch)
            self.out.clear()
            if not self._coming:
                if not self.engine.state.leases and all(
                    p.active_tasks == 0 for p in self.engine.state.projects.values()
                ):
                    return
                self.advance(max(self.wake, 0.01))
                continue
            when, _, dispatch = heapq.heappop(self._coming)
            if when > self.clock.now:
                self.clock.advance(when - self.clock.now)
            self._come(dispatch)
        raise AssertionError("the crawl does not end")

    def _begin(self, dispatch: Dispatch) -> None:
        rendered = dispatch.fetch.fetch_type == "js"
        assert rendered == (dispatch.auto is not None and dispatch.auto.stage == BROWSER)
        self.fetches["browser" if rendered else "plain"] += 1
        start = self.clock.now
        if rendered:  # it waits for a free place
            slot = min(range(self.slots), key=self._free.__getitem__)
            start = max(start, self._free[slot])
            self._free[slot] = start + self.seconds[1]
        heapq.heappush(self._coming, (start + self.seconds[rendered], next(self._number), dispatch))

    def _come(self, dispatch: Dispatch) -> None:
        rendered = dispatch.fetch.fetch_type == "js"
        fetched = self.browser_answer(dispatch) if rendered else None
        if fetched is None:
            content = self.pages[dispatch.url]().html(rendered)
            headers = [("Content-Type", "text/html"), ("ETag", '"same"')]
            fetched = Fetched(dispatch, 200, dispatch.url, dispatch.url, headers, {}, 0.1, content=content)
        parts: list[bytes] = []
        self.runner.run(fetched, lambda part: parts.append(encode(part)))
        outcomes = [decode_status(part) for part in parts]
        for outcome in outcomes:
            assert isinstance(outcome, Outcome)
            if outcome.auto is not None and outcome.auto.asks:
                assert not outcome.results + outcome.follows + outcome.messages
                continue
            for text in outcome.results:
                self.results[dispatch.url] = json.loads(text)
            if outcome.last:
                self.final.append(outcome)
                assert outcome.fetch is not None
                self.by[dispatch.url] = outcome.fetch.by or ""
        self.turn(*outcomes)

    def share(self) -> float:
        """Of pages fetched by the browser."""
        return sum(how.startswith("browser") for how in self.by.values()) / len(self.by)

    def wrong(self) -> list[str]:
        """Pages of which not all fields are as in a browser."""
        return [
            url
            for url, page in self.pages.items()
            if {k: v for k, v in self.results.get(url, {}).items() if v}
            != {k: v for k, v in page().rendered.items() if v}
        ]
