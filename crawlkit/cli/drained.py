"""``--until-done``: waits until the scheduler says that there is nothing left to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from crawlkit import wiring
from crawlkit.libs.errors import StoreError
from crawlkit.libs.protocol import DRAINED
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.database.base import TaskStore

EVERY = 1.0  # seconds between looks
SURE = 2  # looks in a row

logger = logging.getLogger("crawlkit")


async def when_drained(settings: Settings, then: Callable[[], None]) -> None:
    """Calls ``then`` when everything has drained: no task waits, runs or is tried again in any project that runs."""
    taskdb: TaskStore = await asyncio.to_thread(wiring.open_store, settings, "taskdb")
    looks = 0
    try:
        while looks < SURE:
            await asyncio.sleep(EVERY)
            try:
                said = await asyncio.to_thread(taskdb.state_of, *DRAINED)
            except StoreError as error:
                logger.debug("--until-done: %s", error)  # the components say it, too
                said = None
            looks = looks + 1 if said == "1" else 0
    finally:
        taskdb.close()
    logger.info("everything has drained: stopping")
    then()
