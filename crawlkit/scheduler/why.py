"""Why a URL was crawled or not, and when it is next: asked of the rules that decide it, and changes nothing.

No rule stands here: what a submission meets is admission's and the bounds' to say, what may be sent is sending's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from msgspec import Struct

from crawlkit.libs.rows import AttemptRow, Queue, TaskRow
from crawlkit.libs.task import NO_SCHEDULE, Status, Task
from crawlkit.libs.task_lines import exception_line
from crawlkit.libs.url import is_url
from crawlkit.libs.url_masking import masked_text
from crawlkit.scheduler import admission, intake, sending
from crawlkit.scheduler.admission import Verdict
from crawlkit.scheduler.kinds import is_await, is_internal
from crawlkit.scheduler.outcomes import DROPPED
from crawlkit.scheduler.state import Out, ProjectState, State

#: Code of an answer -> what it means.
CODES = {
    "no_project": "there is no project of that name",
    "not_url": "what was asked is no URL, and no task has such an id",
    "never_submitted": "nobody has submitted it, and no page led to it",
    "unknown": "there is no such task: it was crawled too long ago, or refused, or nothing led to it",
    "refused": "the project's bounds do not take it on",
    "known": "it was crawled, and nothing makes it run again yet",
    "due_again": "it was crawled, and is crawled again as soon as something leads to it",
    "failed": "it failed for good",
    "robots": "robots.txt forbids it",
    "dropped": "the script dropped it",
    "cancelled": "it was cancelled or cleared",
    "leased": "it is being worked on",
    "parked": "its callback waits for requests of its own",
    "retrying": "a try failed; it is tried again later",
    "scheduled": "it waits for its time",
    "stopped": "its project does not run",
    "held": "somebody paused its project",
    "paused": "its project only failed and is paused for a while",
    "checking": "its project only failed; a few tasks show whether it goes on",
    "page_budget": "its project has fetched as many pages as it may",
    "clearing": "its project is being cleared",
    "broken": "its project's script does not load",
    "loading": "its project's handler has not answered yet",
    "project_full": "its project has as much under way as it may",
    "ring_full": "as many tasks of all projects are under way as may be",
    "elsewhere": "another of several schedulers has its host, and only that one knows more",
    "host": "its host may not be asked now",
    "rate": "its project's rate has no page to spare",
    "no_scheduler": "it would be sent, but no scheduler runs",
    "queued": "it waits in the queue for its turn",
}

MAX_ANSWERS = 50  # projects that are told of

_ID = re.compile(r"[0-9a-f]{32}\Z")  # what a URL's taskid looks like

#: What is more to say of a task than that it waits for its time.
LASTING = frozenset({"stopped", "held", "paused", "page_budget", "broken"})


class Answer(Struct, omit_defaults=True):
    """What can be said of a URL in one project. Times are Unix time."""

    project: str
    code: str  # of CODES
    text: str  # for people
    url: str = ""
    taskid: str = ""  # "": there is no task
    crawled: float | None = None  # when it was crawled last; None: never
    next: float | None = None  # not before; None: nobody can say, or never
    place: int | None = None  # in the queue of its project, from 1, about
    node: str = ""  # who has it


class Question(Struct):
    """What is asked of one project."""

    project: str
    url: str
    taskids: list[str]  # those that the URL may have
    row: TaskRow | None = None  # what the store has
    attempts: list[AttemptRow] = []  # its last


class Moment(Struct):
    """When it is asked, and of whom."""

    now: float
    mono: float
    running: bool = True  # a scheduler is


def chosen(state: State, asked: Sequence[Question]) -> list[Question]:
    """Of all that are asked those that have something to say, or all when none has; so many at most."""

    def knows(one: Question) -> bool:
        keys = [(one.project, taskid) for taskid in one.taskids]
        return one.row is not None or any(key in state.refusals or state.find({}, key) for key in keys)

    known = [one for one in asked if knows(one)]
    return (known or list(asked))[:MAX_ANSWERS]


def answer(state: State, asked: Question, moment: Moment) -> Answer:
    """The reason, the first that holds of those in its way; without the passwords that texts and URLs may hold."""
    said = _answer(state, asked, moment)
    said.text, said.url = masked_text(said.text), masked_text(said.url)
    return said


def _answer(state: State, asked: Question, moment: Moment) -> Answer:
    project = state.projects.get(asked.project)
    if project is None:
        return Answer(asked.project, "no_project", f"there is no project {asked.project!r}", asked.url)
    row = next((found for one in asked.taskids if (found := state.find({}, (asked.project, one)))), asked.row)
    if row is None:
        return _unknown(state, project, asked, moment)
    said = Answer(asked.project, "", "", row.url, row.taskid, row.lastcrawltime or None)
    out = state.leases.get((row.project, row.taskid))
    if out is not None:
        _leased(said, out, moment)
    elif row.queue is not None and not state.has(row.project, row.host):
        said.code = "elsewhere"
        said.text = (
            f"it waits or is being crawled: another scheduler has partition {state.partition(row.project, row.host)},"
            " to which its host belongs, and only that one knows more"
        )
    elif row.queue is None:
        _ended(state, project, row, asked.attempts, said, moment)
    else:
        _waiting(state, project, row, asked.attempts, said, moment)
    if (row.project, row.taskid) in state.postponed:
        said.text += "; what was submitted meanwhile is looked at when it comes back"
    return said


def _unknown(state: State, project: ProjectState, asked: Question, moment: Moment) -> Answer:
    said = Answer(asked.project, "never_submitted", "", asked.url)
    if not is_url(asked.url) and not _ID.match(asked.url):
        said.code = "not_url"
        said.text = f"{asked.url[:200]!r} is no URL, which begins like https://example.org, and no task has such an id"
        return said
    task = Task(asked.project, asked.taskids[-1], asked.url)
    fence = project.fence
    reason = _refusal(state, project, task, admission.decide(task, None, False, moment.now))
    before = next((one for one in asked.taskids if (asked.project, one) in state.refusals), None)
    past = ""
    if before is not None:
        said.taskid = before
        old, when, words = state.refusals[asked.project, before]
        past = f"refused {span(moment.now - when)} ago ({old}): "
        # how deep it was nobody knows any more, only whether the bound is the same
        if fence is not None and (reason == old or (old == "max_depth" and fence.explain(old) == words)):
            said.code, said.text = "refused", past + fence.explain(old)
            return said
        past = f"; it was {past}{words}"
    if reason and fence is not None:
        said.code = "refused"
        said.text = f"there is no such task; it would be refused ({reason}): {fence.explain(reason)}{past}"
        return said
    if past:
        said.code = "unknown"
        said.text = f"there is no such task, and nothing has led to it since; it would be taken on now{past}"
    elif project.keep is not None or project.run_base:
        said.code = "unknown"
        keep = "for a time" if project.keep is None else span(project.keep)
        said.text = f"nothing is known of it: no page led to it, or it was crawled; finished tasks are kept {keep} here"
    else:
        said.text = "never submitted: no page of this project led to it, and nobody submitted it"
    if not project.active:
        said.text += f"; the project is {project.row.status}"
    return said


def _refusal(state: State, project: ProjectState, task: Task, rule: admission.Decision) -> str:
    intake.look_up_counts(state, [task])
    return intake.beyond(state, project, task, rule)


def _leased(said: Answer, out: Out, moment: Moment) -> None:
    since = span(moment.now - out.since)
    said.node = out.node
    if out.parked:
        said.code, said.text = "parked", f"its callback has waited for requests of its own for {since}"
        return
    said.code = "leased"
    where = f"by {out.node}" if out.node else "on its way: no fetcher or processor has said yet that it holds it"
    said.text = f"being crawled since {since} ago, {where} (try {out.row.retried + 1} of run {out.row.run})"


def _ended(
    state: State, project: ProjectState, row: TaskRow, attempts: Sequence[AttemptRow], said: Answer, moment: Moment
) -> None:
    when = f"{span(moment.now - row.lastcrawltime)} ago" if row.lastcrawltime else ""
    last = next((one for one in attempts if one.run == row.run), None)
    rule = admission.decide(
        Task(row.project, row.taskid, row.url, schedule=row.schedule), row, False, moment.now, project.forgotten
    )
    reason = last.reason if last is not None else ""
    if row.status is Status.FAILED:
        said.code = "robots" if reason == "robots" else "failed"
        words = exception_line(last) if last is not None else ""
        said.text = f"failed for good {when}: {reason or 'nobody remembers why'}" + (f" ({words})" if words else "")
    elif row.status is Status.BAD and reason.startswith(DROPPED):
        said.code, said.text = "dropped", f"the script dropped it {when}: {reason.removeprefix(DROPPED)}"
    elif row.status is Status.BAD:
        said.code, said.text = "cancelled", f"cancelled or cleared {span(moment.now - row.updatetime)} ago"
    else:
        said.code, said.text = "known", f"crawled {when}, {row.results} results"
    _when_again(state, project, row, rule, said, moment)


def _when_again(
    state: State, project: ProjectState, row: TaskRow, rule: admission.Decision, said: Answer, moment: Moment
) -> None:
    """What would have to come for an ended task to run again."""
    schedule = row.schedule or NO_SCHEDULE
    if rule.verdict is Verdict.RESTART:
        task = Task(row.project, row.taskid, row.url, schedule=schedule)
        refusal = _refusal(state, project, task, rule)
        if refusal and project.fence is not None:
            said.text += f"; it is not crawled again ({refusal}): {project.fence.explain(refusal)}"
            return
        why = {"age": f"its age of {span(schedule.age)} is over", "force_update": "it is submitted with force_update"}
        said.code = "due_again" if said.code == "known" else said.code
        said.text += f"; {why.get(rule.reason, 'its project was begun anew')}: crawled again when something leads to it"
    elif schedule.age > 0:
        said.next = row.lastcrawltime + schedule.age
        said.text += f"; known: its age of {span(schedule.age)} has {span(said.next - moment.now)} left, and then"
        said.text += " something must lead to it"
    else:
        said.text += "; known: it has no age, so only force_update or another itag makes it run again"


def _waiting(
    state: State, project: ProjectState, row: TaskRow, attempts: Sequence[AttemptRow], said: Answer, moment: Moment
) -> None:
    own = ""
    if row.queue is Queue.TIME and row.rank > moment.now:
        said.next = row.rank
        wait = f"in {span(row.rank - moment.now)}"
        last = next((one for one in attempts if one.run == row.run and not one.ok), None)
        reason = last.reason if last is not None else ""
        if row.retried and last is not None and reason == "robots":
            said.code = "robots"
            own = f"{exception_line(last) or 'disallowed by robots.txt'}; robots.txt is asked again {wait}"
        elif row.retried:
            said.code, own = "retrying", f"failed {row.retried} times ({reason or 'unknown'}); the next try is {wait}"
        elif row.run > 1 and row.schedule.auto_recrawl:
            said.code, own = "scheduled", f"crawled again {wait} (auto_recrawl)"
        else:
            said.code, own = "scheduled", f"not to be crawled before its exetime, {wait}"
    block = _block(state, project, row, moment)
    if block is not None and (not own or block[0] in LASTING):
        said.code, text, seconds = block
        said.next = None if seconds is None else max(said.next or 0.0, moment.now + seconds)
        said.text = f"{text}; besides, {own}" if own else text
        return
    if own:
        said.text = own
        return
    said.code = "queued"
    said.place, more = _place(project, row)
    said.text = f"waits in the queue of its project, at place {'about ' if more else ''}{said.place:,}"


def _block(
    state: State, project: ProjectState, row: TaskRow, moment: Moment
) -> tuple[str, str, float | None] | None:  # fmt: skip
    """(code, text, seconds until that is over) of the first thing in the way of sending ``row``; ``None``: nothing."""
    now, mono, internal = moment.now, moment.mono, is_internal(row.url)
    found = _of_project(state, project, moment)
    # a request that a callback waits for belongs to a page that was sent before
    begun = is_await(row) and found is not None and found[0] in ("page_budget", "clearing")
    if found is not None and not begun and not (internal and found[0] == "page_budget"):
        return found
    if internal:
        return None
    pause = project.pause.state(now)
    if pause != "running" and project.pause.allowance(now, project.leased) < 1:
        wake = project.pause.wake_at(now)
        words = {
            "held": "its project is paused by hand",
            "paused": f"its project is paused after {project.pause.fail_pause_num} failures in a row",
            "checking": "its project was paused after failures, and a few tasks are out to show whether it goes on",
        }
        until = "" if wake is None else f", for {span(wake - now)} more"
        return pause, words[pause] + until, None if wake is None else wake - now
    if sending.full(state, project):
        return "project_full", f"its project has {project.leased:,} tasks under way, as many as it may", 0.0
    if len(state.leases) - state.parked_out >= state.settings.max_leased:
        return "ring_full", f"{state.settings.max_leased:,} tasks of all projects are under way, as many as may be", 0.0
    host = state.gate.explain(row.host, mono) if row.host else None
    if host is not None:
        ends = None if math.isinf(host.seconds) else host.seconds
        return "host", f"its host {row.host} may not be asked now: {host.text}", ends
    if not sending.unmetered(project, row) and (wait := project.bucket.wait(mono)) > 0:
        rate = project.row.rate
        if math.isinf(wait):
            return "rate", f"the rate of its project is {rate:g}: nothing is sent", None
        return "rate", f"the rate of its project ({rate:g} pages/s) lets the next page go in {span(wait)}", wait
    if not moment.running:
        return "no_scheduler", "it waits, and no scheduler runs", None
    return None


def _of_project(state: State, project: ProjectState, moment: Moment) -> tuple[str, str, float | None] | None:
    """What keeps all of a project back."""
    row, info = project.row, project.info
    if not project.active:
        return "stopped", f"its project is {row.status}, and only RUNNING and DEBUG send", None
    if project.clearing:
        return "clearing", "its project is being cleared; this task stays and goes on afterwards", 0.0
    if project.spent:
        return "page_budget", f"its project has fetched {project.pages:,} pages, all that its max_pages allows", None
    most = state.settings.max_pages
    if most is not None and state.sent >= most:
        return "page_budget", f"{state.sent:,} pages were sent, all that the limit of this run allows", None
    if moment.running and info is not None and info.error is not None:
        return "broken", f"its project's script does not load: {info.error.strip().splitlines()[-1][:200]}", None
    if moment.running and (info is None or project.info_script != row.runs):
        return "loading", "its project's handler was asked for its settings and has not answered", 0.0
    return None


def _place(project: ProjectState, row: TaskRow) -> tuple[int, bool]:
    """(place from 1, whether that is no more than a guess): by priority and time of coming, hosts aside."""
    before = sum(1 for one in project.ready.rows() if (one.rank, one.seq) < (row.rank, row.seq))
    return before + 1, project.ready.get(row.taskid) is None or before > 0


def span(seconds: float) -> str:
    """A length of time for people: 3 h 20 min."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
    for size, unit, below, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            part = rest // below
            return f"{whole} {unit}" + (f" {part} {name}" if part else "")
    return f"{seconds:.0f} s"
