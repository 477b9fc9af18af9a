"""Start tags with more attributes than any page has: libxml2's time for one grows with the square of their number.

Pure. Large documents are looked through for such a tag, and one that has any is read by way of Python, which leaves the
attributes over the limit out: slower, and linear. The look is quick and not exact; what gets by it costs its own task
time, and no more than a callback may take.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import lxml.etree

LARGE = 128 * 1024  # bytes; what is smaller is read within a second whatever it holds
MAX_ATTRIBUTES = 256
_LONG = 2048  # bytes of a tag that is worth a second look
_TAG = re.compile(rb"""<[A-Za-z](?>[^>"']++|"[^"]*+"|'[^']*+')*+""")
_PART = re.compile(rb"""[=/\s]*+(?:"[^"]*+"|'[^']*+')|[=/\s]++""")  # a value in quotes, or what parts names


def has_crowd(content: bytes) -> bool:
    """Whether a tag in it seems to have more than :data:`MAX_ATTRIBUTES` attributes. Takes time by its length only."""
    tags = _TAG.findall(content)
    if not tags or len(max(tags, key=len)) <= _LONG:
        return False
    return any(_is_crowd(tag) for tag in tags if len(tag) > _LONG)


def _is_crowd(tag: bytes) -> bool:
    return next(islice(_PART.finditer(tag), MAX_ATTRIBUTES, None), None) is not None


class _Builder:
    """Builds the tree that libxml2 would, with the first attributes of each element; what is behind its end is lost."""

    def __init__(self, like: lxml.etree.HTMLParser) -> None:
        self._tree = lxml.etree.TreeBuilder(parser=like)
        self._depth = 0
        self._ended = False

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        if self._ended:
            return
        self._depth += 1
        if len(attrs) > MAX_ATTRIBUTES:
            attrs = dict(list(attrs.items())[:MAX_ATTRIBUTES])
        self._tree.start(tag, attrs)

    def end(self, tag: str) -> None:
        if self._ended:
            return
        self._depth -= 1
        self._ended = not self._depth
        self._tree.end(tag)

    def data(self, text: str) -> None:
        if not self._ended:
            self._tree.data(text)

    def comment(self, text: str) -> None:
        if not self._ended:
            self._tree.comment(text)

    def pi(self, target: str, data: str | None = None) -> None:
        if not self._ended:
            self._tree.pi(target, data)

    def close(self) -> Any:
        return self._tree.close()


def parse(content: bytes, encoding: str, like: lxml.etree.HTMLParser) -> Any:
    """The root of the document, its elements those that the parser ``like`` makes. Raises what lxml raises."""
    parser = lxml.etree.HTMLParser(encoding=encoding, huge_tree=True, collect_ids=False, target=_Builder(like))
    return lxml.etree.fromstring(content, parser)
