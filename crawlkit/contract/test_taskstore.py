"""The contract of the taskdb, over every backend. T60 is here for tasks."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crawlkit.contract.rows import DONE, attempt, lease, progress, task, tick, waiting, writes
from crawlkit.database.base import NodeRow, Queue, TaskStore, Writes
from crawlkit.libs.task import Fetch, Process, Schedule, Status


@pytest.fixture
def store(crawlkit_taskdb: TaskStore) -> TaskStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_taskdb


class TestTasks:
    def test_a_task_comes_back_with_all_its_parts(self, store: TaskStore) -> None:
        """T60: insert, get, every nested field equal."""
        row = task(
            "taskid",
            project="проект",
            url="http://例え.jp/ü?q=%F0%9F%98%80#😀",
            host="例え.jp:8080",
            partition=7,
            status=Status.ACTIVE,
            queue=Queue.TIME,
            rank=1_700_000_000.25,
            seq=2**40,
            run=3,
            attempt=2,
            retried=1,
            lost=1,
            schedule=Schedule(priority=-5, retries=0, exetime=1.5, age=86400, itag="v'1\"", auto_recrawl=True),
            fetch=Fetch(
                method="POST",
                data=b"\x00\xff\x80binary",
                headers={"X-Ü": "ü", "b": ""},
                proxy=False,
                etag=True,
                timeout=0.5,
                save={"deep": [1, {"er": None}, "ü"], "n": 1.5},
            ),
            process=Process(callback="コールバック", process_time_limit=5),
            save='{"a": "ü"}',
            etag='"x"',
            last_modified="Mon",
            results=12,
            lastcrawltime=1234567890.123456,
            updatetime=1234567890.654321,
        )
        store.commit(writes(insert=[row]))
        assert store.get("проект", "taskid") == row
        assert type(store.get("проект", "taskid").status) is Status
        assert type(store.get("проект", "taskid").queue) is Queue

    def test_defaults_come_back_as_defaults(self, store: TaskStore) -> None:
        store.commit(writes(insert=[task("a", schedule=Schedule(), fetch=Fetch(), process=Process())]))
        assert store.get("p", "a") == task("a")

    def test_what_is_missing_is_none(self, store: TaskStore) -> None:
        assert store.get("p", "nothing") is None
        assert store.get_many([]) == {}
        assert store.get_many([("p", "x")]) == {}
        assert store.max_seq() == 0
        assert store.window("p", Queue.READY, None, 10) == []
        assert store.books("p").tasks == 0
        assert store.books("p").by_status == {}

    def test_tasks_are_told_apart_by_project_and_taskid(self, store: TaskStore) -> None:
        store.commit(writes(insert=[task("a", "p"), task("a", "q", url="other"), task("A", "p", url="case")]))
        assert store.get("q", "a").url == "other"
        assert store.get("p", "A").url == "case"
        assert store.get("P", "a") is None

    def test_a_caller_cannot_change_what_is_stored(self, store: TaskStore) -> None:
        row = task("a")
        store.commit(writes(insert=[row]))
        row.url = "changed"
        store.get("p", "a").url = "changed"
        store.select("p")[0].url = "changed"
        assert store.get("p", "a").url == "http://example.com/a"

    def test_many_keys_at_once(self, store: TaskStore) -> None:
        rows = [task(f"t{n:05}", project=f"p{n % 3}") for n in range(2000)]
        store.commit(writes(insert=rows))
        wanted = [(row.project, row.taskid) for row in rows[::2]] + [("p0", "none"), ("p9", "t00000")]
        found = store.get_many(wanted + wanted[:10])
        assert found == {(row.project, row.taskid): row for row in rows[::2]}

    def test_rows_of_one_commit_count_in_their_order_also_when_they_are_many(self, store: TaskStore) -> None:
        """For a key that comes twice: the first insert, and the last of what overwrites."""
        odd = ["", "NULL", "{}", '"', "\\", '\\"', "a,b", '{a,"b"}', "tab\tand\nline", "\u2028\U0001f600", "%s"]
        rows = [waiting(f"t{n}", n, -0.1 * n, save=text, etag=None) for n, text in enumerate(odd)]
        keys = [("p", row.taskid) for row in rows]
        ended = [attempt(row.taskid, ok=n % 2 == 0, reason=odd[n]) for n, row in enumerate(rows)]
        held = [lease(row.taskid, node=f"n{n}") for n, row in enumerate(rows)]
        store.commit(
            writes(
                insert=[*rows, *(waiting(row.taskid, 99, save="second") for row in rows)],
                lease=[*(lease(row.taskid, node="first") for row in rows), *held],
                attempts=[*(attempt(row.taskid, reason="first") for row in rows), *ended],
                ledger={("p", text, text): n for n, text in enumerate(odd)},
                state={("p", f"s{text}"): text for text in odd},
            )
        )
        assert store.get_many(keys) == {("p", row.taskid): row for row in rows}
        assert sorted(store.leases(), key=lambda row: int(row.taskid[1:])) == held
        assert [store.attempts("p", row.taskid) for row in rows] == [[row] for row in ended]
        assert store.state() == {("p", f"s{text}"): text for text in odd}
        changed = [progress(row, rank=n / 3, save=None, etag=odd[n]) for n, row in enumerate(rows)]
        unknown = progress(waiting("unknown", 1))
        store.commit(
            writes(
                progress=[*(progress(row, rank=-1.0) for row in rows), unknown, *changed],
                unlease=[*keys[2:], *keys[2:], ("p", "unknown"), ("q", "t0")],
                ledger={("p", text, text): 1 for text in odd},
            )
        )
        for n, row in enumerate(rows):
            row.rank, row.save, row.etag = n / 3, None, odd[n]
        assert store.get_many([*keys, ("p", "unknown")]) == {("p", row.taskid): row for row in rows}
        assert {row.taskid for row in store.leases()} == {"t0", "t1"}
        assert store.ledger("p") == {("p", text, text): n + 1 for n, text in enumerate(odd)}
        other = [waiting(row.taskid, 50 + n, url=f"http://other/{n}") for n, row in enumerate(rows)]
        gone = writes(replace=[*rows, waiting("unknown", 1), *other], remove=[*keys[6:], *keys[6:]])
        store.commit(gone)
        assert store.get_many([*keys, ("p", "unknown")]) == {("p", row.taskid): row for row in other[:6]}

    def test_which_tasks_are_known(self, store: TaskStore) -> None:
        store.commit(writes(insert=[task(f"t{n:05}", project=f"p{n % 2}") for n in range(2000)]))
        asked = [f"t{n:05}" for n in range(0, 2000, 3)]
        assert store.known("p0", asked + asked[:10] + ["none"]) == {f"t{n:05}" for n in range(0, 2000, 6)}
        assert store.known("p9", asked) == set()
        assert store.known("p0", []) == set()

    def test_which_tasks_are_known_without_those_that_count_as_never_seen(self, store: TaskStore) -> None:
        ended = [task(name, queue=None, seq=seq) for name, seq in (("cleared", -1), ("old", 5), ("new", 6))]
        store.commit(writes(insert=[*ended, waiting("waits", seq=2), task("other", project="q", queue=None, seq=9)]))
        asked = ["cleared", "old", "new", "waits", "other", "none"]
        assert store.known("p", asked) == {"cleared", "old", "new", "waits"}
        assert store.known("p", asked, -1) == {"old", "new", "waits"}
        assert store.known("p", asked, 5) == {"new", "waits"}
        assert store.known("p", [], 5) == set()

    def test_inserting_a_known_task_leaves_it_alone(self, store: TaskStore) -> None:
        store.commit(writes(insert=[task("a", url="one"), task("a", url="two")]))
        store.commit(writes(insert=[task("a", url="three")]))
        assert store.get("p", "a").url == "one"
        assert store.books("p").tasks == 1

    def test_changing_an_unknown_task_makes_no_row(self, store: TaskStore) -> None:
        """T60: update of an unknown project makes no row."""
        store.commit(writes(replace=[task("a")], progress=[progress(task("b"))], remove=[("p", "c")]))
        assert store.select("p") == []
        assert store.projects() == []

    def test_replace_writes_every_field(self, store: TaskStore) -> None:
        store.commit(writes(insert=[waiting("a", 1, fetch=Fetch(method="PUT"), save="1")]))
        new = waiting("a", 9, -3, url="new", host="h", partition=2, run=2, process=Process(callback="c"))
        store.commit(writes(replace=[new]))
        assert store.get("p", "a") == new
        assert [row.taskid for row in store.window("p", Queue.READY, None, 5)] == ["a"]

    def test_progress_writes_its_fields_and_no_others(self, store: TaskStore) -> None:
        row = waiting("a", 1, fetch=Fetch(method="PUT"), host="h", save="old")
        store.commit(writes(insert=[row]))
        change = progress(
            row, status=Status.FAILED, queue=Queue.TIME, rank=5.5, seq=7, run=2, attempt=3, retried=1, lost=2,
            save=None, etag="e", last_modified="l", results=4, lastcrawltime=10.5, updatetime=11.5,
        )  # fmt: skip
        store.commit(writes(progress=[change]))
        stored = store.get("p", "a")
        assert progress(stored) == change
        assert (stored.url, stored.host, stored.fetch) == (row.url, "h", Fetch(method="PUT"))

    def test_remove(self, store: TaskStore) -> None:
        store.commit(writes(insert=[waiting("a", 1), waiting("b", 2)]))
        store.commit(writes(remove=[("p", "a")]))
        assert store.get("p", "a") is None
        assert [row.taskid for row in store.window("p", Queue.READY, None, 5)] == ["b"]

    def test_remove_comes_before_insert(self, store: TaskStore) -> None:
        store.commit(writes(insert=[task("a", url="old")]))
        store.commit(writes(remove=[("p", "a")], insert=[task("a", url="new")]))
        assert store.get("p", "a").url == "new"

    def test_max_seq_stays_when_its_row_is_gone(self, store: TaskStore) -> None:
        store.commit(writes(insert=[waiting("a", 5), waiting("b", 3)]))
        store.commit(writes(remove=[("p", "a")]))
        assert store.max_seq() == 5
        store.commit(writes(progress=[progress(waiting("b", 8))]))
        assert store.max_seq() == 8


class TestWindow:
    def test_order_is_rank_then_seq(self, store: TaskStore) -> None:
        rows = [waiting("a", 4, 0), waiting("b", 3, 0), waiting("c", 2, 1), waiting("d", 9, -5.5), waiting("e", 1, 1)]
        store.commit(writes(insert=rows))
        assert [row.taskid for row in store.window("p", Queue.READY, None, 10)] == ["d", "b", "a", "e", "c"]

    def test_pages_follow_each_other(self, store: TaskStore) -> None:
        rows = [waiting(f"t{n:03}", n + 1, -(n % 5)) for n in range(200)]
        store.commit(writes(insert=rows))
        seen, after = [], None
        while page := store.window("p", Queue.READY, after, 7):
            seen += page
            after = (page[-1].rank, page[-1].seq)
        assert seen == sorted(rows, key=lambda row: (row.rank, row.seq))

    def test_holds_only_its_queue_and_project(self, store: TaskStore) -> None:
        store.commit(
            writes(
                insert=[
                    waiting("ready", 1),
                    waiting("time", 2, 100.5, Queue.TIME),
                    waiting("other", 3, project="q"),
                    task("done", **DONE),
                ]
            )
        )
        assert [row.taskid for row in store.window("p", Queue.READY, None, 10)] == ["ready"]
        assert [row.taskid for row in store.window("p", Queue.TIME, None, 10)] == ["time"]
        assert [row.taskid for row in store.window("q", Queue.READY, None, 10)] == ["other"]
        assert store.window("p", Queue.READY, None, 0) == []

    def test_a_leased_task_keeps_its_place(self, store: TaskStore) -> None:
        store.commit(writes(insert=[waiting("a", 1)], lease=[lease("a")]))
        assert [row.taskid for row in store.window("p", Queue.READY, None, 10)] == ["a"]

    def test_a_row_moves_between_queues(self, store: TaskStore) -> None:
        row = waiting("a", 1)
        store.commit(writes(insert=[row]))
        store.commit(writes(progress=[progress(row, queue=Queue.TIME, rank=50, seq=2)]))
        assert store.window("p", Queue.READY, None, 10) == []
        assert store.window("p", Queue.TIME, (49, 99), 10)[0].taskid == "a"
        assert store.window("p", Queue.TIME, (50, 2), 10) == []
        store.commit(writes(progress=[progress(row, queue=None)]))
        assert store.window("p", Queue.TIME, None, 10) == []

    def test_one_host_of_a_queue(self, store: TaskStore) -> None:
        hosts = ["b.de", "a.de:8080", "", "例え.jp", "A.de"]
        rows = [task(f"t{n}", host=hosts[n % 5], queue=Queue.READY, rank=float(-(n % 3)), seq=n + 1) for n in range(60)]
        store.commit(writes(insert=[*rows, task("done", **DONE), waiting("late", 99, 5, Queue.TIME)]))
        for host in hosts:
            mine = sorted((row for row in rows if row.host == host), key=lambda row: (row.rank, row.seq))
            assert store.window("p", Queue.READY, None, 100, host) == mine
            seen, after = [], None
            while page := store.window("p", Queue.READY, after, 5, host):
                seen += page
                after = (page[-1].rank, page[-1].seq)
            assert seen == mine
        assert store.window("p", Queue.READY, None, 100, "b.d") == []
        store.commit(writes(progress=[progress(row, queue=None) for row in rows if row.host == "b.de"]))
        assert store.window("p", Queue.READY, None, 100, "b.de") == []

    def test_the_hosts_of_a_queue(self, store: TaskStore) -> None:
        hosts = ["", "A.de", "a.de", "a.de:8080", "b.de", "例え.jp", "😀.jp"]
        rows = [task(f"t{n}", host=hosts[n % 7], queue=Queue.READY, seq=n + 1) for n in range(21)]
        time = task("time", host="late.de", queue=Queue.TIME, seq=50)
        store.commit(writes(insert=[*rows, time, task("other", project="q", host="q.de", queue=Queue.READY, seq=51)]))
        assert store.hosts("p", Queue.READY, None, 100) == hosts
        assert store.hosts("p", Queue.READY, None, 2) == hosts[:2]
        assert store.hosts("p", Queue.READY, "A.de", 2) == hosts[2:4]
        assert store.hosts("p", Queue.READY, "a.de:9", 1) == ["b.de"]
        assert store.hosts("p", Queue.TIME, None, 100) == ["late.de"]
        assert store.hosts("p", Queue.READY, hosts[-1], 100) == []
        store.commit(writes(progress=[progress(row, queue=None) for row in rows if row.host == "b.de"]))
        assert store.hosts("p", Queue.READY, "a.de:8080", 1) == ["例え.jp"]


class TestLeases:
    def test_insert_overwrite_end(self, store: TaskStore) -> None:
        store.commit(writes(lease=[lease("a"), lease("b", since=3.5)]))
        store.commit(writes(lease=[lease("a", node="n1", until=99.5, attempt=2)]))
        by_task = {each.taskid: each for each in store.leases()}
        assert by_task["a"] == lease("a", node="n1", until=99.5, attempt=2)
        assert by_task["b"] == lease("b", since=3.5)
        store.commit(writes(unlease=[("p", "a"), ("p", "unknown")]))
        assert [each.taskid for each in store.leases()] == ["b"]

    def test_ended_and_leased_again_in_one_commit(self, store: TaskStore) -> None:
        store.commit(writes(lease=[lease("a")]))
        store.commit(writes(unlease=[("p", "a")], lease=[lease("a", attempt=2)]))
        assert [each.attempt for each in store.leases()] == [2]


class TestAttempts:
    def test_newest_first(self, store: TaskStore) -> None:
        rows = [attempt("a", run, number) for run in (1, 2) for number in (1, 2, 3)]
        store.commit(writes(attempts=[*rows, attempt("b")]))
        assert store.attempts("p", "a") == rows[::-1]
        assert store.attempts("p", "a", limit=2) == [rows[5], rows[4]]
        assert store.attempts("p", "none") == []

    def test_overwrite(self, store: TaskStore) -> None:
        store.commit(writes(attempts=[attempt("a")]))
        new = attempt("a", ok=False, reason="timeout", fetch='{"ok":false}', ended=5.5)
        store.commit(writes(attempts=[new]))
        assert store.attempts("p", "a") == [new]
        assert store.attempts("p", "a")[0].ok is False

    def test_prune_takes_the_oldest_up_to_a_limit(self, store: TaskStore) -> None:
        store.commit(writes(attempts=[attempt(f"t{n}", ended=float(n)) for n in range(10)]))
        assert store.prune_attempts(before=6.0, limit=4) == 4
        assert [n for n in range(10) if store.attempts("p", f"t{n}")] == [4, 5, 6, 7, 8, 9]
        assert store.prune_attempts(before=6.0, limit=4) == 2
        assert store.prune_attempts(before=6.0) == 0

    def test_an_overwritten_attempt_is_pruned_by_its_new_time(self, store: TaskStore) -> None:
        store.commit(writes(attempts=[attempt("a", ended=1.0)]))
        store.commit(writes(attempts=[attempt("a", ended=100.0)]))
        assert store.prune_attempts(before=50.0) == 0
        assert store.prune_attempts(before=101.0) == 1

    def test_failures_by_last_reason(self, store: TaskStore) -> None:
        rows = [task(f"t{n}", status=Status.FAILED) for n in range(4)] + [task("ok", status=Status.SUCCESS)]
        tracks = [
            attempt("t0", 1, 1, ok=False, reason="dns"),
            attempt("t0", 1, 2, ok=False, reason="timeout"),
            attempt("t1", 1, 1, ok=False, reason="timeout"),
            attempt("t2", 2, 1, ok=False, reason="dns"),
            attempt("t2", 1, 9, ok=False, reason="timeout"),
            attempt("ok", 1, 1, ok=False, reason="dns"),
        ]
        store.commit(writes(insert=rows, attempts=tracks))
        url = "http://example.com/"
        assert store.failures("p") == [("timeout", 2, url + "t0"), ("dns", 1, url + "t2"), ("unknown", 1, url + "t3")]
        assert len(store.failures("p", limit=1)) == 1
        assert store.failures("q") == []


class TestTicks:
    def test_newest_first_and_by_method(self, store: TaskStore) -> None:
        rows = [tick("a", 1.5), tick("a", 3.5), tick("b", 2.5, reason="overlap", taskid="")]
        store.commit(writes(ticks=[*rows, tick("a", 9, project="q")]))
        assert store.ticks("p") == [rows[1], rows[2], rows[0]]
        assert store.ticks("p", "a", limit=1) == [rows[1]]
        assert store.last_ticks() == {("p", "a"): 3.5, ("p", "b"): 2.5, ("q", "a"): 9.0}

    def test_one_instant_is_one_row(self, store: TaskStore) -> None:
        store.commit(writes(ticks=[tick("a", 1.5, taskid="one")]))
        store.commit(writes(ticks=[tick("a", 1.5, taskid="two")]))
        assert store.ticks("p") == [tick("a", 1.5, taskid="two")]

    def test_prune_keeps_the_newest(self, store: TaskStore) -> None:
        store.commit(writes(ticks=[tick("a", n) for n in (1, 2, 3)] + [tick("b", 1), tick("c", 5), tick("c", 9)]))
        assert store.prune_ticks(before=6) == 3
        assert store.last_ticks() == {("p", "a"): 3, ("p", "b"): 1, ("p", "c"): 9}
        assert store.prune_ticks(before=6) == 0

    def test_prune_keeps_what_still_waits(self, store: TaskStore) -> None:
        waiting = tick("a", 1, reason="queued", taskid="")
        store.commit(writes(ticks=[waiting, tick("a", 2, reason="overlap", taskid=""), tick("a", 3)]))
        assert store.prune_ticks(before=6) == 1
        assert store.ticks("p") == [tick("a", 3), waiting]


class TestBooks:
    def test_ledger_adds_up(self, store: TaskStore) -> None:
        one = Writes()
        one.count("p", "accepted", n=3)
        one.count("p", "failed", "dns")
        one.count("q", "accepted")
        store.commit(one)
        two = Writes()
        two.count("p", "accepted", n=2)
        two.count("p", "failed", "dns", n=-1)
        store.commit(two)
        assert store.ledger("p") == {("p", "accepted", ""): 5, ("p", "failed", "dns"): 0}
        assert store.ledger()["q", "accepted", ""] == 1
        assert store.ledger("none") == {}

    def test_state_is_set_and_removed(self, store: TaskStore) -> None:
        store.commit(writes(state={("", "epoch"): "ü", ("p", "x"): "1", ("p", "none"): None}))
        store.commit(writes(state={("p", "x"): None, ("", "epoch"): "2"}))
        assert store.state() == {("", "epoch"): "2"}
        assert store.state_of("", "epoch") == "2"
        assert store.state_of("p", "x") is None

    def test_nodes(self, store: TaskStore) -> None:
        row = NodeRow("n1", "fetcher", "host", 12, "1.0", 1.5, 2.5)
        store.commit(writes(nodes=[row]))
        store.commit(writes(nodes=[NodeRow("n1", "fetcher", "host", 12, "1.0", 1.5, 9.5, '{"a":1}', False)]))
        assert store.nodes() == [NodeRow("n1", "fetcher", "host", 12, "1.0", 1.5, 9.5, '{"a":1}', False)]
        assert store.nodes()[0].alive is False
        store.commit(writes(nodes=[NodeRow("n2", "fetcher", "host", 13, "1.0", 1.5, 20.0)]))
        assert store.prune_nodes(before=9.5) == 0
        assert store.prune_nodes(before=20.0) == 1
        assert [node.node for node in store.nodes()] == ["n2"]

    def test_status_count(self, store: TaskStore) -> None:
        """T60: {} then {3: 2} then {1: 1, 3: 1}."""
        assert store.books("p").by_status == {}
        rows = [task("a", status=Status.FAILED), task("b", status=Status.FAILED, run=4)]
        store.commit(writes(insert=rows, lease=[lease("a"), lease("x", project="q")]))
        assert store.books("p").by_status == {3: 2}
        store.commit(writes(progress=[progress(rows[0], status=Status.ACTIVE)]))
        books = store.books("p")
        assert (books.by_status, books.tasks, books.runs, books.active, books.leased) == ({1: 1, 3: 1}, 2, 5, 1, 1)

    def test_books_of_one_project_among_many(self, store: TaskStore) -> None:
        rows = [task(f"t{n}", project=f"p{n % 9}", run=n + 1, status=Status.SUCCESS) for n in range(18)]
        store.commit(writes(insert=rows))
        books = store.books("p3")
        assert (books.tasks, books.runs, books.by_status) == (2, 4 + 13, {2: 2})

    def test_books_and_ledger_are_of_one_instant(self, store: TaskStore) -> None:
        """A crawl that goes on while its books are read must not look like a loss."""
        over = threading.Event()

        def crawl() -> None:
            for number in itertools.count():
                made = writes(insert=[task(f"t{number}")])
                made.count("p", "accepted")
                made.count("q", "accepted")
                store.commit(made)
                if over.is_set():
                    return

        with ThreadPoolExecutor(1) as pool:
            crawled = pool.submit(crawl)
            try:
                looks = [store.books("p") for _ in range(30)]
            finally:
                over.set()
            crawled.result()
        assert all(books.tasks == sum(books.ledger.values()) for books in looks)
        assert store.books("p").ledger == {("p", "accepted", ""): store.books("p").tasks}

    def test_projects(self, store: TaskStore) -> None:
        made = writes(insert=[task("a", "tasks"), task("b", "tasks")], lease=[lease("a", "leases")])
        made.count("ledger", "accepted")
        store.commit(made)
        assert store.projects() == ["leases", "ledger", "tasks"]

    def test_drop(self, store: TaskStore) -> None:
        """T60: drop."""
        for project in ("p", "q"):
            made = writes(
                insert=[waiting("a", 1, project=project)],
                lease=[lease("a", project)],
                attempts=[attempt("a", project=project)],
                ticks=[tick("m", 1, project)],
                state={(project, "x"): "1", ("", "global"): "1"},
            )
            made.count(project, "accepted")
            store.commit(made)
        last = store.drop("p")
        assert (last.tasks, last.leased) == (1, 1)
        assert store.projects() == ["q"]
        assert store.get("p", "a") is None
        assert store.window("p", Queue.READY, None, 1) == []
        assert store.hosts("p", Queue.READY, None, 1) == []
        assert store.window("p", Queue.READY, None, 1, store.get("q", "a").host) == []
        assert store.attempts("p", "a") == []
        assert store.ticks("p") == []
        assert store.ledger("p") == {}
        assert store.state() == {("q", "x"): "1", ("", "global"): "1"}
        assert store.get("q", "a") is not None
        assert store.drop("p").tasks == 0


class TestSelect:
    def test_by_status(self, store: TaskStore) -> None:
        """T60: load tasks by status."""
        rows = [task(f"t{n}", status=Status(n % 4 + 1)) for n in range(12)]
        store.commit(writes(insert=rows))
        for status in Status:
            wanted = [row for row in rows if row.status is status]
            assert store.select("p", status) == sorted(wanted, key=lambda row: row.taskid)

    def test_pages_in_order_of_taskid_survive_writes(self, store: TaskStore) -> None:
        """T60: partial iteration is safe."""
        store.commit(writes(insert=[task(f"t{n:03}") for n in range(0, 100, 2)]))
        first = store.select("p", limit=10)
        store.commit(writes(insert=[task(f"t{n:03}") for n in range(1, 100, 2)], remove=[("p", first[-1].taskid)]))
        rest = store.select("p", after=first[-1].taskid, limit=1000)
        assert [row.taskid for row in rest] == [f"t{n:03}" for n in range(19, 100)]

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("one", {"a", "c"}),
            ("ONE", set()),
            ("100%", {"b"}),
            ("a_b", {"d"}),
            ("\\", {"e"}),
            ("http://*/one", {"a"}),
            ("*one*", {"a", "c"}),
            ("http://*", {"a", "b", "c", "d", "e"}),
            ("one*", set()),
            ("?x=[1]", {"e"}),
            ("ü", {"d"}),
        ],
    )
    def test_by_url(self, store: TaskStore, pattern: str, found: set[str]) -> None:
        urls = {
            "a": "http://x/one",
            "b": "http://x/100%",
            "c": "http://x/one/two",
            "d": "http://x/a_b/ü",
            "e": "http://x/?x=[1]\\",
        }
        store.commit(writes(insert=[task(taskid, url=url) for taskid, url in urls.items()]))
        assert {row.taskid for row in store.select("p", url=pattern)} == found
        assert {row.taskid for row in store.select("p", url=pattern, limit=100)} == found

    def test_url_pages_are_filled(self, store: TaskStore) -> None:
        rows = [task(f"t{n:03}", url=f"http://x/{'UP' if n % 7 else 'up'}/{n}") for n in range(300)]
        store.commit(writes(insert=rows))
        assert [row.taskid for row in store.select("p", url="up", limit=5)] == [f"t{n:03}" for n in range(0, 35, 7)]


class TestCommit:
    def test_committing_the_same_object_again_does_nothing(self, store: TaskStore) -> None:
        """What a retry after an error does, when the first try was kept after all."""
        first, second = Writes(), Writes()
        first.count("p", "accepted")
        second.count("p", "accepted")
        store.commit(first)
        store.commit(second)
        store.commit(first)
        store.commit(second)
        assert store.ledger() == {("p", "accepted", ""): 2}

    def test_an_empty_commit_is_fine(self, store: TaskStore) -> None:
        store.commit(Writes())
        assert not Writes()

    def test_readable_from_other_threads_while_written(self, store: TaskStore) -> None:
        problems: list[Exception] = []
        done = threading.Event()

        def read() -> None:
            try:
                while not done.is_set():
                    rows = store.select("p", limit=50)
                    assert len(rows) % 10 == 0 or len(rows) == 50
                    store.window("p", Queue.READY, None, 10)
            except Exception as error:  # whatever it is, the test shall show it
                problems.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for start in range(0, 1000, 10):
                store.commit(writes(insert=[waiting(f"t{n:04}", n + 1) for n in range(start, start + 10)]))
        finally:
            done.set()
            reader.join()
        assert problems == []
        assert store.books("p").tasks == 1000


class TestOwn:
    """One who commits (R-12)."""

    def test_again_and_again(self, store: TaskStore) -> None:
        assert store.own("n", 60) is None
        assert store.own("n", 60) is None
        store.commit(writes(insert=[waiting("a", 7)]))
        assert store.max_seq() == 7
        store.disown()
        assert store.own("n", 60) is None

    def test_the_same_commit_again_does_nothing(self, store: TaskStore) -> None:
        assert store.own("n", 60) is None
        one = writes(insert=[waiting("a", 1)])
        one.count("p", "accepted")
        store.commit(one)
        store.commit(one)
        assert store.ledger("p") == {("p", "accepted", ""): 1}

    def test_the_owner_and_who_never_asked_may_remove(self, store: TaskStore) -> None:
        for owned in (False, True):
            if owned:
                assert store.own("n", 60) is None
            store.commit(writes(insert=[waiting("a", 1)], attempts=[attempt("a", ended=1.0)], ticks=[tick("m", 1)]))
            assert store.prune_attempts(9.0) == 1
            assert store.prune_ticks(9.0) == 0
            assert store.prune_nodes(9.0) == 0
            assert store.drop_some("p", 10) == 1
            assert store.drop("p").tasks == 0
