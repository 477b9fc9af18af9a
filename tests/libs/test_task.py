"""What politeness counts by."""

from __future__ import annotations

import pytest

from crawlkit.libs.task import MAX_HOST, home_of, host_of, partition_of


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.com/a", "example.com"),
        ("https://user:word@EXAMPLE.com:8080/a?b#c", "example.com:8080"),
        ("data:,on_start", ""),
        ("http://[::1]:80/", "[::1]"),
        ("http://[0:0:0:0:0:0:0:1]:8080/", "[::1]:8080"),
        ("http://example.com:80", "example.com"),
        ("https://example.com:443/a", "example.com"),
        ("http://example.com:080?a", "example.com"),
        ("http://example.com:08080/", "example.com:8080"),
        ("http://example.com:443/", "example.com:443"),
        ("https://example.com:80#a", "example.com:80"),
        ("http://example.com:8000/", "example.com:8000"),
        ("http://example.com:4430/", "example.com:4430"),
        ("http://%65xample.com/", "example.com"),
        ("http://example.com./", "example.com"),
        ("http://example.com.:81/", "example.com:81"),
        ("http://a_b.example.com/", "a_b.example.com"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://127.1/", "127.0.0.1"),
        ("http://0x7f000001:80/", "127.0.0.1"),
        ("http://127.0.0.1:5000/", "127.0.0.1:5000"),
        ("http:\\\\example.com\\a", "example.com"),
        ("http://./", "."),
        ("http://example.com:99999/", "example.com:99999"),
        ("http://no host/", "no host"),
        ("data:text/plain,http://example.com/", ""),
        ("http://[broken/", ""),
        (f"http://{'a' * 3_000}/", "a" * MAX_HOST),
        (f"http://{'Ü x' * 3_000}/", ("ü x" * 3_000)[:MAX_HOST]),
    ],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host


def test_a_partition_is_the_same_everywhere_and_there_is_one_unless_there_are_more() -> None:
    assert {partition_of(f"h{n}.com", 1) for n in range(50)} == {0} == {home_of(f"p{n}", 1) for n in range(50)}
    assert [partition_of(f"h{n}.com", 4) for n in range(8)] == [0, 0, 1, 2, 0, 1, 3, 1]  # rows are stored by it
    assert {home_of(f"p{n}", 4) for n in range(50)} == {0, 1, 2, 3}
    assert home_of("shop", 7) == partition_of("shop", 7)
    assert home_of("shop", 7, "h1.com") == partition_of("h1.com", 7)
