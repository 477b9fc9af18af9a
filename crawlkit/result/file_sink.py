"""Results as files of JSON lines, CSV or Parquet in a folder or a store: one file a batch, whole or not there.

A file lies in the folder of its project and has the name of its batch, so that a batch that comes twice replaces it.
"""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crawlkit.files.publish import Place, place_of
from crawlkit.libs.errors import UsageError
from crawlkit.libs.export import csv_chunks, jsonl_chunks
from crawlkit.libs.extras import install_command
from crawlkit.libs.parquet import parquet_chunks
from crawlkit.libs.result_values import fields_of
from crawlkit.libs.rows import ResultRow
from crawlkit.result.sink_url import Limits, SinkURL
from crawlkit.result.sinks import Batch

_SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst"}  # of a text file
_PARQUET = ("zstd", "snappy", "gzip", "none")
_YES = {"yes": True, "no": False}


class FileSink:
    """A :class:`~crawlkit.result.sinks.Sink`. Options: ``compression``, and ``meta`` of a table."""

    limits = Limits()

    def __init__(self, url: SinkURL) -> None:
        table = {"meta": "yes"} if url.format != "jsonl" else {}
        options = url.take(compression="zstd" if url.format == "parquet" else "none", **table)
        known = _PARQUET if url.format == "parquet" else tuple(_SUFFIXES)
        self._compression = url.choice("compression", options["compression"], known)
        self._fields = fields_of
        if table and _YES[url.choice("meta", options["meta"], tuple(_YES))]:
            self._fields = with_meta
        self._format = url.format
        self._place: Place = place_of(url.place)
        if url.format == "parquet":
            _need_pyarrow(url)

    def write(self, batch: Batch) -> int:
        """Makes the file of a batch; none when nothing of it is left."""
        folder, turn = batch.project, batch.fence
        if batch.again:
            self._place.sweep(folder, batch.series, turn)
        if next(iter(batch.rows()), None) is None:
            return 0
        chunks, suffix = self._chunks(batch.rows)
        return self._place.put(f"{folder}/{batch.name}{suffix}", chunks, batch.series, turn)

    def _chunks(self, rows: Callable[[], Iterable[ResultRow]]) -> tuple[Iterator[bytes], str]:
        if self._format == "parquet":
            return parquet_chunks(rows, self._fields, compression=self._compression, lists=True), ".parquet"
        chunks = csv_chunks(rows, self._fields) if self._format == "csv" else jsonl_chunks(rows)
        suffix = f".{self._format}{_SUFFIXES[self._compression]}"
        return compressed(chunks, self._compression), suffix


def with_meta(row: ResultRow) -> dict[str, Any]:
    """The fields of a row, and which task and run it is of. Fields of its own with these names win."""
    meta = {"_taskid": row.taskid, "_run": row.run, "_updatetime": row.updatetime}
    return {**meta, **fields_of(row)}


def compressed(chunks: Iterator[bytes], how: str) -> Iterator[bytes]:
    """``none``, ``gzip`` or ``zstd``."""
    if how == "none":
        return chunks
    if how == "gzip":
        return _squeezed(chunks, zlib.compressobj(6, zlib.DEFLATED, 31))
    import zstandard

    return _squeezed(chunks, zstandard.ZstdCompressor(level=3).compressobj())


def _squeezed(chunks: Iterator[bytes], machine: Any) -> Iterator[bytes]:
    for chunk in chunks:
        if data := machine.compress(chunk):
            yield data
    yield machine.flush()


def _need_pyarrow(url: SinkURL) -> None:
    if importlib.util.find_spec("pyarrow") is None:  # loaded when it is used: it is large
        raise UsageError(f"sink {url.shown}: Parquet needs pyarrow: {install_command('parquet')}")
