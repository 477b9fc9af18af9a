"""The three roles of people who use the web UI, each with all that the one before it may. Pure."""

from __future__ import annotations

VIEWER, EDITOR, ADMIN = "viewer", "editor", "admin"
ROLES = (VIEWER, EDITOR, ADMIN)
RANK = {"": 0, VIEWER: 1, EDITOR: 2, ADMIN: 3}


def lower(one: str, other: str) -> str:
    """The lesser of two roles; ``""`` (none) when either is no role."""
    ranked = min(RANK.get(one, 0), RANK.get(other, 0))
    return ("", *ROLES)[ranked]
