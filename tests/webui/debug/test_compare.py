"""What is said of a field, of a callback, of a result that is no object."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.webui.debug.compare import Comparison, PageRun, fields_of, summary


def compared(*pairs: tuple[list[Any], list[Any]], **said: Any) -> Comparison:
    comparison = Comparison("detail")
    for number, (old, new) in enumerate(pairs):
        comparison.add(
            f"kept-{number}",
            f"http://a/{number}",
            PageRun(old, len(old), **said.get("old", {})),
            PageRun(new, len(new), **said.get("new", {})),
        )
    return comparison


@pytest.mark.parametrize(
    ("old", "new", "verdict", "text"),
    [
        ({"a": 1}, {"a": 1}, "same", "a: 2 of 2 -> 2 of 2"),
        ({"a": 1}, {"a": 2}, "changed", "a: changed in 2 of 2"),
        ({"a": 1}, {"a": None}, "lost", "a: 2 of 2 -> 0 of 2"),
        ({"a": 1}, {"a": ""}, "lost", "a: 2 of 2 -> 0 of 2"),
        ({"a": 1}, {"a": []}, "lost", "a: 2 of 2 -> 0 of 2"),
        ({"a": None}, {"a": 0}, "gained", "a: 0 of 2 -> 2 of 2"),
        ({"a": 0}, {"a": False}, "same", "a: 2 of 2 -> 2 of 2"),
    ],
)
def test_a_field(old: Any, new: Any, verdict: str, text: str) -> None:
    (field,) = compared(([old], [new]), ([old], [new])).shown()["fields"]
    assert (field["verdict"], field["text"]) == (verdict, text)


def test_some_and_more_of_a_field() -> None:
    has, lacks = {"a": 1, "b": 1}, {"a": None, "b": 1}
    some = compared(([has], [has]), ([has], [lacks])).shown()
    assert some["fields"][0]["text"] == "a: 2 of 2 -> 1 of 2"
    assert (some["fields"][0]["verdict"], some["verdict"]) == ("fewer", "worse")
    assert some["fields"][0]["examples"] == [{"page": "kept-1", "url": "http://a/1", "old": 1, "new": None}]
    more = compared(([has], [has]), ([lacks], [has])).shown()
    assert (more["fields"][0]["verdict"], more["verdict"]) == ("more", "better")


def test_fields_inside_fields_and_results_that_are_no_objects() -> None:
    assert dict(fields_of({"a": {"b": {"c": {"d": 1}}, "e": ""}, "f": [1]})) == {"a.b.c": {"d": 1}, "f": [1]}
    assert dict(fields_of("text")) == {"(result)": "text"}
    assert dict(fields_of(None)) == {}


def test_results_follows_and_failures_count() -> None:
    fewer = compared(([1, 2], [1]))
    assert fewer.shown()["verdict"] == "worse"
    assert "detail: results: 2 -> 1" in summary([fewer])
    links = compared(([1], [1]), old={"follows": 20}, new={"follows": 19})
    assert (links.shown()["follows"], summary([links])) == ({"old": 20, "new": 19}, ["detail: follow-ups: 20 -> 19"])
    broken = compared(([1], []), new={"error": "ValueError: x", "line": 7})
    assert summary([broken])[0] == "detail: fails on 1 of 1 pages: ValueError: x (line 7)"
    assert broken.shown()["exceptions"] == {
        "old": 0, "new": 1,
        "examples": [{"page": "kept-0", "url": "http://a/0", "message": "ValueError: x", "line": 7}],
    }  # fmt: skip
    mended = compared(([], []), old={"error": "ValueError: x"})
    assert mended.shown()["verdict"] == "better"
    gone = compared(([1], []), new={"error": "NotImplementedError", "missing": True})
    assert gone.shown()["missing"]
    assert summary([gone]) == ["detail: there is no such callback any more"]


def test_what_waits_is_skipped() -> None:
    waits = compared(([1], []), new={"waits": True})
    assert (waits.shown()["skipped"], waits.shown()["pages"], waits.shown()["verdict"]) == (1, 0, "same")


def test_the_worst_comes_first() -> None:
    both = compared(([{"a": 1, "z": 1}], [{"a": 2}]))
    assert summary([both]) == ["detail: z: 1 of 1 -> 0 of 1", "detail: a: changed in 1 of 1"]


def test_of_very_many_results_the_first_are_compared() -> None:
    comparison = Comparison("list")
    comparison.add("kept-1", "http://a/", PageRun([{"a": 1}], 5000), PageRun([{"a": 1}], 5000))
    shown = comparison.shown()
    assert shown["fields"][0]["text"] == "a: 1 of 1 -> 1 of 1"
    assert shown["results"] == {"old": 5000, "new": 5000}
