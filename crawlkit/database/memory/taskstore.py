"""The taskdb in memory. Rows are copied on the way in and out, so a caller's object is never the store's.

The parts of a row (schedule, fetch, process) are shared and must not be changed in place.
"""

from __future__ import annotations

import heapq
import threading
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from sortedcontainers import SortedList  # type: ignore[import-untyped]

from crawlkit.database.base import (
    SEARCH_SECONDS,
    AttemptRow,
    Books,
    FailurePage,
    Key,
    Lease,
    Letter,
    NodeRow,
    Owner,
    Place,
    Progress,
    Queue,
    TaskPage,
    TaskRow,
    TaskSearch,
    TickRow,
    Writes,
)
from crawlkit.database.memory.sharing import Sharing
from crawlkit.database.rules import LAST_TEXT, NO_REASON, not_first, not_owner, overspent, url_matcher
from crawlkit.database.searching import FailureCount, place_of, reason_of, sort_key, task_fits, waits_for_another_try
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import NotOwner, Overspent
from crawlkit.libs.metrics import MetricRow, in_steps, width_for
from crawlkit.libs.rows import QUEUED, TASK_LETTER
from crawlkit.libs.task import Status

REMEMBERED = 1_000  # commits whose repetition is recognised


class MemoryTaskStore:
    """A :class:`~crawlkit.database.base.TaskStore`. One lock makes it safe for several threads.

    ``clock``: of who owns what until when, and of allowances; the machine's without one.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._lock = threading.RLock()
        self._writer = uuid.uuid4().hex
        self._commits = 0
        self._kept: dict[str, None] = {}  # ids of the newest commits, oldest first
        self._taken: frozenset[int] = frozenset()  # partitions
        self._sharing = Sharing(clock)
        self._seqs = [0]  # the largest seq
        self._tasks: dict[str, dict[str, TaskRow]] = {}
        self._order: dict[str, list[str]] = {}  # project -> its taskids sorted, when somebody asked
        # (project, queue) -> partition -> (rank, seq, taskid) in order
        self._queues: dict[tuple[str, Queue], dict[int, SortedList]] = {}
        self._by_host: dict[tuple[str, Queue], dict[str, SortedList]] = {}  # the same, by host
        self._leases: dict[Key, Lease] = {}
        self._attempts: dict[Key, dict[tuple[int, int], AttemptRow]] = {}
        self._ended: list[tuple[float, str, str, int, int]] = []  # heap; entries of overwritten attempts stay a while
        self._ticks: dict[tuple[str, str], dict[float, TickRow]] = {}
        self._nodes: dict[str, NodeRow] = {}
        self._ledger: dict[tuple[str, str, str], int] = {}
        self._state: dict[tuple[str, str], str] = {}
        self._counts: dict[tuple[str, str], int] = {}  # (project, host) -> n
        self._metrics: dict[tuple[str, int], dict[int, MetricRow]] = {}  # (project, width) -> start -> row
        self._metric_starts: dict[int, list[tuple[int, str]]] = {}  # width -> heap; overwritten ones are in it twice

    def beside(self) -> MemoryTaskStore:
        """Another store on the same rows, as another process would open it."""
        made = copy(self)
        made._writer, made._commits, made._taken = uuid.uuid4().hex, 0, frozenset()
        return made

    def own(self, node: str, ttl: float, over: Owner | None = None, partition: int = 0) -> Owner | None:
        with self._lock:
            mine = Owner(self._writer, node, 0)
            found = self._sharing.take(mine, ttl, over, partition, partition in self._taken)
            if found is None:
                self._taken |= {partition}
            return found

    def renew(self, node: str, ttl: float) -> dict[int, Owner | None]:
        with self._lock:
            lost = self._sharing.lost(self._writer, self._taken)
            for partition in self._taken - set(lost):
                self._sharing.take(Owner(self._writer, node, 0), ttl, None, partition, had=True)
            return lost

    def disown(self, partition: int | None = None) -> None:
        with self._lock:
            self._taken = frozenset() if partition is None else self._taken - {partition}
            self._sharing.give_back(self._writer, partition)

    def owners(self) -> dict[int, Owner]:
        with self._lock:
            return dict(sorted(self._sharing.owners.items()))

    def announce(self, node: str, ttl: float) -> Owner:
        with self._lock:
            return self._sharing.announce(self._writer, node, ttl)

    def members(self) -> list[Owner]:
        with self._lock:
            return [member for _, member in sorted(self._sharing.members.items())]

    def dismiss(self, holder: str) -> bool:
        with self._lock:
            return self._sharing.members.pop(holder, None) is not None

    def _check(self) -> None:
        for partition, owner in self._sharing.lost(self._writer, self._taken).items():
            raise NotOwner(not_owner("taskdb memory", self._taken, partition, owner))

    def commit(self, writes: Writes) -> None:
        with self._lock:
            if not writes.id:
                self._commits += 1
                writes.id = f"{self._writer}:{self._commits}"
            elif writes.id in self._kept:
                return
            self._check()
            for place, limit in writes.most.items():
                if self._counts.get(place, 0) + writes.counts.get(place, 0) > limit:
                    raise Overspent(overspent(place, limit))
            for row in writes.first:
                known = self._tasks.get(row.project, {}).get(row.taskid)
                if known is not None and known.partition != row.partition:
                    raise Overspent(not_first(row))
            written: Iterable[TaskRow | Progress] = chain(writes.insert, writes.replace, writes.progress)
            self._seqs[0] = max(self._seqs[0], max((row.seq for row in written), default=0))
            for project, taskid in writes.remove:
                self._remove(project, taskid)
            for row in writes.insert:
                self._insert(row)
            for row in writes.replace:
                self._replace(row)
            for progress in writes.progress:
                self._progress(progress)
            for key in writes.unlease:
                self._leases.pop(key, None)
            for lease in writes.lease:
                self._leases[lease.project, lease.taskid] = copy(lease)
            self._commit_rest(writes)
            self._kept[writes.id] = None
            if len(self._kept) > REMEMBERED:
                del self._kept[next(iter(self._kept))]

    def _commit_rest(self, writes: Writes) -> None:
        for attempt in writes.attempts:
            rows = self._attempts.setdefault((attempt.project, attempt.taskid), {})
            rows[attempt.run, attempt.attempt] = copy(attempt)
            entry = (attempt.ended, attempt.project, attempt.taskid, attempt.run, attempt.attempt)
            heapq.heappush(self._ended, entry)
        for tick in writes.ticks:
            self._ticks.setdefault((tick.project, tick.method), {})[tick.instant] = copy(tick)
        for node in writes.nodes:
            self._nodes[node.node] = copy(node)
        for counter, n in writes.ledger.items():
            self._ledger[counter] = self._ledger.get(counter, 0) + n
        for place, n in writes.counts.items():
            self._counts[place] = self._counts.get(place, 0) + n
        for metric in writes.metrics:
            self._metrics.setdefault((metric.project, metric.width), {})[metric.start] = metric.copy()
            heapq.heappush(self._metric_starts.setdefault(metric.width, []), (metric.start, metric.project))
        for name, text in writes.state.items():
            if text is None:
                self._state.pop(name, None)
            else:
                self._state[name] = text
        self._sharing.take_away(writes.mail_taken)
        self._sharing.post(writes.mail)

    def _insert(self, row: TaskRow) -> None:
        tasks = self._tasks.setdefault(row.project, {})
        if row.taskid in tasks:
            return
        tasks[row.taskid] = copy(row)
        self._order.pop(row.project, None)
        self._enqueue(row)

    def _replace(self, row: TaskRow) -> None:
        tasks = self._tasks.get(row.project, {})
        known = tasks.get(row.taskid)
        if known is not None:
            self._dequeue(known)
            tasks[row.taskid] = copy(row)
            self._enqueue(row)

    def _progress(self, new: Progress) -> None:
        row = self._tasks.get(new.project, {}).get(new.taskid)
        if row is None:
            return
        if row.queue is not new.queue or row.rank != new.rank or row.seq != new.seq:
            self._dequeue(row)
            row.queue, row.rank, row.seq = new.queue, new.rank, new.seq
            self._enqueue(row)
        row.status, row.run, row.attempt = new.status, new.run, new.attempt
        row.retried, row.lost, row.results = new.retried, new.lost, new.results
        row.save, row.etag, row.last_modified = new.save, new.etag, new.last_modified
        row.lastcrawltime, row.updatetime = new.lastcrawltime, new.updatetime

    def _remove(self, project: str, taskid: str) -> None:
        row = self._tasks.get(project, {}).pop(taskid, None)
        if row is not None:
            self._dequeue(row)
            self._order.pop(project, None)
            if not self._tasks[project]:
                del self._tasks[project]

    def _enqueue(self, row: TaskRow) -> None:
        if row.queue is not None:
            partitions = self._queues.setdefault((row.project, row.queue), {})
            queue = partitions.get(row.partition)
            if queue is None:
                queue = partitions[row.partition] = SortedList()
            entry = (row.rank, row.seq, row.taskid)
            queue.add(entry)
            hosts = self._by_host.setdefault((row.project, row.queue), {})
            mine = hosts.get(row.host)
            if mine is None:
                mine = hosts[row.host] = SortedList()
            mine.add(entry)

    def _dequeue(self, row: TaskRow) -> None:
        if row.queue is not None:
            entry = (row.rank, row.seq, row.taskid)
            partitions = self._queues[row.project, row.queue]
            partitions[row.partition].remove(entry)
            if not partitions[row.partition]:
                del partitions[row.partition]
            hosts = self._by_host[row.project, row.queue]
            hosts[row.host].remove(entry)
            if not hosts[row.host]:
                del hosts[row.host]

    def get(self, project: str, taskid: str) -> TaskRow | None:
        with self._lock:
            row = self._tasks.get(project, {}).get(taskid)
            return copy(row) if row is not None else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, TaskRow]:
        with self._lock:
            found = {}
            for key in keys:
                row = self._tasks.get(key[0], {}).get(key[1])
                if row is not None:
                    found[key] = copy(row)
            return found

    def known(self, project: str, taskids: Sequence[str], ended_after: int | None = None) -> set[str]:
        with self._lock:
            tasks = self._tasks.get(project, {})
            found = {taskid: tasks[taskid] for taskid in taskids if taskid in tasks}
            if ended_after is None:
                return set(found)
            return {taskid for taskid, row in found.items() if row.queue is not None or row.seq > ended_after}

    def window(
        self,
        project: str,
        queue: Queue,
        after: tuple[float, int] | None,
        limit: int,
        host: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> list[TaskRow]:
        with self._lock:
            if host is None:
                waiting = self._queues.get((project, queue), {})
                lists = [waiting[each] for each in waiting if partitions is None or each in partitions]
            else:
                lists = [self._by_host.get((project, queue), {}).get(host, ())]
            tasks, behind = self._tasks.get(project, {}), None if after is None else (*after, LAST_TEXT)
            each = (some.irange(behind, inclusive=(False, False)) for some in lists if some)
            rows = (tasks[taskid] for _, _, taskid in heapq.merge(*each))
            if host is not None and partitions is not None:
                rows = (row for row in rows if row.partition in partitions)
            return [copy(row) for row in islice(rows, max(0, limit))]

    def finished(self, after: float, before: float, limit: int) -> tuple[list[TaskRow], float]:
        """Looks at every row."""
        with self._lock:
            rows = (row for tasks in self._tasks.values() for row in tasks.values() if after < row.updatetime < before)
            first = sorted(rows, key=lambda row: (row.updatetime, row.project, row.taskid))
            reached = first[: max(1, limit)][-1].updatetime if first else after
            return [copy(row) for row in first if row.queue is None and row.updatetime <= reached], reached

    def hosts(self, project: str, queue: Queue, after: str | None, limit: int) -> list[str]:
        with self._lock:
            names = (name for name in self._by_host.get((project, queue), {}) if after is None or name > after)
            return heapq.nsmallest(limit, names)

    def max_seq(self) -> int:
        return self._seqs[0]

    def counts(self, project: str, hosts: Sequence[str]) -> dict[str, int]:
        with self._lock:
            return {host: self._counts[project, host] for host in hosts if (project, host) in self._counts}

    def leases(self, partitions: Collection[int] | None = None) -> list[Lease]:
        with self._lock:
            found = [copy(lease) for lease in self._leases.values()]
            if partitions is None:
                return found
            rows = (self._tasks.get(lease.project, {}).get(lease.taskid) for lease in found)
            return [
                lease for lease, row in zip(found, rows, strict=True) if row is not None and row.partition in partitions
            ]

    def mail(self, partitions: Collection[int], limit: int) -> list[Letter]:
        with self._lock:
            return self._sharing.mail(partitions, limit)

    def mail_waiting(self, project: str) -> int:
        with self._lock:
            return self._sharing.waiting(project)

    def draw(self, project: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        with self._lock:
            return self._sharing.draw(project, want, rate, burst)

    def whole(self, project: str) -> tuple[dict[tuple[str, str, str], int], int]:
        with self._lock:
            return self.ledger(project), self._sharing.waiting(project)

    def ledger(self, project: str | None = None) -> dict[tuple[str, str, str], int]:
        with self._lock:
            return {key: n for key, n in self._ledger.items() if project is None or key[0] == project}

    def state(self) -> dict[tuple[str, str], str]:
        with self._lock:
            return dict(self._state)

    def state_of(self, project: str, name: str) -> str | None:
        with self._lock:
            return self._state.get((project, name))

    def ticks(self, project: str, method: str | None = None, limit: int = 100) -> list[TickRow]:
        with self._lock:
            rows = [
                row
                for (owner, name), ticks in self._ticks.items()
                if owner == project and method in (None, name)
                for row in ticks.values()
            ]
            return [copy(row) for row in heapq.nsmallest(limit, rows, key=lambda row: (-row.instant, row.method))]

    def last_ticks(self) -> dict[tuple[str, str], float]:
        with self._lock:
            return {key: max(rows) for key, rows in self._ticks.items()}

    def prune_ticks(self, before: float) -> int:
        with self._lock:
            self._check()
            pruned = 0
            for rows in self._ticks.values():
                newest = max(rows)
                old = [instant for instant in rows if instant < before and instant != newest]
                old = [instant for instant in old if rows[instant].reason != QUEUED]
                for instant in old:
                    del rows[instant]
                pruned += len(old)
            return pruned

    def nodes(self) -> list[NodeRow]:
        with self._lock:
            return [copy(self._nodes[name]) for name in sorted(self._nodes)]

    def prune_nodes(self, before: float) -> int:
        with self._lock:
            self._check()
            old = [name for name, row in self._nodes.items() if row.seen < before]
            for name in old:
                del self._nodes[name]
            return len(old)

    def attempts(self, project: str, taskid: str, limit: int = 20) -> list[AttemptRow]:
        with self._lock:
            rows = self._attempts.get((project, taskid), {})
            return [copy(rows[number]) for number in heapq.nlargest(limit, rows)]

    def prune_attempts(self, before: float, limit: int = 1000) -> int:
        with self._lock:
            self._check()
            pruned = 0
            while self._ended and pruned < limit and self._ended[0][0] < before:
                ended, project, taskid, run, attempt = heapq.heappop(self._ended)
                rows = self._attempts.get((project, taskid), {})
                row = rows.get((run, attempt))
                if row is None or row.ended != ended:
                    continue
                del rows[run, attempt]
                pruned += 1
                if not rows:
                    del self._attempts[project, taskid]
            return pruned

    def failures(self, project: str, limit: int = 10) -> list[tuple[str, int, str]]:
        with self._lock:
            groups: dict[str, tuple[int, str]] = {}
            for row in self._tasks.get(project, {}).values():
                if row.status == Status.FAILED:
                    reason = self._reason(row)
                    n, url = groups.get(reason, (0, row.url))
                    groups[reason] = (n + 1, min(url, row.url))
            ordered = sorted(groups.items(), key=lambda group: (-group[1][0], group[0]))
            return [(reason, n, url) for reason, (n, url) in ordered[:limit]]

    def select(
        self,
        project: str,
        status: Status | None = None,
        url: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[TaskRow]:
        with self._lock:
            tasks = self._tasks.get(project, {})
            order = self._order.get(project)
            if order is None:
                order = self._order[project] = sorted(tasks)
            matches = url_matcher(url) if url is not None else None
            start = 0 if after is None else bisect_right(order, after)
            rows = (tasks[taskid] for taskid in islice(order, start, None))
            fitting = (
                row for row in rows if status in (None, row.status) and (matches is None or matches(row.url))
            )  # fmt: skip
            return [copy(row) for row in islice(fitting, max(0, limit))]

    def search(
        self, search: TaskSearch, after: Place | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> TaskPage:
        """Reads every row: it takes as long as that takes, and ``budget`` is not needed."""
        fits, place = task_fits(search), place_of(search)
        behind = sort_key(after) if after is not None else None
        with self._lock:
            tables = self._tasks.values() if search.project is None else [self._tasks.get(search.project, {})]
            rows = (row for table in tables for row in table.values() if fits(row))
            if search.reason is not None:
                rows = (row for row in rows if self._reason(row) == search.reason)
            placed = ((sort_key(place(row)), row) for row in rows)
            further = (pair for pair in placed if behind is None or pair[0] > behind)
            first = heapq.nsmallest(max(1, limit) + 1, further, key=itemgetter(0))
            page = [copy(row) for _, row in first[: max(1, limit)]]
        return TaskPage(page, place(page[-1]) if len(first) > len(page) else None)

    def _reason(self, row: TaskRow) -> str:
        attempts = self._attempts.get((row.project, row.taskid))
        return reason_of(row.status, attempts[max(attempts)].reason if attempts else None)

    def failure_groups(self, project: str | None = None, examples: int = 3, *, retrying: bool = False) -> FailurePage:
        count = FailureCount(examples)
        with self._lock:
            for table in self._tasks.values() if project is None else [self._tasks.get(project, {})]:
                for row in table.values():
                    if waits_for_another_try(row) if retrying else row.status == Status.FAILED:
                        count.add(row.project, self._reason(row) or NO_REASON, row.taskid, row.url, row.updatetime)
        return count.page(count.counted)

    def books(self, project: str) -> Books:
        with self._lock:
            rows = self._tasks.get(project, {}).values()
            by_status = Counter(int(row.status) for row in rows)
            return Books(
                tasks=len(rows),
                runs=sum(row.run for row in rows),
                active=by_status.get(Status.ACTIVE, 0),
                leased=sum(1 for owner, _ in self._leases if owner == project),
                by_status=dict(by_status),
                ledger={key: n for key, n in self._ledger.items() if key[0] == project},
            )

    def projects(self) -> list[str]:
        with self._lock:
            return sorted(set(self._tasks) | {key[0] for key in self._leases} | {key[0] for key in self._ledger})

    def drop(self, project: str) -> Books:
        with self._lock:
            self._check()
            last = self.books(project)
            self._tasks.pop(project, None)
            self._order.pop(project, None)
            for queue in Queue:
                self._queues.pop((project, queue), None)
                self._by_host.pop((project, queue), None)
            for rows in (
                self._leases,
                self._attempts,
                self._ticks,
                self._ledger,
                self._state,
                self._metrics,
                self._counts,
            ):
                _forget(rows, project)
            self._sharing.drop_letters(project)
            self._sharing.forget_allowance(project)
            return last

    def metrics(self, project: str, since: float, until: float, step: int = 60) -> list[MetricRow]:
        with self._lock:
            rows = self._metrics.get((project, width_for(step)), {})
            return in_steps((rows[start] for start in sorted(rows) if since <= start < until), step)

    def prune_metrics(self, width: int, before: float, limit: int = 1000) -> int:
        with self._lock:
            self._check()
            heap, pruned = self._metric_starts.get(width, []), 0
            while heap and heap[0][0] < before and pruned < limit:
                start, project = heapq.heappop(heap)
                pruned += self._metrics.get((project, width), {}).pop(start, None) is not None
            return pruned

    def count(self, project: str, status: Status | None = None) -> int:
        with self._lock:
            rows = self._tasks.get(project, {})
            return len(rows) if status is None else sum(1 for row in rows.values() if row.status is status)

    def reasons(self, project: str, taskids: Sequence[str]) -> dict[str, str]:
        with self._lock:
            tasks = self._tasks.get(project, {})
            return {taskid: self._reason(tasks[taskid]) for taskid in taskids if taskid in tasks}

    def drop_some(self, project: str, limit: int) -> int:
        with self._lock:
            self._check()
            _forget(self._leases, project)
            removed = self._sharing.drop_letters(project, limit, TASK_LETTER)
            removed += self._drop_tasks(project, max(0, limit - removed))
            for key in [key for key in self._attempts if key[0] == project][: max(0, limit - removed)]:
                removed += len(self._attempts.pop(key))
            if not removed:
                for rows in (self._ticks, self._ledger, self._state, self._metrics, self._counts):
                    before = len(rows)
                    _forget(rows, project, keep="action")
                    removed += before - len(rows)
                removed += self._sharing.forget_allowance(project)
            return removed

    def _drop_tasks(self, project: str, limit: int) -> int:
        page = sorted(self._tasks.get(project, {}).values(), key=lambda row: row.taskid)[:limit]
        for row in page:
            self._remove(project, row.taskid)
            for event, n in (("removed", row.run), ("cleared", int(row.status is Status.ACTIVE))):
                if n:
                    self._ledger[project, event, "drop"] = self._ledger.get((project, event, "drop"), 0) + n
        return len(page)

    def close(self) -> None:
        """What is stored lives as long as the object; what was owned is given back."""
        self.disown()
        self.dismiss(self._writer)


def _forget(rows: dict[Any, Any], project: str, keep: str = "") -> None:
    for key in [key for key in rows if key[0] == project and not (keep and key[1] == keep)]:
        del rows[key]
