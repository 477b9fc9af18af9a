"""A file that Chromium downloaded for a page, on its way from the browser service to the disk. Holds none of it.

To what writes files it looks like the answer of the server that the file came from.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

from crawlkit.fetcher.limits import Body
from crawlkit.fetcher.request import Sink
from crawlkit.fetcher.response_head import Headers


@dataclass
class BrowserFile:
    """What a service says of a file, and the ``sink`` that its bytes go to."""

    said: dict[str, Any]
    sink: Sink

    @property
    def url(self) -> str:
        """Where Chromium had it from."""
        return str(self.said.get("url") or "")

    @property
    def headers(self) -> Headers:
        """What its server would have said."""
        found = [("Content-Type", str(self.said.get("content_type") or "application/octet-stream"))]
        name = self.said.get("name")
        if name:
            quoted = urllib.parse.quote(str(name), safe="", errors="replace")
            found.append(("Content-Disposition", f"attachment; filename*=UTF-8''{quoted}"))
        size = self.said.get("bytes")
        if isinstance(size, int):
            found.append(("Content-Length", str(size)))
        return found

    def begin(self, url: str, status: int, headers: Headers) -> Body | None:
        """The service's answer has begun: see :class:`Sink`."""
        if status != 200:
            return None
        return self.sink.begin(self.url, status, self.headers)
