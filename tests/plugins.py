"""Packages with entry points, as if they were installed: a module and its metadata in a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(folder: Path, package: str, group: str, entries: dict[str, str], **modules: str) -> Path:
    """Puts a package into ``folder``, which is to be on the module path; ``modules``: name -> text."""
    folder.mkdir(parents=True, exist_ok=True)
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def install_dirqueue(folder: Path) -> Path:
    """The example of the documentation."""
    install(folder, "crawlkit-dirqueue", "crawlkit.message_queues", {"dirq": "crawlkit_dirqueue:DirectoryBroker"})
    shutil.copy(ROOT / "examples" / "dirqueue" / "crawlkit_dirqueue.py", folder)
    return folder
