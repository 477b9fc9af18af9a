"""Scripts of projects: saving one, its versions, what stands between them, and which of them runs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from crawlkit.libs.rows import ProjectRow, VersionRow
from crawlkit.webui import saving, versions
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.saving import Saved
from crawlkit.webui.services import Services
from crawlkit.webui.versions import DiffLine

room = Room("versions")

Md5 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Message = Annotated[str, Meta(max_length=1000, description="Why, in a few words.")]


class SaveBody(Struct, forbid_unknown_fields=True):
    """A script to be saved."""

    script: Annotated[str, Meta(max_length=4_194_304)]
    base: Md5 | None = None
    """The version that the editor began with: when another is the newest by now, the answer is 409 with both."""
    message: Message = ""
    keep_status: bool = False
    """Go on running with the new script, instead of waiting in CHECKING."""
    force: bool = False
    """Save although somebody else has saved meanwhile."""


class RestoreBody(Struct, forbid_unknown_fields=True):
    """How to restore a version."""

    base: Md5 | None = None
    message: Message = ""
    keep_status: bool = False


class PinBody(Struct, forbid_unknown_fields=True):
    """Which version runs."""

    version: Md5 | None
    """Null: always the newest."""


class ListQuery(Struct):
    """Which part of the list."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: Annotated[str, Meta(max_length=12, pattern=r"^[0-9]*$")] = ""


class VersionInfo(Struct):
    """One saved version of a script."""

    version: str
    saved: float
    author: str
    message: str
    size: int
    lines: int
    added: int
    removed: int
    newest: bool
    pinned: bool
    runs: bool
    script: str | None = None


class VersionList(Struct):
    """Versions, newest first."""

    items: list[VersionInfo]
    total: int
    next: str | None


class DiffQuery(Struct):
    """What to compare with."""

    to: Annotated[str, Meta(pattern=r"^([0-9a-f]{32}|newest|runs)$")] = "newest"


class Diff(Struct, rename={"from_": "from"}):
    """What stands between two versions."""

    from_: str
    to: str
    unified: str
    added: int
    removed: int
    lines: list[DiffLine]


class Pin(Struct):
    """Which version runs, and which is the newest. ``pin`` empty: it follows the newest."""

    project: str
    pin: str
    runs: str
    newest: str


@room.endpoint("PUT", "/projects/{project}/script", role=EDITOR, body=SaveBody, returns=Saved, refusals=(409,))
def save_script(services: Services, request: Request[None, SaveBody]) -> Saved:
    """Save a script as the newest version; a project that is not there is made.

    A project that runs waits in CHECKING afterwards, as in pyspider, unless it is pinned or told to go on.
    """
    body = request.body
    return saving.save_script(
        services,
        request.identity,
        request.path["project"],
        body.script,
        base=body.base,
        message=body.message,
        keep_status=body.keep_status,
        force=body.force,
    )


@room.endpoint("GET", "/projects/{project}/versions", query=ListQuery, returns=VersionList)
def list_versions(services: Services, request: Request[ListQuery, None]) -> VersionList:
    """All saved versions of a script: when, by whom, why, and how much changed."""
    row, known = _known(services, request)
    first, limit = int(request.query.cursor or 0), request.query.limit
    items = [_info(row, known, number) for number in range(first, min(first + limit, len(known)))]
    end = first + limit
    return VersionList(items, len(known), str(end) if end < len(known) else None)


@room.endpoint("GET", "/projects/{project}/versions/{revision}", returns=VersionInfo)
def get_version(services: Services, request: Request[None, None]) -> VersionInfo:
    """One version with its script: by its md5, or `newest`, or `runs`."""
    row, known = _known(services, request)
    found = _find(row, known, request.path["revision"])
    info = _info(row, known, known.index(found))
    info.script = found.script
    return info


@room.endpoint("GET", "/projects/{project}/versions/{revision}/diff", query=DiffQuery, returns=Diff)
def diff_versions(services: Services, request: Request[DiffQuery, None]) -> Diff:
    """What changed from one version to another."""
    row, known = _known(services, request)
    old, new = _find(row, known, request.path["revision"]), _find(row, known, request.query.to)
    if not versions.comparable(old.script, new.script):
        raise Problem(400, "Too large", "these scripts are too long to be compared")
    text = versions.unified(old.script, new.script, old.version[:8], new.version[:8])
    lines = versions.diff_lines(text)
    added, removed = (sum(line.kind == kind for line in lines) for kind in "+-")
    return Diff(old.version, new.version, text, added, removed, lines)


@room.endpoint(
    "POST",
    "/projects/{project}/versions/{revision}/restore",
    role=EDITOR,
    body=RestoreBody,
    returns=Saved,
    refusals=(409,),
)
def restore_version(services: Services, request: Request[None, RestoreBody]) -> Saved:
    """Save an earlier version's script as the newest."""
    row, known = _known(services, request)
    found, body = _find(row, known, request.path["revision"]), request.body
    return saving.save_script(
        services,
        request.identity,
        row.name,
        found.script,
        base=body.base,
        message=body.message or f"restored {found.version[:8]}",
        keep_status=body.keep_status,
    )


@room.endpoint("PUT", "/projects/{project}/pin", role=EDITOR, body=PinBody, returns=Pin)
def pin_version(services: Services, request: Request[None, PinBody]) -> Pin:
    """Let a project run one version whatever is saved, or follow the newest again."""
    row = saving.pin(services, request.path["project"], request.body.version)
    return Pin(row.name, row.pin, row.runs, row.version)


def _known(services: Services, request: Request[Any, Any]) -> tuple[ProjectRow, list[VersionRow]]:
    project = request.path["project"]
    row = services.projectdb.get(project)
    if row is None:
        raise not_found("project", project)
    return row, services.projectdb.versions(project)


def _find(row: ProjectRow, known: list[VersionRow], name: str) -> VersionRow:
    found = versions.find(known, row, name)
    if found is None:
        raise not_found("version", name)
    return found


def _info(row: ProjectRow, known: list[VersionRow], number: int) -> VersionInfo:
    one = known[number]
    before = known[number + 1].script if number + 1 < len(known) else ""
    added, removed = versions.counts(before, one.script)
    return VersionInfo(
        version=one.version,
        saved=one.saved,
        author=one.author,
        message=one.message,
        size=len(one.script.encode("utf-8", "surrogatepass")),
        lines=len(one.script.splitlines()),
        added=added,
        removed=removed,
        newest=number == 0,
        pinned=row.pin == one.version,
        runs=row.runs == one.version,
    )
