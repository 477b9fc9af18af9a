"""The bounded window of a queue, against a store that is a plain sorted list."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.rows import Queue, TaskRow
from crawlkit.scheduler.task_queue import Window


def row(taskid: str, rank: float, seq: int) -> TaskRow:
    return TaskRow(project="p", taskid=taskid, url="data:,", queue=Queue.READY, rank=rank, seq=seq)


def loaded(*rows: TaskRow, capacity: int = 100) -> Window:
    window = Window(capacity)
    window.refill(sorted(rows, key=lambda r: (r.rank, r.seq)), len(rows) + 1)
    return window


def ids(window: Window) -> list[str]:
    found = []
    while window.peek() is not None:
        found.append(window.pop().taskid)
    return found


def test_T01_priority_first_then_first_come() -> None:
    window = loaded()
    for number, (name, priority) in enumerate([("a", 0), ("b", 5), ("c", 5), ("d", -1), ("e", 9)]):
        window.add(row(name, -priority, number))
    assert len(window) == 5
    assert ids(window) == ["e", "b", "c", "a", "d"]


def test_T01_putting_again_moves_and_keeps_the_size() -> None:
    window = loaded(row("a", 0, 1), row("b", 0, 2))
    window.add(row("b", -3, 3))
    assert len(window) == 2
    assert window.get("b") is not None
    assert ids(window) == ["b", "a"]


def test_T01_due_times_come_in_order() -> None:
    window = loaded(row("late", 200.0, 1), row("soon", 100.0, 2), row("soon too", 100.0, 3))
    first = window.peek()
    assert first is not None
    assert first.rank == 100
    assert ids(window) == ["soon", "soon too", "late"]


def test_empty() -> None:
    window = Window()
    assert window.peek() is None
    assert not len(window)
    with pytest.raises(IndexError):
        window.pop()
    assert not window.discard("x")
    assert window.get("x") is None
    with pytest.raises(ValueError, match="at least 1"):
        Window(0)


def test_nothing_is_held_before_the_first_refill() -> None:
    window = Window()
    window.add(row("a", 0, 1))
    assert "a" not in window
    assert window.needs_refill()
    window.refill([row("a", 0, 1)], 10)
    assert window.complete
    assert not window.needs_refill(100)
    assert ids(window) == ["a"]


def test_behind_the_boundary_the_store_keeps_it() -> None:
    window = Window()
    window.refill([row("a", 0, 1), row("b", 0, 2)], 2)
    assert (window.complete, window.cursor) == (False, (0, 2))
    window.add(row("c", 0, 3))
    window.add(row("d", -1, 4))
    assert "c" not in window
    assert window.needs_refill(4)
    assert not window.needs_refill(3)
    window.add(row("a", 5, 5))
    assert "a" not in window
    assert ids(window) == ["d", "b"]


def test_a_full_window_gives_up_its_tail() -> None:
    window = loaded(*(row(f"t{n}", 0, n) for n in range(8)), capacity=8)
    assert window.complete
    window.add(row("first", -1, 99))
    assert not window.complete
    assert window.cursor == (0, 4)
    assert ids(window) == ["first", "t0", "t1", "t2", "t3", "t4"]
    window.refill([row("t5", 0, 5), row("t6", 0, 6), row("t7", 0, 7)], 10)
    assert ids(window) == ["t5", "t6", "t7"]


def test_the_same_put_twice_is_one() -> None:
    window = loaded()
    same = row("a", 0, 1)
    window.add(same)
    window.add(same)
    window.discard("a")
    window.add(same)
    assert ids(window) == ["a"]


def test_a_row_changed_by_its_owner_stands_where_it_was_put() -> None:
    changed = row("a", 0, 1)
    window = loaded(changed, row("b", 0, 2))
    changed.rank = 100
    assert window.pop() is changed


def test_leased_rows_are_passed_over() -> None:
    window = Window()
    added = window.refill([row("a", 0, 1), row("b", 0, 2)], 2, skip=lambda r: r.taskid == "b")
    assert added == 1
    assert window.cursor == (0, 2)
    window.add(row("b", 0, 2))
    assert ids(window) == ["a", "b"]


def test_what_changes_while_the_store_is_read_wins() -> None:
    window = Window()
    window.refill([row("a", 0, 1), row("b", 0, 2)], 2)
    stored = [row("c", 0, 3), row("d", 0, 4), row("e", 0, 5)]
    assert window.ask() == (0, 2)
    window.add(row("c", -1, 6))  # moved to the front
    assert window.pop().taskid == "c"  # and out, and done
    window.add(row("d", 0, 7))  # moved to the end
    window.discard("e")  # cancelled
    window.add(row("f", 0, 8))  # new
    window.refill(stored, 4)
    assert ids(window) == ["a", "b", "d", "f"]


def test_a_read_that_began_before_the_boundary_moved_back_is_void() -> None:
    window = Window(4)
    window.refill([row(f"t{n}", 0, n) for n in range(4)], 4)
    window.ask()
    window.add(row("first", -1, 9))
    assert window.cursor == (0, 1)
    assert window.refill([row("t4", 0, 4)], 4) == 0
    assert not window.complete
    assert window.cursor == (0, 1)
    assert ids(window) == ["first", "t0", "t1"]


def test_a_row_put_again_and_taken_while_the_store_is_read_is_not_taken_twice() -> None:
    window = Window()
    window.refill([row("a", 0, 1)], 1)
    window.ask()
    window.add(row("b", -5, 9))  # the read still shows it at (0, 2)
    assert window.pop().taskid == "b"
    assert window.refill([row("b", 0, 2)], 5) == 0
    assert ids(window) == ["a"]


def test_a_row_that_is_put_and_cancelled_while_the_store_is_read_is_gone() -> None:
    window = Window()
    window.refill([row("a", 0, 1)], 1)
    window.ask()
    window.add(row("b", 0, 9))
    assert not window.discard("b")
    window.refill([], 5)
    assert ids(window) == ["a"]


def test_asking_again_forgets_the_first_question() -> None:
    window = Window(4)
    window.refill([row(f"t{n}", 0, n) for n in range(4)], 4)
    window.ask()
    window.add(row("late", 0, 8))
    window.add(row("first", -1, 9))  # the boundary moves back
    assert window.ask() == (0, 1)
    assert window.refill([row("t2", 0, 2)], 1) == 1
    assert window.ask() == (0, 2)
    window.add(row("t3", 0, 3))
    window.ask()
    assert [window.pop().taskid for _ in range(4)] == ["first", "t0", "t1", "t2"]
    assert window.refill([row("t3", 0, 3), row("late", 0, 8)], 5) == 2
    assert ids(window) == ["t3", "late"]


def test_more_changes_than_fit_make_a_read_void() -> None:
    window = Window(2)
    window.refill([row("a", 0, 1)], 1)
    window.ask()
    for number in range(3):
        window.add(row(f"late{number}", 0, 5 + number))
    assert window.refill([], 5) == 0
    assert window.needs_refill(2)


def test_refill_says_how_many_came() -> None:
    window = Window()
    assert window.refill([row("a", 0, 1), row("b", 0, 2)], 2) == 2
    assert window.refill([row("b", 0, 2), row("c", 0, 3)], 2) == 1


def test_exactly_full_is_not_too_full() -> None:
    window = loaded(capacity=4)
    for number in range(4):
        window.add(row(f"t{number}", 0, number))
    assert (len(window), window.complete) == (4, True)
    assert {r.taskid for r in window.rows()} == {"t0", "t1", "t2", "t3"}


def test_putting_again_for_ever_does_not_fill_the_memory() -> None:
    window = loaded()
    for number in range(20_000):
        window.add(row(f"t{number % 10}", number, number))
        first = window.get(f"t{(number + 1) % 10}") if number > 9 else None
        assert first is None or number % 7 or window.peek() is first
    assert len(window) == 10
    assert len(window._heap) < 1_000
    assert ids(window) == [f"t{number}" for number in range(10)]


def test_clear_starts_anew() -> None:
    window = loaded(row("a", 0, 1))
    window.ask()
    window.clear()
    assert window.refill([row("a", 0, 1)], 10) == 0
    assert window.needs_refill()
    assert window.refill([row("a", 0, 1)], 10) == 1


class Store:
    """The queue as the store sees it; leased rows keep their place."""

    def __init__(self) -> None:
        self.rows: dict[str, TaskRow] = {}
        self.leased: set[str] = set()
        self.seq = 0

    def put(self, taskid: str, rank: float) -> TaskRow:
        self.seq += 1
        self.rows[taskid] = row(taskid, rank, self.seq)
        return self.rows[taskid]

    def window(self, after: tuple[float, int] | None, limit: int) -> list[TaskRow]:
        rows = sorted(self.rows.values(), key=lambda r: (r.rank, r.seq))
        return [r for r in rows if after is None or (r.rank, r.seq) > after][:limit]

    def first(self) -> str | None:
        waiting = [r for r in self.window(None, 10**6) if r.taskid not in self.leased]
        return waiting[0].taskid if waiting else None


OPS = ["put"] * 6 + ["pop"] * 5 + ["done"] * 2 + ["return"] * 2 + ["discard", "discard", "read", "read", "arrive"]


class History:
    """Random use of a window beside its store, with at most one read on its way at a time."""

    def __init__(self, capacity: int, limit: int, names: int, seed: int) -> None:
        self.store, self.window = Store(), Window(capacity)
        self.limit, self.names = limit, names
        self.random = random.Random(seed)
        self.reading: list[TaskRow] | None = None

    def leased(self, candidate: TaskRow) -> bool:
        return candidate.taskid in self.store.leased

    def read(self) -> None:
        self.reading = self.store.window(self.window.ask(), self.limit)

    def arrive(self) -> None:
        if self.reading is not None:
            self.window.refill(self.reading, self.limit, self.leased)
            self.reading = None

    def pop(self) -> str | None:
        while self.window.needs_refill():
            if self.reading is None:
                self.read()
            self.arrive()
        return self.window.pop().taskid if self.window.peek() is not None else None

    def step(self) -> None:
        op = self.random.choice(OPS)
        taskid = f"t{self.random.randrange(self.names)}"
        store, window = self.store, self.window
        if op == "put" and taskid not in store.leased:
            window.add(store.put(taskid, self.random.randrange(4)))
        elif op == "pop":
            expected = store.first()
            assert self.pop() == expected
            if expected is not None:
                store.leased.add(expected)
        elif op in ("done", "return") and store.leased:
            taskid = self.random.choice(sorted(store.leased))
            store.leased.discard(taskid)
            if op == "return":
                window.add(store.rows[taskid])
            elif self.random.random() < 0.5:
                window.add(store.put(taskid, self.random.randrange(4)))  # it runs again
            else:
                del store.rows[taskid]
                window.discard(taskid)
        elif op == "discard" and taskid not in store.leased and taskid in store.rows:
            del store.rows[taskid]
            window.discard(taskid)
        elif op == "read" and self.reading is None:
            self.read()
        elif op == "arrive":
            self.arrive()
        assert len(window) <= window.capacity


@settings(deadline=None, derandomize=True, max_examples=300)
@given(capacity=st.integers(1, 12), limit=st.integers(1, 6), names=st.integers(2, 25), seed=st.integers(0, 10**6))
def test_the_order_is_that_of_the_store(capacity: int, limit: int, names: int, seed: int) -> None:
    history = History(capacity, limit, names, seed)
    for _ in range(250):
        history.step()
    store = history.store
    while (expected := store.first()) is not None:
        assert history.pop() == expected
        del store.rows[expected]
    assert history.pop() is None
    assert history.window.complete


def test_a_microsecond_or_so_per_operation() -> None:
    rows = [row(f"{n:032x}", -(n % 7), n) for n in range(50_000)]
    random.Random(1).shuffle(rows)
    window = loaded(capacity=100_000)
    started = time.process_time()
    for r in rows:
        window.add(r)
    for _ in rows:
        window.peek()
        window.pop()
    spent = time.process_time() - started
    assert spent / (3 * len(rows)) < 10e-6  # generous: a loaded machine must not fail it
