"""Which files of a folder count as whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlkit.files.adopt import NOT_LISTED, UNFINISHED, Listed, files_below, refusal

WHOLE = [
    ("a.mp4", 5, NOT_LISTED),
    ("a/b c/ü.mp4", 5, Listed("u", 5)),
    ("partial.mp4", 5, NOT_LISTED),
    ("a.part.mp4", 5, NOT_LISTED),
    ("empty", 0, Listed(size=0)),
]
NOT_WHOLE = [
    *((f"a.mp4{ending}", 5, NOT_LISTED) for ending in UNFINISHED),
    ("A.MP4.CRDOWNLOAD", 5, NOT_LISTED),
    ("a.mp4.broken", 5, NOT_LISTED),
    ("beside.iso", 5, NOT_LISTED),
    ("empty", 0, NOT_LISTED),
    ("a.mp4", 4, Listed(size=5)),
    ("a.mp4", 6, Listed(size=5)),
    ("a.mp4", 6, Listed(size=0)),
    ("../a.mp4", 5, NOT_LISTED),
    ("con.mp4", 5, NOT_LISTED),
    ("{name}", 5, NOT_LISTED),
    ("x" * 250, 5, NOT_LISTED),
]
BESIDE = {"beside.iso", "beside.iso.part"}


@pytest.mark.parametrize(("path", "size", "listed"), WHOLE)
def test_whole(path: str, size: int, listed: Listed) -> None:
    assert refusal(path, size, BESIDE, listed) is None


@pytest.mark.parametrize(("path", "size", "listed"), NOT_WHOLE)
def test_not_whole(path: str, size: int, listed: Listed) -> None:
    assert refusal(path, size, BESIDE, listed)


def test_files_below(tmp_path: Path) -> None:
    for path in ("b/z", "b/a", "a", ".hidden", ".git/x", "b/.crawlkit-files/files.db", "c/.x/y"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    assert list(files_below(tmp_path)) == [
        ("a", frozenset({"a", ".hidden"})),
        ("b/a", frozenset({"a", "z"})),
        ("b/z", frozenset({"a", "z"})),
    ]
