"""What a selector finds on a page, and how a callback asks for it.

Pure. Everything is asked of the tree that ``response.css`` searches, by the same translation to XPath; a hostile
selector can take as long as it likes, so whoever calls this for others does so in a process it can end.
"""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import pairwise
from typing import Any

import lxml.etree
import msgspec
from cssselect import SelectorError
from parsel import Selector
from parsel.csstranslator import GenericTranslator, HTMLTranslator

from crawlkit.webui.page_tree import PageTree

MAX_VALUES = 20
VALUE_LENGTH = 300  # characters shown of a value
MAX_NUMBERS = 5_000  # matches that a frame marks
SIGN = 2  # characters
_NAMESPACES = dict(Selector._default_namespaces)
_HAS_CLASS = re.compile(r'has-class\("([^"\s]+)"\)')
_LINKS = {"a": "href", "area": "href", "link": "href", "img": "src", "iframe": "src", "frame": "src", "script": "src"}
_LINKS |= {"source": "src", "video": "src", "audio": "src", "embed": "src", "object": "data", "form": "action"}
_VALUES = {"meta": "content", "input": "value", "option": "value", "data": "value", "time": "datetime"}


class SelectorProblem(ValueError):
    """A selector that is none, in words for people; or picked numbers that the page does not have."""


class Ending(msgspec.Struct, frozen=True):
    """What is taken of an element: a text, an attribute, all its text, or its markup."""

    name: str
    """``text``, ``whole-text``, ``html`` or the name of an attribute with an ``@`` before it."""
    css: str
    xpath: str


class Evaluation(msgspec.Struct, frozen=True):
    """What a selector finds."""

    css: str | None
    xpath: str | None
    count: int
    """Elements found."""
    numbers: list[int]
    """Of the first ones, by which the preview knows them."""
    values: list[str]
    """The first ones, each at most ``VALUE_LENGTH`` characters, as the callback gets them."""
    value_count: int
    insert_css: str | None
    """For the script: ``response.css("h1::text").get()``."""
    insert_xpath: str | None
    problem: str = ""
    """Why this is no selector, in words; then nothing else is said."""


def evaluate(
    tree: PageTree, css: str | None, xpath: str | None, ending: str | None = None, many: bool = False
) -> Evaluation:
    """What a selector finds on the page, and its values with ``ending`` (the name of one, or ``None``: as it stands).

    Raises :class:`SelectorProblem` when it is no selector.
    """
    numbers, plain, beyond = run(tree, css, xpath)
    end = ending_of(ending)
    values = plain if end is None else values_of(tree, css, xpath, end)
    count = len(numbers) + beyond
    many = many or count > 1
    return Evaluation(
        css,
        xpath,
        count,
        numbers[:MAX_NUMBERS],
        shown(values),
        len(values),
        None if css is None else insert("css", css, end, many),
        None if xpath is None else insert("xpath", xpath, end, many),
    )


def values_of(tree: PageTree, css: str | None, xpath: str | None, end: Ending) -> list[str]:
    """What a callback gets for a selector (its CSS, if it has one) with an ending."""
    if css is not None:
        xpath = None
    if end.name == "whole-text":
        result = _query(tree, css, xpath)
        elements = (
            [item for item in result if isinstance(item, lxml.etree._Element)] if isinstance(result, list) else []
        )
        return [_whole(element) if number < MAX_VALUES else "" for number, element in enumerate(elements)]
    return run(tree, css and with_ending(css, end.css, ","), xpath and with_ending(xpath, end.xpath, "|"))[1]


def values_at(tree: PageTree, numbers: list[int], end: Ending) -> list[str] | None:
    """What ``end`` gives for elements, without a search; ``None`` where one is inside another: its order differs."""
    if any(tree.ends[one] >= other for one, other in pairwise(numbers)):
        return None
    elements = [tree.elements[number] for number in numbers]
    if end.name == "text":
        texts = (text for element in elements for text in (element.text, *(child.tail for child in element)))
        return [text for text in texts if text]
    if end.name.startswith("@"):
        found = (element.get(end.name[1:]) for element in elements)
        return [value for value in found if value is not None]
    write = _whole if end.name == "whole-text" else partial(_markup, tree)
    return [write(element) if at < MAX_VALUES else "" for at, element in enumerate(elements)]


def _markup(tree: PageTree, element: Any) -> str:
    method = "xml" if tree.is_xml else "html"
    return str(lxml.etree.tostring(element, encoding="unicode", method=method, with_tail=False))


def shown(values: list[str]) -> list[str]:
    """The first values, each cut to a length."""
    return [value[:VALUE_LENGTH] for value in values[:MAX_VALUES]]


def _whole(element: Any) -> str:
    return " ".join("".join(element.itertext(lxml.etree.Element)).split())


