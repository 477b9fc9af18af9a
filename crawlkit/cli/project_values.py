"""What a row becomes when its script is put; apart from the commands of projects, of which `one` needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlkit.cli.base import rate_value
from crawlkit.libs.errors import InvalidProject
from crawlkit.settings import parse_pages, parse_rate, script_comments

if TYPE_CHECKING:
    from crawlkit.libs.rows import ProjectRow


def put_values(
    row: ProjectRow,
    script: str,
    *,
    group: str | None = None,
    rate: float | str | None = None,
    burst: float | None = None,
    status: str | None = None,
    max_pages: int | str | None = None,
) -> ProjectRow:
    """``row`` with a new script and what was said about it, openly or in comments of the script [R18]."""
    said = script_comments(script)
    row = msgspec.structs.replace(row)
    row.script = script
    if rate is not None:
        row.rate, row.rate_set = rate_value(rate), True
    elif "rate" in said:
        row.rate, row.rate_set = parse_rate(said["rate"]), True
    if burst is None and "burst" in said:
        burst = _burst(said["burst"])
    if burst is not None:
        row.burst, row.rate_set = burst, True
    if group is not None or "group" in said:
        row.group = group if group is not None else said["group"]
    if max_pages is not None or "max_pages" in said:
        row.max_pages = parse_pages(str(max_pages if max_pages is not None else said["max_pages"]))
    if status is not None:
        row.status = status.upper()
    return row


def _burst(text: str) -> float:
    try:
        burst = float(text)
    except ValueError:
        burst = 0
    if not 1 <= burst < 1e9:
        raise InvalidProject(f"burst {text!r}: use a number of pages, 1 or more")
    return burst
