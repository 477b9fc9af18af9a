"""What a project does not take on: the rules alone, then what the scheduler makes of them."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.bounds import Bounds
from crawlkit.libs.messages import ProjectInfo
from crawlkit.libs.task import Schedule, Task
from crawlkit.scheduler.bounds import Fence, Pattern, depth_below, repeats
from crawlkit.scheduler.headcount import ALL
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import follow, outcome_of

# -- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "url", "depth", "reason"),
    [
        (Bounds(), "http://h/" + "a/" * 50, 99, ""),
        (Bounds(max_depth=2), "http://h/", 2, ""),
        (Bounds(max_depth=2), "http://h/", 3, "max_depth"),
        (Bounds(max_depth=0), "http://h/", 1, "max_depth"),
        (Bounds(max_url_length=10), "http://h/1", 0, ""),
        (Bounds(max_url_length=10), "http://h/12", 0, "max_url_length"),
        (Bounds(max_repeats=2), "http://h/a/b/a/b/", 0, ""),
        (Bounds(max_repeats=2), "http://h/a/b/a/b/a", 0, "max_repeats"),
        (Bounds(max_repeats=1), "http://h//a//", 0, ""),
        (Bounds(max_repeats=1), "http://[h/a/a", 0, ""),
        (Bounds(include=["*://h/*"]), "http://h/1", 0, ""),
        (Bounds(include=["*://h/*"]), "http://i/1", 0, "include"),
        (Bounds(include=["*://h/*", "*://i/*"]), "http://i/1", 0, ""),
        (Bounds(exclude=["*x", "calendar"]), "http://h/calendar?y=1", 0, "exclude 2"),
        (Bounds(exclude=["*x", "calendar"], include=["*"]), "http://h/1", 0, ""),
    ],
)
def test_urls(bounds: Bounds, url: str, depth: int, reason: str) -> None:
    assert Fence(bounds).refuses(url, depth) == reason


@pytest.mark.parametrize(
    ("tasks", "of_host", "reason"), [(9, 4, ""), (10, 0, "max_tasks"), (9, 5, "max_tasks_per_host")]
)
def test_counts(tasks: int, of_host: int, reason: str) -> None:
    fence = Fence(Bounds(max_tasks=10, max_tasks_per_host=5))
    assert fence.counts
    assert fence.full(tasks, of_host) == reason
    assert not Fence(Bounds(max_depth=1)).counts


def test_every_reason_has_words() -> None:
    fence = Fence(Bounds(max_depth=3, max_url_length=9, max_repeats=2, max_tasks=7, max_tasks_per_host=5,
                         include=["*a"], exclude=["*b", "*c"]))  # fmt: skip
    for reason in ("max_depth", "max_url_length", "max_repeats", "max_tasks", "max_tasks_per_host", "include"):
        assert fence.explain(reason) != reason
        assert "{" not in fence.explain(reason)
    assert fence.explain("exclude 2") == "its URL matches exclude rule 2: *c"
    assert fence.explain("malformed") == "malformed"


@given(st.text("ab*", max_size=8).filter(lambda text: "*" in text), st.text("ab", max_size=10))
def test_a_pattern_matches_as_the_shell_does(pattern: str, url: str) -> None:
    assert Pattern(pattern).matches(url) == fnmatchcase(url, pattern)


def test_no_url_makes_a_pattern_slow() -> None:
    began = time.process_time()
    assert not Pattern("*a" * 100 + "*b*c").matches("a" * 60_000)
    assert time.process_time() - began < 0.5


def test_depth() -> None:
    assert depth_below(0, internal=True) == 0
    assert depth_below(4, internal=True) == 0
    assert depth_below(0, internal=False) == 1
    assert repeats("http://h/a/b/a") == 2
    assert repeats("http://h") == 0


# -- in the scheduler ------------------------------------------------------------------------------------------------


def playing(**bounds: object) -> Play:
    play = Play(info=ProjectInfo(crawl_config={"bounds": bounds}))
    play.project()
    play.turn()
    return play


def page(play: Play, url: str, *urls: str, plain: bool = True) -> None:
    """The page ``url`` was crawled and led to others."""
    play.answer(url=url, follows=[follow(one, plain=plain) for one in urls])


@pytest.mark.parametrize("plain", [True, False])
def test_depth_travels_from_page_to_page_and_over_a_restart(plain: bool) -> None:
    play = playing(max_depth=2)
    play.submit("http://h/0")
    page(play, "http://h/0", "http://h/1", plain=plain)
    play.start()
    play.turn(room=0)  # the new scheduler has not asked the handler yet
    page(play, "http://h/1", "http://h/2", plain=plain)
    page(play, "http://h/2", "http://h/3", plain=plain)
    play.turn()
    assert [play.row(f"http://h/{n}").schedule.depth for n in range(3)] == [0, 1, 2]
    assert play.taskdb.get("p", "http://h/3") is None
    assert play.ledger("refused", "max_depth") == 1
    play.check_books()


def test_a_shorter_way_makes_it_less_deep() -> None:
    play = playing(max_depth=5)
    play.submit("http://h/0")
    page(play, "http://h/0", "http://h/1")
    page(play, "http://h/1", "http://h/2")
    play.answer(url="http://h/2")
    play.submit("http://h/2", schedule=Schedule(force_update=True))
    assert play.row("http://h/2").schedule.depth == 0
    page(play, "http://h/2", "http://h/1", plain=True)
    assert play.row("http://h/1").schedule.depth == 1


def test_no_depth_is_kept_without_the_bound() -> None:
    play = playing(max_url_length=100)
    play.submit("http://h/0")
    page(play, "http://h/0", "http://h/1")
    assert play.row("http://h/1").schedule == Schedule()


def test_a_submission_is_refused_in_words_and_counted() -> None:
    play = playing(exclude=["*/print/*"])
    verdict = play.submit("http://h/print/1")
    assert (verdict.accepted, verdict.verdict) == (False, "refused")
    assert verdict.reason == "its URL matches exclude rule 1: */print/* (exclude 1)"
    assert play.ledger("refused", "exclude 1") == 1
    assert play.engine.state.projects["p"].refused == {"exclude 1": 1}
    assert play.engine.overview(play.now)["projects"]["p"]["refused"] == {"exclude 1": 1}


def test_the_counts_hold_for_new_tasks_only_and_over_a_restart() -> None:
    play = playing(max_tasks=5, max_tasks_per_host=3)
    urls = [f"http://h/{n}" for n in range(6)] + [f"http://i/{n}" for n in range(6)]
    play.submit("http://h/0")
    page(play, "http://h/0", *urls)
    assert play.ledger("accepted") == 5
    assert (play.ledger("refused", "max_tasks_per_host"), play.ledger("refused", "max_tasks")) == (3, 4)
    assert play.taskdb.counts("p", [ALL, "h", "i", "none"]) == {ALL: 5, "h": 3, "i": 2}
    play.start()
    play.turn()
    assert not play.submit("http://j/0").accepted
    assert play.submit("http://h/0", schedule=Schedule(force_update=True)).verdict == "restart"
    assert play.taskdb.counts("p", [ALL]) == {ALL: 5}
    play.check_books()


def test_limits_of_the_project_win_and_hold_at_once() -> None:
    play = playing(max_tasks=1)
    assert play.submit("http://h/0").accepted
    assert not play.submit("http://h/1").accepted
    play.project(limits='{"max_tasks": 2}')
    assert play.submit("http://h/1").accepted
    assert not play.submit("http://h/2").accepted
    play.project(limits='{"max_tasks": "unlimited"}')
    assert play.submit("http://h/2").accepted
    assert play.engine.state.projects["p"].fence is None


def test_what_is_cleared_before_its_first_try_gives_its_place_back() -> None:
    play = Play(info=ProjectInfo())
    play.project()
    play.turn()
    play.turn(submissions=[Submission(Task("p", f"old{n}", f"http://h/old{n}")) for n in range(3)], room=0)
    play.project(limits='{"max_tasks": 2}')
    play.turn(submissions=[Submission(Task("p", f"new{n}", f"http://h/new{n}")) for n in range(3)], room=0)
    assert play.ledger("refused", "max_tasks") == 1
    play.order("clear")
    while play.engine.state.actions:
        play.turn(room=0)
    assert play.taskdb.counts("p", [ALL, "h"]) == {ALL: 0, "h": 0}  # those of before the bound were never counted
    play.turn(submissions=[Submission(Task("p", f"last{n}", f"http://h/last{n}")) for n in range(3)], room=0)
    assert play.ledger("refused", "max_tasks") == 2
    play.check_books()


def test_a_new_script_without_bounds_lifts_them_and_a_broken_one_does_not() -> None:
    play = playing(max_url_length=12)
    assert not play.submit("http://h/too-long").accepted
    play.info = ProjectInfo(error="it does not load")
    play.project(script="# broken")
    play.turn()
    assert not play.submit("http://h/too-long").accepted
    play.info = ProjectInfo()
    play.project(script="# 3")
    play.turn()
    assert play.submit("http://h/too-long").accepted
    assert play.taskdb.state_of("p", "bounds") is None


def test_what_starts_and_ends_a_project_is_never_refused() -> None:
    play = playing(max_url_length=1, max_tasks=0, include=["*nothing*"])
    outcome = play.turn(submissions=[Submission(Task("p", "on_start", "data:,on_start"), "on_start", 7)])
    assert outcome.verdicts[0][1].accepted


def test_refusals_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.scheduler.state.MAX_REFUSALS", 3)
    play = playing(max_tasks=0)
    for n in range(5):
        play.submit(f"http://h/{n}")
    assert [key[1] for key in play.engine.state.refusals] == ["http://h/2", "http://h/3", "http://h/4"]
    assert play.ledger("refused", "max_tasks") == 5


def test_endless_links_cost_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    play = playing(max_depth=1)
    play.submit("http://h/0")
    page(play, "http://h/0", "http://h/1")
    asked = []
    monkeypatch.setattr(play.taskdb, "get_many", lambda keys: asked.append(keys) or {})
    dispatch = next(d for d in play.out if d.url == "http://h/1")
    play.turn(outcome_of(dispatch, follows=[follow(f"http://h/next/{n}") for n in range(500)]))
    assert play.ledger("refused", "max_depth") == 500
    assert not asked  # they are refused before anybody asks whether they are known
