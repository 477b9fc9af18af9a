"""What politeness counts by."""

from __future__ import annotations

import pytest

from crawlkit.libs.task import MAX_HOST, host_of


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.com/a", "example.com"),
        ("https://user:word@EXAMPLE.com:8080/a?b#c", "example.com:8080"),
        ("data:,on_start", ""),
        ("http://[::1]:80/", "[::1]:80"),
        ("http://[broken/", ""),
        (f"http://{'a' * 3_000}/", "a" * MAX_HOST),
        (f"http://{'Ü' * 3_000}/", "ü" * MAX_HOST),
    ],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host
