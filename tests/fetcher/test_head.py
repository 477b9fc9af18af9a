"""Heads of requests and answers, as bytes."""

from __future__ import annotations

import pytest

from crawlkit.fetcher import url as urls
from crawlkit.fetcher.head import header_lines, parse_head
from crawlkit.fetcher.request import Plan
from crawlkit.libs.errors import FetchError

HERE = urls.parse("http://a.example/")


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (Plan(HERE), ()),
        (Plan(HERE, headers=[("A", "b"), ("Empty", ""), ("B", "ü")]), (b"A: b", b"Empty;", "B: ü".encode())),
        (Plan(HERE, "POST", body=b"a=1"), (b"Expect:",)),
        (Plan(HERE, "POST", body=b""), (b"Expect:", b"Content-Type:")),
        (Plan(HERE, "PUT", body=b"x"), (b"Expect:", b"Content-Type:")),
        (Plan(HERE, "PUT", [("content-type", "x/y")], b"x"), (b"content-type: x/y", b"Expect:")),
    ],
)
def test_header_lines(plan: Plan, lines: tuple[bytes, ...]) -> None:
    assert header_lines(plan) == header_lines(plan) == lines


@pytest.mark.parametrize(
    ("lines", "status", "reason", "headers"),
    [
        ([b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"\r\n"], 200, "OK", [("A", "b")]),
        ([b"HTTP/2 404 \r\n", b"a:b:c\r\n"], 404, "", [("a", "b:c")]),
        (
            [b"HTTP/1.1 100 Continue\r\n", b"\r\n", b"HTTP/1.1 201 Made it so\r\n", b"X:\r\n", b"\r\n", b"T: t\r\n"],
            201,
            "Made it so",
            [("X", "")],
        ),
    ],
)
def test_parse_head(lines: list[bytes], status: int, reason: str, headers: list[tuple[str, str]]) -> None:
    assert parse_head(lines) == (status, reason, headers)


@pytest.mark.parametrize("lines", [[], [b"HTTP/1.1\r\n"], [b"HTTP/1.1 OK\r\n"], [b"HTTP/1.1 20 OK\r\n"]])
def test_parse_head_refuses(lines: list[bytes]) -> None:
    with pytest.raises(FetchError) as caught:
        parse_head(lines)
    assert caught.value.kind == "protocol"
