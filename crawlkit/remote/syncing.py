"""What is to be done so that a folder and a server have the same scripts. Pure: versions in, a step out.

A version is the md5 of a script's text, as the server has it. Nothing here is ever lost: where both sides have
changed, both are kept.
"""

from __future__ import annotations

import difflib
import enum
import hashlib
import re

from msgspec import Struct

NAME = re.compile(r"[A-Za-z0-9_]{1,64}\Z")  # of a project that is a file
HANDLER = re.compile(r"^\s*class\s+\w+\s*\(.*BaseHandler", re.MULTILINE)
DIFF_LINES = 60  # of a conflict that are shown


class Known(Struct, omit_defaults=True):
    """What is remembered of a project from the last time. ``base``: the version that both sides had."""

    base: str | None = None
    conflict: str | None = None  # the server's version that lies beside the file, to be merged by hand
    gone: str | None = None  # the file was deleted when the server had this version
    updated: float = 0  # when the server changed the project, as far as it was looked at
    remote: str | None = None  # the server's version then


class Step(enum.Enum):
    """What to do with one project."""

    NOTHING = "nothing"
    SAME = "same"  # both have the same: remember it
    PULL = "pull"  # the server's goes into the file
    PUSH = "push"  # the file goes to the server, if that still has the base
    CREATE = "create"  # a new project of the file
    CONFLICT = "conflict"  # both have changed
    REMOVED = "removed"  # on the server, and the file is as it was: it goes aside
    REMOVED_CHANGED = "removed, changed"  # on the server, but the file was changed
    FILE_GONE = "file gone"  # the file was deleted: the project stays


def version_of(text: str) -> str:
    """The version that a server gives a script."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def decide(known: Known, local: str | None, remote: str | None, *, merged: bool = False) -> Step:
    """``local``, ``remote``: the versions there are, ``None``: there is none.

    ``merged``: of a conflict, the server's version has been taken away by the user, who is through with it.
    """
    if local == remote:
        return Step.NOTHING if local is None or local == known.base else Step.SAME
    base = known.conflict if merged else known.base
    if local is None:
        return _without_file(known, base, remote)
    if remote is None:
        if base is None:
            return Step.CREATE
        return Step.REMOVED if local == base else Step.REMOVED_CHANGED
    if remote == base:
        return Step.PUSH
    if local == base:
        return Step.PULL
    return Step.CONFLICT


def _without_file(known: Known, base: str | None, remote: str | None) -> Step:
    if base is None and known.gone != remote:
        return Step.PULL
    if known.gone == remote:
        return Step.NOTHING
    return Step.FILE_GONE if remote == base else Step.PULL


def looks_like_a_handler(text: str) -> bool:
    """Whether a file that no server knows is a handler script, and no helper that lies beside them."""
    return HANDLER.search(text) is not None


def diff(mine: str, theirs: str, name: str) -> str:
    """The difference of a conflict, shortened."""
    lines = list(
        difflib.unified_diff(
            theirs.splitlines(), mine.splitlines(), f"{name} on the server", f"{name} here", lineterm=""
        )
    )
    if len(lines) > DIFF_LINES:
        lines[DIFF_LINES:] = [f"... {len(lines) - DIFF_LINES:,} lines more"]
    return "\n".join(lines)
