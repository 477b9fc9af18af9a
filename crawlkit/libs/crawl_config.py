"""What a handler's ``crawl_config`` means for a task: defaults for what the task itself does not say [H61].

Pure. The scheduler joins it into what it hands out, and the debugger into what it runs.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from crawlkit.libs.browse import Browse
from crawlkit.libs.task import NO_FETCH, NO_PROCESS, Fetch, JSONDict, Process, convert

T = TypeVar("T", bound=Struct)
_WHOLE = frozenset({"screenshot", "pdf", "geolocation"})  # said as one, and {} says no


def config_parts(config: JSONDict) -> tuple[Fetch | None, Process | None]:
    """The parts of a ``crawl_config`` that hold for every task; raises :class:`InvalidTask`, path and all."""
    fetch = {name: value for name, value in config.items() if name in Fetch.__struct_fields__}
    if isinstance(fetch.get("data"), str):
        fetch["data"] = fetch["data"].encode()
    process = {name: value for name, value in config.items() if name in Process.__struct_fields__}
    return (
        convert(fetch, Fetch, "crawl_config") if fetch else None,
        convert(process, Process, "crawl_config") if process else None,
    )


def join(own: T, config: T | None) -> T:
    """``own`` with what it does not say taken from ``config``; dicts are merged, the own key wins."""
    if config is None:
        return own
    if own is NO_FETCH or own is NO_PROCESS:
        return config
    changes: dict[str, Any] = {}
    for name in config.__struct_fields__:
        theirs = getattr(config, name)
        if theirs is None:
            continue
        mine = getattr(own, name)
        if mine is None:
            changes[name] = theirs
        elif isinstance(mine, Browse):
            changes[name] = join(mine, theirs)
        elif isinstance(mine, dict) and isinstance(theirs, dict) and name not in _WHOLE:
            changes[name] = {**theirs, **mine}
    return msgspec.structs.replace(own, **changes) if changes else own
