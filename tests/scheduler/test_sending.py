"""Which task goes out next, over several hosts and projects."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.messages import INFO, FetchEnded, ProjectInfo
from crawlkit.libs.rows import Queue
from crawlkit.libs.task import Schedule, Task, home_of, partition_of
from crawlkit.scheduler import sending
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Order, Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import outcome_of


def submissions(project: str, urls: list[str], priority: int = 0) -> list[Submission]:
    return [Submission(Task(project, url[-60:], url, schedule=Schedule(priority=priority))) for url in urls]


def play_of(limits: dict[str, Any] | None = None, projects: tuple[str, ...] = ("p",), **settings: Any) -> Play:
    play = Play(EngineSettings(**settings), ProjectInfo(crawl_config={"host_limits": limits} if limits else {}))
    for name in projects:
        play.project(name)
    play.turn()
    return play


def submit(play: Play, urls: list[str], project: str = "p", room: int = 0, priority: int = 0) -> None:
    play.turn(submissions=submissions(project, urls, priority), room=room)


def pages(host: str, n: int) -> list[str]:
    return [f"http://{host}/{number}" for number in range(n)]


def hosts_of(play: Play) -> Counter[str]:
    return Counter(dispatch.url.split("/")[2] for dispatch in play.out)


def test_a_host_that_is_full_is_in_nobodys_way() -> None:
    play = play_of({"slow.de": {"concurrency": 1}})
    submit(play, pages("slow.de", 30))
    submit(play, pages("fast.de", 10))
    play.turn()
    assert hosts_of(play) == {"slow.de": 1, "fast.de": 10}
    play.answer(url="http://slow.de/0")
    assert play.out[-1].url == "http://slow.de/1"


def test_the_order_within_a_project_is_kept_among_hosts_that_may_be_asked() -> None:
    play = play_of({"slow.de": {"concurrency": 1}})
    submit(play, [url for pair in zip(pages("slow.de", 4), pages("fast.de", 4), strict=True) for url in pair])
    play.turn(room=3)
    assert play.urls() == ["http://slow.de/0", "http://fast.de/0", "http://fast.de/1"]
    play.turn(room=0)
    play.out.pop(0)
    play.turn(outcome_of(play.sent[-3][1]), room=2)
    assert play.urls()[3:] == ["http://slow.de/1", "http://fast.de/2"]


def test_a_rate_holds_for_two_projects_together_and_wakes_in_time() -> None:
    play = play_of({"rate": 2, "burst": 1}, projects=("p", "q"))
    submit(play, pages("h.de", 5))
    submit(play, pages("h.de", 5), project="q")
    play.turn()
    assert len(play.out) == 1
    assert play.wake == pytest.approx(0.5, abs=0.01)
    for _ in range(8):
        play.advance(0.51)
    assert len(play.out) == 9
    assert Counter(dispatch.project for dispatch in play.out).keys() == {"p", "q"}


def test_with_more_tasks_of_a_full_host_than_the_window_holds() -> None:
    play = play_of({"slow.de": {"concurrency": 1}}, window=3_000, refill=100)
    submit(play, pages("slow.de", 4_000))
    submit(play, pages("fast.de", 5))
    for _ in range(100):
        play.turn()
        if hosts_of(play)["fast.de"] == 5:
            break
    assert hosts_of(play) == {"slow.de": 1, "fast.de": 5}
    for number in range(200):
        play.answer(url=f"http://slow.de/{number}")
        while not play.wake and not hosts_of(play)["slow.de"]:
            play.turn()
    assert [url for url in play.urls() if "slow" in url] == pages("slow.de", 201)


def test_a_host_alone_may_fill_the_ring_but_not_while_others_wait() -> None:
    play = play_of()
    submit(play, pages("127.0.0.1", 300))
    play.turn(room=100)
    assert len(play.out) == 100
    submit(play, pages("127.0.0.2", 300))
    submit(play, pages("127.0.0.3", 300))
    play.turn(room=20)
    assert hosts_of(play) == {"127.0.0.1": 100, "127.0.0.2": 12, "127.0.0.3": 8}


def test_a_host_with_much_under_way_goes_on_while_the_others_may_not_be_asked() -> None:
    play = play_of({"127.0.0.2": {"concurrency": 1}})
    submit(play, pages("127.0.0.2", 30))
    submit(play, pages("127.0.0.1", 300))
    play.turn(room=200)
    assert hosts_of(play) == {"127.0.0.1": sending.SLOTS // sending.MOST, "127.0.0.2": 1}
    play.answer(url="http://127.0.0.1/0")
    assert hosts_of(play)["127.0.0.1"] == sending.SLOTS // sending.MOST


def test_what_is_held_in_memory_is_bounded_over_all_projects() -> None:
    names = tuple(f"p{n}" for n in range(8))
    play = play_of(projects=names, window=400, refill=100)
    for name in names:
        submit(play, pages(f"{name}.de", 300), project=name)
    play.turn(room=0)
    held = sum(len(one.ready) + len(one.time) for one in play.engine.state.projects.values())
    assert 0 < held <= 400
    while len(play.out) < 8 * 300 and play.turn(room=50).wake == 0:
        pass
    assert Counter(dispatch.project for dispatch in play.out).keys() == set(names)


def test_a_task_of_higher_priority_than_the_window_holds_is_next() -> None:
    play = play_of(window=200, refill=50)
    submit(play, pages("h.de", 1_000))
    play.turn(room=10)
    submit(play, ["http://h.de/urgent"], priority=9, room=1)
    assert play.urls()[-1] == "http://h.de/urgent"


def test_with_little_room_all_projects_have_their_turn() -> None:
    names = tuple(f"p{n:02}" for n in range(40))
    play = play_of(projects=names)
    for name in names:
        submit(play, pages(f"{name}.de", 20), project=name)
    for _ in range(8):
        play.turn(room=5)
    assert Counter(dispatch.project for dispatch in play.out) == dict.fromkeys(names, 1)


# -- nobody is forgotten, and nobody spins -----------------------------------------------------------------------------


def hold(play: Play, host: str, seconds: float = 60.0) -> None:
    """The host asks to be left alone."""
    play.turn(FetchEnded("p", "another", 1, 1, host, 429, None, 0.1, seconds))


def set_status(play: Play, project: str, status: str) -> None:
    row = play.projectdb.get(project)
    assert row is not None
    row.status = status
    play.projectdb.put(row)
    play.engine.projects_changed = True
    play.turn()


def cancel_what_is_in_memory(play: Play, project: str = "p") -> None:
    known = play.engine.state.projects.get(project)
    ids = [row.taskid for row in known.ready.rows()] if known is not None else []
    play.turn(orders=[Order(project, "cancel", 1, taskid) for taskid in ids])


def come_to_rest(play: Play, room: int = 1000) -> None:
    """Turns until the scheduler would wait; it may not need many in which nothing changes."""
    still = 0
    while play.wake == 0:
        before = progress(play)
        play.turn(room=room)
        still = still + 1 if progress(play) == before else 0
        assert still < 50, "it spins"


def progress(play: Play) -> tuple[Any, ...]:
    names = play.taskdb.projects()
    ready = [len(play.taskdb.window(name, Queue.READY, None, 9_999)) for name in names]
    return len(play.sent), [play.size(name) for name in names], ready


def crawl_to_the_end(play: Play, names: list[str]) -> None:
    """Answers and lets time pass until nothing waits."""
    left, still = sum(map(play.size, names)), 0
    while left:
        answers = [outcome_of(dispatch) for dispatch in play.out]
        play.out.clear()
        play.turn(*answers)
        come_to_rest(play)
        play.advance(max(0.01, play.wake))
        before, left = left, sum(map(play.size, names))
        still = still + 1 if left == before else 0
        assert still < 100, "something waits that is not sent"


@pytest.mark.parametrize("how", ["stopped", "cleared"])
def test_the_end_of_a_hold_that_only_a_resting_project_waited_for_is_taken_note_of(how: str) -> None:
    play = play_of()
    hold(play, "h.de")
    submit(play, pages("h.de", 5), room=1000)
    assert play.out == []
    if how == "stopped":
        set_status(play, "p", "STOP")
    else:
        play.order("clear")
    come_to_rest(play)
    assert not play.engine.state.lively
    play.advance(61.0)
    play.turn()
    assert play.wake > 1.0
    assert not play.engine.state.waiting


@pytest.mark.parametrize("window", [4, 40])
def test_what_waits_in_the_store_for_a_held_host_is_read_when_all_in_memory_is_cancelled(window: int) -> None:
    play = play_of(window=window, refill=max(4, window // 2))
    hold(play, "h.de")
    submit(play, pages("h.de", 3 * window), room=1000)
    come_to_rest(play)
    cancel_what_is_in_memory(play)
    come_to_rest(play)
    left = play.size()
    assert left > 0
    assert not play.engine.state.lively
    play.advance(61.0)
    come_to_rest(play)
    assert len(play.out) == 1  # one tries it
    play.answer()
    come_to_rest(play)
    assert len(play.urls()) == 2
    crawl_to_the_end(play, ["p"])


def test_projects_that_may_not_send_are_not_read_and_given_up_in_turns() -> None:
    names = ("p", "q", "r", "s")
    play = play_of(projects=names, window=40, refill=20)
    hold(play, "h.de")
    for name in names:
        submit(play, pages("h.de", 40), project=name, room=1000)
    for name in names:
        play.order("pause", name)
    play.advance(61.0)
    come_to_rest(play)
    for name in names:
        play.order("resume", name)
    for _ in range(30):
        play.advance(1.0)
        play.answer_all(limit=40)
    assert Counter(dispatch.project for _, dispatch in play.sent) == dict.fromkeys(names, 40)


def test_a_project_without_tasks_is_drained_whatever_host_is_held() -> None:
    play = play_of(window=8, refill=4)
    hold(play, "h.de", 3_600.0)
    submit(play, pages("h.de", 60), room=1000)
    come_to_rest(play)
    play.order("clear")
    come_to_rest(play)
    play.answer_all()  # on_finished
    come_to_rest(play)
    play.advance(1.0)
    assert play.size() == 0
    assert play.engine.snapshot["drained"]


HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "later", "hold", "cancel", "clear", "stop", "run", "restart", "pause",
                         "resume", "answer", "wait", "room"]),
        st.sampled_from(["p", "q"]),
        st.sampled_from(["a.de", "b.de", "c.de"]),
        st.integers(0, 60),
    ),
    max_size=20,
)  # fmt: skip


def happen(play: Play, room: int, event: tuple[str, str, str, int], number: int) -> int:
    """One event of a history; returns the room from then on."""
    kind, name, host, n = event
    if kind == "submit":
        submit(play, [f"http://{host}/{number}-{each}" for each in range(n)], project=name, room=room, priority=n % 3)
    elif kind == "later":
        later = Schedule(exetime=play.now + n)
        play.turn(submissions=[Submission(Task(name, f"late{number}", f"http://{host}/late", schedule=later))])
    elif kind == "hold":
        hold(play, host, 1.0 + n)
    elif kind == "cancel":
        cancel_what_is_in_memory(play, name)
    elif kind in ("clear", "pause", "resume"):
        play.turn(orders=[Order(name, kind, 1)], room=room)
    elif kind in ("stop", "run"):
        set_status(play, name, "STOP" if kind == "stop" else "RUNNING")
    elif kind == "restart":
        play.start()
        play.turn(room=room)
    elif kind == "answer":
        play.answer_all(limit=n)
    elif kind == "wait":
        play.advance(float(n))
    else:
        room = n
    return room


@pytest.mark.parametrize("examples", [20, pytest.param(1_000, marks=pytest.mark.slow)])
def test_everything_is_sent_in_the_end_and_nothing_spins(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        history=HISTORY,
        window=st.sampled_from([8, 40, 200]),
        limits=st.sampled_from([None, {"*": {"concurrency": 1}}, {"a.de": {"concurrency": 1}}, {"*": {"rate": 2}}]),
    )
    def holds(history: list[tuple[str, str, str, int]], window: int, limits: dict[str, Any] | None) -> None:
        play = play_of(limits, projects=("p", "q"), window=window, refill=max(4, window // 2))
        room = 1000
        for number, event in enumerate(history):
            room = happen(play, room, event, number)
            come_to_rest(play, room)
        for name in ("p", "q"):
            set_status(play, name, "RUNNING")
            play.order("resume", name)
        crawl_to_the_end(play, ["p", "q"])
        play.check_books()

    holds()


def test_a_question_to_a_handler_is_answered_to_the_home_of_its_project() -> None:
    play, names = Play(EngineSettings(partitions=8)), [f"p{n}" for n in range(5)]
    play.info = None
    for name in names:
        play.project(name)
    play.turn()
    assert {d.kind for d in play.out} == {INFO}
    assert {d.project: d.partition for d in play.out} == {name: home_of(name, 8) for name in names}
    assert len({d.partition for d in play.out}) > 1


def test_a_task_is_answered_to_the_partition_of_its_host() -> None:
    play, hosts = play_of(partitions=8), ("a.com", "b.com", "c.com")
    for host in hosts:
        submit(play, pages(host, 1), room=10)
    assert {d.url: d.partition for d in play.out} == {f"http://{host}/0": partition_of(host, 8) for host in hosts}
    assert len({d.partition for d in play.out}) > 1


@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.integers(1, 6), min_size=2, max_size=4), room=st.integers(1, 40))
def test_projects_share_turns_by_weight(weights: list[int], room: int) -> None:
    play = play_of(max_leased=100_000)
    play.projectdb.drop("p")
    names = [f"p{number}" for number in range(len(weights))]
    for name, weight in zip(names, weights, strict=True):
        play.project(name, limits=f'{{"weight": {weight}}}')
    play.turn(room=0)
    for name in names:
        submit(play, pages(name, 1_500), name)
    for _ in range(10_000):
        play.turn(room=room)
        if len(play.sent) >= 1_000:
            break
    sent = Counter(dispatch.project for _, dispatch in play.sent)
    share = sum(sent.values()) / sum(weights)
    for name, weight in zip(names, weights, strict=True):
        assert abs(sent[name] - share * weight) <= 0.15 * share * weight + sending.QUANTUM * weight, (sent, weights)


def test_a_small_project_begins_at_once_beside_a_heavy_one() -> None:
    play = play_of()
    play.projectdb.drop("p")
    play.project("heavy", limits='{"weight": 100}')
    play.project("small")
    play.turn(room=0)
    submit(play, pages("heavy", 2_000), "heavy")
    play.turn(room=50)
    submit(play, pages("small", 10), "small")
    turns = 0
    while sum(dispatch.project == "small" for _, dispatch in play.sent) < 10:
        play.turn(room=50)
        turns += 1
    assert turns <= 20
