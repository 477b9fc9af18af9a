"""What a project refuses to crawl: its bounds, as its handler or its row of the projectdb says them. Pure: only words.

Whether a task is refused is decided in scheduler.bounds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from crawlkit.libs.errors import InvalidProject, InvalidTask
from crawlkit.libs.task import JSONDict, convert

CONFIG = "bounds"  # the key of crawl_config
MAX_PATTERNS, MAX_PATTERN = 100, 1_000  # of a list; characters of one
MOST = 2**53
UNLIMITED = "unlimited"
KEEP = "keep_tasks"  # seconds that finished tasks are kept; only a limit of the project's row
WEIGHT = "weight"  # of its turns among other projects; only a limit of the row, too
MOST_WEIGHT = 100


class Bounds(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which tasks a project does not take on. ``None`` and ``[]``: no bound. Patterns: ``*`` is any text."""

    max_depth: int | None = None  # links from what on_start crawls, which has depth 0
    max_url_length: int | None = None  # characters
    max_repeats: int | None = None  # times that one segment may stand in the path
    max_tasks: int | None = None  # new tasks taken on while it is bounded
    max_tasks_per_host: int | None = None
    include: list[str] = []  # a URL must match one of them
    exclude: list[str] = []  # ... and none of these


NO_BOUNDS = Bounds()
_NUMBERS = ("max_depth", "max_url_length", "max_repeats", "max_tasks", "max_tasks_per_host")
_PATTERNS = ("include", "exclude")
LIMITS = (*_NUMBERS, *_PATTERNS, KEEP, WEIGHT)  # what `crawlkit project set --limit` may say
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)\Z")
_TIME = "use a time with its unit, like 90d (days), 12h or 3600s (seconds), or unlimited"


def bounds_of(config: Mapping[str, Any]) -> Bounds:
    """The bounds of a ``crawl_config``; raises :class:`InvalidTask` that names the path and says how to mend it."""
    value = config.get(CONFIG)
    if value is None:
        return NO_BOUNDS
    path = f"crawl_config.{CONFIG}"
    if not isinstance(value, Mapping):
        raise InvalidTask(path, f"use a dict, like {{'max_depth': 5}}, not {type(value).__name__}")
    for name in value:
        if name not in Bounds.__struct_fields__:
            raise InvalidTask(f"{path}.{name}", f"is no bound; there are: {', '.join(Bounds.__struct_fields__)}")
    said = {name: list(one) if isinstance(one, tuple) else one for name, one in value.items() if one is not None}
    bounds = convert(said, Bounds, path)
    for name in said:
        problem = _problem(name, getattr(bounds, name))
        if problem:
            raise InvalidTask(f"{path}.{name}", problem)
    return bounds


def _problem(name: str, value: Any) -> str:
    if name in _PATTERNS:
        if len(value) > MAX_PATTERNS:
            return f"has {len(value)} patterns: use {MAX_PATTERNS} at most"
        if any(not one or len(one) > MAX_PATTERN for one in value):
            return f"use patterns of 1 to {MAX_PATTERN} characters, like '*/calendar/*'"
        return ""
    least = 0 if name in ("max_depth", "max_tasks") else 1
    return "" if least <= value < MOST else f"use a whole number, {least} or more, or None for no bound"


def limits_of(text: str | None) -> JSONDict:
    """What the project's row says, by name; it wins over the handler. ``unlimited``: no bound, whatever that says."""
    return {} if not text else dict(msgspec.json.decode(text, type=dict[str, Any]))


def text_of(limits: Mapping[str, Any]) -> str | None:
    """How limits are kept in the project's row; ``None``: there are none."""
    return msgspec.json.encode(dict(sorted(limits.items()))).decode() if limits else None


def check_limits(text: str | None) -> None:
    """Raises :class:`InvalidProject` for limits that nobody could read."""
    try:
        limits = limits_of(text)
    except msgspec.MsgspecError:
        raise InvalidProject('limits: use a JSON object, like {"max_depth": 5}') from None
    for name, value in limits.items():
        _check(name, value)


