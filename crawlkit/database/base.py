"""The doors to the databases: small interfaces and the rows that pass through them.

A backend stores what it is given and decides nothing. Every method is synchronous and may block; callers keep it off
their event loop. Every method may raise ``StoreUnavailable``; then nothing of the call was kept, or that is unknown,
and calling it again does no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from crawlkit.libs.metrics import MetricRow
from crawlkit.libs.rows import (
    AttemptRow,
    AuditRow,
    Books,
    KeptPage,
    Key,
    Lease,
    Letter,
    LogFilter,
    LoginLinkRow,
    LogLine,
    LogPage,
    NodeRow,
    Owner,
    Progress,
    ProjectRow,
    Queue,
    ResultRow,
    ResultSet,
    SessionRow,
    SettingRow,
    SinkProgress,
    SinkRow,
    TaskRow,
    TickRow,
    TokenRow,
    UserRow,
    VersionRow,
    Writes,
)
from crawlkit.libs.searches import FailurePage, Place, ResultPage, ResultSearch, TaskPage, TaskSearch
from crawlkit.libs.task import Status

SEARCH_SECONDS = 0.2  # how long a search for people looks before it shows what it has

__all__ = [
    "SEARCH_SECONDS",
    "AccountStore",
    "AttemptRow",
    "AuditRow",
    "BlobStore",
    "Books",
    "FailurePage",
    "KeptPage",
    "Key",
    "Lease",
    "Letter",
    "LogFilter",
    "LogLine",
    "LogPage",
    "LogStore",
    "LoginLinkRow",
    "NodeRow",
    "Owner",
    "Place",
    "Progress",
    "ProjectRow",
    "ProjectStore",
    "Queue",
    "ResultPage",
    "ResultRow",
    "ResultSearch",
    "ResultSet",
    "ResultStore",
    "SessionRow",
    "SettingRow",
    "SinkBook",
    "SinkProgress",
    "SinkRow",
    "TaskPage",
    "TaskRow",
    "TaskSearch",
    "TaskStore",
    "TickRow",
    "TokenRow",
    "UserRow",
    "VersionRow",
    "Writes",
]


class TaskStore(Protocol):
    """The taskdb: tasks, leases, attempts, ticks, nodes, the ledger. Only a scheduler calls :meth:`commit`."""

    def own(self, node: str, ttl: float, over: Owner | None = None, partition: int = 0) -> Owner | None:
        """Makes this store the only one that may commit to a partition, for ``ttl`` seconds from now; again, to go on.

        Returns ``None``, or who has it. Nobody else's time must be left, unless it is ``over`` to the last field: who
        has seen that nobody renews it may take it before. From then on a commit, a prune and a drop by whoever had it
        raise :class:`NotOwner`, which is checked in their transaction. One that was lost does not come back before
        :meth:`disown`, also when nobody has it any more: then the answer has no ``holder``. ``node`` is what people
        are told. A store that has taken nothing may do all that at any time.
        """

    def renew(self, node: str, ttl: float) -> dict[int, Owner | None]:
        """:meth:`own` for all partitions that this store took and did not give back, in one transaction.

        Returns those that it has lost, with who has each now: ``None`` for nobody.
        """

    def disown(self, partition: int | None = None) -> None:
        """Gives back one partition, or all of them; also ends the memory of having lost it.

        Nothing may be committed to it any more: that is not checked from here on. :meth:`close` gives back all.
        """

    def owners(self) -> dict[int, Owner]:
        """Who has which partition; also those whose time is over. Never those that nobody has."""

    def announce(self, node: str, ttl: float) -> Owner:
        """Says that this store takes part, for ``ttl`` seconds from now; returns its own entry of :meth:`members`."""

    def members(self) -> list[Owner]:
        """Those who announced themselves and did not close their store, by holder; also those whose time is over.

        A holder has the same name here and in :meth:`owners`. Judge by whether an entry changes, not by its time:
        clocks of hosts differ.
        """

    def dismiss(self, holder: str) -> bool:
        """Removes a member that is dead; ``False``: there was none. What it owns is left to :meth:`own`."""

    def commit(self, writes: Writes) -> None:
        """Makes all of ``writes`` durable in one transaction (on disk when it returns).

        The order within is: remove, insert, replace, progress, unlease, lease, the rest. An insert of a known key
        leaves the known row alone; replace and progress of an unknown one do nothing. After ``StoreUnavailable``
        commit the same object again: if it was kept after all, the second time does nothing (``writes.id`` tells).

        Raises :class:`Overspent`, and keeps nothing, when a count would come to more than ``most`` says, or when a
        task of ``first`` is known in another partition.
        Raises :class:`NotOwner`, and keeps nothing, when another has any of the partitions that this store took and
        did not give back.
        """

    def get(self, project: str, taskid: str) -> TaskRow | None: ...

    def get_many(self, keys: Sequence[Key]) -> dict[Key, TaskRow]:
        """The rows that exist, by one query per few hundred keys."""

    def known(self, project: str, taskids: Sequence[str], ended_after: int | None = None) -> set[str]:
        """Those of ``taskids`` that exist. Reads no rows, only an index.

        With ``ended_after`` without those that are in no queue and whose ``seq`` is not larger; that looks at the rows.
        """

    def window(
        self,
        project: str,
        queue: Queue,
        after: tuple[float, int] | None,
        limit: int,
        host: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> list[TaskRow]:
        """The next ``limit`` rows of a queue, or of one host in it, in order of (rank, seq), behind ``after``.

        Leased ones too. Only those of ``partitions``; ``None``: of all, which costs one look-up more than naming them.
        By index.
        """

    def hosts(self, project: str, queue: Queue, after: str | None, limit: int) -> list[str]:
        """The next ``limit`` hosts that have rows in a queue, by code points, behind ``after``. One lookup each."""

    def finished(self, after: float, before: float, limit: int) -> tuple[list[TaskRow], float]:
        """Tasks in no queue, of all projects, among the first ``limit`` with ``after`` < updatetime < ``before``.

        With them how far it looked, for the next ``after``; that is ``after`` when there is none. All tasks of one
        instant come together, so it may be some more. By index.
        """

    def max_seq(self) -> int:
        """The largest ``seq`` ever committed, 0 without any. One lookup, also when its row is gone."""

    def counts(self, project: str, hosts: Sequence[str]) -> dict[str, int]:
        """What :attr:`Writes.counts` added up to, of those hosts that have any. By key."""

    def leases(self, partitions: Collection[int] | None = None) -> list[Lease]:
        """All of them, or those whose task is in one of the partitions."""

    def mail(self, partitions: Collection[int], limit: int) -> list[Letter]:
        """The oldest ``limit`` letters for any of the partitions, oldest first. By index.

        They stay until a commit names them in ``mail_taken``.
        """

    def mail_waiting(self, project: str) -> int:
        """How many letters of kind ``task`` wait for a project, in all partitions. Reads an index."""

    def draw(self, project: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        """Takes up to ``want`` tokens of a project, from the bucket that all stores on this database share.

        Returns how many it got, and how many seconds later the next whole token is there if nobody else draws: 0 when
        it is there now, infinite with a ``rate`` (tokens per second) of 0. A project's bucket begins full, with
        ``burst`` tokens, and never holds more. So in ``t`` seconds by the database's clock all get at most
        ``burst + rate * t``. Nobody is asked to own anything; it waits for no commit where the database locks rows.
        """

    def whole(self, project: str) -> tuple[dict[tuple[str, str, str], int], int]:
        """The project's ledger, and how many letters of kind ``task`` wait for it: both of the same instant."""

    def ledger(self, project: str | None = None) -> dict[tuple[str, str, str], int]: ...

    def state(self) -> dict[tuple[str, str], str]: ...

    def state_of(self, project: str, name: str) -> str | None:
        """One entry of :meth:`state`."""

    def ticks(self, project: str, method: str | None = None, limit: int = 100) -> list[TickRow]:
        """Newest first."""

    def last_ticks(self) -> dict[tuple[str, str], float]:
        """(project, method) -> its newest instant."""

    def prune_ticks(self, before: float) -> int:
        """Removes tick rows older than ``before``, but never the newest of a (project, method) nor one that waits."""

    def nodes(self) -> list[NodeRow]: ...

    def prune_nodes(self, before: float) -> int:
        """Removes nodes that were last seen before ``before``; returns how many."""

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

    def search(
        self, search: TaskSearch, after: Place | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> TaskPage:
        """A page of the tasks that ``search`` means, of one project or of all: those updated last first, or by URL.

        Stops after ``budget`` seconds with what it has found; ``next`` of the page goes on from there. Sorted by URL
        it looks only at the tasks updated last when there are too many of them.
        """

    def failure_groups(self, project: str | None = None, examples: int = 3, *, retrying: bool = False) -> FailurePage:
        """Failed tasks by the reason of their last attempt, of one project or of all.

        ``retrying``: instead those that wait for another try after a failure; of a project, those that are due first.
        """

    def books(self, project: str) -> Books:
        """Counts rows. Reads the whole project: for audits, not for schedulers."""

    def projects(self) -> list[str]:
        """Projects that have tasks, leases or a ledger."""

    def metrics(self, project: str, since: float, until: float, step: int = 60) -> list[MetricRow]:
        """What a project did from ``since`` to before ``until``, in rows of ``step`` seconds, oldest first.

        Steps under an hour are made of what is kept by the minute, others of what is kept by the hour. Rows without
        anything are left out. ``ValueError`` for a step that is made of neither.
        """

    def prune_metrics(self, width: int, before: float, limit: int = 1000) -> int:
        """Removes up to ``limit`` rows of that width that begin before ``before``; returns how many."""

    def count(self, project: str, status: Status | None = None) -> int:
        """How many tasks a project has, of any status or of one. FAILED and BAD are counted by index."""

    def reasons(self, project: str, taskids: Sequence[str]) -> dict[str, str]:
        """Why the last attempt of each task failed, in the words of :meth:`failures`; of those tasks that exist."""

    def drop(self, project: str) -> Books:
        """Removes a project's tasks, leases, attempts, ticks, state, ledger and letters; returns its last books."""

    def drop_some(self, project: str, limit: int) -> int:
        """Removes about ``limit`` rows of what :meth:`drop` removes, in one transaction; 0 when there is none left.

        Ledger and rows balance after each call: what goes is entered as ``cleared`` and ``removed``, with the reason
        ``drop``. State stays until the last call that removes anything, and its entry ``action`` for longer. Letters
        of kind ``task`` go first, others stay.
        """

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

    def find(
        self, search: ResultSearch, after: int | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> ResultPage:
        """A page of the results that ``search`` means, in order of seq, behind the one with the seq ``after``.

        Stops after ``budget`` seconds with what it has found; ``next`` of the page goes on from there.
        """

    def since(self, seq: int, limit: int, projects: Sequence[str] | None = None) -> list[ResultRow]:
        """The next rows behind ``seq`` in order of seq. Whoever reads on from the last one's misses none."""

    def count(self, project: str) -> int: ...

    def counts_by_task(self, project: str, taskids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """taskid -> (run, how many results it gave, those included that were not kept for their key)."""

    def projects(self) -> list[str]: ...

    def drop(self, project: str) -> int: ...

    def drop_some(self, project: str, limit: int) -> int:
        """Removes about ``limit`` results of a project in one transaction; returns how many, 0 at the end."""

    def position(self, follower: str) -> tuple[int, int]:
        """(seq, byte offset) of an output file that follows this store; (0, 0) at first."""

    def set_position(self, follower: str, seq: int, offset: int) -> None: ...

    def close(self) -> None: ...


class SinkBook(Protocol):
    """What a resultdb remembers of its sinks. Every resultdb of crawlkit's is one as well; another need not be."""

    def sinks(self) -> list[SinkRow]:
        """In the order in which they were made."""

    def take_sink(self, row: SinkRow) -> SinkRow | None:
        """Makes ``row.holder`` the holder until ``row.until``, unless ``row.fence`` is not the stored one any more.

        An unknown sink has fence 0 and is made. Returns the row as it is then, with the next fence; ``None`` when
        somebody else was quicker.
        """

    def hold_sink(self, sink: str, fence: int, until: float, error: str) -> bool:
        """Writes ``until`` and ``error``; ``False`` when ``fence`` is not the newest."""

    def move_sink(self, fence: int, progress: SinkProgress) -> bool:
        """Makes the progress with one project durable; ``False`` when ``fence`` is not the newest."""

    def sink_progress(self, sink: str) -> list[SinkProgress]:
        """Of every project, in order of their names."""

    def drop_sink(self, sink: str) -> bool:
        """Forgets a sink and its progress; ``False`` when there is none."""

    def newest(self) -> int:
        """The number of the newest result there ever was; 0: none. One lookup."""

    def behind(self, project: str, seq: int) -> int:
        """How many results of a project have a number behind ``seq``."""


class BlobStore(Protocol):
    """Bodies too large for a message. They are gone when the task's round has ended."""

    def create(self, chunks: Iterable[bytes], key: str) -> str:
        """Stores a body in pieces; returns its id. ``key`` is ``project/taskid/run`` for sweeping."""

    def read(self, blob: str) -> Iterator[bytes]:
        """Its pieces; raises ``KeyError`` when it is gone."""

    def remove(self, blobs: Sequence[str]) -> None: ...

    def sweep(self, before: float) -> int:
        """Removes blobs older than ``before``; returns how many. Kept pages stay."""

    def keep_pages(self, pages: Sequence[KeptPage], per_callback: int, most_bytes: int) -> None:
        """Keeps fetched pages, of each callback the newest ``per_callback``, and of all ``most_bytes`` of ``data``."""

    def kept_pages(self, project: str, callback: str | None = None, limit: int = 1000) -> list[KeptPage]:
        """Newest first, without their data."""

    def kept_page(self, page: str) -> KeptPage | None:
        """One with its data; ``None`` when it is gone."""

    def drop_kept(self, project: str) -> int:
        """Removes all kept pages of a project; returns how many."""

    def close(self) -> None: ...


class AccountStore(Protocol):
    """Who may use the web UI, and the book of who changed what. Lies in the projectdb's database.

    Passwords, sessions, links and tokens come here as digests; what they were cannot be read back.
    """

    def users(self) -> list[UserRow]:
        """In order of their names."""

    def user(self, name: str) -> UserRow | None: ...

    def add_user(self, row: UserRow) -> bool:
        """Inserts; ``False`` when the name is known. Raises :class:`InvalidAccount` for what may not be stored."""

    def change_user(
        self, name: str, *, password: str | None = None, role: str | None = None, at: float = 0, keep: str = ""
    ) -> bool:
        """Sets a password's hash or a role; ``False`` when there is none of that name.

        A new password ends every session of that user but the one whose digest is ``keep``, and its links.
        """

    def seen_user(self, name: str, at: float) -> None:
        """Notes a login."""

    def remove_user(self, name: str) -> bool:
        """Removes a user with all tokens, sessions and links."""

    def tokens(self, user: str | None = None) -> list[TokenRow]:
        """Oldest first; of everybody without ``user``."""

    def token(self, id: str) -> TokenRow | None: ...

    def add_token(self, row: TokenRow) -> None: ...

    def used_token(self, id: str, at: float) -> None: ...

    def remove_token(self, id: str) -> bool: ...

    def sessions(self, user: str | None = None) -> list[SessionRow]: ...

    def session(self, digest: str) -> SessionRow | None: ...

    def add_session(self, row: SessionRow) -> None: ...

    def seen_session(self, digest: str, at: float, expires: float) -> None: ...

    def remove_session(self, digest: str) -> bool: ...

    def add_link(self, row: LoginLinkRow) -> None: ...

    def take_link(self, digest: str) -> LoginLinkRow | None:
        """Removes and returns it: of any number who try, one gets it."""

    def prune(self, now: float) -> int:
        """Removes sessions, links and tokens that expired before ``now``; returns how many."""

    def add_audit(self, row: AuditRow) -> int:
        """Writes an entry; returns its id."""

    def audit(
        self,
        *,
        user: str = "",
        action: str = "",
        project: str = "",
        text: str = "",
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRow]:
        """A page of entries, newest first, with ids under ``before``.

        ``action``: the whole word, or with a dot at its end all that begin so; ``text``: a part of the detail, in
        whatever case (ASCII);
        ``since`` is in, ``until`` is not. What is empty does not filter.
        """

    def prune_audit(self, before: float) -> int:
        """Removes entries older than ``before``; returns how many."""

    def close(self) -> None: ...


class LogStore(Protocol):
    """The logdb: what processes and callbacks log, for some days and up to some size. A power cut may take the last."""

    def append_many(self, lines: Sequence[LogLine]) -> int:
        """Stores all in one transaction, numbered in their order; returns the last number, 0 for none.

        Texts longer than ``MAX_TEXT`` are cut in the middle.
        """

    def search(
        self, wanted: LogFilter, before: int | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> LogPage:
        """The newest lines with a number below ``before``, newest first. ``next`` is the ``before`` of the next page.

        Looks for ``budget`` seconds, about; then it says how far it came. Hosts' clocks may differ by ``SKEW``:
        a line whose clock is further off may be missed by ``since`` and ``until``.
        """

    def tail(self, wanted: LogFilter, after: int, limit: int = 1000, budget: float = SEARCH_SECONDS) -> LogPage:
        """The lines with a number above ``after``, oldest first. ``next``, never None, is the ``after`` to go on."""

    def last(self) -> int:
        """The largest number given out, 0 without any."""

    def nodes(self) -> list[tuple[str, str]]:
        """(node, role) of whoever has lines here, in order of their names."""

    def size(self) -> tuple[int, int]:
        """(lines, bytes) held, both as an estimate."""

    def prune(self, before: float, max_bytes: int) -> int:
        """Removes lines older than ``before`` and, over ``max_bytes``, the oldest ones; returns how many."""

    def close(self) -> None: ...
