"""The selector helper: from picked elements to the selectors that find what is meant.

Pure. Every selector is run on the page before it is proposed.
"""

from __future__ import annotations

import msgspec

from crawlkit.webui import selector_words as words
from crawlkit.webui.page_tree import Key, PageTree
from crawlkit.webui.selector_judge import Judge
from crawlkit.webui.selector_kind import kinds
from crawlkit.webui.selector_search import Found, Search
from crawlkit.webui.selector_steps import Step, Steps, css_of, xpath_of
from crawlkit.webui.selector_values import (
    MAX_NUMBERS,
    Ending,
    SelectorProblem,
    endings_of,
    insert,
    run,
    shown,
    values_at,
    values_of,
)

MAX_PICKED = 20
ALTERNATIVES = 5
MANY = 2_000  # elements for which the XPath beside the CSS is not run, too
READINGS = 6  # sets that two picked elements may stand for
CHEAPEST = 1.2  # what a selector costs at least, nearly
WIDENING = 1.6  # what it costs to mean more than the nearest of their kind
GOOD, FAIR = 7.0, 12.0  # costs up to which a selector is likely to fit the next page


class Choice(msgspec.Struct, frozen=True):
    """A selector that is proposed, and what it finds on this page."""

    css: str | None
    """``None``: these elements have no CSS selector (XML namespaces)."""
    xpath: str
    count: int
    numbers: list[int]
    trust: str
    """How likely it fits the next page: ``good``, ``fair`` or ``fragile`` (it counts positions)."""
    exact: bool
    """It finds what was meant; else more of the kind."""


class PathElement(msgspec.Struct, frozen=True):
    """An element on the way from the root to what was picked, and what of it the selector says."""

    number: int
    tag: str
    id: str | None
    classes: list[str]
    attributes: list[list[str]]
    """Name and value."""
    used: list[list[str]]
    """Features in the selector: ``["tag", "a"]``, ``["class", "price"]``, ``["attr", "rel", "next"]``."""


class Proposal(msgspec.Struct, frozen=True):
    """What the helper says to picked elements."""

    css: str | None
    xpath: str
    count: int
    numbers: list[int]
    trust: str
    alternatives: list[Choice]
    """Others, the best first; the proposed one is not among them."""
    endings: list[Ending]
    """The one that suits this kind of element comes first."""
    path: list[PathElement]
    values: list[str]
    value_count: int
    insert_css: str | None
    insert_xpath: str


def propose(tree: PageTree, picked: list[int], ending: str | None = None) -> Proposal:
    """A selector for one picked element, or for all like several picked ones.

    Raises :class:`SelectorProblem` for numbers that are no elements of the page.
    """
    picked = _checked(tree, picked)
    options = _options(tree, picked)
    choices = _choices(tree, options)
    if not choices:
        choices = [_union(tree, picked)]
    best = choices[0]
    others = [_bounded(choice) for choice in choices[1 : ALTERNATIVES + 1]]
    endings = endings_of(tree, best.numbers or picked)
    chosen = next((each for each in endings if each.name == ending), endings[0])
    many = best.count > 1 or len(picked) > 1
    values = values_at(tree, best.numbers, chosen) if best.count == len(best.numbers) else None
    if values is None:
        values = values_of(tree, best.css, best.xpath, chosen)
    steps = next((option.found.steps for option in options if css_of(option.found.steps) == best.css), ())
    return Proposal(
        best.css,
        best.xpath,
        best.count,
        best.numbers[:MAX_NUMBERS],
        best.trust,
        others,
        endings,
        _path(tree, picked[0], steps),
        shown(values),
        len(values),
        None if best.css is None else insert("css", best.css, chosen, many),
        insert("xpath", best.xpath, chosen, many),
    )


def _checked(tree: PageTree, picked: list[int]) -> list[int]:
    if not tree.elements:
        raise SelectorProblem(f"this page has no elements to select: it is {tree.kind}")
    if not 1 <= len(picked) <= MAX_PICKED:
        raise SelectorProblem(f"pick 1 to {MAX_PICKED} elements; these are {len(picked)}")
    wrong = [number for number in picked if not 0 <= number < len(tree.elements)]
    if wrong:
        raise SelectorProblem(f"the page has no element {wrong[0]}; its elements are 0 to {len(tree.elements) - 1}")
    return sorted(set(picked))


# ---- which selectors


class _Option(msgspec.Struct):
    found: Found
    wanted: list[int]
    exact: bool
    price: float


