"""What --sink says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.result.sink_url import Limits, parse_all, parse_sink


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("jsonl:///data/out", "jsonl", "/data/out"),
        ("JSONL:///data/out/", "jsonl", "/data/out"),
        ("csv+file:///data/my%20files", "csv", "/data/my files"),
        ("parquet+s3://bucket/a/b/", "parquet", "s3://bucket/a/b"),
        ("csv+sftp://me:pw@host/a", "csv", "sftp://me:pw@host/a"),
        ("webhook+https://host:8000/a?token=x", "webhook", "https://host:8000/a"),
        ("queue://host/name", "queue", "host/name"),
    ],
)
def test_kind_and_place(text: str, kind: str, place: str) -> None:
    url = parse_sink(text)
    assert (url.format, url.place) == (kind, place)


def test_a_relative_path_is_one_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_sink("csv://out").place == str(tmp_path / "out")
    assert parse_sink("csv://out").id == parse_sink(f"csv://{tmp_path}/out/?age=9").id


def test_limits_with_units() -> None:
    url = parse_sink("csv:///x?rows=50k&bytes=1.5M&age=10m&meta=no")
    assert url.limits_over(Limits()) == Limits(50_000, 3 * 2**19, 600.0)
    assert url.options == {"meta": "no"}
    assert parse_sink("csv:///x?age=1h").limits_over(Limits(rows=7)) == Limits(7, Limits().size, 3600.0)


def test_a_password_is_never_shown_and_is_no_other_sink() -> None:
    one, other = parse_sink("csv+sftp://me:secret@host/a"), parse_sink("csv+sftp://me:other@host/a?rows=5")
    assert one.shown == "csv+sftp://me:***@host/a"
    assert one.id == other.id
    assert one.id != parse_sink("jsonl+sftp://me:secret@host/a").id
    with pytest.raises(UsageError, match="named twice") as caught:
        parse_all(["csv+sftp://me:secret@host/a", "csv+sftp://me:other@host/a"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "known_by"),
    [
        ("csv+sftp://me:secret@host/a", "csv+sftp://me:***@host/a"),
        ("csv+sftp://me:secret@host:22/a@b", "csv+sftp://me:***@host:22/a@b"),
        ("csv+ftp://host:21/x/a@b", "csv+ftp://host:21/x/a@b"),
        ("csv+ftp://me@host:21/x/a@b", "csv+ftp://me@host:21/x/a@b"),
        ("csv+ftp://[::1]:21/x/a@b", "csv+ftp://[::1]:21/x/a@b"),
        ("jsonl:///data/a:b@c", "jsonl:///data/a:b@c"),
        ("parquet+s3://bucket/a", "parquet+s3://bucket/a"),
        ("csv+sftp://me@corp:secret@host/a", "csv+sftp://me@corp:***@host/a"),
        ("csv+sftp://me:sec/ret@host/a", "csv+sftp://me:***@host/a"),
    ],
)
def test_what_a_sink_is_known_by_never_changes(text: str, known_by: str) -> None:
    """Else a sink would begin anew, and every result would be there twice."""
    assert parse_sink(text).id == hashlib.sha256(known_by.encode()).hexdigest()
    assert "sec" not in parse_sink(text).shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("out.csv", "write it like parquet:///data/out"),
        ("", "write it like"),
        ("csv:///a b", "a blank as %20"),
        ("csv://", "names no place"),
        ("csv+s3://", "names no place"),
        ("csv:///x?rows=0", "rows=0: use a number with or without unit, like 50k"),
        ("csv:///x?rows=many", "rows=many"),
        ("csv:///x?bytes=-1", "like 64M"),
        ("csv:///x?age=5y", "like 10m"),
        ("csv:///x?age=nan", "like 10m"),
        ("csv:///x?age=1&age=2", "age is said twice"),
        ("csv:///x?bytes=1&bytes=2", "bytes is said twice"),
    ],
)
def test_what_cannot_be_is_said_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")) as caught:
        parse_sink(text)
    assert "\n" not in str(caught.value)
