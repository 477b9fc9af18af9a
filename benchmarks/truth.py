"""Where the results of crawlkit and of its peers are; whether they are right says crawlkit/proving/truth.py."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def from_lines(out: Path) -> Iterator[tuple[str, Line]]:
    """The results in a file of JSON lines, of crawlkit or of a peer."""
    with out.open() as lines:
        for line in map(json.loads, lines):
            yield line["url"], line.get("result", line)


def from_sqlite(out: Path) -> Iterator[tuple[str, Line]]:
    """Those in the table ``pages`` of a SQLite file."""
    connection = sqlite3.connect(out)
    connection.row_factory = sqlite3.Row
    try:
        for row in connection.execute("SELECT url, title, h1, price FROM pages"):
            yield row["url"], dict(row)
    finally:
        connection.close()


def from_folder(out: Path) -> Iterator[tuple[str, Line]]:
    """Those in the JSON files of a folder, one in each."""
    for file in out.glob("[0-9]*.json"):
        line = json.loads(file.read_text())
        yield line["url"], line