def _query(tree: PageTree, css: str | None, xpath: str | None) -> Any:
    try:
        if css is not None:
            translator = GenericTranslator() if tree.is_xml else HTMLTranslator()
            xpath = translator.css_to_xpath(css)
        # parsel's has-class calls Python for each element; this is what it means
        plain = _HAS_CLASS.sub(r'contains(concat(" ", normalize-space(@class), " "), " \1 ")', xpath or "")
        return lxml.etree.XPath(plain, namespaces=_NAMESPACES)(tree.root)
    except SelectorError as error:
        raise SelectorProblem(f"not a CSS selector: {error}") from None
    except (lxml.etree.XPathError, ValueError, TypeError) as error:
        raise SelectorProblem(f"not an XPath expression: {error}") from None
    except RecursionError:
        raise SelectorProblem("this selector is nested too deeply") from None


def run(tree: PageTree, css: str | None, xpath: str | None) -> tuple[list[int], list[str], int]:
    """Numbers of the elements found (or that the texts found stand in), the values, and how many have no number."""
    if not tree.has_elements or not isinstance(tree.root, lxml.etree._Element):
        raise SelectorProblem(f"this page has no elements to select: it is {tree.kind}")
    result = _query(tree, css, xpath)
    if not isinstance(result, list):
        return [], [str(result)], 0
    found: dict[int, None] = {}
    values: list[str] = []
    beyond = 0
    for item in result:
        if isinstance(item, str):
            values.append(str(item))
            element = item.getparent()  # type: ignore[attr-defined]
            if element is not None and item.is_tail:  # type: ignore[attr-defined]
                element = element.getparent()
        elif isinstance(item, lxml.etree._Element):
            element = item
            values.append(_markup(tree, item) if len(values) < MAX_VALUES else "")
        else:
            values.append(str(item))
            continue
        number = tree.numbers.get(element)
        if number is None:
            beyond += isinstance(item, lxml.etree._Element)
        else:
            found[number] = None
    return sorted(found), values, beyond


def endings_of(tree: PageTree, numbers: list[int]) -> list[Ending]:
    """What may be wanted of these elements; the likeliest first."""
    element = tree.elements[numbers[0]]
    own = [tree.elements[number] for number in numbers[:50]]
    tag = element.tag
    attributes = [
        name for name in dict.fromkeys((_LINKS.get(tag, ""), _VALUES.get(tag, ""), "alt", "title", "datetime"))
        if name and any(each.get(name) is not None for each in own)
    ]  # fmt: skip
    inner = sum(1 for each in own if _mixed(each))
    texts = ["whole-text", "text"] if inner * 2 > len(own) else ["text", "whole-text"]
    if not any("".join(each.itertext()).strip() for each in own):
        texts = []
    first = [f"@{name}" for name in attributes]
    names = [*first, *texts, "html"] if tag not in ("a", "time") or not texts else [*texts, *first, "html"]
    return [end for name in names if (end := ending_of(name)) is not None]


def _mixed(element: Any) -> bool:
    """Whether an element's own texts are not all of its text; a sign as behind many headings does not count."""
    own = [element.text, *(child.tail for child in element)]
    pieces = [piece for piece in own if piece and piece.strip()]
    inner = "".join("".join(child.itertext()).strip() for child in element if isinstance(child.tag, str))
    return len(pieces) != 1 or len(inner) > SIGN


def ending_of(name: str | None) -> Ending | None:
    if name is None:
        return None
    if name == "text":
        return Ending(name, "::text", "/text()")
    if name in ("html", "whole-text"):
        return Ending(name, "", "")
    if name.startswith("@") and name[1:].replace("-", "").replace("_", "").isalnum():
        return Ending(name, f"::attr({name[1:]})", f"/{name}")
    raise SelectorProblem(f"{name!r} is no ending; there are text, whole-text, html and @attribute")


def insert(method: str, query: str, end: Ending | None, many: bool) -> str:
    """The expression for a callback."""
    if end is not None:
        query = with_ending(query, *((end.css, ",") if method == "css" else (end.xpath, "|")))
    call = f"response.{method}({_python(query)})"
    if end is not None and end.name == "whole-text":
        if many:
            return f'[each.xpath("normalize-space()").get() for each in {call}]'
        return f'{call}.xpath("normalize-space()").get()'
    return f"{call}.getall()" if many else f"{call}.get()"


def with_ending(query: str, ending: str, separator: str) -> str:
    """``query`` with ``ending`` behind each of its alternatives: ``h1, h2`` becomes ``h1::text, h2::text``."""
    if not ending:
        return query
    parts = [""]
    quote, depth = "", 0
    for letter in query:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "([") - (letter in ")]")
            if letter == separator and depth == 0:
                parts[-1] = parts[-1].rstrip() + ending
                parts.append("")
                continue
        parts[-1] += letter
    parts[-1] = parts[-1].rstrip() + ending
    return separator.join(parts) if separator == "," else " |".join(parts)


def _python(text: str) -> str:
    """A Python string, in double quotes where that needs no escapes."""
    if '"' in text and "'" not in text:
        return repr(text)
    return json.dumps(text, ensure_ascii=False)  # its escapes mean the same in Python
