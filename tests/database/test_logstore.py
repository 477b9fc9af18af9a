"""The contract of the store of logs, over every backend."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawlkit.database import logrules
from crawlkit.database.base import LogFilter, LogLine, LogStore
from crawlkit.database.registry import connect_logdb
from crawlkit.database.sqlalchemy import tables

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    made = connect_logdb(url_of(request.param, tmp_path))
    yield made
    made.close()


def line(text: str, time: float = 1_000.0, level: int = 20, **fields: Any) -> LogLine:
    return LogLine(time, level, text, **fields)


def texts(store: LogStore, **wanted: Any) -> list[str]:
    """All pages of a search, newest first."""
    found, before = list[str](), None
    while True:
        page = store.search(LogFilter(**wanted), before)
        found += [line.text for line in page.lines]
        if page.next is None:
            return found
        before = page.next


def test_an_empty_store(store: LogStore) -> None:
    assert store.search(LogFilter()).lines == []
    assert store.search(LogFilter(text="abc", since=1, until=2)).next is None
    page = store.tail(LogFilter(), 0)
    assert (page.lines, page.next) == ([], 0)
    assert store.last() == store.append_many([]) == store.prune(1e12, 0) == 0
    assert store.nodes() == []
    assert store.size()[0] == 0


def test_what_goes_in_comes_out(store: LogStore) -> None:
    whole = LogLine(1.5, 30, "two\nlines", "n1", "fetcher", "p", "t", "index_page", "http://x/", "p:12")
    assert store.append_many([line("first"), whole]) == store.last()
    newest, first = store.search(LogFilter()).lines
    assert newest.n == store.last() > first.n
    for name in whole.__struct_fields__[:-1]:
        assert getattr(newest, name) == getattr(whole, name)
    assert store.nodes() == [("n1", "fetcher")]


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["f", "e", "d", "c", "b", "A price_100% of EUR"]),
    ({"project": "p"}, ["b", "A price_100% of EUR"]),
    ({"project": "nobody"}, []),
    ({"node": "n2"}, ["d", "c"]),
    ({"role": "scheduler"}, ["d", "c"]),
    ({"role": "processor"}, ["b", "A price_100% of EUR"]),
    ({"taskid": "t1"}, ["A price_100% of EUR"]),
    ({"level": 30}, ["e", "d"]),
    ({"level": 31}, ["e"]),
    ({"level": 20}, ["f", "e", "d", "c", "A price_100% of EUR"]),
    ({"since": 1_030}, ["f", "e", "d"]),
    ({"until": 1_010}, ["b", "A price_100% of EUR"]),
    ({"since": 1_010, "until": 1_020}, ["c", "b"]),
    ({"text": "price"}, ["A price_100% of EUR"]),
    ({"text": "PRICE_100% OF eur"}, ["A price_100% of EUR"]),
    ({"text": "e_1"}, ["A price_100% of EUR"]),
    ({"text": "%"}, ["A price_100% of EUR"]),
    ({"text": "price%100"}, []),
    ({"text": "priceof"}, []),
    ({"text": '"'}, []),
    ({"text": "prices"}, []),
    ({"text": "price", "project": "p", "level": 20, "role": "processor", "until": 2_000}, ["A price_100% of EUR"]),
    ({"text": "price", "project": "q"}, []),
    ({"text": "b", "role": "processor"}, ["b"]),
]


@pytest.mark.parametrize(("wanted", "found"), FILTERS)
def test_filters(store: LogStore, wanted: dict[str, Any], found: list[str]) -> None:
    mine = {"node": "n1", "role": "processor", "project": "p"}
    theirs = {"node": "n2", "role": "scheduler"}
    store.append_many([
        line("A price_100% of EUR", 1_000, 20, taskid="t1", **mine), line("b", 1_010, 10, taskid="t2", **mine),
        line("c", 1_020, 20, **theirs), line("d", 1_030, 30, **theirs), line("e", 1_040, 40), line("f", 1_050, 20),
    ])  # fmt: skip
    assert texts(store, **wanted) == found
    assert [line.text for line in store.tail(LogFilter(**wanted), 0).lines] == found[::-1]


def test_pages_and_the_tail(store: LogStore) -> None:
    store.append_many([line(str(number), project="p" if number % 2 else "q") for number in range(10)])
    wanted = LogFilter(project="p")
    first = store.search(wanted, limit=2)
    assert [line.text for line in first.lines] == ["9", "7"]
    second = store.search(wanted, first.next, limit=2)
    assert [line.text for line in second.lines] == ["5", "3"]
    third = store.search(wanted, second.next, limit=2)
    assert [line.text for line in third.lines] == ["1"]
    assert (third.next, third.looked) == (None, None)
    page = store.tail(wanted, 0, limit=3)
    assert [line.text for line in page.lines] == ["1", "3", "5"]
    page = store.tail(wanted, page.next or 0, limit=3)
    assert [line.text for line in page.lines] == ["7", "9"]
    assert page.next == store.last()  # also what does not match is behind us
    store.append_many([line("10", project="q"), line("11", project="p")])
    assert [line.text for line in store.tail(wanted, page.next).lines] == ["11"]


def test_a_look_ends_with_its_time_and_says_how_far_it_came(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sqlalchemy.logstore", "memory.logstore", "logrules"):
        monkeypatch.setattr(f"crawlkit.database.{module}.FIRST_WINDOW", 10)
    store.append_many([line("needle" if number == 5 else "hay", 1_000.0 + number) for number in range(100)])
    looks, before, found = 0, None, list[str]()
    while True:
        page = store.search(LogFilter(text="needle"), before, budget=0)
        looks += 1
        found += [line.text for line in page.lines]
        if page.next is None:
            break
        assert page.looked == 1_000.0 + page.next - 1  # numbers begin at 1
        before = page.next
    assert (found, looks > 5) == (["needle"], True)
    after, found = 0, []
    while after < store.last():
        page = store.tail(LogFilter(text="needle"), after, budget=0)
        assert page.next is not None
        assert page.next > after
        after = page.next
        found += [line.text for line in page.lines]
    assert found == ["needle"]


def test_lines_that_are_too_long_or_not_text(store: LogStore) -> None:
    store.append_many([line("\ud800 a\0b", project="x" * 300), line("a" * 5_000 + "b" * 50_000 + "end")])
    long, odd = store.search(LogFilter()).lines
    assert odd.text == "\\ud800 a\\0b"
    assert len(odd.project) == logrules.MAX_NAME
    assert len(long.text) < logrules.MAX_TEXT + 100
    assert long.text.startswith("a" * 2_000)
    assert long.text.endswith("bend")
    assert "47003 characters are left out" in long.text
    assert texts(store, text="left out") == [long.text]


def test_old_lines_go(store: LogStore) -> None:
    store.append_many([line(f"needle {number}", float(number), node=f"n{number // 50}") for number in range(100)])
    last = store.last()
    assert store.prune(60, 10**9) == 60
    assert len(texts(store, text="needle")) == store.size()[0] == 40
    assert store.nodes() == [("n1", "")]
    assert store.prune(60, 10**9) == 0
    assert store.prune(1e9, 10**9) == 40
    assert store.last() == last  # a number is never given twice: who tails would miss lines
    store.append_many([line("new")])
    assert [line.text for line in store.tail(LogFilter(), last).lines] == ["new"]


def test_a_store_over_its_size_loses_the_oldest(store: LogStore) -> None:
    for number in range(20):
        store.append_many([line(f"{number * 100 + n} " + "x" * 400, float(number)) for n in range(100)])
    held = store.size()[1]
    gone = store.prune(0, held // 2)
    assert 600 < gone < 1_600
    assert store.size()[1] <= held // 2 * 1.3
    left = texts(store)
    assert len(left) == 2_000 - gone
    assert left[0].startswith("1999 ")
    assert left[-1].startswith(f"{gone} ")
    assert store.prune(0, held) == 0


def test_it_stays_bounded_while_lines_come(tmp_path: Path) -> None:
    store = connect_logdb(url_of("sqlite", tmp_path))
    limit = 2 * 2**20
    for number in range(60):
        store.append_many([line(f"{number} {n} the price of item {n * 7919}" * 4, float(number)) for n in range(200)])
        store.prune(0, limit)
        assert store.size()[1] < limit * 1.5
    assert store.size()[0] > 1_500
    assert texts(store, text="59 199 the price")
    store.close()
    assert (tmp_path / "store.db").stat().st_size < limit * 2


def test_without_an_index_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a SQLite without FTS5."""
    monkeypatch.setattr(tables, "WORDS", ("CREATE VIRTUAL TABLE log_words USING fts5(a, tokenize='nosuch')",))
    store = connect_logdb(url_of("sqlite", tmp_path))
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name LIKE 'log_words%'").fetchall()
    store.append_many([line("the needle"), line("hay", project="p")])
    assert texts(store, text="NEED") == ["the needle"]
    assert store.prune(1e9, 0) == 2
    store.close()


