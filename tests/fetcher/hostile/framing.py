"""Bodies whose length is a lie, chunks that are none, and what never comes to an end."""

from __future__ import annotations

import asyncio
import gzip

from tests.fetcher.helpers import read_request
from tests.fetcher.hostile import CHUNKED, OK, Script, Serve, moved, repeats, says

LENGTHS = {
    "negative": (b"-5", "protocol"),
    "of letters": (b"five", "protocol"),
    "hexadecimal": (b"0x1", "protocol"),
    "with an exponent": (b"1e0", "protocol"),
    "with a fraction": (b"1.0", "protocol"),
    "two in a list": (b"1, 7", "protocol"),
    "in two words": (b"1 1", "protocol"),
    "nothing": (b"", "protocol"),
    "in arabic digits": ("\u0661".encode(), "protocol"),
    "of 30 digits": (b"9" * 30, "protocol"),
    "2 ** 64 + 1": (b"18446744073709551617", "protocol"),
    "2 ** 63": (b"9223372036854775808", "protocol"),
    "minus nothing": (b"-0", "protocol"),
    "with a sign": (b"+1", "protocol"),
    "the same twice in a list": (b"1, 1", ""),
    "with zeroes before it": (b"0000001", ""),
}

CHUNKS = {
    "garbage": (b"zz\r\nabc\r\n", "protocol"),
    "size of 17 digits": (b"10000000000000000\r\nabc\r\n", "protocol"),
    "size of 2 ** 64 - 1": (b"FFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n", "protocol"),
    "negative size": (b"-1\r\nabc\r\n0\r\n\r\n", "protocol"),
    "size with 0x": (b"0x3\r\nabc\r\n0\r\n\r\n", "protocol"),
    "no size": (b"\r\nabc\r\n0\r\n\r\n", "protocol"),
    "NUL in the size": (b"3\0\r\nabc\r\n0\r\n\r\n", ""),
    "longer than it says": (b"3\r\nabcdef\r\n0\r\n\r\n", "protocol"),
    "shorter than it says": (b"9\r\nabc\r\n0\r\n\r\n", "reset"),
    "no end of the chunk": (b"3\r\nabc0\r\n\r\n", "protocol"),
    "closes in the size": (b"3", "reset"),
    "closes in a chunk": (b"30\r\nabc", "reset"),
    "no last chunk": (b"3\r\nabc\r\n", "reset"),
    "no empty line at the end": (b"3\r\nabc\r\n0\r\n", "reset"),
    "closes in a trailer": (b"3\r\nabc\r\n0\r\nX: y", "reset"),
    "another answer behind the last": (b"3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nX: smuggled\r\n\r\n", ""),
}

CODED = {  # of transfers
    "chunked twice": (b"chunked, chunked", ""),
    "chunked is not the last": (b"chunked, gzip", "decode"),
    "of a name nobody knows": (b"nonsense", "decode"),
    "chunked with a letter before it": (b"xchunked", "decode"),
}

SMUGGLED = {  # what two servers on the way might read in two ways
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 7\r\n\r\n1234567",
    "a length behind the chunks": OK + b"Transfer-Encoding: chunked\r\nContent-Length: abc\r\n\r\n1\r\nx\r\n0\r\n\r\n",
}


def drips(head: bytes, piece: bytes) -> Serve:
    return repeats(head, piece, 0.1)


def silent(head: bytes = b"") -> Serve:
    """Says that much and then nothing."""
    return says(head, hold=True)


