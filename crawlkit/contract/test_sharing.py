"""The contract of a taskdb that several schedulers work on: partitions, members, letters, allowances."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from crawlkit.contract.rows import attempt, lease, task, tick, waiting, writes
from crawlkit.database.base import Letter, NodeRow, Owner, Queue, TaskStore, Writes
from crawlkit.libs.errors import NotOwner

Open = Callable[[], TaskStore]


@pytest.fixture
def open_store(crawlkit_taskdbs: Open) -> Open:
    """Opens one more store on the test's taskdb; from the options of pytest, unless a test module says otherwise."""
    return crawlkit_taskdbs


@pytest.fixture
def store(open_store: Open) -> TaskStore:
    return open_store()


@pytest.fixture
def other(open_store: Open, store: TaskStore) -> TaskStore:
    return open_store()


def letter(text: str, partition: int = 0, project: str = "p", kind: str = "task") -> Letter:
    return Letter(partition, project, kind, text)


def texts(letters: list[Letter]) -> list[str]:
    return [each.text for each in letters]


def own(store: TaskStore, name: str, *partitions: int) -> None:
    for partition in partitions:
        assert store.own(name, 60, partition=partition) is None


def take_over(store: TaskStore, name: str, partition: int) -> None:
    """As one does who has seen that nobody renews it."""
    assert store.own(name, 60, store.owners()[partition], partition) is None


