"""Where answers of any length leave: as fast as the client reads, and no faster."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import tornado.iostream

from crawlkit.libs.errors import CrawlkitError
from crawlkit.webui.api.registry import Endpoint, Request, Streamed, checked_query
from crawlkit.webui.gated import Gated, given
from crawlkit.webui.problem import Problem, problem_of

if TYPE_CHECKING:
    from crawlkit.webui.server import WebServer

log = logging.getLogger("webui")


class StreamDoor(Gated):
    """An answer of any length, as fast as the client reads and no faster."""

    def initialize(self, server: WebServer, endpoint: Endpoint) -> None:  # type: ignore[override]
        self.server = server
        self.endpoint = endpoint

    async def get(self, **names: str) -> None:
        endpoint = self.endpoint
        if not self.allowed.identity.may(endpoint.role):
            return self.refuse(Problem(403, "Not allowed", f"this needs the role {endpoint.role}"))
        try:
            asked: Request[Any, Any] = Request(
                names, checked_query(endpoint.query, given(self.request)), None, self.allowed.identity
            )
            streamed: Streamed = await self._in_stream(endpoint.function, self.server.services, asked)
        except Problem as problem:
            return self.refuse(problem)
        except CrawlkitError as error:
            return self.refuse(problem_of(error))
        self.set_header("Content-Type", streamed.content_type)
        if streamed.filename:
            self.set_header("Content-Disposition", f'attachment; filename="{streamed.filename}"')
        await self._write_all(streamed)
        return None

    async def _write_all(self, streamed: Streamed) -> None:
        chunks = streamed.chunks
        try:
            while (chunk := await self._in_stream(next, chunks, None)) is not None:
                self.write(chunk)
                await self.flush()
        except tornado.iostream.StreamClosedError:
            return
        except Exception:  # half of it is out: only a broken connection can say that the rest is missing
            log.exception("a download of %s broke off", self.request.path)
            if self.request.connection is not None:
                self.request.connection.stream.close()  # type: ignore[attr-defined]
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                await self._in_stream(close)

    async def _in_stream(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.server.stream_threads, function, *args)
