"""Undoes Content-Encoding piece by piece, never holding more than one small piece of opened bytes.

Pure: pushes what it opens into a sink, which may raise to stop it. A bomb therefore stops at the sink's limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from crawlkit.libs.errors import FetchError

STEP = 64 * 1024  # opened bytes at a time
MAX_CODINGS = 4  # more on top of each other is an attack, not a page
MAX_MEMBERS = 10_000  # of one gzip body; empty ones cost time and open to nothing
MAX_ZSTD_WINDOW = 8 * 2**20  # RFC 9659

Write = Callable[[bytes], object]


class Decoder(Protocol):
    """One coding. ``write`` pushes opened bytes on, ``finish`` raises when the body was cut short."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None: ...


class Deflate:
    """gzip (several members, RFC 1952) and deflate (with zlib's frame, or raw as some servers send it)."""

    def __init__(self, sink: Write, gzip: bool) -> None:
        self._sink = sink
        self._gzip = gzip
        self._head = b""
        self._members = 1
        self._opener = zlib.decompressobj(31) if gzip else None

    def write(self, data: bytes) -> None:
        opener = self._opener
        if opener is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            opener = self._opener = zlib.decompressobj(15 if _is_zlib(data) else -15)
        try:
            while data:
                if opener.eof:
                    if not self._gzip or not data.startswith(b"\x1f"):
                        return  # padding behind the end is ignored, as browsers do
                    self._members += 1
                    if self._members > MAX_MEMBERS:
                        raise FetchError("decode", f"more than {MAX_MEMBERS} gzip members")
                    opener = self._opener = zlib.decompressobj(31)
                data = self._step(opener, data)
        except zlib.error as error:
            raise FetchError("decode", f"broken {'gzip' if self._gzip else 'deflate'}: {error}") from None
        self._head = b"begun"

    def _step(self, opener: zlib._Decompress, data: bytes) -> bytes:
        """Pushes one piece on; returns what is still to be opened."""
        piece = opener.decompress(data, STEP)
        if piece:
            self._sink(piece)
        data = opener.unconsumed_tail or opener.unused_data
        while len(piece) == STEP and not data and not opener.eof:  # opened bytes that wait inside zlib
            piece = opener.decompress(b"", STEP)
            if piece:
                self._sink(piece)
            data = opener.unused_data
        return data

    def finish(self) -> None:
        if self._head and (self._opener is None or not self._opener.eof):
            raise FetchError("decode", "the compressed body ends too early")


def _is_zlib(data: bytes) -> bool:
    """Whether this is the head of zlib's frame (RFC 1950), and not raw deflate already."""
    return data[0] & 15 == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0


class Brotli:
    """br (RFC 7932)."""

    def __init__(self, sink: Write) -> None:
        self._sink = sink
        self._opener = brotli.Decompressor()
        self._begun = False

    def write(self, data: bytes) -> None:
        self._begun = True
        while True:
            if self._opener.is_finished():
                return
            try:
                piece = self._opener.process(data, output_buffer_limit=STEP)
            except brotli.error as error:
                raise FetchError("decode", f"broken br: {error}") from None
            if piece:
                self._sink(piece)
            data = b""
            if len(piece) < STEP and self._opener.can_accept_more_data():
                return

    def finish(self) -> None:
        if self._begun and not self._opener.is_finished():
            raise FetchError("decode", "the compressed body ends too early")


class _Pipe:
    """What zstandard writes to: hands each opened piece on."""

    def __init__(self, sink: Write) -> None:
        self.sink = sink
        self.opened = 0

    def write(self, piece: bytes) -> int:
        self.opened += len(piece)
        self.sink(bytes(piece))
        return len(piece)


class Zstd:
    """zstd (RFC 8878), several frames, windows up to 8 MiB (RFC 9659)."""

    def __init__(self, sink: Write) -> None:
        self._pipe = _Pipe(sink)
        opener = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
        self._writer = opener.stream_writer(self._pipe, write_size=STEP)  # type: ignore[arg-type]
        self._head = b""
        self._fed = 0

    def write(self, data: bytes) -> None:
        self._fed += len(data)
        if len(self._head) < 18:
            self._head += data[:18]
        try:
            self._writer.write(data)
        except zstandard.ZstdError as error:
            raise FetchError("decode", f"broken zstd: {error}") from None

    def finish(self) -> None:
        """The writer does not tell where a frame ends, so a cut is seen only by the size that the frame announced."""
        if not self._fed:
            return
        try:
            announced = zstandard.frame_content_size(self._head)
        except zstandard.ZstdError:
            announced = 1  # not even a whole frame header
        if self._pipe.opened < announced:
            raise FetchError("decode", "the compressed body ends too early")


class _Between:
    """What one decoder opens for the next: counted, for it may be endless and still open to nothing."""

    def __init__(self, sink: Write, limit: int) -> None:
        self._sink = sink
        self._left = limit
        self._limit = limit

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise FetchError("too_large", f"a coded body over {self._limit} bytes")
        self._sink(data)


class Chain:
    """Several codings, undone from the last applied to the first.

    ``limit``: bytes that any coded form of the body may have, that on the wire included; over it ``write`` raises
    :class:`FetchError` of kind ``too_large``.
    """

    def __init__(self, codings: list[str], sink: Write, limit: int) -> None:
        self._decoders: list[Decoder] = []
        for coding in codings:
            decoder = _make(coding, sink)
            self._decoders.append(decoder)
            sink = _Between(decoder.write, limit).write
        self._decoders.reverse()
        self.write = sink

    def finish(self) -> None:
        """Raises :class:`FetchError` of kind ``decode`` when the body was cut short."""
        for decoder in self._decoders:
            decoder.finish()


def _make(coding: str, sink: Write) -> Decoder:
    if coding == "br":
        return Brotli(sink)
    if coding == "zstd":
        return Zstd(sink)
    return Deflate(sink, gzip=coding == "gzip")


_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}


def codings_of(values: list[str]) -> list[str]:
    """The codings in these Content-Encoding values, in the order in which they were applied.

    A name nobody knows (``utf-8``, ``none``) makes the whole header meaningless: the body is taken as it is, as
    browsers do. Raises :class:`FetchError` of kind ``decode`` for more than :data:`MAX_CODINGS` of them.
    """
    found = []
    for name in ",".join(values).lower().split(","):
        name = name.strip()
        if name in ("", "identity"):
            continue
        if name not in _NAMES:
            return []
        found.append(_NAMES[name])
    if len(found) > MAX_CODINGS:
        raise FetchError("decode", f"{len(found)} content codings on top of each other")
    return found
