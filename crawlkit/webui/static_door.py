"""Files of the package: scripts, styles, fonts. Nothing secret is among them, and nothing beside them is served."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from crawlkit.webui.gated import Gated
from crawlkit.webui.problem import Problem

STATIC = Path(__file__).parent / "static"


class StaticDoor(Gated):
    """One file, with an ETag."""

    async def get(self, name: str) -> None:
        place = (STATIC / name.replace("\0", "?")).resolve()  # no file's name has a NUL, and asking for one raises
        if not place.is_file() or not place.is_relative_to(STATIC):
            return self.refuse(Problem(404, "Not found", "there is no such file"))
        data = await self.in_thread(place.read_bytes)
        self.set_header("Content-Type", mimetypes.guess_type(place.name)[0] or "application/octet-stream")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Etag", f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"')
        if self.check_etag_header():
            self.set_status(304)
            return await self.finish()
        return await self.finish(data)

    head = get
