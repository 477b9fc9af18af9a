"""What an answer means for a file, by tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher.download_rules import (
    Action,
    Have,
    Start,
    content_range,
    disposition_name,
    is_packed,
    is_strong,
    length_of,
    name_of,
    request_headers,
    start_of,
    url_name,
)
from crawlkit.libs.errors import FetchError

E1, E2, WEAK = '"1"', '"2"', 'W/"1"'
OLD = "Sat, 21 Nov 2020 00:00:00 GMT"
NEW = "Sun, 22 Nov 2020 00:00:00 GMT"
IDENTITY = ("Accept-Encoding", "identity")

REQUESTS: list[tuple[Have, Have | None, list[tuple[str, str]]]] = [
    (Have(), None, []),
    (Have(5, 9, E1, OLD), None, [("Range", "bytes=5-"), ("If-Range", E1)]),
    (Have(5, 9, WEAK, OLD), None, [("Range", "bytes=5-"), ("If-Range", OLD)]),
    (Have(5, 9, None, OLD), None, [("Range", "bytes=5-"), ("If-Range", OLD)]),
    (Have(5, 9, WEAK), None, []),
    (Have(5, 9), None, []),
    (Have(5, 9, trusted=True), None, [("Range", "bytes=5-")]),
    (Have(5, 9, WEAK, trusted=True), None, [("Range", "bytes=5-")]),
    (Have(5, 9, E1, ranges=False), None, []),
    (Have(), Have(9, etag=E1, last_modified=OLD), [("If-None-Match", E1), ("If-Modified-Since", OLD)]),
    (Have(), Have(9, etag=WEAK), [("If-None-Match", WEAK)]),
    (Have(), Have(9), []),
    (Have(5, 9, E1), Have(9, etag=E2), [("Range", "bytes=5-"), ("If-Range", E1)]),  # an update that was cut
]


@pytest.mark.parametrize(("have", "known", "headers"), REQUESTS)
def test_what_is_asked(have: Have, known: Have | None, headers: list[tuple[str, str]]) -> None:
    assert request_headers(have, known) == [IDENTITY, *headers]


HAVE = Have(5, 9, E1, OLD)
KNOWN = Have(9, etag=E1, last_modified=OLD)
ANSWERS: list[tuple[int, dict[str, str], int, Have, Have | None, Start | str]] = [
    # from the first byte
    (200, {"Content-Length": "9"}, 0, Have(), None, Start(Action.WRITE, 0, 9, 9)),
    (200, {}, 0, Have(), None, Start(Action.WRITE)),
    (200, {"Content-Length": "9", "Transfer-Encoding": "chunked"}, 0, Have(), None, Start(Action.WRITE)),
    (203, {"Content-Length": "0"}, 0, Have(), None, Start(Action.WRITE, 0, 0, 0)),
    (206, {"Content-Range": "bytes 0-8/9"}, 0, Have(), None, "no range was asked for"),
    (304, {}, 0, Have(), None, Start(Action.PAGE)),
    (416, {}, 0, Have(), None, Start(Action.PAGE)),
    # the rest
    (206, {"Content-Range": "bytes 5-8/9"}, 5, HAVE, None, Start(Action.WRITE, 5, 9, 9)),
    (206, {"Content-Range": "bytes 5-6/9", "ETag": E1}, 5, HAVE, None, Start(Action.WRITE, 5, 9, 7)),
    (206, {"Content-Range": "bytes 5-8/*"}, 5, HAVE, None, Start(Action.WRITE, 5, 9, 9)),
    (206, {"Content-Range": "bytes 5-8/9"}, 5, Have(5, None, E1), None, Start(Action.WRITE, 5, 9, 9)),
    (206, {"Content-Range": "bytes 5-8/9", "ETag": E2}, 5, HAVE, None, Start(Action.AGAIN)),
    (206, {"Content-Range": "bytes 5-9/10", "ETag": E1}, 5, HAVE, None, Start(Action.AGAIN)),
    (206, {"Content-Range": "bytes 4-8/9"}, 5, HAVE, None, "asked for byte 5 on, got those from 4"),
    (206, {"Content-Range": "bytes 0-8/9"}, 5, HAVE, None, "got those from 0"),
    (206, {"Content-Range": "bytes 5-9/9"}, 5, HAVE, None, "Content-Range"),
    (206, {"Content-Range": "items 5-8/9"}, 5, HAVE, None, "Content-Range"),
    (206, {"Content-Type": "multipart/byteranges; boundary=x"}, 5, HAVE, None, "Content-Range None"),
    (200, {"Content-Length": "9"}, 5, HAVE, None, Start(Action.WRITE, 0, 9, 9)),
    (416, {"Content-Range": "bytes */9"}, 5, HAVE, None, Start(Action.AGAIN)),
    # a finished file looked at anew
    (304, {}, 0, Have(), KNOWN, Start(Action.KEEP)),
    (200, {"ETag": E1, "Content-Length": "9"}, 0, Have(), KNOWN, Start(Action.KEEP)),
    (200, {"ETag": E2, "Content-Length": "9"}, 0, Have(), KNOWN, Start(Action.WRITE, 0, 9, 9)),
    (200, {"ETag": WEAK}, 0, Have(), Have(9, etag=WEAK), Start(Action.WRITE)),
    (200, {"Last-Modified": OLD, "Content-Length": "9"}, 0, Have(), Have(9, last_modified=OLD), Start(Action.KEEP)),
    (200, {"Last-Modified": OLD, "Content-Length": "8"}, 0, Have(), Have(9, last_modified=OLD),
     Start(Action.WRITE, 0, 8, 8)),
    (200, {"Last-Modified": NEW, "Content-Length": "9"}, 0, Have(), Have(9, last_modified=OLD),
     Start(Action.WRITE, 0, 9, 9)),
    (200, {"Last-Modified": OLD, "Content-Length": "9"}, 0, Have(), KNOWN, Start(Action.WRITE, 0, 9, 9)),
    # no file at all
    *((status, {}, 0, Have(), None, Start(Action.PAGE)) for status in (301, 400, 403, 404, 429, 500, 503)),
    *((status, {}, 5, HAVE, None, Start(Action.PAGE)) for status in (404, 412, 503)),
    *((status, {}, 0, Have(), None, "brings no file") for status in (201, 202, 204, 205, 226)),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "asked", "have", "known", "expected"), ANSWERS)
def test_what_an_answer_means(
    status: int, headers: dict[str, str], asked: int, have: Have, known: Have | None, expected: Start | str
) -> None:
    pairs = list(headers.items())
    if isinstance(expected, Start):
        assert start_of(status, pairs, asked, have, known) == expected
        return
    with pytest.raises(FetchError, match=expected) as raised:
        start_of(status, pairs, asked, have, known)
    assert raised.value.kind == "protocol"


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(1, 20))
def test_a_range_is_only_written_where_it_belongs(first: int, last: int, total: int, asked: int) -> None:
    headers = [("Content-Range", f"bytes {first}-{last}/{total}")]
    try:
        start = start_of(206, headers, asked, Have(asked, None, E1))
    except FetchError:
        assert first != asked or first > last or last >= total
    else:
        assert (start.at, start.until, start.total) == (first, last + 1, total)


RANGES = [
    ("bytes 0-0/1", (0, 0, 1)), ("Bytes 5-8/*", (5, 8, None)), (" bytes 5-8/9 ", (5, 8, 9)), ("bytes 5-4/9", None),
    ("bytes 5-9/9", None), ("bytes */9", None), ("bytes=5-8/9", None), ("", None), ("bytes -1-8/9", None),
    ("bytes 5-8", None), ("bytes 5-8/9, bytes 1-2/9", None), ("bytes " + "9" * 40 + "-8/9", None),
    ("bytes ٥-8/9", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), RANGES)
def test_content_range(value: str, expected: tuple[int, int, int | None] | None) -> None:
    assert content_range(value) == expected


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], None), ([("content-length", " 7 ")], 7), ([("Content-Length", "-7")], None),
        ([("Content-Length", "٧")], None),
        ([("Content-Length", "9" * 30)], None), ([("Content-Length", "7"), ("Transfer-Encoding", "chunked")], None),
    ],
)  # fmt: skip
def test_length(headers: list[tuple[str, str]], length: int | None) -> None:
    assert length_of(headers) == length


@pytest.mark.parametrize(("etag", "strong"), [(E1, True), (WEAK, False), ('w/"1"', False), ("", False), (None, False)])
def test_strong(etag: str | None, strong: bool) -> None:
    assert is_strong(etag) is strong


NAMES = [
    ("attachment; filename=report.pdf", "report.pdf"),
    ('attachment; filename="a b.pdf"', "a b.pdf"),
    ('attachment; filename="a \\"b\\".pdf"', 'a "b".pdf'),
    ('ATTACHMENT; FILENAME="x.pdf"; size=3', "x.pdf"),
    ("attachment; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
    ("attachment; filename*=utf-8'en'x%20y.txt; filename=other", "x y.txt"),
    ("attachment; filename=\"plain.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
    ("attachment; filename*=ISO-8859-1''%A3.txt", "£.txt"),
    ("attachment; filename*=nonsense''x.txt; filename=y.txt", "y.txt"),
    ("attachment; filename*=UTF-8''%ff%fe; filename=y.txt", "y.txt"),
    ('attachment; filename="../../etc/passwd"', "passwd"),
    ('attachment; filename="C:\\\\x\\\\y.doc"', "y.doc"),
    ("attachment; filename*=UTF-8''..%2F..%2Fx", "x"),
    ('attachment; filename="' + "naïve €.txt".encode().decode("latin-1") + '"', "naïve €.txt"),
    ('attachment; filename="\xe4.txt"', "ä.txt"),
    ('attachment; filename="a;b=c.txt"', "a;b=c.txt"),
    ("attachment", ""),
    ("attachment; filename=", ""),
    ('attachment; filename=""', ""),
    ("", ""),
]


@pytest.mark.parametrize(("value", "name"), NAMES)
def test_the_name_in_a_header(value: str, name: str) -> None:
    assert disposition_name(value) == name


@given(st.text(max_size=60))
def test_no_header_breaks_it(value: str) -> None:
    assert "/" not in disposition_name(value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a/b/c.pdf?x=/y#z", "c.pdf"), ("http://a/b/", "b"), ("http://a", ""), ("http://a/", ""),
        ("http://a/%E2%82%AC.txt", "€.txt"), ("http://a/%ff", "\ufffd"), ("http://a/x%2Fy", "x/y"), ("http://[a", ""),
    ],
)  # fmt: skip
def test_the_name_in_a_url(url: str, name: str) -> None:
    assert url_name(url) == name


def test_the_servers_name_comes_first() -> None:
    assert name_of([("Content-Disposition", "attachment; filename=s.txt")], "http://a/u.txt") == "s.txt"
    assert name_of([("Content-Disposition", "inline")], "http://a/u.txt") == "u.txt"


@pytest.mark.parametrize(
    ("kind", "name", "packed"),
    [
        ("text/csv", "x.csv", False), ("text/csv", "x.csv.gz", True), ("application/x-tar", "x.TGZ", True),
        ("application/gzip; v=1", "x", True), ("", "x.br", True), ("text/html", "", False),
    ],
)  # fmt: skip
def test_packed(kind: str, name: str, packed: bool) -> None:
    assert is_packed([("Content-Type", kind)], name) is packed
