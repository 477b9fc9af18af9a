"""Several schedulers on one taskdb: who takes what, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.clock import ManualClock, SystemClock
from crawlkit.libs.errors import NotOwner, StoreUnavailable
from crawlkit.libs.rows import Owner
from crawlkit.scheduler import membership
from crawlkit.scheduler.membership import Membership
from tests.database.stores import waiting, writes


class Group:
    """Members on one store, who look once a second."""

    def __init__(self, partitions: int) -> None:
        self.clock = ManualClock(1_700_000_000.0)
        self.store = MemoryTaskStore(self.clock)
        self.partitions = partitions
        self.members: list[Membership] = []
        self.stores: list[MemoryTaskStore] = []

    def join(self) -> Membership:
        store = self.store.beside()
        member = Membership(store, self.clock, self.partitions, node=f"m{len(self.stores)}")
        self.members.append(member)
        self.stores.append(store)
        return member

    def second(self) -> None:
        self.clock.advance(1.0)
        for member in self.members:
            step(member)

    def shares(self) -> list[int]:
        return [len(member.mine) for member in self.members]


def step(member: Membership) -> set[int]:
    look = member.look()
    member.carry_out(look, member.decide(look))
    return look.lost


def test_they_come_to_equal_shares_one_after_the_other() -> None:
    group = Group(8)
    group.join()
    group.second()
    assert group.shares() == [8]
    group.join()
    for _ in range(3):
        group.second()
    assert group.shares() == [4, 4]
    group.join()
    for _ in range(4):
        group.second()
    assert sorted(group.shares()) == [2, 3, 3]
    assert frozenset().union(*(member.mine for member in group.members)) == set(range(8))


def test_what_a_dead_one_had_is_taken_within_ten_seconds() -> None:
    group = Group(6)
    for _ in range(3):
        group.join()
    for _ in range(5):
        group.second()
    assert group.shares() == [2, 2, 2]
    group.members.pop()
    died = group.clock.now
    while sum(group.shares()) < 6:
        group.second()
    assert group.clock.now - died <= 10
    assert group.shares() == [3, 3]
    for _ in range(2):
        group.second()
    assert len(group.store.members()) == 2  # and it is forgotten


def test_one_that_stood_still_may_commit_nothing_and_joins_again() -> None:
    group = Group(2)
    frozen, other = group.join(), group.join()
    for _ in range(3):
        group.second()
    assert group.shares() == [1, 1]
    group.members = [other]
    for _ in range(10):
        group.second()
    assert other.mine == {0, 1}
    with pytest.raises(NotOwner, match="m1 has"):
        group.stores[0].commit(writes(insert=[waiting("a", 1)]))
    had = frozen.mine
    assert step(frozen) == set(had) != set()
    group.members = [frozen, other]
    for _ in range(4):
        group.second()
    assert group.shares() == [1, 1]
    group.stores[0].commit(writes(insert=[waiting("a", 1)]))


def test_while_nobody_can_look_nobody_dies() -> None:
    group = Group(4)
    for _ in range(2):
        group.join()
    for _ in range(4):
        group.second()
    before = [member.mine for member in group.members]
    group.clock.advance(60.0)  # the database was away
    for _ in range(8):
        group.second()
    assert [member.mine for member in group.members] == before


def test_who_leaves_is_followed_at_once() -> None:
    group = Group(4)
    leaving, staying = group.join(), group.join()
    for _ in range(4):
        group.second()
    leaving.leave()
    group.members = [staying]
    group.second()
    assert staying.mine == {0, 1, 2, 3}
    assert len(group.store.members()) == 1


def test_a_refused_commit_makes_it_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryTaskStore()
    member = Membership(store, SystemClock(), 2, beat=60, node="m")
    changes: list[frozenset[int]] = []

    async def main() -> None:
        async def change(carry_out: membership.CarryOut, lost: set[int]) -> None:
            changes.append(carry_out())

        keeper = asyncio.create_task(member.keep(change))
        await member.look_now()
        assert changes == [frozenset({0, 1})]
        other = store.beside()
        store.disown(1)
        assert other.own("other", 60, None, 1) is None
        await asyncio.wait_for(member.look_now(), 5)
        await asyncio.wait_for(member.sure(), 5)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    asyncio.run(main())


class Unreliable(MemoryTaskStore):
    """A store whose answers do not arrive any more after so many calls that change who owns what."""

    calls = 10**9
    kept = True  # what is called then is done nevertheless

    def _next(self) -> bool:
        self.calls -= 1
        return self.calls >= 0

    def own(self, node: str, ttl: float, over: Owner | None = None, partition: int = 0) -> Owner | None:
        taken = self._taken
        answers = self._next()
        found = super().own(node, ttl, over, partition) if answers or self.kept else None
        if not answers:
            self._taken = taken
            raise StoreUnavailable("gone")
        return found

    def disown(self, partition: int | None = None) -> None:
        answers = self._next()
        if answers or self.kept:
            super().disown(partition)
        if not answers:
            self._taken = frozenset() if partition is None else self._taken - {partition}
            raise StoreUnavailable("gone")


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("calls", range(4))
def test_what_one_works_on_is_what_the_store_checks_for_it_whenever_that_fails(calls: int, kept: bool) -> None:
    store = Unreliable(SystemClock())
    member = Membership(store, SystemClock(), 4, beat=0.01, node="m")
    other = Membership(store.beside(), SystemClock(), 4, node="other")
    worked_on: frozenset[int] = frozenset()

    async def change(carry_out: membership.CarryOut, lost: set[int]) -> None:
        nonlocal worked_on
        try:
            carry_out()
        finally:
            worked_on = member.mine
            assert worked_on <= store._taken

    def in_the_store() -> set[int]:
        return {partition for partition, owner in store.owners().items() if owner.node == "m"}

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await member.look_now() if store.calls > 100 else await asyncio.sleep(0.01)

    async def main() -> None:
        store.calls, store.kept = calls, kept
        keeper = asyncio.create_task(member.keep(change))
        await until(lambda: store.calls < 0)
        store.calls = 10**9
        await until(lambda: len(worked_on) == 4)
        for answered in range(2):  # it gives some of them back
            store.calls = answered
            step(other)
            await until(lambda: store.calls < 0 or len(worked_on) == 2)
            store.calls = 10**9
            await until(lambda: worked_on == member.mine == store._taken == in_the_store() and len(worked_on) == 2)
            step(other)
            assert other.mine == {0, 1, 2, 3} - worked_on
            other.leave()
            await until(lambda: len(worked_on) == 4)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    asyncio.run(main())
