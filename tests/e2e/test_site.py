"""The web server of the end-to-end tests, and the walk over its links."""

from __future__ import annotations

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, walk


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text(
        '<a href="a.html#x">a</a><a href="/b.html">b</a><a href="http://other.test/">o</a>'
    )
    (folder / "a.html").write_text('<a href="index.html">up</a><a href="a.html">self</a>')
    (folder / "b.html").write_text("<p>end")
    served = Site(folder, tmp_path / "ledger.txt")
    yield served
    served.close()


def test_walk_finds_each_page_once(little: Site) -> None:
    assert walk(little.base + "index.html") == {little.base + name for name in ("index.html", "a.html", "b.html")}
    assert sorted(little.requests()) == [little.base + name for name in ("a.html", "b.html", "index.html")]


def test_missing_pages_are_404_and_in_the_ledger(little: Site) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(little.base + "nothing.html")
    assert little.count() == 1


def test_it_kills_at_the_request_it_was_told(little: Site) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as victim:
        little.kill_at(3, victim.pid)
        walk(little.base + "index.html")
        assert victim.wait(10) == -signal.SIGKILL
