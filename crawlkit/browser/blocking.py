"""What a page may not load because the task said so: images, fonts, media, styles, trackers, URL patterns.

Pure, but for the list of trackers that is read once from beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

#: Words of ``block`` and the resource types of the DevTools protocol (Network.ResourceType).
TYPES = {"images": "Image", "fonts": "Font", "media": "Media", "styles": "Stylesheet"}
TRACKERS = "trackers"
_SPECIAL = re.compile(r"([*?\\])")


@lru_cache(maxsize=1)
def tracker_hosts() -> frozenset[str]:
    """Well-known hosts that only count or advertise; their subdomains belong to them."""
    text = resources.files(__package__).joinpath("trackers.txt").read_text("utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


class Blocking:
    """``block`` as it is asked for each request."""

    __slots__ = ("_pattern", "_patterns", "_trackers", "types")

    def __init__(self, block: Iterable[str] | None, load_images: bool | None = None) -> None:
        words = list(block or ())
        self.types = {TYPES[word] for word in words if word in TYPES}
        if load_images is False:
            self.types.add("Image")
        self._trackers = TRACKERS in words
        self._patterns = [word for word in words if word not in TYPES and word != TRACKERS]
        self._pattern = re.compile("|".join(map(_as_regex, self._patterns))) if self._patterns else None

    def stop_at(self) -> list[dict[str, Any]]:
        """The patterns of requests (Fetch.RequestPattern) that must be asked about."""
        stops: list[dict[str, Any]] = [{"resourceType": kind} for kind in sorted(self.types)]
        stops += [{"urlPattern": _escaped(pattern)} for pattern in self._patterns]
        if self._trackers:
            stops += [{"urlPattern": f"*{host}/*"} for host in sorted(tracker_hosts())]
        return stops

    def forbids(self, url: str, kind: str) -> bool:
        """Whether this request is not to be made. ``kind``: its Network.ResourceType."""
        if kind in self.types:
            return True
        if self._pattern is not None and self._pattern.fullmatch(url):
            return True
        return self._trackers and _is_tracker(urlsplit(url).hostname or "")


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Whether a whole URL fits one of ``patterns``, in which ``*`` stands for any text; one without fits as a part."""
    return re.compile("|".join(_as_regex(each if "*" in each else f"*{each}*") for each in patterns) or r"(?!)")


def _is_tracker(host: str) -> bool:
    hosts = tracker_hosts()
    while host:
        if host in hosts:
            return True
        host = host.partition(".")[2]
    return False


def _as_regex(pattern: str) -> str:
    return "(?s:" + ".*".join(map(re.escape, pattern.split("*"))) + ")"


def _escaped(pattern: str) -> str:
    """``?`` is any character in the protocol's patterns, and itself in ours."""
    return _SPECIAL.sub(lambda found: found[0] if found[0] == "*" else "\\" + found[0], pattern)
