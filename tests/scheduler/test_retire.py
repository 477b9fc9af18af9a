"""Finished tasks go when their time is up: those, no others, in pieces, with balanced books, also over a restart."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from crawlkit.libs.messages import ProjectInfo
from crawlkit.libs.task import Schedule, Status, Task
from crawlkit.scheduler import retire
from crawlkit.scheduler.headcount import ALL
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play

DAY = 86_400.0


def playing(limits: str | None = '{"keep_tasks": 864000}', **settings: object) -> Play:
    play = Play(EngineSettings(**settings), ProjectInfo())  # type: ignore[arg-type]
    play.project(limits=limits)
    play.turn()
    return play


def crawl(play: Play, *urls: str, project: str = "p", ok: bool = True, **schedule: object) -> None:
    said = Schedule(retries=0, **schedule)  # type: ignore[arg-type]
    tasks = [Task(project, url[-60:], url, schedule=said) for url in urls]
    play.turn(submissions=[Submission(task) for task in tasks])
    play.answer_all(ok)


def settle(play: Play) -> int:
    """Turns until nothing more is looked at; how many there were."""
    for turns in range(1, 200):
        play.clock.advance(retire.PAUSE)
        play.turn()
        play.check_books()
        if play.engine.state.retire_at - play.clock.now > 2 * retire.PAUSE:
            return turns
    raise AssertionError("no end")


def test_what_is_done_goes_after_its_time_and_what_waits_stays() -> None:
    play = playing()
    crawl(play, "http://h/done")
    crawl(play, "http://h/failed", ok=False)
    crawl(play, "http://h/again", auto_recrawl=True, age=20 * DAY)
    play.submit("http://h/later", schedule=Schedule(exetime=play.now + 30 * DAY))
    play.advance(9 * DAY)
    settle(play)
    assert play.taskdb.count("p") == 4
    play.advance(1.1 * DAY)
    settle(play)
    assert {row.url for row in play.taskdb.select("p")} == {"http://h/again", "http://h/later"}
    assert (play.ledger("retired", "done"), play.ledger("retired", "failed")) == (1, 1)
    assert play.ledger("done") == 2  # what was done was done
    assert play.engine.state.projects["p"].totals["retired"] == 2


def test_one_that_is_found_again_is_new_and_its_run_is_behind_all_that_were(monkeypatch: pytest.MonkeyPatch) -> None:
    play = playing()
    crawl(play, "http://h/1")
    crawl(play, "http://h/1", force_update=True)
    crawl(play, "http://h/2")
    play.advance(11 * DAY)
    settle(play)
    play.start()
    assert play.submit("http://h/1").verdict == "new"
    play.answer_all()
    assert (play.row("http://h/1").run, play.row("http://h/1").status) == (3, Status.SUCCESS)
    assert play.submit("http://h/new").verdict == "new"
    assert play.row("http://h/new").run == 3
    play.order("clear")
    play.answer_all()
    play.check_books()
    play.advance(11 * DAY)
    settle(play)
    assert play.taskdb.count("p") == 0
    play.check_books()


def test_it_goes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retire, "CHUNK", 10)
    play = playing()
    for n in range(40):
        crawl(play, f"http://h/{n}")
        play.clock.advance(1)
    play.clock.advance(11 * DAY)
    sizes = []
    while not sizes or sizes[-1] != play.taskdb.count("p"):
        sizes.append(play.taskdb.count("p"))
        play.clock.advance(retire.PAUSE)
        play.turn()
        play.start() if len(sizes) == 2 else None
    assert sizes[0] in (30, 40)
    assert sizes[-1] == 0
    assert all(before - after <= 10 for before, after in pairwise(sizes))


def test_nothing_is_read_twice_and_nothing_without_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    play = playing(limits=None)
    asked: list[float] = []
    finished = play.taskdb.finished
    monkeypatch.setattr(play.taskdb, "finished", lambda after, *rest: asked.append(after) or finished(after, *rest))
    crawl(play, "http://h/1")
    play.advance(1000 * DAY)
    assert not asked
    play.project(limits='{"keep_tasks": 864000}')
    play.turn()
    settle(play)
    assert play.taskdb.count("p") == 0
    mark = asked[-1]
    assert mark > 0
    for _ in range(5):
        play.clock.advance(1)
        play.turn()
    play.start()
    play.turn()
    assert asked[-1] == mark
    assert len(asked) <= 5


def test_the_default_holds_where_a_project_says_nothing() -> None:
    play = playing(limits=None, keep_tasks=5 * DAY)
    play.project("keeps", limits='{"keep_tasks": "unlimited"}')
    play.project("longer", limits='{"keep_tasks": 864000}')
    play.turn()
    for name in ("p", "keeps", "longer"):
        crawl(play, "http://h/1", project=name)
    play.advance(6 * DAY)
    settle(play)
    assert [play.taskdb.count(name) for name in ("p", "keeps", "longer")] == [0, 1, 1]
    play.advance(5 * DAY)
    settle(play)
    assert [play.taskdb.count(name) for name in ("p", "keeps", "longer")] == [0, 1, 0]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_shorter_time_holds_for_what_is_there(stopped: bool) -> None:
    play = playing(keep_tasks=5 * DAY, limits='{"keep_tasks": 864000}')
    crawl(play, "http://h/1")
    play.project("q")
    crawl(play, "http://h/2", project="q")
    play.advance(7 * DAY)
    settle(play)  # the mark of five days has passed them
    assert (play.taskdb.count("p"), play.taskdb.count("q")) == (1, 0)
    if stopped:
        play.start()
    play.project(limits=None)
    play.turn()
    settle(play)
    assert play.taskdb.count("p") == 0


def test_a_task_that_is_crawled_again_in_the_same_turn_stays() -> None:
    play = playing()
    crawl(play, "http://h/1")
    play.clock.advance(11 * DAY)
    assert play.submit("http://h/1", schedule=Schedule(force_update=True)).verdict == "restart"
    play.check_books()
    assert play.row("http://h/1").run == 2


def test_a_turn_looks_at_one_length_of_time_and_each_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retire, "CHUNK", 4)
    play = playing(limits=None)
    for n in range(5):
        play.project(f"p{n}", limits=json.dumps({"keep_tasks": 10 * DAY + n}))
    play.turn()
    for n in range(5):
        for page in range(8):
            crawl(play, f"http://h/{page}", project=f"p{n}")
            play.clock.advance(0.01)
    play.advance(retire.IDLE)
    settle(play)
    looked: list[tuple[float, int]] = []
    finished = play.taskdb.finished
    monkeypatch.setattr(
        play.taskdb,
        "finished",
        lambda after, before, limit: looked.append((play.now - before, limit)) or finished(after, before, limit),
    )
    play.clock.advance(11 * DAY)
    sizes = []
    while not sizes or sizes[-1]:
        said = len(looked)
        play.turn()
        assert len(looked) - said <= 1
        sizes.append(sum(play.taskdb.count(f"p{n}") for n in range(5)))
        play.clock.advance(retire.PAUSE)
    assert all(before - after <= 4 for before, after in pairwise([40, *sizes]))
    lengths = [round(keep - 10 * DAY) for keep, _ in looked]
    assert sorted(lengths[:5]) == sorted(lengths[5:10]) == [0, 1, 2, 3, 4]
    play.check_books()


# -- the counts for max_tasks: what was counted is taken off once, nothing else ever is ------------------------------


def bound(play: Play, **limits: object) -> None:
    play.project(limits=json.dumps(limits) if limits else None)
    play.turn()


def counts(play: Play, *hosts: str) -> list[int]:
    found = play.taskdb.counts("p", [ALL, *hosts])
    return [found.get(host, 0) for host in (ALL, *hosts)]


def room(play: Play, tag: str, most: int = 20) -> int:
    """How many of ``most`` new tasks are taken on."""
    before = play.taskdb.count("p")
    crawl(play, *(f"http://h/{tag}{n}" for n in range(most)))
    return play.taskdb.count("p") - before


def test_what_was_taken_on_without_a_bound_is_not_taken_off_when_it_was_crawled_again_under_one() -> None:
    play = playing(limits=None)
    old = [f"http://h/old{n}" for n in range(30)]
    crawl(play, *old)
    bound(play, max_tasks=5, keep_tasks=10 * DAY)
    assert room(play, "a") == 5
    crawl(play, *old, force_update=True)
    play.advance(11 * DAY)
    settle(play)
    assert counts(play, "h") == [0, 0]
    assert room(play, "b") == 5


@pytest.mark.parametrize("stopped", [False, True])
def test_bounds_that_come_and_go_leave_the_counts_true(stopped: bool) -> None:
    play = playing(limits=None)
    bound(play, max_tasks=5, keep_tasks=10 * DAY)
    crawl(play, "http://h/1", "http://h/2")
    bound(play, keep_tasks=10 * DAY)
    crawl(play, *(f"http://h/free{n}" for n in range(30)))
    bound(play, max_tasks=5, keep_tasks=10 * DAY)
    assert counts(play, "h") == [2, 2]
    bound(play, keep_tasks=10 * DAY)  # what was counted goes also while nothing counts
    if stopped:
        play.start()
    play.advance(11 * DAY)
    settle(play)
    assert counts(play, "h") == [0, 0]
    bound(play, max_tasks=5, keep_tasks=10 * DAY)
    assert room(play, "b") == 5


def test_a_clearing_gives_places_back_also_behind_the_runs_of_what_was_removed() -> None:
    play = playing('{"keep_tasks": 864000, "max_tasks": 5}')
    crawl(play, "http://h/1")
    play.advance(11 * DAY)
    settle(play)
    play.turn(submissions=[Submission(Task("p", f"w{n}", f"http://h/w{n}")) for n in range(5)], room=0)
    assert play.row("w0").run == 2
    assert counts(play, "h") == [5, 5]
    play.order("clear")
    while play.engine.state.actions:
        play.turn(room=0)
    play.check_books()
    assert (play.taskdb.count("p"), counts(play, "h")) == (0, [0, 0])
    assert room(play, "n") == 5


@pytest.mark.parametrize("fresh", [False, True])
def test_what_was_tried_and_cleared_gives_its_place_back_when_it_is_removed(fresh: bool) -> None:
    play = playing('{"keep_tasks": 864000, "max_tasks": 5}')
    if not fresh:
        play.submit("http://h/0")
        play.answer_all()
    play.turn(submissions=[Submission(Task("p", f"w{n}", f"http://h/w{n}")) for n in range(5 if fresh else 4)])
    for _ in range(len(play.out)):
        play.answer(ok=False)
    play.order("clear")
    while play.engine.state.actions:
        play.turn(room=0)
    assert room(play, "n") == 0
    play.advance(11 * DAY)
    settle(play)
    assert (play.taskdb.count("p"), counts(play, "h")) == (0, [0, 0])
    assert room(play, "n") == 5


def test_a_task_is_taken_off_the_host_under_which_it_was_counted() -> None:
    play = playing('{"keep_tasks": 864000, "max_tasks_per_host": 3}')
    for host in ("a", "b"):
        moved = Schedule(force_update=True, counted="c")  # the mark is the scheduler's own
        play.turn(submissions=[Submission(Task("p", f"{n}", f"http://{host}/{n}", schedule=moved)) for n in range(3)])
        play.answer_all()
    assert counts(play, "a", "b", "c") == [3, 3, 0, 0]
    play.advance(11 * DAY)
    settle(play)
    assert play.taskdb.count("p") == 0
    assert counts(play, "a", "b", "c") == [0, 0, 0, 0]


def test_a_mark_that_was_copied_into_a_task_counts_nothing() -> None:
    play = playing()
    crawl(play, "http://h/1", counted="h")
    assert play.row().schedule.counted is None
    play.advance(11 * DAY)
    settle(play)
    assert counts(play, "h") == [0, 0]


def test_no_host_is_mistaken_for_all() -> None:
    play = playing('{"max_tasks": 6, "max_tasks_per_host": 4}')
    crawl(play, *(f"http://*/{n}" for n in range(9)))
    crawl(play, *(f"data:,{n}" for n in range(9)))
    assert counts(play, "*") == [6, 4]
