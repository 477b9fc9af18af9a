"""Results: a table of chosen columns, one whole, and all as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from crawlkit.libs import export
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import UsageError
from crawlkit.libs.parquet import MEDIA_TYPE as PARQUET
from crawlkit.libs.parquet import parquet_chunks
from crawlkit.libs.result_values import narrowed
from crawlkit.libs.rows import ResultRow
from crawlkit.libs.searches import ResultPage, ResultSearch
from crawlkit.webui.api.parts import Cursor, Limit, ProjectName, cursor_of, place_of_cursor
from crawlkit.webui.api.registry import Request, Room, Streamed
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.masks import masked_url
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.result_table import ResultItem, columns_seen, result_item, sorted_part
from crawlkit.webui.services import Services
from crawlkit.webui.task_views import ResultView, result_view

room = Room("results")

SORTED = 10_000  # results that a sort by a column looks at, the newest that match
SORT_SECONDS = 0.5  # after which it sorts what it has
PAGE = 500  # rows read at once
FORMATS = (*export.CHUNKS, "parquet")

Field = Annotated[str, Meta(min_length=1, max_length=200, description="A key of the results, or `url`.")]
Text = Annotated[str, Meta(min_length=1, max_length=500, description="A part of any value, in whatever case.")]
Value = Annotated[str, Meta(max_length=500, description="What `field` is, in whatever case; or a pattern with `*`.")]
Columns = Annotated[list[Field], Meta(max_length=200, description="Fields to show; all without it.")]

Sort = Annotated[
    str,
    Meta(min_length=1, max_length=201, description="`-seq`: newest first, `seq`, or a field; `-field`: largest first."),
]


class Filter(Struct):
    """Which results."""

    text: Text | None = None
    field: Field | None = None
    value: Value | None = None


class ResultQuery(Filter, kw_only=True):
    """Which results of a project, in what order."""

    project: ProjectName
    columns: Columns | None = None
    sort: Sort = "-seq"
    limit: Limit = 50
    cursor: Cursor | None = None


class ResultList(Struct):
    """A page of results."""

    items: list[ResultItem]
    columns: list[str]
    """Fields of the results of this page, the commonest first."""
    total: int | None
    """Null when it was not counted: there is a filter."""
    next: str | None
    looked: int
    """Results looked at for this page."""
    complete: bool
    """False: the search ended at its time limit and goes on with `next`; or a sort by a field saw only the newest
    results that match."""


@room.endpoint("GET", "/results", query=ResultQuery, returns=ResultList)
def search_results(services: Services, request: Request[ResultQuery, None]) -> ResultList:
    """Results of a project, every one that was yielded, with the values of chosen columns as text."""
    asked = request.query
    check_known(services, asked.project)
    total = None if asked.text or asked.field else services.resultdb.count(asked.project)
    if asked.sort in ("seq", "-seq"):
        page, cursor, complete = _in_order(services, asked)
        rows, looked = page.rows, page.looked
    else:
        rows, cursor, looked, complete = _sorted(services, asked)
    items = [result_item(row, asked.columns) for row in rows]
    return ResultList(items, columns_seen(rows), total, cursor, looked, complete)


def check_known(services: Services, project: str) -> None:
    """Raises :class:`Problem` 404 for a project that nobody has heard of."""
    if project not in services.projectdb.names() and project not in services.resultdb.projects():
        raise not_found("project", project)


def _search(project: str, asked: Filter, oldest_first: bool) -> ResultSearch:
    return ResultSearch(project, asked.text, asked.field, asked.value if asked.field else None, oldest_first)


def _in_order(services: Services, asked: ResultQuery) -> tuple[ResultPage, str | None, bool]:
    search = _search(asked.project, asked, asked.sort == "seq")
    page = services.resultdb.find(search, place_of_cursor(asked.cursor, int), asked.limit)
    complete = page.next is None or len(page.rows) == asked.limit
    return page, cursor_of(page.next) if page.next is not None else None, complete


def _sorted(services: Services, asked: ResultQuery) -> tuple[list[ResultRow], str | None, int, bool]:
    """A page of what is sorted here: the newest results that match, as far as they go."""
    column, down = asked.sort.removeprefix("-"), asked.sort.startswith("-")
    # The first page says from where on back it looked, so that the next ones sort the same results.
    skip, newest = place_of_cursor(asked.cursor, tuple[int, int]) or (0, None)
    skip = max(0, min(skip, SORTED))
    search = _search(asked.project, asked, oldest_first=False)
    rows: list[ResultRow] = []
    after, looked = (newest + 1 if newest is not None else None), 0
    deadline = SystemClock.monotonic() + SORT_SECONDS
    while len(rows) < SORTED and SystemClock.monotonic() < deadline:
        page = services.resultdb.find(search, after, min(PAGE, SORTED - len(rows)))
        rows += page.rows
        looked += page.looked
        after = page.next
        if after is None:
            break
    complete = after is None
    shown, count = sorted_part(rows, column, down, skip, asked.limit)
    end = skip + len(shown)
    newest = max((row.seq for row in rows), default=0)
    return shown, cursor_of((end, newest)) if end < count else None, looked, complete


@room.endpoint("GET", "/results/{project}/{seq}", returns=ResultView)
def get_result(services: Services, request: Request[None, None]) -> ResultView:
    """One result, whole."""
    project, said = request.path["project"], request.path["seq"]
    seq = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else -1
    found = services.resultdb.find(ResultSearch(project, oldest_first=True), seq - 1, 1).rows if seq >= 0 else []
    if not found or found[0].seq != seq:
        raise Problem(
            404, "Not found", f"project {project} has no result {said}: it may have been replaced by a newer one"
        )
    return result_view(found[0])


# -- files -----------------------------------------------------------------------------------------------------------


class ExportQuery(Filter):
    """Which results, and how much of them."""

    columns: Columns | None = None
    style: Literal["rows", "full"] | None = None
    """Of JSON: `rows` is one object a line, as `jsonl`; `full`, the default, one array [W17]."""
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    limit: Annotated[int, Meta(ge=0, le=2**53, description="0: all.")] = 0


@room.stream("/results/{project}.{format}", query=ExportQuery)
def export_results(services: Services, request: Request[ExportQuery, None]) -> Streamed:
    """All results of a project as a file, oldest first: jsonl, json, csv, txt (URL, tab, JSON) or parquet.

    A cell of CSV that a spreadsheet would take for a formula gets a `'` in front. JSON is escaped so that it may stand
    inside a script of a page.
    """
    project, form, asked = request.path["project"], request.path["format"], request.query
    if form not in FORMATS:
        raise Problem(404, "Unknown format", f"there is no format {form!r}; there are: {', '.join(FORMATS)}")
    check_known(services, project)
    if form == "json" and asked.style == "rows":
        form = "jsonl"
    rows = partial(_rows, services, project, asked)
    if not request.identity.may(EDITOR):  # who may only look is not shown what lets him in elsewhere
        rows = partial(_masked, rows)
    if form == "parquet":
        try:
            return Streamed(PARQUET, parquet_chunks(rows), f"{project}.parquet")
        except UsageError as error:
            raise Problem(400, "Parquet is not installed", str(error)) from None
    make, media_type = export.CHUNKS[form]
    chunks = make(rows)
    if form in ("json", "jsonl"):
        chunks = export.embeddable(chunks)
    return Streamed(media_type, chunks, f"{project}.{form}")


def _rows(services: Services, project: str, asked: ExportQuery) -> Iterator[ResultRow]:
    rows = _all(services, _search(project, asked, oldest_first=True))
    chosen = islice(rows, asked.offset, asked.offset + asked.limit if asked.limit else None)
    if asked.columns is None:
        yield from chosen
        return
    for row in chosen:
        yield narrowed(row, asked.columns)


def _masked(rows: Callable[[], Iterator[ResultRow]]) -> Iterator[ResultRow]:
    for row in rows():
        yield msgspec.structs.replace(row, url=masked_url(row.url))


def _all(services: Services, search: ResultSearch) -> Iterator[ResultRow]:
    """Page by page: a slow reader holds back no writer."""
    after: int | None = None
    while True:
        page = services.resultdb.find(search, after, PAGE)
        yield from page.rows
        after = page.next
        if after is None:
            return
