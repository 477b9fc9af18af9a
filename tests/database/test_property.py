"""Random histories: the SQLite taskdb and resultdb answer like the ones in memory, also when opened again."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from crawlkit.contract.rows import attempt, lease, tick
from crawlkit.database.base import Letter, Progress, Queue, ResultSet, TaskRow, Writes
from crawlkit.database.memory import MemoryResultStore, MemoryTaskStore
from crawlkit.database.registry import connect_resultdb, connect_taskdb
from crawlkit.libs.task import Fetch, Process, Schedule, Status

SHM = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no waiting for a disk
PROJECTS = ("p", "q", "ж")
TASKIDS = ("a", "A", "b", "é", "z" * 64)
TIMES = st.sampled_from([0.0, 0.5, 1.0, 1.25, 1_700_000_000.123456, 1_700_000_001.0])
keys = st.tuples(st.sampled_from(PROJECTS), st.sampled_from(TASKIDS))
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
small = st.integers(1, 4)
letters = st.lists(st.tuples(keys, st.sampled_from(["task", "order"])), max_size=3)
partitions = st.none() | st.lists(st.sampled_from([0, 1, 5, 9]), max_size=3)
ranks = st.sampled_from([-3.0, 0.0, 0.5, 7.0])
schedules = st.builds(Schedule, priority=st.integers(-2, 2), itag=st.none() | st.text(max_size=3), exetime=TIMES)
fetches = st.builds(Fetch, method=st.none() | st.just("PUT"), data=st.none() | st.binary(max_size=4))
processes = st.builds(Process, callback=st.none() | st.just("index_page"))


def both(machine: Any, name: str, *args: Any) -> Any:
    one, two = getattr(machine.memory, name)(*args), getattr(machine.sqlite, name)(*args)
    assert one == two, f"{name}{args}: memory says {one}, sqlite says {two}"
    return one


class Tasks(RuleBasedStateMachine):
    """One taskdb in memory, one in SQLite, the same calls to both."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=SHM))
        self.url = f"sqlite:///{self.folder}/x.db"
        self.memory = MemoryTaskStore()
        self.sqlite = connect_taskdb(self.url)
        self.seq = 0
        self.old: list[tuple[Writes, Writes]] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.sqlite.close()
            shutil.rmtree(self.folder)

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        draw = data.draw
        pair = (Writes(), Writes())
        for key in draw(st.lists(keys, max_size=4)):
            self.seq += 1
            row = TaskRow(
                *key,
                url=f"http://x/{draw(st.sampled_from('abc'))}",
                status=draw(st.sampled_from(Status)),
                partition=draw(st.sampled_from([0, 0, 1, 9])),
                queue=draw(st.sampled_from([None, *Queue])),
                rank=draw(ranks),
                seq=self.seq,
                run=draw(small),
                schedule=draw(schedules),
                fetch=draw(fetches),
                process=draw(processes),
                save=draw(texts),
            )
            kind = draw(st.sampled_from(["insert", "replace", "progress"]))
            for writes in pair:
                if kind == "progress":
                    fields = {name: getattr(row, name) for name in Progress.__struct_fields__}
                    writes.progress.append(Progress(**fields))
                else:
                    getattr(writes, kind).append(row)
        removed = draw(st.lists(keys, max_size=2))
        leased = [lease(taskid, project, attempt=draw(small)) for project, taskid in draw(st.lists(keys, max_size=3))]
        ended = draw(st.lists(keys, max_size=3))
        tried = [
            attempt(
                key[1], draw(small), draw(small), key[0], ended=draw(TIMES), reason=draw(st.sampled_from(["", "dns"]))
            )
            for key in draw(st.lists(keys, max_size=3))
        ]
        ticks = [tick(draw(st.sampled_from("mn")), draw(TIMES), key[0]) for key in draw(st.lists(keys, max_size=2))]
        counted = draw(
            st.lists(st.tuples(st.sampled_from(PROJECTS), st.sampled_from(["accepted", "done"])), max_size=3)
        )
        state = draw(st.dictionaries(st.tuples(st.sampled_from(["", "p"]), st.sampled_from("xy")), texts, max_size=2))
        mail = [Letter(draw(st.integers(0, 1)), key[0], kind, "x") for key, kind in draw(letters)]
        taken = draw(st.lists(st.integers(1, 20), max_size=2))
        for writes in pair:
            writes.mail, writes.mail_taken = mail, taken
            writes.remove, writes.lease, writes.unlease = removed, leased, ended
            writes.attempts, writes.ticks, writes.state = tried, ticks, state
            for project, event in counted:
                writes.count(project, event)
        self._commit(pair)
        self.old.append(pair)

    def _commit(self, pair: tuple[Writes, Writes]) -> None:
        self.memory.commit(pair[0])
        self.sqlite.commit(pair[1])

    @rule(data=st.data())
    def commit_again(self, data: st.DataObject) -> None:
        if self.old:
            self._commit(data.draw(st.sampled_from(self.old)))

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = connect_taskdb(self.url)
        self.old.clear()  # whoever opens a store anew has no commit to repeat

    @rule(before=TIMES, limit=st.integers(0, 3))
    def prune(self, before: float, limit: int) -> None:
        both(self, "prune_attempts", before, limit)
        both(self, "prune_ticks", before)
        both(self, "prune_nodes", before)

    @rule(project=st.sampled_from(PROJECTS))
    def drop(self, project: str) -> None:
        both(self, "drop", project)

    @rule(
        project=st.sampled_from(PROJECTS),
        queue=st.sampled_from(Queue),
        after=st.none() | st.tuples(ranks, st.integers(0, 30)),
        limit=st.integers(0, 5),
        asked=partitions,
    )
    def window(self, project: str, queue: Queue, after: Any, limit: int, asked: Any) -> None:
        both(self, "window", project, queue, after, limit, None, asked)
        for host in both(self, "hosts", project, queue, None, limit):
            both(self, "window", project, queue, after, limit, host, asked)

    @rule(asked=st.lists(st.integers(0, 2), max_size=2), limit=st.integers(0, 5))
    def mail(self, asked: list[int], limit: int) -> None:
        both(self, "mail", asked, limit)
        leased = [sorted((one.project, one.taskid) for one in store.leases(asked)) for store in self.stores]
        assert leased[0] == leased[1]

    @rule(project=st.sampled_from(PROJECTS), limit=small)
    def drop_some(self, project: str, limit: int) -> None:
        while both(self, "mail_waiting", project):
            both(self, "drop_some", project, limit)

    @rule(
        project=st.sampled_from(PROJECTS),
        status=st.none() | st.sampled_from(Status),
        url=st.sampled_from([None, "a", "*b", "x/*"]),
        after=st.none() | st.sampled_from(TASKIDS),
        limit=st.integers(0, 4),
    )
    def select(self, project: str, status: Any, url: Any, after: Any, limit: int) -> None:
        both(self, "select", project, status, url, after, limit)

    @rule()
    def compare(self) -> None:
        for name in ("max_seq", "ledger", "state", "last_ticks", "projects"):
            both(self, name)
        ordered = [sorted(store.leases(), key=lambda each: (each.project, each.taskid)) for store in self.stores]
        assert ordered[0] == ordered[1]
        for project in PROJECTS:
            for name in ("books", "failures", "ticks", "ledger", "mail_waiting", "whole"):
                both(self, name, project)
            for taskid in TASKIDS:
                both(self, "get", project, taskid)
                both(self, "attempts", project, taskid, 3)
            both(self, "known", project, [*TASKIDS])
            both(self, "known", project, [*TASKIDS], 2)
        both(self, "get_many", [(project, taskid) for project in PROJECTS for taskid in TASKIDS])

    @property
    def stores(self) -> tuple[Any, Any]:
        return self.memory, self.sqlite


