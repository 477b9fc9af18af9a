"""What is pushed: the state of a view is taken once for all who look at it, and each is sent what changed for him."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from typing import Any

import msgspec

from crawlkit.webui.api.registry import Live
from crawlkit.webui.gate import Identity
from crawlkit.webui.services import Services

_encode = msgspec.json.Encoder(enc_hook=str).encode
MAX_VIEWS = 1_000


def changes(before: dict[str, bytes], after: dict[str, bytes]) -> bytes | None:
    """What turns ``before`` into ``after``, as JSON ``{"set": {...}, "remove": [...]}``; None when nothing does."""
    put = {key: msgspec.Raw(value) for key, value in after.items() if before.get(key) != value}
    gone = [key for key in before if key not in after]
    return _encode({"set": put, "remove": gone}) if put or gone else None


class LiveHub:
    """Takes each view's state at most once an interval, however many clients there are."""

    def __init__(self, services: Services, executor: Executor) -> None:
        self._services = services
        self._executor = executor
        self._views: dict[tuple[str, bytes, str, str], tuple[float, asyncio.Future[dict[str, bytes]]]] = {}

    async def state(self, live: Live, query: Any, identity: Identity) -> dict[str, bytes]:
        """The view's state now: JSON texts by key. Raises what its function raises."""
        key = (live.topic, _encode(query), identity.user, identity.role)
        now = time.monotonic()
        taken, known = self._views.get(key, (0.0, None))
        if known is None or (known.done() and now - taken >= live.interval * 0.9):
            if len(self._views) > MAX_VIEWS:
                self._views.clear()
            loop = asyncio.get_running_loop()
            known = loop.run_in_executor(self._executor, self._take, live, query, identity)
            self._views[key] = (now, known)
        return await asyncio.shield(known)

    def _take(self, live: Live, query: Any, identity: Identity) -> dict[str, bytes]:
        return {key: _encode(value) for key, value in live.function(self._services, query, identity).items()}