class TestOwners:
    def test_each_partition_has_its_own(self, store: TaskStore, other: TaskStore) -> None:
        own(store, "one", 0, 2)
        own(other, "two", 1)
        owners = store.owners()
        assert {partition: owner.node for partition, owner in owners.items()} == {0: "one", 1: "two", 2: "one"}
        assert owners == other.owners()
        assert owners[0].holder == owners[2].holder != owners[1].holder
        assert other.own("two", 60, partition=2) == owners[2]
        assert store.own("one", 60, partition=1) == owners[1]
        store.commit(writes(insert=[waiting("a", 1, partition=2)]))
        other.commit(writes(insert=[waiting("b", 2, partition=1)]))
        assert store.max_seq() == 2

    def test_one_of_three_lost_and_nothing_is_kept(self, store: TaskStore, other: TaskStore) -> None:
        own(store, "lost", 0, 1, 2)
        kept = writes(
            insert=[waiting("a", 1)], attempts=[attempt("a", ended=1.0)], ticks=[tick("m", 1), tick("m", 2)],
            nodes=[NodeRow("n", "fetcher", "h", 1, "1", 1.0, 1.0)], mail=[letter("old")],
        )  # fmt: skip
        kept.count("p", "accepted")
        store.commit(kept)
        (waits,) = store.mail([0], 9)
        take_over(other, "has", 1)
        late = writes(
            insert=[waiting("b", 2)], remove=[("p", "a")], lease=[lease("a")], state={("p", "x"): "1"},
            mail=[letter("new")], mail_taken=[waits.id],
        )  # fmt: skip
        late.count("p", "accepted")
        calls: list[Callable[[], object]] = [
            lambda: store.commit(late),
            lambda: store.commit(late),
            lambda: store.commit(Writes()),
            lambda: store.prune_ticks(9),
            lambda: store.prune_nodes(9),
            lambda: store.prune_attempts(9),
            lambda: store.prune_metrics(60, 900),
            lambda: store.drop_some("p", 10),
            lambda: store.drop("p"),
        ]
        for call in calls:
            with pytest.raises(NotOwner, match="has has partition 1 now"):
                call()
        assert [row.taskid for row in other.select("p")] == ["a"]
        assert (other.ledger(), other.state(), other.leases()) == ({("p", "accepted", ""): 1}, {}, [])
        assert (other.mail([0], 9), other.max_seq()) == ([waits], 1)
        assert (len(other.ticks("p")), len(other.attempts("p", "a")), len(other.nodes())) == (2, 1, 1)

    def test_who_gives_back_what_is_lost_goes_on_with_the_rest(self, store: TaskStore, other: TaskStore) -> None:
        own(store, "one", 0, 1, 2)
        take_over(other, "two", 1)
        store.disown(1)
        store.commit(writes(insert=[waiting("a", 1)]))
        assert other.owners()[1].node == "two"
        assert store.own("one", 60, partition=1) == other.owners()[1]
        other.disown(1)
        own(store, "one", 1)
        other.commit(writes(insert=[waiting("b", 2)]))
        store.commit(writes(insert=[waiting("c", 3)]))
        assert {row.taskid for row in store.select("p")} == {"a", "b", "c"}

    def test_one_given_back_can_be_had_at_once(self, store: TaskStore, other: TaskStore) -> None:
        own(store, "one", 0, 1, 2)
        store.disown(2)
        own(other, "two", 2)
        for each in (store, other):
            each.commit(writes(insert=[waiting("a", 1)]))
        store.disown()
        assert list(store.owners()) == [2]
        store.disown(7)
        store.commit(Writes())
        take_over(store, "one", 2)
        with pytest.raises(NotOwner):
            other.commit(Writes())

    def test_what_was_lost_does_not_come_back_by_itself(self, store: TaskStore, other: TaskStore) -> None:
        """Another had it meanwhile and is gone: what this one remembers of it is old."""
        for partition in (0, 3):
            own(store, "one", partition)
            take_over(other, "two", partition)
            other.disown(partition)
            owner = store.own("one", 60, partition=partition)
            assert owner is not None
            assert owner.holder == ""
            with pytest.raises(NotOwner, match="nobody has"):
                store.commit(Writes())
            store.disown(partition)
            own(store, "one", partition)
            store.commit(Writes())

    def test_only_when_its_time_is_over(self, store: TaskStore, other: TaskStore) -> None:
        assert store.own("one", 0, partition=4) is None
        own(other, "two", 4)
        own(other, "two", 5)
        assert store.own("one", 60, partition=5) == other.owners()[5]
        assert store.own("one", 60, Owner("x", "two", 1.0), 5) == other.owners()[5]

    def test_all_are_renewed_at_once(self, store: TaskStore, other: TaskStore) -> None:
        assert store.renew("one", 60) == {}
        own(store, "one", 0, 1, 2)
        own(other, "two", 3)
        take_over(other, "two", 1)
        before = store.owners()
        assert store.renew("one", 600) == {1: before[1]}
        after = store.owners()
        assert [after[each].until - before[each].until > 500 for each in range(4)] == [True, False, True, False]
        other.disown(1)
        assert store.renew("one", 600) == {1: None}
        assert sorted(store.owners()) == [0, 2, 3]
        store.disown(1)
        assert store.renew("one", 600) == {}

    def test_of_many_at_once_one_gets_each(self, open_store: Open) -> None:
        stores = [open_store() for _ in range(4)]
        barrier = threading.Barrier(4)

        def run(store: TaskStore) -> list[int]:
            barrier.wait()
            return [partition for partition in range(5) if store.own("n", 60, partition=partition) is None]

        with ThreadPoolExecutor(4) as pool:
            got = sorted(partition for some in pool.map(run, stores) for partition in some)
        assert got == [0, 1, 2, 3, 4]

    def test_a_closed_store_has_nothing(self, open_store: Open, store: TaskStore) -> None:
        another = open_store()
        own(another, "one", 0, 1)
        another.announce("one", 60)
        another.close()
        assert store.owners() == {}
        assert store.members() == []


class TestMembers:
    def test_they_come_and_go(self, store: TaskStore, other: TaskStore) -> None:
        assert store.members() == []
        first, second = store.announce("one", 60), other.announce("two", 60)
        assert store.members() == other.members() == sorted([first, second], key=lambda each: each.holder)
        own(store, "one", 0)
        assert store.owners()[0].holder == first.holder
        again = store.announce("one", 600)
        assert (again.holder, again.until - first.until > 500) == (first.holder, True)
        assert {each.node: each for each in other.members()} == {"one": again, "two": second}
        assert other.dismiss(first.holder)
        assert not other.dismiss(first.holder)
        assert store.members() == [second]
        assert store.owners()[0].holder == first.holder
        store.announce("one", 60)
        assert len(other.members()) == 2


