"""Where views are pushed from: server-sent events for as long as somebody looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import tornado.iostream

from crawlkit.libs.errors import CrawlkitError
from crawlkit.webui.api.registry import Live, checked_query
from crawlkit.webui.gate import Refused
from crawlkit.webui.gated import Gated, facts_of, given
from crawlkit.webui.live import changes
from crawlkit.webui.problem import Problem, problem_of

if TYPE_CHECKING:
    from crawlkit.webui.server import WebServer

MAX_OF_ONE, MAX_OF_ALL = 50, 500  # live views of a user, and of all
RECHECK = 15.0  # seconds between looks whether a live view's user may still see it


class LiveDoor(Gated):
    """Server-sent events: first the whole state, then what changes."""

    def initialize(self, server: WebServer, live: Live) -> None:  # type: ignore[override]
        self.server = server
        self.live = live
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        self._gone.set()

    async def get(self) -> None:
        live, allowed = self.live, self.allowed
        if not allowed.identity.may(live.role):
            return self.refuse(Problem(403, "Not allowed", f"this needs the role {live.role}"))
        try:
            query = checked_query(live.query, given(self.request))
        except Problem as problem:
            return self.refuse(problem)
        watching, who = self.server.watching, allowed.identity.user
        if watching[who] >= MAX_OF_ONE or watching.total() >= MAX_OF_ALL:
            return self.refuse(Problem(429, "Too many at once", "too many live views are open: close some pages"))
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        watching[who] += 1
        try:
            await self._push(live, query)
        except tornado.iostream.StreamClosedError:
            return None
        finally:
            watching[who] -= 1
        return None

    async def _push(self, live: Live, query: Any) -> None:
        sent: dict[str, bytes] = {}
        first, checked, fault = True, 0.0, ""
        loop = asyncio.get_running_loop()
        while not self._gone.is_set() and not self.server.stopping.is_set():
            began = loop.time()
            try:
                state = await self.server.hub.state(live, query, self.allowed.identity)
                changed = changes(sent, state)
                if changed is not None or first or fault:
                    await self._event("change", changed or b'{"set":{},"remove":[]}')
                sent, first, fault = state, False, ""
            except (CrawlkitError, Problem) as error:
                problem = error if isinstance(error, Problem) else problem_of(error)
                if fault != problem.detail:
                    await self._event("problem", msgspec.json.encode(problem.body()))
                fault = problem.detail or problem.title
            if began - checked > RECHECK:
                checked = began
                verdict = await self.in_thread(self.server.gatekeeper.check, facts_of(self.request))
                if isinstance(verdict, Refused):
                    return await self._event("leave", b"{}")
                self.write(":\n\n")
                await self.flush()
            await self._pause(max(0.05, live.interval - (loop.time() - began)))
        return None

    async def _event(self, name: str, data: bytes) -> None:
        self.write(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n")
        await self.flush()

    async def _pause(self, seconds: float) -> None:
        gone = asyncio.create_task(self._gone.wait())
        stopped = asyncio.create_task(self.server.stopping.wait())
        await asyncio.wait([gone, stopped], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        stopped.cancel()
