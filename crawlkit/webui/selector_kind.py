"""What somebody means who picks two similar elements: all of their kind.

Pure. Alike is what has the tag and classes that the picked ones share, stands in parents that are alike, in the same
region of the page, and in the same column where the rows have several.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crawlkit.webui import selector_words as words
from crawlkit.webui.page_tree import Key, PageTree

LEVELS = 2  # ancestors looked at for likeness
LOOSER = 1.0  # how far it reaches to ask nothing of one more level
DEEPER = 0.3  # how far it reaches to take in what stands deeper or less deep
ELSEWHERE = 0.8  # how far it reaches to take in other regions of the page
_REGION_TAGS = words.words_of("nav header footer aside main form table")
_REGION_WORDS = {
    "nav": "nav", "navigation": "nav", "navbar": "nav", "navheader": "nav", "navfooter": "nav", "menu": "nav",
    "menubar": "nav", "breadcrumb": "nav", "breadcrumbs": "nav", "pager": "nav", "pagination": "nav",
    "sidebar": "aside", "sidenav": "aside", "aside": "aside", "footer": "footer", "header": "header", "toc": "toc",
    "contents": "toc", "related": "related", "banner": "header", "contentinfo": "footer", "complementary": "aside",
}  # fmt: skip
_FLOWING = words.words_of("p pre ul ol dl table blockquote h1 h2 h3 h4 h5 h6 img figure section")
"""Tags that come one after the other in a text and make no columns."""
_LABEL_TAGS = words.words_of("th dt td")
_PROSE = words.words_of("section body main article blockquote")
_PROSE_CLASSES = words.words_of("section sect1 sect2 sect3 sect4 chapter content body refsect1")
"""What holds paragraphs, which are no columns."""


class Likeness(NamedTuple):
    """What the picked elements share at one level: 0 is themselves, 1 their parents."""

    tag: str | None
    classes: frozenset[str]
    nth: int | None


class KindSet(NamedTuple):
    """Elements of a kind, and how far this reading goes beyond the nearest one (0)."""

    numbers: list[int]
    wider: float


def kinds(tree: PageTree, picked: list[int]) -> list[KindSet]:
    """Sets of elements like the picked ones, each with all of them in it, the likeliest first.

    One reaches further than another by taking in more of the page, or by asking less of what stands around.
    """
    levels = [_likeness(tree, picked, level) for level in range(LEVELS + 1)]
    everywhere = _with(tree, levels[0])
    label = _label(tree, picked)
    if label is not None:
        everywhere = [number for number in everywhere if _label(tree, [number]) == label]
    regions = {region(tree, number) for number in picked}
    found: dict[tuple[int, ...], float] = {}
    nearby = everywhere
    if len(regions) == 1:
        here = regions.pop()
        nearby = [each for each in everywhere if region(tree, each) == here]
    _read(tree, picked, levels, nearby, 0.0, found)
    if len(picked) > 1 and len(nearby) < len(everywhere):
        _read(tree, picked, levels, everywhere, ELSEWHERE, found)
    sets = [KindSet([*numbers], wider) for numbers, wider in found.items() if set(picked) <= set(numbers)]
    return sorted(sets, key=lambda kind: kind.wider)


def _read(
    tree: PageTree,
    picked: list[int],
    levels: list[Likeness],
    candidates: list[int],
    wider: float,
    found: dict[tuple[int, ...], float],
) -> None:
    """Adds to ``found`` each set of ``candidates`` that is alike, with how far it reaches."""
    for looser in range(LEVELS + 1 if len(picked) > 1 else 1):
        alike = [number for number in candidates if _fits(tree, number, levels[: LEVELS + 1 - looser])]
        if looser == 0:
            found.setdefault(tuple(_as_deep(tree, picked, alike)), wider)
            wider += DEEPER
        for scope, numbers in enumerate(_scopes(tree, picked, alike)):
            found.setdefault(tuple(numbers), wider + scope + LOOSER * looser)


def _as_deep(tree: PageTree, picked: list[int], alike: list[int]) -> list[int]:
    """Those of ``alike`` below what is around the picked ones that stand as deep in it, if the picked ones agree."""
    around = tree.common_ancestor(picked) if len(picked) > 1 else 0
    ways = {_way(tree, number, around) for number in picked}
    if len(ways) > 1:
        return tree.inside([around]).of(alike)
    way = ways.pop()
    return [number for number in tree.inside([around]).of(alike) if _way(tree, number, around) == way]


def _way(tree: PageTree, number: int, around: int) -> tuple[str, ...]:
    """The tags from an element up to ``around``."""
    tags: list[str] = []
    while number > around:
        tags.append(tree.tag(number))
        number = tree.parents[number]
    return tuple(tags)


def _scopes(tree: PageTree, picked: list[int], alike: list[int]) -> Iterator[list[int]]:
    """Those of ``alike`` that are near the picked ones, then more and more of the page."""
    if len(picked) == 1:
        yield alike
        return
    around = tree.common_ancestor(picked)
    before = 0
    for scope in (around, *tree.ancestors(around)):
        inside = tree.inside([scope]).of(alike)
        if len(inside) > before:
            before = len(inside)
            yield inside


def region(tree: PageTree, number: int) -> str:
    """The part of a page that an element stands in, as far as the page says."""
    for ancestor in tree.ancestors(number):
        known = _regions(tree).get(ancestor)
        if known is None:
            known = _regions(tree)[ancestor] = _region_of(tree.keys(ancestor))
        if known:
            return known
    return ""


def _regions(tree: PageTree) -> dict[int, str]:
    known: dict[int, str] = tree.__dict__.setdefault("_regions", {})
    return known


def _region_of(keys: list[Key]) -> str:
    tag = keys[0][1]
    if tag in ("html", "body"):
        return ""
    for key in keys[1:]:
        name = key[1] if key[0] in ("id", "class") else key[2] if key[0:2] == ("attr", "role") and len(key) > 2 else ""
        parts = name.lower().replace("_", "-").split("-")
        if len(parts) <= 2 and parts[-1] in _REGION_WORDS:
            return _REGION_WORDS[parts[-1]]
    return tag if tag in _REGION_TAGS else ""


def _likeness(tree: PageTree, picked: list[int], level: int) -> Likeness:
    numbers = [_up(tree, number, level) for number in picked]
    if min(numbers) < 0:
        return Likeness(None, frozenset(), None)
    tags = {tree.tag(number) for number in numbers}
    classes = frozenset.intersection(*(_classes(tree, number) for number in numbers))
    tag = tags.pop() if len(tags) == 1 else None
    return Likeness(tag, classes, _column(tree, numbers, tag, classes))


def _classes(tree: PageTree, number: int) -> frozenset[str]:
    """The classes that say what an element is; not how it looks, how it stands just now or of which sort it is."""
    names = (key[1] for key in tree.keys(number) if key[0] == "class")
    return frozenset(name for name in names if words.class_cost(name) < 4.0 and not words.is_variant(name))


def _column(tree: PageTree, numbers: list[int], tag: str | None, classes: frozenset[str]) -> int | None:
    """The place among their siblings that elements of several parents share, where siblings are like them."""
    parents = {tree.parents[number] for number in numbers}
    if tag is None or tag in _FLOWING or len(parents) < 2 or min(parents) < 0 or not _are_rows(tree, parents):
        return None
    places = {tree.nth(number) for number in numbers}
    if len(places) != 1:
        return None
    others = any(
        sibling is not tree.elements[number] and classes <= frozenset((sibling.get("class") or "").split())
        for number in numbers
        for sibling in tree.elements[tree.parents[number]].iterchildren(tag)
    )
    return places.pop() if others else None


def _label(tree: PageTree, numbers: list[int]) -> str | None:
    """What the cell before each of ``numbers`` says, when that is the same: the row of several tables."""
    labels = set()
    for number in numbers:
        before = tree.before(number)
        labels.add(tree.label(before) if before >= 0 and tree.tag(before) in _LABEL_TAGS else None)
    return labels.pop() if len(labels) == 1 else None


def _are_rows(tree: PageTree, parents: set[int]) -> bool:
    """Whether these are records of one list, not sections of a text."""
    if all(tree.tag(parent) == "tr" for parent in parents):
        return True
    if any(tree.tag(parent) in _PROSE or _PROSE_CLASSES & _classes(tree, parent) for parent in parents):
        return False
    return len({tree.parents[parent] for parent in parents}) == 1


def _up(tree: PageTree, number: int, levels: int) -> int:
    for _ in range(levels):
        if number < 0:
            break
        number = tree.parents[number]
    return number


def _with(tree: PageTree, like: Likeness) -> list[int]:
    keys: list[Key] = [("class", each) for each in like.classes]
    if like.tag is not None:
        keys.append(("tag", like.tag))
    if not keys:
        return []
    keys.sort(key=lambda key: len(tree.postings[key]))
    return [number for number in tree.postings[keys[0]] if all(number in tree.having(key) for key in keys[1:])]


def _fits(tree: PageTree, number: int, levels: list[Likeness]) -> bool:
    for level, like in enumerate(levels):
        at = _up(tree, number, level)
        if at < 0:
            return like.tag is None and not like.classes
        if level and like.tag is not None and tree.tag(at) != like.tag:
            return False
        if level and like.classes and not like.classes <= frozenset((tree.elements[at].get("class") or "").split()):
            return False
        if like.nth is not None and tree.nth(at) != like.nth:
            return False
    return True
