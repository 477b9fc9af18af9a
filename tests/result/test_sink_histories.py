"""Any history of two processes that serve one sink: leases that run out, deaths, late writes, new runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.database.base import ResultSet
from crawlkit.database.memory import MemoryResultStore
from crawlkit.libs.clock import ManualClock
from crawlkit.result.sink_follower import LEASE, SinkFollower
from crawlkit.result.sinks import Batch
from tests.result.sink_tools import follower, to_the_end

Line = tuple[str, str, int]  # project, taskid, run


class Shared:
    """A place that keeps files by their names. What happens in the middle of a write, ``during`` says."""

    def __init__(self) -> None:
        self.files: dict[str, list[Line]] = {}
        self.during: Callable[[], None] | None = None
        self.fails = 0

    def write(self, batch: Batch) -> None:
        lines = [(row.project, row.taskid, row.run) for row in batch.rows()]
        during, self.during = self.during, None
        if during is not None:
            during()
        if self.fails:
            self.fails -= 1
            raise OSError("not now")
        if lines:
            self.files[f"{batch.project}/{batch.name}"] = lines


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.sampled_from("pq"), st.integers(0, 5)),
        st.tuples(st.just("look"), st.integers(0, 1), st.booleans()),
        st.tuples(st.just("late"), st.integers(0, 1), st.booleans()),
        st.tuples(st.just("die"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("die in a write"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("fail"), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.integers(1, 40)),
        st.tuples(st.just("renew"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("leave"), st.integers(0, 1), st.just(0)),
    ),
    max_size=40,
)


class Dead(BaseException):
    """The process ended here."""


@given(STEPS)
@settings(max_examples=400, deadline=None)
def test_each_result_is_in_one_file_whatever_happens(steps: list[tuple[str, object, object]]) -> None:
    store, clock, place = MemoryResultStore(), ManualClock(100.0), Shared()
    runs: Counter[tuple[str, str]] = Counter()

    def make() -> SinkFollower:
        return follower(store, "jsonl:///x?rows=3&age=20", clock, place)

    served = [make(), make()]

    def save(project: str, task: int) -> None:
        key = (project, f"t{task}")
        runs[key] += 1
        store.save([ResultSet(project, key[1], runs[key], 1, "u", 0, ["1"], True, clock.now)])

    def die() -> None:
        raise Dead

    for name, one, other in steps:
        if name == "save":
            save(one, other)  # type: ignore[arg-type]
            continue
        if name == "wait":
            clock.now += other  # type: ignore[operator]
            continue
        if name == "fail":
            place.fails += 1
            continue
        who: int = one  # type: ignore[assignment]
        if name == "look":
            served[who].look(to_the_end=bool(other))
        elif name == "renew":
            served[who].renew()
        elif name == "leave":
            served[who].let_go()
        elif name == "die":
            served[who] = make()
        elif name == "die in a write":
            place.during = die
            try:
                served[who].look(to_the_end=True)
            except Dead:
                served[who] = make()
            place.during = None
        else:

            def meanwhile(who: int = who, again: object = other) -> None:
                """The lease runs out in the middle of a write, and the other one goes on."""
                clock.now += LEASE + 1
                if again:
                    save("p", 0)
                served[1 - who].look(to_the_end=True)

            place.during = meanwhile
            served[who].look(to_the_end=True)
            place.during = None
    place.fails = 0
    clock.now += 100
    to_the_end(make())
    found = Counter(line for lines in place.files.values() for line in lines)
    assert set(found.values()) <= {1}
    stored = {(row.project, row.taskid, row.run) for project in "pq" for row in store.select(project)}
    assert stored <= set(found)
    (sink,) = store.sinks()
    assert all(row.last == 0 and not store.behind(row.project, row.seq) for row in store.sink_progress(sink.sink))
