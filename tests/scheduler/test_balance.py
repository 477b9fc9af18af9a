"""Who takes which partitions, and who counts as dead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.rows import Owner
from crawlkit.scheduler.balance import Move, Watch, balance


@pytest.mark.parametrize(
    ("partitions", "owners", "alive", "move"),
    [
        (4, {}, "a", Move(take=[0, 1, 2, 3])),  # the first one takes all
        (4, {0: "a", 1: "a", 2: "a", 3: "a"}, "ab", Move(give=[2, 3])),  # another one came
        (4, {0: "a", 1: "a"}, "ab", Move()),
        (4, {0: "a", 1: "a", 2: "dead", 3: "b"}, "ab", Move()),  # that is b's
        (4, {0: "a", 1: "b", 2: "dead", 3: "b"}, "ab", Move(take=[2])),
        (4, {0: "a", 1: "a", 2: "b"}, "abc", Move()),  # 3 is c's
        (3, {0: "b", 1: "a", 2: "a"}, "ab", Move()),  # who has one more keeps it
        (1, {0: "b"}, "ab", Move()),  # nothing is left for a
        (2, {0: "dead", 1: "dead"}, "a", Move(take=[0, 1])),
    ],
)
def test_what_one_does(partitions: int, owners: dict[int, str], alive: str, move: Move) -> None:
    assert balance("a", partitions, owners, set(alive)) == move


@given(
    st.integers(1, 20),
    st.dictionaries(st.integers(0, 19), st.sampled_from("abcdef"), max_size=20),
    st.sets(st.sampled_from("abcd"), min_size=1),
    st.randoms(),
)
def test_all_come_to_equal_shares_and_then_nothing_moves(
    partitions: int, owners: dict[int, str], alive: set[str], order: object
) -> None:
    owners = {part: holder for part, holder in owners.items() if part < partitions}
    for _ in range(2 * partitions + 2):
        for me in sorted(alive, key=lambda _: order.random()):  # type: ignore[attr-defined]
            move = balance(me, partitions, owners, alive)
            assert not (move.take and move.give)
            for part in move.give:
                assert owners.pop(part) == me
            for part in move.take:
                assert owners.get(part) not in alive, "taken from one who lives"
                owners[part] = me
    assert set(owners) == set(range(partitions))
    sizes = [sum(holder == one for holder in owners.values()) for one in alive]
    assert max(sizes) - min(sizes) <= 1
    assert all(balance(me, partitions, owners, alive) == Move() for me in alive)


def nobody(node: str) -> bool:
    return False


class TestWatch:
    def test_who_changes_its_entry_lives_and_who_does_not_is_dead(self) -> None:
        watch = Watch(ttl=6, gap=3)
        for second in range(20):
            entries = [Owner("a", "host a", second), Owner("b", "host b", 7.0)]
            assert watch.alive(entries, float(second), nobody) == ({"a", "b"} if second <= 6 else {"a"})

    def test_a_process_that_is_known_to_be_gone_is_dead_at_once(self) -> None:
        watch = Watch(ttl=6, gap=3)
        assert watch.alive([Owner("a", "host a", 1), Owner("b", "host b", 1)], 0.0, lambda node: node == "host b") == {
            "a"
        }

    def test_nobody_is_judged_by_one_who_did_not_look(self) -> None:
        watch = Watch(ttl=6, gap=3)
        entry = [Owner("a", "host a", 1)]
        assert watch.alive(entry, 0.0, nobody) == {"a"}
        assert watch.alive(entry, 100.0, nobody) == {"a"}  # it stood still itself
        assert watch.alive(entry, 102.9, nobody) == {"a"}
        assert watch.alive(entry, 105.8, nobody) == {"a"}
        assert watch.alive(entry, 108.7, nobody) == set()
