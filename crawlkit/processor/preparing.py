"""Runs a handler's ``before_request`` for a task that is about to be fetched.

Runs user code: only inside a handler worker. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawlkit.libs import browse_args, crawl_args
from crawlkit.libs.crawler import TaskDict
from crawlkit.libs.errors import DropTask, InvalidTask, RetryTask
from crawlkit.libs.messages import Fetched, Outcome, TrackProcess, pack
from crawlkit.libs.task import Fetch
from crawlkit.processor import outcome as outcomes
from crawlkit.processor.capture import Capture, capturing, described, formatted


def prepare(
    fetched: Fetched, shown: TaskDict, before_request: Callable[[TaskDict], Any], capture: Capture, node: str
) -> Outcome:
    """What came of it: the request as ``shown`` says it afterwards, or a failure, or a task dropped."""
    with capturing(capture):
        try:
            before_request(shown)
            prepared = _request_in(shown)
        except DropTask as end:
            outcome = outcomes.ended(fetched, node=node)
            outcome.drop = end.reason
            return outcome
        except RetryTask as end:
            return _failed(fetched, node, "retry", end.reason, capture)
        except BaseException as error:  # user code may raise anything; it fails the task, not the worker
            capture.write(formatted(error))
            reason = "before_request" if isinstance(error, InvalidTask) else "exception"
            return _failed(fetched, node, reason, described(error), capture)
    outcome = outcomes.ended(fetched, node=node)
    outcome.prepared = pack(prepared)
    outcome.process = TrackProcess(ok=True, logs=capture.text() or None)
    return outcome


def _request_in(shown: TaskDict) -> Fetch:
    said = shown.get("fetch")
    if not isinstance(said, dict):
        raise InvalidTask("fetch", f"is the dict that before_request may change, not {type(said).__name__}")
    unknown = sorted(set(said) - crawl_args.FETCH_FIELDS - browse_args.NAMES - {"files"})
    if unknown:
        raise InvalidTask(f"fetch.{unknown[0]}", "is no part of a request")
    return crawl_args.parts_of(said)[1] or Fetch()


def _failed(fetched: Fetched, node: str, reason: str, exception: str, capture: Capture) -> Outcome:
    outcome = outcomes.failure(fetched, node=node, reason=reason, exception=exception, logs=capture.text() or None)
    outcome.fetch = None  # nothing was fetched yet
    return outcome
