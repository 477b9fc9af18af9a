"""What a page asked its server for while a browser rendered it, as a callback sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec


@dataclass
class Xhr:
    """The answer to one XHR or fetch request of a page."""

    url: str
    method: str
    status: int
    content_type: str
    text: str
    """The body; ``""`` when it is none that is text."""
    truncated: bool
    """Whether the body was longer than a browser service brings along; :attr:`json` is ``None`` then."""

    @cached_property
    def json(self) -> Any:
        """The body parsed as JSON, or ``None`` when it is not."""
        try:
            return msgspec.json.decode(self.text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            pass
        try:  # NaN and Infinity, which Python's own writes
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    @property
    def ok(self) -> bool:
        """Whether its status is 2xx."""
        return 200 <= self.status < 300


def xhr_of(said: Mapping[str, Any]) -> Xhr:
    """Out of what a browser service says of one."""
    return Xhr(
        url=str(said.get("url") or ""),
        method=str(said.get("method") or "GET"),
        status=int(said.get("status") or 0),
        content_type=str(said.get("content_type") or ""),
        text=str(said.get("body") or ""),
        truncated=bool(said.get("truncated")),
    )
