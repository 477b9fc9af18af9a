"""Which task goes out next, over several hosts and projects."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from crawlkit.libs.messages import ProjectInfo
from crawlkit.libs.task import Schedule, Task
from crawlkit.scheduler import sending
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play


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
    from tests.scheduler.rig import outcome_of

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
