"""Servers that fail at TLS, and those that speak HTTP/2 and misbehave in its frames."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import struct
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fetcher.hostile import OK, Script, Serve, answer, repeats, says

URL = "https://127.0.0.1:{port}/"
DAY = datetime.timedelta(days=1)
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK, PADDED = 1, 4, 1, 8
H2_OK = b"\x88"  # HPACK: the status 200 of the static table
SIX, CANCEL = b"\0" * 6, struct.pack("!I", 8)


@lru_cache
def authority() -> trustme.CA:
    return trustme.CA()


@lru_cache
def authority_file() -> str:
    """Where what is trusted here is kept."""
    folder = tempfile.mkdtemp(prefix="crawlkit-hostile-")
    authority().cert_pem.write_to_path(Path(folder) / "ca.pem")
    return str(Path(folder) / "ca.pem")


@lru_cache
def context(kind: str) -> ssl.SSLContext:
    """What a server shows. ``good``: a certificate that is right; ``h2``: the same, and HTTP/2."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = datetime.datetime.now(datetime.UTC)
    if kind == "another host":
        authority().issue_cert("other.example").configure_cert(made)
    elif kind == "over":
        authority().issue_cert("127.0.0.1", not_before=now - 9 * DAY, not_after=now - DAY).configure_cert(made)
    elif kind == "not yet":
        authority().issue_cert("127.0.0.1", not_before=now + DAY, not_after=now + 9 * DAY).configure_cert(made)
    elif kind == "a stranger's":
        trustme.CA().issue_cert("127.0.0.1").configure_cert(made)
    elif kind == "a stranger's child":
        trustme.CA().create_child_ca().issue_cert("127.0.0.1").configure_cert(made)
    elif kind == "many names":
        names = [f"host{number}.example" for number in range(2000)]
        authority().issue_cert(*names).configure_cert(made)
    elif kind == "a wildcard":
        authority().issue_cert("*.0.0.1").configure_cert(made)
    elif kind in ("its own", "weak"):
        _own(made, 1024 if kind == "weak" else 2048)
    else:
        authority().issue_cert("127.0.0.1").configure_cert(made)
    if kind == "old":
        with warnings.catch_warnings(action="ignore"):
            made.minimum_version, made.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
        made.set_ciphers("ALL:@SECLEVEL=0")
    if kind == "h2":
        made.set_alpn_protocols(["h2"])
    return made


def _own(made: ssl.SSLContext, bits: int) -> None:
    """A certificate that signs itself."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - DAY, now + DAY)
    signed = builder.sign(key, hashes.SHA256())
    with tempfile.NamedTemporaryFile() as file:
        file.write(signed.public_bytes(serialization.Encoding.PEM))
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))  # fmt: skip
        file.flush()
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.load_cert_chain(file.name)


def greets(data: bytes, hold: bool = False) -> Serve:
    """Reads the client's first TLS message and says this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(data)
        await writer.drain()
        if hold:
            await reader.read()
            await asyncio.sleep(3600)

    return serve


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def two(*frames: bytes, endless: bytes = b"", hold: bool = False, greeting: bytes = frame(SETTINGS, 0, 0)) -> Serve:
    """An HTTP/2 server that answers the first request with these frames; those of its stream have the number 1."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)  # the preface
        writer.write(greeting)
        while True:
            size, kind, flags, _ = struct.unpack("!IBBI", b"\0" + await reader.readexactly(9))
            await reader.readexactly(size)
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0))
            elif kind == HEADERS:
                break
        writer.write(b"".join(frames))
        await writer.drain()
        while endless:
            writer.write(endless)
            await writer.drain()
            await asyncio.sleep(0)
        while hold and await reader.read(65_536):
            pass

    return serve


def literal(name: bytes, value: bytes) -> bytes:
    """A header as HPACK literal."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEAD = frame(HEADERS, END_HEADERS, 1, H2_OK)
