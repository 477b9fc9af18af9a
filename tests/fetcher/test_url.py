import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher import url as urls
from crawlkit.libs.errors import FetchError
from crawlkit.libs.task import host_of

CASES = [
    # given, full, wire
    ("http://example.com/", None, None),
    ("http://example.com", "http://example.com/", "http://example.com/"),
    ("http://example.com/a/b.html?x=1&y=/../%20", None, None),
    ("http://example.com/a#f", "http://example.com/a#f", "http://example.com/a"),
    ("http://example.com:80/", "http://example.com/", "http://example.com/"),
    ("https://example.com:443/", "https://example.com/", "https://example.com/"),
    ("http://example.com:8080/", None, None),
    ("HTTP://EXAMPLE.com/A", "http://example.com/A", "http://example.com/A"),
    ("http://example.com/a/../b", "http://example.com/b", "http://example.com/b"),
    ("http://example.com/a/%2e%2e/b", "http://example.com/b", "http://example.com/b"),
    ("http://example.com/.hidden/a.b.c", None, None),
    ("http://example.com/a b", "http://example.com/a%20b", "http://example.com/a%20b"),
    ("http://example.com/é", "http://example.com/%C3%A9", "http://example.com/%C3%A9"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"),
    ("http://2130706433/", "http://127.0.0.1/", "http://127.0.0.1/"),
    ("http://0x7f.1/", "http://127.0.0.1/", "http://127.0.0.1/"),
    ("http://[::1]:81/", None, None),
    ("  http://example.com/\t", "http://example.com/", "http://example.com/"),
    ("http:\\\\example.com\\a", "http://example.com/a", "http://example.com/a"),
    ("http://user:p%40ss@example.com/a", "http://example.com/a", "http://example.com/a"),
]


@pytest.mark.parametrize(("text", "full", "wire"), CASES)
def test_parse(text: str, full: str | None, wire: str | None) -> None:
    url = urls.parse(text)
    assert (url.full, url.wire) == (full or text, wire or text)


def test_origin_and_credentials() -> None:
    assert urls.parse("http://u:p%40@h.example:81/x").authorization == "Basic dTpwQA=="
    assert urls.parse("http://u:p@h.example:81/x").origin == ("http", "h.example", 81)
    assert urls.parse("https://h.example/x").origin == ("https", "h.example", 443)


def asked(url: urls.Url) -> str:
    """The server that the fetcher asks, as politeness names it."""
    host = url.host[:-1] if url.host.endswith(".") and url.host != "." else url.host
    return host if url.port == urls.DEFAULT_PORTS[url.scheme] else f"{host}:{url.port}"


PORTS = ["", ":", ":80", ":443", ":080", ":0443", ":8080", ":65535", ":65536", ":99999"]
LABELS = st.lists(st.sampled_from(["a", "A", "%61", "xn--bcher-kva", "bücher", "1", "0x7f", "256", "b-", "c_", ""]),
                  min_size=1, max_size=5)  # fmt: skip


@given(st.sampled_from(["http://", "https://", "HTTP:\\\\", "http://u:p@"]), LABELS, st.sampled_from(PORTS),
       st.sampled_from(["", "/", "/x", "?x", "#x", "\\x"]))  # fmt: skip
def test_what_the_fetcher_asks_as_one_server_has_one_name(scheme: str, labels: list[str], port: str, end: str) -> None:
    text = f"{scheme}{'.'.join(labels)}{port}{end}"
    try:
        url = urls.parse(text)
    except FetchError:
        return
    assert host_of(text) == host_of(url.full) == asked(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "//x/y",
        "ftp://x/",
        "file:///etc/passwd",
        "gopher://x/",
        "dict://x/",
        "javascript:1",
        "data:,x",
        "http://",
        "http://a b/",
        "http://x:99999/",
        "http://x:abc/",
        "http://[::1/",
        "http://1.2.3.4.5/",
        "http://%00/",
        "\ud800",
        "jar:http://x!/",
        "http://x/" + "a" * 70_000,
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(FetchError) as caught:
        urls.parse(text)
    assert caught.value.kind == "bad_url"


@given(st.text(alphabet="abz019./-_~%?#:@&=+;,xn%\\ A[]'\"<>é", max_size=40))
def test_the_fast_way_agrees_with_the_standard(rest: str) -> None:
    text = "http://" + rest
    try:
        url = urls.parse(text)
    except FetchError:
        assert not ada_url.check_url(text)
        return
    parts = ada_url.URL(text)
    parts.username = parts.password = ""
    assert url.full == parts.href
    assert url.wire == url.full.partition("#")[0]
    assert (url.host, url.port) == (parts.hostname, int(parts.port or 80))


JOINS = [
    ("http://a.example/x/y?q#f", "z", "http://a.example/x/z#f"),
    ("http://a.example/x/y?q#f", "z#g", "http://a.example/x/z#g"),
    ("http://a.example/x", "//b.example", "http://b.example/"),
    ("http://a.example/x", "?n=1", "http://a.example/x?n=1"),
    ("http://a.example/x", "", "http://a.example/x"),
    ("http://a.example/x", "/ä b", "http://a.example/%C3%A4%20b"),
    ("https://a.example/x", "http://a.example/y", "http://a.example/y"),
]


@pytest.mark.parametrize(("base", "location", "target"), JOINS)
def test_join(base: str, location: str, target: str) -> None:
    assert urls.join(urls.parse(base), location).full == target


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://x/", "gopher://x", "data:,x", "javascript:x", "http://", "dict://x", "x" * 70_000],
)
def test_join_refuses(location: str) -> None:
    with pytest.raises(FetchError) as caught:
        urls.join(urls.parse("http://a.example/"), location)
    assert caught.value.kind == "bad_redirect"
