"""What happens when a task comes back: done, tried again, failed for good, or lost on the way.

An outcome of an older run or of an ended attempt changes nothing and is counted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawlkit.libs.auto import AUTO
from crawlkit.libs.bounds import bounds_of
from crawlkit.libs.crawl_config import config_parts
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import INFO, NIL, PREPARE, TASK, FetchEnded, Heartbeat, Outcome, ProjectInfo
from crawlkit.libs.rows import AttemptRow, Key
from crawlkit.libs.task import Fetch, Status
from crawlkit.scheduler import admission, auto, auto_order, awaits, nodes, politeness, projects, retry
from crawlkit.scheduler.intake import follow_ups, message_task, resume_postponed
from crawlkit.scheduler.kinds import TICK_URL, is_await
from crawlkit.scheduler.sending import dispatch_of
from crawlkit.scheduler.state import Out, ProjectState, State
from crawlkit.scheduler.turn import Change, Failure, Submission, Turn

_json = msgspec.json.Encoder()
PARTS = "parts:"
BODY_LOST = "body_lost"  # how a processor calls it
DROPPED = "dropped: "  # how the reason of an attempt begins that ended by self.drop()
SANE = 10_000_000  # results of one part; a number over it was made up
MAX_SESSIONS = 10_000
SPEAK_UP = 4.0  # seconds after a start until whoever holds a task has said so: two heartbeats
LOOK_AGAIN = 1.0  # seconds
MAX_DROP_REASONS = 100  # different ones of a project, in one life of the scheduler


def take_status(state: State, turn: Turn) -> None:
    """Applies everything that came by the status queue, in order."""
    for message in turn.inbox.status:
        if isinstance(message, Outcome):
            if message.kind == INFO:
                take_info(state, turn, message)
            elif message.kind == PREPARE:
                take_prepared(state, turn, message)
            else:
                take_outcome(state, turn, message)
        elif isinstance(message, Heartbeat):
            nodes.take(state, turn, message)
        elif isinstance(message, FetchEnded):
            out = state.leases.get((message.project, message.taskid))
            if out is not None and (out.attempt != message.attempt or out.row.run != message.run):
                out = None
            if out is not None:
                out.until = turn.mono + state.settings.lease
            politeness.fetch_ended(state, turn, message, out)


def take_outcome(state: State, turn: Turn, outcome: Outcome) -> None:
    """One part of the answer to one lease."""
    key = (outcome.project, outcome.taskid)
    out = state.leases.get(key)
    if out is None or out.row.run != outcome.run or out.attempt != outcome.attempt:
        turn.writes.count(outcome.project, "ignored", "stale_outcome")
        return
    if _was_ended(outcome):
        lose(state, turn, key, out, BODY_LOST)
        return
    out.until = turn.mono + state.settings.lease
    politeness.leave(state, turn, out)
    if outcome.part in out.parts:
        turn.writes.count(outcome.project, "ignored", "repeated_part")
        return
    follow_ups(state, turn, outcome, out.row)
    for number, message in enumerate(outcome.messages):
        turn.submissions.append(Submission(message_task(outcome, number, message), "message"))
    if 0 < outcome.discarded <= SANE:
        turn.writes.count(outcome.project, "discarded", "result", outcome.discarded)
    if 0 < outcome.known <= SANE:
        turn.writes.count(outcome.project, "ignored", "known_key", outcome.known)
    if 0 < outcome.behind <= SANE:
        turn.writes.count(outcome.project, "ignored", "behind_known_key", outcome.behind)
    if outcome.last:
        out.last = outcome
    out.parts.add(outcome.part)
    # several result workers may bring the parts in any order: the last one ends the task when all have come
    if out.last is not None and len(out.parts) > out.last.part:
        _end_round(state, turn, key, out, out.last)
    else:
        _keep_parts(turn, key, out)


def _was_ended(outcome: Outcome) -> bool:
    """Whether a processor met a page whose large body is gone: it goes when a task's round ends.

    So the queue delivered the page once more after that, and the true outcome is on its way, or lost: no try failed.
    """
    return outcome.last and not outcome.ok and outcome.process is not None and outcome.process.reason == BODY_LOST


def _keep_parts(turn: Turn, key: Key, out: Out) -> None:
    """Which parts were committed, for a scheduler that starts before the last one has come.

    A last part that waits for others is not kept: after a restart the attempt ends with its lease, and is made again.
    """
    parts = out.parts - ({out.last.part} if out.last is not None else set())
    whole = next(n for n in range(len(parts) + 1) if n not in parts)
    entry = [out.row.run, out.attempt, whole, sorted(n for n in parts if n > whole)]
    turn.writes.state[key[0], PARTS + key[1]] = _json.encode(entry).decode()
    out.parts_kept = True


def load_parts(state: State, project: str, entry: str, text: str) -> None:
    """Reads what :func:`_keep_parts` wrote, after a start."""
    out = state.leases.get((project, entry.removeprefix(PARTS)))
    run, attempt, whole, others = msgspec.json.decode(text)
    if out is not None and (out.row.run, out.attempt) == (run, attempt):
        out.parts = {*range(whole), *others}
        out.parts_kept = True


def _end_round(state: State, turn: Turn, key: Key, out: Out, outcome: Outcome) -> None:
    """Everything that this attempt had to say is in."""
    out.last, out.parts = None, set()
    if out.parts_kept:
        out.parts_kept = False
        turn.writes.state[key[0], PARTS + key[1]] = None
    _keep_jar(state, turn, outcome)
    if outcome.auto is not None and outcome.auto.asks:
        auto.asked(state, turn, key, out, outcome.auto)
        return
    if outcome.awaits:
        awaits.park(state, turn, key, out, outcome)
        return
    if outcome.auto is not None:
        auto.ended(state, turn, key, out, outcome.auto)
    _end_lease(state, turn, key)
    awaits.forget(state, turn, key)
    row = out.row
    project = state.projects.get(outcome.project)
    row.attempt = out.attempt
    row.updatetime = turn.now
    if outcome.save != NIL:
        row.save = _json.encode(msgspec.msgpack.decode(outcome.save)).decode()
    reason = "" if outcome.ok else _reason(outcome)
    if outcome.drop is not None:
        _drop(turn, project, out, outcome.drop)
    elif outcome.ok:
        _succeed(state, turn, out, outcome)
    else:
        _fail(state, turn, out, reason)
    if outcome.auto is not None and (outcome.ok or row.status is not Status.ACTIVE):
        auto.count(turn, key[0], outcome.auto)
    if is_await(row):
        _end_await(state, turn, key, out, outcome.answer or "")
    elif outcome.send_status:
        if not outcome.ok and outcome.process is not None and turn.outbox.failures:
            turn.outbox.failures[-1].text = (outcome.process.exception or "").strip()
        _remember(turn, out, outcome, reason if outcome.drop is None else DROPPED + outcome.drop[:100])
        if project is not None:
            _count(state, turn, project, outcome)
            project.tally.add(row.host, reason, row.status is Status.FAILED, outcome.fetch, outcome.process)
    resume_postponed(state, turn, key)


def _keep_jar(state: State, turn: Turn, outcome: Outcome) -> None:
    """The cookies of a named session, as they are after this fetch."""
    if outcome.session is None or outcome.jar is None:
        return
    key = (outcome.project, outcome.session)
    if key not in state.jars and len(state.jars) >= MAX_SESSIONS:
        turn.writes.count(outcome.project, "refused", "session_limit")
        return
    if state.jars.get(key) != outcome.jar:
        state.jars[key] = outcome.jar
        turn.writes.state[outcome.project, "session:" + outcome.session] = _json.encode(outcome.jar).decode()


def _end_await(state: State, turn: Turn, key: Key, out: Out, answer: str) -> None:
    """A request of self.fetch is over: its row goes, and who waits for it goes on."""
    row = out.row
    if row.status is Status.ACTIVE:
        if answer:
            turn.outbox.blobs.append(answer)  # it is tried again
        return
    turn.writes.count(row.project, "removed", "await", row.run)
    turn.remove(row)
    state.known.forget(row.project, row.taskid)
    awaits.answered(state, turn, key, answer)


def _drop(turn: Turn, project: ProjectState | None, out: Out, reason: str) -> None:
    """self.drop(reason): nobody failed, and there is nothing to keep."""
    row = out.row
    row.status, row.queue, row.lastcrawltime = Status.BAD, None, turn.now
    reasons = project.drop_reasons if project is not None else set()
    if len(reasons) < MAX_DROP_REASONS:
        reasons.add(reason[:100] or "by_script")
    # a reason that names the page, say, would be a row of the ledger for each
    turn.writes.count(row.project, "dropped", reason[:100] or "by_script" if reason[:100] in reasons else "other")
    if project is not None:
        project.active_tasks -= 1
    if row.url == TICK_URL:
        _end_tick(turn, out)
    turn.change(row, Change.PROGRESS)


def take_prepared(state: State, turn: Turn, outcome: Outcome) -> None:
    """before_request has run: the task goes to the fetcher as it says now."""
    key = (outcome.project, outcome.taskid)
    out = state.leases.get(key)
    if out is None or out.row.run != outcome.run or out.attempt != outcome.attempt or not out.preparing:
        turn.writes.count(outcome.project, "ignored", "stale_outcome")
        return
    project = state.projects.get(outcome.project)
    if not outcome.ok or outcome.prepared == NIL or project is None:
        take_outcome(state, turn, msgspec.structs.replace(outcome, kind=TASK))
        return
    out.preparing, out.until = False, turn.mono + state.settings.lease
    dispatch = dispatch_of(state, project, out.row, out.attempt, out.script)
    dispatch.fetch = msgspec.msgpack.decode(outcome.prepared, type=Fetch)
    if dispatch.fetch.fetch_type == AUTO:
        auto_order.order(state, turn, out, dispatch)
    turn.outbox.dispatches.append(dispatch)


def _reason(outcome: Outcome) -> str:
    if outcome.fetch is not None and outcome.fetch.error_kind:
        return outcome.fetch.error_kind
    if outcome.fetch is not None and not outcome.fetch.ok and outcome.fetch.status_code:
        return f"http_{outcome.fetch.status_code}"
    if outcome.process is not None and outcome.process.reason:
        return outcome.process.reason
    return "unknown"


def _end_lease(state: State, turn: Turn, key: Key) -> None:
    out = state.leases.pop(key)
    politeness.leave(state, turn, out)
    awaits.set_parked(state, key, out, False)
    if out.auto is not None:
        auto.left(state, turn, key, out)
    turn.writes.unlease.append(key)
    project = state.projects.get(key[0])
    if project is not None:
        project.leased -= 1


def _succeed(state: State, turn: Turn, out: Out, outcome: Outcome) -> None:
    row = out.row
    project = state.projects.get(row.project)
    row.status, row.queue, row.lastcrawltime = Status.SUCCESS, None, turn.now
    row.retried = row.lost = 0
    if not outcome.not_modified:
        row.results = outcome.result_count
        row.etag, row.last_modified = outcome.etag, outcome.last_modified
    turn.writes.count(row.project, "done", "not_modified" if outcome.not_modified else "")
    if project is not None:
        project.active_tasks -= 1
    if row.url == TICK_URL:
        _end_tick(turn, out)
        turn.writes.count(row.project, "removed", "tick", row.run)
        turn.remove(row)
        state.known.forget(row.project, row.taskid)
        return
    schedule = row.schedule
    if schedule.auto_recrawl and schedule.age >= 0 and project is not None:
        _crawl_again(state, turn, project, out, turn.now + schedule.age)
        return
    turn.change(row, Change.PROGRESS)


def _end_tick(turn: Turn, out: Out) -> None:
    turn.ended_ticks.append((out.row.project, out.row.process.callback or "", out.row.taskid))


def _crawl_again(state: State, turn: Turn, project: ProjectState, out: Out, due: float) -> None:
    """auto_recrawl: the next run waits for its time [S49]."""
    row = out.row
    row.status, row.run, row.attempt = Status.ACTIVE, row.run + 1, 0
    row.seq = state.next_seq()
    row.queue, row.rank = admission.place(row.schedule, turn.now, due)
    turn.writes.count(row.project, "accepted", "auto_recrawl")
    project.active_tasks += 1
    project.accepted += 1
    turn.change(row, Change.PROGRESS)
    state.enqueue(row)


def _fail(state: State, turn: Turn, out: Out, reason: str) -> None:
    row = out.row
    project = state.projects.get(row.project)
    delays = project.delays if project is not None else {}
    delay = retry.next_try(
        retried=row.retried, schedule=row.schedule, delays=delays, defaults=state.settings.retry_delays, reason=reason
    )
    if delay is None:
        _fail_for_good(state, turn, out, reason)
        return
    row.retried += 1
    row.seq = state.next_seq()
    row.queue, row.rank = admission.place(row.schedule, turn.now, turn.now + delay)
    turn.writes.count(row.project, "retried", reason)
    turn.change(row, Change.PROGRESS)
    state.enqueue(row)
    tries = "" if retry.recrawls(row.schedule) else f"{row.retried} of {row.schedule.retries}"
    turn.outbox.failures.append(Failure(row.project, row.url, reason, delay, "", row.taskid, tries))


def _fail_for_good(state: State, turn: Turn, out: Out, reason: str) -> None:
    row = out.row
    project = state.projects.get(row.project)
    row.status, row.queue, row.lastcrawltime, row.updatetime = Status.FAILED, None, turn.now, turn.now
    turn.writes.count(row.project, "failed", reason)
    turn.outbox.failures.append(Failure(row.project, row.url, reason, None, "", row.taskid))
    if row.url == TICK_URL:
        _end_tick(turn, out)
    if project is not None:
        project.active_tasks -= 1
    turn.change(row, Change.PROGRESS)


def _remember(turn: Turn, out: Out, outcome: Outcome, reason: str) -> None:
    turn.writes.attempts.append(
        AttemptRow(
            project=outcome.project,
            taskid=outcome.taskid,
            run=outcome.run,
            attempt=out.attempt,
            started=out.since,
            ended=turn.now,
            ok=outcome.ok,
            node=outcome.node,
            script=out.script,
            reason=reason,
            fetch="{}" if outcome.fetch is None else _json.encode(outcome.fetch).decode(),
            process="{}" if outcome.process is None else _json.encode(outcome.process).decode(),
        )
    )


def _count(state: State, turn: Turn, project: ProjectState, outcome: Outcome) -> None:
    name = project.row.name
    if outcome.ok:
        turn.event(name, "success")
    else:
        row = turn.rows.get((outcome.project, outcome.taskid))
        final = row is not None and row.status is Status.FAILED
        turn.event(name, "failed" if final else "retry")
    was = project.pause.state(turn.now)
    if outcome.ok or not politeness.asked_for_rest(state, outcome):
        project.pause.record(outcome.ok, turn.now)
    if project.pause.state(turn.now) != was:
        if state.has(name):
            turn.writes.state[name, "pause"] = project.pause.to_json()
        turn.outbox.pauses.append((name, project.pause.state(turn.now)))
    if outcome.fetch is not None and outcome.process is not None:
        turn.observe(name, "fetch_time", outcome.fetch.time)
        turn.observe(name, "process_time", outcome.process.time)
    project.recent.append((turn.now, recent_entry(outcome)))


def recent_entry(outcome: Outcome) -> dict[str, Any]:
    """What the list of recent tasks shows [S71]."""
    fetch, process = outcome.fetch, outcome.process
    return {
        "type": "status",
        "taskid": outcome.taskid,
        "project": outcome.project,
        "url": outcome.url,
        "ok": outcome.ok,
        "fetch": {"ok": fetch.ok, "time": fetch.time, "status_code": fetch.status_code} if fetch else None,
        "process": {"ok": process.ok, "time": process.time, "follows": process.follows} if process else None,
    }


def take_info(state: State, turn: Turn, outcome: Outcome) -> None:
    """The handler's answer to "what are your crons, delays and defaults?" [S06]."""
    project = state.projects.get(outcome.project)
    if project is None or project.info_asked is None or outcome.run != project.info_run:
        return
    try:
        info = msgspec.msgpack.decode(outcome.info, type=ProjectInfo) if outcome.info != NIL else ProjectInfo()
        project.config_fetch, project.config_process = config_parts(info.crawl_config)
        bounds = bounds_of(info.crawl_config)
        limits = politeness.limits_of(info)
    except (InvalidTask, msgspec.MsgspecError) as error:
        info = ProjectInfo(error=f"crawl_config: {error}")
        project.config_fetch = project.config_process = None
        bounds, limits = project.bounds, None
    if info.error is None and outcome.ok:
        projects.take_bounds(state, turn, project, bounds)
        projects.take_delays(turn, project, info.retry_delay)
        state.gate.limit(outcome.project, limits, turn.mono)
    if not outcome.ok and info.error is None:
        info.error = (outcome.process.exception if outcome.process else None) or "the script did not answer"
    project.info, project.info_asked = info, None
    project.info_script = project.row.runs
    turn.answered.append(outcome.project)


