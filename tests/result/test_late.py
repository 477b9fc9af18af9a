from __future__ import annotations

from crawlkit.result.late import Late

A = ("p", "a", 1, 1)
B = ("p", "b", 1, 1)


def test_delays_double_up_to_the_last():
    late = Late(first=0.5, last=3)
    now = 100.0
    waits = []
    for _ in range(5):
        late.add(A, "part", now)
        waits.append(late.wait(now))
        now += waits[-1]
        assert late.take_due(now) == ["part"]
    assert waits == [0.5, 1, 2, 3, 3]


def test_a_success_starts_anew():
    late = Late(first=1)
    late.add(A, "part", 0)
    late.take_due(1)
    late.forget(A)
    late.add(A, "part", 5)
    assert late.wait(5) == 1


def test_parts_stay_together_and_in_order():
    late = Late(first=1)
    late.add(A, "a0", 0)
    late.add(B, "b0", 0.5)
    late.add(A, "a1", 0.9)
    assert len(late) == 3
    assert A in late
    assert late.take_due(0.9) == []
    assert late.take_due(1) == ["a0", "a1"]
    assert A not in late
    assert late.take_due(2) == ["b0"]
    assert late.wait(2) is None
    assert len(late) == 0
