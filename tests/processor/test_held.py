"""Whose a message is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched, FetchedHead, decode, encode
from crawlkit.libs.task import Fetch, Schedule
from crawlkit.processor.held import Held, is_of, key_of
from crawlkit.processor.outcome import ended


def fetched(**fields: Any) -> Fetched:
    task = Dispatch("p", "t", 1, 2, "http://h/", "v", None, 0, TASK, Schedule(), Fetch(), NIL, 0.0, partition=3)
    task = msgspec.structs.replace(task, **fields)
    return Fetched(task, 200, "http://h/", "http://h/", [], {}, 0.1, content=b"x")


def held_of(message: Fetched) -> Held:
    body = encode(message)
    head = decode(body, FetchedHead).task
    return Held((1,), body, head, key_of(head))


def test_an_outcome_is_of_the_task_it_names_and_goes_where_that_one_belongs() -> None:
    assert is_of(held_of(fetched()), encode(ended(fetched(), node="n")))


@pytest.mark.parametrize(
    "other", [{"project": "q"}, {"taskid": "u"}, {"run": 2}, {"attempt": 1}, {"partition": 0}, {"partition": 300}]
)
def test_another_ones_is_not(other: dict[str, Any]) -> None:
    assert not is_of(held_of(fetched()), encode(ended(fetched(**other), node="n")))


def test_what_cannot_be_read_is_nobodys() -> None:
    assert not is_of(held_of(fetched()), b"\x01\x93")
