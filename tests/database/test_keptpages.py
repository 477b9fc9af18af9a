"""The contract of the kept pages, over every backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.database.base import BlobStore, KeptPage
from crawlkit.database.registry import connect_blobdb

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    made = connect_blobdb(url_of(request.param, tmp_path))
    yield made
    made.close()


def page(n: int, callback: str = "detail", project: str = "p", size: int = 10) -> KeptPage:
    data = b"x" * size
    url = f"http://a/ü/{n}"
    return KeptPage(f"{project}-{callback}-{n}", project, callback, f"t{n}", url, 200, float(n), 99, len(data), data)


def ids(pages: list[KeptPage]) -> list[str]:
    return [one.page for one in pages]


def test_the_newest_of_each_callback_stay(store: BlobStore) -> None:
    store.keep_pages([page(n) for n in range(5)], 3, 10**9)
    store.keep_pages([page(n, "index") for n in range(2)], 3, 10**9)
    store.keep_pages([page(9)], 3, 10**9)
    assert ids(store.kept_pages("p", "detail")) == ["p-detail-9", "p-detail-4", "p-detail-3"]
    assert len(store.kept_pages("p")) == 5
    assert ids(store.kept_pages("p", limit=1)) == ["p-detail-9"]
    assert store.kept_pages("p", "none") == store.kept_pages("other") == []


def test_lists_have_no_data_and_a_page_has(store: BlobStore) -> None:
    store.keep_pages([page(1, size=100_000)], 3, 10**9)
    (listed,) = store.kept_pages("p")
    assert listed == KeptPage("p-detail-1", "p", "detail", "t1", "http://a/ü/1", 200, 1.0, 99, 100_000)
    assert store.kept_page("p-detail-1") == page(1, size=100_000)
    assert store.kept_page("unknown") is None


def test_all_together_are_bounded_and_the_oldest_go_first(store: BlobStore) -> None:
    for n in range(4):
        store.keep_pages([page(n, project=f"p{n}", size=1000)], 3, 2500)
    assert [len(store.kept_pages(f"p{n}")) for n in range(4)] == [0, 0, 1, 1]
    store.keep_pages([page(9, size=9000)], 3, 2500)
    assert store.kept_page("p-detail-9") is None


def test_what_does_not_fit_is_left_out(store: BlobStore) -> None:
    store.keep_pages([page(1, "x" * 65), page(2)], 3, 10**9)
    assert ids(store.kept_pages("p")) == ["p-detail-2"]
    store.keep_pages([], 3, 10**9)


def test_they_go_with_their_project_and_stay_when_bodies_are_swept(store: BlobStore) -> None:
    store.keep_pages([page(1), page(2), page(1, project="q")], 3, 10**9)
    assert store.sweep(10**12) == 0
    assert store.drop_kept("p") == 2
    assert (store.kept_pages("p"), len(store.kept_pages("q"))) == ([], 1)
