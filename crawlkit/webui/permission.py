"""Whether somebody may change a project, and the entry in the audit log when it was done. Asks the projectdb.

The JSON API does both by itself for every operation that has a project in its path; what changes projects in another
way calls these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from crawlkit.webui.gate import EDITOR, Identity
from crawlkit.webui.problem import Problem
from crawlkit.webui.rights import refusal
from crawlkit.webui.services import Services

SECRET = frozenset({"password", "old", "new", "token", "secret", "value", "script", "data", "content"})
SHOWN = 80  # characters of a value in the log


def check_project(services: Services, identity: Identity, project: str, role: str = EDITOR) -> None:
    """Raises :class:`Problem` 403 unless this one has ``role``, or admin where the project's group says ``lock``."""
    row = services.projectdb.get(project) if role == EDITOR and identity.may(EDITOR) else None
    words = refusal(identity, role, row.group if row is not None else None)
    if words:
        raise Problem(403, "Not allowed", words)


def note(
    services: Services, identity: Identity, action: str, project: str = "", detail: str = "", address: str = ""
) -> None:
    """Writes into the audit log who did what."""
    accounts = services.extra.get("accounts")
    if accounts is not None:
        accounts.note(identity, action, project, detail, address)


def detail_of(names: Mapping[str, str], body: Any) -> str:
    """What an operation was asked for, without what may be secret or long."""
    said: dict[str, Any] = {name: value for name, value in names.items() if name != "project"}
    if isinstance(body, msgspec.Struct):
        said |= {name: getattr(body, name) for name in body.__struct_fields__}
    elif isinstance(body, Mapping):
        said |= {str(name): value for name, value in body.items()}
    words = []
    for name, value in said.items():
        if value is None or value is msgspec.UNSET or value == "":
            continue
        plain = isinstance(value, str | int | float | bool) and name not in SECRET
        words.append(f"{name}={str(value)[:SHOWN]}" if plain else f"{name}=...")
    return ", ".join(words)
