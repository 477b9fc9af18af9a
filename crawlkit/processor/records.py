"""A fetched page as it is kept in the blob store for a callback that waits: the message, and its body in one piece.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import Fetched, decode

_LENGTH = struct.Struct("<I")  # of the message; what follows it is the body, when that was a blob of its own


class RecordLost(RuntimeError):
    """What a callback has seen is gone from the store: it begins anew."""


def pieces(message: bytes, body: Iterable[bytes] = ()) -> Iterator[bytes]:
    """The record of a :class:`Fetched` message; ``body`` is what its blob holds."""
    yield _LENGTH.pack(len(message))
    yield message
    yield from body


def read(record: bytes) -> Fetched:
    """What :func:`pieces` was made of; raises :class:`BadMessage`."""
    if len(record) < _LENGTH.size:
        raise BadMessage("a record without a length")
    end = _LENGTH.size + _LENGTH.unpack_from(record)[0]
    fetched: Fetched = decode(memoryview(record)[_LENGTH.size : end], Fetched)
    if fetched.blob is not None:
        fetched.content, fetched.blob = record[end:], None
    return fetched


class Records(Mapping[int, Fetched | None]):
    """What is recorded of a run, read when it is first asked for. ``None``: nothing came of that request."""

    def __init__(self, listed: Iterable[tuple[int, str]], load: Callable[[str], bytes | None]) -> None:
        """``load`` gives the bytes of a blob, ``None`` when it is gone."""
        self._blobs = dict(listed)
        self._load = load
        self._read: dict[int, Fetched | None] = {}

    def __getitem__(self, number: int) -> Fetched | None:
        if number not in self._read:
            blob = self._blobs[number]
            self._read[number] = self._loaded(number, blob) if blob else None
        return self._read[number]

    def _loaded(self, number: int, blob: str) -> Fetched:
        record = self._load(blob)
        what = f"the answer to await number {number}" if number else "the page that the callback began with"
        if record is None:
            raise RecordLost(f"{what} is gone from the store")
        try:
            return read(record)
        except BadMessage as error:
            raise RecordLost(f"{what} cannot be read: {error}") from None

    def __iter__(self) -> Iterator[int]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)

    def __contains__(self, number: object) -> bool:
        return number in self._blobs
