"""Stores a new version of a script, unless somebody else was faster. The only door by which the web UI saves them."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from crawlkit.libs.errors import CrawlkitError, ServiceUnreachable
from crawlkit.libs.rows import ProjectRow
from crawlkit.webui.gate import Identity
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.services import Services
from crawlkit.webui.versions import Spot, find, status_after_save, syntax_of

MAX_SCRIPT = 2**20  # bytes
_saving = threading.Lock()  # between the look at the newest version and the save


class Saved(msgspec.Struct):
    """What became of a save. ``scheduler``: ``told``, or ``unreachable``: then it sees the change when it looks."""

    project: str
    version: str
    status: str
    saved: float
    created: bool
    changed: bool
    pin: str
    problems: list[Spot]
    scheduler: str


def save_script(
    services: Services,
    identity: Identity,
    project: str,
    script: str,
    *,
    base: str | None = None,
    message: str = "",
    keep_status: bool = False,
    force: bool = False,
) -> Saved:
    """Saves ``script`` as the newest version; a project that is not there is made.

    Raises :class:`Problem`: 409 with both versions when ``base``, which the editor began with, is not the newest any
    more; 400 for a script that is no Python and would go on running; 404 for an unknown project with a ``base``.
    """
    size = len(script.encode("utf-8", "surrogatepass"))
    if size > MAX_SCRIPT:  # reading the syntax takes a thousand times as much memory
        raise Problem(413, "Too large", f"the script has {size:,} bytes; a script may have {MAX_SCRIPT:,}")
    problems = syntax_of(script)
    if problems and keep_status:
        spot = problems[0]
        raise Problem(
            400, "No Python", f"line {spot.line}: {spot.message}; a script that runs cannot be replaced by it"
        )
    with _saving:
        old = services.projectdb.get(project)
        if old is None:
            if base is not None and not force:
                raise not_found("project", project)
            row, changed = services.projectdb.put(ProjectRow(project, script=script), identity.user, message), True
        else:
            if base is not None and base != old.version and script != old.script and not force:
                raise _conflict(services, old, base)
            changed = script != old.script
            row = old
            if changed:
                new = msgspec.structs.replace(old, script=script, status=status_after_save(old, keep_status))
                row = services.projectdb.put(new, identity.user, message)
    told = tell_scheduler(services) if changed else "told"
    return Saved(project, row.version, row.status, row.updatetime, old is None, changed, row.pin, problems, told)


def pin(services: Services, project: str, version: str | None) -> ProjectRow:
    """Makes a project run ``version``, or follow the newest again; raises :class:`Problem` 404."""
    with _saving:
        row = services.projectdb.get(project)
        if row is None:
            raise not_found("project", project)
        if version is not None and services.projectdb.script(project, version) is None:
            raise not_found("version", version)
        if row.pin != (version or ""):
            row = services.projectdb.put(msgspec.structs.replace(row, pin=version or ""))
            tell_scheduler(services)
    return row


def tell_scheduler(services: Services) -> str:
    """Has the scheduler look at the projects now; it does so by itself before long."""
    try:
        services.scheduler.call("update_project")
    except ServiceUnreachable:
        return "unreachable"
    except CrawlkitError as error:
        return str(error)
    return "told"


def _conflict(services: Services, row: ProjectRow, base: str) -> Problem:
    versions = services.projectdb.versions(row.name)
    newest, began = find(versions, row, "newest"), find(versions, row, base)
    current: dict[str, Any] = {"version": row.version, "script": row.script}
    if newest is not None:
        current |= {"author": newest.author, "saved": newest.saved, "message": newest.message}
    before = None if began is None else {"version": began.version, "script": began.script}
    who = f" by {newest.author}" if newest is not None and newest.author else ""
    return Problem(
        409, "Changed meanwhile", f"{row.name} was saved{who} since you began to edit it", current=current, base=before
    )
