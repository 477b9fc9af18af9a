"""What pages, API and live views may use. Built by wiring, handed to every room; knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlkit.webui.scheduler_door import SchedulerDoor

if TYPE_CHECKING:
    from crawlkit.database.base import BlobStore, LogStore, ProjectStore, ResultStore, TaskStore
    from crawlkit.libs.clock import Clock


@dataclass
class Services:
    """The doors of a web UI. All of them are safe for several threads."""

    taskdb: TaskStore
    projectdb: ProjectStore
    resultdb: ResultStore
    blobdb: BlobStore
    logdb: LogStore
    scheduler: SchedulerDoor
    clock: Clock
    data_path: Path
    extra: dict[str, Any] = field(default_factory=dict)
    """What a room needs one of for the whole server, under the room's name."""
