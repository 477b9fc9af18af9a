"""Writes a shop of static pages: about 10 KB a page, 20 links each, every page reachable; the same for the same seed.

Links form a tree of four branches (so that everything can be reached) filled up with random ones, and come in three
spellings: relative, from the root, and absolute.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

LINKS = 20
BRANCHES = 4
WORDS = (  # noqa: SIM905 - a hundred quotation marks say nothing
    "amber basket cedar drum ember fabric glacier hazel indigo jacket kernel ladder marble needle opal pebble quilt "
    "raven spindle tundra umber violet walnut yarrow zephyr north south plain solid light heavy small large round with "
    "and for the a of under over between made from by hand packed sent within days returns accepted price quality"
).split()


class Page(NamedTuple):
    """What a crawler should find on a page."""

    title: str
    h1: str
    price: str


def write_site(folder: Path, pages: int, base: str, seed: int = 1, *, more: int = 0) -> dict[str, Page]:
    """Writes ``p/N.html`` for every N below ``pages``; returns url -> what is on it. ``base`` ends without a slash.

    ``more``: further paragraphs of about 1 KB on each page.
    """
    if pages <= LINKS:
        raise ValueError(f"a site needs more than {LINKS} pages")
    (folder / "p").mkdir(parents=True, exist_ok=True)
    truth = {}
    for number in range(pages):
        html, page = _page(number, pages, base, random.Random(f"{seed}/{number}"), more)
        (folder / "p" / f"{number}.html").write_text(html)
        truth[f"{base}/p/{number}.html"] = page
    return truth


def _targets(number: int, pages: int, chance: random.Random) -> list[int]:
    first = BRANCHES * number + 1
    found = dict.fromkeys(range(first, min(first + BRANCHES, pages)))
    while len(found) < LINKS:
        other = chance.randrange(pages)
        if other != number:
            found[other] = None
    targets = list(found)
    chance.shuffle(targets)
    return targets


def _spelled(target: int, base: str, chance: random.Random) -> str:
    return chance.choice((f"{target}.html", f"/p/{target}.html", f"{base}/p/{target}.html"))


def _prose(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words)).capitalize() + "."


def _page(number: int, pages: int, base: str, chance: random.Random, more: int) -> tuple[str, Page]:
    links = [(target, _spelled(target, base, chance)) for target in _targets(number, pages, chance)]
    name = " ".join(chance.choices(WORDS, k=3)).title()
    page = Page(
        f"{name} - item {number}", f"{name} {number}", f"{chance.randrange(1, 5000)}.{chance.randrange(100):02}"
    )
    menu = "\n".join(
        f'<li class="entry"><a href="{href}" class="menu-link">Department {to}</a></li>' for to, href in links[:6]
    )
    cards = "\n".join(
        f'<div class="card"><a href="{href}" title="Item {to}"><b>Item {to}</b></a><p>{_prose(chance, 8)}</p></div>'
        for to, href in links[6:16]
    )
    inline = [f' Goes well with <a href="{href}">item {to}</a>. ' for to, href in links[16:]] + ["", ""]
    prose = "\n".join(f"<p>{_prose(chance, 92)}{link}{_prose(chance, 74)}</p>" for link in inline)
    prose += "".join(f"\n<p>{_prose(chance, 166)}</p>" for _ in range(more))
    facts = "\n".join(
        f'<tr><th>{chance.choice(WORDS).title()}</th><td class="fact">{chance.randrange(900)} mm</td></tr>'
        for _ in range(12)
    )
    html = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{page.title}</title>
<meta name="description" content="{_prose(chance, 16)}">
<style>.entry {{ display: inline-block }} .card {{ border: 1px solid #ccc }} td, th {{ padding: 2px 6px }}</style>
</head>
<body>
<nav><ul class="menu">
{menu}
</ul></nav>
<main>
<h1 class="name">{page.h1}</h1>
<table class="facts">
<tr><th>Price</th><td class="price">{page.price}</td></tr>
<tr><th>Number</th><td class="number">N-{number:07}</td></tr>
{facts}
</table>
{prose}
<section class="more">
{cards}
</section>
</main>
<footer><p>{_prose(chance, 24)}</p></footer>
<script>window.item = {{"number": {number}, "price": "{page.price}"}};</script>
</body>
</html>
"""
    return html, page
