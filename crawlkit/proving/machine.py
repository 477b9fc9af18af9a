"""What machine this is, for figures that nobody can judge without knowing it."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from crawlkit import __version__

GB = 10**9


@dataclass(frozen=True)
class Machine:
    """``load``: the mean number of processes that wanted to run in the last minute, before we came."""

    crawlkit: str
    python: str
    system: str
    cores: int
    model: str
    memory: int  # bytes
    load: float

    def words(self) -> str:
        """One line."""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        model = f" ({self.model})" if self.model else ""
        size = f"{self.memory / GB:.0f} GB of memory"
        return f"crawlkit {self.crawlkit}, {self.python}, {self.system}, {cores}{model}, {size}"

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def this_machine() -> Machine:
    """As it is now."""
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        crawlkit=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=" ".join(filter(None, [platform.system(), platform.release(), platform.machine()])),
        cores=len(affinity(0)) if affinity is not None else os.cpu_count() or 1,
        model=_model(),
        memory=int(psutil.virtual_memory().total),
        load=os.getloadavg()[0],
    )


def _model() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "" if platform.processor() == platform.machine() else platform.processor()


def sqlite_words(folder: Path) -> str:
    """Which SQLite, and on what kind of file system it is."""
    place = folder.resolve()
    kinds = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    kind = next((kinds[one] for one in (place, *place.parents) if kinds.get(one)), "")
    return f"SQLite {sqlite3.sqlite_version}" + (f" on {kind}" if kind else "")