def end_overdue(state: State, turn: Turn) -> None:
    """Takes back leases that nobody renewed, and those of nodes that fell silent."""
    settings = state.settings
    for key, out in nodes.silent(state, turn):
        lose(state, turn, key, out, "node_gone")
    for key, out in list(state.leases.items()):
        if out.parked or out.until > turn.mono:
            continue  # a parked one waits for its own requests; a late word of its holder set a time to it
        if out.early and turn.mono - out.sent < settings.lease:
            if turn.inbox.queues_waiting or nodes.is_deaf(state, turn):
                out.until = turn.mono + LOOK_AGAIN  # it may be what waits, or somebody may have said that he holds it
            else:
                lose(state, turn, key, out, "unsent")
            continue
        # what a dead node took without having said so looks as if it waited somewhere
        orphan = not out.node and out.sent < state.died
        queued = turn.inbox.queues_waiting if orphan else turn.inbox.queues_busy
        if queued and turn.mono - out.sent < settings.lease_max:
            out.until = turn.mono + 5.0  # it may stand in one of the queues, which lose nothing
        else:
            lose(state, turn, key, out, "lease_expired")


def lose(state: State, turn: Turn, key: Key, out: Out, reason: str, blame: bool = True) -> None:
    """A lease ended without an answer. That is no try of the task's own, but it cannot go on for ever.

    ``blame``: whether it counts towards ``max_lost``; it does not when the whole system went down. A task with a
    record goes on from it instead of being fetched again.
    """
    row = out.row
    politeness.leave(state, turn, out)
    if awaits.recorded(state, key, out) and row.lost < state.settings.max_lost:
        turn.writes.count(row.project, "lost", reason)
        row.lost += int(blame)
        turn.change(row, Change.PROGRESS)
        awaits.resume(state, turn, key, out)
        return
    _end_lease(state, turn, key)
    awaits.forget(state, turn, key)
    row.attempt, row.lost, row.updatetime = out.attempt, row.lost + int(blame), turn.now
    turn.writes.count(row.project, "lost", reason)
    if row.lost > state.settings.max_lost:
        _fail_for_good(state, turn, out, "lost")
        if is_await(row):
            _end_await(state, turn, key, out, "")
    else:
        project = state.projects.get(row.project)
        if project is not None and row.seq <= project.clearing:
            row.seq = state.next_seq()  # it was on its way, so the clearing is not for it
        turn.change(row, Change.PROGRESS)
        state.enqueue(row)
    resume_postponed(state, turn, key)
