"""How long a component was away: what it had done before its death does not count as its return."""

from __future__ import annotations

import pytest

from crawlkit.proving.kills import Blow
from crawlkit.proving.ledger import Request
from crawlkit.proving.recovery import Seen, Traces, percentile, recoveries

DEATH = 10.0


def blow(part: str, returned: float | None = None) -> Blow:
    return Blow(part, 1, 1, DEATH, frozenset([1]), returned)


def one(part: str, traces: Traces, returned: float | None = None) -> float | None:
    (found,) = recoveries([blow(part, returned)], traces)
    return found


def test_scheduler_and_result_worker_what_a_look_that_began_before_may_have_missed_does_not_count() -> None:
    seen = [Seen(8.0, 8.5), Seen(9.9, 10.1), Seen(10.2, 10.4), Seen(10.4, 10.6)]
    assert one("scheduler", Traces([], [], seen)) == pytest.approx(0.4)
    assert one("result_worker", Traces([], seen, [])) == pytest.approx(0.4)
    assert one("scheduler", Traces([], seen, seen[:2])) is None
    assert one("result_worker", Traces([], seen[:2], seen)) is None


def test_fetcher_only_a_connection_that_was_made_when_there_was_another_one_counts() -> None:
    requests = [Request(9.0, "/a", 5.0), Request(10.1, "/b", 5.0), Request(10.3, "/c", 10.2), Request(11.0, "/d", 10.9)]
    traces = Traces(requests, [], [])
    assert one("fetcher", traces, returned=10.5) == pytest.approx(1.0)
    assert one("fetcher", traces, returned=10.15) == pytest.approx(0.3)
    assert one("fetcher", traces, returned=11.5) is None
    assert one("fetcher", traces) is None


@pytest.mark.parametrize("part", ["processor", "worker"])
def test_processor_only_a_page_that_was_first_asked_for_after_the_death_counts(part: str) -> None:
    requests = [Request(9.0, "/a", 5.0), Request(10.2, "/a", 5.0), Request(10.3, "/b", 5.0)]
    results = [Seen(10.3, 10.5, "/a"), Seen(10.7, 10.8, "/b")]
    assert one(part, Traces(requests, results, [])) == pytest.approx(0.8)
    assert one(part, Traces(requests, results[:1], [])) is None


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 21)]
    assert [percentile(values, share) for share in (0.5, 0.95, 1.0)] == [10.0, 19.0, 20.0]
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([], 0.95) == 0.0
