"""host_limits as they are written down: what is read from them, and what is said about mistakes."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.host_limits import (
    MAX_DELAY,
    MAX_PATTERNS,
    MAX_STARS,
    NOTHING,
    HostLimits,
    Limits,
    is_loopback,
    over,
    read,
    strictest,
)

MANY = {
    "rate": 2,
    "concurrency": 4,
    "*.example.org": {"rate": 1, "burst": 5},
    "api.example.org": {"concurrency": 1},
    "api.example.org:8080": {"rate": "unlimited"},
    "BÜCHER.example": {"rate": 3},
    "my-shop.example": {"rate": 4},
}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("other.net", Limits(2, None, 4)),
        ("example.org", Limits(2, None, 4)),  # * stands for something
        ("www.example.org", Limits(1, 5, 4)),
        ("www.example.org:8443", Limits(1, 5, 4)),
        ("a.b.example.org", Limits(1, 5, 4)),
        ("badexample.org", Limits(2, None, 4)),
        ("www.example.org.evil.net", Limits(2, None, 4)),
        ("api.example.org", Limits(1, 5, 1)),
        ("api.example.org:8080", Limits(math.inf, 5, 1)),
        ("xn--bcher-kva.example", Limits(3, None, 4)),
        ("my-shop.example", Limits(4, None, 4)),
        ("[2001:db8::1]:80", Limits(2, None, 4)),
    ],
)
def test_the_more_exact_name_wins(host: str, expected: Limits) -> None:
    assert read(MANY).of(host) == expected


@pytest.mark.parametrize("name", ["a.org", "a.org:80", "a.org:443", "A.org.", "a.org.:080"])
def test_a_default_port_and_a_dot_at_the_end_are_no_part_of_a_name(name: str) -> None:
    assert read({name: {"rate": 2}}).of("a.org") == Limits(2)


def test_the_order_in_which_they_are_written_does_not_matter() -> None:
    turned = dict(reversed(MANY.items()))
    for host in ("www.example.org", "api.example.org", "api.example.org:8080"):
        assert read(turned).of(host) == read(MANY).of(host)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NOTHING),
        ({}, NOTHING),
        ({"rate": None}, NOTHING),
        ({"autothrottle": True, "crawl_delay": True}, Limits(autothrottle=1, crawl_delay=MAX_DELAY)),
        ({"autothrottle": 4, "crawl_delay": 10}, Limits(autothrottle=4, crawl_delay=10)),
        ({"autothrottle": False, "crawl_delay": False}, Limits(autothrottle=0, crawl_delay=0)),
        ({"concurrency": "unlimited"}, Limits(concurrency=math.inf)),
    ],
)
def test_values(value: Any, expected: Limits) -> None:
    assert read(value) == HostLimits(expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "here: a dict such as {'rate': 2, 'concurrency': 4}, not 3"),
        ({"rte": 2}, "here: 'rte' is not known; limits are rate, burst, concurrency, autothrottle, crawl_delay"),
        ({"example.org": 2}, "here: 'example.org' is not known; "),
        ({"a.org": {"rte": 2}}, "here['a.org']: 'rte' is not known"),
        ({"a.org": {"rate": "2"}}, "here['a.org'].rate: a number of requests per second over 0, or 'unlimited'"),
        ({"rate": 0}, "here.rate: a number of requests per second over 0"),
        ({"rate": True}, "here.rate: a number"),
        ({"rate": math.nan}, "here.rate: a number"),
        ({"burst": 0.5}, "here.burst: a number of requests, 1 or more, not 0.5"),
        ({"burst": "unlimited"}, "here.burst: a number of requests, 1 or more"),
        ({"concurrency": 1.5}, "here.concurrency: a whole number"),
        ({"concurrency": 0}, "here.concurrency: a whole number"),
        ({"autothrottle": 0}, "here.autothrottle: True, False, or the number"),
        ({"crawl_delay": "yes"}, "here.crawl_delay: True, False, or the most seconds"),
        ({"https://a.org/": {"rate": 1}}, "write a host (example.org) or a pattern (*.example.org), not a URL"),
        ({"a b": {"rate": 1}}, "'a b' is not a host"),
        ({"rate": {"rate": 1}}, "here.rate: is a limit and wants a number, not a dict"),
        ({7: {"rate": 1}}, "7: write a host"),
        ({f"h{n}.org": {"rate": 1} for n in range(MAX_PATTERNS + 1)}, "use at most 1,000"),
        ({f"*.h{n}.org": {"rate": 1} for n in range(MAX_STARS + 1)}, "101 patterns with *; use at most 100"),
    ],
)
def test_a_mistake_is_named(value: Any, words: str) -> None:
    with pytest.raises(InvalidTask, match=re.escape(words)):
        read(value, "here")


def test_what_the_strictest_of_several_is() -> None:
    several = [Limits(rate=2, concurrency=8, crawl_delay=5), Limits(rate=math.inf, burst=4), Limits(autothrottle=2)]
    assert strictest(several) == Limits(2, 4, 8, 2, 5)
    assert strictest([Limits(autothrottle=0), Limits(autothrottle=3)]).autothrottle == 3
    assert strictest([Limits(autothrottle=0)]).autothrottle == 0
    assert strictest([]) == NOTHING


numbers = st.none() | st.floats(0.1, 100) | st.just(math.inf)
limits = st.builds(Limits, numbers, numbers, numbers, st.none() | st.floats(0, 5), st.none() | st.floats(0, 60))


@given(st.lists(limits, max_size=4))
def test_nobody_gets_more_than_he_allows(several: list[Limits]) -> None:
    found = strictest(several)
    for one in several:
        for name in ("rate", "burst", "concurrency"):
            mine, common = getattr(one, name), getattr(found, name)
            assert mine is None or (common is not None and common <= mine)
        assert not one.autothrottle or found.autothrottle
        assert not one.crawl_delay or (found.crawl_delay or 0) >= one.crawl_delay


@given(limits, limits)
def test_what_is_not_said_is_taken_from_below(weak: Limits, strong: Limits) -> None:
    both = over(weak, strong)
    for name in Limits.__struct_fields__:
        said = getattr(strong, name)
        assert getattr(both, name) == (getattr(weak, name) if said is None else said)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3:5000", True),
        ("[::1]:80", True),
        ("localhost.evil.org", False),
        ("127.0.0.1.evil.org", False),
        ("10.0.0.1", False),
        ("[::2]", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_which_hosts_are_the_own_machine(host: str, own: bool) -> None:
    assert is_loopback(host) is own
