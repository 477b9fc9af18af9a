"""What holds for every backend: the checks of a project row, versions, URL patterns.

Pure: no I/O, no clock (``now`` is an argument). A rule that two backends need stands here and nowhere else.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from crawlkit.database.base import KeptPage, ProjectRow, ResultSet, SettingRow, UserRow
from crawlkit.libs.bounds import check_limits
from crawlkit.libs.errors import InvalidAccount, InvalidProject
from crawlkit.libs.roles import ROLES
from crawlkit.libs.rows import Allowance, Owner, TaskRow, for_people
from crawlkit.libs.task import PROJECT_STATUSES, check_project_name
from crawlkit.libs.wildcard import Wildcard

BUSY_TIMEOUT = 10.0  # seconds to wait for another process's transaction
CHUNK = 256 * 1024  # bytes of a piece of a blob
MAX_GROUP = 64
TICK = 1e-6  # seconds; the smallest step of an updatetime
NO_REASON = "unknown"  # a failure whose attempt is no longer kept
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_VERSION = re.compile(r"[0-9a-f]{32}")
_SETTING = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Seconds that clocks of those who draw may differ; one that lies further back was set back.
SKEW = 60.0
_TOLERANCE = 1e-6  # tokens; sums of floats fall short of a whole number by less
NOBODY = Owner("", "nobody", 0.0)  # has what was lost and given back again
LAST_TEXT = "\U0010ffff" * 65  # behind every taskid


def version_of(script: str) -> str:
    """md5 of the script: the version that messages carry."""
    return hashlib.md5(script.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def later(now: float, newest: float) -> float:
    """``now``, or just behind ``newest`` when the clock stands or went back."""
    return now if now > newest else max(newest + TICK, math.nextafter(newest, math.inf))


def check_project(row: ProjectRow) -> None:
    """Raises :class:`InvalidProject` for what may not be stored [S02]."""
    check_project_name(row.name)
    if row.status not in PROJECT_STATUSES:
        raise InvalidProject(f"project {row.name}: status {row.status!r}: use one of {', '.join(PROJECT_STATUSES)}")
    if len(row.group) > MAX_GROUP or not all(letter.isprintable() for letter in row.group):
        raise InvalidProject(f"project {row.name}: group: use up to {MAX_GROUP} printable characters")
    if row.rate is not None and not 0 <= row.rate < math.inf:
        raise InvalidProject(f"project {row.name}: rate {row.rate}: use 0 or a positive number of tasks per second")
    if not 1 <= row.burst < math.inf:
        raise InvalidProject(f"project {row.name}: burst {row.burst}: use 1 or a larger number of tasks")
    if row.max_pages is not None and not 0 <= row.max_pages < 2**53:
        raise InvalidProject(f"project {row.name}: max_pages {row.max_pages}: use a number of pages, or none")
    check_limits(row.limits)
    if row.pin and not _VERSION.fullmatch(row.pin):
        raise InvalidProject(f"project {row.name}: pin {row.pin!r}: use the md5 of a saved version, or nothing")
    try:
        (row.script + row.comments).encode()
    except UnicodeEncodeError:
        raise InvalidProject(f"project {row.name}: the script holds a lone surrogate, which is not text") from None


def fits_kept(page: KeptPage) -> bool:
    """Whether a page can be kept: one with a name that is too long is left out."""
    return max(len(page.callback), len(page.taskid), len(page.project)) <= MAX_GROUP


def check_setting(project: str, setting: SettingRow) -> None:
    """Raises :class:`InvalidProject` for a setting's name that may not be stored."""
    if not _SETTING.fullmatch(setting.name):
        raise InvalidProject(
            f"project {project}: setting {setting.name!r}: use 1 to 64 letters, digits, dots, dashes and underscores"
        )


def check_user(row: UserRow) -> None:
    """Raises :class:`InvalidAccount` for a user that may not be stored."""
    if not _USER.fullmatch(row.name):
        raise InvalidAccount(
            f"user {row.name!r}: use 1 to 64 letters, digits, dots, dashes, underscores and @,"
            " with a letter or a digit first"
        )
    check_role(row.role)


def check_role(role: str) -> None:
    """Raises :class:`InvalidAccount` for a role that there is not."""
    if role not in ROLES:
        raise InvalidAccount(f"role {role!r}: use one of {', '.join(ROLES)}")


def url_matcher(pattern: str) -> Callable[[str], bool]:
    """A test for URLs: a part of it, or the whole of it with ``*`` for any characters. Case counts.

    No regular expression: with many stars one would try for ever, and whoever may search may write the pattern.
    """
    wildcard = Wildcard(pattern)
    return (lambda url: pattern in url) if wildcard.plain else wildcard.fits


def pieces(chunks: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """The same bytes in pieces of ``size``, the last one shorter; nothing for no bytes."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        if len(rest) >= size:
            whole = len(rest) - len(rest) % size
            for start in range(0, whole, size):
                yield bytes(rest[start : start + size])
            del rest[:whole]
    if rest:
        yield bytes(rest)


def whole_set(parts: Iterable[ResultSet]) -> list[ResultSet] | None:
    """The parts of one attempt in order, or ``None`` while one is missing: the last one, or one before it."""
    ordered = sorted(parts, key=lambda part: (part.first, part.last))
    due = 0
    for part in ordered:
        if part.first != due:
            return None
        due += len(part.results)
    return ordered if ordered and ordered[-1].last else None


def not_owner(where: str, taken: Collection[int], partition: int, owner: Owner | None) -> str:
    """What a store is told that lost one of the partitions it took; ``owner``: who has it, ``None``: nobody."""
    who = "nobody" if owner is None else f"the scheduler {for_people(owner.node)}"
    if set(taken) == {0}:
        return f"{where}: {who} has it now; this scheduler stops and leaves everything to it"
    return f"{where}: {who} has partition {partition} now; nothing of this was kept"


def overspent(place: tuple[str, str], limit: int) -> str:
    """What a commit is told that counts too far."""
    return f"project {place[0]}: count {place[1].strip()!r} would pass {limit}, for others counted, too"


def not_first(row: TaskRow) -> str:
    """What a commit is told of a new task that another partition has by now."""
    return f"project {row.project}: another scheduler took on task {row.taskid!r} with another host"


def draw(
    held: Allowance | None, now: float, want: int, rate: float, burst: float
) -> tuple[Allowance | None, int, float]:
    """What is left after up to ``want`` tokens were taken (``None``: as it was), how many, and seconds until the next.

    ``held``: ``None`` for a bucket that nobody has drawn from. A reading of the clock that lies behind the last one
    adds nothing and takes nothing back: of several clocks the one that is ahead counts.
    """
    if rate <= 0:
        return None, 0, math.inf
    tokens, at = (burst, now) if held is None else (held.tokens, held.at)
    if now > at:
        tokens, at = tokens + (now - at) * rate, now
    elif now < at - SKEW:
        at = now
    tokens = min(tokens, burst)
    granted = max(0, min(want, math.floor(tokens + _TOLERANCE)))
    tokens -= granted  # a hair under 0 at times: a debt, so that what was tolerated never adds up
    missing = 1 - tokens
    wait = 0.0 if missing <= _TOLERANCE else missing / rate + max(0.0, at - now)
    return Allowance(tokens, at), granted, wait
