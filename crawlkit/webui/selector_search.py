"""The cheapest selectors that find exactly a given set of elements.

Pure. Works on the page's posting lists instead of running selectors: thousands of combinations are tried in
milliseconds, the cheapest first, and each is dropped at the first element it finds too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from heapq import nsmallest
from itertools import combinations
from typing import NamedTuple

from crawlkit.webui import selector_words as words
from crawlkit.webui.page_tree import Inside, Key, PageTree
from crawlkit.webui.selector_judge import Judge
from crawlkit.webui.selector_steps import Relation, Step, Steps

ENOUGH = 6  # selectors found
TRIES = 2_500  # combinations looked at
SAMPLE = 120  # elements of a large set that are looked at for what they have in common
AROUND = 26  # compounds of ancestors that are tried
LABELS = frozenset(("th", "dt", "td", "b", "strong", "label", "span", "h2", "h3", "h4", "em"))


class Found(NamedTuple):
    """A selector with its cost."""

    cost: float
    steps: Steps


class Compound(NamedTuple):
    cost: float
    keys: tuple[Key, ...]


class Search:
    """The selectors of one set of elements; ``wanted`` ascending and not empty."""

    def __init__(self, tree: PageTree, judge: Judge, wanted: list[int]) -> None:
        self.tree = tree
        self.judge = judge
        self.wanted = wanted
        self._want = frozenset(wanted)
        step = max(1, len(wanted) // SAMPLE)
        self._sample = wanted[::step]
        self._lists: dict[tuple[Key, ...], list[int]] = {}
        self._around: dict[tuple[Key, ...], Inside] = {}

    # ---- what the set has in common

    def _common(self, of: Callable[[int], Iterable[Key]]) -> list[Key]:
        common: dict[Key, None] | None = None
        for number in self._sample:
            keys = dict.fromkeys(of(number))
            common = keys if common is None else {key: None for key in common if key in keys}
        return list(common or ())

    def _compounds(self, keys: list[Key], around: bool) -> list[Compound]:
        """What a step may say, the cheapest first: a tag, an id, a class, an attribute, or two of them."""
        judge = self.judge.cost
        tag = next((key for key in keys if key[0] == "tag"), None)
        good = [Compound(judge(key), (key,)) for key in keys if key[0] != "tag" and judge(key) < words.NEVER]
        good.sort(key=lambda compound: compound.cost)
        found: list[Compound] = []
        if tag is not None and (not around or words.tag_names_place(tag[1])):
            found.append(Compound(judge(tag), (tag,)))
        for cost, (key,) in good:
            if key[0] != "attr" or tag is None or words.names_itself(key[1]):
                found.append(Compound(cost, (key,)))
            if tag is not None:
                found.append(Compound(cost + words.beside_tag(tag[1]), (tag, key)))
        for one, other in combinations(good[:5], 2):
            pair = (*one.keys, *other.keys)
            found.append(Compound(one.cost + other.cost, pair if pair[0][0] != "attr" or tag is None else (tag, *pair)))
        return sorted(found, key=lambda compound: compound.cost)

    @cached_property
    def _targets(self) -> list[Compound]:
        found = self._compounds(self._common(self.tree.keys), around=False)[:14]
        return found or [Compound(6.0, ())]

    @cached_property
    def _parents(self) -> list[Compound]:
        parents = self.tree.parents
        keys = self._common(lambda number: self.tree.keys(parents[number]) if parents[number] >= 0 else ())
        return self._compounds(keys, around=False)[:8]

    @cached_property
    def _places(self) -> list[Compound]:
        """What stands around all of the set, the nearest and the cheapest first."""
        near: dict[Key, int] = {}

        def above(number: int) -> Iterator[Key]:
            for distance, ancestor in enumerate(self.tree.ancestors(number)):
                for key in self.tree.keys(ancestor):
                    near.setdefault(key, distance)
                    yield key

        found: list[Compound] = []
        for key in self._common(above):
            cost = self.judge.cost(key)
            if cost >= words.NEVER or (key[0] == "tag" and not words.tag_names_place(key[1])):
                continue
            on_page = 1.5 if key in self._of_page else 0.0  # a class of <body> is often this page's alone
            cost += 0.03 * near[key] + on_page + words.WIDE * self._covered(key)
            found.append(Compound(cost, (key,)))
        return nsmallest(AROUND, found, key=lambda compound: compound.cost)

    def _covered(self, key: Key) -> float:
        """The part of the page that stands inside of what has a feature: being in most of it says little."""
        ends = self.tree.ends
        numbers = self.tree.postings[key]
        return min(1.0, sum(ends[number] - number for number in numbers[:SAMPLE]) / len(ends))

    @cached_property
    def _of_page(self) -> frozenset[Key]:
        top = [*self.tree.postings.get(("tag", "html"), ())[:1], *self.tree.postings.get(("tag", "body"), ())[:1]]
        return frozenset(key for number in top for key in self.tree.keys(number))

    # ---- the sets

    def _list(self, keys: tuple[Key, ...]) -> list[int]:
        """The elements that have all of ``keys``, ascending."""
        known = self._lists.get(keys)
        if known is None:
            if not keys:
                known = [*range(len(self.tree.elements))]
            else:
                by_size = sorted(keys, key=lambda key: len(self.tree.postings.get(key, ())))
                known = self.tree.postings.get(by_size[0], [])
                for key in by_size[1:]:
                    having = self.tree.having(key)
                    known = [number for number in known if number in having]
            self._lists[keys] = known
        return known

    def _fits(self, steps: Steps, at: int, number: int) -> bool:
        """Whether the selector up to step ``at`` finds an element."""
        step, tree = steps[at], self.tree
        for key in step.keys:
            if number not in tree.having(key):
                return False
        if step.nth is not None and not (tree.is_last(number) if step.nth == -1 else tree.nth(number) == step.nth):
            return False
        if step.contains is not None and step.contains not in tree.text(number):
            return False
        if at == 0:
            return True
        if step.relation == " ":
            return any(self._fits(steps, at - 1, ancestor) for ancestor in tree.ancestors(number))
        beside = tree.parents[number] if step.relation == ">" else tree.before(number)
        return beside >= 0 and self._fits(steps, at - 1, beside)

    def _positions(self, number: int) -> tuple[int, ...]:
        """n-th of its tag among its siblings, and -1 when it is the last of several."""
        nth = self.tree.nth(number)
        return (nth, -1) if nth > 1 and self.tree.is_last(number) else (nth,)

    def exact(self, steps: Steps) -> bool:
        """Whether a selector finds the set and nothing else. Most are dropped at the first element too many."""
        candidates, at = self._list(steps[-1].keys), len(steps) - 1
        if len(candidates) < len(self.wanted) or not all(self._fits(steps, at, number) for number in self._sample):
            return False
        plain = all(step.nth is None and step.contains is None for step in steps)
        if plain and len(steps) == 1:
            return candidates == self.wanted
        if plain and len(steps) == 2 and steps[1].relation == " ":
            return self._exact_inside(steps[0].keys, steps[1].keys)
        if any(number not in self._want and self._fits(steps, at, number) for number in candidates):
            return False
        return len(self._sample) == len(self.wanted) or all(self._fits(steps, at, number) for number in self.wanted)

    def _exact_inside(self, place: tuple[Key, ...], target: tuple[Key, ...]) -> bool:
        around = self._around.get(place)
        if around is None:
            around = self._around[place] = self.tree.inside(self._list(place))
        found = 0
        for number in self._list(target):
            if number in around:
                if number not in self._want:
                    return False
                found += 1
        return found == len(self.wanted)

    # ---- the candidates

    def candidates(self) -> Iterator[Found]:
        """What may find the set, in no order."""
        targets, places = self._targets, self._places
        for target in targets:
            alone = _is_common(target)
            yield Found(target.cost + (words.ACCIDENT if alone else 0.0), (Step(target.keys),))
            ways: tuple[tuple[Relation, list[Compound]], ...] = ((" ", places), (">", self._parents))
            for relation, compounds in ways:
                for around in compounds:
                    joined = _joined(around, target, relation)
                    doubt = words.ACCIDENT / 2 if alone and _is_common(around) else 0.0
                    yield Found(joined.cost + doubt, joined.steps)
        for target in targets[:4]:
            for parent in self._parents[:4]:
                inner = _joined(parent, target, ">")
                for place in places[:8]:
                    yield Found(place.cost + inner.cost + words.DESCENDANT, (Step(place.keys), *inner.steps))
            for outer, inner_place in ((a, b) for a in places[:10] for b in places[:10] if a is not b):
                inner = _joined(inner_place, target)
                yield Found(outer.cost + inner.cost + words.DESCENDANT, (Step(outer.keys), *inner.steps))
                yield Found(
                    outer.cost + inner.cost + words.CHILD,
                    (Step(outer.keys), Step(inner_place.keys, ">"), *inner.steps[1:]),
                )
        yield from self._beside()
        yield from self._placed()

    def _beside(self) -> Iterator[Found]:
        """By what stands before: a label with its text, or a sibling."""
        before = [self.tree.before(number) for number in self._sample]
        if min(before) >= 0:
            keys = self._common(lambda number: self.tree.keys(self.tree.before(number)))
            for sibling in self._compounds(keys, around=False)[:5]:
                for target in self._targets[:3]:
                    last = Step(target.keys, "+")
                    cost = sibling.cost + target.cost + words.SIBLING
                    yield Found(cost, (Step(sibling.keys), last))
                    for place in self._places[:5]:
                        yield Found(
                            cost + place.cost + words.DESCENDANT,
                            (Step(place.keys), Step(sibling.keys), last),
                        )
            yield from self._labelled(before)
        yield from self._worded()

    def _labelled(self, before: list[int]) -> Iterator[Found]:
        label = self._label(before)
        if label is None or self.tree.tag(before[0]) not in LABELS:
            return
        tag: tuple[Key, ...] = (("tag", self.tree.tag(before[0])),)
        for target in self._targets[:3]:
            steps = (Step(tag, contains=label), Step(target.keys, "+"))
            yield Found(words.TEXT + target.cost + words.ACCIDENT, steps)
            for place in self._places[:4]:
                yield Found(words.TEXT + target.cost + place.cost, (Step(place.keys), *steps))

    def _worded(self) -> Iterator[Found]:
        """A link or a button by what it says."""
        label = self._label(self._sample)
        tag = self.tree.tag(self._sample[0])
        if label is None or tag not in ("a", "button") or any(letter.isdigit() for letter in label):
            return
        step = Step((("tag", tag),), contains=label)
        yield Found(words.TEXT + words.tag_cost(tag) + words.ACCIDENT, (step,))
        for place in self._places[:4]:
            yield Found(words.TEXT + words.tag_cost(tag) + place.cost, (Step(place.keys), step))

    def _label(self, numbers: list[int]) -> str | None:
        """The label that all of ``numbers`` have."""
        label = self.tree.label(numbers[0])
        return label if all(self.tree.label(number) == label for number in numbers[1:]) else None

    def _placed(self) -> Iterator[Found]:
        """By position, the last resort."""
        common = set(self._positions(self._sample[0]))
        for number in self._sample[1:]:
            common &= set(self._positions(number))
        tags = {self.tree.tag(number) for number in self._sample}
        if not common or len(tags) != 1:
            return
        tag: Key = ("tag", tags.pop())
        others = [target.keys for target in self._targets if target.keys[:1] != (tag,) and target.keys][:2]
        for nth in common:
            price = words.FIRST_OR_LAST if nth in (1, -1) else words.POSITION + 0.1 * nth
            for keys in ((tag,), *((tag, *other) for other in others)):
                step = Step(keys, nth=nth)
                cost = price + words.tag_cost(tag[1]) + len(keys) - 1
                yield Found(cost, (step,))
                for place in self._places[:12]:
                    yield Found(cost + place.cost + words.DESCENDANT, (Step(place.keys), step))
                for parent in self._parents[:6]:
                    yield Found(cost + parent.cost + words.CHILD, (Step(parent.keys), step.after(">")))
                    for place in self._places[:6]:
                        steps = (Step(place.keys), Step(parent.keys), step.after(">"))
                        yield Found(cost + parent.cost + place.cost + words.CHILD + words.DESCENDANT, steps)

    # ---- the answer

    def best(self, enough: int = ENOUGH) -> list[Found]:
        """The cheapest selectors that are exact, cheapest first; for a single element there is always one."""
        found: list[Found] = []
        said: list[frozenset[object]] = []
        for candidate in nsmallest(TRIES, self.candidates(), key=_by_cost):
            if found and candidate.cost > found[0].cost + 9.0:
                break
            what = _what(candidate.steps)
            if not any(what >= other for other in said) and self.exact(candidate.steps):
                said.append(what)
                found.append(candidate)
                if len(found) >= enough:
                    break
        return found or self._by_path()

    def _by_path(self) -> list[Found]:
        """Step by step down from the nearest element that has a selector of its own."""
        if len(self.wanted) > 1:
            return self._by_common_path()
        chain: list[Step] = []
        number, cost = self.wanted[0], 0.0
        while number >= 0:
            positions = self._positions(number)
            only = (
                positions == (1,) and next(self.tree.elements[number].itersiblings(self.tree.tag(number)), None) is None
            )
            chain.insert(0, Step((("tag", self.tree.tag(number)),), ">", None if only else positions[0]))
            cost += 2.0 if only else words.POSITION
            number = self.tree.parents[number]
            top = self._anchor(number) if number >= 0 else None
            if top is not None:
                return [Found(top.cost + cost, (*top.steps, *chain))]
        return [Found(cost, tuple(chain))]

    def _anchor(self, number: int) -> Found | None:
        search = Search(self.tree, self.judge, [number])
        for target in search._targets:
            if search.exact((Step(target.keys),)):
                return Found(target.cost, (Step(target.keys),))
        return None

    def _by_common_path(self) -> list[Found]:
        """Down from what is around all of them by the tags they share, with the positions they share."""
        top = self.tree.common_ancestor(self.wanted[:2] + self.wanted[-1:])
        chains = [_chain(self.tree, number, top) for number in self._sample]
        if len({tuple(self.tree.tag(each) for each in chain) for chain in chains}) != 1:
            return []
        steps: list[Step] = []
        for level in zip(*chains, strict=True):
            shared = set(self._positions(level[0])).intersection(*(self._positions(each) for each in level[1:]))
            steps.append(Step((("tag", self.tree.tag(level[0])),), ">", min(shared, key=abs) if shared else None))
        above = Search(self.tree, self.judge, [top]).best(1)[0]
        for start in range(len(steps)):  # the fewest steps that will do
            tail = tuple(steps[len(steps) - 1 - start :])
            for chosen in (_loose(tail), tail):
                whole = (*above.steps, chosen[0].after(" " if start < len(steps) - 1 else ">"), *chosen[1:])
                if self.exact(whole):
                    return [Found(above.cost + words.POSITION + 2.0 * len(tail), whole)]
        return []


def _is_common(compound: Compound) -> bool:
    """Whether it is a tag that stands for many things, and no more than that."""
    return len(compound.keys) == 1 and compound.keys[0][0] == "tag" and words.is_common(compound.keys[0][1])


def _by_cost(found: Found) -> float:
    return found.cost


def _what(steps: Steps) -> frozenset[object]:
    """What a selector leans on. One that leans on all that another does, and on more, is no alternative to it."""
    leans: set[object] = set()
    for step in steps:
        more = [key for key in step.keys if key[0] != "tag"]
        leans.update(more or step.keys)
        leans.update(each for each in (step.contains, step.nth) if each is not None)
    return frozenset(leans)


def _loose(steps: Steps) -> Steps:
    """Without the positions."""
    return tuple(Step(step.keys, step.relation) for step in steps)


def _chain(tree: PageTree, number: int, top: int) -> list[int]:
    """From below ``top`` down to ``number``."""
    chain = [number]
    while (number := tree.parents[number]) > top:
        chain.append(number)
    return chain[::-1]


def _joined(place: Compound, target: Compound, relation: Relation = " ") -> Found:
    price = words.DESCENDANT if relation == " " else words.CHILD
    return Found(place.cost + target.cost + price, (Step(place.keys), Step(target.keys, relation)))
