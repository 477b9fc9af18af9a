"""The book of finished files."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from crawlkit.files.book import Entry, FileBook
from crawlkit.libs.errors import StoreUnavailable


def entry(path: str, **more: object) -> Entry:
    return Entry(path=path, bytes=3, sha256="ab", **more)  # type: ignore[arg-type]


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    book = FileBook(tmp_path / "files.db")
    assert (book.find("u", "t"), book.at("x"), book.entries()) == (None, None, [])
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    book = FileBook(tmp_path / "files.db")
    whole = entry("a/ü.pdf", url="http://a/", target="a/{name}", etag='"1"', last_modified="x", final_url="http://b/",
                  content_type="text/plain", run=2, checked=1.5)  # fmt: skip
    book.put(whole, entry("b"))
    assert book.entries() == [whole, entry("b")]
    assert FileBook(tmp_path / "files.db").at("a/ü.pdf") == whole
    book.put(entry("b", run=7))
    assert book.at("b") == entry("b", run=7)
    book.remove("b")
    assert book.at("b") is None


def test_a_url_under_its_target_before_one_that_was_taken_over(tmp_path: Path) -> None:
    book = FileBook(tmp_path / "files.db")
    book.put(entry("a", url="u"), entry("b", url="u", target="t"), entry("c", url="u", target="other"))
    found = [book.find("u", target) for target in ("t", "other", "third")]
    assert [each and each.path for each in found] == ["b", "c", "a"]
    assert book.find("v", "t") is None


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "files.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreUnavailable, match=r"files\.db"):
        FileBook(tmp_path / "files.db").entries()


def write_many(file: Path, name: str) -> None:
    for number in range(20):
        FileBook(file).put(entry(f"{name}{number}"))


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path / "files.db", name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(FileBook(tmp_path / "files.db").entries()) == 40
