"""HTML as a handler reads it: parsing that never fails, and PyQuery with absolute links.

Pure: bytes in, trees out. The parsers are kept per encoding; XPath of CSS selectors is kept by its text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import lxml.etree
import lxml.html
from pyquery import PyQuery

from crawlkit.libs.url import Joiner

MAX_LINK = 65_536
_EMPTY = b"<html><body></body></html>"
_links: Any = lxml.etree.XPath("descendant-or-self::*[@href or @src or @action or @background]")
_base: Any = lxml.etree.XPath("string((//base[@href])[1]/@href)", smart_strings=False)


@lru_cache(maxsize=64)
def _parser(encoding: str) -> lxml.html.HTMLParser:
    return lxml.html.HTMLParser(encoding=encoding, huge_tree=True, collect_ids=False)


@lru_cache(maxsize=64)
def _known_to_libxml2(encoding: str) -> bool:
    try:
        lxml.html.HTMLParser(encoding=encoding)
    except LookupError:
        return False
    return True


def parse_html(content: bytes, encoding: str) -> lxml.html.HtmlElement:
    """The root of the document; an empty or hopeless one gives ``<html><body/></html>`` [H94 done right]."""
    if encoding == "utf-8-sig":
        encoding, content = "utf-8", content[3:]
    if not _known_to_libxml2(encoding):
        content, encoding = content.decode(encoding, "replace").encode("utf-8", "replace"), "utf-8"
    if b"\0" in content and not encoding.startswith("utf-16"):
        content = content.replace(b"\0", b"")  # libxml2 would stop at it
    root = None
    if content:
        try:
            root = lxml.etree.fromstring(content, _parser(encoding))
        except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError, ValueError):
            root = None
    if root is None or not isinstance(root.tag, str):
        root = lxml.etree.fromstring(_EMPTY, _parser("utf-8"))
    return root


def base_of(root: Any) -> str:
    """The ``href`` of the document's ``<base>``, or ``""``."""
    href: str = _base(root)
    return href.strip()


def make_links_absolute(root: Any, joiner: Joiner) -> None:
    """Every ``href``, ``src``, ``action`` and ``background`` under ``root``, in place; what is no URL stays."""
    join = joiner.join
    for element in _links(root):
        attributes = element.attrib
        for name in ("href", "src", "action", "background"):
            value = attributes.get(name)
            if value is not None:
                url = join(value.strip())
                if url is not None and url != value:
                    attributes[name] = url


@lru_cache(maxsize=2048)
def _compiled(xpath: str) -> lxml.etree.XPath:
    return lxml.etree.XPath(xpath, smart_strings=False)


class _Attributes:
    """``element.attr``: ``attr.href``, ``attr["href"]``, ``attr("href")``, as PyQuery's, without a class per use."""

    __slots__ = ("_of",)

    def __init__(self, of: Doc) -> None:
        object.__setattr__(self, "_of", of)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _pyquery_attr(self._of, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return _pyquery_attr(self._of, name)

    def __getitem__(self, name: str) -> Any:
        return _pyquery_attr(self._of, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _pyquery_attr(self._of, name, value)

    __setitem__ = __setattr__

    def __delattr__(self, name: str) -> None:
        self._of.remove_attr(name)

    __delitem__ = __delattr__


_pyquery_attr = PyQuery.__dict__["attr"].pget


class Doc(PyQuery):  # type: ignore[misc]
    """PyQuery that keeps compiled selectors and makes fewer objects on the way; the same to use."""

    @property
    def attr(self) -> _Attributes:
        return _Attributes(self)


def selector_of(response: Any) -> Any:
    """A parsel selector over the response's document: XML where the server says XML, else the shared HTML tree."""
    from parsel import Selector

    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type.endswith(("/xml", "+xml")) and content_type != "application/xhtml+xml" and response.content:
        return Selector(text=response.text, type="xml")
    return Selector(root=response.etree, type="html")
