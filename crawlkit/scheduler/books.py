"""Holds the ledger against the rows: what `crawlkit audit` prints, and whether the books balance.

Pure: the caller reads the stores and hands over what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crawlkit.libs.rows import Books, TaskRow
from crawlkit.libs.task import Status

ACCEPTED = "accepted"
#: How a run ends; each run that was accepted ends in exactly one of them, or still waits or is leased.
ENDINGS = ("done", "failed", "cancelled", "dropped", "cleared")
REMOVED = "removed"  # runs whose row was removed after they had ended
NUMBERED = "numbered"  # runs that never were: numbers by which new tasks begin behind those of retired ones
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    event: str
    reason: str
    count: int


@dataclass
class Report:
    """The books of one project."""

    project: str
    entries: list[Entry]  # in the order to be shown
    accepted: int
    ended: int
    waiting: int
    leased: int
    tasks: int
    results: int | None = None  # rows in the resultdb; None: not looked at
    problems: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        return not self.problems


def compare(project: str, ledger: Mapping[tuple[str, str, str], int], books: Books) -> Report:
    """The ledger's entries of ``project`` against its rows; every rule that is broken is a line in ``problems``."""
    entries = [Entry(event, reason, count) for (name, event, reason), count in ledger.items() if name == project]
    totals: dict[str, int] = {}
    for entry in entries:
        totals[entry.event] = totals.get(entry.event, 0) + entry.count
    accepted = totals.get(ACCEPTED, 0)
    ended = sum(totals.get(event, 0) for event in ENDINGS)
    report = Report(
        project=project,
        entries=sorted(entries, key=_order),
        accepted=accepted,
        ended=ended,
        waiting=books.active - books.leased,
        leased=books.leased,
        tasks=books.tasks,
    )
    say = report.problems.append
    if accepted != ended + books.active:
        say(
            f"accepted {accepted} runs, but {ended} ended and {books.active} wait or are leased: "
            f"{_off(accepted - ended - books.active)}"
        )
    removed = totals.get(REMOVED, 0)
    numbered = totals.get(NUMBERED, 0)
    if books.runs + removed - numbered != accepted:
        say(
            f"the rows count {books.runs - numbered} runs and {removed} were removed, but {accepted} were accepted: "
            f"{_off(accepted - books.runs - removed + numbered)}"
        )
    by_status = sum(books.by_status.values())
    if by_status != books.tasks:
        say(f"{books.tasks} rows, but {by_status} by their status")
    if books.by_status.get(int(Status.ACTIVE), 0) != books.active:
        say(f"{books.active} active rows, but {books.by_status.get(int(Status.ACTIVE), 0)} by their status")
    if books.leased > books.active:
        say(f"{books.leased} leases for {books.active} active rows")
    retired = sum(entry.count for entry in entries if entry.event == "retired")
    gone = sum(entry.count for entry in entries if (entry.event, entry.reason) == (REMOVED, "retired"))
    if retired > gone:
        say(f"{retired} tasks were retired, but only {gone} runs of retired ones were removed")
    for entry in entries:
        if entry.count < 0:
            say(f"{entry.event} {entry.reason or '-'} is negative: {entry.count}")
    return report


class ResultCheck:
    """Counts, page by page, where the resultdb does not hold what the task rows say."""

    def __init__(self) -> None:
        self.rows = 0
        self.expected = 0
        self.found = 0
        self.wrong = 0
        self.examples: list[str] = []

    def add(self, rows: Iterable[TaskRow], counts: Mapping[str, tuple[int, int]]) -> None:
        """A page of task rows, and taskid -> (run, how many results) of these."""
        for row in rows:
            run, count = counts.get(row.taskid, (0, 0))
            self.rows += 1
            self.found += count
            self.expected += row.results
            if count == row.results or (row.status is Status.ACTIVE and run >= row.run):
                continue  # stored, and its outcome is still on its way to the scheduler
            self.wrong += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(f"{row.url} ({row.taskid}): {count} results, its row says {row.results}")

    def conclude(self, report: Report, total: int, *, discarded: bool) -> None:
        """Writes what was found into ``report``. ``total``: results of the project in the resultdb."""
        report.results = total
        if self.wrong and not discarded:
            report.problems.append(f"{self.wrong} tasks do not have the results their rows say")
            report.problems.extend(f"  {example}" for example in self.examples)


def _order(entry: Entry) -> tuple[int, str, str]:
    order = (ACCEPTED, *ENDINGS)
    return (order.index(entry.event) if entry.event in order else len(order), entry.event, entry.reason)


def _off(difference: int) -> str:
    return f"{difference} lost" if difference > 0 else f"{-difference} too many"