def _check(name: str, value: Any) -> None:
    if name not in LIMITS:
        raise InvalidProject(f"limit {name!r}: there are {', '.join(LIMITS)}")
    if value == UNLIMITED and name != WEIGHT:
        return
    if name == KEEP:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
            raise InvalidProject(f"limit {name}: {_TIME}")
        return
    if name == WEIGHT:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_WEIGHT:
            raise InvalidProject(f"limit {name}: use a whole number from 1 to {MOST_WEIGHT}; without it it is 1")
        return
    try:
        bounds_of({CONFIG: {name: value}})
    except InvalidTask as error:
        raise InvalidProject(f"limit {name}: {error.problem.replace('None for no bound', UNLIMITED)}") from None


def with_limit(limits: Mapping[str, Any], said: str) -> JSONDict:
    """``limits`` with one more as the command line says it: ``max_depth=5``, ``exclude=*/print/* */calendar/*``.

    ``unlimited`` takes away what the handler says, ``default`` what was said here. Raises :class:`InvalidProject`.
    """
    name, equals, text = said.partition("=")
    name, text = name.strip(), text.strip()
    if not equals:
        raise InvalidProject(f"limit {said!r}: say NAME=VALUE, like max_depth=5")
    changed = dict(limits)
    if text == "default":
        if name not in LIMITS:
            _check(name, None)
        changed.pop(name, None)
        return changed
    value: Any = text
    if text != UNLIMITED and (name in _NUMBERS or name == WEIGHT):
        if not text.isdecimal():
            words = " from 1 to 100" if name == WEIGHT else ", unlimited"
            raise InvalidProject(f"limit {name}={text}: use a whole number{words} or default")
        value = int(text)
    elif text != UNLIMITED and name in _PATTERNS:
        value = text.split()
        if not value:
            raise InvalidProject(f"limit {name}: say a pattern, like {name}=*/calendar/*, or unlimited for none")
    elif text != UNLIMITED and name == KEEP:
        value = seconds_of(text)
    _check(name, value)
    changed[name] = value
    return changed


def seconds_of(text: str) -> float:
    """``90d``, ``12h``, ``30m``, ``3600s``; raises :class:`InvalidProject`, also for a number without a unit."""
    found = _SPAN.match(text.strip())
    if found is None:
        raise InvalidProject(f"limit {KEEP}: {text!r} is no time: {_TIME}")
    if not found[2]:
        number = found[1]
        raise InvalidProject(f"limit {KEEP}={number}: say which, {number}d ({number} days) or {number}s (seconds)")
    return float(found[1]) * _UNITS[found[2]]


def joined(bounds: Bounds, limits: Mapping[str, Any]) -> Bounds:
    """The handler's bounds with what the project's row says instead."""
    changes: dict[str, Any] = {}
    for name, value in limits.items():
        if name in Bounds.__struct_fields__:
            changes[name] = ([] if name in _PATTERNS else None) if value == UNLIMITED else value
    return msgspec.structs.replace(bounds, **changes) if changes else bounds


def kept_for(limits: Mapping[str, Any], default: float | None) -> float | None:
    """Seconds that the project's finished tasks are kept; ``None``: for ever."""
    value = limits.get(KEEP)
    if value is None:
        return default
    return None if value == UNLIMITED else float(value)


def weight_of(limits: Mapping[str, Any]) -> int:
    """How many turns the project has while one of weight 1 has one."""
    return int(limits.get(WEIGHT, 1))


def shown(limits: Mapping[str, Any]) -> str:
    """For people: ``max_depth 5, keep_tasks 90d``."""
    words = []
    for name, value in sorted(limits.items()):
        if name == KEEP and value != UNLIMITED:
            unit, seconds = next((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("s", 1)) if value % s == 0 or s == 1)
            value = f"{value / seconds:g}{unit}"
        words.append(f"{name} {' '.join(value) if isinstance(value, list) else value}")
    return ", ".join(words)
