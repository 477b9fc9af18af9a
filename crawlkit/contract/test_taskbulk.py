"""What people do to whole projects, over every backend: counting, reasons, metrics, and removing in chunks."""

from __future__ import annotations

import pytest

from crawlkit.contract.rows import attempt, lease, results, task, tick, waiting, writes
from crawlkit.database.base import Queue, ResultStore, TaskStore
from crawlkit.libs.errors import Overspent
from crawlkit.libs.metrics import HOUR, MINUTE, MetricRow
from crawlkit.libs.rows import TaskRow, Writes
from crawlkit.libs.task import Status
from crawlkit.scheduler.books import compare


@pytest.fixture
def store(crawlkit_taskdb: TaskStore) -> TaskStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_taskdb


@pytest.fixture
def resultdb(crawlkit_resultdb: ResultStore) -> ResultStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_resultdb


def ended(number: int, status: Status) -> object:
    return task(f"t{number:03}", status=status, queue=None, seq=number + 1)


def test_count_and_reasons(store: TaskStore) -> None:
    rows = [ended(number, Status.FAILED if number < 3 else Status.SUCCESS) for number in range(5)]
    attempts = [attempt("t000", reason="http_404", ok=False), attempt("t001", reason="old", ok=False),
                attempt("t001", number=2, reason="http_500", ok=False)]  # fmt: skip
    store.commit(writes(insert=rows, attempts=attempts))
    assert store.count("p") == 5
    assert store.count("p", Status.FAILED) == 3
    assert store.count("other") == 0
    found = store.reasons("p", ["t000", "t001", "t002", "nothing"])
    assert found["t000"] == "http_404"
    assert found["t001"] == "http_500"
    groups = {reason: n for reason, n, _ in store.failures("p")}
    assert groups == dict.fromkeys(found.values(), 1)
    assert set(found) == {"t000", "t001", "t002"}


def metric(start: int, width: int = MINUTE, project: str = "p", **fields: object) -> MetricRow:
    return MetricRow(project, width, start, **fields)  # type: ignore[arg-type]


def test_metrics_come_back_in_steps(store: TaskStore) -> None:
    rows = [
        metric(600, done=1, failed=2, retried=3, fetch_time=0.5, process_time=0.25, size=2**40, codes={"200": 3},
               reasons={"ü": 1}, hosts={"h": (2**40, 3)}),
        metric(660, done=1, codes={"200": 1, "0": 1}, hosts={"h": (1, 1), "": (5, 2)}),
        metric(0, HOUR, done=7),
        metric(600, project="q", done=9),
    ]  # fmt: skip
    store.commit(Writes(metrics=rows))
    assert store.metrics("p", 0, 3600) == rows[:2]
    assert store.metrics("p", 601, 3600) == rows[1:2]
    assert store.metrics("p", 0, 660) == rows[:1]
    assert store.metrics("p", 0, 3600, HOUR) == rows[2:3]
    (both,) = store.metrics("p", 0, 3600, 600)
    assert (both.start, both.width, both.done, both.codes) == (600, 600, 2, {"200": 4, "0": 1})
    assert both.hosts == {"h": (2**40 + 1, 4), "": (5, 2)}
    with pytest.raises(ValueError, match="multiple of 60"):
        store.metrics("p", 0, 1, 61)
    rows[0].done = 50
    assert store.metrics("p", 0, 3600)[0].done == 1
    store.commit(Writes(metrics=[rows[0]]))
    assert store.metrics("p", 0, 3600)[0].done == 50
    assert store.prune_metrics(MINUTE, 660, 10) == 2
    assert [row.start for row in store.metrics("p", 0, 3600)] == [660]
    assert store.prune_metrics(HOUR, 1e12, 10) == 1
    assert store.prune_metrics(MINUTE, 1e12, 10) == 1


def test_drop_some_keeps_the_books_balanced(store: TaskStore) -> None:
    rows = [waiting(f"w{number}", number + 1) for number in range(7)]
    rows += [ended(number, Status.SUCCESS) for number in range(6)]
    store.commit(
        writes(
            insert=[*rows, waiting("other", 99, project="q")],
            lease=[lease("w0")],
            attempts=[attempt(f"t{number:03}", number=n) for number in range(6) for n in (1, 2)],
            ticks=[tick("m", 5.0)],
            ledger={("p", "accepted", "submit"): 13, ("p", "done", ""): 6, ("q", "accepted", "submit"): 1},
            state={("p", "action"): "{}", ("p", "pause"): "{}", ("q", "pause"): "{}"},
            metrics=[metric(60)],
        )
    )
    calls = 0
    while store.drop_some("p", 4):
        calls += 1
        report = compare("p", store.ledger(), store.books("p"))
        assert report.balanced, report.problems
        assert calls < 20
    assert calls >= 5
    assert store.books("p").tasks == 0
    assert store.window("p", Queue.READY, None, 10) == []
    assert store.attempts("p", "t000") == []
    assert store.ticks("p") == []
    assert store.metrics("p", 0, 1e12) == []
    assert store.projects() == ["q"]
    assert store.state() == {("p", "action"): "{}", ("q", "pause"): "{}"}


