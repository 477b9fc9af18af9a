"""Admits tasks: submissions, follow-ups, messages, ticks. The rule itself is admission.decide.

What is refused or ignored is counted with its reason; nothing else may drop a task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import AWAIT_CALLBACK, Follow, Message, Outcome
from crawlkit.libs.rows import Key, TaskRow
from crawlkit.libs.task import NO_SCHEDULE, Fetch, Process, Schedule, Status, Task, check_task, host_of, taskid_of
from crawlkit.scheduler import admission, awaits, headcount, mail
from crawlkit.scheduler.admission import Verdict as Rule
from crawlkit.scheduler.bounds import Fence, depth_below
from crawlkit.scheduler.kinds import QUIET_SOURCES, TICK_URL, is_await, is_internal
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Change, Submission, Turn, Verdict

_task_decoder = msgspec.msgpack.Decoder(Task)


def follow_ups(state: State, turn: Turn, outcome: Outcome, parent: TaskRow) -> None:
    """Turns the follow-ups of an outcome into submissions.

    What is known and plain ends here, without a query; so does what is plain and beyond the project's bounds. What is
    plain and not known here is not even decoded until the store was asked.
    """
    project = outcome.project
    known = state.projects.get(project)
    fence = known.fence if known is not None else None
    # else it takes the known row to decide
    ids_tell = known is not None and fence is None and not known.clearing and known.forgotten == admission.UNKNOWN
    if known is not None and known.cleared and state.shared:
        ids_tell = False  # others may be about to clear what still waits
    depth = depth_below(parent.schedule.depth, is_internal(parent.url))
    holds, young = state.known.holds, state.known.young(project)
    unsettled = [follow for follow in outcome.follows if not follow.plain or follow.taskid not in young]
    ignored = len(outcome.follows) - len(unsettled)
    for follow in unsettled:
        if follow.plain:
            if holds(project, follow.taskid):
                ignored += 1
                continue
            if ids_tell:
                turn.unsure.append((len(turn.submissions), project, follow))
                continue
        task = _decode(turn, project, follow)
        if task is None:
            continue
        if fence is not None:
            _set_depth(task, fence, depth)
            reason = fence.refuses(task.url, depth) if follow.plain and not is_internal(task.url) else ""
            if reason:
                _refuse(state, turn, task, reason)
                continue
        turn.submissions.append(Submission(task, "follow"))
    if ignored:
        turn.writes.count(project, "ignored", "known", ignored)


def _set_depth(task: Task, fence: Fence, depth: int) -> None:
    """Only while it is bounded: a row that says nothing is shorter."""
    given = task.schedule or NO_SCHEDULE
    if fence.bounds.max_depth is not None and given.depth != depth:
        task.schedule = msgspec.structs.replace(given, depth=depth)


def _refuse(state: State, turn: Turn, task: Task, reason: str) -> None:
    turn.writes.count(task.project, "refused", reason)
    fence = state.projects[task.project].fence
    words = fence.explain(reason) if fence is not None else reason
    state.note_refusal((task.project, task.taskid), reason, turn.now, words)


def _decode(turn: Turn, project: str, follow: Follow) -> Task | None:
    try:
        task = _task_decoder.decode(follow.task)
        task.project = project  # a script may only add to its own project; others are reached by send_message
        task.taskid = follow.taskid
        check_task(task)
    except (InvalidTask, msgspec.MsgspecError, ValueError) as error:
        reason = error.path if isinstance(error, InvalidTask) else "malformed"
        turn.writes.count(project, "refused", reason)
        return None
    return task


def message_task(outcome: Outcome, number: int, message: Message) -> Task:
    """A message as a task of the receiver; the same message of the same run is the same task [H18]."""
    sender = f"{outcome.project}\0{outcome.taskid}\0{outcome.run}\0{outcome.part}\0{number}"
    body = msgspec.msgpack.decode(message.body)
    return Task(
        project=message.project,
        taskid=hashlib.md5(sender.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest(),
        url="data:,on_message",
        schedule=Schedule(priority=9),
        fetch=Fetch(save=[outcome.project, body, message.url] if message.url else [outcome.project, body]),
        process=Process(callback="_on_message"),
    )


def admit(state: State, turn: Turn) -> None:
    """Decides all submissions of the turn. Those that come of it (a cancelled lease, ...) are in the next turn."""
    submissions, turn.submissions = turn.submissions, []
    new: set[Key] = set()
    if turn.unsure:
        submissions = _decide_plain(state, turn, submissions, new)
    if not submissions:
        return
    known = _look_up(state, turn, submissions, new)
    look_up_counts(state, (submission.task for submission in submissions))
    for submission in submissions:
        verdict = _admit_one(state, turn, submission, known, new)
        if submission.ticket is not None:
            turn.outbox.verdicts.append((submission.ticket, verdict))


def _decide_plain(state: State, turn: Turn, submissions: list[Submission], new: set[Key]) -> list[Submission]:
    """Ends those of the plain follow-ups that are known; the others take their place among ``submissions``.

    Notes in ``new`` which of them are neither in memory nor in the store.
    """
    unsure, turn.unsure = turn.unsure, []
    gone = set(turn.writes.remove)
    # cleared in this turn
    forgotten = {key for key, row in turn.rows.items() if row.seq <= admission.UNKNOWN and row.queue is None}
    asked: dict[str, dict[str, None]] = {}
    for _, project, follow in unsure:
        asked.setdefault(project, {})[follow.taskid] = None
    known: dict[str, set[str]] = {}
    for project, taskids in asked.items():
        # only a project that was cleared has rows that count as never seen
        cleared = "cleared" in state.projects[project].totals
        found = state.taskdb.known(project, list(taskids), admission.UNKNOWN if cleared else None)
        if gone or forgotten:
            found = {each for each in found if (project, each) not in gone and (project, each) not in forgotten}
        state.known.add_many(project, found)
        known[project] = found
        for taskid in taskids.keys() - found:
            key = (project, taskid)
            if key in forgotten:
                continue
            if state.find(turn.rows, key) is not None:
                found.add(taskid)
            elif not cleared:
                new.add(key)
    merged: list[Submission] = []
    start = 0
    ignored: dict[str, int] = {}
    for position, project, follow in unsure:
        if follow.taskid in known[project]:
            ignored[project] = ignored.get(project, 0) + 1
            continue
        task = _decode(turn, project, follow)
        if task is not None:
            merged += submissions[start:position]
            start = position
            merged.append(Submission(task, "follow"))
    for project, n in ignored.items():
        turn.writes.count(project, "ignored", "known", n)
    return merged + submissions[start:]


def _look_up(state: State, turn: Turn, submissions: list[Submission], new: set[Key]) -> dict[Key, TaskRow]:
    asked: dict[Key, None] = {}
    found: dict[Key, TaskRow] = {}
    for submission in submissions:
        key = (submission.task.project, submission.task.taskid)
        if key in new or key[0] not in state.projects:
            continue
        row = state.find(turn.rows, key)
        if row is not None:
            found[key] = row  # a window may drop it before its submission has its turn
        else:
            asked[key] = None
    if asked:
        found.update(state.taskdb.get_many(list(asked)))
    return found


def look_up_counts(state: State, tasks: Iterable[Task]) -> None:
    """Where a bound counts tasks: how many there are of the hosts at hand."""
    wanted: dict[str, list[str]] = {}
    for task in tasks:
        project = state.projects.get(task.project)
        if project is not None and project.fence is not None and project.fence.counts:
            wanted.setdefault(task.project, []).append(host_of(task.url))
    if state.shared:  # others count, too
        for name in wanted:
            state.headcount.drop(name)
    for name, hosts in state.headcount.missing(wanted).items() if wanted else ():
        state.headcount.learn(name, hosts, state.taskdb.counts(name, hosts))


def beyond(state: State, project: ProjectState, task: Task, rule: admission.Decision) -> str:
    """Why the project's bounds refuse what :func:`admission.decide` would take on; "": they do not.

    A known task is a new one no more: it is refused by its URL and depth only.
    """
    fence = project.fence
    if fence is None or rule.verdict not in (Rule.NEW, Rule.RESTART) or is_internal(task.url):
        return ""
    if task.process is not None and task.process.callback == AWAIT_CALLBACK:
        return ""  # a running callback waits for it: it is part of a page that was taken on
    reason = fence.refuses(task.url, (task.schedule or NO_SCHEDULE).depth)
    if reason or rule.verdict is not Rule.NEW or not fence.counts:
        return reason
    return fence.full(*state.headcount.of(task.project, host_of(task.url)))


def uncount(state: State, turn: Turn, row: TaskRow) -> None:
    """A task goes as if it had never been taken on: its place is free again."""
    if row.schedule.counted is not None:
        _add_to_counts(state, turn, row.project, row.schedule.counted, -1)


def _count(state: State, turn: Turn, row: TaskRow) -> None:
    """Counts a new task, and marks it: where it goes from here, :func:`uncount` takes off what was added."""
    fence = state.projects[row.project].fence
    if fence is not None and fence.counts and not is_internal(row.url) and not is_await(row):
        row.schedule = msgspec.structs.replace(row.schedule, counted=row.host)
        _add_to_counts(state, turn, row.project, row.host, 1)
        if state.shared and fence.bounds.max_tasks is not None:  # others count at the same moment
            turn.writes.most[row.project, headcount.ALL] = fence.bounds.max_tasks


def _add_to_counts(state: State, turn: Turn, project: str, host: str, n: int) -> None:
    for key in state.headcount.add(project, host, n):
        turn.writes.counts[key] = turn.writes.counts.get(key, 0) + n


def _admit_one(state: State, turn: Turn, submission: Submission, stored: dict[Key, TaskRow], new: set[Key]) -> Verdict:
    """``new``: which are neither in memory nor in the store, unless by this turn."""
    task = submission.task
    key = (task.project, task.taskid)
    project = state.projects.get(task.project)
    if project is None:
        turn.writes.count(task.project, "refused", "no_project")
        return Verdict(task.taskid, False, "refused", f"there is no project {task.project!r}")
    if key in turn.rows:
        known: TaskRow | None = turn.rows[key]
    elif key in new:
        known = None
    else:
        known = state.find(turn.rows, key) or stored.get(key)
        if known is not None and key in turn.writes.remove:
            known = None
    if state.shared and not state.has(task.project, host_of(task.url) if known is None else known.host):
        return _pass_on(state, turn, submission, known, project)
    leased = key in state.leases
    if known is not None and project.clearing and not leased:
        known = spare(state, turn, project, known)
    rule = admission.decide(task, known, leased=leased, now=turn.now, forgotten=project.forgotten)
    limit = state.settings.inqueue_limit
    if (
        limit
        and rule.verdict in (Rule.NEW, Rule.RESTART)
        and project.waiting >= limit
        and submission.source == "submit"
        and not submission.by_mail  # it was taken on where it came in
    ):
        return _no_room(turn, task, limit)
    reason = beyond(state, project, task, rule)
    if reason and project.fence is not None:
        _refuse(state, turn, task, reason)
        return Verdict(task.taskid, False, "refused", f"{project.fence.explain(reason)} ({reason})")
    _apply(state, turn, submission, known, rule.verdict, rule.reason)
    return Verdict(task.taskid, True, rule.verdict.name.lower(), rule.reason)


def _no_room(turn: Turn, task: Task, limit: int) -> Verdict:
    turn.writes.count(task.project, "refused", "inqueue_limit")
    return Verdict(task.taskid, False, "refused", f"{limit} tasks wait already (--inqueue-limit)")


def _pass_on(state: State, turn: Turn, submission: Submission, known: TaskRow | None, project: ProjectState) -> Verdict:
    """A task of a partition that is not here: its owner decides. What nothing would come of need not be sent there."""
    task = submission.task
    rule = admission.decide(task, known, leased=False, now=turn.now, forgotten=project.forgotten)
    stays = known is not None and (known.queue is None or known.seq > max(project.forgotten, project.cleared))
    if rule.verdict is Rule.IGNORE and stays:
        turn.writes.count(task.project, "ignored", "known")
        state.known.add(task.project, task.taskid)
        return Verdict(task.taskid, True, "ignore", rule.reason)
    fence, new = project.fence, rule.verdict in (Rule.NEW, Rule.RESTART)
    if new and submission.source == "submit" and 0 < state.settings.inqueue_limit <= project.waiting:
        return _no_room(turn, task, state.settings.inqueue_limit)
    if new and fence is not None and submission.source != "await" and not is_internal(task.url):
        reason = fence.refuses(task.url, (task.schedule or NO_SCHEDULE).depth)
        if reason:
            _refuse(state, turn, task, reason)
            return Verdict(task.taskid, False, "refused", f"{fence.explain(reason)} ({reason})")
    host = host_of(task.url) if known is None else known.host
    mail.send_task(state, turn, submission, state.partition(task.project, host))
    if rule.verdict is Rule.NEW and fence is None and submission.source == "follow":
        state.known.add(task.project, task.taskid)  # whatever comes of it, it will be
    return Verdict(task.taskid, True, rule.verdict.name.lower(), rule.reason)


def spare(state: State, turn: Turn, project: ProjectState, row: TaskRow) -> TaskRow:
    """A waiting task is submitted again while its project is cleared: it goes to the end of the line, and stays."""
    if row.queue is None or row.seq > project.clearing:
        return row
    state.dequeue(row)
    row.seq = state.next_seq()
    turn.change(row, Change.PROGRESS)
    state.enqueue(row)
    return row


def _apply(state: State, turn: Turn, submission: Submission, known: TaskRow | None, verdict: Rule, reason: str) -> None:
    task = submission.task
    if verdict is Rule.NEW or (known is not None and verdict is not Rule.NOTHING):
        state.known.add(task.project, task.taskid)
    if verdict is Rule.NEW:
        host = host_of(task.url)
        row = admission.new_row(
            task, now=turn.now, seq=state.next_seq(), host=host, partition=state.partition(task.project, host)
        )
        base = state.projects[task.project].run_base
        if base:
            row.run += base
            turn.writes.count(task.project, "numbered", "retired", base)
        _count(state, turn, row)
        if submission.asked:
            awaits.note_asker(state, turn, row, submission.asked)
        if state.shared and task.taskid != taskid_of(task.url):  # tasks of several hosts may be called so
            turn.first.add((task.project, task.taskid))
        _accept(state, turn, submission, row, Change.INSERT)
    elif verdict is Rule.RESTART and known is not None:
        row = admission.restart_row(known, task, now=turn.now, seq=state.next_seq())
        if reason != "age":  # somebody wants it crawled, not only looked whether it has changed
            row.etag = row.last_modified = None
        _accept(state, turn, submission, row)
    elif verdict is Rule.UPDATE and known is not None:
        state.dequeue(known)
        row = admission.update_row(known, task, now=turn.now, seq=state.next_seq())
        put(state, turn, row)
        turn.writes.count(task.project, "updated", submission.source)
    elif verdict is Rule.POSTPONE:
        postpone(state, turn, task)
    elif verdict is Rule.CANCEL and known is not None:
        cancel(state, turn, known)
    elif verdict is Rule.IGNORE:
        turn.writes.count(task.project, "ignored", "known")
    else:
        turn.writes.count(task.project, "ignored", reason or verdict.name.lower())
    if verdict is Rule.NEW or verdict is Rule.RESTART or verdict is Rule.UPDATE:
        turn.event(task.project, "pending")


def put(state: State, turn: Turn, row: TaskRow, how: Change = Change.REPLACE) -> None:
    """Writes a row that waits anew, and puts it into its queue: which may be another scheduler's now."""
    row.partition = state.partition(row.project, row.host)
    turn.change(row, how)
    if state.mine is None or row.partition in state.mine:
        state.enqueue(row)
    else:
        mail.send_moved(state, turn, row)


