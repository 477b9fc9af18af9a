"""What the ledger says of each project: read at the start, added up with each turn; where others count, read anew."""

from __future__ import annotations

from collections.abc import Mapping

from crawlkit.libs.protocol import DRAINED
from crawlkit.scheduler import auto, kinds, projects
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Turn

AGAIN = 1.0  # seconds after which the ledger is read again, where others count
PER_ENTRY = 1e-4  # ... and so much more for each entry that it has
GONE = ("removed", "cleared")
PASSING = ("await", "tick")  # rows of which no link is known

Ledger = Mapping[tuple[str, str, str], int]


def load(state: State, ledger: Ledger) -> None:
    """All projects as the ledger has them. Nothing of the turn may be entered yet."""
    for project in state.projects.values():
        project.totals, project.fetched_by, project.refused = {}, {}, {}
        project.active_tasks = project.accepted = project.gone = 0
    for (name, event, reason), n in ledger.items():
        project_of = state.projects.get(name)
        if project_of is not None:
            enter(project_of, event, reason, n)


def load_one(project: ProjectState, ledger: Ledger) -> None:
    """The same for a project that has nothing entered."""
    for (_, event, reason), n in ledger.items():
        enter(project, event, reason, n)


def enter(project: ProjectState, event: str, reason: str, n: int) -> None:
    """One entry of the ledger, as the project starts with it."""
    add(project, event, reason, n)
    if event == "accepted":
        project.active_tasks += n
        if reason not in kinds.QUIET_SOURCES:
            project.accepted += n
    elif event in projects.ENDS:
        project.active_tasks -= n


def add(project: ProjectState, event: str, reason: str, n: int) -> None:
    """One entry that a turn made, when it is committed."""
    project.totals[event] = project.totals.get(event, 0) + n
    if event == auto.EVENT:
        project.fetched_by[reason] = project.fetched_by.get(reason, 0) + n
    elif event == "refused":
        project.refused[reason] = project.refused.get(reason, 0) + n
    elif event in GONE and reason not in PASSING:
        project.gone += n


def refresh(state: State, turn: Turn) -> None:
    """Now and then, where there are others: what they counted. To be called before anything is entered in the turn."""
    if not state.shared or turn.mono < state.totals_at:
        return
    before = {name: (one.gone, one.active_tasks, one.accepted) for name, one in state.projects.items()}
    ledger = state.taskdb.ledger()
    state.totals_at = turn.mono + AGAIN + PER_ENTRY * len(ledger)
    load(state, ledger)
    if not state.first:
        state.said_drained = state.taskdb.state_of(*DRAINED) == "1"
    for name, (gone, *tasks) in before.items():
        project = state.projects[name]
        projects.read_pages(state, turn, project)
        if project.gone != gone:
            state.known.drop(name)  # some of those may be no more
        if [project.active_tasks, project.accepted] != tasks:  # one that came and went counts, too
            state.stir(name)


def whole(state: State, turn: Turn, name: str) -> tuple[int, int]:
    """(tasks that have not ended, tasks that were accepted), of all schedulers together and of one instant.

    What is on its way between schedulers counts among the first.
    """
    ledger, waiting = state.taskdb.whole(name)
    active = waiting + sum(letter.project == name for letter in turn.writes.mail)
    accepted = 0
    for entries in (ledger, turn.writes.ledger):
        for (project, event, reason), n in entries.items():
            if project != name:
                continue
            if event == "accepted":
                active += n
                accepted += 0 if reason in kinds.QUIET_SOURCES else n
            elif event in projects.ENDS:
                active -= n
    return active, accepted
