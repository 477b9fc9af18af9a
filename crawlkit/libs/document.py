"""HTML as a handler reads it: parsing that never fails, and PyQuery with absolute links.

Pure: bytes in, trees out. The parsers are kept per encoding; XPath of CSS selectors is kept by its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import lxml.etree
import lxml.html
from pyquery import PyQuery
from pyquery.cssselectpatch import JQueryTranslator

from crawlkit.libs import crowded_tags
from crawlkit.libs.crowded_tags import LARGE, has_crowd
from crawlkit.libs.url import Joiner

MAX_LINK = 65_536
_EMPTY = b"<html><body></body></html>"
_WIDE = ("utf-16", "utf-32")
_HTTP = ("http://", "https://")
_LINKS = {
    "a": "href",
    "area": "href",
    "link": "href",
    "img": "src",
    "script": "src",
    "iframe": "src",
    "frame": "src",
    "embed": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "form": "action",
}


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
    if len(content) > LARGE and encoding.startswith(_WIDE):
        content, encoding = content.decode(encoding, "replace").encode("utf-8", "replace"), "utf-8"
    if b"\0" in content and not encoding.startswith("utf-16"):
        content = content.replace(b"\0", b"")  # libxml2 would stop at it
    root = None
    if content:
        try:
            parser = _parser(encoding)
            if len(content) > LARGE and has_crowd(content):
                root = crowded_tags.parse(content, encoding, parser)
            else:
                root = lxml.etree.fromstring(content, parser)
        except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError, ValueError):
            root = None
    if root is None or not isinstance(root.tag, str):
        root = lxml.etree.fromstring(_EMPTY, _parser("utf-8"))
    return root


def base_of(root: Any) -> str:
    """The ``href`` of the document's first ``<base>`` that has one, or ``""``."""
    for base in root.iter("base"):
        href = base.get("href")
        if href is not None:
            return str(href).strip()
    return ""


def make_links_absolute(root: Any, joiner: Joiner) -> None:
    """Every link, image, frame, script and form under ``root``, in place; what is no http(s) URL stays."""
    join = joiner.join
    for element in root.iter(*_LINKS):
        name = _LINKS[element.tag]
        value = element.get(name)
        if value is None:
            continue
        url = join(value.strip())
        if url is not None and url != value and url.startswith(_HTTP):
            element.set(name, url)


class _Attributes:
    """``element.attr``: ``attr.href``, ``attr["href"]``, ``attr("href")`` as PyQuery's, without a class per use."""

    __slots__ = ("_of",)

    def __init__(self, of: Doc) -> None:
        object.__setattr__(self, "_of", of)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _pyquery_attr(self._of, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # The plain case of many elements a page: one element, one attribute
        of = self._of
        if not of:
            return None
        return of[0].get(_ATTRIBUTES.get(name, name))

    __getitem__ = __getattr__

    def __setattr__(self, name: str, value: Any) -> None:
        _pyquery_attr(self._of, name, value)

    __setitem__ = __setattr__

    def __delattr__(self, name: str) -> None:
        self._of.remove_attr(name)

    __delitem__ = __delattr__


_ATTRIBUTES = {"class_": "class", "for_": "for"}
_pyquery_attr = PyQuery.__dict__["attr"].pget
_translate = lru_cache(maxsize=2048)(JQueryTranslator(xhtml=False).css_to_xpath)


@lru_cache(maxsize=2048)
def _compiled(selector: str) -> Any:
    xpath = _translate(selector.replace("[@", "["), "descendant-or-self::")
    return lxml.etree.XPath(xpath, regexp=False, smart_strings=False)


class Doc(PyQuery):  # type: ignore[misc]
    """PyQuery that keeps compiled selectors and makes fewer objects on the way; the same to use."""

    @property
    def attr(self) -> _Attributes:
        return _Attributes(self)

    def _css_to_xpath(self, selector: str, prefix: str = "descendant-or-self::") -> str:
        xpath: str = _translate(selector.replace("[@", "["), prefix)
        return xpath

    def __call__(self, *args: Any, **kwargs: Any) -> Doc:
        selector = args[0] if len(args) == 1 and not kwargs else None
        if type(selector) is not str or not selector or selector.startswith("<") or self.namespaces:
            made: Doc = super().__call__(*args, **kwargs)
            return made
        find = _compiled(selector)
        if len(self) == 1:
            return self._of(find(self[0]))
        return self._of([element for each in self for element in find(each)])

    def items(self, selector: str | None = None) -> Iterator[Doc]:
        """Each element as a document of its own."""
        for element in self(selector) if selector else self:
            yield self._of([element])

    def _of(self, elements: list[Any]) -> Doc:
        """What PyQuery's constructor makes of ``elements`` found in this one."""
        made: Doc = Doc.__new__(Doc)
        made[:] = elements
        made.__dict__ = {
            "_base_url": None,
            "parser": None,
            "_parent": self,
            "_translator": self._translator,
            "namespaces": self.namespaces,
        }
        return made
