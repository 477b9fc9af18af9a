"""One project's charts, crons and settings. Values of secrets are set here and never shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct, convert

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.libs.metrics import HOUR, MetricRow, width_for
from crawlkit.libs.rows import SettingRow
from crawlkit.libs.secrets import SecretBox
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.services import Services

room = Room("projects")
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
MAX_ROWS = 2_000
MAX_SETTINGS = 100  # as in crawlkit project set
MAX_VALUE = 2**16  # bytes


class MetricsQuery(Struct):
    """Which stretch of time."""

    since: Annotated[float, Meta(ge=0, le=1e11, description="Unix time.")] = 0
    until: Annotated[float, Meta(ge=0, le=1e11, description="Unix time; 0: now.")] = 0
    step: Annotated[int, Meta(ge=60, le=86_400, description="Seconds a row; over an hour, whole hours.")] = 60


class Metrics(Struct):
    """What a project did, in rows of ``step`` seconds; those without anything are left out."""

    rows: list[MetricRow]
    since: float
    until: float
    step: int


class Tick(Struct):
    """When a cron fires."""

    time: float
    """Unix time."""
    method: str


class Ticks(Struct):
    """The next instants of a project's crons. Empty without a scheduler, or while the project does not run."""

    items: list[Tick]


class TicksQuery(Struct):
    """How many."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 5


class WaitingHost(Struct):
    """A host that may not be asked now, and why."""

    host: str
    why: str
    """rate, concurrency, retry_after, refused, crawl_delay, autothrottle."""
    text: str
    until: float | None
    """Unix time; null: when a request that is under way has ended."""
    under_way: int
    """Requests."""


class WaitingHosts(Struct):
    """The hosts of a project that wait, the longest first. Empty without a scheduler."""

    items: list[WaitingHost]


class HostsQuery(Struct):
    """How many."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 20


class SettingView(Struct):
    """A setting. The value of a secret is null."""

    name: str
    secret: bool
    value: str | None
    updated: float


class SettingPage(Struct):
    """A project's settings, in order of their names."""

    items: list[SettingView]


class SettingBody(Struct, forbid_unknown_fields=True):
    """A setting to be stored, encrypted in any case."""

    value: Annotated[str, Meta(max_length=MAX_VALUE)]
    secret: bool = True
    """Never shown again, and masked in logs and tracks."""


@room.endpoint("GET", "/projects/{project}/metrics", query=MetricsQuery, returns=Metrics, refusals=(404,))
def metrics(services: Services, request: Request[MetricsQuery, None]) -> Metrics:
    """What a project did, for charts: by the minute for a day, by the hour for a month."""
    name, query = _known(services, request.path["project"]), request.query
    until = query.until or services.clock.time()
    since = query.since or until - MAX_ROWS * query.step
    try:
        width_for(query.step)
    except ValueError as error:
        raise Problem(400, "Invalid parameter", str(error)) from None
    if (until - since) / query.step > MAX_ROWS:
        raise Problem(400, "Too many rows", f"at most {MAX_ROWS}: take a larger step, such as {HOUR}")
    return Metrics(services.taskdb.metrics(name, since, until, query.step), since, until, query.step)


@room.endpoint("GET", "/projects/{project}/ticks", query=TicksQuery, returns=Ticks, refusals=(404,))
def ticks(services: Services, request: Request[TicksQuery, None]) -> Ticks:
    """The next instants of a project's crons."""
    name = _known(services, request.path["project"])
    try:
        found = services.scheduler.call("next_ticks", project=name, n=request.query.limit)
    except ServiceUnreachable:
        found = []
    return Ticks([Tick(time, method) for time, method in found])


@room.endpoint("GET", "/projects/{project}/hosts", query=HostsQuery, returns=WaitingHosts, refusals=(404,))
def hosts(services: Services, request: Request[HostsQuery, None]) -> WaitingHosts:
    """The hosts that the project asks and that may not be asked now."""
    name = _known(services, request.path["project"])
    try:
        found = services.scheduler.call("hosts", project=name, limit=request.query.limit)
    except ServiceUnreachable:
        found = []
    return convert({"items": found}, WaitingHosts)


@room.endpoint("GET", "/projects/{project}/settings", role=EDITOR, returns=SettingPage, refusals=(404,))
def list_settings(services: Services, request: Request[None, None]) -> SettingPage:
    """A project's settings, for its handler's self.settings."""
    name = _known(services, request.path["project"])
    rows = services.projectdb.settings(name)
    return SettingPage([_view(services, name, row) for row in rows.values()])


@room.endpoint(
    "PUT", "/projects/{project}/settings/{name}", role=EDITOR, body=SettingBody, returns=SettingView, refusals=(404,)
)
def put_setting(services: Services, request: Request[None, SettingBody]) -> SettingView:
    """Sets a setting. Handlers that run see it within seconds."""
    project, name, body = _known(services, request.path["project"]), request.path["name"], request.body
    known = services.projectdb.settings(project)
    if name not in known and len(known) >= MAX_SETTINGS:
        raise Problem(400, "Too many settings", f"a project has at most {MAX_SETTINGS}; put some into one, as JSON")
    if len(body.value.encode("utf-8", "surrogatepass")) > MAX_VALUE:
        raise Problem(400, "Invalid body", f"the value is over the limit of {MAX_VALUE:,} bytes")
    box = _box(services, make=not known)
    if box is None:
        raise Problem(400, "No secret key", "the project has settings, but the key they were set with is not here")
    for row in known.values():
        box.open(project, row.name, row.sealed)  # two keys for one project: half of it would not open
    services.projectdb.put_setting(project, SettingRow(name, box.seal(project, name, body.value), body.secret))
    return _view(services, project, services.projectdb.settings(project)[name])


@room.endpoint("DELETE", "/projects/{project}/settings/{name}", role=EDITOR, refusals=(404,))
def remove_setting(services: Services, request: Request[None, None]) -> None:
    """Removes a setting."""
    project, name = _known(services, request.path["project"]), request.path["name"]
    if not services.projectdb.remove_setting(project, name):
        raise not_found("setting", name)


def _known(services: Services, name: str) -> str:
    if services.projectdb.get(name) is None:
        raise not_found("project", name)
    return name


def _box(services: Services, make: bool = False) -> SecretBox | None:
    boxes: Callable[[bool], SecretBox | None] = services.extra["secret_box"]
    return boxes(make)


def _view(services: Services, project: str, row: SettingRow) -> SettingView:
    value = None
    if not row.secret and (box := _box(services)) is not None:
        value = box.open(project, row.name, row.sealed)
    return SettingView(row.name, row.secret, value, row.updatetime)
