"""The judge of a disturbed crawl names whatever is wrong, and nothing where nothing is."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.libs.task import Status
from crawlkit.proving.judge import Evidence, judge, refetches
from crawlkit.proving.site import Page
from crawlkit.scheduler.books import Report as Books

TRUTH = {url: Page("t", "h", url) for url in ("a", "b", "c")}
RIGHT = [(url, page._asdict()) for url, page in TRUTH.items()]
TASKS = [("data:,on_start", Status.SUCCESS), *((url, Status.SUCCESS) for url in TRUTH)]
ASKED = {"a": 1, "b": 3, "c": 1}


def books(leased: int = 0, *problems: str) -> Books:
    return Books("shop", [], 4, 4, 0, leased, 4, 3, [*problems])


def found(**wrong: Any) -> list[str]:
    right: dict[str, Any] = {"truth": TRUTH, "asked": ASKED, "results": RIGHT, "tasks": TASKS, "books": books()}
    return judge(Evidence(**{**right, **wrong}))


def test_nothing_is_said_of_a_crawl_that_is_right() -> None:
    assert found() == []
    assert refetches(ASKED) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"results": RIGHT[1:]}, ["missing: a"]),
        ({"results": [*RIGHT, RIGHT[2]]}, ["twice: c"]),
        ({"results": [*RIGHT[1:], ("a", TRUTH["b"]._asdict())]}, ["wrong: a: Page(title='t', h1='h', price='b')"]),
        ({"asked": {"a": 1, "b": 1}}, ["never asked for: c"]),
        ({"asked": {**ASKED, "d": 1}}, ["asked for, and there is no such page: d"]),
        ({"tasks": [*TASKS[:-1], ("c", Status.ACTIVE)]}, ["task left active: c"]),
        ({"tasks": [*TASKS[:-1], ("c", Status.FAILED)]}, ["task failed: c"]),
        ({"tasks": [("data:,on_start", Status.ACTIVE), *TASKS[1:]]}, ["task left active: data:,on_start"]),
        ({"tasks": [*TASKS, ("d", Status.SUCCESS)]}, ["task of no page: d"]),
        ({"tasks": [*TASKS, TASKS[1]]}, ["2 tasks: a"]),
        ({"tasks": TASKS[:-1]}, ["no task: c"]),
        ({"books": books(2)}, ["books: 2 tasks are still leased"]),
        ({"books": books(0, "accepted 4 runs, but 3 ended")}, ["books: accepted 4 runs, but 3 ended"]),
    ],
)
def test_each_deviation_is_named(wrong: dict[str, Any], words: list[str]) -> None:
    assert found(**wrong) == words
