"""What a handler and a project's row may say of bounds, and the words for what they may not."""

from __future__ import annotations

import pytest

from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.bounds import (
    NO_BOUNDS,
    Bounds,
    bounds_of,
    check_limits,
    joined,
    kept_for,
    limits_of,
    seconds_of,
    shown,
    text_of,
    weight_of,
    with_limit,
)
from crawlkit.libs.errors import InvalidProject, InvalidTask


def test_a_crawl_config_without_bounds_has_none() -> None:
    assert bounds_of({"timeout": 3}) is NO_BOUNDS
    assert bounds_of({"bounds": {"max_depth": None}}) == NO_BOUNDS


def test_all_of_them() -> None:
    said = {"max_depth": 0, "max_url_length": 200, "max_repeats": 2, "max_tasks": 10, "max_tasks_per_host": 5,
            "include": ("*://shop/*",), "exclude": ["*/print/*"]}  # fmt: skip
    found = bounds_of({"bounds": said})
    assert (found.max_depth, found.max_tasks, found.include, found.exclude) == (0, 10, ["*://shop/*"], ["*/print/*"])


@pytest.mark.parametrize(
    ("said", "path", "words"),
    [
        (5, "crawl_config.bounds", "use a dict"),
        ({"depth": 5}, "crawl_config.bounds.depth", "there are: max_depth"),
        ({"max_depth": -1}, "crawl_config.bounds.max_depth", "0 or more"),
        ({"max_repeats": 0}, "crawl_config.bounds.max_repeats", "1 or more"),
        ({"max_tasks": "many"}, "crawl_config.bounds.max_tasks", "int"),
        ({"max_tasks": 2.5}, "crawl_config.bounds.max_tasks", "int"),
        ({"include": "*"}, "crawl_config.bounds.include", "array"),
        ({"exclude": [""]}, "crawl_config.bounds.exclude", "1 to 1000 characters"),
        ({"exclude": ["a"] * 101}, "crawl_config.bounds.exclude", "100 at most"),
    ],
)
def test_what_is_wrong_is_named(said: object, path: str, words: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        bounds_of({"bounds": said})
    assert caught.value.path == path
    assert words in caught.value.problem


def test_a_handler_tells_them_to_the_scheduler_and_is_refused_with_wrong_ones() -> None:
    good = type("Handler", (BaseHandler,), {"crawl_config": {"bounds": {"max_depth": 3}, "timeout": 9}})
    assert bounds_of(good().project_info().crawl_config) == Bounds(max_depth=3)
    bad = type("Handler", (BaseHandler,), {"crawl_config": {"bounds": {"max_deph": 3}}})
    with pytest.raises(InvalidTask, match=r"crawl_config\.bounds\.max_deph: is no bound"):
        bad().project_info()


def test_limits_of_a_row_win() -> None:
    limits = with_limit(with_limit({}, "max_depth=7"), "exclude=unlimited")
    bounds = Bounds(max_depth=2, max_tasks=9, exclude=["*a*"])
    assert joined(bounds, limits) == Bounds(max_depth=7, max_tasks=9)
    assert joined(bounds, with_limit(limits, "max_depth=default")) == Bounds(max_depth=2, max_tasks=9)
    assert limits_of(text_of(limits)) == limits
    assert text_of({}) is None
    assert joined(bounds, {}) is bounds


def test_patterns_are_parted_by_spaces() -> None:
    assert with_limit({}, "include=*://a/* *://b/*") == {"include": ["*://a/*", "*://b/*"]}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("max_depth", "NAME=VALUE"),
        ("max_deph=3", "there are max_depth"),
        ("max_deph=default", "there are max_depth"),
        ("max_depth=three", "whole number"),
        ("max_repeats=0", "1 or more, or unlimited"),
        ("keep_tasks=soon", "90d"),
        ("weight=0", "from 1 to 100"),
        ("weight=101", "from 1 to 100"),
        ("weight=unlimited", "from 1 to 100"),
        ("weight=much", "whole number"),
        ("keep_tasks=0d", "90d"),
        ("keep_tasks=90", r"keep_tasks=90: say which, 90d \(90 days\) or 90s \(seconds\)"),
        ("exclude=", r"exclude: say a pattern, like exclude=\*/calendar/\*"),
        ("include=  ", "include: say a pattern"),
    ],
)
def test_a_wrong_limit_is_refused_in_words(said: str, words: str) -> None:
    with pytest.raises(InvalidProject, match=words):
        with_limit({}, said)


def test_a_row_with_limits_that_nobody_can_read_is_refused() -> None:
    check_limits(None)
    check_limits('{"max_depth": 3, "keep_tasks": 60}')
    for text in ("[]", "{", '{"a": 1}', '{"keep_tasks": true}', '{"max_depth": "5"}', '{"exclude": [""]}'):
        with pytest.raises(InvalidProject):
            check_limits(text)


def test_times() -> None:
    assert [seconds_of(text) for text in ("90d", "1.5h", "30m", "5s", "2w")] == [7_776_000, 5_400, 1_800, 5, 1_209_600]
    assert kept_for({}, None) is None
    assert kept_for({}, 60.0) == 60.0
    assert kept_for({"keep_tasks": 5}, 60.0) == 5
    assert kept_for({"keep_tasks": "unlimited"}, 60.0) is None


def test_for_people() -> None:
    limits = with_limit(with_limit(with_limit({}, "keep_tasks=90d"), "max_depth=5"), "include=*a* *b*")
    assert shown(limits) == "include *a* *b*, keep_tasks 90d, max_depth 5"
    assert shown({"keep_tasks": 5}) == "keep_tasks 5s"


def test_a_weight_is_one_unless_it_is_said() -> None:
    assert weight_of({}) == 1
    limits = with_limit({}, "weight=5")
    assert (limits, weight_of(limits), shown(limits)) == ({"weight": 5}, 5, "weight 5")
    assert with_limit(limits, "weight=default") == {}
    for text in ('{"weight": 0}', '{"weight": true}', '{"weight": 1.5}', '{"weight": "unlimited"}'):
        with pytest.raises(InvalidProject, match="from 1 to 100"):
            check_limits(text)
