"""The keys of results within one transaction of the resultdb: who has which, as it is and as it will be.

Changes are collected and written at the end, so that a batch of sets costs a few statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import Key, ResultSet
from crawlkit.database.sqlalchemy.statements import KeyedDelete, Prepared, padded, upsert
from crawlkit.database.sqlalchemy.tables import result_keys
from crawlkit.libs.result_key import digest_of


class Owner(NamedTuple):
    """The result that has a key."""

    taskid: str
    run: int
    seq: int


class KeyStatements:
    """Compiled once a store."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self.put = upsert(result_keys, dialect)
        self.remove = KeyedDelete(result_keys, dialect)
        first = sa.select(result_keys.c.seq).where(result_keys.c.project > "")
        self.any = Prepared(lambda: first.limit(1), dialect)


class Keys:
    """Who has which key. Made anew for each transaction."""

    def __init__(self, connection: Connection, statements: KeyStatements) -> None:
        self._connection = connection
        self._statements = statements
        self._stored: dict[tuple[str, str], Owner | None] = {}  # what was read
        self._of: dict[Key, dict[str, int]] = {}  # likewise: task -> key -> seq
        self._changed: dict[tuple[str, str], Owner | None] = {}
        self._given: defaultdict[Key, set[str]] = defaultdict(set)  # task -> keys it got in this transaction
        self.used = statements.any.one(connection) is not None

    def load(self, sets: Iterable[ResultSet], tasks: Iterable[Key]) -> None:
        """Reads at once what these sets, and the sets of tasks that have results already, will ask for."""
        digests: defaultdict[str, set[str]] = defaultdict(set)
        taskids: defaultdict[str, set[str]] = defaultdict(set)
        for part in sets:
            digests[part.project].update(digest_of(key) for key in part.keys if key)
        for project, taskid in tasks:
            taskids[project].add(taskid)
            self._of[project, taskid] = {}
        for project, asked in digests.items():
            self._stored.update({(project, digest): None for digest in asked})
            for digest, owner in stored_owners(self._connection, project, asked).items():
                self._stored[project, digest] = owner
        for project, wanted in taskids.items():
            for row in padded(self._connection, result_keys, project, sorted(wanted)):
                self._of[project, row[2]][row[1]] = row[4]

    def owners(self, project: str, digests: Collection[str]) -> dict[str, Owner]:
        """The owners of those keys that have one."""
        unread = [digest for digest in digests if (project, digest) not in self._stored]
        if unread:
            self._stored.update({(project, digest): None for digest in unread})
            for digest, owner in stored_owners(self._connection, project, unread).items():
                self._stored[project, digest] = owner
        found = {}
        for digest in digests:
            place = (project, digest)
            now = self._changed[place] if place in self._changed else self._stored[place]
            if now is not None:
                found[digest] = now
        return found

    def of(self, task: Key) -> dict[str, int]:
        """key -> seq, of the results of one task."""
        project, taskid = task
        if task not in self._of:
            self.load((), (task,))
        found = {digest: seq for digest, seq in self._of[task].items() if (project, digest) not in self._changed}
        for digest in self._given[task]:
            owner = self._changed[project, digest]
            if owner is not None and owner.taskid == taskid:
                found[digest] = owner.seq
        return found

    def give(self, project: str, digest: str, owner: Owner) -> None:
        """From now on this result has the key."""
        self.used = True
        self._changed[project, digest] = owner
        self._given[project, owner.taskid].add(digest)

    def take(self, project: str, digests: Collection[str]) -> None:
        """Nobody has these keys any more."""
        self._changed.update({(project, digest): None for digest in digests})

    def write(self) -> None:
        """Writes what changed."""
        gone = [key for key, owner in self._changed.items() if owner is None]
        new = [(*key, *owner) for key, owner in self._changed.items() if owner is not None]
        if gone:
            self._statements.remove.many(self._connection, gone)
        if new:
            self._statements.put.many(self._connection, new)


def stored_owners(connection: Connection, project: str, digests: Collection[str]) -> dict[str, Owner]:
    """The owners of those keys that have one in the table."""
    rows = padded(connection, result_keys, project, sorted(digests), "digest")
    return {row[1]: Owner(*row[2:]) for row in rows}


def ranges_without(first: int, count: int, kept: Collection[int]) -> Iterator[tuple[int, int]]:
    """The numbers from ``first`` on that are not among ``kept``, as ranges with both ends."""
    start = first
    for number in sorted(number for number in kept if first <= number < first + count):
        if start < number:
            yield start, number - 1
        start = number + 1
    if start < first + count:
        yield start, first + count - 1
