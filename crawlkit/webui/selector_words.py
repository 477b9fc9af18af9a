"""How far a feature of an element can be trusted to be there on the next page, as a cost: small is good.

Pure. A selector costs the sum of its features; the helper proposes the cheapest one that finds exactly what is meant.
"""

from __future__ import annotations

import re
from functools import lru_cache

from crawlkit.webui.page_tree import Key

NEVER = 1_000.0
"""Cost of what must not stand in a selector: generated names, states."""
POSITION = 11.0
FIRST_OR_LAST = 6.5
SIBLING = 4.0
TEXT = 5.0  # :contains("Author") of a label beside what is meant
ACCIDENT = 3.0  # that a common tag or word alone finds what is meant
TELLING = 1.5  # cost of a tag up to which it is not common
WIDE = 1.2  # more for a place that is the whole page
DESCENDANT = 0.6
CHILD = 0.8

_WORDS = re.compile(r"[^\W_]+")


@lru_cache(maxsize=4096)
def words_of(text: str) -> frozenset[str]:
    """The words in a text, in small letters."""
    return frozenset(word.lower() for word in _WORDS.findall(text))


_TELLING_TAGS = {"title": 0.5, "h1": 0.8, "main": 0.8, "nav": 1.4, "article": 1.2, "time": 1.2, "address": 1.2}
_TELLING_TAGS |= {"header": 1.6, "footer": 1.4, "aside": 1.6, "h2": 1.6, "h3": 1.7, "h4": 1.8, "h5": 1.8, "h6": 1.8}
_TELLING_TAGS |= {"pre": 1.8, "dt": 1.7, "dd": 1.9, "th": 1.8, "figcaption": 1.5, "caption": 1.5, "blockquote": 1.8}
_TELLING_TAGS |= {"table": 2.2, "tr": 2.0, "td": 2.1, "li": 2.0, "a": 2.2, "p": 2.2, "img": 2.1, "dl": 2.0, "code": 2.1}
_TELLING_TAGS |= {"form": 1.8, "input": 2.1, "label": 2.1, "tbody": 2.4, "ul": 2.3, "ol": 2.2, "div": 2.9, "span": 2.8}
_HEADINGS = words_of("h1 h2 h3 h4 h5 h6")
_WRAPPERS = frozenset(("html", "body", "tbody", "div", "span", "b", "i", "font", "center"))

_STRUCTURE = words_of(
    """content main header footer nav navigation sidebar menu page wrapper container body article toc search results
    breadcrumbs breadcrumb pager pagination documentation document doc docs text title layout top bottom left right
    comments reviews related product products list items description summary details preamble"""
)
_STATES = words_of(
    """active current selected hover focus focused open opened closed show shown hide hidden visible invisible disabled
    enabled collapsed expanded loading loaded lazy lazyload lazyloaded checked unchecked sticky
    in out fade animated new unread visited external internal no-js js"""
)
_PLACES = words_of("first last odd even left right top bottom prev next")
_VARIANT = re.compile(r"(?:highlight|language|lang|brush|syntax|src|code)[-_][a-z0-9+#-]+\Z|.*[a-z0-9]--[a-z]")
_STATE_START = re.compile(r"(?:is|has|js|ng|was)-|swiper-slide-|slick-|aos-|v-enter|v-leave")
_LAYOUT = re.compile(
    r"""(?:col|row|grid|container|wrapper|wrap|inner|outer|clearfix|clear|left|right|center|block|inline|flex|table
    |hide|show|pull|float|text|align|bg|font|border|rounded|shadow|px?|py|pl|pr|pt|pb|m|mx|my|mt|mb|ml|mr|w|h|d|gap
    |desktop|mobile|wide|narrow|desktoponly|mobileonly|wideonly|narrowonly|print|noprint|screen-only|visible|space|justify|items|order|size|span|offset|btn|icon|fa|fas|far|ui|u|o)(?:-(?:[a-z]{1,8}-)*[0-9a-z/.]{1,6})?\Z""",
    re.X,
)
_HASHED = (
    re.compile(
        r"(?:css|sc|jss|jsx|emotion|styled|svelte|tw|st|style|makeStyles|Mui)-?[A-Za-z0-9]*[0-9][A-Za-z0-9]*(?:-|\Z)"
    ),
    re.compile(r"(?:css|sc|svelte)-[A-Za-z0-9]{5,}\Z"),
    re.compile(r"__?[A-Za-z0-9_-]*[A-Z0-9][A-Za-z0-9_-]{3,}\Z"),
    re.compile(r".*__[A-Za-z0-9+/-]{5,}\Z"),
    re.compile(r"ember\d+|ext-gen\d+|yui_|react-|radix-|:r|headlessui-|gen\d+|auto-?\d+|id\d+\Z"),
    re.compile(r"[0-9a-f]{6,}\Z|[0-9a-f]{8}-[0-9a-f]{4}-"),
)
_MIXED = re.compile(r"[a-z][A-Z]|[A-Z][a-z]|[0-9][A-Za-z]|[A-Za-z][0-9]")
_VOWEL = re.compile(r"[aeiouyAEIOUY]")
_GOOD_ATTRIBUTES = {"itemprop": 0.9, "property": 1.0, "rel": 1.3, "datetime": 1.6, "role": 1.7, "itemtype": 1.5}
_GOOD_ATTRIBUTES |= {"data-testid": 1.2, "data-test": 1.2, "data-qa": 1.2, "data-cy": 1.2, "name": 1.3, "scope": 2.4}
_GOOD_ATTRIBUTES |= {"accesskey": 2.4, "aria-label": 2.6, "type": 2.2, "for": 2.6}


