"""How long after its death a component did its work again, by what can be seen from outside. Pure.

What counts is the first work that cannot have been done before the death: what the dead one had sent and what was
already on its way does not count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from crawlkit.proving.kills import Blow
from crawlkit.proving.ledger import Request


class Seen(NamedTuple):
    """Something that a look into a database found and the look before had not. Times are monotonic."""

    after: float  # when the look before began: it became visible after that
    at: float  # when it was found
    path: str = ""  # of the page, where it is a result


Trace = TypeVar("Trace", Request, Seen)


class Traces(NamedTuple):
    """What was seen of a crawl, in order of time."""

    requests: Sequence[Request]
    results: Sequence[Seen]
    commits: Sequence[Seen]  # changes of the ledger: only a scheduler makes them


def recoveries(blows: Sequence[Blow], traces: Traces) -> list[float | None]:
    """Seconds for each; ``None``: there was nothing left to do for it.

    Scheduler: until it has committed something. Fetcher: until a request comes over a connection that was made when
    another fetcher was there. Result worker: until a result is stored. Processor and handler worker: until a result is
    stored of a page that was first asked for after the death.
    """
    first: dict[str, float] = {}
    for request in traces.requests:
        first.setdefault(request.path, request.at)
    return [_recovery(blow, traces, first) for blow in blows]


def _recovery(blow: Blow, traces: Traces, first: Mapping[str, float]) -> float | None:
    if blow.part == "fetcher":
        back = blow.returned
        later = () if back is None else _behind(traces.requests, back)
        found = next((one.at for one in later if back is not None and one.opened >= back), None)
    elif blow.part == "scheduler":
        found = next((one.at for one in _behind(traces.commits, blow.at) if one.after >= blow.at), None)
    elif blow.part == "result_worker":
        found = next((one.at for one in _behind(traces.results, blow.at) if one.after >= blow.at), None)
    else:
        later_results = _behind(traces.results, blow.at)
        found = next((one.at for one in later_results if first.get(one.path, 0.0) >= blow.at), None)
    return None if found is None else found - blow.at


def _behind(traces: Sequence[Trace], moment: float) -> Iterator[Trace]:
    return islice(traces, bisect_left(traces, moment, key=lambda one: one.at), None)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values do not exceed; 0 without any."""
    if not values:
        return 0.0
    place = max(0, -int(-share * len(values) // 1) - 1)  # rounded up
    return sorted(values)[place]
