"""Which worker gets which task."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawlkit.processor.slots import (
    FIRST_GUESS,
    MAX_SCRIPTS,
    MIN_TURN,
    Give,
    Limits,
    Open,
    Retire,
    Slot,
    Wait,
    depth_of,
    place,
)

LIMITS = Limits(workers=4, per_project=2, depth=64, depth_bytes=1000)


def busy(project: str, waiting: int = 1, took: float = 10.0, since: float = 0.0) -> Slot:
    return Slot(project, since=since, waiting=waiting, took=took, scripts={"v"})


def test_the_first_task_opens_a_worker() -> None:
    assert place("a", "v", 10, [], LIMITS, 0.0) == Open()
    assert place("a", "v", 10, [], LIMITS, 0.0, can_open=False) == Wait()


def test_an_own_worker_is_preferred_the_emptiest_first() -> None:
    one, two = Slot("a", 0.0, waiting=2), Slot("a", 0.0, waiting=1)
    assert place("a", "v", 10, [one, two], LIMITS, 0.0) == Give(two)


def test_a_full_worker_gets_a_second_beside_it_and_no_third() -> None:
    assert place("a", "v", 10, [busy("a")], LIMITS, 0.0) == Open()
    assert place("a", "v", 10, [busy("a"), busy("a")], LIMITS, 0.0) == Wait()


def test_bytes_fill_a_worker_too_but_one_task_always_fits() -> None:
    slot = Slot("a", 0.0, waiting=1, waiting_bytes=995, took=0.0001)
    assert place("a", "v", 10, [slot, busy("a")], LIMITS, 0.0) == Wait()
    empty = Slot("a", 0.0)
    assert place("a", "v", 10**9, [empty], LIMITS, 0.0) == Give(empty)


def test_without_room_the_least_used_idle_worker_goes() -> None:
    idle = [Slot("b", 0.0, used=5.0), Slot("c", 0.0, used=3.0)]
    slots = [busy("d"), busy("e"), *idle]
    assert place("a", "v", 10, slots, LIMITS, 9.0) == Open(idle[1])


def test_without_an_idle_one_the_longest_served_project_makes_way_after_its_turn() -> None:
    slots = [busy("b", since=float(i)) for i in range(4)]
    assert place("a", "v", 10, slots, LIMITS, MIN_TURN / 2) == Wait()
    assert place("a", "v", 10, slots, LIMITS, 10.0) == Retire(slots[0])
    slots[0].retiring = True
    assert place("a", "v", 10, slots, LIMITS, 10.0) == Wait()


def test_slow_callbacks_do_not_keep_others_from_a_first_worker() -> None:
    slots = [busy("b", since=float(i)) for i in range(4)]
    slots[0].slow = True
    assert place("a", "v", 10, slots, LIMITS, 10.0) == Open()
    assert place("b", "v", 10, slots, LIMITS, 10.0) == Wait()
    many = [busy("b") for _ in range(12)]
    for slot in many:
        slot.slow = True
    assert place("a", "v", 10, many, LIMITS, 10.0) == Retire(many[0])


def test_a_project_with_a_worker_takes_no_others() -> None:
    slots = [busy("a"), *(busy("b") for _ in range(3))]
    assert place("a", "v", 10, slots, LIMITS, 10.0) == Wait()


def test_a_worker_full_of_old_versions_makes_way() -> None:
    old = Slot("a", 0.0, scripts={str(i) for i in range(MAX_SCRIPTS)})
    limits = LIMITS._replace(per_project=1)
    assert place("a", "new", 10, [old], limits, 0.0) == Retire(old)
    assert place("a", "1", 10, [old], limits, 0.0) == Give(old)


def test_depth_follows_speed() -> None:
    slot = Slot("a", 0.0)
    assert 1 <= depth_of(slot, 64) < 64
    slot.learn(200, 200 * 0.0001)
    assert depth_of(slot, 64) == 64
    slot.learn(3, 3.0)
    assert depth_of(slot, 64) == 1
    assert slot.took > FIRST_GUESS


@given(
    st.lists(
        st.builds(
            Slot,
            project=st.sampled_from("abc"),
            since=st.floats(0, 10),
            used=st.floats(0, 10),
            waiting=st.integers(0, 5),
            took=st.floats(1e-6, 100),
            retiring=st.booleans(),
            slow=st.booleans(),
        ),
        max_size=12,
    ),
    st.sampled_from("abc"),
)
def test_a_decision_never_breaks_the_limits(slots: list[Slot], project: str) -> None:
    decision = place(project, "v", 10, slots, LIMITS, 20.0)
    match decision:
        case Give(slot):
            assert slot.project == project
            assert not slot.retiring
            assert slot.waiting < LIMITS.depth
        case Open(None):
            assert sum(not slot.slow for slot in slots) < LIMITS.workers
        case Open(slot):
            assert slot.waiting == 0
            assert slot.project != project
        case Retire(slot):
            assert not slot.retiring
        case Wait():
            assert slots