OPEN = frame(HEADERS, 0, 1, H2_OK)  # more of them are to come
ITEM = literal(b"x", b"y" * 100)
FRAMES = {
    "reset": (two(frame(RST, 0, 1, CANCEL)), "protocol"),
    "reset in the body": (two(HEAD + frame(DATA, 0, 1, b"x") + frame(RST, 0, 1, CANCEL)), "protocol"),
    "goes away": (two(frame(GOAWAY, 0, 0, struct.pack("!II", 0, 1))), "protocol"),
    "speaks HTTP/1.1": (two(b"HTTP/1.1 200 OK\r\n\r\nwhat?"), "protocol"),
    "no head": (two(frame(DATA, END_STREAM, 1, b"x")), "protocol"),
    "no status": (two(frame(HEADERS, END_HEADERS, 1, literal(b"x", b"y"))), "protocol"),
    "a status of letters": (two(frame(HEADERS, END_HEADERS, 1, literal(b":status", b"abc"))), "protocol"),
    "bad hpack": (two(frame(HEADERS, END_HEADERS, 1, b"\xff" * 7)), "protocol"),
    "an entry there is not": (two(frame(HEADERS, END_HEADERS, 1, b"\xfe")), "protocol"),
    "names in capitals": (two(frame(HEADERS, END_HEADERS, 1, H2_OK + literal(b"X", b"y"))), "protocol"),
    "a line break in a value": (two(frame(HEADERS, END_HEADERS, 1, H2_OK + literal(b"x", b"a\r\nb: c"))), "protocol"),
    "a field of connections": (two(frame(HEADERS, END_HEADERS, 1, H2_OK + literal(b"connection", b"x"))), "protocol"),
    "a length that is wrong": (
        two(frame(HEADERS, END_HEADERS, 1, H2_OK + literal(b"content-length", b"9")), frame(DATA, END_STREAM, 1, b"x")),
        "protocol"),
    "headers without a stream": (two(frame(HEADERS, END_HEADERS, 0, H2_OK)), "protocol"),
    "a stream nobody opened": (two(frame(HEADERS, END_HEADERS, 7, H2_OK)), "protocol"),
    "a frame over the limit": (two(HEAD, frame(DATA, 0, 1, b"x" * 20_000)), "protocol"),
    "padding longer than the frame": (two(HEAD, frame(DATA, PADDED, 1, b"\xff")), "protocol"),
    "another frame among headers": (two(frame(HEADERS, 0, 1, H2_OK), frame(PING, 0, 0, bytes(8))), "protocol"),
    "a push": (two(frame(PUSH, END_HEADERS, 1, struct.pack("!I", 2) + b"\x82")), "protocol"),
    "settings of half a number": (two(greeting=frame(SETTINGS, 0, 0, b"\0\1\0")), "protocol"),
    "settings that cannot be": (two(greeting=frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 2**32 - 1))), "protocol"),
    "a window that overflows": (two(frame(WINDOW, 0, 0, struct.pack("!I", 2**31 - 1)) * 3), "protocol"),
    "a window of nothing": (two(frame(WINDOW, 0, 0, bytes(4))), "protocol"),
    "closes": (two(), "protocol"),
    "closes in the body": (two(HEAD, frame(DATA, 0, 1, b"x")), "reset"),
    "closes in a frame": (two(HEAD, frame(DATA, 0, 1, b"x" * 99)[:-9]), "reset"),
    "endless body": (two(HEAD, endless=frame(DATA, 0, 1, b"x" * 16_000)), "too_large"),
    "endless headers": (two(OPEN, endless=frame(CONTINUATION, 0, 1, ITEM * 100)), "protocol"),
    "endless empty continuations": (two(OPEN, endless=frame(CONTINUATION, 0, 1) * 100), "protocol"),
    "endless interim answers": (
        two(endless=frame(HEADERS, END_HEADERS, 1, literal(b":status", b"103") + ITEM) * 10), "headers_too_big"),
    "endless empty data": (two(HEAD, endless=frame(DATA, 0, 1) * 100), "protocol"),
    "endless pings": (two(endless=frame(PING, 0, 0, bytes(8)) * 100), "protocol"),
    "endless settings": (two(endless=frame(SETTINGS, 0, 0) * 100), "protocol"),
    "endless priorities": (two(endless=frame(PRIORITY, 0, 1, bytes(5)) * 100), "protocol"),
    "endless resets of others": (two(endless=frame(RST, 0, 3, CANCEL) * 100), "protocol"),
    "a bomb of headers": (
        two(frame(HEADERS, END_HEADERS, 1, H2_OK + b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 8000)),
        "headers_too_big"),
}  # fmt: skip

SCRIPTS = [
    *[Script("certificate: " + name, says(answer(b"x")), "tls", at=URL, tls=name)
      for name in ("another host", "over", "not yet", "a stranger's", "a stranger's child", "many names", "a wildcard",
                   "its own", "weak", "old")],
    Script("tls: plain http", greets(answer(b"speak plainly", "400 Bad Request")), "tls", at=URL),
    Script("tls: noise", greets(bytes(range(256))), "tls", at=URL),
    Script("tls: an alert", greets(b"\x15\x03\x03\0\x02\x02\x28"), "tls", at=URL),
    Script("tls: closes", greets(b""), "tls", at=URL),
    Script("tls: closes in its greeting", greets(b"\x16\x03\x03\x01\0\x02"), "tls", at=URL),
    Script("tls: body without an end", repeats(OK + b"\r\n", b"x" * 65_536), "too_large", {}, URL, "good"),
    Script("tls: too short", says(OK + b"Content-Length: 9\r\n\r\nx"), "reset", {}, URL, "good"),
    *[Script("http/2: " + name, serve, kind, at=URL, tls="h2")
      for name, (serve, kind) in FRAMES.items()],
]  # fmt: skip

SLOW = [
    Script("tls: silent", greets(b"", hold=True), "connect_timeout", {"connect_timeout": 0.7}, URL),
    Script("tls: silent in its greeting", greets(b"\x16\x03\x03\x01\0\x02", hold=True), "connect_timeout",
           {"connect_timeout": 0.7}, URL),
    Script("http/2: silent", two(hold=True), "timeout", {"timeout": 0.7}, URL, "h2"),
    Script("http/2: silent behind its head", two(HEAD, hold=True), "too_slow", {}, URL, "h2"),
]  # fmt: skip
