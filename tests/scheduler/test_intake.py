"""Follow-ups that meet what is known: by memory, by the ids in the store, and by the known row where that decides."""

from __future__ import annotations

import pytest

from crawlkit.libs.task import Schedule
from crawlkit.scheduler.settings import EngineSettings
from tests.scheduler.play import Play
from tests.scheduler.rig import follow

PARENT = "http://h/parent"


def begun(*known: str) -> Play:
    """A project whose parent is out, after these tasks have ended; the scheduler was started anew since."""
    play = Play(EngineSettings(known=2))
    play.project()
    for url in known:
        play.submit(url)
        play.answer(url=url)
    play.start()
    play.submit(PARENT)
    return play


def rows_read(play: Play, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The taskids whose rows are read from here on."""
    read: list[str] = []
    get_many = play.taskdb.get_many
    monkeypatch.setattr(play.taskdb, "get_many", lambda keys: read.extend(key[1] for key in keys) or get_many(keys))
    return read


def test_a_plain_follow_up_that_only_the_store_knows_is_ignored_without_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = begun("http://h/1", "http://h/2")
    read = rows_read(play, monkeypatch)
    play.answer(url=PARENT, follows=[follow(f"http://h/{n}") for n in (1, 2, 1, 3)])
    assert not read
    assert play.ledger("ignored", "known") == 3
    assert play.urls().count("http://h/3") == 1
    play.answer_all()
    assert play.ledger("accepted", "follow") == 1
    play.check_books()


def test_the_order_of_new_follow_ups_is_that_of_the_callback() -> None:
    play = begun("http://h/known-1")
    order = ["b", "known-1", "a", "c", "d"]
    follows = [follow(f"http://h/{name}", plain=name != "c") for name in order]
    play.answer(url=PARENT, follows=follows)
    new = [f"http://h/{name}" for name in "bacd"]
    assert [url for url in play.urls() if url in new] == new


def test_the_same_new_follow_up_twice_in_a_turn_is_one_task() -> None:
    play = begun()
    play.answer(url=PARENT, follows=[follow("http://h/1"), follow("http://h/1", plain=False), follow("http://h/1")])
    play.answer_all()
    assert (play.ledger("accepted", "follow"), play.ledger("ignored", "known")) == (1, 2)
    play.check_books()


def test_a_follow_up_that_waits_in_memory_is_known() -> None:
    play = begun()
    play.submit("http://h/1", schedule=None)
    play.engine.state.known.drop("p")
    play.answer(url=PARENT, follows=[follow("http://h/1")])
    assert play.ledger("ignored", "known") == 1


def test_what_ended_before_its_project_was_begun_anew_is_taken_again() -> None:
    play = begun("http://h/1")
    assert play.order("restart").accepted
    play.answer_all()
    play.submit(PARENT + "2")
    play.answer(url=PARENT + "2", follows=[follow("http://h/1")])
    assert play.row("http://h/1").run == 2
    play.answer_all()
    play.check_books()


def test_a_malformed_follow_up_is_counted_when_it_is_new() -> None:
    play = begun("http://h/1")
    bad = follow("http://h/9")
    bad.task = type(bad.task)(b"\xc1")
    play.answer(url=PARENT, follows=[bad, follow("http://h/1")])
    assert play.ledger("refused", "malformed") == 1
    assert play.ledger("ignored", "known") == 1


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("ok", [False, True])
def test_what_was_cleared_before_it_came_to_an_end_is_taken_again(anew: bool, ok: bool) -> None:
    play = begun()
    play.submit("http://h/1")
    play.answer(url="http://h/1", ok=ok)
    assert play.order("clear").accepted
    for _ in range(4):
        play.turn()
    if anew:
        play.start()
        play.turn()
    play.answer(url=PARENT, follows=[follow("http://h/1"), follow("http://h/2")])
    assert play.urls().count("http://h/2") == 1
    assert play.row("http://h/1").run == (1 if ok else 2)
    assert play.ledger("ignored", "known") == int(ok)
    play.answer_all()
    play.check_books()


def test_what_is_cleared_in_the_turn_in_which_it_is_found_is_taken_again() -> None:
    play = begun()
    play.submit("http://h/1")
    play.answer(url="http://h/1", ok=False)
    assert play.order("clear").accepted
    links = [f"http://h/{n}" for n in range(6)]
    for url in links:  # one of these turns clears it
        play.submit(url + "/parent")
    while play.out:
        play.answer(follows=[follow("http://h/1")])
    assert play.row("http://h/1").run == 2
    assert play.urls().count("http://h/1") == 2
    play.check_books()


def test_a_cancellation_of_what_counts_as_never_seen_leaves_it_unknown() -> None:
    play = begun()
    play.submit("http://h/1")
    play.answer(url="http://h/1", ok=False)
    assert play.order("clear").accepted
    for _ in range(4):
        play.turn()
    assert play.submit("http://h/1", schedule=Schedule(cancel=True)).verdict == "nothing"
    play.answer(url=PARENT, follows=[follow("http://h/1")])
    assert play.row("http://h/1").run == 2
