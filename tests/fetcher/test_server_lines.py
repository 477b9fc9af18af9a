"""Lines before servers against a simple model: nobody is forgotten, none has more than its share at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher.server_lines import Server, ServerLines


@dataclass(eq=False)
class One:
    server: Server | None
    waits: bool = field(default=False)


STEPS = st.lists(st.tuples(st.sampled_from(["come", "go"]), st.integers(0, 3), st.integers(0, 50)), max_size=80)


@given(STEPS, st.integers(0, 3))
def test_lines(steps: list[tuple[str, int, int]], most: int) -> None:
    lines: ServerLines[One] = ServerLines(most)
    asking: list[One] = []
    waiting: list[One] = []
    for step, server, which in steps:
        if step == "come":
            one = One(None if server == 3 else ("a", server))
            (asking if lines.enter(one) else waiting).append(one)
        elif asking or waiting:
            one = (asking + waiting)[which % len(asking + waiting)]
            following = lines.leave(one)
            if one in asking:
                asking.remove(one)
                expected = next((other for other in waiting if other.server == one.server), None)
                assert following is expected
            else:
                waiting.remove(one)
                assert following is None
            if following is not None:
                waiting.remove(following)
                asking.append(following)
        assert lines.waiting == bool(waiting)
        assert all(one.waits for one in waiting)
        assert not any(one.waits for one in asking)
        for number in range(3):
            here = [one for one in asking if one.server == ("a", number)]
            assert not most or len(here) <= most
            assert not any(one.server == ("a", number) for one in waiting) or len(here) == most
    for one in asking + waiting:
        lines.leave(one)
    assert lines._lines == {}
    assert lines._asking == {}
