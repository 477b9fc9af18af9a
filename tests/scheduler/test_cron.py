"""Instants of @every, also where clocks change, and after outages."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.errors import InvalidProject
from crawlkit.libs.messages import CronSpec
from crawlkit.scheduler import cron
from crawlkit.scheduler.cron import check_spec, due_instants, next_instants, overlap_allows

PARIS = ZoneInfo("Europe/Paris")
NOW = 1_700_000_000.0
HOUR = 3600.0


def every(seconds: float, **more: str) -> CronSpec:
    return CronSpec("m", seconds=seconds, **more)


def line(text: str, tz: str = "UTC", **more: str) -> CronSpec:
    return CronSpec("m", cron=text, tz=tz, **more)


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def utc(instants: list[float]) -> list[str]:
    return [datetime.fromtimestamp(i, UTC).strftime("%m-%d %H:%M") for i in instants]


def test_H30_intervals_count_from_the_epoch() -> None:
    assert next_instants(every(86_400), at("2026-05-04T10:00"), 2) == [at("2026-05-05T00:00"), at("2026-05-06T00:00")]
    assert next_instants(every(300), at("2026-05-04T10:03"), 1) == [at("2026-05-04T10:05")]
    assert next_instants(every(300), at("2026-05-04T10:05"), 1) == [at("2026-05-04T10:10")]
    assert next_instants(every(60), NOW, 0) == []


def test_instants_are_floats_whatever_was_given() -> None:
    assert all(type(i) is float for i in next_instants(every(60), NOW, 2) + due_instants(every(60), NOW - 600, NOW))


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 8 * * 1-5", "2026-05-01T09:00", ["05-04 08:00", "05-05 08:00"]),
        ("0 8 * * MON-FRI", "2026-05-01T09:00", ["05-04 08:00", "05-05 08:00"]),
        ("*/20 * * * *", "2026-05-01T09:00", ["05-01 09:20", "05-01 09:40"]),
        ("30 2 1 * *", "2026-05-01T09:00", ["06-01 02:30", "07-01 02:30"]),
        ("0 0 13 * 5", "2026-05-01T09:00", ["05-08 00:00", "05-13 00:00"]),
        ("0 0 29 2 *", "2026-05-01T09:00", ["02-29 00:00", "02-29 00:00"]),
        ("59 23 31 12 *", "2026-05-01T09:00", ["12-31 23:59", "12-31 23:59"]),
    ],
)
def test_cron_lines(text: str, after: str, expected: list[str]) -> None:
    assert utc(next_instants(line(text), at(after), 2)) == expected


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        # 29 March 2026: 02:00 becomes 03:00, 01:00 UTC
        pytest.param("30 2 * * *", "2026-03-28", "2026-03-31", ["03-28 01:30", "03-29 01:00", "03-30 00:30"], id="gap"),
        pytest.param("0,30 2 * * *", "2026-03-29", "2026-03-30", ["03-29 01:00"], id="two left out"),
        pytest.param("30 3 * * *", "2026-03-29", "2026-03-30", ["03-29 01:30"], id="after the gap"),
        pytest.param("0 * * * *", "2026-03-29", "2026-03-29T05:00", [
            "03-28 23:00", "03-29 00:00", "03-29 01:00", "03-29 02:00"], id="hourly, spring"),
        # 25 October 2026: 03:00 becomes 02:00 again, 01:00 UTC
        pytest.param("30 2 * * *", "2026-10-24", "2026-10-27", ["10-24 00:30", "10-25 00:30", "10-26 01:30"], id="2x"),
        pytest.param("0 3 * * *", "2026-10-25", "2026-10-26", ["10-25 02:00"], id="after the repetition"),
        pytest.param("0 * * * *", "2026-10-25", "2026-10-25T04:00", [
            "10-24 22:00", "10-24 23:00", "10-25 00:00", "10-25 01:00", "10-25 02:00"], id="hourly, autumn"),
        pytest.param("*/30 * * * *", "2026-10-25T02:00", "2026-10-25T03:00", [
            "10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"], id="half-hourly, autumn"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("one_by_one", [True, False])
def test_clock_changes_in_paris(text: str, start: str, end: str, expected: list[str], one_by_one: bool) -> None:
    spec, position, stop = line(text, "Europe/Paris"), at(start, PARIS) - 1, at(end, PARIS)
    found: list[float] = []
    if one_by_one:
        while (instant := next_instants(spec, position, 1)[0]) < stop:
            found.append(instant)
            position = instant
    else:
        found = [i for i in next_instants(spec, position, 30) if i < stop]
    assert utc(found) == expected


@pytest.mark.parametrize("minute", range(0, 180, 10))
@pytest.mark.parametrize("night", ["2026-03-28T23:30", "2026-10-24T23:30"])
def test_02_30_comes_once_wherever_the_question_starts(night: str, minute: int) -> None:
    spec = line("30 2 * * *", "Europe/Paris")
    cron._line.cache_clear()
    start = at(night) + minute * 60
    everything = next_instants(spec, at(night) - HOUR, 5)
    assert next_instants(spec, start, 2) == [i for i in everything if i > start][:2]


def test_outages_one_table() -> None:
    last, now = at("2026-05-04T09:00"), at("2026-05-04T12:30")
    ten, eleven, twelve = (at(f"2026-05-04T{hour}:00") for hour in (10, 11, 12))
    for make in (lambda mode: every(3600, catch_up=mode), lambda mode: line("0 * * * *", catch_up=mode)):
        assert due_instants(make("all"), last, now) == [ten, eleven, twelve]
        assert due_instants(make("once"), last, now) == [twelve]
        assert due_instants(make("none"), last, now) == []
        assert due_instants(make("none"), last, twelve + 5) == [twelve]
        assert due_instants(make("once"), last, twelve + 5) == [twelve]
        assert due_instants(make("none"), last, twelve + 61) == []
        assert due_instants(make("none"), last, now, outage_gap=86_400) == [ten, eleven, twelve]
        for mode in ("all", "once", "none"):
            assert due_instants(make(mode), eleven, twelve + 0.2) == [twelve]
            assert due_instants(make(mode), twelve, now) == []
            assert due_instants(make(mode), None, now) == []
            assert due_instants(make(mode), now + 9999, now) == []


def test_none_takes_no_instant_that_is_nearly_over() -> None:
    spec, minute = every(60, catch_up="none"), NOW - NOW % 60
    assert due_instants(spec, minute - 600, minute + 29) == [minute]
    assert due_instants(spec, minute - 600, minute + 31) == []


def test_a_short_stall_is_no_outage() -> None:
    for mode in ("all", "once", "none"):
        assert due_instants(every(1, catch_up=mode), NOW, NOW + 3.5) == [NOW + 1, NOW + 2, NOW + 3]


def test_all_is_given_in_bounded_portions() -> None:
    spec, last, now = every(60, catch_up="all"), NOW - NOW % 60, NOW + 86_400 * 2
    seen: list[float] = []
    while due := due_instants(spec, last, now):
        assert len(due) <= cron.MAX_DUE
        seen += due
        last = due[-1]
    assert seen == [seen[0] + 60 * n for n in range(2 * 1440)]


@pytest.mark.parametrize("spec", [line("* * * * *"), line("0 0 29 2 *"), line("0 0 1 1 *", "Asia/Tokyo"), every(1)])
def test_the_last_instant_of_a_very_long_outage_is_found_at_once(spec: CronSpec) -> None:
    started = time.process_time()
    (found,) = due_instants(spec, 0.0, NOW)
    assert time.process_time() - started < 1
    assert found <= NOW < next_instants(spec, found, 1)[0]


def test_a_line_that_never_comes_again_ends() -> None:
    assert next_instants(line("0 0 1 1 *"), at("9990-05-05T00:00"), 100)[-1] == at("9999-01-01T00:00")
    assert next_instants(line("0 0 1 1 *"), 1e15, 1) == []


@pytest.mark.parametrize(
    ("overlap", "idle", "running", "waiting"),
    [("skip", "run", "skip", "skip"), ("queue", "run", "queue", "queue"), ("allow", "run", "run", "run")],
)
def test_overlap(overlap: str, idle: str, running: str, waiting: str) -> None:
    assert overlap_allows(overlap, running=False, queued=False) == idle
    assert overlap_allows(overlap, running=True, queued=False) == running
    assert overlap_allows(overlap, running=False, queued=True) == waiting
    assert overlap_allows(overlap, running=True, queued=True) == waiting


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (CronSpec("m"), "either an interval or cron="),
        (CronSpec("m", seconds=60, cron="* * * * *"), "not both"),
        (every(0), "at least 1 second"),
        (every(0.5), "at least 1 second"),
        (every(-60), "at least 1 second"),
        (every(float("nan")), "at least 1 second"),
        (every(float("inf")), "at most 10 years"),
        (every(60, catch_up="twice"), "once, all, none"),
        (every(60, overlap="maybe"), "skip, queue, allow"),
        (line("* * * *"), "minute, hour, day, month and weekday"),
        (line("* * * * * *"), "minute, hour, day, month and weekday"),
        (line(""), "minute, hour, day, month and weekday"),
        (line("61 * * * *"), "Bad minute"),
        (line("* 25 * * *"), "Bad hour"),
        (line("0 0 30 2 *"), "Bad day-of-month"),
        (line("0 0 * * FUNDAY"), "Bad day-of-week"),
        (line("* * * * *", "Europe/Nowhere"), "time zone 'Europe/Nowhere' is unknown"),
        (line("* * * * *", "../../etc/passwd"), "is unknown"),
        (line("* * * * *", ""), "is unknown"),
        (line("* * * * *", "Europe"), "is unknown"),
    ],
)
def test_errors_in_words(spec: CronSpec, words: str) -> None:
    with pytest.raises(InvalidProject, match=words) as caught:
        check_spec(spec)
    assert str(caught.value).startswith("@every of m: ")
    assert "\n" not in str(caught.value)


def test_good_specs_pass() -> None:
    for spec in (every(1), every(90.5), line("0 8 * * 1-5", "Europe/Paris", catch_up="all", overlap="queue")):
        check_spec(spec)


def test_a_simulated_year_of_twenty_hourly_crons_is_quick() -> None:
    started, count = time.process_time(), 0
    for number in range(20):
        spec = line(f"{number} * * * *", "Europe/Paris" if number % 2 else "UTC")
        position, end = at("2026-01-01T00:00"), at("2027-01-01T00:00")
        while (instant := next_instants(spec, position, 1)[0]) < end:
            position = instant
            count += 1
    assert 175_180 <= count <= 175_220
    assert time.process_time() - started < 8


FIELD = {
    "minute": st.sampled_from(["*", "0", "30", "*/7", "5-9", "1,31,59"]),
    "hour": st.sampled_from(["*", "0", "13", "*/5", "2-3", "1,23"]),
    "day": st.sampled_from(["*", "1", "31", "*/9", "10-12"]),
    "month": st.sampled_from(["*", "1", "12", "*/2"]),
    "weekday": st.sampled_from(["*", "0", "7", "1-5", "SAT"]),
}


def values(field: str, low: int, high: int) -> set[int]:
    """An independent reading of the few forms above."""
    found: set[int] = set()
    for part in field.replace("SAT", "6").split(","):
        body, _, step = part.partition("/")
        first, _, final = body.partition("-")
        span = range(low, high + 1) if body == "*" else range(int(first), int(final or first) + 1)
        found |= set(span[:: int(step or 1)])
    return found


class Reading:
    """Which minutes a line matches, worked out without the library."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.text = " ".join(fields[name] for name in ("minute", "hour", "day", "month", "weekday"))
        self.minutes, self.hours = values(fields["minute"], 0, 59), values(fields["hour"], 0, 23)
        self.days, self.months = values(fields["day"], 1, 31), values(fields["month"], 1, 12)
        self.weekdays = values(fields["weekday"], 0, 7)
        self.both = fields["day"].startswith("*") or fields["weekday"].startswith("*")

    def matches(self, moment: datetime) -> bool:
        if moment.minute not in self.minutes or moment.hour not in self.hours or moment.month not in self.months:
            return False
        day = moment.day in self.days
        weekday = moment.isoweekday() in self.weekdays or moment.isoweekday() % 7 in self.weekdays
        return (day and weekday) if self.both else (day or weekday)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(fields=st.fixed_dictionaries(FIELD), start=st.integers(1_700_000_000, 1_800_000_000))
