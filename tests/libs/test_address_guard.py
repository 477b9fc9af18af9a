import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs import address_guard

REFUSED = [
    "127.0.0.1", "127.255.0.3", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1",
    "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1", "100::1", "", "x", "1.2.3", "/tmp/socket",
]  # fmt: skip
ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    assert address_guard.refusal(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    assert address_guard.refusal(address) is None


@given(st.ip_addresses(v=4))
def test_a_wrapped_address_is_judged_like_the_address(address: ipaddress.IPv4Address) -> None:
    refused = bool(address_guard.refusal(str(address)))
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert bool(address_guard.refusal(wrapped)) is refused, wrapped


@given(st.ip_addresses())
def test_whatever_is_not_global_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    ):
        inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
        if inner is None and not getattr(address, "teredo", None):
            assert address_guard.refusal(str(address))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "a.localhost",
        "printer.local",
        "db.internal",
        "127.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "router.home.arpa",
        "x.lan",
    ],
)
def test_hosts_that_others_must_not_ask_for(host: str) -> None:
    assert address_guard.host_refusal(host)


@pytest.mark.parametrize(
    "host", ["example.com", "localhost.example.com", "1.1.1.1", "[2606:4700:4700::1111]", "local.example"]
)
def test_hosts_that_others_may_ask_for(host: str) -> None:
    assert address_guard.host_refusal(host) is None
