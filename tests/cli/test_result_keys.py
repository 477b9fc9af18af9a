"""Whole crawls with result keys: one result a key, follow-ups stopped at what is known, books that balance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.site import Site, crawlkit, lines

SHOP = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    result_key = ("sku",)
    result_key_policy = "{policy}"

    def on_start(self):
        self.crawl("{base}/list/1", callback=self.listed, force_update=True)

    def listed(self, response):
        page = int(response.url.rpartition("/")[2])
        for sku in range(page, page + 3):
            yield {{"sku": sku, "page": page, "edition": "{edition}"}}
        if page < 6:
            self.crawl("{base}/list/%d" % (page + 1), callback=self.listed, force_update=True)
"""


def crawl(folder: Path, site: Site, policy: str, edition: str) -> list[tuple[int, int, str]]:
    """The stored (sku, page, edition) after a crawl on the same data path."""
    (folder / "shop.py").write_text(SHOP.format(policy=policy, base=site.base, edition=edition))
    done = crawlkit("--data-path", "data", "one", "shop.py", "-o", "out.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    audit = crawlkit("--data-path", "data", "audit", "shop", cwd=folder)
    assert audit.returncode == 0, audit.stdout
    shown = crawlkit("--data-path", "data", "results", "shop", cwd=folder)
    found = [line["result"] for line in lines(shown.stdout)]
    return sorted((result["sku"], result["page"], result["edition"]) for result in found)


@pytest.mark.parametrize(
    ("policy", "pages"), [("replace", [1, 2, 3, 4, 5, 6, 6, 6]), ("keep_first", [1, 1, 1, 2, 3, 4, 5, 6])]
)
def test_one_result_a_key(policy: str, pages: list[int], site: Site, tmp_path: Path) -> None:
    found = crawl(tmp_path, site, policy, "first")
    assert [sku for sku, _, _ in found] == list(range(1, 9))
    assert [page for _, page, _ in found] == pages
    ledger = json.loads(crawlkit("--data-path", "data", "audit", "shop", "--json", cwd=tmp_path).stdout)
    ignored = [entry["count"] for entry in ledger["entries"] if entry["reason"] == "known_key"]
    assert ignored == ([10] if policy == "keep_first" else [])


def test_stop_goes_no_further_than_what_is_known(site: Site, tmp_path: Path) -> None:
    found = crawl(tmp_path, site, "stop", "first")
    assert [sku for sku, _, _ in found] == [1, 2, 3, 4]  # page 2 shows 2 and 3, which are known
    assert sorted(site.count()) == ["/list/1", "/list/2"]
    ledger = json.loads(crawlkit("--data-path", "data", "audit", "shop", "--json", cwd=tmp_path).stdout)
    assert [entry["count"] for entry in ledger["entries"] if entry["reason"] == "behind_known_key"] == [1]
