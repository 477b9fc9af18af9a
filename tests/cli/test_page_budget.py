"""A page budget over several fetchers: the site itself counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.site import Site, crawlkit, script, started, until
from tests.cli.test_all import count, everything


@pytest.mark.timeout(120)
def test_two_nodes_fetch_exactly_the_budget_and_raising_it_goes_on(site: Site, tmp_path: Path) -> None:
    script(
        tmp_path,
        f"for n in range(200): self.crawl('{site.base}/page/%d' % n, callback=self.page)",
        head="# max_pages: 40\n# rate: unlimited\n",
    )
    here = ("--data-path", "d")

    def project(*words: str) -> str:
        done = crawlkit("project", *words, *here, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return str(done.stdout + done.stderr)

    def pages() -> int:
        return sum(path.startswith("/page/") for _, path in site.requests)

    other = tmp_path / "other"
    other.mkdir()
    with everything(tmp_path, web=False), started("fetcher", "--data-path", "../d", cwd=other):
        until(lambda: (other / "said.txt").read_text().count("is ready"), "the second fetcher", 30)
        project("put", "job.py", "--status", "RUNNING")
        project("run", "job")
        until(lambda: count(tmp_path) == 40, "what the budget allows", 30)
        until(lambda: "page budget of 40 reached" in project("show", "job"), "its word for it")
        said = project("show", "job")
        assert "pages    40 at most (40 fetched)" in said
        assert "160 waiting" in said
        assert pages() == 40
        assert "page budget 65" in project("set", "job", "--max-pages", "65")
        until(lambda: count(tmp_path) == 65, "what the raised one allows", 30)
        assert pages() == 65
        project("set", "job", "--max-pages", "unlimited")
        until(lambda: count(tmp_path) == 200, "the rest", 30)
        assert pages() == 200
        assert crawlkit("audit", *here, cwd=tmp_path).returncode == 0
    wrong = crawlkit("project", "set", "job", "--max-pages", "many", *here, cwd=tmp_path)
    assert wrong.returncode == 2
    assert "use a number of pages, like 1000, or the word unlimited" in wrong.stderr
