"""The selector helper on real documentation: what it proposes on one page finds what is meant on another like it."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from crawlkit.webui.page_tree import PageTree
from crawlkit.webui.selector_values import evaluate
from crawlkit.webui.selectors import propose
from tests.webui.selector_sites import SITES, Site, Want, pages_of

SEED = 20261121
PICKS = 200
PAGES_A_SITE = 8
MIN_SITES = 6
MIN_PAGES = 60
SHARE = 0.9


@cache
def _tree(page: Path) -> PageTree:
    return PageTree(page.read_bytes(), "text/html", page.as_uri())


@cache
def _wanted(page: Path, want: Want) -> list[int]:
    tree = _tree(page)
    return sorted(tree.numbers[element] for element in tree.root.xpath(want.xpath))


def _suits(want: Want, a: list[int], b: list[int]) -> bool:
    """Whether two pages have what is wanted: a title only where each has one, a list where there are two to pick."""
    return len(a) == len(b) == 1 if want.one else len(a) >= 2 and len(b) >= 1


def _draws(rng: random.Random) -> list[tuple[Site, Want, Path, Path]]:
    """The site, what is wanted, the page it is picked on, and the one the selector is tried on."""
    chosen = {site: rng.sample(pages := pages_of(site), min(PAGES_A_SITE, len(pages))) for site in SITES}
    possible = {
        (site, want): pairs
        for site in SITES
        for want in site.wants
        if (
            pairs := [
                (a, b)
                for a in chosen[site]
                for b in chosen[site]
                if a != b and _suits(want, _wanted(a, want), _wanted(b, want))
            ]
        )
    }
    wants = list(possible)
    draws = []
    while len(draws) < PICKS:
        site, want = rng.choice(wants)
        draws.append((site, want, *rng.choice(possible[site, want])))
    return draws


@pytest.mark.slow
def test_shown_8_what_is_proposed_on_one_page_fits_another(capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(SEED)
    draws = _draws(rng)
    right: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    wrong = []
    for site, want, a, b in draws:
        here, there = _wanted(a, want), _wanted(b, want)
        picked = here if want.one else rng.sample(here, 2)
        proposal = propose(_tree(a), picked)
        assert proposal.css is not None
        found = evaluate(_tree(b), proposal.css, None)
        fits = found.numbers == there
        tried[site.name] += 1
        right[site.name] += fits
        if not fits:
            wrong.append(
                f"{site.name}: {want.name}: {a.name} -> {b.name}: {proposal.css} "
                f"({proposal.count} there of {len(here)}; {found.count} here of {len(there)}) "
                f"others {[each.css for each in proposal.alternatives]}"
            )
    pages = {page for _, _, a, b in draws for page in (a, b)}
    share = sum(right.values()) / len(draws)
    with capsys.disabled():
        print(f"\n{len(draws)} picks on {len(pages)} pages of {len(tried)} kinds: {share:.1%} fit the other page")
        for name in sorted(tried):
            print(f"  {right[name]:3} of {tried[name]:3}  {name}")
        print("\n".join(f"  - {line}" for line in wrong))
    assert len({site.package for site, *_ in draws}) >= MIN_SITES
    assert len(pages) >= MIN_PAGES
    assert share >= SHARE
