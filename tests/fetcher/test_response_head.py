"""The head of an answer, read from bytes: status, reason, headers, whatever stands there."""

from __future__ import annotations

from itertools import takewhile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawlkit.fetcher.response_head import parse_head
from crawlkit.libs.errors import FetchError


@pytest.mark.parametrize(
    ("lines", "status", "reason", "headers"),
    [
        ([b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"\r\n"], 200, "OK", [("A", "b")]),
        ([b"HTTP/2 404 \r\n", b"a:b:c\r\n", b"\r\n"], 404, "", [("a", "b:c")]),
        (
            [b"HTTP/1.1 100 Continue\r\n", b"\r\n", b"HTTP/1.1 201 Made it so\r\n", b"X:\r\n", b"\r\n", b"T: t\r\n"],
            201,
            "Made it so",
            [("X", "")],
        ),
    ],
)
def test_parse_head(lines: list[bytes], status: int, reason: str, headers: list[tuple[str, str]]) -> None:
    assert parse_head(b"".join(lines)) == (status, reason, headers)


PIECES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 103 Hint", b"HTTP/2 404", b"A: b", b"a:", b":", b" b: c ", b"x", b"", b"\r",
     b"\xa0", b"\x85: \xa0", b"\n", b"Long: " + b"x" * 200, b"Set-Cookie: a=b; Path=/"]
)  # fmt: skip


@example([b"HTTP/1.1 200 OK\nHTTP/1.1 200 OK", b""], False, True)
@given(st.lists(st.lists(PIECES, max_size=3).map(b"".join), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_parse_head_reads_lines_as_if_they_stood_in_one_text(texts: list[bytes], carriage: bool, cut: bool) -> None:
    """Twice: a line that is remembered says what it said at first. Without its empty line a head is cut."""
    lines = [text + (b"\r\n" if carriage else b"\n") for text in texts]
    if cut:
        lines[-1] = texts[-1]
    whole = b"".join(lines).decode("latin-1").split("\n")[:-1]
    start = max((n for n, text in enumerate(whole) if text.startswith("HTTP/")), default=0)
    words = whole[start].split(None, 2) if whole else []
    for _ in range(2):
        if len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
            with pytest.raises(FetchError):
                parse_head(b"".join(lines))
            continue
        fields = list(takewhile(lambda text: ":" in text or text.strip(), whole[start + 1 :]))
        if len(fields) == len(whole[start + 1 :]):
            with pytest.raises(FetchError, match="within the headers"):
                parse_head(b"".join(lines))
            continue
        expected = [tuple(map(str.strip, text.split(":", 1))) for text in fields if ":" in text]
        assert parse_head(b"".join(lines)) == (int(words[1]), words[2].strip() if len(words) > 2 else "", expected)


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK", b"HTTP/1.1\r\n", b"HTTP/1.1 OK\r\n", b"HTTP/1.1 20 OK\r\n"])
def test_parse_head_refuses(text: bytes) -> None:
    with pytest.raises(FetchError) as caught:
        parse_head(text)
    assert caught.value.kind == "protocol"
