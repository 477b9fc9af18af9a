"""Which tasks a project does not take on: the one place where its bounds and filters are asked.

Pure: a decision is a reason, the word under which it is counted, or "". What is counted is kept by the caller.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from crawlkit.libs.bounds import Bounds
from crawlkit.libs.wildcard import Wildcard

#: What each reason means, for people; {n} is the number behind it, {value} the bound.
WORDS = {
    "max_depth": "it is more than {value} links away from where the crawl began",
    "max_url_length": "its URL is longer than {value} characters",
    "max_repeats": "a segment of its path comes more than {value} times",
    "max_tasks": "the project took on {value} tasks, which is its bound",
    "max_tasks_per_host": "the project took on {value} tasks of its host, which is the bound",
    "include": "its URL matches none of the {value} include patterns",
    "exclude": "its URL matches exclude rule {n}: {value}",
}


class Pattern:
    """A pattern of URLs: of the whole URL, or, without ``*``, of a part of it."""

    __slots__ = ("_wildcard",)

    def __init__(self, text: str) -> None:
        self._wildcard = Wildcard(text)

    def matches(self, url: str) -> bool:
        return self._wildcard.text in url if self._wildcard.plain else self._wildcard.fits(url)


class Fence:
    """The bounds of one project, ready to be asked for each URL."""

    __slots__ = ("_exclude", "_include", "bounds", "counts")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._include = [Pattern(text) for text in bounds.include]
        self._exclude = [Pattern(text) for text in bounds.exclude]
        self.counts = bounds.max_tasks is not None or bounds.max_tasks_per_host is not None

    def refuses(self, url: str, depth: int) -> str:
        """Why a task is not taken on, by its URL and depth alone: ``exclude 2`` is the second rule of them."""
        bounds = self.bounds
        if bounds.max_depth is not None and depth > bounds.max_depth:
            return "max_depth"
        if bounds.max_url_length is not None and len(url) > bounds.max_url_length:
            return "max_url_length"
        for number, pattern in enumerate(self._exclude, 1):
            if pattern.matches(url):
                return f"exclude {number}"
        if self._include and not any(pattern.matches(url) for pattern in self._include):
            return "include"
        if bounds.max_repeats is not None and repeats(url) > bounds.max_repeats:
            return "max_repeats"
        return ""

    def full(self, tasks: int, of_host: int) -> str:
        """Why no new task is taken on when there are so many, in all and of its host."""
        bounds = self.bounds
        if bounds.max_tasks is not None and tasks >= bounds.max_tasks:
            return "max_tasks"
        if bounds.max_tasks_per_host is not None and of_host >= bounds.max_tasks_per_host:
            return "max_tasks_per_host"
        return ""

    def explain(self, reason: str) -> str:
        """A reason in words."""
        name, _, number = reason.partition(" ")
        value = getattr(self.bounds, name, None)
        if isinstance(value, list):
            n = int(number or 0)
            value = value[n - 1] if 0 < n <= len(value) else len(value)
        return WORDS.get(name, reason).format(n=number, value=value)


def depth_below(parent: int, internal: bool) -> int:
    """The depth of what a callback crawls: what ``on_start``, a cron or a message crawls begins at 0."""
    return 0 if internal else parent + 1


def repeats(url: str) -> int:
    """How often the most frequent segment of the path stands in it."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return 0
    segments = [segment for segment in path.split("/") if segment]
    return max(Counter(segments).values(), default=0)