class TestPartitions:
    def rows(self) -> list[tuple[str, int]]:
        chance = random.Random(7)
        return [(f"t{n:03}", chance.choice([0, 0, 1, 5, 63])) for n in range(300)]

    def test_windows_of_some(self, store: TaskStore) -> None:
        rows = [
            waiting(taskid, n + 1, float(-(n * 7 % 5)), Queue.TIME if n % 9 == 0 else Queue.READY, partition=partition,
                    host=f"h{partition}")
            for n, (taskid, partition) in enumerate(self.rows())
        ]  # fmt: skip
        foreign = [waiting("f", 900, project="q", partition=2), task("done", partition=2)]
        store.commit(writes(insert=[*rows, *foreign]))
        for asked in (None, [0], [1], {5, 1}, [63, 0, 0], [0, 1, 5, 63], (2,), [2, 5, 40], range(64)):
            for queue in Queue:
                mine = [row for row in rows if row.queue is queue and (asked is None or row.partition in asked)]
                mine.sort(key=lambda row: (row.rank, row.seq))
                seen, after = [], None
                while page := store.window("p", queue, after, 7, partitions=asked):
                    assert len(page) <= 7
                    seen += page
                    after = (page[-1].rank, page[-1].seq)
                assert seen == mine
                assert store.window("p", queue, None, 1000, partitions=asked) == mine
                of_host = [row for row in mine if row.host == "h5"]
                assert store.window("p", queue, None, 1000, "h5", asked) == of_host
                assert (
                    store.window("p", queue, (-2.0, 100), 2, "h5", asked)
                    == [row for row in of_host if (row.rank, row.seq) > (-2.0, 100)][:2]
                )
        assert store.window("p", Queue.READY, None, 9, partitions=[]) == []
        assert store.window("p", Queue.READY, None, 9, "h5", []) == []
        assert store.window("p", Queue.READY, None, 0, partitions=[0, 1]) == []

    def test_a_row_moves_to_another(self, store: TaskStore) -> None:
        store.commit(writes(insert=[waiting("a", 1), waiting("b", 2, partition=1)]))
        store.commit(writes(replace=[waiting("a", 3, partition=4)]))
        assert store.window("p", Queue.READY, None, 9, partitions=[0]) == []
        assert [row.taskid for row in store.window("p", Queue.READY, None, 9, partitions=[1, 4])] == ["b", "a"]
        assert [row.taskid for row in store.window("p", Queue.READY, None, 9)] == ["b", "a"]

    def test_leases_of_some(self, store: TaskStore) -> None:
        rows = [waiting(taskid, n + 1, partition=partition) for n, (taskid, partition) in enumerate(self.rows())]
        store.commit(writes(insert=rows, lease=[lease(row.taskid) for row in rows[::3]] + [lease("t001", "q")]))
        for asked in ([0], [1, 63], {5}, (2,), []):
            found = sorted(each.taskid for each in store.leases(asked))
            assert found == [row.taskid for row in rows[::3] if row.partition in asked]
        assert len(store.leases()) == 101

    def test_those_that_wait_for_another_try(self, store: TaskStore) -> None:
        store.commit(
            writes(insert=[waiting(f"t{n}", n + 1, 9.0, Queue.TIME, partition=n % 3, retried=n % 2) for n in range(12)])
        )
        assert store.failure_groups("p", retrying=True).counted == 6


