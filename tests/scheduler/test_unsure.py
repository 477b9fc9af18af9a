"""A commit that failed may have been kept: the turn goes on from there, and is done once (R-10)."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.rows import TaskRow, Writes
from crawlkit.libs.task import Task
from crawlkit.scheduler.turn import Inbox, Order, Submission
from tests.scheduler.play import Play

LEASE = 30.0  # seconds, the default


class Denying(MemoryTaskStore):
    """Fails when told, in a commit without or after having kept it, or as soon as rows are read."""

    deny: list[str]  # of the next commits: kept, refused

    def __init__(self) -> None:
        super().__init__()
        self.deny = []
        self.mute = False

    def commit(self, writes: Writes) -> None:
        how = self.deny.pop(0) if self.deny else ""
        if how != "refused":
            super().commit(writes)
        if how:
            raise StoreUnavailable(how)

    def get_many(self, keys: Any) -> dict[Any, TaskRow]:
        if self.mute:
            self.mute = False
            raise StoreUnavailable("mute")
        return super().get_many(keys)


def world() -> tuple[Play, Denying]:
    play = Play()
    store = play.taskdb = Denying()
    play.start()
    play.project()
    play.turn()
    return play, store


def offer(play: Play, inbox: Inbox) -> Any:
    """Until it is taken."""
    while True:
        try:
            return play.offer(inbox)
        except StoreUnavailable:
            play.clock.advance(0.5)


def fail(play: Play, store: Denying) -> None:
    """A turn in which rows cannot be read."""
    store.mute = True
    play.engine.forget()
    with pytest.raises(StoreUnavailable):
        play.turn()


@pytest.mark.parametrize("deny", [["kept"], ["refused"], ["kept", "refused", "kept"], ["refused", "refused", "kept"]])
def test_a_turn_that_is_not_confirmed_is_done_once(deny: list[str]) -> None:
    play, store = world()
    store.deny = list(deny)
    asked = Inbox(submissions=[Submission(Task("p", "1", "http://h/1"), ticket=1)], room=10)
    outbox = offer(play, asked)
    assert [verdict.verdict for _, verdict in outbox.verdicts] == ["new"]
    assert [dispatch.url for dispatch in outbox.dispatches] == ["http://h/1"], "leased, and nobody has it"
    assert store.ledger("p")["p", "accepted", "submit"] == 1
    play.out += outbox.dispatches
    play.answer()
    play.check_books()


def test_an_order_is_carried_out_once() -> None:
    play, store = world()
    play.submit()
    play.answer_all()
    store.deny = ["kept"]
    offer(play, Inbox(orders=[Order("p", "rerun", 1, "http://h/1")]))
    row = store.get("p", "http://h/1")
    assert row is not None
    assert row.run == 2


def test_a_project_that_is_removed_meanwhile_leaves_nothing() -> None:
    play, store = world()
    store.deny = ["refused"]
    asked = Inbox(submissions=[Submission(Task("p", "1", "http://h/1"), ticket=1)], room=10)
    with pytest.raises(StoreUnavailable):
        play.offer(asked)
    play.engine.drop("p")
    offer(play, asked)
    assert store.count("p") == 0


def test_the_last_words_of_one_who_is_unsure_change_nothing() -> None:
    play, store = world()
    store.deny = ["refused"]
    with pytest.raises(StoreUnavailable):
        play.offer(Inbox(submissions=[Submission(Task("p", "1", "http://h/1"))], room=10))
    play.engine.stop(play.now)
    play.start()
    play.turn()
    play.check_books()
    assert store.count("p") == 0


def test_a_lease_that_nobody_has_ends_also_while_the_store_fails_again_and_again() -> None:
    play, store = world()
    play.submit()
    play.out.clear()  # it got lost
    for _ in range(15):
        play.advance(LEASE / 10)
        fail(play, store)
        play.turn()
    assert [dispatch.attempt for dispatch in play.out] == [2]


def test_time_in_which_the_store_was_away_does_not_count_for_leases() -> None:
    play, store = world()
    play.submit()
    fail(play, store)
    play.clock.advance(3 * LEASE)
    play.turn()
    assert [dispatch.attempt for dispatch in play.out] == [1]
    play.advance(LEASE + 2)
    assert [dispatch.attempt for dispatch in play.out] == [1, 2]
