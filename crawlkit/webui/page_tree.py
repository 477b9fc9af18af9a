"""A crawled page as the preview shows it and the selector helper searches it: one tree, every element with a number.

Pure. The tree is the one ``response.css`` of a callback searches, so what is shown is what a callback gets.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Literal

import lxml.etree
from parsel import Selector

from crawlkit.libs.response import Response
from crawlkit.libs.selector import selector_of

Kind = Literal["html", "xml", "json", "text", "image", "binary", "empty"]
Key = tuple[str, ...]
"""One feature of an element: ``("tag", "a")``, ``("id", "top")``, ``("class", "price")``, ``("attr", "rel", "next")``,
or ``("attr", "datetime")``: has it, with whatever value."""

MAX_ELEMENTS = 50_000
"""Elements with a number; what comes later in a page is searched, but neither shown nor picked."""
LABEL = 40  # characters of a text that may name what stands beside it
_NAMED_TEXT = "itemprop itemtype property name rel role type datetime content for scope accesskey aria-label"
_NAMED = frozenset(_NAMED_TEXT.split())
_CONTROL = re.compile(r"[\\\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VALUE_LENGTH = 60  # characters of an attribute's value that may stand in a selector
_SNIFFED = 1024  # bytes


def kind_of(content: bytes, content_type: str) -> Kind:
    """What a body is to a reader: by its declared type, and where that says little by how it begins."""
    mime = content_type.partition(";")[0].strip().lower()
    if not content.strip():
        return "empty"
    if mime.startswith("image/"):
        return "image"
    if mime in ("text/html", "application/xhtml+xml"):
        return "html"
    if mime.endswith("json"):
        return "json"
    if mime.endswith("xml"):
        return "xml"
    start = content[:_SNIFFED].lstrip(b"\xef\xbb\xbf \t\r\n")
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary"
    if start[:1] == b"<" and any(word in start.lower() for word in (b"<!doctype html", b"<html", b"<head", b"<body")):
        return "html"
    if mime in ("", "text/plain", "application/octet-stream") and start[:1] in (b"{", b"["):
        return "json"
    if mime in ("", "application/octet-stream"):
        return "html" if start[:1] == b"<" else "text"
    return "text" if mime.startswith("text/") or mime.endswith(("javascript", "ecmascript")) else "binary"


class PageTree:
    """A page, its numbered elements, and where each feature occurs."""

    def __init__(self, content: bytes, content_type: str = "", url: str = "", encoding: str | None = None) -> None:
        self.response = Response(url, content=content, headers=[("Content-Type", content_type)])
        if encoding:
            self.response.encoding = encoding
        self.kind = kind_of(content, content_type)
        self.url = url

    @property
    def has_elements(self) -> bool:
        return self.kind in ("html", "xml")

    @cached_property
    def _selector(self) -> Selector:
        return selector_of(self.response)

    @property
    def is_xml(self) -> bool:
        return self._selector.type == "xml"

    @property
    def root(self) -> Any:
        """The element that a callback's selectors start from."""
        return self._selector.root

    @cached_property
    def elements(self) -> list[Any]:
        """Element by number, in document order."""
        found: list[Any] = []
        if self.has_elements and isinstance(self.root, lxml.etree._Element):
            for element in self.root.iter(lxml.etree.Element):
                found.append(element)
                if len(found) >= MAX_ELEMENTS:
                    break
        return found

    @cached_property
    def numbers(self) -> dict[Any, int]:
        """Number by element."""
        return {element: number for number, element in enumerate(self.elements)}

    @cached_property
    def parents(self) -> list[int]:
        """Number of each element's parent; -1 of the root's."""
        numbers = self.numbers
        return [numbers.get(element.getparent(), -1) for element in self.elements]

    @cached_property
    def ends(self) -> list[int]:
        """Number of the last element inside each element; its own when it has none."""
        parents = self.parents
        ends = list(range(len(parents)))
        for number in range(len(parents) - 1, 0, -1):
            above = parents[number]
            if ends[number] > ends[above]:
                ends[above] = ends[number]
        return ends

    @cached_property
    def postings(self) -> dict[Key, list[int]]:
        """The numbers of the elements that have a feature, ascending."""
        found: defaultdict[Key, list[int]] = defaultdict(list)
        for number, element in enumerate(self.elements):
            for key in _keys(element):
                found[key].append(number)
        return dict(found)

    def having(self, key: Key) -> frozenset[int]:
        """The elements that have a feature."""
        known = self._sets.get(key)
        if known is None:
            known = self._sets[key] = frozenset(self.postings.get(key, ()))
        return known

    @cached_property
    def _sets(self) -> dict[Key, frozenset[int]]:
        return {}

    def keys(self, number: int) -> list[Key]:
        """The features of an element, its tag first."""
        return _keys(self.elements[number])

    def tag(self, number: int) -> str:
        return str(self.elements[number].tag)

    def ancestors(self, number: int) -> Iterator[int]:
        """From the parent up to the root."""
        number = self.parents[number]
        while number >= 0:
            yield number
            number = self.parents[number]

    def common_ancestor(self, numbers: Iterable[int]) -> int:
        """The nearest element around all of ``numbers`` that is none of them; 0 when the root is one."""
        chains = [[*self.ancestors(number)][::-1] for number in numbers]
        common = 0
        for level in zip(*chains, strict=False):
            if len(set(level)) > 1:
                break
            common = level[0]
        return common

    def before(self, number: int) -> int:
        """The element sibling before an element; -1 when it is the first."""
        return self._siblings[0][number]

    def nth(self, number: int) -> int:
        """Which of its tag an element is among its siblings, from 1."""
        return self._siblings[1][number]

    def is_last(self, number: int) -> bool:
        """Whether no sibling of its tag follows."""
        return number in self._siblings[2]

    @cached_property
    def _siblings(self) -> tuple[list[int], list[int], frozenset[int]]:
        before: list[int] = []
        nth: list[int] = []
        newest: dict[int, int] = {}
        of_tag: dict[tuple[int, str], int] = {}
        for number, (parent, element) in enumerate(zip(self.parents, self.elements, strict=True)):
            before.append(newest.get(parent, -1))
            newest[parent] = number
            earlier = of_tag.get((parent, element.tag))
            nth.append(1 if earlier is None else nth[earlier] + 1)
            of_tag[parent, element.tag] = number
        return before, nth, frozenset(of_tag.values())

    def text(self, number: int) -> str:
        """All text in an element."""
        return "".join(self.elements[number].itertext(lxml.etree.Element))

    def label(self, number: int) -> str | None:
        """The text of an element when it could name something: short, with letters, as it stands in the page."""
        text = " ".join(self.text(number).split())
        if not 2 <= len(text) <= LABEL or not any(letter.isalpha() for letter in text):
            return None
        return text if text in self.text(number) else None

    def inside(self, containers: Iterable[int]) -> Inside:
        """A test: has an element one of ``containers`` above it?"""
        return Inside(containers, self.ends)


class Inside:
    """Membership in the union of subtrees, by bisection."""

    def __init__(self, containers: Iterable[int], ends: list[int]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for number in sorted(containers):
            if self._ends and number <= self._ends[-1]:
                continue  # lies in the one before: its subtree is covered
            self._starts.append(number)
            self._ends.append(ends[number])

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def of(self, numbers: list[int]) -> list[int]:
        """Those of ascending ``numbers`` that are inside."""
        found: list[int] = []
        for start, end in zip(self._starts, self._ends, strict=True):
            found += numbers[bisect_right(numbers, start) : bisect_right(numbers, end)]
        return found


def _keys(element: Any) -> list[Key]:
    keys: list[Key] = [("tag", element.tag)]
    for name, value in element.items():
        if _CONTROL.search(value):
            continue  # XPath cannot say it, or cssselect reads it as another name
        if name == "class":
            keys += [("class", each) for each in dict.fromkeys(value.split())]
        elif name == "id":
            if value.strip() and not any(letter.isspace() for letter in value):
                keys.append(("id", value))
        elif name in _NAMED or name.startswith("data-"):
            keys.append(("attr", name))
            if 0 < len(value) <= _VALUE_LENGTH:
                keys.append(("attr", name, value))
    return keys
