"""What lies between several schedulers when one of them dies, or comes late: letters, orders, entries of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.messages import Dispatch, Outcome, ProjectInfo
from crawlkit.libs.task import Task, home_of, partition_of
from crawlkit.scheduler import actions
from crawlkit.scheduler.turn import Order, Submission
from tests.scheduler.cluster import Cluster, Process
from tests.scheduler.rig import follow, outcome_of

PARTS = 6


def made(answer: Callable[[Dispatch], list[Outcome]] | None = None, **more: Any) -> Cluster:
    clock = ManualClock(1_700_000_000.0)
    first = MemoryTaskStore(clock)
    return Cluster(first.beside, clock, partitions=PARTS, answer=answer or (lambda one: [outcome_of(one)]), **more)


def started(cluster: Cluster, number: int = 2, **project: Any) -> None:
    cluster.project(**project)
    for _ in range(number):
        cluster.start()
    cluster.until(cluster.shared)


def owner_of(cluster: Cluster, partition: int) -> Process:
    return next(process for process in cluster.processes if partition in process.member.mine)


def home(cluster: Cluster, name: str = "p") -> Process:
    return owner_of(cluster, home_of(name, PARTS))


def other(cluster: Cluster, process: Process) -> Process:
    return next(one for one in cluster.processes if one is not process)


def urls_of(process: Process, number: int, name: str = "h") -> list[str]:
    """Of hosts of this scheduler."""
    mine = process.member.mine
    hosts = (f"{name}{n}.example" for n in range(10_000))
    found = (f"http://{host}/" for host in hosts if partition_of(host, PARTS) in mine)
    return [url for url, _ in zip(found, range(number), strict=False)]


def submit(cluster: Cluster, process: Process, *urls: str) -> None:
    cluster.submit(process, *(Submission(Task("p", url, url), ticket=n) for n, url in enumerate(urls)))


def known_to_all(cluster: Cluster) -> None:
    cluster.until(lambda: all(process.engine.state.projects["p"].info for process in cluster.processes))


def test_an_old_letter_about_a_removed_project_leaves_a_new_one_of_that_name_alone() -> None:
    cluster = made()
    started(cluster)
    known_to_all(cluster)
    victim = other(cluster, home(cluster))
    cluster.kill(victim)  # its letters wait for whoever takes its partitions
    home(cluster).engine.drop("p")
    cluster.until(lambda: cluster.store.state_of("p", "action") is None, 5)
    assert len(cluster.processes[0].member.mine) < PARTS
    cluster.project("p", script="# 2")
    url = urls_of(cluster.processes[0], 1)[0]
    submit(cluster, cluster.processes[0], url)
    cluster.until(cluster.shared)
    for _ in range(60):
        cluster.step()
    assert cluster.projectdb.get("p") is not None
    assert cluster.store.get("p", url) is not None
    assert "p" in cluster.processes[0].engine.state.projects
    assert not cluster.store.mail(range(PARTS), 1)


def test_what_removes_a_project_survives_an_order_for_it_that_was_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "CHUNK", 2)
    cluster = made()
    started(cluster, 2, rate=0.0)
    known_to_all(cluster)
    if home(cluster) is owner_of(cluster, 0):  # another one is to have the first partition
        name = next(f"p{n}" for n in range(99) if home_of(f"p{n}", PARTS) not in owner_of(cluster, 0).member.mine)
    else:
        name = "p"
    cluster.project(name, rate=0.0)
    first = owner_of(cluster, 0)
    hosts = [host for host in (f"h{n}.example" for n in range(999)) if partition_of(host, PARTS) == 0][:40]
    tasks = [Task(name, host, f"http://{host}/") for host in hosts]
    cluster.until(lambda: name in first.engine.state.projects)
    cluster.submit(first, *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(lambda: cluster.store.books(name).active == 40)
    first.orders.append(Order(name, "clear", 5))
    for _ in range(12):
        cluster.turn(first)
    assert 0 < cluster.store.books(name).active < 40
    first.engine.drop(name)
    cluster.clock.advance(0.3)
    cluster.turn(home(cluster, name))  # it has read that it is to remove the project
    cluster.turn(first)
    cluster.kill(home(cluster, name))
    cluster.until(cluster.shared)
    for _ in range(100):
        cluster.step()
    assert cluster.store.books(name).tasks == 0
    assert cluster.store.state_of(name, "action") is None
    cluster.project(name, script="# 2")
    cluster.until(lambda: name in first.engine.state.projects)


def test_a_project_finishes_whose_last_task_came_and_went_between_two_looks() -> None:
    cluster = made()
    cluster.lateness = 0.0
    started(cluster)
    known_to_all(cluster)
    away = other(cluster, home(cluster))
    for _ in range(20):
        cluster.step()
    submit(cluster, away, urls_of(away, 1)[0])
    cluster.turn(away)
    cluster.step(0.01)
    cluster.step(0.01)
    assert cluster.store.books("p").by_status == {2: 1}
    cluster.until(lambda: cluster.urls()["data:,on_finished"] == 1, 20)
    cluster.until(cluster.drained, 20)


def test_a_pause_holds_although_a_project_was_begun_anew_just_before() -> None:
    cluster = made()
    started(cluster, 3)
    known_to_all(cluster)
    chief = home(cluster)
    late = other(cluster, chief)
    cluster.freeze(late, 2.0)
    chief.orders += [Order("p", "restart", 1)]
    cluster.turn(chief)
    chief.orders += [Order("p", "pause", 2)]
    cluster.until(lambda: chief.verdicts.keys() >= {1, 2})
    cluster.until(lambda: not cluster.store.mail(range(PARTS), 1))
    for process in cluster.processes:
        process.engine.forget()
    cluster.sent.clear()
    submit(cluster, chief, *urls_of(chief, 5), *urls_of(late, 5))
    for _ in range(30):
        cluster.step()
    assert not [one for _, one in cluster.sent if one.url.startswith("http")]


def test_a_link_to_what_another_is_about_to_clear_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "CHUNK", 2)
    cluster = made(info=ProjectInfo())
    started(cluster, 2, rate=0.0)
    known_to_all(cluster)
    one, two = cluster.processes
    there = urls_of(two, 30)
    submit(cluster, one, *there)
    cluster.until(lambda: cluster.store.books("p").active == 30)
    one.orders.append(Order("p", "clear", 1))
    cluster.step()
    cluster.freeze(two, 1.5)  # it has begun, or will
    cluster.until(lambda: not any(key[0] == "p" for key in one.engine.state.actions), 5)
    link = max((row for row in cluster.store.select("p") if row.queue is not None), key=lambda row: row.seq).url
    page = urls_of(one, 1, "page")[0]
    cluster.answer = lambda sent: [outcome_of(sent, follows=[follow(link)] if sent.url == page else [])]
    cluster.project(rate=None)
    one.engine.projects_changed = True
    submit(cluster, one, page)
    cluster.until(lambda: cluster.store.ledger("p").get(("p", "done", "")), 20)
    cluster.until(lambda: not cluster.store.books("p").active and not cluster.store.mail(range(PARTS), 1), 60)
    assert cluster.count(link) == 1
    cluster.check_books()


def test_no_more_tasks_are_taken_on_than_the_bound_says_by_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = made(info=ProjectInfo(crawl_config={"bounds": {"max_tasks": 20}}))
    started(cluster, 3, rate=0.0)
    known_to_all(cluster)
    for _ in range(8):
        cluster.step()
    for process in cluster.processes:
        submit(cluster, process, *urls_of(process, 15))
    before = cluster.store.counts("p", [""])
    for process in cluster.processes:  # each reads before any of them commits
        with monkeypatch.context() as patched:
            patched.setattr(process.store, "counts", lambda *_: dict(before))
            cluster.turn(process)
    cluster.until(lambda: not any(process.submissions for process in cluster.processes))
    assert cluster.store.books("p").active == 20
    assert cluster.store.counts("p", [""]) == {"": 20}
    cluster.check_books()


def test_a_task_that_two_meet_at_once_with_different_hosts_is_taken_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = made()
    started(cluster, 2)
    known_to_all(cluster)
    tasks = [Task("p", "one name", urls_of(process, 1)[0]) for process in cluster.processes]
    for process, task in zip(cluster.processes, tasks, strict=True):
        cluster.submit(process, Submission(task, ticket=1))
        with monkeypatch.context() as patched:  # each reads before any of them commits
            patched.setattr(process.store, "get_many", lambda keys: {})
            cluster.turn(process)
    cluster.until(cluster.drained)
    assert sum(cluster.count(task.url) for task in tasks) == 1
    assert len(cluster.processes[1].verdicts) == 1
    cluster.check_books()