class Results(RuleBasedStateMachine):
    """The same for the resultdb: outcomes come twice, late, in any order, whole or in parts."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=SHM))
        self.url = f"sqlite:///{self.folder}/x.db"
        self.memory = MemoryResultStore()
        self.sqlite = connect_resultdb(self.url)
        self.sent: list[ResultSet] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.sqlite.close()
            shutil.rmtree(self.folder)

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        draw = data.draw
        sets = []
        for _ in range(draw(st.integers(1, 4))):
            if self.sent and draw(st.booleans()):
                sets.append(draw(st.sampled_from(self.sent)))
                continue
            project, taskid = draw(st.tuples(st.sampled_from("pq"), st.sampled_from("ab")))
            run, number = draw(small), draw(small)
            whole = [f'"{run}.{number}.{n}"' for n in range(draw(st.integers(0, 4)))]
            cut = draw(st.integers(0, len(whole)))
            parts = [(0, whole[:cut], False), (cut, whole[cut:], True)] if cut else [(0, whole, True)]
            policy = draw(st.sampled_from(["", "", "replace", "keep_first", "stop"]))
            keys = [draw(st.sampled_from(["k1", "k2", "k3", "k4", ""])) if policy else "" for _ in whole]
            made = [
                ResultSet(
                    project, taskid, run, number, "u", first, some, last, 1.5,
                    keys[first : first + len(some)] if policy else [], policy,
                )
                for first, some, last in parts
            ]  # fmt: skip
            self.sent += made
            sets.append(draw(st.sampled_from(made)))
        both(self, "save", sets)

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = connect_resultdb(self.url)

    @rule(project=st.sampled_from("pq"))
    def drop(self, project: str) -> None:
        both(self, "drop", project)

    @rule(after=st.integers(0, 20), limit=st.integers(0, 5), projects=st.sampled_from([None, ["p"], ["p", "q"], []]))
    def since(self, after: int, limit: int, projects: Any) -> None:
        rows = both(self, "since", after, limit, projects)
        assert [row.seq for row in rows] == sorted({row.seq for row in rows})

    @rule(offset=st.integers(0, 3), limit=st.none() | st.integers(0, 3))
    def compare(self, offset: int, limit: int | None) -> None:
        both(self, "projects")
        for project in "pq":
            assert list(self.memory.select(project, offset, limit)) == list(self.sqlite.select(project, offset, limit))
            both(self, "count", project)
            both(self, "counts_by_task", project, ["a", "b", "c"])
            for taskid in "ab":
                rows = both(self, "get", project, taskid)
                assert rows == [row for row in reversed(list(self.memory.select(project))) if row.taskid == taskid]
                both(self, "known_keys", project, taskid, 2, ["k1", "k2", "k3", "k4", "k5", ""])


relaxed = settings(
    max_examples=500 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTasks = Tasks.TestCase
TestTasks.settings = relaxed
TestResults = Results.TestCase
TestResults.settings = relaxed
