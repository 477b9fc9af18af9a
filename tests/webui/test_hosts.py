"""Host names, trusted proxies and prefixes."""

from __future__ import annotations

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.webui.gate import Facts
from crawlkit.webui.hosts import (
    forwarded_prefix,
    hosts_for,
    is_loopback,
    name_of,
    neighbourhood,
    parse_names,
    parse_networks,
    parse_prefix,
    seen_through,
)

PROXIES = parse_networks(["10.0.0.0/8", "::1"])


def facts(address: str, **headers: str) -> Facts:
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return Facts("GET", "/", "", "inner:5000", "http", address, said)


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("127.0.0.1:80", True),
        ("[::1]:5000", True),
        ("", False),
        ("evil.example", False),
        ("127.0.0.1.evil", False),
        ("127.0.0.1.evil:5000", False),
        ("localhost.evil", False),
        ("localhost.", False),
        ("localhost@evil.example", False),
        ("evil.example:localhost", False),
        ("[::1].evil", False),
        ("[::1", False),
        ("[::ffff:7f00:1]", False),
        ("192.168.1.5", False),
        ("0.0.0.0", False),
        ("localhost localhost", False),
        ("localhost\tx", False),
        ("127.1", False),
    ],
)
def test_on_loopback_only_its_own_names(host: str, served: bool) -> None:
    assert hosts_for("127.0.0.1").serves(host) is served


def test_elsewhere_addresses_and_named_names() -> None:
    hosts = hosts_for("0.0.0.0", parse_names(["Crawl.example", "::2"]))
    for host in ("192.168.1.5:5000", "[2001:db8::1]:5000", "crawl.example", "[::2]", "localhost"):
        assert hosts.serves(host), host
    for host in ("evil.example", "crawl.example.evil", "192.168.1.5.evil", "1.2.3"):
        assert not hosts.serves(host), host
    assert hosts_for("box.lan").serves("box.lan:5000")
    assert hosts_for("192.168.1.5").serves("192.168.1.5")


@pytest.mark.parametrize("name", ["http://a", "a:80", "", "a b", "-a", "a/b", "*"])
def test_what_is_no_host_name(name: str) -> None:
    with pytest.raises(UsageError, match="without scheme and port"):
        parse_names([name])


def test_what_is_no_network() -> None:
    with pytest.raises(UsageError, match="expected an address or a network"):
        parse_networks(["proxy.example"])


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("", ""), ("/", ""), ("crawl", "/crawl"), ("/crawl/", "/crawl"), ("/a/b-c.d~e_f", "/a/b-c.d~e_f")],
)
def test_prefixes(text: str, prefix: str) -> None:
    assert parse_prefix(text) == prefix


@pytest.mark.parametrize(
    "text", ["/a//b", "/../a", "/a/./b", "/a b", "/a?b", "/a%2f", "/ä", "http://a", "/a\\b", "/a\tb"]
)
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(UsageError, match="expected a path like /crawl"):
        parse_prefix(text)
    assert forwarded_prefix("::1", text, PROXIES) == ""


def test_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost", "[::1]", "LOCALHOST"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "::", "192.168.1.1", "example.org", "localhost.evil"]))


def test_a_stranger_may_forward_nothing() -> None:
    said = facts("192.0.2.1", x_forwarded_for="127.0.0.1", x_forwarded_proto="https", x_forwarded_host="localhost")
    assert seen_through(said, PROXIES) == said
    assert forwarded_prefix("192.0.2.1", "/crawl", PROXIES) == ""


def test_a_trusted_proxy_says_what_its_client_sent() -> None:
    said = facts("10.1.2.3", x_forwarded_for="192.0.2.1", x_forwarded_proto="https", x_forwarded_host="crawl.example")
    seen = seen_through(said, PROXIES)
    assert (seen.address, seen.scheme, seen.host, seen.secure) == ("192.0.2.1", "https", "crawl.example", True)
    assert forwarded_prefix("10.1.2.3", "/crawl/", PROXIES) == "/crawl"
    assert forwarded_prefix("10.1.2.3", "//evil.example", PROXIES) == "/evil.example"  # one slash: a path here


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("127.0.0.1, 192.0.2.1", "192.0.2.1"),  # the client made up the first
        ("127.0.0.1, 192.0.2.1, 10.9.9.9", "192.0.2.1"),  # through two proxies
        ("nonsense, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, nonsense", "10.1.2.3"),
        ("", "10.1.2.3"),
        ("10.5.5.5", "10.5.5.5"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_the_last_address_that_is_not_ours_counts(said: str, address: str) -> None:
    assert seen_through(facts("10.1.2.3", x_forwarded_for=said), PROXIES).address == address


def test_a_mapped_address_is_the_address() -> None:
    assert seen_through(facts("::ffff:10.1.2.3", x_forwarded_for="192.0.2.1"), PROXIES).address == "192.0.2.1"


def test_neighbourhoods() -> None:
    assert neighbourhood("192.0.2.1") == neighbourhood("::ffff:192.0.2.1") == "192.0.2.1"
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("nonsense") == ""


def test_names_without_ports() -> None:
    assert name_of("Crawl.Example:80") == "crawl.example"
    assert name_of("[2001:DB8::1]") == "[2001:db8::1]"
    assert name_of("a:b:c") == name_of("a:123456") == name_of("a/b") == ""
