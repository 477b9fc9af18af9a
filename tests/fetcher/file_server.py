"""A server of one large file that is made up as it is sent, with every bad habit that servers of files have."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fetcher.helpers import raw_server, read_request

PERIOD = 1_000_003  # bytes, a prime: no two blocks of a usual size are alike
PIECE = 64 * 1024
_PATTERN = random.Random(7).randbytes(PERIOD)
_TWICE = _PATTERN + _PATTERN[:PIECE]
MODIFIED = "Sat, 21 Nov 2020 00:00:00 GMT"


def content(first: int, count: int, salt: int = 0) -> bytes:
    """``count`` bytes (at most PIECE) of the endless file, from byte ``first`` on. ``salt``: another version."""
    at = (first + salt * 4321) % PERIOD
    return _TWICE[at : at + count]


def digest(size: int, salt: int = 0) -> str:
    """sha256 of a file of this size."""
    whole = hashlib.sha256()
    for at in range(0, size, PIECE):
        whole.update(content(at, min(PIECE, size - at), salt))
    return whole.hexdigest()


class FileServer:
    """``cuts``: after how many bytes of body a connection ends, one for each request; then none."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.salt = 0
        self.etag: str | None = '"v1"'
        self.modified: str | None = MODIFIED
        self.ranges = True
        self.if_range = True  # False: takes no notice of If-Range
        self.conditions = True  # False: takes no notice of If-None-Match
        self.lengths = True  # False: chunked
        self.shift = 0  # how far the ranges that are sent begin behind those asked for
        self.most = 0  # bytes of a range, if not 0
        self.status: str | None = None  # of every answer
        self.headers = ""  # more of them, whole lines
        self.cuts: list[int] = []
        self.requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.sent = 0  # bytes of body
        self.left = 0  # connections that their client left in the middle of a body
        self.delay = 0.0  # seconds before each piece
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files/big%20file.bin?x=1"

    def ranges_asked(self) -> list[str | None]:
        return [headers.get("range") for headers in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, pairs, _ = await read_request(reader)
            headers = {name.lower(): value for name, value in pairs}
            self.requests.append(headers)
            self.paths.append(line.split(" ")[1])
            if not await self._answer(writer, headers):
                return

    async def _answer(self, writer: asyncio.StreamWriter, headers: dict[str, str]) -> bool:
        more = self.headers
        if self.etag:
            more += f"ETag: {self.etag}\r\n"
        if self.modified:
            more += f"Last-Modified: {self.modified}\r\n"
        if self.status is not None:
            writer.write(f"HTTP/1.1 {self.status}\r\n{more}Content-Length: 4\r\n\r\nsad\n".encode())
            return True
        if self.conditions and "range" not in headers and self._unchanged(headers):
            writer.write(f"HTTP/1.1 304 Not Modified\r\n{more}\r\n".encode())
            return True
        first = self._first(headers)
        if first is not None and first >= self.size:
            writer.write(f"HTTP/1.1 416 No\r\nContent-Range: bytes */{self.size}\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        if first is None:
            head, first, end = "200 OK", 0, self.size
        else:
            first += self.shift
            end = min(self.size, first + self.most) if self.most else self.size
            head = f"206 Partial\r\nContent-Range: bytes {first}-{end - 1}/{self.size}"
        framing = f"Content-Length: {end - first}" if self.lengths else "Transfer-Encoding: chunked"
        writer.write(f"HTTP/1.1 {head}\r\n{more}{framing}\r\n\r\n".encode())
        return await self._body(writer, first, end)

    def _unchanged(self, headers: dict[str, str]) -> bool:
        if "if-none-match" in headers:
            return headers["if-none-match"] == self.etag
        return self.modified is not None and headers.get("if-modified-since") == self.modified

    def _first(self, headers: dict[str, str]) -> int | None:
        wanted = headers.get("range")
        if wanted is None or not self.ranges:
            return None
        if self.if_range and headers.get("if-range") not in (None, self.etag, self.modified):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    async def _body(self, writer: asyncio.StreamWriter, first: int, end: int) -> bool:
        stop = min(end, first + self.cuts[0]) if self.cuts else end
        writer.transport.set_write_buffer_limits(high=PIECE)
        at = first
        while at < stop:
            piece = content(at, min(PIECE, stop - at), self.salt)
            writer.write(piece if self.lengths else b"%x\r\n%b\r\n" % (len(piece), piece))
            at += len(piece)
            self.sent += len(piece)
            if self.delay:
                await asyncio.sleep(self.delay)
            try:
                await writer.drain()
            except ConnectionError:
                self.left += 1
                raise
        if self.cuts:
            del self.cuts[0]  # a connection that its client left is none that was cut
        if stop == end and not self.lengths:
            writer.write(b"0\r\n\r\n")
        return stop == end


@asynccontextmanager
async def file_server(size: int) -> AsyncIterator[FileServer]:
    """A :class:`FileServer` on loopback."""
    made = FileServer(size)
    async with raw_server(made.serve) as port:
        made.port = port
        yield made
