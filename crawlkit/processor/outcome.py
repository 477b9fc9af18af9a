"""Builds outcomes: what the scheduler and the result worker learn of an attempt.

Pure: Fetched and findings in, Outcome out.
"""

from __future__ import annotations

from typing import Any

from crawlkit.libs import charset
from crawlkit.libs.errors import ScriptError
from crawlkit.libs.messages import (
    INFO,
    NIL,
    RESUME,
    TASK,
    Fetched,
    Outcome,
    ProjectInfo,
    TrackFetch,
    TrackProcess,
    pack,
)
from crawlkit.libs.response import Response

MAX_CONTENT = 500  # characters of the body kept after a failure [P07]
MAX_EXCEPTION = 2_000
MAX_HEADERS = 100
MAX_XHR = 50  # captured answers that are remembered, without their bodies
MAX_CONSOLE = 20  # lines
_VALIDATORS = ("etag", "last-modified")


def track_fetch(fetched: Fetched, response: Response, ok: bool) -> TrackFetch:
    """What is remembered of the fetch: all of the headers and the beginning of the body only after a failure [P07]."""
    track = TrackFetch(
        ok=response.ok,
        time=fetched.time,
        status_code=fetched.status_code,
        error=fetched.error,
        error_kind=fetched.error_kind,
        redirect_url=fetched.url if fetched.url != fetched.orig_url else None,
        encoding=response.__dict__.get("_encoding"),
        size=fetched.size or len(fetched.content),
    )
    if fetched.rendered is not None:
        track.rendered = track_rendered(fetched.rendered)
    if ok:
        validators = {n.lower(): v for n, v in fetched.headers if n.lower() in _VALIDATORS}
        if validators:
            track.headers = validators
    else:
        track.headers = {name: value[:1000] for name, value in fetched.headers[:MAX_HEADERS]}
        if response.content:
            head = response.content[: 4 * MAX_CONTENT]
            track.encoding = track.encoding or charset.detect(head, response.content_type)
            track.content = charset.decode(head, track.encoding)[:MAX_CONTENT].encode("utf-8", "replace").decode()
    return track


def track_rendered(rendered: dict[str, Any]) -> dict[str, Any]:
    """What is remembered of what a browser brought along: no bodies, and the first lines."""
    track: dict[str, Any] = {name: rendered[name] for name in ("screenshot", "pdf", "counts") if name in rendered}
    if rendered.get("xhr"):
        track["xhr"] = [
            {
                **{name: str(each.get(name) or "")[:500] for name in ("url", "method", "content_type")},
                "status": each.get("status"),
                "size": len(str(each.get("body") or "")),
                "truncated": bool(each.get("truncated")),
            }
            for each in rendered["xhr"][:MAX_XHR]
        ]
        track["xhr_count"] = len(rendered["xhr"])
    if rendered.get("console"):
        track["console"] = [line[:300] for line in rendered["console"][:MAX_CONSOLE]]
    return track


def validators(fetched: Fetched) -> tuple[str | None, str | None]:
    """(etag, last_modified) of a good response, for the next conditional GET [H49]."""
    etag = last_modified = None
    for name, value in fetched.headers:
        if len(name) == 4 and name.lower() == "etag":
            etag = value
        elif len(name) == 13 and name.lower() == "last-modified":
            last_modified = value
    return etag, last_modified


def ended(fetched: Fetched, *, node: str) -> Outcome:
    """The only part of an attempt of which there is nothing to tell; the cookies of its session are kept."""
    task = fetched.task
    outcome = Outcome(
        project=task.project,
        taskid=task.taskid,
        run=task.run,
        attempt=task.attempt,
        kind=kind_of(task.kind),
        part=0,
        last=True,
        results=[],
        first_result=0,
        url=task.url,
        node=node,
        ok=True,
        follows=[],
        messages=[],
        partition=task.partition,
    )
    keep_jar(outcome, fetched)
    return outcome


def kind_of(kind: int) -> int:
    """A task that went on from its record ends like any other."""
    return TASK if kind == RESUME else kind


def keep_jar(outcome: Outcome, fetched: Fetched) -> None:
    """The cookies of a named session, as the fetch left them, go back to the scheduler."""
    if fetched.jar is not None and fetched.task.fetch.session is not None:
        outcome.session, outcome.jar = fetched.task.fetch.session, fetched.jar


def failure(
    fetched: Fetched,
    *,
    node: str,
    reason: str,
    exception: str,
    logs: str | None = None,
    seconds: float = 0.0,
    part: int = 0,
) -> Outcome:
    """The last part of an attempt whose callback did not run to its end: ``worker_died``, ``time_limit``, ...

    ``part`` is the number of parts that went out before.
    """
    task = fetched.task
    outcome = ended(fetched, node=node)
    outcome.ok = False
    outcome.part = part
    outcome.fetch = track_fetch(fetched, Response.of(fetched), False)
    outcome.process = TrackProcess(
        ok=False, time=seconds, logs=logs, exception=exception[:MAX_EXCEPTION], reason=reason
    )
    outcome.info = pack(ProjectInfo(error=exception[:MAX_EXCEPTION])) if task.kind == INFO else NIL
    return outcome


def answer(fetched: Fetched, record: str | None, *, node: str, now: float) -> Outcome:
    """What came of a request of ``self.fetch``. ``record``: the blob of it; without one nothing came."""
    response = Response.of(fetched)
    outcome = ended(fetched, node=node)
    outcome.ok = response.ok and record is not None
    outcome.answer = record
    outcome.fetch = track_fetch(fetched, response, outcome.ok)
    outcome.process = TrackProcess(ok=outcome.ok, reason=None if record is not None else "record_lost")
    outcome.lastcrawltime = now
    return outcome


def script_failure(fetched: Fetched, error: ScriptError, *, node: str) -> Outcome:
    """The outcome of any task of a project whose script does not load [T54]."""
    where = f"line {error.lineno}: " if error.lineno else ""
    return failure(
        fetched, node=node, reason="script_error", exception=f"{where}{error}", logs=error.traceback[-10_000:] or None
    )
