"""Run as ``python -m tests.supervised ROLE DIRECTORY``: processes for the tests of the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from crawlkit.supervisor import ChildSpec, Supervisor, die_with_parent


def note(directory: Path, words: str) -> None:
    with (directory / "notes").open("a") as notes:
        notes.write(words + "\n")


def child(directory: Path, obeys: bool) -> None:
    """Notes its pid and lives until it is told to end (if it obeys)."""
    assert die_with_parent()
    grandchild = os.fork()
    if not grandchild:
        time.sleep(600)
    if obeys:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(directory, f"child {os.getpid()} {grandchild}")
    while True:
        signal.pause()


def parent(directory: Path) -> None:
    """A supervisor of two children."""
    argv = [sys.executable, "-m", "tests.supervised"]
    specs = [
        ChildSpec("good", [*argv, "child", str(directory)]),
        ChildSpec("deaf", [*argv, "deaf", str(directory)]),
    ]
    grace = float(os.environ.get("GRACE", "8"))
    sys.exit(asyncio.run(Supervisor(specs, grace=grace).run()))


if __name__ == "__main__":
    role, place = sys.argv[1], Path(sys.argv[2])
    if role == "parent":
        parent(place)
    else:
        child(place, obeys=role == "child")