def _accept(state: State, turn: Turn, submission: Submission, row: TaskRow, how: Change = Change.REPLACE) -> None:
    project = state.projects[row.project]
    if state.refusals:
        state.refusals.pop((row.project, row.taskid), None)  # that is over
    turn.writes.count(row.project, "accepted", submission.source)
    project.active_tasks += 1
    if submission.source not in QUIET_SOURCES:
        project.accepted += 1
    put(state, turn, row, how)


def cancel(state: State, turn: Turn, row: TaskRow) -> None:
    """Ends a waiting task, or marks a finished one, as BAD."""
    if row.status is Status.ACTIVE:
        state.dequeue(row)
        turn.writes.count(row.project, "cancelled", "by_request")
        state.projects[row.project].active_tasks -= 1
        if row.url == TICK_URL:
            turn.ended_ticks.append((row.project, row.process.callback or "", row.taskid))
        if is_await(row):
            awaits.answered(state, turn, (row.project, row.taskid), "")
    turn.change(admission.cancel_row(row, now=turn.now), Change.PROGRESS)


def postpone(state: State, turn: Turn, task: Task) -> None:
    """Keeps a forced submission until the task comes back; it is on disk, since it was accepted [S32]."""
    if (task.project, task.taskid) in state.postponed:
        turn.writes.count(task.project, "updated", "postponed")
    state.postponed[(task.project, task.taskid)] = task
    turn.writes.state[(task.project, "postponed:" + task.taskid)] = msgspec.json.encode(task).decode()


def resume_postponed(state: State, turn: Turn, key: Key) -> None:
    """The task came back: what waited for it is decided in this turn."""
    task = state.postponed.pop(key, None)
    if task is not None:
        turn.writes.state[(key[0], "postponed:" + key[1])] = None
        turn.submissions.append(Submission(task))


def keep_own_postponed(state: State) -> None:
    """After a start: what waits for tasks of other partitions is their owners'."""
    if not state.shared:
        return
    keys = [key for key in state.postponed if key not in state.leases]
    rows = state.taskdb.get_many(keys) if keys else {}
    for key in keys:
        row = rows.get(key)
        if not state.has(key[0], host_of(state.postponed[key].url) if row is None else row.host):
            del state.postponed[key]