def _options(tree: PageTree, picked: list[int]) -> list[_Option]:
    """The selectors that come into question, the best first."""
    judge = judge_of(tree)
    options: list[_Option] = []
    if len(picked) == 1:
        options = [_Option(found, picked, True, found.cost) for found in Search(tree, judge, picked).best()]
        alike = kinds(tree, picked)
        if alike and len(alike[0].numbers) > 1:
            # never the first one, however cheap: it finds more than was asked for
            wide = alike[0].numbers
            options[2:] = [
                *(_Option(each, wide, False, each.cost) for each in Search(tree, judge, wide).best(1)),
                *options[2:],
            ]
        return options
    for wanted, wider in kinds(tree, picked)[:READINGS]:
        dearest = min((option.price for option in options), default=words.NEVER)
        if dearest < CHEAPEST + WIDENING * wider:
            break
        for each in Search(tree, judge, wanted).best(3):
            options.append(_Option(each, wanted, True, each.cost + WIDENING * wider))
    return sorted(options, key=lambda option: option.price)


def judge_of(tree: PageTree) -> Judge:
    known: Judge | None = tree.__dict__.get("_judge")
    if known is None:
        known = tree.__dict__["_judge"] = Judge(tree)
    return known


def _bounded(choice: Choice) -> Choice:
    return msgspec.structs.replace(choice, numbers=choice.numbers[:MAX_NUMBERS])


def _choices(tree: PageTree, options: list[_Option]) -> list[Choice]:
    """The options that hold on the page; those without CSS only where there are no others."""
    choices: list[Choice] = []
    for option in options:
        choice = _choice(tree, option, thorough=not choices and len(option.wanted) < MANY)
        if choice is not None:
            choices.append(choice)
    return [choice for choice in choices if choice.css is not None] or choices


def _choice(tree: PageTree, option: _Option, thorough: bool) -> Choice | None:
    """An option whose CSS, and if ``thorough`` XPath too, was run on the page; ``None`` if it finds something else."""
    steps, wanted = option.found.steps, option.wanted
    css, xpath = css_of(steps), xpath_of(steps)
    beyond = 0
    if css is not None:
        numbers, _, beyond = run(tree, css, None)
        css = css if numbers == wanted else None
    if css is None or thorough:
        numbers, _, beyond = run(tree, None, xpath)
        if numbers != wanted:
            return None
    cost = option.found.cost
    trust = "good" if cost <= GOOD else "fair" if cost <= FAIR else "fragile"
    return Choice(css, xpath, len(wanted) + beyond, wanted, trust, option.exact and not beyond)


def _union(tree: PageTree, picked: list[int]) -> Choice:
    """One selector for elements that have nothing in common: that of each group of them, side by side."""
    groups: dict[str, list[int]] = {}
    for number in picked:
        groups.setdefault(tree.tag(number), []).append(number)
    parts = list(groups.values()) if len(groups) > 1 else [[number] for number in picked]
    chosen = [choice for part in parts for choice in _choices(tree, _options(tree, part))[:1]]
    xpath = " | ".join(choice.xpath for choice in chosen)
    known = [choice.css for choice in chosen if choice.css is not None]
    css = ", ".join(known) if len(known) == len(chosen) else None
    numbers, _, beyond = run(tree, None, xpath or "/*")
    return Choice(css, xpath, len(numbers) + beyond, numbers, "fragile", False)


def _path(tree: PageTree, number: int, steps: Steps) -> list[PathElement]:
    chain = [number, *tree.ancestors(number)]
    used: dict[int, Step] = {}
    at = 0
    for position, step in enumerate(reversed(steps)):
        relation = steps[len(steps) - position].relation if position else ">"
        if relation == "+":
            break  # what stands beside is not on the way
        while at < len(chain) and not set(step.keys) <= set(tree.keys(chain[at])):
            at += 1
        if at < len(chain):
            used[chain[at]] = step
            at += 1
    return [_path_element(tree, each, used.get(each)) for each in reversed(chain)]


def _path_element(tree: PageTree, number: int, step: Step | None) -> PathElement:
    keys = tree.keys(number)
    ids = [key[1] for key in keys if key[0] == "id"]
    attributes = [[key[1], key[2]] for key in keys if key[0] == "attr" and len(key) > 2]
    classes = [key[1] for key in keys if key[0] == "class"]
    used = [list(key) for key in step.keys] if step else []
    return PathElement(number, tree.tag(number), ids[0] if ids else None, classes, attributes, used)


def compose(parts: list[list[list[str]]]) -> tuple[str | None, str]:
    """CSS and XPath of chosen features, element by element from the outside in; see :class:`PathElement` ``used``.

    Raises :class:`SelectorProblem` when nothing is chosen, or something that is no feature.
    """
    steps = []
    for part in parts:
        keys: list[Key] = []
        for feature in part:
            if feature[:1] not in (["tag"], ["id"], ["class"], ["attr"]) or not 2 <= len(feature) <= 3:
                raise SelectorProblem(f"{feature!r} is no feature of an element")
            keys.append(tuple(feature))
        if keys:
            steps.append(Step(tuple(sorted(keys, key=lambda key: ("tag", "id", "class", "attr").index(key[0])))))
    if not steps:
        raise SelectorProblem("nothing is chosen: switch on a tag, an id or a class")
    return css_of(tuple(steps)), xpath_of(tuple(steps))
