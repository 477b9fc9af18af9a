"""SOCKS5 as a server hears it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.browser import socks

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,60}[a-z0-9])?", fullmatch=True)
PORTS = st.integers(1, 65_535)


def asked(kind: int, raw: bytes, port: int = 80, command: int = 1) -> bytes:
    return bytes([5, command, 0, kind]) + raw + port.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("said", "length"),
    [(b"", None), (b"\x05", None), (b"\x05\x01", None), (b"\x05\x01\x00", 3), (b"\x05\x02\x02\x00", 4),
     (b"\x05\x01\x00\x05\x01", 3)],
)  # fmt: skip
def test_greetings(said: bytes, length: int | None) -> None:
    assert socks.greeting_length(said) == length


@pytest.mark.parametrize("said", [b"\x04\x01", b"GET / HTTP/1.1\r\n", b"\x05\x01\x02", b"\x05\x00", b"\x16\x03\x01"])
def test_greetings_that_are_none(said: bytes) -> None:
    with pytest.raises(socks.BadSocks):
        socks.greeting_length(said)


@pytest.mark.parametrize(
    ("said", "host", "port"),
    [
        (asked(3, b"\x09localhost", 8080), "localhost", 8080),
        (asked(3, b"\x0bExample.com"), "example.com", 80),
        (asked(3, b"\x09127.0.0.1", 443), "127.0.0.1", 443),
        (asked(3, b"\x03::1", 443), "::1", 443),
        (asked(1, bytes([10, 0, 0, 1])), "10.0.0.1", 80),
        (asked(4, ipaddress.ip_address("fd00::1").packed, 65_535), "fd00::1", 65_535),
    ],
)
def test_requests(said: bytes, host: str, port: int) -> None:
    assert socks.read_request(said) == (host, port, len(said))
    assert socks.read_request(said + b"more") == (host, port, len(said))


@pytest.mark.parametrize(
    "said",
    [
        asked(3, b"\x01a", command=2), asked(3, b"\x01a", command=3), asked(3, b"\x00") + b"x", asked(2, b"\x01a"),
        asked(3, b"\x01a", port=0), asked(3, b"\x03a b"), asked(3, b"\x03a/b"), asked(3, b"\x02\xc3\xa4"),
        asked(3, b"\x03a\r\n"), asked(3, b"\x03a\x00b"), asked(3, b"\x05[::1]"), asked(3, b"\x03a@b"),
        b"\x04" + asked(3, b"\x01a")[1:],
    ],
)  # fmt: skip
def test_requests_that_are_none(said: bytes) -> None:
    with pytest.raises(socks.BadSocks):
        socks.read_request(said)


@given(NAMES, PORTS, st.binary(max_size=20))
def test_a_request_is_the_same_however_it_is_cut(name: str, port: int, more: bytes) -> None:
    said = asked(3, bytes([len(name)]) + name.encode(), port)
    assert all(socks.read_request(said[:end]) is None for end in range(len(said)))
    assert socks.read_request(said + more) == (name, port, len(said))


@given(st.binary(max_size=300))
def test_anything_else_is_refused_or_waits_for_little(said: bytes) -> None:
    """Nobody makes the relay keep more than one request."""
    try:
        request = socks.read_request(said)
    except socks.BadSocks:
        return
    if request is None:
        assert len(said) < socks.MAX_REQUEST
    else:
        assert 0 < request.port <= 65_535
        assert request.length <= socks.MAX_REQUEST
        assert request.host
