"""How a callback ended: the word that a failure is counted under, and ends that a script asked for itself.

Pure: exceptions in, words out.
"""

from __future__ import annotations

from typing import Any

from crawlkit.libs.errors import FETCH_ERROR_KINDS, EndOfCallback, InvalidTask
from crawlkit.libs.jsonable import NotJSON
from crawlkit.libs.response import HTTPError, Response
from crawlkit.processor.records import RecordLost


class Diverged(RuntimeError):
    """A callback that was run again asked for something else than the first time."""


def end_in(group: BaseExceptionGroup[Any]) -> EndOfCallback | None:
    """What ended the callback inside an ``asyncio.TaskGroup``."""
    for error in group.exceptions:
        found = end_in(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, EndOfCallback):
            return found
    return None


def reason_of(error: BaseException, response: Response) -> str:
    """The word a failure is counted under."""
    if isinstance(error, MemoryError):
        return "memory_limit"
    if isinstance(error, HTTPError) and error.response is response:
        return "fetch_error" if error.kind in FETCH_ERROR_KINDS or response.status_code == 599 else "http_status"
    if isinstance(error, Diverged | RecordLost):
        return "diverged" if isinstance(error, Diverged) else "record_lost"
    if isinstance(error, NotJSON):
        return "result" if error.path.startswith("result") else error.path.partition(".")[0].partition("[")[0]
    if isinstance(error, InvalidTask):
        return "follow"
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return "exit"
    return "exception"
