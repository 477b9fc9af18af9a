"""How the rows of a store are carried to another one, whatever the two are made of: for migrations and backups.

A store that can be carried has a method ``carrier()``. Rows travel as plain tuples in the columns of the SQL tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, cast

from crawlkit.libs.errors import UsageError

Row = tuple[Any, ...]  # of str, int, float, bool, bytes and None
KINDS = ("taskdb", "resultdb", "projectdb", "accountdb", "blobdb", "logdb")

#: Tables of which a store that was only opened, or looked at by a component, may hold rows.
INCIDENTAL = frozenset({"nodes", "state", "writers", "project_marks", "result_marks", "metrics", "log_lines",
                        "log_nodes"})  # fmt: skip


class Shape(NamedTuple):
    """One table."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]  # of these columns; rows come in its order
    large: bool = False  # its rows hold bodies
    types: tuple[frozenset[type], ...] = ()  # of the values each column takes; none: whatever comes

    def key_of(self, row: Row) -> Row:
        """The key's values in a row."""
        return tuple(row[place] for place in self.key_places)

    @property
    def key_places(self) -> tuple[int, ...]:
        """Where in a row the key's values are."""
        return tuple(map(self.columns.index, self.key))

    @property
    def owner(self) -> str | None:
        """The column that says whose row it is; ``None``: rows belong to no project."""
        if self.name == "projects":
            return "name"
        return "project" if "project" in self.columns else None


class Carrier(Protocol):
    """Reads and writes the rows of one store as they are. Every method may raise ``StoreUnavailable``."""

    kind: str  # one of KINDS
    where: str  # for people

    def version(self) -> str:
        """The schema's version."""

    def shapes(self) -> list[Shape]: ...

    def page(self, table: str, after: Row | None, limit: int) -> list[Row]:
        """The next ``limit`` rows behind the key ``after``, in the order of the key."""

    def rows(self, table: str, keys: Sequence[Row]) -> dict[Row, Row]:
        """The rows with those keys, by key."""

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Row], note: str) -> None:
        """Inserts or overwrites, and changes the note, in one durable transaction. A column not named is its default.

        Raises :class:`UsageError` for a row or a column that the store cannot hold.
        """

    def counts(self, table: str) -> dict[str, int]:
        """Rows by project; under ``""`` those of a table that has no projects. Projects without rows are left out."""

    def clear(self, table: str) -> None:
        """Removes all rows of a table."""

    def note(self) -> str | None:
        """What was noted in this store; ``None``: nothing, it is whole."""

    def set_note(self, text: str | None) -> None: ...

    def finish(self) -> None:
        """All rows are there: sees to it that numbers the store gives out go on behind them."""

    def snapshot(self, folder: str) -> AbstractContextManager[Carrier]:
        """A carrier that sees one moment of the store, while others write. ``folder`` may take a copy of it."""


def carrier_of(store: object, kind: str) -> Carrier:
    """The carrier of a store; raises :class:`UsageError` for one that has none."""
    make = getattr(store, "carrier", None)
    if make is None:
        name = type(store).__name__
        raise UsageError(
            f"the {kind} {name} cannot be carried: its backend has no carrier() (see docs/migrate.md); carry the others"
            " with --only"
        )
    return cast(Carrier, make())


def holdings(carrier: Carrier) -> Mapping[str, int]:
    """How many rows each table holds; tables that only show that somebody looked are left out."""
    found = {}
    for shape in carrier.shapes():
        count = 0 if shape.name in INCIDENTAL else sum(carrier.counts(shape.name).values())
        if count:
            found[shape.name] = count
    return found


def unfinished(store: object) -> bool:
    """Whether somebody began to carry rows into this store, and has not come to the end."""
    make = getattr(store, "carrier", None)
    return make is not None and cast(Carrier, make()).note() is not None