def test_two_who_write_and_one_who_reads(tmp_path: Path) -> None:
    one, two = (connect_logdb(url_of("sqlite", tmp_path)) for _ in range(2))
    one.append_many([line("a", node="n1")])
    two.append_many([line("b", node="n2")])
    one.append_many([line("c", node="n1")])
    reader = connect_logdb(url_of("sqlite", tmp_path), read_only=True)
    assert [line.text for line in reader.tail(LogFilter(), 0).lines] == ["a", "b", "c"]
    for each in (one, two, reader):
        each.close()


ANY = st.text(st.sampled_from("aAbB%_\\\"' éÉ\n☃"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(ANY, max_size=12), part=ANY)
def test_both_stores_find_the_same(tmp_path: Path, lines: list[str], part: str) -> None:
    found = []
    for url in ("memory://", "sqlite://" + f"/{tmp_path}/same.db"):
        store = connect_logdb(url)
        start = store.append_many([line("start")])
        store.append_many([line(text) for text in lines])
        found.append([each.text for each in store.tail(LogFilter(text=part), start).lines])
        store.close()
    assert found[0] == found[1]
    assert found[0] == [text.rstrip() for text in lines if logrules.fold(part) in logrules.fold(text.rstrip())]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", ""), ("ab", ""), ("abc", '"abc"'), ("abcd", '"abc" AND "bcd"'), ('a"b', '"a""b"'), ("a\0bc", ""),
        ("aaaaa", '"aaa"'),
    ],
)  # fmt: skip
def test_the_question_for_the_index_of_texts(text: str, query: str) -> None:
    assert logrules.trigram_query(text) == query


def test_a_long_text_asks_for_some_of_its_trigrams() -> None:
    query = logrules.trigram_query("".join(chr(97 + n % 26) + str(n) for n in range(200)))
    assert query.count(" AND ") == logrules.MAX_TRIGRAMS - 1