@lru_cache(maxsize=4096)
def looks_generated(name: str) -> bool:
    """Whether an id or a class seems to be made by a program, so that the next build has another: ``css-1x2y3z``."""
    if any(pattern.match(name) for pattern in _HASHED):
        # BEM: block__element is written by people
        return not re.fullmatch(r"[a-z][a-z-]*__[a-z][a-z-]*(?:--[a-z-]+)?", name)
    if len(name) >= 5 and not any(letter in "-_" for letter in name):
        return len(_MIXED.findall(name)) >= 3 or (len(name) >= 8 and not _VOWEL.search(name))
    return sum(letter.isdigit() for letter in name) >= 5


@lru_cache(maxsize=4096)
def class_cost(name: str) -> float:
    low = name.lower()
    if low in _STATES or _STATE_START.match(low) or looks_generated(name):
        return NEVER
    if low in _PLACES:
        return 5.0
    if ":" in name or "[" in name or "/" in name:
        return 9.0  # utility classes: how it looks, not what it is
    if _LAYOUT.match(low) and low not in _STRUCTURE:
        return 4.5
    cost = 1.3 + 0.02 * len(name)
    if any(letter.isdigit() for letter in name) or is_variant(name):
        cost += 1.2
    return cost


@lru_cache(maxsize=4096)
def is_variant(name: str) -> bool:
    """Whether a class says which sort of its kind something is: the language of an example, a modifier of BEM."""
    return bool(_VARIANT.match(name.lower()))


def id_cost(name: str, anchored: bool, about: frozenset[str]) -> float:
    """``anchored``: something on the page links to it. ``about``: words of the page's address and title.

    Both mean that the id names this page's content rather than a part of every page.
    """
    if looks_generated(name):
        return NEVER
    words = [word.lower() for word in _WORDS.findall(name)]
    if words and all(word in _STRUCTURE for word in words):
        return 1.0 if not anchored else 1.6
    if any(letter.isdigit() for letter in name):
        return 11.5
    if about and words and set(words) <= about:
        return 11.0
    if anchored:
        return 10.0
    return 2.4 if len(words) < 3 else 4.5


def attribute_cost(name: str, value: str | None) -> float:
    if value is None:
        return _GOOD_ATTRIBUTES.get(name, 2.2) + 0.7 if name in ("datetime", "itemprop", "rel") else 3.4
    if name == "content":
        return NEVER
    base = _GOOD_ATTRIBUTES.get(name)
    if looks_generated(value) or len(_WORDS.findall(value)) > 4:
        return NEVER
    if base is None:
        base = 3.2 if name.startswith("data-") else 3.0
    if any(letter.isdigit() for letter in value):
        base += 4.0
    return base + 0.01 * len(value)


def tag_cost(tag: str) -> float:
    """Of a tag that stands alone as what is looked for."""
    return _TELLING_TAGS.get(tag, 1.6 if "-" in tag else 2.4)


def names_itself(attribute: str) -> bool:
    """Whether an attribute needs no tag beside it to be understood."""
    return attribute == "itemprop" or attribute.startswith("data-")


def is_common(tag: str) -> bool:
    """Whether a tag says little: that it stands for nothing else on this page may be an accident."""
    return tag_cost(tag) > TELLING


def beside_tag(tag: str) -> float:
    """What it costs to say the tag with a class: it is longer, but the level of a heading says much."""
    return -0.1 if tag in _HEADINGS else 0.35


def tag_names_place(tag: str) -> bool:
    """Whether a tag alone is worth saying of what stands around."""
    return tag not in _WRAPPERS


def cost_of(key: Key, anchored: bool = False, about: frozenset[str] = frozenset()) -> float:
    """Of one feature."""
    kind = key[0]
    if kind == "tag":
        return tag_cost(key[1])
    if kind == "class":
        cost = class_cost(key[1])
        words = {word.lower() for word in _WORDS.findall(key[1])}
        return cost + 5.0 if words and len(key[1]) > 3 and words <= about and not words <= _STRUCTURE else cost
    if kind == "id":
        return id_cost(key[1], anchored, about)
    return attribute_cost(key[1], key[2] if len(key) > 2 else None)
