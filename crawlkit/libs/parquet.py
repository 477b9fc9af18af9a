"""Results as a Parquet file (Apache Parquet format 2), streamed: holds one row group at a time.

Needs pyarrow, which is loaded when it is asked for. Opens nothing: rows come from an iterable, bytes are yielded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from crawlkit.libs.errors import UsageError
from crawlkit.libs.export import MAX_COLUMNS, REST, Fields, Rows, rest_apart
from crawlkit.libs.extras import install_command
from crawlkit.libs.result_values import fields_of, text_of
from crawlkit.libs.rows import ResultRow

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_TYPE = "application/vnd.apache.parquet"
GROUP_ROWS = 10_000  # of a row group
GROUP_SIZE = 8 * 2**20  # characters of results after which a row group ends earlier
LIST = "list of "  # before a kind
_INT64 = range(-(2**63), 2**63)
_EXACT = range(-(2**53), 2**53 + 1)  # whole numbers that a float keeps as they are


def parquet_chunks(
    rows: Rows, fields: Fields = fields_of, *, compression: str = "zstd", lists: bool = False
) -> Iterator[bytes]:
    """A table with the columns of :func:`crawlkit.libs.export.csv_chunks`, each with one type.

    Columns of only booleans, whole numbers or numbers have that type; of all others, text as people see it. ``rows`` is
    called twice and must give the same rows again; those with a later seq than in the first pass are left out.
    ``fields``: the values of a row by their columns. ``lists``: columns of only lists have lists of one of these types.
    Raises :class:`UsageError`, before the first chunk, when there is no pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(f"Parquet needs pyarrow: {install_command('parquet')}; or take another format") from None
    return _file(rows, fields, compression, lists, pa, pq)


def _file(rows: Rows, fields: Fields, compression: str, lists: bool, pa: Any, pq: Any) -> Iterator[bytes]:
    kinds, newest = _columns(rows(), fields, lists)
    known = frozenset(kinds)
    same = (row for row in rows() if row.seq <= newest)
    schema = pa.schema([(name, _type_of(pa, kind)) for name, kind in kinds.items()])
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression=compression) as writer:
        for group in _groups(map(fields, same), known, list(kinds)):
            columns = [_column(pa, kinds[name], values) for name, values in group.items()]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            yield from sink.taken()
    yield from sink.taken()


def _columns(rows: Iterable[ResultRow], fields: Fields, lists: bool) -> tuple[dict[str, str], int]:
    """The columns in order of first appearance, each with the narrowest type of all its values; the largest seq."""
    seen: dict[str, set[str]] = {"url": set()}
    newest, more = 0, False
    for row in rows:
        newest = max(newest, row.seq)
        for name, value in fields(row).items():
            kinds = seen.get(name)
            if kinds is None:
                if len(seen) >= MAX_COLUMNS:
                    more = True
                    continue
                kinds = seen[name] = set()
            if value is not None:
                if lists and isinstance(value, list):
                    kinds.add(LIST)
                    kinds.update(LIST + _kind(each) for each in value if each is not None)
                else:
                    kinds.add(_kind(value))
    columns = {name: _common(kinds) for name, kinds in seen.items()}
    return columns | ({REST: "text"} if more else {}), newest


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "small" if value in _EXACT else "int" if value in _INT64 else "text"
    return "float" if isinstance(value, float) else "text"


def _common(kinds: set[str]) -> str:
    if LIST in kinds:
        inner = {kind.removeprefix(LIST) for kind in kinds if kind != LIST}
        return LIST + _common(inner) if all(kind.startswith(LIST) for kind in kinds) else "text"
    if len(kinds) == 1:
        kind = next(iter(kinds))
        return "int" if kind == "small" else kind
    if kinds == {"small", "int"}:
        return "int"
    return "float" if kinds == {"small", "float"} else "text"


def _type_of(pa: Any, kind: str) -> pa.DataType:
    if kind.startswith(LIST):
        return pa.list_(_type_of(pa, kind.removeprefix(LIST)))
    return {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string()}[kind]


def _column(pa: Any, kind: str, values: list[Any]) -> pa.Array:
    if kind == "text":
        values = list(map(_text, values))
    elif kind == LIST + "text":
        values = [None if value is None else list(map(_text, value)) for value in values]
    return pa.array(values, _type_of(pa, kind))


def _text(value: Any) -> str | None:
    return None if value is None else text_of(value).encode("utf-8", "replace").decode()


def _groups(
    rows: Iterable[dict[str, Any]], known: frozenset[str], names: list[str]
) -> Iterator[dict[str, list[Any]]]:  # fmt: skip
    group: dict[str, list[Any]] = {name: [] for name in names}
    count = size = 0
    for values in rows:
        if REST in known:
            rest_apart(values, known)
        for name, column in group.items():
            value = values.get(name)
            column.append(value)
            size += len(value) if isinstance(value, str) else 16 if not isinstance(value, list) else len(str(value))
        count += 1
        if count >= GROUP_ROWS or size >= GROUP_SIZE:
            yield group
            group = {name: [] for name in names}
            count = size = 0
    if count:
        yield group


class _Sink:
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0
        self.closed = False

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing lies behind."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> list[bytes]:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return [b"".join(pieces)] if pieces else []
