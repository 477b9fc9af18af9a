"""Delays between the tries of a task."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.task import Schedule
from crawlkit.scheduler.retry import DEFAULT_DELAYS, ONE_DELAYS, next_crawl, next_try

HOUR, DAY = 3600.0, 86_400.0


def history(
    schedule: Schedule, delays: Mapping[str, float] | None = None, limit: int = 9, **more: object
) -> list[float]:
    """The delays of a task that fails every time, up to ``limit`` of them."""
    found: list[float] = []
    for retried in range(limit):
        delay = next_try(retried=retried, schedule=schedule, delays=delays or {}, **more)  # type: ignore[arg-type]
        if delay is None:
            break
        found.append(delay)
    return found


@pytest.mark.parametrize(
    ("name", "schedule", "delays", "expected"),
    [
        ("S46 three retries", Schedule(), {}, [30, HOUR, 6 * HOUR]),
        ("S46 six retries", Schedule(retries=6), {}, [30, HOUR, 6 * HOUR, 12 * HOUR, DAY, DAY]),
        ("S46 none", Schedule(retries=0), {}, []),
        ("S46 negative", Schedule(retries=-1), {}, []),
        ("S47 age caps", Schedule(age=100), {}, [30, 100, 100]),
        ("S47 age 0 is at once", Schedule(age=0), {}, [0, 0, 0]),
        ("S47 age -1 says nothing", Schedule(age=-1), {}, [30, HOUR, 6 * HOUR]),
        ("S47 a long age caps nothing", Schedule(age=30 * DAY), {}, [30, HOUR, 6 * HOUR]),
        ("S48 replaced", Schedule(), {"0": 1, "1": 2, "": 3}, [1, 2, 3]),
        ("S48 the rest", Schedule(), {"": 7}, [7, 7, 7]),
        ("S48 no rest", Schedule(), {"0": 5}, [5, DAY, DAY]),
        ("S48 negative rest", Schedule(), {"": -1}, []),
        ("S48 negative later", Schedule(), {"0": 4, "1": -1, "": 9}, [4]),
        ("S48 zero", Schedule(retries=2), {"": 0}, [0, 0]),
        ("S48 capped", Schedule(age=5), {"": 60}, [5, 5, 5]),
        ("S49 for ever", Schedule(auto_recrawl=True, age=60, retries=0), {}, [30, 60, 60, 60, 60, 60, 60, 60, 60]),
        ("S49 age 0", Schedule(auto_recrawl=True, age=0), {}, [0] * 9),
        ("S49 without age: as any task", Schedule(auto_recrawl=True), {}, [30, HOUR, 6 * HOUR]),
        ("S49 a negative delay still ends it", Schedule(auto_recrawl=True, age=60), {"": -1}, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_delays(name: str, schedule: Schedule, delays: dict[str, float], expected: list[float]) -> None:
    assert history(schedule, delays) == expected


def test_one_is_quick_unless_the_handler_says_so() -> None:
    assert history(Schedule(), defaults=ONE_DELAYS) == [1, 5, 15]
    assert history(Schedule(), {"": 40}, defaults=ONE_DELAYS) == [40, 40, 40]


def test_S49_a_success_comes_back_after_its_age() -> None:
    assert next_crawl(Schedule(auto_recrawl=True, age=60)) == 60
    assert next_crawl(Schedule(auto_recrawl=True, age=0)) == 0
    assert next_crawl(Schedule(auto_recrawl=True)) is None
    assert next_crawl(Schedule(age=60)) is None


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    retried=st.integers(0, 50),
    retries=st.integers(-1, 40),
    age=st.one_of(st.just(-1.0), st.floats(0, 1e6)),
    auto=st.booleans(),
    delays=st.dictionaries(st.sampled_from(["0", "1", "2", "3", "10", ""]), st.floats(-5, 1e6)),
)
def test_laws(retried: int, retries: int, age: float, auto: bool, delays: dict[str, float]) -> None:
    schedule = Schedule(retries=retries, age=age, auto_recrawl=auto)
    delay = next_try(retried=retried, schedule=schedule, delays=delays)
    table = delays or DEFAULT_DELAYS
    wanted = table.get(str(retried), table.get("", DAY))
    if delay is None:
        assert wanted < 0 or (retried >= retries and not (auto and age >= 0))
    else:
        assert 0 <= delay <= wanted
        assert age < 0 or delay <= age


@pytest.mark.parametrize("reason", ["bad_url", "bad_request"])
def test_what_cannot_ever_work_is_not_tried_again(reason: str) -> None:
    """Not even when the handler says delays; but auto_recrawl keeps its word."""
    assert history(Schedule(retries=9), {"": 5}, reason=reason) == []
    assert history(Schedule(auto_recrawl=True, age=60), reason=reason, limit=3) == [30, 60, 60]
    assert history(Schedule(retries=2), {"": 5}, reason="dns") == [5, 5]
