"""Handshakes with proxies: what is sent, what is taken for a yes, and that it does not matter how answers are cut."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.browser.upstream import MAX_HEAD, Handshake, ProxyRefused, of_job
from crawlkit.libs.browser_job import Job
from crawlkit.libs.errors import FetchError
from crawlkit.libs.proxy import PORTS, Proxy

BASIC = base64.b64encode("ü:p:w".encode())


def proxy(scheme: str, username: str | None = None, password: str | None = None) -> Proxy:
    return Proxy(scheme, "proxy.example", PORTS[scheme], username, password)


CONNECT = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"
SOCKS5 = b"\x05\x01\x00\x03\x09a.example\x01\xbb"
TABLE = [  # proxy, host, [(what it says, what is sent then)], left over
    (proxy("http"), "a.example", [(b"", CONNECT), (b"HTTP/1.1 200 OK\r\n\r\n", b"")], b""),
    (proxy("https"), "a.example", [(b"", CONNECT), (b"HTTP/1.0 200\r\nX: y\r\n\r\nearly", b"")], b"early"),
    (proxy("http"), "a.example", [(b"", CONNECT), (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n", b"")], b""),
    (proxy("http", "ü", "p:w"), "::1", [
        (b"", b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic " + BASIC + b"\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    ], b""),
    (proxy("socks5h"), "a.example", [
        (b"", b"\x05\x01\x00"), (b"\x05\x00", SOCKS5), (b"\x05\x00\x00\x01\x01\x02\x03\x04\x00\x01hi", b""),
    ], b"hi"),
    (proxy("socks5"), "192.0.2.1", [
        (b"", b"\x05\x01\x00"), (b"\x05\x00", b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"),
        (b"\x05\x00\x00\x03\x02ab\x00\x01", b""),
    ], b""),
    (proxy("socks5h", "u", "p"), "2001:db8::1", [
        (b"", b"\x05\x02\x00\x02"), (b"\x05\x02", b"\x01\x01u\x01p"),
        (b"\x01\x00", b"\x05\x01\x00\x04 \x01\r\xb8" + bytes(11) + b"\x01\x01\xbb"),
        (b"\x05\x00\x00\x04" + bytes(18), b""),
    ], b""),
    (proxy("socks5h", "u", None), "a.example", [
        (b"", b"\x05\x02\x00\x02"), (b"\x05\x00", SOCKS5), (b"\x05\x00\x00\x01" + bytes(6), b""),
    ], b""),
    (proxy("socks4", "u"), "192.0.2.1", [
        (b"", b"\x04\x01\x01\xbb\xc0\x00\x02\x01u\x00"), (b"\x00\x5a" + bytes(6) + b"x", b""),
    ], b"x"),
    (proxy("socks4a"), "a.example", [
        (b"", b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a.example\x00"), (b"\x00\x5a" + bytes(6), b""),
    ], b""),
]  # fmt: skip


@pytest.mark.parametrize(("upstream", "host", "lines", "rest"), TABLE)
def test_conversations(upstream: Proxy, host: str, lines: list[tuple[bytes, bytes]], rest: bytes) -> None:
    talk = Handshake(upstream, host, 443)
    for heard, sent in lines:
        assert not talk.done
        assert talk.feed(heard) == sent
    assert talk.done
    assert talk.rest == rest


@pytest.mark.parametrize(("upstream", "host", "lines", "rest"), TABLE)
@given(data=st.data())
def test_however_answers_are_cut(
    data: st.DataObject, upstream: Proxy, host: str, lines: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    talk = Handshake(upstream, host, 443)
    after = b""
    for heard, sent in lines:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(heard)), max_size=4))) if heard else []
        pieces = [heard[start:end] for start, end in zip([0, *cuts], [*cuts, len(heard)], strict=True)]
        said = b""
        for piece in pieces:
            if talk.done:
                after += piece  # the connection's own by now
            else:
                said += talk.feed(piece)
        assert said == sent
    assert talk.done
    assert talk.rest + after == rest


REFUSALS = [
    (proxy("http"), [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], "407"),
    (proxy("http"), [b"HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\nbody"], "403"),
    (proxy("http"), [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"], "302"),
    (proxy("http"), [b"SSH-2.0-x\r\n\r\n"], "not HTTP"),
    (proxy("http"), [b"HTTP/1.1 2000 x\r\n\r\n"], "not HTTP"),
    (proxy("http"), [b"HTTP/1.1\r\n\r\n"], "not HTTP"),
    (proxy("http"), [b"HTTP/1.1 200 OK\r\nX: ", b"y" * MAX_HEAD], "head of over"),
    (proxy("socks5"), [b"HT"], "does not speak"),
    (proxy("socks5"), [b"\x05\xff"], "wants a user"),
    (proxy("socks5"), [b"\x05\x02"], "wants a user"),
    (proxy("socks5", "u", "p"), [b"\x05\xff"], "no way"),
    (proxy("socks5", "u", "p"), [b"\x05\x02", b"\x01\x01"], "does not take"),
    (proxy("socks5"), [b"\x05\x00", b"\x05\x05\x00\x01"], "refused"),
    (proxy("socks5"), [b"\x05\x00", b"\x05\x63\x00\x01"], "code 99"),
    (proxy("socks5"), [b"\x05\x00", b"\x05\x00\x00\x07"], "not SOCKS5"),
    (proxy("socks4"), [b"\x00\x5b" + bytes(6)], "code 91"),
]


@pytest.mark.parametrize(("upstream", "answers", "word"), REFUSALS)
def test_refusals(upstream: Proxy, answers: list[bytes], word: str) -> None:
    talk = Handshake(upstream, "a.example", 443)
    talk.feed()
    *before, last = answers
    for one in before:
        talk.feed(one)
    with pytest.raises(ProxyRefused, match=word):
        talk.feed(last)
    assert not talk.done


@pytest.mark.parametrize(
    ("upstream", "host"),
    [(proxy("socks5h", "u" * 256, "p"), "a.example"), (proxy("socks5h"), "a" * 256), (proxy("socks4a"), "::1"),
     (proxy("socks4a", "u\0x"), "a.example")],
)  # fmt: skip
def test_what_a_proxy_cannot_be_asked(upstream: Proxy, host: str) -> None:
    talk = Handshake(upstream, host, 443)
    if upstream.scheme == "socks5h":
        assert talk.feed()
    with pytest.raises(ProxyRefused):
        talk.feed(b"\x05\x02" if upstream.username else b"\x05\x00")


@given(st.sampled_from(sorted(PORTS)), st.lists(st.binary(max_size=40), max_size=10))
def test_no_answer_breaks_it(scheme: str, answers: list[bytes]) -> None:
    """Whatever comes: it goes on, is done, or is refused in words without a password."""
    talk = Handshake(proxy(scheme, "user", "hunter2"), "192.0.2.1", 443)
    talk.feed()
    said = ""
    for one in answers:
        try:
            talk.feed(one)
        except ProxyRefused as error:
            said = str(error)
            break
        if talk.done:
            break
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("job", "proxy"),
    [
        ({}, None),
        ({"proxy_scheme": "socks5", "proxy_host": ""}, None),
        ({"proxy_host": "p.example"}, Proxy("http", "p.example", 8080)),
        ({"proxy_host": "p.example", "proxy_scheme": "SOCKS5H"}, Proxy("socks5h", "p.example", 1080)),
        (
            {"proxy_host": "10.0.0.1", "proxy_scheme": "https", "proxy_port": 1, "proxy_username": "u",
             "proxy_password": "p", "proxy_trusted": True},
            Proxy("https", "10.0.0.1", 1, "u", "p", True),
        ),
    ],
)  # fmt: skip
def test_the_proxy_of_a_job(job: dict[str, object], proxy: Proxy | None) -> None:
    assert of_job(msgspec.convert({"url": "http://a.example/", **job}, Job)) == proxy


@pytest.mark.parametrize("job", [{"proxy_scheme": "ftp"}, {"proxy_port": 0}, {"proxy_port": 65_536}])
def test_proxies_that_cannot_be(job: dict[str, object]) -> None:
    with pytest.raises(FetchError, match="proxy: ") as caught:
        of_job(msgspec.convert({"url": "http://a.example/", "proxy_host": "p.example", **job}, Job))
    assert caught.value.kind == "bad_request"
