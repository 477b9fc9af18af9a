"""Where the web UI of a data path listens, for commands on this machine. Nothing secret is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

FILE = "webui.json"


def publish(data_path: Path, url: str) -> None:
    """Writes the address."""
    target = data_path / FILE
    draft = target.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    draft.replace(target)


def withdraw(data_path: Path) -> None:
    """Removes what this process wrote."""
    if _read(data_path).get("pid") == os.getpid():
        (data_path / FILE).unlink(missing_ok=True)


def published(data_path: Path) -> str:
    """The address, ``""`` when no web UI runs."""
    return str(_read(data_path).get("url", ""))


def _read(data_path: Path) -> dict[str, object]:
    try:
        found = json.loads((data_path / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
