import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher.proxy import parse
from crawlkit.libs.errors import FetchError
from crawlkit.libs.proxy import Proxy

CASES = [
    ("localhost", Proxy("http", "localhost", 8080)),
    ("10.0.0.1:3128", Proxy("http", "10.0.0.1", 3128)),
    ("http://p.example:3128/", Proxy("http", "p.example", 3128)),
    ("https://p.example", Proxy("https", "p.example", 443)),
    ("user:secret@p.example:1", Proxy("http", "p.example", 1, "user", "secret")),
    ("http://us%40er:p%3Ass@p.example:1", Proxy("http", "p.example", 1, "us@er", "p:ss")),
    ("user:se@cret:x@p.example:1", Proxy("http", "p.example", 1, "user", "se@cret:x")),
    ("user@p.example:1", Proxy("http", "p.example", 1, "user", "")),
    ("SOCKS5://p.example", Proxy("socks5", "p.example", 1080)),
    ("socks5h://u:p@[::1]:9", Proxy("socks5h", "[::1]", 9, "u", "p")),
    ("socks4://p", Proxy("socks4", "p", 1080)),
    ("socks4a://p", Proxy("socks4a", "p", 1080)),
]


@pytest.mark.parametrize(("text", "proxy"), CASES)
def test_parse(text: str, proxy: Proxy) -> None:
    assert parse(text) == proxy
    assert "secret" not in parse(text).address


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://p:1", "p:0", "p:99999", "p:1/path", "a b", "u:secret@", "p:1\r\nX: y", "u:secret%0d%0a@p:1"],
)
def test_refuses_without_showing_secrets(text: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse(text)
    assert caught.value.kind == "bad_request"
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60))
def test_nothing_else_comes_out(text: str) -> None:
    try:
        proxy = parse(text)
    except FetchError:
        return
    assert not set(proxy.address) & set("\r\n\0 @")
