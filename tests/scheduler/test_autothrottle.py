"""Autothrottle against servers with limits of their own. The clock is simulated, the log of the server judges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs import host_limits
from crawlkit.scheduler.autothrottle import LEAST, START, Answer, Throttle
from crawlkit.scheduler.host_gate import HostGate
from tests.scheduler.hosts_world import Server, crawl

HOST = "h.org"


def crawled(server: Server, seconds: float, target: float = 8, seed: int = 0) -> Server:
    gate = HostGate()
    gate.limit("p", host_limits.read({"autothrottle": target}), 0.0)
    crawl(gate, {HOST: server}, seconds, seed=seed)
    return server


@pytest.mark.parametrize("retry_after", [None, 1.0, 5.0])
@pytest.mark.parametrize("latency", [0.005, 0.05, 0.3])
@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_server_that_takes_five_a_second(kind: str, latency: float, retry_after: float | None) -> None:
    server = crawled(Server(5, kind, latency=latency, retry_after=retry_after), 120)
    assert 4 <= server.pace(30, 120) <= 5
    assert server.seen(30, 120, 429) < 0.01 * server.seen(30, 120)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.floats(2, 30),
    kind=st.sampled_from(["sliding", "fixed", "bucket"]),
    latency=st.floats(0.002, 0.25),
    retry_after=st.none() | st.floats(0.5, 3),
    seed=st.integers(0, 1_000),
)
def test_any_server_is_asked_nearly_as_often_as_it_likes(
    rate: float, kind: str, latency: float, retry_after: float | None, seed: int
) -> None:
    server = crawled(Server(rate, kind, latency=latency, retry_after=retry_after), 150, target=20, seed=seed)
    taken = float(max(1, int(rate)))  # it counts whole requests in a second
    assert 0.7 * taken <= server.pace(60, 150) <= 1.05 * rate
    assert server.seen(60, 150, 429) <= 1 + 0.02 * server.seen(60, 150)


@pytest.mark.parametrize(("kind", "window"), [("sliding", 10.0), ("fixed", 10.0), ("bucket", 4.0), ("fixed", 60.0)])
def test_a_server_that_counts_over_a_longer_time_is_found_out_later(kind: str, window: float) -> None:
    server = crawled(Server(5, kind, window=window, retry_after=1.0), 900)
    assert 3 <= server.pace(300, 900) <= 5
    assert server.seen(300, 900, 429) < 0.02 * server.seen(300, 900)


def test_other_hosts_are_asked_as_before() -> None:
    gate = HostGate()
    limits = {"rate": 6, "*.slow.org": {"rate": "unlimited", "autothrottle": 8}}
    gate.limit("p", host_limits.read(limits), 0.0)
    servers = {"www.slow.org": Server(5, retry_after=2.0), "a.org": Server(50), "b.org": Server(50)}
    crawl(gate, servers, 60)
    assert 4 <= servers["www.slow.org"].pace(30, 60) <= 5
    for host in ("a.org", "b.org"):
        assert servers[host].pace(0, 60) == pytest.approx(6, rel=0.05)
        assert not servers[host].seen(0, 60, 429)


def test_a_slow_server_has_not_more_under_way_than_the_target() -> None:
    for target, latency in ((1, 0.5), (2, 0.5), (4, 2.0)):
        server = crawled(Server(1_000, latency=latency), 120, target=target)
        assert server.pace(60, 120) == pytest.approx(target / latency / 1.05, rel=0.15)


def test_a_server_that_gets_slower_is_asked_less() -> None:
    gate = HostGate()
    gate.limit("p", host_limits.read({"autothrottle": True}), 0.0)
    server = Server(1_000, latency=0.1)
    crawl(gate, {HOST: server}, 60)
    server.latency = 1.0
    crawl(gate, {HOST: server}, 60, start=60.0)
    server.latency = 0.1
    crawl(gate, {HOST: server}, 60, start=120.0)
    assert server.pace(40, 60) > 8
    assert server.pace(90, 120) < 1.2
    assert server.pace(160, 180) > 8


def test_a_limit_that_is_raised_is_found_out() -> None:
    gate = HostGate()
    gate.limit("p", host_limits.read({"autothrottle": 8}), 0.0)
    server = Server(5)
    crawl(gate, {HOST: server}, 60)
    server.rate = 20
    crawl(gate, {HOST: server}, 1_200, start=60.0)
    assert server.pace(1_000, 1_200) > 10


def test_it_does_not_grow_on_what_is_not_made_use_of() -> None:
    throttle = Throttle(0.0)
    for second in range(0, 600, 10):
        throttle.sent()
        throttle.ended(Answer.GOOD, second + 0.05, 0.05)
    assert throttle.rate == START


def test_fast_errors_are_no_reason_to_go_faster() -> None:
    throttle = Throttle(0.0)
    for n in range(600):
        throttle.sent()
        throttle.ended(Answer.OTHER, n + 0.001, 0.001)
    assert throttle.rate == START
    assert throttle.latency == 0


def test_a_host_that_cannot_be_reached_is_asked_less_but_not_never() -> None:
    throttle = Throttle(0.0)
    now = 0.0
    for _ in range(100):
        now += 1 / throttle.rate
        throttle.sent()
        throttle.ended(Answer.TROUBLE, now, 0.01)
    assert throttle.rate == LEAST
    assert throttle.refused == math.inf


events = st.lists(st.tuples(st.sampled_from(Answer), st.floats(0.001, 30), st.floats(0.001, 60)), max_size=100)


@settings(max_examples=100, deadline=None)
@given(events)
def test_whatever_comes_the_rate_is_one(history: list[tuple[Answer, float, float]]) -> None:
    throttle = Throttle(0.0)
    now = 0.0
    for answer, gap, took in history:
        throttle.sent()
        now += gap
        before = throttle.rate
        changed = throttle.ended(answer, now, took)
        assert changed == (throttle.rate != before)
        assert LEAST <= throttle.rate <= 1_000
        if answer is not Answer.GOOD:
            assert throttle.rate <= before
        if answer is Answer.OTHER:
            assert not changed
