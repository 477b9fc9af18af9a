from __future__ import annotations

from typing import Any

import pytest

from crawlkit.libs.every import crons_of, every
from crawlkit.libs.messages import CronSpec


def test_times_are_added_up() -> None:
    class Handler:
        @every(days=1, hours=2, minutes=3, seconds=4)
        def tick(self) -> None: ...

    assert crons_of(Handler) == [CronSpec("tick", seconds=86400 + 7200 + 180 + 4)]


def test_bare_means_each_minute() -> None:
    class Handler:
        @every
        def tick(self) -> None: ...

    assert crons_of(Handler) == [CronSpec("tick", seconds=60)]


def test_stacked_and_inherited() -> None:
    class Base:
        @every(minutes=5)
        def inherited(self) -> None: ...

        @every(minutes=5)
        def dropped(self) -> None: ...

    class Handler(Base):
        @every(cron="0 8 * * 1-5", tz="Europe/Paris", catch_up="all", overlap="queue")
        @every(seconds=30)
        def own(self) -> None: ...

        def dropped(self) -> None:
            """Defined anew without a time."""

    assert crons_of(Handler) == [
        CronSpec("inherited", seconds=300),
        CronSpec("own", cron="0 8 * * 1-5", tz="Europe/Paris", catch_up="all", overlap="queue"),
        CronSpec("own", seconds=30),
    ]
    assert [spec.method for spec in crons_of(Base)] == ["dropped", "inherited"]


def test_the_method_stays_itself() -> None:
    def tick() -> str:
        return "x"

    assert every(minutes=1)(tick) is tick


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give minutes="),
        ({"minutes": 0}, "give minutes="),
        ({"minutes": -1}, "above 0"),
        ({"seconds": float("nan")}, "above 0"),
        ({"seconds": 0.5}, "shortest"),
        ({"minutes": "5"}, "a number"),
        ({"minutes": True}, "a number"),
        ({"cron": "0 8 * *"}, "five fields"),
        ({"cron": "61 8 * * *"}, "cron='61 8"),
        ({"cron": "0 0 30 2 *"}, "cron='0 0 30 2"),
        ({"cron": "0 8 * * *", "minutes": 1}, "not both"),
        ({"cron": "0 8 * * *", "tz": "Mars/Base"}, "no time zone"),
        ({"cron": "0 8 * * *", "tz": "../etc/passwd"}, "no time zone"),
        ({"minutes": 1, "tz": "UTC"}, "tz goes with cron"),
        ({"minutes": 1, "catch_up": "some"}, "once, all, none"),
        ({"minutes": 1, "overlap": "stack"}, "skip, queue, allow"),
    ],
)
def test_what_is_wrong_is_said_in_words(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        every(**arguments)
    assert str(caught.value).startswith("@every: ")


def test_a_number_in_place_of_a_name() -> None:
    with pytest.raises(TypeError, match="name the times"):
        every(5)  # type: ignore[call-overload]
