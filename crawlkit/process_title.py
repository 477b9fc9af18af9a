"""What `ps` shows of this process. For processes that were forked: they have the command line of who forked them."""

from __future__ import annotations

import ctypes
import os
import sys


def set_title(title: str) -> None:
    """Linux: writes over the command line that the process was started with, as setproctitle(3) does; else nothing.

    What the title needs beyond that is taken from the environment behind it, so nothing may hold on to that any more:
    see :func:`renew_environment`. A longer title is cut.
    """
    place = _place()
    if place is None:
        return
    start, end, most = place
    said = title.encode(errors="replace")[: most - start - 1]
    if start + len(said) == end - 1:
        said += b" "  # the byte before `end` has to be of the title: else nothing would part it from what follows
    if start + len(said) >= end:
        ctypes.memmove(start, said + b"\0", len(said) + 1)
    else:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, said, len(said))
        ctypes.memset(end - 1, 1, 1)  # not zero: the kernel then shows what stands there, up to the first zero


def renew_environment(values: dict[str, str]) -> None:
    """Makes ``values`` the whole environment; of the place where it came with the process nothing is used any more."""
    os.environ.clear()
    os.environ.update(values)


def _place() -> tuple[int, int, int] | None:
    """The address of the command line, its end, and the end of what may be written over."""
    if sys.platform != "linux":
        return None
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(") ")[2].split()
        start, end, env_start, env_end = map(int, fields[45:49])  # fields 48 to 51 of proc(5)
    except (OSError, ValueError):
        return None
    if not 0 < start < end:
        return None
    return start, end, env_end if env_start == end and env_end > end else end
