"""Answers whose first line or header fields are broken, huge or without end."""

from __future__ import annotations

import gzip

from tests.fetcher.helpers import answer
from tests.fetcher.hostile import MIB, OK, Script, repeats, says, speaks_first

BODY = b"Content-Length: 1\r\n\r\nx"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def many(count: int, line: bytes = b"X-%d: " + b"y" * 1000) -> bytes:
    """So many header fields."""
    return OK + b"".join(line % number + b"\r\n" for number in range(count)) + b"\r\n"


STRANGERS = {  # what servers of other protocols say
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
    "ftp": b"220 ProFTPD Server ready.\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "pop3": b"+OK ready\r\n",
    "imap": b"* OK IMAP4rev1 ready\r\n",
    "redis": b"-ERR unknown command 'GET'\r\n",
    "memcached": b"ERROR\r\n",
    "mysql": b"\x4a\0\0\0\x0a5.5.5-10.11\0",
    "telnet": b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27",
    "tls": b"\x15\x03\x01\0\x02\x02\x28",
    "http/2": b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64",
    "rtsp": b"RTSP/1.0 200 OK\r\n\r\n",
    "icecast": b"ICY 200 OK\r\n\r\nmp3",
    "irc": b":irc.example NOTICE * :*** Looking up\r\n",
    "xmpp": b"<?xml version='1.0'?><stream:stream>",
    "zeroes": bytes(5000),
    "noise": bytes(range(255, -1, -1)) * 20,
}

FIRST_LINES = {
    "http 0.9": b"<html>hello</html>",
    "http 9.9": b"HTTP/9.9 200 OK\r\n\r\nx",
    "no version": b"HTTP 200 OK\r\n" + BODY,
    "no status": b"HTTP/1.1 OK\r\n\r\nx",
    "status of letters": b"HTTP/1.1 abc OK\r\n" + BODY,
    "status of two digits": b"HTTP/1.1 20 OK\r\n" + BODY,
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\nx",
    "negative status": b"HTTP/1.1 -20 OK\r\n" + BODY,
    "hexadecimal status": b"HTTP/1.1 0xC8 OK\r\n" + BODY,
    "status without a blank": b"HTTP/1.1200 OK\r\n" + BODY,
    "a blank before it": b" HTTP/1.1 200 OK\r\n" + BODY,
    "a byte order mark before it": b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n" + BODY,
    "in utf-16": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".encode("utf-16"),
    "packed as a whole": gzip.compress(OK + BODY),
    "the request as the answer": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the first line": b"HTTP/1.1 200 O\0K\r\n" + BODY,
    "version of the next century": b"HTTP/111111111111111111111.1 200 OK\r\n" + BODY,
    "only line ends": b"\r\n\r\n\r\n",
}

FIELDS = {
    "NUL in a value": (OK + b"X: a\0b\r\n" + BODY, "protocol"),
    "NUL in a name": (OK + b"X\0Y: a\r\n" + BODY, "protocol"),
    "header without a colon": (OK + b"nothing\r\n" + BODY, "protocol"),
    "bare CR in a header": (OK + b"X: a\rContent-Length: 0\r\nContent-Length: 1\r\n\r\nx", "protocol"),
    "first line in lower case": (b"http/1.1 200 ok\r\n" + BODY, ""),
    "folded header": (OK + b"X: a\r\n b: c\r\n" + BODY, ""),
    "header of blanks": (OK + b" : x\r\n" + BODY, ""),
    "header with nothing before its colon": (OK + b": x\r\n" + BODY, ""),
    "blank before the colon": (OK + b"X : y\r\n" + BODY, ""),
    "bytes that are no ASCII": (OK + b"X-\xff: \x80\xfe\r\n" + BODY, ""),
    "lines that end with LF only": (OK.replace(b"\r", b"") + BODY.replace(b"\r", b""), ""),
    "upgrade that nobody asked for": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello", ""),
    "status 000": (b"HTTP/1.1 000 OK\r\n" + BODY, "protocol"),
}  # fmt: skip

TOO_BIG = {
    "10 MB of headers": says(lambda: many(10_000)),
    "one header of 2 MB": says(lambda: OK + b"X: " + b"y" * 2_000_000 + b"\r\n\r\n"),
    "one name of 2 MB": says(lambda: OK + b"x" * 2_000_000 + b": y\r\n\r\n"),
    "100,000 header lines": says(OK + b"a:b\r\n" * 100_000 + b"\r\n"),
    "a cookie of 1 MB": says(OK + b"Set-Cookie: a=" + b"y" * MIB + b"\r\n\r\n"),
    "10,000 cookies": says(lambda: many(10_000, b"Set-Cookie: c%d=" + b"v" * 40)),
    "a reason of 1 MB": says(b"HTTP/1.1 200 " + b"r" * MIB + b"\r\n\r\n"),
    "headers of 1 MB before the last": says(b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * MIB + b"\r\n\r\n" + OK + BODY),
    "endless headers": repeats(OK, b"X: " + b"y" * 1000 + b"\r\n"),
    "one endless header": repeats(OK + b"X: ", b"y" * 65_536),
    "endless folded header": repeats(OK + b"X: y\r\n", b" and more of it, line by line\r\n" * 100),
    "endless empty headers": repeats(OK, b":\r\n" * 10_000),
    "endless reason": repeats(b"HTTP/1.1 200 ", b"r" * 65_536),
    "endless early hints": repeats(b"", EARLY * 100),
    "endless continues": repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "endless blanks of the first line": repeats(b"HTTP/1.1 ", b" " * 65_536),
    "never a line end": repeats(b"HTTP/1.1 200", b"H" * 65_536),
}

SCRIPTS = [
    Script("closes at once", says(b""), "reset"),
    Script("closes in the name", says(b"HTTP/"), "reset"),
    Script("closes in the first line", says(b"HTTP/1.1 20"), "reset"),
    Script("closes behind the first line", says(OK), "reset"),
    Script("closes in a header", says(OK + b"Content-Le"), "reset"),
    Script("closes before the empty line", says(OK + b"X: y\r\n"), "reset"),
    Script("closes in the second head", says(EARLY + OK + b"X: y\r\n"), "reset"),
    Script("only interim answers", says(EARLY * 3), "reset"),
    *[Script("stranger: " + name, speaks_first(data), "protocol") for name, data in STRANGERS.items()],
    *[Script("first line: " + name, says(data), "protocol") for name, data in FIRST_LINES.items()],
    *[Script("field: " + name, says(data), kind) for name, (data, kind) in FIELDS.items()],
    *[Script("size: " + name, serve, "headers_too_big") for name, serve in TOO_BIG.items()],
    Script("size: 250 KB are fine", says(answer(b"x", headers=f"X: {'y' * 1000}\r\n" * 250)), ""),
]
