"""A hiccup of the broker costs little, and one that is away is not asked all the time."""

from crawlkit.message_queue.patience import PAUSES, pause_after


def test_pauses_grow_and_stay_short() -> None:
    found = [pause_after(misses) for misses in range(1, 20)]
    assert found[0] <= 0.1
    assert found == sorted(found)
    assert set(found[len(PAUSES) :]) == {1.0}
