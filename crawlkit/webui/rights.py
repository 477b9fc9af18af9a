"""Who may change what: roles, and the word ``lock`` in a project's group. Pure."""

from __future__ import annotations

from crawlkit.webui.gate import ADMIN, EDITOR, Identity

LOCK = "lock"


def group_words(group: str) -> list[str]:
    """The words of a project's group; some have a meaning: ``lock``, ``delete``."""
    return group.lower().replace(",", " ").split()


def needed(role: str, group: str | None) -> str:
    """The role that something takes which takes ``role`` in general, on a project of ``group`` (None: on none).

    Only admins change or run what is locked; everybody may look at it [W61].
    """
    if group is not None and LOCK in group_words(group) and role == EDITOR:
        return ADMIN
    return role


def refusal(identity: Identity, role: str, group: str | None = None) -> str:
    """Why this one may not, in words; ``""`` when it may."""
    takes = needed(role, group)
    if identity.may(takes):
        return ""
    who = f"{identity.user} is {identity.role}" if identity.role else "nobody is signed in"
    why = f"its group has the word {LOCK}: " if takes != role else ""
    return f"{why}this needs the role {takes}; {who}"
