import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs import dataurl

CASES = [
    ("data:,a,b", "", b"a,b"),
    ("data:,", "", b""),
    ("DATA:,x", "", b"x"),
    ("data:text/html,<p>hi</p>", "text/html", b"<p>hi</p>"),
    ("data:text/html;charset=utf-8,%C3%A9", "text/html;charset=utf-8", "é".encode()),
    ("data:,é", "", "é".encode()),
    ("data:;charset=gbk,x", "text/plain;charset=gbk", b"x"),
    ("data:;base64,aGk=", "", b"hi"),
    ("data:;base64,aGk", "", b"hi"),
    ("data:;base64, a G k = ", "", b"hi"),
    ("data:;base64,aGk%3D", "", b"hi"),
    ("data:image/png;BASE64,AAEC", "image/png", b"\x00\x01\x02"),
    ("data:text/plain; base64 ,aGk=", "text/plain", b"hi"),
    ("data:,a%2Cb%00", "", b"a,b\x00"),
    ("data:,100%", "", b"100%"),
    ("data:,x#fragment", "", b"x"),
]


@pytest.mark.parametrize(("url", "media_type", "data"), CASES)
def test_parse(url: str, media_type: str, data: bytes) -> None:
    assert dataurl.parse(url) == (media_type, data)


@pytest.mark.parametrize(
    "url", ["data:", "data:text/plain", "http://x/,", "data:;base64,a", "data:;base64,a=bc", "data:;base64,!!!!"]
)
def test_refuses_in_words(url: str) -> None:
    with pytest.raises(ValueError, match="data: URL"):
        dataurl.parse(url)


@given(st.binary(max_size=300))
def test_round_trip(data: bytes) -> None:
    assert dataurl.parse(dataurl.build(data, "application/octet-stream")) == ("application/octet-stream", data)


@given(st.text())
def test_never_anything_but_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        dataurl.parse("data:" + text)
