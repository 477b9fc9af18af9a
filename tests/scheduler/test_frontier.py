"""The frontier against a plain sorted model: nothing lost, nothing twice, in order among those who may be asked."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.rows import Queue, TaskRow
from crawlkit.scheduler import frontier as room
from crawlkit.scheduler.frontier import Frontier


def row(taskid: str, host: str = "", rank: float = 0.0, seq: int = 0) -> TaskRow:
    return TaskRow("p", taskid, f"http://{host}/{taskid}", host, queue=Queue.READY, rank=rank, seq=seq)


def place(one: TaskRow) -> tuple[float, int]:
    return one.rank, one.seq


class Store:
    """What waits, and what is leased of it."""

    def __init__(self) -> None:
        self.rows: dict[str, TaskRow] = {}
        self.leased: set[str] = set()
        self.seq = 0
        self.read = 0  # rows

    def put(self, taskid: str, host: str, rank: float) -> TaskRow:
        self.seq += 1
        self.rows[taskid] = row(taskid, host, rank, self.seq)
        return self.rows[taskid]

    def window(self, after: tuple[float, int] | None, limit: int, host: str | None = None) -> list[TaskRow]:
        rows = [one for one in self.rows.values() if host is None or one.host == host]
        page = [one for one in sorted(rows, key=place) if after is None or place(one) > after][:limit]
        self.read += len(page)
        return page

    def hosts(self, after: str | None, limit: int) -> list[str]:
        return sorted({one.host for one in self.rows.values() if after is None or one.host > after})[:limit]


class World:
    """A store, the frontier over it, and hosts that may not be asked."""

    def __init__(self, capacity: int = 1_000, page: int = 100) -> None:
        self.store = Store()
        self.closed: list[str] = []
        self.frontier = Frontier(capacity, self.closed.append)
        self.page = page
        self.blocked: set[str] = set()

    def asks(self, host: str) -> bool:
        return host not in self.blocked

    def leased(self, one: TaskRow) -> bool:
        return one.taskid in self.store.leased

    def read(self, low: int = 0) -> None:
        """What the scheduler does before each turn."""
        store, front = self.store, self.frontier
        if front.needs_refill(low):
            front.refill(store.window(front.cursor, self.page), self.page, self.leased)
        for host, after in front.hungry(2):
            front.refill_host(host, after, store.window(after, room.PAGE, host), room.PAGE, self.leased)
        if front.scan is not None:
            front.reveal(store.hosts(front.scan or None, 2), 2)

    def peek(self) -> TaskRow | None:
        """The next one, when everything that is to be read for it was read."""
        for _ in range(10_000):
            found = self.frontier.peek(self.asks)
            if not self.frontier.wants():
                return found
            self.read()
        raise AssertionError("the frontier reads for ever")

    def pop(self) -> TaskRow | None:
        found = self.peek()
        if found is not None:
            self.store.leased.add(found.taskid)
            self.frontier.take(found)
        return found

    def waiting(self) -> list[TaskRow]:
        free = [one for one in self.store.rows.values() if one.taskid not in self.store.leased]
        return sorted((one for one in free if one.host not in self.blocked), key=place)

    def free(self, host: str) -> None:
        self.blocked.discard(host)
        self.frontier.free(host)

    def drain(self) -> list[str]:
        found = []
        while (one := self.pop()) is not None:
            found.append(one.taskid)
        return found


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny(monkeypatch)


def make_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SHELF": 4, "PAGE": 3, "LOW": 2, "MOVES": 5, "PASSED": 2, "MIN_SHELVES": 3}.items():
        monkeypatch.setattr(room, name, value)


def test_without_limits_it_is_a_window() -> None:
    world = World(page=3)
    for n, rank in enumerate([0, -5, 0, 2, -5, 1]):
        world.store.put(f"t{n}", f"h{n % 2}", rank)
    assert world.drain() == ["t1", "t4", "t0", "t2", "t5", "t3"]
    assert world.frontier.shelves == 0
    assert world.frontier.complete


def test_a_host_that_may_not_be_asked_is_in_nobodys_way() -> None:
    world = World()
    for n in range(4):
        world.store.put(f"slow{n}", "slow", -9)
        world.store.put(f"fast{n}", "fast", 0)
    world.blocked.add("slow")
    assert world.drain() == ["fast0", "fast1", "fast2", "fast3"]
    assert world.closed == ["slow"]
    world.free("slow")
    assert world.drain() == ["slow0", "slow1", "slow2", "slow3"]
    assert len(world.frontier) == world.frontier.shelves == 0


def test_a_host_that_is_free_again_has_its_old_place() -> None:
    world = World()
    for n in range(3):
        world.store.put(f"a{n}", "a", n)
        world.store.put(f"b{n}", "b", n)
    world.blocked.add("a")
    assert world.pop().taskid == "b0"
    world.free("a")
    assert world.drain() == ["a0", "a1", "b1", "a2", "b2"]


def test_no_is_not_asked_for_twice() -> None:
    front = Frontier(100)
    front.refill([row(f"t{n}", "h", 0, n) for n in range(50)], 100)
    asked: list[str] = []

    def asks(host: str) -> bool:
        asked.append(host)
        return False

    assert front.peek(asks) is None
    assert front.peek(asks) is None
    assert asked == ["h"]


def test_a_row_of_higher_priority_goes_first_on_its_shelf() -> None:
    world = World()
    world.store.put("old", "h", 0)
    world.blocked.add("h")
    assert world.pop() is None
    world.frontier.add(world.store.put("new", "h", -1))
    world.free("h")
    assert world.drain() == ["new", "old"]


def test_a_row_put_again_is_sent_once() -> None:
    world = World()
    world.store.put("a", "h", 0)
    world.store.put("b", "h", 1)
    world.blocked.add("h")
    assert world.pop() is None
    world.frontier.add(world.store.put("a", "g", 5))  # a custom taskid may change its host
    assert world.pop().taskid == "a"
    world.free("h")
    assert world.drain() == ["b"]


def test_what_is_on_a_shelf_is_found_and_taken_out() -> None:
    world = World()
    one = world.store.put("a", "h", 0)
    world.blocked.add("h")
    assert world.pop() is None
    front = world.frontier
    assert front.get("a") is one
    assert "a" in front
    assert list(front.rows()) == [one]
    assert front.discard("a")
    assert not front.discard("a")
    assert front.get("a") is None
    assert len(front) == front.shelves == 0


def test_a_million_rows_of_a_slow_host_are_not_read_to_find_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SHELF", 50)
    world = World(page=50)
    for n in range(3_000):
        world.store.put(f"slow{n}", "slow", 0)
    for n in range(3):
        world.store.put(f"fast{n}", f"fast{n}", 1)
    world.blocked.add("slow")
    assert world.drain() == ["fast0", "fast1", "fast2"]
    assert world.store.read < 300
    assert len(world.frontier) <= 50
    world.free("slow")
    assert [world.pop().taskid for _ in range(200)] == [f"slow{n}" for n in range(200)]
    world.frontier.add(world.store.put("new", "new", 5))  # of a host that nobody has read of, far behind
    world.blocked.add("slow")
    assert world.drain() == ["new"]


def test_tasks_without_a_host_are_found_by_name_too(tiny: None) -> None:
    world = World(page=4)
    for n in range(40):
        world.store.put(f"slow{n}", "slow", 0)
    world.store.put("tick", "", 1)
    world.blocked.add("slow")
    assert world.drain() == ["tick"]


def test_rows_in_memory_are_bounded() -> None:
    world = World(capacity=200, page=100)
    for n in range(2_000):
        world.store.put(f"t{n}", f"h{n % 20}", 0)
    world.blocked.update(f"h{n}" for n in range(20))
    assert world.pop() is None
    assert len(world.frontier) <= 200
    world.blocked.clear()
    for n in range(20):
        world.free(f"h{n}")
    assert sorted(world.drain()) == sorted(world.store.rows)


def test_more_hosts_wait_than_there_is_room_for() -> None:
    world = World(capacity=40, page=20)
    for n in range(200):
        world.store.put(f"t{n}", f"h{n:03}", 0)
    world.blocked.update(f"h{n:03}" for n in range(200))
    assert world.pop() is None
    assert len(world.frontier) <= 60
    for n in range(200):
        world.free(f"h{n:03}")
    assert len(world.drain()) == 200


def test_one_look_puts_a_bounded_number_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOVES", 10)
    front = Frontier(1_000)
    front.refill([row(f"t{n}", "h" if n < 25 else "g", 0, n) for n in range(26)], 100)
    looks = [front.peek(lambda host: host == "g") for _ in range(3)]
    assert [one and one.taskid for one in looks] == [None, None, "t25"]
    assert not front.wants()


def test_a_bad_capacity() -> None:
    with pytest.raises(ValueError, match="capacity 0: use at least 1"):
        Frontier(0)


OPS = ["put"] * 6 + ["pop"] * 8 + ["done"] * 2 + ["return"] * 2 + ["discard", "block", "block", "free", "free", "read"]


class History(World):
    """Random use of all of it."""

    def __init__(self, seed: int, capacity: int, page: int, hosts: int, names: int, backlog: int) -> None:
        super().__init__(capacity, page)
        self.random = random.Random(seed)
        self.hosts, self.names, self.capacity = hosts, names, capacity
        for n in range(backlog):
            self.store.put(f"t{n}", self.host(), self.random.randrange(4))

    def host(self) -> str:
        n = min(self.random.randrange(self.hosts), self.random.randrange(self.hosts))
        return f"h{n}" if n else ""

    def step(self) -> None:
        op = self.random.choice(OPS)
        taskid = f"t{self.random.randrange(self.names)}"
        store, front = self.store, self.frontier
        if op == "put" and taskid not in store.leased:
            known = store.rows.get(taskid)
            if known is not None:
                front.discard(taskid)
            front.add(store.put(taskid, self.host() if known is None else known.host, self.random.randrange(4)))
        elif op == "pop":
            expected = self.waiting()
            found = self.peek()
            self.check_first(found, expected)
            assert self.pop() is found
        elif op in ("done", "return") and store.leased:
            taskid = self.random.choice(sorted(store.leased))
            store.leased.discard(taskid)
            if op == "done":
                del store.rows[taskid]
                front.discard(taskid)
            else:
                front.add(store.rows[taskid])
        elif op == "discard" and taskid not in store.leased and store.rows.pop(taskid, None) is not None:
            front.discard(taskid)
        elif op == "block":
            self.blocked.add(f"h{self.random.randrange(1, self.hosts + 1)}")
        elif op == "free" and self.blocked:
            self.free(self.random.choice(sorted(self.blocked)))
        elif op == "read":
            self.read(low=self.random.randrange(5))
        self.check()

    def check_first(self, found: TaskRow | None, expected: list[TaskRow]) -> None:
        if found is None:
            assert not expected or self.frontier.shelves > self.capacity // 2
            return
        assert found.taskid in {one.taskid for one in expected}, "leased, blocked or gone"
        mine = [one for one in expected if one.host == found.host]
        assert found is mine[0], "a host's own order"
        known = [one for one in expected if one.taskid in self.frontier]
        assert all(place(found) <= place(one) for one in known), "the order of what is in memory"
        if not self.frontier.shelves:
            assert found is expected[0], "no host limit is in the way: the order is [S22]"

    def check(self) -> None:
        front = self.frontier
        held = list(front.rows())
        assert len(held) == len(front) == len({one.taskid for one in held}), "twice"
        assert len(held) <= self.capacity + front.shelves + 1
        for one in held:
            assert self.store.rows.get(one.taskid) is one, "an old form"
            assert one.taskid not in self.store.leased
        offered = [s.rows for s in front._shelves.values() if s.open and not s.apart]
        assert front._offered == sum(map(len, offered))


@given(
    seed=st.integers(0, 2**32),
    capacity=st.sampled_from([4, 10, 30, 200]),
    page=st.sampled_from([3, 8, 50]),
    hosts=st.sampled_from([1, 2, 5, 12]),
    backlog=st.sampled_from([0, 20, 60]),
)
@settings(max_examples=40, deadline=None)
def test_any_history(seed: int, capacity: int, page: int, hosts: int, backlog: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_tiny(monkeypatch)
        world = History(seed, capacity, page, hosts, 80, backlog)
        for _ in range(120):
            world.step()
        for host in sorted(world.blocked):
            world.free(host)
        left = {one.taskid for one in world.waiting()}
        assert set(world.drain()) == left, "lost"
        assert world.frontier.complete