class TestMail:
    def test_oldest_first_for_who_asks(self, store: TaskStore) -> None:
        store.commit(writes(mail=[letter(f"a{n}", n % 3) for n in range(9)]))
        store.commit(writes(mail=[letter("ü" * 70_000, 1, "q", "order")]))
        found = store.mail([0, 1, 2], 99)
        assert texts(found) == [*(f"a{n}" for n in range(9)), "ü" * 70_000]
        assert [each.id for each in found] == sorted({each.id for each in found})
        assert (found[9].partition, found[9].project, found[9].kind) == (1, "q", "order")
        assert texts(store.mail([2, 0, 0], 3)) == ["a0", "a2", "a3"]
        assert texts(store.mail({2}, 2)) == ["a2", "a5"]
        assert store.mail([7], 9) == store.mail([], 9) == store.mail([0], 0) == []

    def test_what_is_taken_comes_once(self, store: TaskStore, other: TaskStore) -> None:
        own(store, "one", 1)
        own(other, "two", 0)
        other.commit(writes(mail=[letter("x", 1), letter("y", 1)]))
        first, second = store.mail([1], 9)
        taking = writes(mail_taken=[first.id], insert=[waiting("x", 1, partition=1)], mail=[letter("back", 0)])
        taking.count("p", "accepted")
        store.commit(taking)
        store.commit(taking)
        assert store.mail([1], 9) == [second]
        assert texts(other.mail([0], 9)) == ["back"]
        assert other.ledger() == {("p", "accepted", ""): 1}
        store.commit(writes(mail_taken=[first.id, 10**12]))
        assert store.mail([1], 9) == [second]

    def test_a_number_is_never_given_twice(self, store: TaskStore) -> None:
        store.commit(writes(mail=[letter("a"), letter("b")]))
        last = store.mail([0], 9)[-1].id
        store.commit(writes(mail_taken=[each.id for each in store.mail([0], 9)]))
        store.commit(writes(mail=[Letter(0, "p", "task", "c", last)]))
        assert store.mail([0], 9)[0].id > last

    def test_each_is_admitted_once_by_many(self, open_store: Open) -> None:
        """Two owners, each with the letters of its partition, and two others who write to both."""
        owners, senders = [open_store() for _ in range(2)], [open_store() for _ in range(2)]
        for partition, each in enumerate(owners):
            own(each, "n", partition)
        sent = [[f"{sender}-{n}" for n in range(60)] for sender in range(2)]
        done = threading.Event()

        def send(number: int) -> None:
            for place in range(0, 60, 5):
                some = sent[number][place : place + 5]
                senders[number].commit(writes(mail=[letter(text, int(text[-1]) % 2) for text in some]))

        def admit(partition: int) -> None:
            while True:
                over = done.is_set()
                got = owners[partition].mail([partition], 7)
                turn = writes(mail_taken=[each.id for each in got])
                for each in got:
                    turn.count("p", "admitted", each.text)
                owners[partition].commit(turn)
                if over and not got:
                    return

        with ThreadPoolExecutor(4) as pool:
            admitting = [pool.submit(admit, partition) for partition in range(2)]
            try:
                list(pool.map(send, range(2)))
            finally:
                done.set()
            for admitted in admitting:
                admitted.result()
        assert owners[0].ledger() == {("p", "admitted", text): 1 for text in sent[0] + sent[1]}

    def test_how_many_wait(self, store: TaskStore) -> None:
        assert store.mail_waiting("p") == 0
        store.commit(writes(mail=[letter("a"), letter("b", 3), letter("c", kind="order"), letter("d", project="q")]))
        assert (store.mail_waiting("p"), store.mail_waiting("q")) == (2, 1)
        store.commit(writes(mail_taken=[store.mail([3], 1)[0].id]))
        assert store.mail_waiting("p") == 1

    def test_they_go_with_their_project(self, store: TaskStore) -> None:
        def post() -> None:
            store.commit(
                writes(mail=[letter("a"), letter("b", 3), letter("c", kind="order"), letter("d", project="q")],
                       insert=[waiting("t", 1)])
            )  # fmt: skip

        post()
        assert store.drop_some("p", 1) == 1
        assert texts(store.mail([0, 3], 9)) == ["b", "c", "d"]
        assert store.drop_some("p", 10) == 2
        assert texts(store.mail([0, 3], 9)) == ["c", "d"]
        assert store.drop_some("p", 10) > 0  # the ledger of what went
        assert store.drop_some("p", 10) == 0
        post()
        store.drop("p")
        assert {each.project for each in store.mail([0, 3], 9)} == {"q"}


