"""Takes over what a pyspider has: results first, then tasks with their books, then the projects.

Can be ended at any moment and called again: results are known by their run, tasks are kept with the place where the
reading was, in one transaction.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crawlkit.database.carrying import carrier_of, holdings
from crawlkit.libs.errors import InvalidProject, UsageError
from crawlkit.libs.rows import ResultSet, TaskRow, Writes
from crawlkit.libs.task import Status, check_project_name
from crawlkit.moving import foreign
from crawlkit.moving.copying import Tell
from crawlkit.scheduler.admission import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlkit.database.base import ProjectStore, ResultStore, TaskStore
    from crawlkit.database.pyspider import Mark, PyspiderStore

SOURCE = "pyspider"  # where accepted runs came from, in the ledger
STATE = "pyspider:"  # in the taskdb, while it is being filled: how far each project is
SAMPLE = 50  # tasks of a project that are compared at the end
COMPARED = [name for name in TaskRow.__struct_fields__ if name not in ("queue", "rank", "seq", "partition", "attempt")]
COMPAT = "\n# taskid_compat: yes (tasks with a body or a method have pyspider's ids, which look only at the URL)\n"


@dataclass
class Imported:
    """What came of it."""

    tally: foreign.Tally = field(default_factory=foreign.Tally)
    projects: list[str] = field(default_factory=list)
    tasks: Counter[str] = field(default_factory=Counter)  # by status
    results: int = 0
    compat: list[str] = field(default_factory=list)  # projects whose script got a line
    problems: list[str] = field(default_factory=list)  # what is not as it should be at the end


class Importer:
    """From pyspider's stores into crawlkit's, which must be empty."""

    def __init__(
        self, old: Mapping[str, PyspiderStore], taskdb: TaskStore, resultdb: ResultStore, projectdb: ProjectStore,
        now: float, tell: Tell,
    ) -> None:  # fmt: skip
        self._old = old
        self._taskdb, self._resultdb, self._projectdb = taskdb, resultdb, projectdb
        self._now = now
        self._tell = tell
        self._pick = random.Random()
        self._samples: dict[str, list[str]] = {}
        self._compat: set[str] = set()
        self.done = Imported()

    def run(self) -> Imported:
        """All of it; raises :class:`UsageError` for a target that holds anything else."""
        self._begin()
        scripts = {}
        for raw in self._old["projectdb"].scripts():
            try:
                scripts[check_project_name(foreign.text_of(raw["name"]))] = raw
            except InvalidProject as error:
                self.done.tally.left["projects", str(error)] += 1
        self._count_strangers(scripts.keys())
        for name in scripts:
            self._results(name)
        for name in scripts:
            self._tasks(name)
        for name, raw in scripts.items():
            self._project(name, raw)
        for name in scripts:
            self._compare(name)
        if not self.done.problems:
            self._end()
        return self.done

    def _begin(self) -> None:
        where = " ".join(sorted(store.where for store in self._old.values()))
        carriers = [
            carrier_of(store, kind)
            for kind, store in (("taskdb", self._taskdb), ("resultdb", self._resultdb), ("projectdb", self._projectdb))
        ]
        self._note = carriers[0]
        known = self._note.note()
        if known == where:
            return
        for carrier in carriers:
            held = holdings(carrier)
            if held or known is not None:
                what = ", ".join(f"{count:,} in {name}" for name, count in held.items()) or "a part of something else"
                raise UsageError(
                    f"{carrier.kind} {carrier.where} holds data already ({what}): nothing was changed;"
                    " give an empty one"
                )
        self._note.set_note(where)

    def _end(self) -> None:
        gone: dict[tuple[str, str], str | None] = {
            key: None for key in self._taskdb.state() if key[1].startswith(STATE)
        }
        self._taskdb.commit(Writes(state=gone))
        self._note.set_note(None)

    def _count_strangers(self, names: Any) -> None:
        for kind, what in (("taskdb", "tasks"), ("resultdb", "results")):
            store = self._old.get(kind)
            for project in store.projects() if store is not None else []:
                if project not in names and store is not None:
                    self.done.tally.left[what, f"there is no project {project!r}"] += store.count(project)

    def _mark(self, name: str, what: str) -> tuple[Mark | None, dict[str, Any]]:
        """Where an earlier call stopped, and what it had noted."""
        text = self._taskdb.state().get((name, STATE + what))
        said = json.loads(text) if text else {}
        return (tuple(said["after"]) if said else None), said

    def _results(self, name: str) -> None:
        store = self._old.get("resultdb")
        if store is None or name not in store.projects():
            return
        after, said = self._mark(name, "results")
        kept, total = int(said.get("kept", 0)), store.count(name)
        before = _tallied(self.done.tally)
        self._restore_tally(said)
        for rows in store.rows(name, after):
            sets = []
            for raw in rows:
                text = foreign.result_text(raw["result"])
                taskid = foreign.text_of(raw["taskid"])
                if text is None or not 0 < len(taskid) <= 64:
                    why = "it is no JSON" if text is None else "its task's id is too long"
                    self.done.tally.left["results", why] += 1
                    continue
                url, changed = foreign.text_of(raw["url"]), foreign.number_of(raw["updatetime"])
                sets.append(ResultSet(name, taskid, 1, 1, url, 0, [text], True, changed))
            self._resultdb.save(sets)
            kept += len(sets)
            note = {"after": _after(rows), "kept": kept, "tally": _since(self.done.tally, before)}
            self._taskdb.commit(Writes(state={(name, STATE + "results"): json.dumps(note)}))
            self._tell(f"{name}: results", kept, total)
        self.done.results += kept

    def _tasks(self, name: str) -> None:
        store = self._old.get("taskdb")
        if store is None or name not in store.projects():
            return
        after, said = self._mark(name, "tasks")
        seen, total, seq = int(said.get("seen", 0)), store.count(name), self._taskdb.max_seq()
        statuses: Counter[str] = Counter(said.get("statuses", {}))
        sample: list[str] = list(said.get("sample", []))
        if said.get("compat"):
            self._compat.add(name)
        before = _tallied(self.done.tally)
        self._restore_tally(said)
        for rows in store.rows(name, after):
            writes = Writes()
            taskids = [foreign.text_of(raw["taskid"]) for raw in rows]
            counts = self._resultdb.counts_by_task(name, taskids)
            for raw, taskid in zip(rows, taskids, strict=True):
                seen += 1
                row = self._task(name, raw, counts.get(taskid, (0, 0))[1], writes, seq + 1)
                if row is not None:
                    seq += 1
                    statuses[row.status.name] += 1
                    _reservoir(sample, taskid, seen, self._pick)
            note = {"after": _after(rows), "seen": seen, "statuses": statuses, "sample": sample,
                    "compat": name in self._compat, "tally": _since(self.done.tally, before)}  # fmt: skip
            writes.state[name, STATE + "tasks"] = json.dumps(note)
            self._taskdb.commit(writes)
            self._tell(f"{name}: tasks", seen, total)
        self._samples[name] = sample
        self.done.tasks.update(statuses)
        self._expected(name, statuses)

    def _task(self, name: str, raw: dict[str, Any], results: int, writes: Writes, seq: int) -> TaskRow | None:
        """One task into a transaction, with its runs counted."""
        found = foreign.task_row(name, raw, self.done.tally)
        if found is None:
            return None
        row, track = self._completed(*found, results)
        row.seq = seq
        if row.status is Status.ACTIVE:
            row.queue, row.rank = place(row.schedule, self._now)
        writes.insert.append(row)
        writes.count(name, "accepted", SOURCE, row.run)
        if row.run > 1 or row.status is Status.SUCCESS:
            writes.count(name, "done")
        if row.status is Status.FAILED:
            writes.count(name, "failed", foreign.reason_of(track))
        elif row.status is Status.BAD:
            writes.count(name, "cancelled", "by_request")
        last = foreign.attempt_row(row, row.run if row.status is not Status.ACTIVE else 1, track)
        if last is not None:
            writes.attempts.append(last)
        if foreign.needs_compat(row):
            self._compat.add(name)
        return row

    @staticmethod
    def _completed(row: TaskRow, track: dict[str, Any], results: int) -> tuple[TaskRow, dict[str, Any]]:
        row.results = results
        row.run = 2 if foreign.ended_before(row, track, results) else 1
        row.attempt = 0 if row.status is Status.ACTIVE else 1
        return row, track

    def _project(self, name: str, raw: dict[str, Any]) -> None:
        """The project, and its script with a line more when the ids of its tasks look only at URLs."""
        row = foreign.project_row(raw, self.done.tally)
        known = self._projectdb.get(name)
        if known is None:
            self._projectdb.put(row, author="pyspider", message="as it was in pyspider")
        if name in self._compat and "get_taskid" not in row.script:
            self.done.compat.append(name)
            row.script = row.script.rstrip("\n") + "\n" + COMPAT
            if known is None or known.script != row.script:
                self._projectdb.put(row, author="migrate", message="keep pyspider's ids of tasks with a body")
        self.done.projects.append(name)

    def _expected(self, name: str, statuses: Mapping[str, int]) -> None:
        for status in Status:
            there = self._taskdb.count(name, status)
            if there != statuses.get(status.name, 0):
                self.done.problems.append(
                    f"{name}: {statuses.get(status.name, 0):,} tasks {status.name} were read, {there:,} are there"
                )

    def _compare(self, name: str) -> None:
        """Some tasks field by field, and every result that was kept."""
        store, sample = self._old.get("taskdb"), self._samples.get(name, [])
        if store is not None and sample:
            rows = self._taskdb.get_many([(name, taskid) for taskid in sample])
            counts = self._resultdb.counts_by_task(name, sample)
            for taskid, raw in store.some(name, sample).items():
                found = foreign.task_row(name, raw, foreign.Tally())
                mine = rows.get((name, taskid))
                if found is None or mine is None:
                    self.done.problems.append(f"{name}: task {taskid} is missing")
                    continue
                theirs, _ = self._completed(*found, counts.get(taskid, (0, 0))[1])
                wrong = [field for field in COMPARED if getattr(mine, field) != getattr(theirs, field)]
                if wrong:
                    self.done.problems.append(f"{name}: task {taskid}: {', '.join(wrong)} differ")
        kept, there = int(self._mark(name, "results")[1].get("kept", 0)), self._resultdb.count(name)
        if kept != there:
            self.done.problems.append(f"{name}: {kept:,} results were read, {there:,} are there")

    def _restore_tally(self, said: Mapping[str, Any]) -> None:
        """What an earlier call had counted."""
        for kind, what, why, n in said.get("tally", []):
            (self.done.tally.left if kind == "left" else self.done.tally.lost)[what, why] += n


def _after(rows: list[dict[str, Any]]) -> list[Any]:
    """The place of the last row in the order of reading."""
    changed = rows[-1]["updatetime"]
    if isinstance(changed, Decimal):
        changed = float(changed)
    return [changed if isinstance(changed, int | float) else 0.0, foreign.text_of(rows[-1]["taskid"])]


def _tallied(tally: foreign.Tally) -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for kind, counter in (("left", tally.left), ("lost", tally.lost)):
        found.update({(kind, *key): n for key, n in counter.items()})
    return found


def _since(tally: foreign.Tally, before: Counter[tuple[str, str, str]]) -> list[list[Any]]:
    """What was counted since: of one project and one kind of rows."""
    return [[*key, n] for key, n in (_tallied(tally) - before).items()]


def _reservoir(sample: list[str], taskid: str, seen: int, pick: random.Random) -> None:
    if len(sample) < SAMPLE:
        sample.append(taskid)
    elif (n := pick.randrange(seen)) < SAMPLE:
        sample[n] = taskid
