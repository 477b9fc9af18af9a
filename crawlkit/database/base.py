"""The doors to the databases: three small interfaces and the rows that pass through them.

A backend stores what it is given and decides nothing. Every method is synchronous and may block; callers keep it off
their event loop. Every method may raise ``StoreUnavailable``; then nothing of the call was kept, or that is unknown,
and calling it again does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from crawlkit.libs.rows import (
    AttemptRow,
    Books,
    Key,
    Lease,
    NodeRow,
    Progress,
    ProjectRow,
    Queue,
    ResultRow,
    ResultSet,
    SettingRow,
    TaskRow,
    TickRow,
    VersionRow,
    Writes,
)
from crawlkit.libs.task import Status

__all__ = [
    "AttemptRow",
    "BlobStore",
    "Books",
    "Key",
    "Lease",
    "NodeRow",
    "Progress",
    "ProjectRow",
    "ProjectStore",
    "Queue",
    "ResultRow",
    "ResultSet",
    "ResultStore",
    "SettingRow",
    "TaskRow",
    "TaskStore",
    "TickRow",
    "VersionRow",
    "Writes",
]


class TaskStore(Protocol):
    """The taskdb: tasks, leases, attempts, ticks, nodes, the ledger. Only a scheduler calls :meth:`commit`."""

    def commit(self, writes: Writes) -> None:
        """Makes all of ``writes`` durable in one transaction (on disk when it returns).

        The order within is: remove, insert, replace, progress, unlease, lease, the rest. An insert of a known key
        leaves the known row alone; replace and progress of an unknown one do nothing. After ``StoreUnavailable``
        commit the same object again: if it was kept after all, the second time does nothing (``writes.id`` tells).
        """

    def get(self, project: str, taskid: str) -> TaskRow | None: ...

    def get_many(self, keys: Sequence[Key]) -> dict[Key, TaskRow]:
        """The rows that exist, by one query per few hundred keys."""

    def window(self, project: str, queue: Queue, after: tuple[float, int] | None, limit: int) -> list[TaskRow]:
        """The next ``limit`` rows of a queue, in order of (rank, seq), behind ``after``; leased ones too. By index."""

    def max_seq(self) -> int:
        """The largest ``seq`` ever committed, 0 without any. One lookup, also when its row is gone."""

    def leases(self) -> list[Lease]: ...

    def ledger(self, project: str | None = None) -> dict[tuple[str, str, str], int]: ...

    def state(self) -> dict[tuple[str, str], str]: ...

    def ticks(self, project: str, method: str | None = None, limit: int = 100) -> list[TickRow]:
        """Newest first."""

    def last_ticks(self) -> dict[tuple[str, str], float]:
        """(project, method) -> its newest instant."""

    def prune_ticks(self, before: float) -> int:
        """Removes tick rows older than ``before``, but never the newest of a (project, method) nor one that waits."""

    def nodes(self) -> list[NodeRow]: ...

    def attempts(self, project: str, taskid: str, limit: int = 20) -> list[AttemptRow]:
        """Newest first."""

    def prune_attempts(self, before: float, limit: int = 1000) -> int:
        """Removes up to ``limit`` attempts that ended before ``before``; returns how many."""

    def failures(self, project: str, limit: int = 10) -> list[tuple[str, int, str]]:
        """(reason, tasks, an example's URL) of the tasks whose status is FAILED, by their last attempt."""

    def select(
        self,
        project: str,
        status: Status | None = None,
        url: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[TaskRow]:
        """A page of tasks in order of taskid, behind ``after``. ``url``: a part of it, or a pattern with ``*``."""

    def books(self, project: str) -> Books:
        """Counts rows. Reads the whole project: for audits, not for schedulers."""

    def projects(self) -> list[str]:
        """Projects that have tasks, leases or a ledger."""

    def drop(self, project: str) -> Books:
        """Removes a project's tasks, leases, attempts, ticks, state and ledger; returns its last books."""

    def close(self) -> None: ...


class ProjectStore(Protocol):
    """The projectdb: projects and every version of their scripts."""

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        """Inserts or overwrites; sets ``version``, and ``updatetime`` to later than any before. Keeps the script."""

    def get(self, name: str) -> ProjectRow | None: ...

    def all(self) -> list[ProjectRow]: ...

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        """Projects whose ``updatetime`` is later, oldest first."""

    def names(self) -> list[str]: ...

    def drop(self, name: str) -> bool: ...

    def versions(self, name: str) -> list[VersionRow]:
        """Newest first."""

    def script(self, name: str, version: str) -> str | None:
        """The script of that version, also an old one."""

    def settings(self, name: str) -> dict[str, SettingRow]:
        """The project's settings by name, in order of their names. They go with the project."""

    def put_setting(self, name: str, setting: SettingRow) -> None:
        """Inserts or overwrites a setting; it and the project get an ``updatetime`` later than any before.

        Raises :class:`InvalidProject` when there is no such project, or the setting's name breaks the rules.
        """

    def remove_setting(self, name: str, setting: str) -> bool:
        """Removes a setting; ``False`` when there was none. Changes the project's ``updatetime`` as well."""

    def close(self) -> None: ...


class ResultStore(Protocol):
    """The resultdb: per task the results of its newest run."""

    def save(self, sets: Sequence[ResultSet]) -> list[int]:
        """Stores all sets in one durable transaction; returns for each how many results were not kept for their key.

        A set becomes visible as a whole with its last part, and gets its ``seq`` numbers then; it replaces those of
        earlier runs. If the same (project, taskid, run) is visible already, or a later run, the set is ignored:
        the same run never becomes visible twice. Parts of an older attempt are dropped when a newer one comes.
        An empty ``results`` with ``last`` removes the results of earlier runs.

        Of the results of a project with the same key there is one, whichever task or run it came from: with the policy
        ``replace`` the newest, with another one the first. It stays until then, also when its task is crawled again
        and does not give it. A set without a policy replaces all that its task has.
        """

    def known_keys(self, project: str, taskid: str, run: int, keys: Sequence[str]) -> set[str]:
        """Those of ``keys`` that a visible result of another task or run has."""

    def get(self, project: str, taskid: str) -> list[ResultRow]: ...

    def select(self, project: str, offset: int = 0, limit: int | None = None) -> Iterator[ResultRow]:
        """Newest first, streamed."""

    def since(self, seq: int, limit: int, projects: Sequence[str] | None = None) -> list[ResultRow]:
        """The next rows behind ``seq`` in order of seq. Whoever reads on from the last one's misses none."""

    def count(self, project: str) -> int: ...

    def counts_by_task(self, project: str, taskids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """taskid -> (run, how many results it gave, those included that were not kept for their key)."""

    def projects(self) -> list[str]: ...

    def drop(self, project: str) -> int: ...

    def position(self, follower: str) -> tuple[int, int]:
        """(seq, byte offset) of an output file that follows this store; (0, 0) at first."""

    def set_position(self, follower: str, seq: int, offset: int) -> None: ...

    def close(self) -> None: ...


class BlobStore(Protocol):
    """Bodies too large for a message. They are gone when the task's round has ended."""

    def create(self, chunks: Iterable[bytes], key: str) -> str:
        """Stores a body in pieces; returns its id. ``key`` is ``project/taskid/run`` for sweeping."""

    def read(self, blob: str) -> Iterator[bytes]:
        """Its pieces; raises ``KeyError`` when it is gone."""

    def remove(self, blobs: Sequence[str]) -> None: ...

    def sweep(self, before: float) -> int:
        """Removes blobs older than ``before``; returns how many."""

    def close(self) -> None: ...
