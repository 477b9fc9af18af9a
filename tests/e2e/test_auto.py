"""``fetch_type="auto"`` end to end: a whole `crawlkit one` in real Chromium on a site of which 70 % needs none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import Crawl, environment
from tests.e2e.mixed_site import SCRIPT, MixedSite, is_static, item
from tests.needs import binary


def crawl(folder: Path, pages: int, seconds: float) -> dict[str, int]:
    """Crawls the site, checks every field of every page, and returns how many pages were fetched by what."""
    binary("chromium")
    site = MixedSite(pages)
    (folder / "shop.py").write_text(SCRIPT.format(site=site.url))
    try:
        with Crawl(["one", "shop.py", "--data-path", "d", "-o", "out.jsonl"], folder, environment("")) as running:
            assert running.wait(seconds) == 0, running.said[-2000:]
        lines = [json.loads(line)["result"] for line in (folder / "out.jsonl").read_text().splitlines()]
        got = {line["number"]: line | {"rating": line["rating"] or None} for line in lines}
        assert len(lines) == len(got) == pages
        assert [got[str(number)] for number in range(pages)] == [item(number) for number in range(pages)]
        with Crawl(["project", "show", "shop", "--data-path", "d"], folder, environment("")) as show:
            show.wait(30)
            said = next(line for line in show.said.splitlines() if line.startswith("browser "))
        words = said.replace(",", "").split()
        needed, check = int(words[words.index("needed") - 1]), int(words[words.index("were") - 1])
        assert int(words[3]) == pages, said
        return {"browser": needed, "check": check, "plain": pages - needed - check}
    finally:
        site.close()


@pytest.mark.timeout(150)
def test_a_small_mixed_site_is_right_and_the_browser_sees_what_needs_it(tmp_path: Path) -> None:
    """On few pages learning is most of it; that each field is right holds from the first page on."""
    by = crawl(tmp_path, 40, 120)
    assert by["browser"] == sum(not is_static(number) for number in range(40))
    assert by["plain"] >= 8


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_thousand_pages_of_which_70_percent_are_static(tmp_path: Path) -> None:
    """At least 65 % without the browser, all fields right."""
    by = crawl(tmp_path, 1000, 1400)
    assert by["plain"] >= 650
