"""Which crawlkits work together: those whose messages have the same version. Pure.

The scheduler writes its own into the taskdb; who comes with another one is refused in one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from crawlkit import __version__
from crawlkit.libs.errors import UsageError
from crawlkit.libs.messages import VERSION
from crawlkit.libs.rows import NodeRow

PROTOCOL = ("", "protocol")  # in the state of the taskdb: JSON {"version": of messages, "crawlkit": of the package}
SECRET = ("", "secret")  # fingerprint of the secret key of the scheduler's host
PARTITIONS = ("", "partitions")  # into how many the taskdb is divided; without a word it is one
DIVIDING = ("", "dividing")  # into how many, while its rows are changed
DRAINED = ("", "drained")  # "1": nothing is to be done in any project that runs
RECENT = 60.0  # seconds for which a node that was heard may still be there


def partitions_in(said: str | None) -> int:
    """What a taskdb says in its entry PARTITIONS."""
    return max(1, int(said)) if said else 1


def check_component(said: str | None, name: str) -> None:
    """Raises :class:`UsageError` when the scheduler's messages, as the state says, are not this crawlkit's."""
    version, package = _read(said)
    if version != VERSION:
        raise UsageError(
            f"{name}: this is crawlkit {__version__} with message version {VERSION}, the scheduler is crawlkit"
            f" {package} with message version {version}: run the same crawlkit on both, see docs/upgrades.md"
        )


def check_secret(said: str | None, mine: str | None, name: str) -> None:
    """Raises :class:`UsageError` when the secret key is not that of the scheduler, by their fingerprints."""
    if said is not None and mine is not None and said != mine:
        raise UsageError(
            f"{name}: the secret key here is not that of the scheduler: give every host the same CRAWLKIT_SECRET_KEY,"
            " or copy the file secret.key of the scheduler's data path"
        )


def check_scheduler(said: str | None, rows: Iterable[NodeRow], now: float) -> None:
    """Raises :class:`UsageError` when nodes that this scheduler could not speak with are still there."""
    version, package = _read(said)
    if version == VERSION:
        return
    there = [
        row.node
        for row in rows
        if row.alive and abs(now - row.seen) < RECENT and json.loads(row.stats or "{}").get("protocol", 1) != VERSION
    ]
    if there:
        raise UsageError(
            f"scheduler: this is crawlkit {__version__} with message version {VERSION}, and {len(there)} nodes of"
            f" crawlkit {package} with message version {version} still run ({', '.join(sorted(there)[:3])}): stop them"
            " first, see docs/upgrades.md"
        )


def _read(said: str | None) -> tuple[int, str]:
    """(version of messages, version of the package); without a word, this one's."""
    if said is None:
        return VERSION, __version__
    found = json.loads(said)
    return int(found["version"]), str(found["crawlkit"])