def test_results_in_chunks(resultdb: ResultStore) -> None:
    sets = [results(f"t{n}", '{"a": 1}', '{"a": 2}') for n in range(5)]
    resultdb.save([*sets, results("t", "1", project="q")])
    removed = []
    while n := resultdb.drop_some("p", 3):
        removed.append(n)
        assert len(removed) < 20
    assert resultdb.count("p") == 0
    assert resultdb.projects() == ["q"]
    resultdb.save([sets[0]])  # nothing is known of the run before
    assert resultdb.count("p") == 2


def test_tasks_are_counted_by_host(store: TaskStore) -> None:
    store.commit(Writes(counts={("p", "*"): 3, ("p", "a:80"): 2, ("p", "b"): 1, ("q", "a:80"): 9}))
    again = Writes(counts={("p", "*"): 1, ("p", "a:80"): -2})
    store.commit(again)
    store.commit(again)  # the same object again changes nothing
    assert store.counts("p", ["*", "a:80", "b", "none"]) == {"*": 4, "a:80": 0, "b": 1}
    assert store.counts("p", []) == {}
    hosts = [f"h{n}" for n in range(700)]
    store.commit(Writes(counts={("p", host): 1 for host in hosts}))
    assert sum(store.counts("p", hosts).values()) == 700
    while store.drop_some("p", 100):
        pass
    assert store.counts("p", ["*", "b"]) == {}
    store.drop("q")
    assert store.counts("q", ["a:80"]) == {}


def test_a_count_is_kept_under_its_limit_with_all_that_belongs_to_it(store: TaskStore) -> None:
    store.commit(Writes(counts={("p", " pages"): 8}, most={("p", " pages"): 10}))
    with pytest.raises(Overspent, match="project p: count 'pages' would pass 10"):
        store.commit(Writes(counts={("p", " pages"): 3}, most={("p", " pages"): 10}, state={("p", "said"): "1"}))
    assert store.state_of("p", "said") is None
    store.commit(Writes(counts={("p", " pages"): 2}, most={("p", " pages"): 10}, state={("p", "said"): "2"}))
    assert (store.counts("p", [" pages"]), store.state_of("p", "said")) == ({" pages": 10}, "2")
    store.commit(Writes(counts={("p", " pages"): 1}))  # it does not say how many there may be


def test_a_task_that_another_partition_has_by_now_is_not_inserted_with_all_that_belongs_to_it(store: TaskStore) -> None:
    store.commit(writes(insert=[task("a", partition=1), task("b", partition=2)]))
    second = [task("a", partition=2), task("c", partition=2)]
    with pytest.raises(Overspent, match="project p: another scheduler took on task 'a'"):
        store.commit(writes(insert=second, first=second, state={("p", "said"): "1"}))
    assert (store.state_of("p", "said"), store.get("p", "c")) == (None, None)
    store.commit(writes(insert=second[1:], first=second[1:]))
    store.commit(writes(insert=[task("b", partition=2)], first=[task("b", partition=2)]))  # its own
    assert {row.taskid: row.partition for row in store.select("p")} == {"a": 1, "b": 2, "c": 2}


def test_what_is_finished_comes_in_the_order_of_its_changes(store: TaskStore) -> None:
    def old(taskid: str, updatetime: float, **fields: object) -> TaskRow:
        return task(taskid, **({"queue": None, "status": Status.SUCCESS, "updatetime": updatetime} | fields))

    waits = old("w", 15.0, queue=Queue.TIME, status=Status.ACTIVE)
    rows = [old("a", 10.0), old("b", 20.0), old("c", 20.0), old("d", 20.0, project="q"), waits, old("e", 30.0)]
    store.commit(writes(insert=rows))
    found, reached = store.finished(0.0, 100.0, 2)
    assert ([row.taskid for row in found], reached) == (["a"], 15.0)
    found, reached = store.finished(reached, 100.0, 1)
    assert (sorted(row.taskid for row in found), reached) == (["b", "c", "d"], 20.0)  # one instant is never parted
    assert store.finished(reached, 30.0, 9) == ([], 20.0)
    found, reached = store.finished(reached, 31.0, 9)
    assert ([row.taskid for row in found], reached) == (["e"], 30.0)
    assert store.finished(reached, 1e12, 9) == ([], 30.0)
