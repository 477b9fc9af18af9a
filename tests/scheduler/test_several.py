"""Several schedulers on one taskdb: nothing is lost, nothing is done twice, whoever dies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawlkit.database.memory import MemoryTaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.messages import AWAIT, RESUME, Await, CronSpec, Dispatch, Outcome, ProjectInfo, pack
from crawlkit.libs.rows import Writes
from crawlkit.libs.task import Fetch, Schedule, Status, Task, home_of, partition_of
from crawlkit.scheduler import intake, projects
from crawlkit.scheduler.cron import next_instants
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.state import State
from crawlkit.scheduler.turn import Order, Submission, Turn
from tests.scheduler.cluster import Cluster
from tests.scheduler.rig import follow, outcome_of

START = 1_700_000_000.0


def in_memory(start: float = START, **more: Any) -> Cluster:
    clock = ManualClock(start)
    first = MemoryTaskStore(clock)
    return Cluster(first.beside, clock, **more)


def pages(number: int, hosts: int = 7, children: int = 3) -> Callable[[Dispatch], list[Outcome]]:
    """A site of so many pages over some hosts: each links to some of the others."""

    def url(n: int) -> str:
        return f"http://h{n % hosts}.example/{n}"

    def answer(dispatch: Dispatch) -> list[Outcome]:
        follows = []
        if dispatch.url == "data:,on_start":
            follows = [follow(url(0), dispatch.project)]
        elif dispatch.url.startswith("http"):
            n = int(dispatch.url.rpartition("/")[2] or 0)
            below = range(children * n + 1, children * n + 1 + children)
            follows = [follow(url(c), dispatch.project) for c in (*below, n // 2) if c < number]
        return [outcome_of(dispatch, follows=follows)]

    return answer


def test_three_share_a_crawl_of_many_hosts() -> None:
    cluster = in_memory(answer=pages(200))
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    cluster.submit(cluster.processes[2], Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1))
    cluster.until(cluster.drained)
    urls = cluster.urls()
    assert sum(url.startswith("http") for url in urls) == 200
    assert set(urls.values()) == {1}
    assert urls["data:,on_finished"] == 1
    cluster.check_books()
    assert {len(process.member.mine) for process in cluster.processes} == {1, 2}


def url_over(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'task.db'}"


def misfortune(cluster: Cluster, most: int = 4) -> None:
    """Something happens to one of them, or one more comes."""
    chance = cluster.random.random()
    live = cluster.processes
    if chance < 0.25 and len(live) > 1:
        victim = cluster.random.choice(live)
        if victim.frozen_until > cluster.clock.now or cluster.random.random() < 0.5:
            cluster.kill(victim)
        else:
            cluster.turn(victim, dies=cluster.random.choice(["send", "ack"]))
    elif chance < 0.4 and live:
        cluster.freeze(cluster.random.choice(live), cluster.random.choice([1.0, 5.0, 9.0, 40.0]))
    elif chance < 0.75 and len(live) < most:
        cluster.start(cluster.random.uniform(-2, 2))
    elif live:
        cluster.random.choice(live).clock.shift = cluster.random.uniform(-2, 2)


def opened(kind: str, tmp_path: Path, **more: Any) -> Cluster:
    if kind == "memory":
        return in_memory(**more)
    url = url_over(tmp_path)
    return Cluster(lambda: connect_taskdb(url), ManualClock(more.pop("start", START)), **more)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_whatever_befalls_them_a_crawl_comes_to_its_end_once(kind: str, seed: int, tmp_path: Path) -> None:
    cluster = opened(kind, tmp_path, seed=seed, answer=pages(300), partitions=6)
    cluster.project()
    for shift in (0.0, 2.0, -2.0):
        cluster.start(shift)
    cluster.until(cluster.shared)
    cluster.submit(cluster.processes[0], Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1))
    cluster.until(lambda: cluster.sent)
    for _ in range(25):
        misfortune(cluster)
        for _ in range(cluster.random.randrange(1, 12)):
            cluster.step()
    for process in cluster.processes:
        process.frozen_until = 0.0
    if not cluster.processes:
        cluster.start()
    cluster.until(cluster.drained, 900)
    cluster.check_books()
    done = cluster.store.ledger("p")
    crawled = {url for url in cluster.urls() if url.startswith("http")}
    assert len(crawled) == 300
    assert sum(n for (_, event, _), n in done.items() if event == "done") == 302  # on_start and on_finished, too
    assert sum(n for (_, event, reason), n in done.items() if (event, reason) == ("accepted", "on_finished")) == 1


def a_while(cluster: Cluster, changes: int, steps: int = 12) -> None:
    """Misfortunes, and then nothing happens to anybody any more."""
    for _ in range(changes):
        misfortune(cluster)
        for _ in range(cluster.random.randrange(1, steps)):
            cluster.step()
    for process in cluster.processes:
        process.frozen_until = 0.0
    if not cluster.processes:
        cluster.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_each_instant_of_a_cron_runs_once(kind: str, seed: int, tmp_path: Path) -> None:
    """Show 6, with wrong clocks, and over the night in which the clocks of Paris go back."""
    change = datetime(2023, 10, 29, 1, 0, tzinfo=UTC).timestamp()
    specs = [
        CronSpec("often", seconds=3, catch_up="all", overlap="allow"),
        CronSpec("in_paris", cron="*/5 * * * *", tz="Europe/Paris", catch_up="all", overlap="allow"),
    ]
    info = ProjectInfo(crons=specs)
    cluster = opened(
        kind,
        tmp_path,
        seed=seed,
        answer=pages(0),
        partitions=5,
        info=info,
        start=change - (600 if kind == "memory" else 120),
    )
    for name in ("one", "two"):
        cluster.project(name)
    for shift in (0.0, 2.0, -2.0):
        cluster.start(shift)
    runs: dict[tuple[str, str, float], set[tuple[int, int]]] = {}

    def note() -> None:
        for _, dispatch in cluster.sent:
            tick = (dispatch.project, dispatch.callback or "", float(dispatch.fetch.save["tick"]))
            runs.setdefault(tick, set()).add((dispatch.run, dispatch.attempt))
        cluster.sent.clear()

    cluster.until(lambda: cluster.store.last_ticks().keys() >= {("one", "often"), ("two", "often")})
    length = 900 if kind == "memory" else 240
    while cluster.clock.now < change + length:
        misfortune(cluster)
        for _ in range(cluster.random.randrange(1, 40)):
            cluster.step()
        note()
    for process in cluster.processes:
        process.frozen_until = process.clock.shift = 0.0
    cluster.until(lambda: not cluster.store.leases() and cluster.clock.now > change + length + 100)
    note()
    for project in ("one", "two"):
        for spec in specs:
            instants = sorted(tick[2] for tick in runs if tick[:2] == (project, spec.method))
            expected = [instants[0]]
            while (following := next_instants(spec, expected[-1], 1)[0]) <= instants[-1]:
                expected.append(following)
            assert instants == expected, "missed, or made up"
            assert instants[-1] > change + length - 300
    assert all({run for run, _ in tries} == {1} for tries in runs.values())  # tried again when lost, never run again
    done = [tick for tick in cluster.store.ticks("one", "often", 10_000) if tick.reason]
    assert not done
    cluster.check_books()
    for name in ("one", "two"):
        entries = cluster.store.ledger(name)
        ended = sum(n for (_, event, _), n in entries.items() if event == "done")
        assert ended == sum(tick[0] == name for tick in runs)


@pytest.mark.parametrize("seed", range(3))
def test_all_together_send_no_faster_than_the_rate(seed: int) -> None:
    cluster = opened("memory", Path(), seed=seed, answer=pages(400), partitions=6)
    cluster.project(rate=5.0, burst=3)
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    cluster.submit(cluster.processes[0], Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1))
    a_while(cluster, 20)
    cluster.until(lambda: len(cluster.sent) > 250)
    assert cluster.born > 3
    cluster.check_rate(5.0, 3.0)
    start, end = cluster.sent[1][0], cluster.sent[-1][0]
    assert len(cluster.sent) > 2.0 * (end - start)  # and not much slower, with all those who died


def test_a_callback_waits_for_requests_to_hosts_of_others() -> None:
    """The request is another scheduler's, and its answer comes back by letter; also after both have moved."""
    asked = [f"http://other{n}.example/a" for n in range(8)]

    def answer(dispatch: Dispatch) -> list[Outcome]:
        if dispatch.kind == AWAIT:
            return [outcome_of(dispatch, answer=f"blob of {dispatch.url}")]
        if dispatch.url.startswith("http") and dispatch.kind != RESUME:
            waits = [Await(n, pack(Task("p", f"{dispatch.taskid[-20:]}/{n}", url))) for n, url in enumerate(asked, 1)]
            return [outcome_of(dispatch, awaits=waits, record="record")]
        return [outcome_of(dispatch)]

    cluster = in_memory(answer=answer, partitions=6, seed=3)
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    tasks = [Task("p", f"http://h{n}.example/", f"http://h{n}.example/") for n in range(6)]
    cluster.submit(cluster.processes[0], *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(lambda: len(cluster.sent) > 10)
    cluster.kill(cluster.processes[1])
    cluster.start()
    cluster.until(cluster.drained)
    resumed = [recorded for _, recorded in cluster.resumed]
    assert len(resumed) >= 6
    for recorded in resumed:
        assert dict(recorded) == {0: "record"} | {n: f"blob of {url}" for n, url in enumerate(asked, 1)}
    assert all(cluster.store.get("p", task.taskid).status is Status.SUCCESS for task in tasks)  # type: ignore[union-attr]
    assert not [name for _, name in cluster.store.state() if name.startswith(("asked:", "parked:"))]
    cluster.check_books()


def waiting_tasks(cluster: Cluster, number: int = 40) -> None:
    """A project that sends nothing, whose tasks are everywhere."""
    cluster.project(rate=0.0)
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    tasks = [Task("p", f"http://h{n}.example/", f"http://h{n}.example/") for n in range(number)]
    cluster.submit(cluster.processes[0], *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(lambda: cluster.store.books("p").active == number)


def test_a_clearing_reaches_all_of_them_also_those_that_move() -> None:
    cluster = in_memory(answer=pages(0), partitions=6)
    waiting_tasks(cluster)
    cluster.processes[0].orders.append(Order("p", "clear", 5))
    cluster.step()
    assert cluster.processes[0].verdicts[5].verdict == "started"
    cluster.kill(cluster.processes[1])
    cluster.until(lambda: not cluster.store.books("p").active)
    cluster.until(lambda: not [name for _, name in cluster.store.state() if name.startswith("action")])
    assert not cluster.store.mail(range(6), 1)
    cluster.check_books()


def test_a_project_begins_anew_everywhere() -> None:
    cluster = in_memory(answer=pages(100), partitions=6)
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    cluster.submit(cluster.processes[0], Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1))
    cluster.until(cluster.drained)
    cluster.processes[2].orders.append(Order("p", "restart", 5))
    cluster.until(lambda: not cluster.drained())
    cluster.until(cluster.drained)
    assert {n for url, n in cluster.urls().items() if url.startswith("http")} == {2}
    assert cluster.urls()["data:,on_finished"] == 2
    cluster.check_books()


def test_what_failed_is_tried_again_everywhere() -> None:
    broken = True

    def answer(dispatch: Dispatch) -> list[Outcome]:
        return [outcome_of(dispatch, not broken or dispatch.url.startswith("data:"))]

    cluster = in_memory(answer=answer, partitions=6, settings=lambda: EngineSettings(fail_pause_num=0))
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    once = Schedule(retries=0)
    tasks = [Task("p", f"http://h{n}.example/", f"http://h{n}.example/", once) for n in range(30)]
    cluster.submit(cluster.processes[0], *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(lambda: cluster.store.count("p", Status.FAILED) == 30)
    broken = False
    cluster.processes[1].orders.append(Order("p", "retry_failed", 5))
    cluster.until(lambda: cluster.store.count("p", Status.SUCCESS) >= 30)
    cluster.until(cluster.drained)
    assert all(n == 2 for url, n in cluster.urls().items() if url.startswith("http"))
    cluster.check_books()


def test_what_somebody_pauses_sends_nothing_anywhere_until_it_is_resumed() -> None:
    cluster = in_memory(answer=pages(0), partitions=6)
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    cluster.until(lambda: all(process.engine.state.projects["p"].info for process in cluster.processes))
    cluster.processes[0].orders.append(Order("p", "pause", 5))
    cluster.until(lambda: not cluster.store.mail(range(6), 1) and cluster.processes[0].verdicts)
    tasks = [Task("p", f"http://h{n}.example/", f"http://h{n}.example/") for n in range(30)]
    cluster.submit(cluster.processes[0], *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(lambda: cluster.store.books("p").active == 30)
    cluster.start()  # it knows that, too
    for _ in range(50):
        cluster.step()
    assert not cluster.sent
    cluster.processes[1].orders.append(Order("p", "resume", 6))
    cluster.until(cluster.drained)
    assert len([url for url in cluster.urls() if url.startswith("http")]) == 30


@pytest.mark.parametrize("dies", [False, True])
def test_a_removed_project_is_gone_and_may_come_again(dies: bool) -> None:
    cluster = in_memory(answer=pages(100), partitions=6)
    waiting_tasks(cluster)
    home = home_of("p", 6)
    other = next(process for process in cluster.processes if home not in process.member.mine)
    other.engine.drop("p")
    if dies:
        cluster.kill(next(process for process in cluster.processes if home in process.member.mine))
    cluster.project("p", script="# 2")  # while the rows of the one before go
    cluster.until(lambda: not cluster.store.state_of("p", "action"))
    assert cluster.store.books("p").tasks == 0
    cluster.until(lambda: all("p" in process.engine.state.projects for process in cluster.processes))
    cluster.submit(cluster.processes[0], Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1))
    cluster.until(cluster.drained)
    assert len([url for url in cluster.urls() if url.startswith("http")]) == 100
    cluster.check_books()


def test_a_task_that_gets_another_host_goes_to_its_scheduler() -> None:
    cluster = in_memory(answer=pages(0), partitions=6)
    waiting_tasks(cluster, 10)
    forced = Schedule(force_update=True)
    tasks = [Task("p", f"http://h{n}.example/", f"http://elsewhere{n}.example/", forced) for n in range(10)]
    cluster.submit(cluster.processes[1], *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(lambda: all("elsewhere" in row.url for row in cluster.store.select("p")))
    cluster.until(lambda: not cluster.store.mail(range(6), 1))
    cluster.project(rate=None)
    cluster.until(cluster.drained)
    assert {url: n for url, n in cluster.urls().items() if "http" in url} == {task.url: 1 for task in tasks}
    assert {d.partition for _, d in cluster.sent if "http" in d.url} == {
        partition_of(f"elsewhere{n}.example", 6) for n in range(10)
    }
    cluster.check_books()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_all_together_send_as_many_pages_as_the_budget_says(kind: str, seed: int, tmp_path: Path) -> None:
    cluster = opened(kind, tmp_path, seed=seed, answer=pages(400), partitions=6)
    cluster.project(max_pages=100)
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    cluster.submit(cluster.processes[0], Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1))
    a_while(cluster, 8, 4)
    cluster.until(lambda: cluster.store.counts("p", [projects.PAGES]) == {projects.PAGES: 100})
    for _ in range(200):
        cluster.step()
    # what was leased and never sent, for its scheduler died, counts as a page, as with one scheduler
    assert 90 <= sum(dispatch.url.startswith("http") for _, dispatch in cluster.sent) <= 100
    cluster.project(max_pages=130)
    cluster.until(lambda: cluster.store.counts("p", [projects.PAGES]) == {projects.PAGES: 130})
    cluster.project(max_pages=None)
    cluster.until(lambda: not cluster.drained())
    cluster.until(cluster.drained)
    assert cluster.store.counts("p", [projects.PAGES]) == {projects.PAGES: 0}
    cluster.check_books()


def test_a_letter_that_breaks_the_engine_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = intake._apply

    def broken(state: State, turn: Turn, submission: Submission, *rest: Any) -> None:
        if "poison" in submission.task.url and submission.by_mail:
            raise ZeroDivisionError("a fault of our own")
        apply(state, turn, submission, *rest)

    monkeypatch.setattr(intake, "_apply", broken)
    cluster = in_memory(answer=pages(0), partitions=6)
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    away = next(n for n in range(99) if partition_of(f"poison{n}.example", 6) not in cluster.processes[0].member.mine)
    hosts = [f"h{n}.example" for n in range(20)] + [f"poison{away}.example"] + [f"i{n}.example" for n in range(20)]
    tasks = [Task("p", f"http://{host}/", f"http://{host}/") for host in hosts]
    cluster.submit(cluster.processes[0], *(Submission(task, ticket=n) for n, task in enumerate(tasks)))
    cluster.until(cluster.drained)
    assert sum(url.startswith("http") for url in cluster.urls()) == 40
    assert cluster.store.ledger("p")["p", "refused", "malformed"] == 1
    assert not cluster.store.mail(range(6), 1)
    cluster.check_books()


def test_cookies_of_a_session_are_known_to_all() -> None:
    def answer(dispatch: Dispatch) -> list[Outcome]:
        if not dispatch.url.startswith("http"):
            return [outcome_of(dispatch)]
        return [outcome_of(dispatch, session="s", jar=[*dispatch.jar, dispatch.url])]

    cluster = in_memory(answer=answer, partitions=6)
    cluster.project()
    for _ in range(3):
        cluster.start()
    cluster.until(cluster.shared)
    for n in range(8):
        url = f"http://h{n}.example/"
        cluster.submit(cluster.processes[0], Submission(Task("p", url, url, fetch=Fetch(session="s")), ticket=n))
        cluster.until(lambda url=url: cluster.count(url) and not cluster.store.leases())  # type: ignore[misc]
    jars = [dispatch.jar for _, dispatch in cluster.sent if dispatch.url.startswith("http")]
    assert [len(jar) for jar in jars] == list(range(8))


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_finished_goes_after_its_time_and_is_crawled_again_once(seed: int) -> None:
    cluster = in_memory(answer=pages(120), seed=seed)
    cluster.project(limits='{"keep_tasks": 864000}')
    for shift in (0.0, 2.0, -2.0):
        cluster.start(shift)
    cluster.until(cluster.shared)
    start = Submission(Task("p", "on_start", "data:,on_start"), "on_start", 1)
    cluster.submit(cluster.processes[0], start)
    cluster.until(cluster.drained)
    tasks = cluster.store.count("p")
    cluster.clock.advance(9 * 86_400)
    cluster.until(cluster.shared)
    for _ in range(50):
        cluster.step()
    assert cluster.store.count("p") == tasks
    cluster.clock.advance(86_400 + 60)
    cluster.until(lambda: cluster.store.count("p") < tasks)
    cluster.kill(cluster.processes[seed])
    cluster.start(1.0)
    cluster.until(lambda: cluster.store.count("p") == 0)
    cluster.check_books()
    assert sum(n for (_, event, _), n in cluster.store.ledger("p").items() if event == "retired") == tasks
    cluster.until(cluster.shared)
    cluster.submit(cluster.processes[2], start)
    cluster.until(lambda: cluster.store.count("p") == tasks and cluster.drained())
    pages_sent = {url: n for url, n in cluster.urls().items() if url.startswith("http")}
    assert len(pages_sent) == 120
    assert min(pages_sent.values()) == 2
    assert {row.run for row in cluster.store.select("p") if row.host} == {2}  # behind what the resultdb may know
    cluster.check_books()


def test_whoever_gets_a_partition_goes_on_where_the_oldest_of_its_marks_is() -> None:
    cluster = in_memory(answer=pages(1))
    cluster.project(limits='{"keep_tasks": 864000}')
    first, second = cluster.start(), cluster.start()
    cluster.until(cluster.shared)
    entries = {f"retired_to:{part}" for part in range(4)}
    cluster.until(lambda: entries <= {name for _, name in cluster.store.state()})
    state = {part: cluster.store.state_of("", f"retired_to:{part}") for part in range(4)}
    part = min(second.member.mine)
    cluster.store.commit(
        Writes(state={("", f"retired_to:{part}"): '{"to": {"864000.0": 5.0}, "keeps": {"p": 864000.0}}'})
    )
    for other in set(state) - {part}:
        text = '{"to": {"864000.0": 9.0}, "keeps": {"p": 864000.0}}'
        cluster.store.commit(Writes(state={("", f"retired_to:{other}"): text}))
    cluster.kill(second)
    cluster.until(lambda: len(first.member.mine) == 4)
    cluster.step()
    assert first.engine.state.retired_to == {864_000.0: 5.0}
    first.engine.state.retired_to.clear()
    cluster.store.commit(Writes(state={("", f"retired_to:{part}"): None}))
    first.engine.forget()
    cluster.step()
    assert first.engine.state.retired_to.get(864_000.0, 0.0) != 9.0
