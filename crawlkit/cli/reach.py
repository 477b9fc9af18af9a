"""At the start: waits a while for services that are not there yet, so that hosts can be started in any order.

What is wrong with a URL is said at once; afterwards the components outlive outages by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from crawlkit import wiring
from crawlkit.libs.errors import QueueUnavailable, ServiceUnreachable, StoreUnavailable
from crawlkit.settings import Settings

WITHIN = 20.0  # seconds
PAUSE = 0.5  # seconds between two tries

logger = logging.getLogger("crawlkit")


async def reach(settings: Settings, kinds: Sequence[str], *, queues: bool, within: float = WITHIN) -> None:
    """Opens and closes the databases of these kinds, and the queues. Raises :class:`UsageError` in one line."""

    async def store(kind: str) -> None:
        await asyncio.to_thread(lambda: wiring.open_store(settings, kind).close())

    async def broker() -> None:
        found = wiring.broker(settings, "supervisor", patience=0)
        await found.connect()
        await found.close()

    deadline = asyncio.get_running_loop().time() + within
    for kind in kinds:
        await _try(lambda kind=kind: store(kind), deadline)  # type: ignore[misc]
    if queues:
        await _try(broker, deadline)


async def _try(step: Callable[[], Awaitable[None]], deadline: float) -> None:
    said = False
    while True:
        try:
            return await step()
        except (QueueUnavailable, StoreUnavailable) as error:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or "password" in str(error):  # that one waiting does not mend
                raise ServiceUnreachable(str(error)) from None
            if not said:
                said = True
                logger.warning("%s; waiting for it, %.0f s at most", error, left)
        await asyncio.sleep(PAUSE)
