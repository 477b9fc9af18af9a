"""The generated site is what it says: everything reachable, its truth on its pages, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urljoin

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.__main__ import MORE
from crawlkit.proving.site import LINKS, Page, write_site

BASE = "http://127.0.0.1:8000"


def texts(folder: Path) -> dict[str, str]:
    return {f"{BASE}/p/{file.name}": file.read_text() for file in (folder / "p").iterdir()}


def links(url: str, html: str) -> list[str]:
    return [urljoin(url, a.get("href")) for a in lxml.html.fromstring(html).iter("a")]


@settings(max_examples=15, deadline=None)
@given(pages=st.integers(LINKS + 1, 120), seed=st.integers())
def test_every_page_is_reached_and_the_same_for_the_same_seed(pages: int, seed: int) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        truth = write_site(Path(one), pages, BASE, seed)
        assert truth == write_site(Path(two), pages, BASE, seed)
        found = texts(Path(one))
        assert found == texts(Path(two))
    assert found.keys() == truth.keys()
    seen, todo = set[str](), [f"{BASE}/p/0.html"]
    while todo:
        url = todo.pop()
        if url not in seen:
            seen.add(url)
            targets = links(url, found[url])
            assert len(targets) == len(set(targets)) == LINKS
            assert url not in targets
            todo += targets
    assert seen == set(truth)


def test_its_pages_say_what_the_truth_says(tmp_path: Path) -> None:
    truth = write_site(tmp_path, 60, BASE)
    for url, text in texts(tmp_path).items():
        tree = lxml.html.fromstring(text)
        price = tree.find_class("price")[0].text
        assert truth[url] == Page(tree.findtext(".//title"), tree.findtext(".//h1"), price)
        assert 8_000 < len(text) < 13_000
    assert truth != write_site(tmp_path / "another", 60, BASE, seed=2)


def test_larger_pages_say_the_same(tmp_path: Path) -> None:
    small = write_site(tmp_path / "small", 30, BASE)
    large = write_site(tmp_path / "large", 30, BASE, more=MORE)
    assert small == large
    assert 90_000 < len((tmp_path / "large/p/3.html").read_text()) < 115_000


def test_a_site_that_is_too_small_for_its_links_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"more than {LINKS} pages"):
        write_site(tmp_path, LINKS, BASE)
