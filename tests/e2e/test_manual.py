"""One command crawls a real site: the PostgreSQL manual, all of it, each page once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import lxml.html

from tests import needs
from tests.e2e.commands import MANUAL, Crawl, environment, results, run
from tests.e2e.conftest import Whole
from tests.e2e.site import Site


def test_one_crawls_every_page_of_the_manual_once(whole: Whole, manual_paths: frozenset[str]) -> None:
    site = whole.site
    found = results(whole.folder / "out.jsonl")
    assert set(found) == {site.base + path for path in manual_paths}
    assert len(found) > 1_000
    assert Counter(whole.requests) == dict.fromkeys(found, 1)
    for path in ("index.html", "sql-select.html", "bookindex.html"):
        assert found[site.base + path] == expected(site, path)
    audit = run(["--data-path", "d", "audit"], whole.folder, environment(site.base))
    assert audit.returncode == 0, audit.stdout + audit.stderr


def expected(site: Site, path: str) -> dict[str, object]:
    """What the example's handler should say about a page, worked out without it."""
    page = lxml.html.fromstring((needs.postgres_manual() / path).read_bytes())
    page.make_links_absolute(site.base + path)
    heads = page.xpath('//div[@class="navheader"]//tr[last()]/th')
    return {
        "title": page.findtext(".//title").replace("\xa0", " ").strip(),
        "chapter": (heads[0].text_content().replace("\xa0", " ").strip() if heads else "") or None,
        "links": list(dict.fromkeys(a.get("href").split("#")[0] for a in page.iter("a") if a.get("href"))),
    }


def test_the_same_command_again_has_nothing_to_do(whole: Whole) -> None:
    site, before = whole.site, results(whole.folder / "out.jsonl")
    seen = site.count()
    with Crawl(whole.arguments, whole.folder, environment(site.base)) as crawl:
        assert crawl.wait(60) == 0, crawl.said
    assert results(whole.folder / "out.jsonl") == before
    assert site.count() <= seen + 1  # on_start may look at the first page again


def test_a_crawl_that_was_limited_goes_on_and_ends_exactly(site: Site, tmp_path: Path) -> None:
    arguments = ["one", str(MANUAL), "-o", "out.jsonl", "--data-path", "d", "--rate", "unlimited", "--limit"]
    for limit in (50, 150):
        with Crawl([*arguments, str(limit)], tmp_path, environment(site.base)) as crawl:
            assert crawl.wait(60) == 0, crawl.said
        found = results(tmp_path / "out.jsonl")
        if limit == 50:
            assert len(found) == 50
            first = found
    assert first.items() <= found.items()
    assert len(found) == site.count() == 200