async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def leads_nowhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A redirect to where nothing is said any more."""
    await read_request(reader)
    writer.write(moved("/again"))
    await writer.drain()
    await reader.read()
    await asyncio.sleep(3600)


SCRIPTS = [
    *[Script("length: " + name, says(OK + b"Content-Length: " + value + b"\r\n\r\nx"), kind)
      for name, (value, kind) in LENGTHS.items()],
    Script("length: over the limit", says(OK + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 100), "too_large"),
    Script("length: more than comes", says(OK + b"Content-Length: 50\r\n\r\nx"), "reset"),
    Script("length: less than comes", says(OK + b"Content-Length: 1\r\n\r\nxyz" + OK), ""),
    Script("length: of a HEAD", says(OK + b"Content-Length: 99999999999\r\n\r\n"), "", {"method": "HEAD"}),
    Script("length: a body where none may be", says(b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"), ""),
    *[Script("chunks: " + name, says(CHUNKED + data), kind) for name, (data, kind) in CHUNKS.items()],
    *[Script("transfer: " + name, says(OK + b"Transfer-Encoding: " + value + b"\r\n\r\n1\r\nx\r\n0\r\n\r\n"), kind)
      for name, (value, kind) in CODED.items()],
    *[Script("smuggled: " + name, says(data), "protocol") for name, data in SMUGGLED.items()],
    Script("smuggled: a length before the chunks", says(
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), ""),
    Script("endless: chunks", repeats(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), "too_large"),
    Script("endless: chunks of a byte", repeats(CHUNKED, b"1\r\nx\r\n" * 5000), "too_large", {"max_size": 50_000}),
    Script("endless: body", repeats(OK + b"\r\n", b"x" * 65_536), "too_large"),
    Script("endless: body of an error page", repeats(b"HTTP/1.1 500 Oops\r\n\r\n", b"x" * 65_536), "too_large"),
    Script("endless: body of a wish", repeats(OK + b"\r\n", b"x" * 65_536), "too_large", {"max_size": 10}),
    Script("endless: body of another status", repeats(b"HTTP/1.1 299 What\r\n\r\n", b"x" * 65_536), "too_large"),
    Script("endless: trailers", repeats(CHUNKED + b"0\r\n", b"X: " + b"y" * 1000 + b"\r\n"), "headers_too_big"),
    Script("endless: trailer", repeats(CHUNKED + b"0\r\nX: ", b"y" * 65_536), "headers_too_big"),
    Script("endless: chunk extension", repeats(CHUNKED + b"1;", b"x" * 65_536), "too_slow"),
    Script("endless: zeroes of a chunk size", repeats(CHUNKED, b"0" * 65_536), "protocol"),
]  # fmt: skip

SLOW = [
    Script("silent: from the start", silent(), "timeout", {"timeout": 0.7}),
    Script("silent: never even reads", never_reads, "timeout", {"timeout": 0.7, "data": b"x" * 5_000_000}),
    Script("silent: in the first line", silent(b"HTTP/1.1 2"), "timeout", {"timeout": 0.7}),
    Script("silent: behind the first line", silent(OK), "too_slow"),
    Script("silent: in a header", silent(OK + b"X: y"), "too_slow"),
    Script("silent: behind an interim answer", silent(b"HTTP/1.1 100 Continue\r\n\r\n"), "too_slow"),
    Script("silent: before the body", silent(OK + b"Content-Length: 9\r\n\r\n"), "too_slow"),
    Script("silent: in the body", silent(OK + b"Content-Length: 9\r\n\r\nx"), "too_slow"),
    Script("silent: in a body without a length", silent(OK + b"\r\nx"), "too_slow"),
    Script("silent: in a chunk", silent(CHUNKED + b"9\r\nx"), "too_slow"),
    Script("silent: between chunks", silent(CHUNKED + b"1\r\nx\r\n"), "too_slow"),
    Script("silent: in the trailers", silent(CHUNKED + b"1\r\nx\r\n0\r\nX: y\r\n"), "too_slow"),
    Script("silent: behind a redirect", leads_nowhere, "timeout", {"timeout": 0.7}),
    Script(
        "silent: in the body of a redirect",
        silent(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 9\r\n\r\nx"),
        "too_slow",
    ),
    Script("slow: first line", drips(b"", b"H"), "protocol"),
    Script("slow: header", drips(OK, b"X"), "too_slow"),
    Script("slow: headers", drips(OK, b"X: y\r\n"), "too_slow"),
    Script("slow: body", drips(OK + b"Content-Length: 900\r\n\r\n", b"x"), "too_slow"),
    Script("slow: chunks", drips(CHUNKED, b"1\r\nx\r\n"), "too_slow"),
    Script("slow: chunk sizes", drips(CHUNKED, b"0"), "too_slow"),
    Script("slow: chunk extension", drips(CHUNKED + b"1;", b"x"), "too_slow"),
    Script("slow: gzip", drips(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x")[:10], b""), "too_slow"),
    Script("slow: interim answers", drips(b"", b"HTTP/1.1 102 \r\n\r\n"), "timeout", {"timeout": 0.7}),
]