class TestDraw:
    def test_a_bucket_begins_full(self, store: TaskStore, other: TaskStore) -> None:
        granted, wait = store.draw("p", 2, 0.001, 3)
        assert (granted, wait) == (2, 0.0)
        granted, wait = other.draw("p", 9, 0.001, 3)
        assert granted == 1
        assert 900 < wait <= 1000.001
        assert store.draw("p", 1, 0.001, 3)[0] == 0
        assert store.draw("q", 1, 0.001, 3)[0] == 1

    def test_no_rate_and_no_wish(self, store: TaskStore) -> None:
        assert store.draw("p", 5, 0.0, 3) == (0, math.inf)
        assert store.draw("p", 0, 1.0, 3) == (0, 0.0)
        assert store.draw("p", 5, 1000.0, 2.0)[0] == 2

    def test_the_next_token_is_there_when_it_was_said(self, store: TaskStore) -> None:
        assert store.draw("p", 3, 4.0, 3)[0] == 3
        drawn, wait = store.draw("p", 1, 4.0, 3)
        began = time.monotonic()
        while not drawn:
            assert time.monotonic() - began < 10
            time.sleep(wait)
            drawn, wait = store.draw("p", 1, 4.0, 3)
        assert drawn == 1

    @pytest.mark.parametrize(("rate", "burst"), [(40.0, 3.0), (300.0, 1.0), (5.0, 20.0)])
    def test_all_together_get_no_more(self, open_store: Open, rate: float, burst: float) -> None:
        """Two stores, two threads each, drawing as fast as they can for a while."""
        stores = [open_store() for _ in range(2)]
        until = time.monotonic() + 0.7
        began = time.time()

        def run(number: int) -> tuple[int, int]:
            chance, granted, calls = random.Random(number), 0, 0
            while time.monotonic() < until:
                granted += stores[number % 2].draw("p", chance.randint(0, 4), rate, burst)[0]
                calls += 1
            return granted, calls

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(run, range(4)))
        granted = sum(each for each, _ in found)
        assert burst <= granted <= burst + rate * (time.time() - began) + 1e-3
        assert min(calls for _, calls in found) > 0

    def test_what_a_dropped_project_had_is_forgotten(self, store: TaskStore) -> None:
        for drop in (store.drop, lambda project: [store.drop_some(project, 10) for _ in range(2)]):
            assert store.draw("p", 9, 0.001, 3)[0] == 3
            drop("p")
            assert store.draw("p", 9, 0.001, 3)[0] == 3
            store.drop("p")


class TestWhole:
    def test_ledger_and_letters_of_a_project(self, store: TaskStore) -> None:
        assert store.whole("p") == ({}, 0)
        made = writes(mail=[letter("a", 1), letter("b", kind="order"), letter("c", project="q")])
        made.count("p", "accepted", n=3)
        made.count("q", "accepted")
        store.commit(made)
        assert store.whole("p") == ({("p", "accepted", ""): 3}, 1)

    def test_both_are_of_one_instant(self, store: TaskStore, other: TaskStore) -> None:
        """A letter that is taken in between must be seen on one of the two sides."""
        over = threading.Event()

        def crawl() -> None:
            while not over.is_set():
                sent = writes(mail=[letter("x", n % 2) for n in range(3)])
                sent.count("p", "sent", n=3)
                store.commit(sent)
                got = writes(mail_taken=[each.id for each in store.mail([0, 1], 9)])
                got.count("p", "accepted", n=len(got.mail_taken))
                store.commit(got)

        with ThreadPoolExecutor(1) as pool:
            crawled = pool.submit(crawl)
            try:
                looks = [other.whole("p") for _ in range(60)]
            finally:
                over.set()
            crawled.result()
        for ledger, letters in looks:
            assert ledger.get(("p", "sent", ""), 0) == ledger.get(("p", "accepted", ""), 0) + letters
