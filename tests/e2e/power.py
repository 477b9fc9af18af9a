"""A power cut: every file goes back to what its last fsync left, each by itself (see lastfsync.c)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests import needs


class Power:
    """Watches the files under ``root``; ``shadows`` holds what is on disk for certain."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.shadows, self.library = root, scratch / "shadows", scratch / "lastfsync.so"
        self.shadows.mkdir(parents=True)
        source = Path(__file__).with_name("lastfsync.c")
        compiler = needs.binary("gcc")
        subprocess.run(
            [compiler, "-O1", "-shared", "-fPIC", "-o", self.library, source, "-ldl", "-lpthread"], check=True
        )

    def environment(self) -> dict[str, str]:
        """For the process whose files are watched."""
        return {
            "LD_PRELOAD": str(self.library),
            "LASTFSYNC_ROOT": str(self.root),
            "LASTFSYNC_SHADOW": str(self.shadows),
        }

    def shadow(self, file: Path) -> Path:
        return self.shadows / str(file.relative_to(self.root)).replace("/", "%")

    def cut(self) -> dict[str, int]:
        """Call it when the processes are dead. Returns how many bytes each file lost; what was never synced is gone."""
        lost = {}
        for file in [path for path in self.root.rglob("*") if path.is_file()]:
            shadow = self.shadow(file)
            if file.name.endswith("-shm"):  # shared memory: gone with the power
                file.unlink()
            elif not shadow.exists():
                lost[file.name] = file.stat().st_size
                file.unlink()
            elif file.read_bytes() != shadow.read_bytes():
                lost[file.name] = file.stat().st_size - shadow.stat().st_size
                shutil.copyfile(shadow, file)
        for part in self.shadows.glob("*.part"):
            part.unlink()
        return lost