def test_instants_are_exactly_the_minutes_that_match(fields: dict[str, str], start: int) -> None:
    reading = Reading(fields)
    found = next_instants(line(reading.text), start, 3)
    position = start - start % 60 + 60
    expected = [
        float(instant)
        for instant in range(position, position + 36 * 3600, 60)
        if reading.matches(datetime.fromtimestamp(instant, UTC))
    ]
    assert [i for i in found if i < position + 36 * 3600] == expected[:3]
    assert all(reading.matches(datetime.fromtimestamp(i, UTC)) for i in found)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    spec=st.sampled_from([every(3600), every(7), every(1.7), line("*/7 * * * *"), line("30 2 * * *", "Europe/Paris")]),
    start=st.floats(1.7e9, 1.8e9),
    questions=st.lists(st.floats(0, 1e5), min_size=1, max_size=8),
)
def test_answers_do_not_depend_on_earlier_questions(spec: CronSpec, start: float, questions: list[float]) -> None:
    for offset in questions:
        got = next_instants(spec, start + offset, 3)
        cron._line.cache_clear()
        assert next_instants(spec, start + offset, 3) == got
        assert start + offset < got[0] < got[1] < got[2]
        assert next_instants(spec, got[0], 2) == got[1:]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    spec=st.sampled_from([every(60, catch_up="all"), every(7, catch_up="all"), line("*/3 * * * *", catch_up="all")]),
    pauses=st.lists(st.floats(0, 5000), min_size=1, max_size=25),
)
def test_with_all_every_instant_comes_once(spec: CronSpec, pauses: list[float]) -> None:
    last = now = NOW
    fired: list[float] = []
    for pause in pauses:
        now += pause
        while due := due_instants(spec, last, now):
            fired += due
            last = due[-1]
    expected: list[float] = []
    while (instant := next_instants(spec, expected[-1] if expected else NOW, 1)[0]) <= now:
        expected.append(instant)
    assert fired == expected
