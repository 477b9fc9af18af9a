"""parsel selectors that cost less: compiled XPath by its text, no detours for what was found.

Pure. The same to use as parsel's own; whatever is out of the ordinary is left to parsel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import lxml.etree
from parsel import Selector, SelectorList
from parsel.csstranslator import HTMLTranslator

if TYPE_CHECKING:
    from crawlkit.libs.response import Response

_NAMESPACES = dict(Selector._default_namespaces)
_css_to_xpath = HTMLTranslator().css_to_xpath


@lru_cache(maxsize=2048)
def compiled_css(query: str) -> lxml.etree.XPath:
    return compiled_xpath(_css_to_xpath(query))


@lru_cache(maxsize=2048)
def compiled_xpath(query: str) -> lxml.etree.XPath:
    return lxml.etree.XPath(query, regexp=False, smart_strings=False)


class PageSelector(Selector):
    """A selector over an HTML element or what was found in one."""

    __slots__ = ()

    def css(self, query: str) -> SelectorList[Any]:
        """What the CSS selector ``query`` finds; raises as cssselect and parsel do."""
        if self.namespaces is not _NAMESPACES or not isinstance(self.root, lxml.etree._Element):
            return super().css(query)
        return _found(compiled_css(query)(self.root), query)

    def xpath(self, query: str, namespaces: Any = None, **kwargs: Any) -> SelectorList[Any]:
        """What the XPath expression ``query`` finds; raises :class:`ValueError` when it is none."""
        own = namespaces is None and self.namespaces is _NAMESPACES and "re:" not in query and "set:" not in query
        if not own or not isinstance(self.root, lxml.etree._Element):
            return super().xpath(query, namespaces, **kwargs)
        try:
            return _found(compiled_xpath(query)(self.root, **kwargs), query)
        except lxml.etree.XPathError as error:
            raise ValueError(f"XPath error: {error} in {query}") from None

    def get(self) -> Any:
        root = self.root
        return root if type(root) is str else super().get()

    extract = get

    def getall(self) -> list[str]:
        return [self.get()]

    def register_namespace(self, prefix: str, uri: str) -> None:
        self.namespaces = {**self.namespaces, prefix: uri}


def _found(result: Any, query: str) -> SelectorList[Any]:
    items: SelectorList[Any] = SelectorList()
    add = items.append
    for value in result if isinstance(result, list) else (result,):
        each = _new(PageSelector)
        each.root = value
        each.type = "html"
        each.namespaces = _NAMESPACES
        each._expr = query
        each._huge_tree = True
        each._text = None
        add(each)
    return items


_new = PageSelector.__new__


def html_selector(root: Any) -> PageSelector:
    """A selector over the root of an HTML tree."""
    selector: PageSelector = _found(root, "")[0]
    selector._expr = None
    return selector


def selector_of(response: Response) -> Selector:
    """A selector over the response's document: XML where the server says XML, else the shared HTML tree."""
    content_type = response.content_type.partition(";")[0].strip().lower()
    if content_type.endswith("xml") and content_type != "application/xhtml+xml" and response.content:
        return Selector(text=response.text, type="xml")
    return html_selector(response.etree)
