"""The gate of the hosts: tables for its rules, and random histories on a manual clock for what must always hold."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs import host_limits
from crawlkit.libs.host_limits import HostLimits, Limits
from crawlkit.scheduler import host_gate
from crawlkit.scheduler.autothrottle import Answer
from crawlkit.scheduler.host_gate import HostGate

A, B, OWN = "a.example.org", "b.example.org", "127.0.0.1:8000"


def gate_of(limits: dict[str, Any] | None = None, **options: Any) -> HostGate:
    gate = HostGate(**options)
    gate.limit("p", host_limits.read(limits), 0.0)
    return gate


def take_all(gate: HostGate, host: str, mono: float, project: str = "p", most: int = 1_000) -> int:
    """Asks as long as it may."""
    for n in range(most):
        if gate.wait(host, mono):
            return n
        gate.take(host, mono, project)
    return most


def refuse(
    gate: HostGate, host: str, mono: float, after: float | None = None, status: int = 429, took: float = 0.1
) -> None:
    gate.answered(host, mono, Answer.REFUSED, took, status, after)


def why(gate: HostGate, host: str, mono: float) -> tuple[str, float] | None:
    block = gate.explain(host, mono)
    assert (block is None) == (gate.wait(host, mono) == 0.0)
    return None if block is None else (block.why, round(block.seconds, 3))


# -- patterns


def test_no_pattern_of_a_project_holds_up_the_others() -> None:
    gate = gate_of({"*" + "a*" * 100 + "b": {"rate": 1}})
    began = time.process_time()
    gate.take("a" * 63 + "." + "a" * 63 + ".x", 0.0)
    assert time.process_time() - began < 0.1


def test_a_new_host_is_not_held_against_every_name_of_every_project() -> None:
    gate = HostGate()
    for n in range(50):
        gate.limit(f"p{n}", host_limits.read({f"h{i}.of{n}.example": {"rate": 1} for i in range(1_000)}), 0.0)
    began = time.process_time()
    for n in range(20):
        gate.take(f"x{n}.org", 0.0, "p0")
    assert time.process_time() - began < 0.1  # by looking at each: 2 s
    assert gate.limits("h7.of9.example:8080", 0.0).rate == 1


# -- rate and concurrency


def test_a_rate_is_for_each_host_alone_and_for_all_projects_together() -> None:
    gate = gate_of({"rate": 2, "burst": 3})
    assert take_all(gate, A, 0.0) == 3
    assert take_all(gate, B, 0.0) == 3
    assert why(gate, A, 0.0) == ("rate", 0.5)
    gate.take(A, 0.5, "q")  # of another project, which says nothing of its own
    assert gate.wait(A, 0.6) == pytest.approx(0.4, abs=1e-3)
    assert gate.freed(0.49) == []
    assert gate.freed(0.99) == [B]
    assert gate.freed(1.01) == [A]
    assert gate.freed(1.01) == []


def test_a_burst_is_one_where_nothing_is_said() -> None:
    gate = gate_of({"rate": 10})
    assert take_all(gate, A, 0.0) == 1
    assert gate.next(0.0) == pytest.approx(0.1, abs=1e-3)


def test_requests_under_way_are_counted() -> None:
    gate = gate_of({"concurrency": 2})
    assert take_all(gate, A, 0.0) == 2
    assert why(gate, A, 5.0) == ("concurrency", math.inf)
    assert gate.explain(A, 5.0) == ("concurrency", math.inf, "2 requests are under way, 2 is the limit")
    assert gate.next(5.0) == math.inf
    gate.ended(A, 6.0)
    assert gate.freed(6.0) == [A]
    assert take_all(gate, A, 6.0) == 1


def test_sixteen_are_under_way_where_nobody_says_otherwise_but_not_on_the_own_machine() -> None:
    gate = HostGate()
    assert take_all(gate, A, 0.0) == 16
    assert take_all(gate, OWN, 0.0) == 1_000
    gate.limit("q", host_limits.read({"127.0.0.1": {"concurrency": 5}}), 0.0)
    assert gate.wait(OWN, 0.0) == math.inf


def test_limits_of_the_configuration_hold_for_what_no_project_says() -> None:
    defaults = host_limits.read({"rate": 5, "concurrency": 2, "b.example.org": {"rate": 1}})
    gate = HostGate(defaults)
    gate.limit("p", host_limits.read({"concurrency": 8}), 0.0)
    assert gate.limits(A, 0.0, "p") == Limits(rate=5, concurrency=8)
    assert gate.limits(B, 0.0, "p") == Limits(rate=1, concurrency=8)
    assert gate.limits(OWN, 0.0) == Limits(rate=5, concurrency=2)  # somebody wrote it down


def test_the_strictest_project_that_asks_a_host_holds_for_all() -> None:
    gate = gate_of({"rate": 1})
    gate.limit("q", host_limits.read({"rate": 100, "concurrency": 3}), 0.0)
    assert take_all(gate, B, 0.0, "q") == 1
    assert gate.limits(B, 0.0) == Limits(rate=100, concurrency=3)  # p never asked it
    gate.take(B, 0.02, "p")
    assert gate.limits(B, 0.02) == Limits(rate=1, concurrency=3)
    assert gate.wait(B, 0.02) > 0.9
    gate.take(B, 2.0, "q")
    gate.take(B, 59.0, "q")
    assert gate.limits(B, 60.0).rate == 1
    gate.take(B, 61.0, "q")
    assert gate.limits(B, 61.0).rate == 100  # p has not asked for a minute


def test_a_host_that_a_project_names_is_limited_whoever_asks() -> None:
    gate = gate_of({"rate": 50, "a.example.org": {"rate": 1}})
    assert take_all(gate, A, 0.0, "q") == 1
    assert take_all(gate, B, 0.0, "q") == 16


def test_new_limits_hold_at_once_and_count_what_is_under_way() -> None:
    gate = HostGate()
    assert take_all(gate, A, 0.0, "p") == 16
    gate.limit("p", host_limits.read({"concurrency": 4}), 0.0)
    for n in range(12):
        gate.ended(A, 1.0)
        assert gate.wait(A, 1.0) == math.inf, n
    gate.ended(A, 1.0)
    assert gate.freed(1.0) == [A]
    assert take_all(gate, A, 1.0) == 1
    gate.limit("p", None, 2.0)
    assert gate.freed(2.0) == [A]


def test_a_start_does_not_give_a_second_burst() -> None:
    limits = {"rate": 2, "burst": 10}
    gate = gate_of(limits, since=100.0)
    assert gate.wait(A, 100.0) == 0.0  # nothing is known of it before the first
    assert take_all(gate, A, 100.0) == 1
    assert gate.wait(A, 100.0) > 0.4
    gate = gate_of(limits, since=100.0)
    assert take_all(gate, A, 200.0) == 10


def test_what_was_under_way_before_a_start_counts() -> None:
    gate = HostGate()
    for host in [A] * 16 + [B, ""]:
        gate.adopt(host, "p", 0.0)
    assert gate.wait(A, 0.0) == math.inf
    assert gate.wait(B, 0.0) == 0.0
    gate.ended(A, 1.0)
    assert gate.freed(1.0) == [A]
    gate.limit("p", host_limits.read({"concurrency": 14}), 1.0)  # it told its settings only now
    assert gate.wait(A, 1.0) == math.inf


def test_urls_without_a_host_are_nobodys() -> None:
    gate = gate_of({"rate": 1, "concurrency": 1})
    assert take_all(gate, "", 0.0) == 1_000
    gate.answered("", 0.0, Answer.REFUSED, 0.1, 429, 10.0)
    assert gate.wait("", 0.0) == 0.0


# -- holds


def test_retry_after_holds_the_host_and_then_one_goes_ahead() -> None:
    gate = HostGate()
    assert take_all(gate, A, 0.0, most=3) == 3
    refuse(gate, A, 1.0, after=30.0)
    assert why(gate, A, 1.0) == ("retry_after", 30.0)
    assert gate.changed == {A}
    for _ in range(3):
        gate.ended(A, 1.0)
    assert gate.freed(30.9) == []
    assert gate.freed(31.0) == [A]
    assert take_all(gate, A, 31.0) == 1  # one sees how things are
    assert why(gate, A, 31.0) == ("refused", math.inf)
    gate.answered(A, 31.5, Answer.GOOD, 0.2)
    gate.ended(A, 31.5)
    assert gate.freed(31.5) == [A]
    assert take_all(gate, A, 31.5) == 16


def test_refusals_without_a_time_hold_twice_as_long_each_time() -> None:
    gate = HostGate(hold_max=10.0)
    now, held = 0.0, []
    for _ in range(6):
        gate.take(A, now)
        refuse(gate, A, now + 0.2, status=503)
        gate.ended(A, now + 0.2)
        held.append(round(gate.wait(A, now + 0.2), 6))
        now += 0.2 + held[-1]
    assert held == [1, 2, 4, 8, 10, 10]
    block = gate.explain(A, now - 5)
    assert block is not None
    assert block.text == "it answered 503 6 times in a row"


def test_refusals_of_what_was_already_on_its_way_are_one() -> None:
    gate = HostGate()
    take_all(gate, A, 0.0, most=8)
    for n in range(8):
        refuse(gate, A, 0.3 + n / 100, took=0.3 + n / 100)
        gate.ended(A, 0.3 + n / 100)
    assert gate.wait(A, 0.4) == pytest.approx(0.9)


def test_who_refuses_again_after_the_time_it_named_is_held_longer() -> None:
    gate = HostGate()
    now, held = 0.0, []
    for _ in range(4):
        gate.take(A, now)
        refuse(gate, A, now + 0.1, after=1.0)
        gate.ended(A, now + 0.1)
        held.append(round(gate.wait(A, now + 0.1), 6))
        now += 0.1 + held[-1]
    assert held == [1, 2, 4, 8]


def test_a_hold_has_a_limit() -> None:
    gate = HostGate(hold_max=600.0)
    gate.take(A, 0.0)
    refuse(gate, A, 1.0, after=7 * 86_400.0)
    assert gate.wait(A, 1.0) == 600.0


def test_a_shorter_word_does_not_end_a_hold() -> None:
    gate = HostGate()
    take_all(gate, A, 0.0, most=2)
    refuse(gate, A, 1.0, after=60.0, took=1.0)
    refuse(gate, A, 1.1, after=5.0, took=1.1)
    assert gate.wait(A, 1.1) == pytest.approx(59.9)


def test_the_own_machine_is_held_when_it_says_for_how_long_or_has_a_limit() -> None:
    gate = HostGate()
    gate.take(OWN, 0.0)
    refuse(gate, OWN, 0.1, status=503)
    assert gate.wait(OWN, 0.1) == 0.0
    refuse(gate, OWN, 0.1, after=2.0)
    assert gate.wait(OWN, 0.1) == 2.0
    limited = gate_of({"concurrency": 8})
    limited.take(OWN, 0.0, "p")
    refuse(limited, OWN, 0.1, status=503)
    assert limited.wait(OWN, 0.1) == 1.0


def test_a_hold_outlives_a_restart() -> None:
    gate = HostGate()
    gate.take(A, 100.0)
    refuse(gate, A, 100.0, after=60.0)
    text = gate.dump(A, 100.0, 5_000.0)
    assert text is not None
    later = HostGate()
    assert later.load(A, text, 7.0, 5_020.0)
    assert why(later, A, 7.0) == ("retry_after", 40.0)
    assert later.freed(47.0) == [A]
    assert take_all(later, A, 47.0) == 1
    assert not HostGate().load(A, text, 7.0, 5_060.0)  # over
    assert not HostGate().load(A, "[1,", 7.0, 5_000.0)
    assert HostGate().dump(A, 0.0, 0.0) is None
    wrong_clock = HostGate(hold_max=100.0)
    assert wrong_clock.load(A, text, 7.0, -1e9)
    assert wrong_clock.wait(A, 7.0) == 100.0


# -- Crawl-delay


def test_a_crawl_delay_is_followed_by_who_asked_for_that() -> None:
    gate = gate_of({"crawl_delay": 20})
    assert take_all(gate, A, 0.0) == 1  # the first one reads robots.txt
    assert why(gate, A, 0.5) == ("crawl_delay", math.inf)
    gate.crawl_delay(A, 10.0, 1.0)
    gate.ended(A, 1.0)
    assert why(gate, A, 1.0) == ("crawl_delay", 9.0)
    assert gate.freed(10.1) == [A]
    assert take_all(gate, A, 10.1) == 1
    gate.ended(A, 10.2)
    assert gate.freed(300.0) == [A]
    assert take_all(gate, A, 300.0) == 1  # known by now, and at rest meanwhile
    assert why(gate, A, 300.0) == ("crawl_delay", 10.0)


def test_a_crawl_delay_has_a_limit_and_none_is_none() -> None:
    gate = gate_of({"crawl_delay": 5})
    gate.take(A, 0.0, "p")
    gate.crawl_delay(A, 86_400.0, 0.1)
    gate.ended(A, 0.1)
    assert why(gate, A, 0.1) == ("crawl_delay", 4.9)
    gate.take(B, 0.0, "p")
    gate.crawl_delay(B, None, 0.1)
    gate.ended(B, 0.1)
    assert take_all(gate, B, 0.1) == 16


def test_nobody_who_did_not_ask_for_it_waits_for_a_crawl_delay() -> None:
    gate = HostGate()
    gate.take(A, 0.0, "p")
    gate.crawl_delay(A, 10.0, 0.1)
    assert take_all(gate, A, 0.1) == 15


# -- autothrottle


def test_autothrottle_begins_slowly_and_follows_the_answers() -> None:
    gate = gate_of({"autothrottle": 4})
    assert take_all(gate, A, 0.0) == 1
    assert why(gate, A, 0.0) == ("autothrottle", 1.0)
    now = 0.0
    for _ in range(12):
        gate.answered(A, now + 0.05, Answer.GOOD, 0.05)
        gate.ended(A, now + 0.05)
        now = now + 0.05 + gate.wait(A, now + 0.05)
        gate.take(A, now, "p")
    assert gate.wait(A, now) < 0.3
    gate.limit("p", None, now)
    assert gate.wait(A, now) == 0.0


# -- what it costs


def test_hosts_at_rest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_gate, "KEPT", 50)
    gate = gate_of({"rate": 5})
    most = 0
    for n in range(20_000):
        now = n / 1_000
        gate.take(f"h{n}.org", now, "p")
        gate.ended(f"h{n}.org", now + 0.0005)
        gate.freed(now)
        if n % 100 == 0:
            most = max(most, sum(1 for _ in gate.hosts()))
    assert most <= 300
    for _ in range(100):
        gate.freed(60.0)
    assert len(list(gate.hosts())) == 50
    assert not gate._heap


def test_hosts_of_which_something_is_known_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_gate, "KEPT", 50)
    monkeypatch.setattr(host_gate, "MOST", 100)
    gate = gate_of({"autothrottle": True})
    for n in range(1_000):
        gate.take(f"h{n}.org", 0.0, "p")
        gate.ended(f"h{n}.org", 0.0)
    assert len(list(gate.hosts())) <= 102


def test_holds_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_gate, "KEPT", 50)
    monkeypatch.setattr(host_gate, "MOST", 100)
    gate = gate_of()
    for n in range(500):
        gate.take(f"{n}.trap.example", float(n), "p")
        refuse(gate, f"{n}.trap.example", float(n), after=3_600.0)
        gate.ended(f"{n}.trap.example", float(n))
        refuse(gate, f"{n}.elsewhere.example", float(n), after=3_600.0)
    kept = {host for host, _, _ in gate.hosts()}
    assert len(kept) <= 102
    assert gate.let_go == 1_000 - len(kept)
    assert {host for host, _, _ in gate.blocked(500.0)} == kept
    assert "499.trap.example" in kept  # the last ones
    assert "0.trap.example" in gate.changed  # it is taken out of the store


def test_a_million_hosts_are_not_remembered() -> None:
    gate = HostGate()
    for n in range(20_000):
        gate.take(f"h{n}.org", 0.0, "p")
        gate.ended(f"h{n}.org", 0.0)
    assert sum(1 for _ in gate.hosts()) <= host_gate.KEPT + 2


def test_a_gate_without_limits_is_open() -> None:
    gate = HostGate(concurrency=math.inf)
    assert gate.open
    gate.limit("p", HostLimits(), 0.0)
    assert gate.open
    gate.limit("p", host_limits.read({"rate": 1}), 0.0)
    assert not gate.open
    assert not HostGate().open
    assert not HostGate(host_limits.read({"rate": 1}), concurrency=math.inf).open


# -- histories

HOSTS = ("a.org", "b.org", "c.net:81", "127.0.0.1:9")
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(HOSTS), st.sampled_from("pqr")),
    st.tuples(st.just("end"), st.sampled_from(HOSTS), st.none()),
    st.tuples(st.just("good"), st.sampled_from(HOSTS), st.floats(0.01, 3)),
    st.tuples(st.just("refuse"), st.sampled_from(HOSTS), st.none() | st.floats(0, 30)),
    st.tuples(st.just("robots"), st.sampled_from(HOSTS), st.none() | st.floats(0.1, 20)),
    st.tuples(st.just("pass"), st.none(), st.floats(0.01, 5)),
)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "rate": st.floats(0.2, 50),
        "burst": st.integers(1, 5),
        "concurrency": st.integers(1, 20),
        "autothrottle": st.booleans(),
        "crawl_delay": st.booleans(),
        "a.org": st.fixed_dictionaries({"rate": st.floats(0.2, 5)}),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.tuples(SAID, SAID), st.lists(STEPS, max_size=80))
def test_who_must_wait_is_told_when_it_is_over(said: tuple[Any, Any], steps: list[tuple[str, Any, Any]]) -> None:
    gate = HostGate()
    for project, limits in zip("pq", said, strict=True):
        gate.limit(project, host_limits.read(limits), 0.0)
    now = 0.0
    waiting: set[str] = set()
    out = dict.fromkeys(HOSTS, 0)
    for what, host, value in steps:
        match what:
            case "ask":
                wait = gate.wait(host, now)
                if wait:
                    waiting.add(host)
                else:
                    waiting.discard(host)
                    assert out[host] < (gate.limits(host, now).concurrency or math.inf)
                    gate.take(host, now, value)
                    out[host] += 1
            case "end" if out[host]:
                out[host] -= 1
                gate.ended(host, now)
            case "good":
                gate.answered(host, now, Answer.GOOD, value)
            case "refuse":
                refuse(gate, host, now, value)
            case "robots":
                gate.crawl_delay(host, value, now)
            case "pass":
                due = gate.next(now)
                now += value
                freed = gate.freed(now)
                assert not freed or due <= value + 1e-9  # `now` is rounded
                assert all(gate.wait(one, now) == 0 for one in freed if due > 0)
                waiting -= {one for one in freed if gate.wait(one, now) == 0}
        if host:
            assert (gate.explain(host, now) is None) == (gate.wait(host, now) == 0)
            waiting |= {host} if gate.wait(host, now) else set()
    for host in HOSTS:
        for _ in range(out[host]):
            gate.ended(host, now)
    for _ in range(400):  # nothing is under way any more, so time alone frees everybody
        waiting -= {one for one in gate.freed(now) if gate.wait(one, now) == 0}
        if not waiting:
            break
        due = gate.next(now)
        assert due < math.inf
        now += due + 1e-3
    assert not waiting


@settings(max_examples=60, deadline=None)
@given(st.floats(0.5, 20), st.integers(1, 6), st.lists(st.floats(0.0, 1.0), min_size=5, max_size=60), st.booleans())
def test_never_more_than_burst_and_rate_allow(rate: float, burst: int, gaps: list[float], restart: bool) -> None:
    limits = {"rate": rate, "burst": burst}
    gate = gate_of(limits)
    now, times = 0.0, []
    for n, gap in enumerate(gaps):
        now += gap
        if restart and n == len(gaps) // 2:
            gate = gate_of(limits, since=now)
        for _ in range(take_all(gate, A, now, most=50)):
            times.append(now)
            gate.ended(A, now)
    spare = 1 if restart else 0  # the first request of a host after a start
    for i, start in enumerate(times):
        for j in range(i, len(times)):
            assert j - i + 1 <= burst + spare + rate * (times[j] - start) + 1e-3
